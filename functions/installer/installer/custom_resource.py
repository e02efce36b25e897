"""The installer as a CloudFormation custom resource: the same, told by an event, answered at a presigned address.

Properties: `OpenSearchUrl`; optionally `DashboardsUrl`, `BasePath`, `Tenant`, `RetentionDays`, `ShipperRoleArns` and
`MonitorRoleArns` (lists), `SecretArn` (a secret with `username` and `password`; without one requests are signed), `AuditLog` (`true`
switches it on), `Overwrite` (`true`).
An update to another domain, tenant or role leaves what was installed at the former one.
Attributes: `OpenSearchUrl`, for who must not start before its template and roles are there; a link to each dashboard and saved search,
such as `PredictionsUrl`.
"""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple

import requests

from installer.dashboards import GLOBAL
from installer.install import Wish, install, remove, wish
from installer.objects import saved_objects
from installer.retention import days
from installer.security import ROLES, role_arn
from installer.server import Trouble, anonymous

IDENTIFIER: Final = "prediction-monitor"
NOTHING: Final = "prediction-monitor-failed"  # of a creation that failed: its deletion must not take what was there before
ANSWER_SECONDS: Final = 16.0  # that the answer has, whatever became of the work
WAIT_SECONDS: Final = 60.0  # for a domain that is starting
TRIES: Final = 3
REASON_BYTES: Final = 1000  # an answer may have 4096


class Outcome(NamedTuple):
    """What CloudFormation is told."""

    status: str
    reason: str
    data: Mapping[str, str]


def handler(event: dict[str, Any], context: Any) -> None:
    """Do what a custom resource's event asks for, and answer it in any case. Raises `RuntimeError` where the answer is not taken."""
    left = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    done: SimpleQueue[Outcome] = SimpleQueue()
    # In a thread of its own, since a name that does not resolve or a slow answer cannot be interrupted.
    Thread(target=lambda: done.put(outcome(event, time.monotonic() + left)), daemon=True).start()
    try:
        result = done.get(timeout=max(left, 0))
    except Empty:
        result = _failed(event, "time ran out: see the function's log for what was done, and deploy again")
    print(f"{event['RequestType']} {result.status}: {result.reason}")
    _answer(event, result)


def outcome(event: dict[str, Any], ends: float) -> Outcome:
    """Install or remove, until `ends` on the monotonic clock.

    A deletion succeeds whatever it meets, since the domain may be gone, and removes saved objects only: indices and shipper,
    which may stay, need template, retention and roles.
    """
    deleting = event["RequestType"] == "Delete"
    if deleting and event.get("PhysicalResourceId") == NOTHING:
        return Outcome("SUCCESS", "nothing was created", {})
    try:
        properties = {name: value for name, value in event.get("ResourceProperties", {}).items() if value != ""}
        asked = _wish(properties, 0.0 if deleting else WAIT_SECONDS, ends)
        overwrite = properties.get("Overwrite") == "true"
        kept = remove(replace(asked, opensearch=None), overwrite=overwrite) if deleting else install(asked, overwrite=overwrite)
    except Trouble as problem:
        return _failed(event, str(problem))
    except Exception as problem:  # noqa: BLE001  whoever waits for an answer waits an hour without one
        traceback.print_exc()
        return _failed(event, f"{type(problem).__name__} in the installer: see the function's log")
    data = {} if deleting else {"OpenSearchUrl": properties["OpenSearchUrl"], **_links(asked)}
    reason = f"changed by hand, and kept: {', '.join(kept)}" if kept else "as it should be"
    return Outcome("SUCCESS", reason, data)


def _links(asked: Wish) -> dict[str, str]:
    """An attribute for each dashboard and saved search, named after its title."""
    links = asked.dashboards.links(asked.objects) if asked.dashboards else {}
    return {re.sub(r"\W", "", title) + "Url": link for title, link in links.items()}


def _failed(event: dict[str, Any], reason: str) -> Outcome:
    return Outcome("SUCCESS" if event["RequestType"] == "Delete" else "FAILED", reason, {})


def _wish(properties: Mapping[str, Any], wait: float, ends: float) -> Wish:
    """What the properties ask for. Raises `Trouble`."""
    if "OpenSearchUrl" not in properties:
        raise Trouble("the property OpenSearchUrl is missing: give the domain's address")
    try:
        keep = days(str(properties["RetentionDays"])) if "RetentionDays" in properties else None
        roles = {kind: [role_arn(arn) for arn in arns] for kind in ROLES if (arns := properties.get(f"{kind.capitalize()}RoleArns"))}
    except ValueError as problem:
        raise Trouble(str(problem)) from None
    user, password = _login(properties["SecretArn"]) if "SecretArn" in properties else (None, None)
    return wish(
        saved_objects(),
        opensearch=properties["OpenSearchUrl"],
        dashboards=properties.get("DashboardsUrl"),
        base_path=properties.get("BasePath"),
        tenant=properties.get("Tenant", GLOBAL),
        user=user,
        password=password,
        days=keep,
        roles=roles,
        audit_log=properties.get("AuditLog") == "true",
        wait=wait,
        ends=ends,
    )


def _login(secret: str) -> tuple[str, str]:
    import boto3  # noqa: PLC0415  only where somebody signs in by name
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        content = json.loads(boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        return content["username"], content["password"]
    except (BotoCoreError, ClientError) as problem:
        code = problem.response["Error"]["Code"] if isinstance(problem, ClientError) else type(problem).__name__
        advice = "permit secretsmanager:GetSecretValue on it, and kms:Decrypt on a key of your own" if "Denied" in code else "check its ARN"
        raise Trouble(f"the secret {secret} cannot be read ({code}): {advice}") from None
    except (ValueError, KeyError, TypeError):
        raise Trouble(f"the secret {secret} must hold a JSON object with username and password") from None


def _answer(event: dict[str, Any], result: Outcome) -> None:
    body = {
        "Status": result.status,
        "Reason": result.reason.encode()[:REASON_BYTES].decode(errors="ignore"),
        "PhysicalResourceId": event.get("PhysicalResourceId") or (IDENTIFIER if result.status == "SUCCESS" else NOTHING),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        "Data": result.data,
    }
    told = ""
    for attempt in range(TRIES):
        time.sleep(attempt)
        try:
            answer = requests.put(
                event["ResponseURL"],
                data=json.dumps(body, ensure_ascii=False).encode(),
                headers={"content-type": ""},  # the signature has none
                auth=anonymous,
                timeout=2,
                allow_redirects=False,
            )
        except requests.RequestException as problem:
            told = type(problem).__name__  # its message holds the address, which lets anybody answer
        else:
            if answer.ok:
                return
            told = str(answer.status_code)
    raise RuntimeError(f"CloudFormation did not take the answer ({told})")

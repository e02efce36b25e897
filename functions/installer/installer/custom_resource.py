"""Run the installer as a CloudFormation custom resource.

CloudFormation sends an event to the function, and the function answers at a presigned address.

Everybody who may invoke the function may send it any event. So an event chooses only between
creation, update and deletion. Addresses, secrets and roles come from environment variables
(`installer.settings`). The resource's properties repeat the variables, so that a changed variable
causes an update. An event is refused without an answer if it comes from another stack, or if its
answer would go to an address outside AWS.

The attribute `OpenSearchUrl` is the domain's address. If another resource refers to this attribute,
CloudFormation creates that resource after index template and roles are installed. The other
attributes are links to dashboards and saved searches, such as `PredictionsUrl`.
"""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import requests

from installer import settings
from installer.install import DesiredState, desired_state, install, remove
from installer.label_colours import coloured
from installer.prefix_and_stack import NAME, Scope
from installer.saved_objects import PRODUCT, saved_objects
from installer.server import UserError, anonymous
from installer.settings import Settings

# The physical id in earlier versions of the installer. They supported only one stack per domain.
FORMER: Final = NAME
# The physical id after a failed creation. CloudFormation then sends a deletion of this id. This
# deletion removes nothing: the things in the domain may have existed before the failed creation.
NOTHING: Final = f"{NAME}-failed"
ANSWER_SECONDS: Final = 16.0  # the time that is reserved for sending the answer
WAIT_SECONDS: Final = 60.0  # time to wait for a domain that is starting
TRIES: Final = 3
REASON_BYTES: Final = 1000  # CloudFormation accepts answers of at most 4096 bytes
LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}
# Statuses of a stack that is being deleted, or whose creation is being undone.
GOING: Final = {"DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}
ROLES_STAY: Final = (
    "roles and their mapping stay, because {}: "
    "remove them with python -m installer remove --stack {}"
)


class Outcome(NamedTuple):
    """The answer to CloudFormation."""

    status: str
    reason: str
    data: Mapping[str, str]


def handler(event: dict[str, Any], context: Any) -> None:
    """Install, update or remove as the event requires, and always send an answer.

    Raises `PermissionError` if the event does not come from this stack's CloudFormation, and
    `RuntimeError` if CloudFormation does not accept the answer.
    """
    refuse_strangers(event, os.environ)
    left = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    done: SimpleQueue[Outcome] = SimpleQueue()
    # The work has its own thread, because a slow name resolution or a slow answer cannot be
    # interrupted.
    Thread(
        target=lambda: done.put(outcome(event, os.environ, time.monotonic() + left)), daemon=True
    ).start()
    try:
        result = done.get(timeout=max(left, 0))
    except Empty:
        result = _failed(
            event, "time ran out: see the function's log for the steps done, and deploy again"
        )
    print(f"{event['RequestType']} {result.status}: {result.reason}")
    _answer(event, result)


def refuse_strangers(event: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Raise `PermissionError` for an event that cannot come from this stack's CloudFormation.

    Such an event names another stack, or its answer would not go to AWS over https.
    """
    if event.get("StackId") != environment.get(settings.STACK_ID):
        raise PermissionError("the event is not from this stack: nothing is done")
    suffix = environment.get(settings.SUFFIX, "amazonaws.com")
    try:
        address = urlsplit(str(event.get("ResponseURL")))
        host = address.hostname or ""
        at_aws = (
            address.scheme == "https"
            and (host == suffix or host.endswith(f".{suffix}"))
            and address.username is None
        )
    except ValueError:
        at_aws = False
    if not at_aws:
        raise PermissionError("the event's answer would not go to AWS: nothing is done")


def outcome(event: dict[str, Any], environment: Mapping[str, str], ends: float) -> Outcome:
    """Install or remove, until the time `ends` on the monotonic clock.

    A deletion always succeeds, because the domain may no longer exist.
    """
    deleting = event["RequestType"] == "Delete"
    if deleting and event.get("PhysicalResourceId") == NOTHING:
        return Outcome("SUCCESS", "nothing was created", {})
    try:
        given = settings.read(environment)
        if deleting:
            return _delete(event, given, stack_status(environment[settings.STACK_ID]), ends)
        asked = _desired_state(event, given, WAIT_SECONDS, ends)
        kept = install(asked)
    except (UserError, ValueError) as problem:
        return _failed(event, str(problem))
    # Every error is answered: without an answer, CloudFormation would wait for an hour.
    except Exception as problem:  # noqa: BLE001
        traceback.print_exc()
        return _failed(event, f"{type(problem).__name__} in the installer: see the function's log")
    reason = f"changed by hand, and kept: {', '.join(kept)}" if kept else "everything is installed"
    return Outcome("SUCCESS", reason, {"OpenSearchUrl": given.opensearch, **_links(asked)})


def stack_status(stack: str) -> str | None:
    """Return the stack's status in CloudFormation, or None if it cannot be read."""
    import boto3  # noqa: PLC0415  only a deletion needs it
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    try:
        described = boto3.client("cloudformation", config=config).describe_stacks(StackName=stack)
        return str(described["Stacks"][0]["StackStatus"])
    except (BotoCoreError, ClientError, KeyError, IndexError) as problem:
        print(f"the stack's status cannot be read from CloudFormation: {type(problem).__name__}")
        return None


def _delete(event: Mapping[str, Any], given: Settings, status: str | None, ends: float) -> Outcome:
    """Remove the stack's saved objects. Raises `UserError`.

    If the stack itself is deleted, its roles and their mapping are removed too. Index template and
    retention policy stay, because the indices need both. If the stack owned them, no stack owns
    them until the installer of another stack with this prefix runs.
    """
    if status and not status.endswith("_IN_PROGRESS"):
        return Outcome(
            "SUCCESS",
            f"nothing is removed, because the stack is {status} and nothing is being deployed",
            {},
        )
    asked = _desired_state(event, given, 0.0, ends)
    kept = remove(replace(asked, opensearch=None))
    notes = [f"changed by hand, and kept: {', '.join(kept.by_hand)}"] if kept.by_hand else []
    notes += [f"{name}: {reason}" for name, reason in kept.reasons.items()]
    going = status in GOING
    remove(
        replace(asked, dashboards=None, objects=(), roles=asked.roles if going else {}),
        shared=False,
    )
    if asked.roles and not going:
        why = (
            f"the stack is {status}"
            if status
            else "CloudFormation could not be asked whether the stack itself is deleted"
        )
        notes.append(ROLES_STAY.format(why, given.stack))
    return Outcome("SUCCESS", "; ".join(notes) or "the parts of the stack are removed", {})


def _links(asked: DesiredState) -> dict[str, str]:
    """Return an attribute for each dashboard and saved search.

    The title without the product's name gives the name of the attribute: *Predictions* gives
    `PredictionsUrl`.
    """
    return {
        re.sub(r"\W", "", title.removeprefix(PRODUCT).removesuffix(asked.scope.mark)) + "Url": link
        for title, link in asked.links.items()
    }


def _failed(event: Mapping[str, Any], reason: str) -> Outcome:
    return Outcome("SUCCESS" if event["RequestType"] == "Delete" else "FAILED", reason, {})


def _desired_state(
    event: Mapping[str, Any], given: Settings, wait: float, ends: float
) -> DesiredState:
    """Build the desired state from the environment variables. Raises `UserError`."""
    address = urlsplit(given.opensearch)
    if given.secret and address.scheme != "https" and address.hostname not in LOOPBACK:
        raise UserError(
            f"the secret's password is not sent to {address.hostname} without encryption: "
            "give an https address"
        )
    user, password = _login(given.secret) if given.secret else (None, None)
    former = event.get("PhysicalResourceId") == FORMER
    return desired_state(
        [coloured(one, given.labels) for one in saved_objects()],
        opensearch=given.opensearch,
        dashboards=given.dashboards,
        user=user,
        password=password,
        scope=Scope(given.prefix, given.stack, former),
        keep=given.keep,
        roles=given.roles,
        groups=given.groups,
        deployed=event["RequestType"] != "Create",
        audit_log=given.audit_log and event["RequestType"] != "Delete",
        wait=wait,
        ends=ends,
    )


def _login(secret: str) -> tuple[str, str]:
    import boto3  # noqa: PLC0415  only a login from a secret needs it
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        content = json.loads(
            boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
        )
        return content["username"], content["password"]
    except (BotoCoreError, ClientError) as problem:
        code = (
            problem.response["Error"]["Code"]
            if isinstance(problem, ClientError)
            else type(problem).__name__
        )
        advice = (
            "permit secretsmanager:GetSecretValue on the secret; "
            "if a key of your own encrypts the secret, permit kms:Decrypt on this key too"
            if "Denied" in code
            else "check its ARN"
        )
        raise UserError(f"the secret {secret} cannot be read ({code}): {advice}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"the secret {secret} must hold a JSON object with username and password"
        ) from None


def _answer(event: dict[str, Any], result: Outcome) -> None:
    body = {
        "Status": result.status,
        "Reason": result.reason.encode()[:REASON_BYTES].decode(errors="ignore"),
        "PhysicalResourceId": event.get("PhysicalResourceId") or _identifier(result),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        "Data": result.data,
    }
    last_failure = ""
    for attempt in range(TRIES):
        time.sleep(attempt)
        try:
            answer = requests.put(
                event["ResponseURL"],
                data=json.dumps(body, ensure_ascii=False).encode(),
                headers={"content-type": ""},  # the address was signed without a content type
                auth=anonymous,
                timeout=2,
                allow_redirects=False,
            )
        except requests.RequestException as problem:
            # The exception's message contains the address. Whoever knows the address can answer.
            last_failure = type(problem).__name__
        else:
            if answer.ok:
                return
            last_failure = str(answer.status_code)
    raise RuntimeError(f"CloudFormation did not accept the answer ({last_failure})")


def _identifier(result: Outcome) -> str:
    """Return the physical id for a creation. It stays the same for the life of the stack."""
    return f"{NAME}.{os.environ.get('STACK', '')}" if result.status == "SUCCESS" else NOTHING

"""Tests the roles of fine-grained access control with the real security plugin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from opensearchpy import RequestsHttpConnection

from installer.__main__ import main
from installer.address import PASSWORD
from local.asynchronous import Asynchronous
from local.cloudwatch import log_event, subscription_event
from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.template import Template
from monitor.opensearch_problem import ServerProblem
from monitor.settings import own_index
from monitor.summaries.store import Conflict, Kind, Store
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY
from tests.integration import secured
from tests.integration.conftest import environment
from tests.integration.secured import ADMIN, MONITOR, SHIPPER
from tests.unit.monitor.made_windows import records, summary

NOON = 1_795_435_200_000
INDEX = "cwl-log-2026.11.23"
# A sample role that the plugin installs. It permits every user to send bulk requests.
EVERYBODY = "/_plugins/_security/api/rolesmapping/own_index"
FORBIDDEN = f"403 security_exception: the user needs the permission to write {INDEX}"

Run = Callable[..., tuple[int, str, str]]
Shipping = Callable[[str, list[str]], AbstractContextManager[Runtime]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(
        command: str,
        url: str,
        *arguments: str,
        user: str | None = None,
        password: str = secured.PASSWORD,
    ) -> tuple[int, str, str]:
        monkeypatch.setenv(PASSWORD, password)
        code = main([command, "--opensearch", url, *(["--user", user] if user else []), *arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(autouse=True)
def _clean_up_afterwards(guarded: str) -> Iterator[None]:
    yield
    requests.delete(f"{guarded}/cwl-*", auth=ADMIN, timeout=60).raise_for_status()


@pytest.fixture
def shipping(template: Template, built: Path, runtime_packages: Path) -> Shipping:
    """Return a function that starts the built shipper, and collects its log lines in a list."""

    def started(url: str, lines: list[str]) -> AbstractContextManager[Runtime]:
        settings = environment("ShipperFunction", opensearch=url)
        code = built / "ShipperFunction"
        return start(
            template.functions["ShipperFunction"],
            settings,
            lines.append,
            code=code,
            packages=runtime_packages,
        )

    return started


@contextmanager
def without_bulk(url: str) -> Iterator[None]:
    """Permit bulk requests only to the administrator, as in a new Amazon domain."""
    mapping = requests.get(url + EVERYBODY, auth=ADMIN, timeout=60).json()["own_index"]
    requests.delete(url + EVERYBODY, auth=ADMIN, timeout=60).raise_for_status()
    try:
        yield
    finally:
        body = {"users": mapping["users"]}
        requests.put(url + EVERYBODY, auth=ADMIN, json=body, timeout=60).raise_for_status()


def as_user(url: str, user: str) -> str:
    return url.replace("//", f"//{user}:{secured.PASSWORD}@")


def ids(url: str) -> list[str]:
    """Return the ids of the documents in the index."""
    requests.post(f"{url}/{INDEX}/_refresh", auth=ADMIN, timeout=60).raise_for_status()
    hits = requests.get(f"{url}/{INDEX}/_search", auth=ADMIN, timeout=60).json()["hits"]["hits"]
    return sorted(hit["_id"] for hit in hits)


def bulk(url: str, user: str, index: str) -> int:
    """Send one document, and return its status."""
    lines = [
        {"create": {"_index": index}},
        {
            "@timestamp": "2026-11-23T12:00:00Z",
            "text": "a",
            "prediction": {"label": "x", "score": 1},
        },
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    answer = requests.post(
        f"{url}/_bulk?refresh=true",
        auth=(user, secured.PASSWORD),
        data=body,
        headers=headers,
        timeout=60,
    )
    return int(answer.json()["items"][0]["create"]["status"]) if answer.ok else answer.status_code


def shown(url: str, user: str) -> set[str]:
    """Return the names of all document fields that a user can read."""
    hits = requests.get(f"{url}/cwl-*/_search", auth=(user, secured.PASSWORD), timeout=60).json()[
        "hits"
    ]["hits"]
    return {name for hit in hits for name in hit["_source"]}


def search(url: str, user: str, index: str) -> int:
    return requests.get(
        f"{url}/{index}/_search", auth=(user, secured.PASSWORD), timeout=60
    ).status_code


def keeps_its_own(url: str) -> None:
    """Send every kind of request that the monitor sends to its own index, as the user `monitor`."""
    where = urlsplit(url)
    login = ("monitor", secured.PASSWORD)
    connection = RequestsHttpConnection(host=where.hostname or "", port=where.port, http_auth=login)
    store = Store(connection, own_index("a-stack"), "a-stack")
    one = summary(records(5, np.random.default_rng(1)), stream=Stream("a-stack", "/a", "b"))
    assert store.summaries(one.stream, 0, one.end) == []
    store.put_summaries([one])
    assert store.counts(one.stream, 0, one.end) == {one.start: 5}
    store.put_state(one.stream, {"until": 1}, None)
    (state,) = store.documents(Kind.STATE)
    store.put_state(one.stream, {"until": 2}, state.version)
    with pytest.raises(Conflict):
        store.put_state(one.stream, {"until": 3}, state.version)
    store.create(Kind.BASELINE, one.stream, 1, {})
    with pytest.raises(Conflict):
        store.create(Kind.BASELINE, one.stream, 1, {})
    later = Store(connection, own_index("a-stack"), "a-stack")  # adds fields to the index
    label = {"kind": Kind.FEEDBACK, "stack": "a-stack"}
    assert later.put_newer([("a-label", 2, label), ("a-label", 1, label)]) == [
        "created",
        "superseded",
    ]
    later.put_ledger({"slots": {}}, None)
    assert later.ledger()
    store.expire(one.end + 401 * DAY)
    requests.post(
        f"{url}/{own_index('a-stack')}/_refresh", auth=ADMIN, timeout=60
    ).raise_for_status()
    assert store.summaries(one.stream, 0, one.end) == []
    assert len(store.documents(Kind.BASELINE)) == 1
    with pytest.raises(ServerProblem, match="map the monitor's role"):
        Store(connection, "another", "a-stack").put_summaries([one])
    requests.delete(f"{url}/{own_index('a-stack')}", auth=ADMIN, timeout=60).raise_for_status()


def test_the_roles_permit_only_the_requests_of_shipper_and_monitor(guarded: str, run: Run) -> None:
    arguments = "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    assert bulk(guarded, "shipper", INDEX) == 403
    code, output, errors = run("install", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])
    assert (code, errors) == (0, "")
    assert output.count(": installed") == 3
    assert bulk(guarded, "shipper", INDEX) == 201
    assert bulk(guarded, "shipper", "another") == 403
    assert shown(guarded, "shipper") == {"@timestamp"}
    assert search(guarded, "shipper", "another") == 403
    assert shown(guarded, "monitor") == {"@timestamp", "text", "prediction"}
    assert search(guarded, "monitor", INDEX) == 200
    assert bulk(guarded, "monitor", INDEX) == 403
    keeps_its_own(guarded)
    for _ in range(2):
        output = run("install", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])[1]
        assert "already up to date: 3 things" in output
    assert run("status", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])[0] == 0
    output = run("remove", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])[1]
    assert output.count(": removed") == 3
    assert bulk(guarded, "shipper", INDEX) == 403


def test_the_audit_log_is_switched_on_once_and_holds_no_request_body(
    guarded: str, run: Run
) -> None:
    audit = f"{guarded}/_plugins/_security/api/audit"
    change = [{"op": "replace", "path": "/config/enabled", "value": False}]
    requests.patch(audit, auth=ADMIN, json=change, timeout=60).raise_for_status()
    signed_in = {"user": ADMIN[0], "password": ADMIN[1]}
    assert "audit log: replaced" in run("install", guarded, "--audit-log", **signed_in)[1]
    config = requests.get(audit, auth=ADMIN, timeout=60).json()["config"]
    assert (config["enabled"], config["audit"]["log_request_body"]) == (True, False)
    assert "audit log: replaced" not in run("install", guarded, "--audit-log", **signed_in)[1]
    assert "audit log: installed" in run("status", guarded, "--audit-log", **signed_in)[1]


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        (
            ADMIN[0],
            "wrong",
            "does not accept the user (401: Unauthorized): check name and password (--user with",
        ),
        (None, "", "does not accept the user (401: Unauthorized)"),
        (
            "nobody",
            secured.PASSWORD,
            "does not permit GET /_index_template/prediction-monitor* (403: no permissions for [",
        ),
        (
            "shipper",
            secured.PASSWORD,
            "does not permit GET /_index_template/prediction-monitor* (403: no permissions for [",
        ),
    ],
)
def test_a_user_who_cannot_install_gets_one_sentence(
    guarded: str, run: Run, user: str | None, password: str, sentence: str
) -> None:
    code, _, errors = run("install", guarded, user=user, password=password)
    assert code == 1
    assert sentence in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("refused", ["documents", "request"])
def test_lines_are_kept_until_the_shipper_has_the_permission_to_write(
    *,
    guarded: str,
    run: Run,
    shipping: Shipping,
    template: Template,
    replaying: Callable[[str], AbstractContextManager[Runtime]],
    s3: Any,
    bucket: str,
    refused: str,
) -> None:
    url, lines = as_user(guarded, "shipper"), list[str]()
    events = [log_event('{"marker": 1}', NOON), log_event('{"marker": 2}', NOON)]
    event = subscription_event(events, "a-log-group")

    def keep(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    with shipping(url, lines) as shipper, replaying(url) as replay:
        with (
            nullcontext() if refused == "documents" else without_bulk(guarded),
            pytest.raises(FunctionFailed) as failure,
        ):
            Asynchronous(template.functions["ShipperFunction"], shipper.invoke, keep, (0.1, 0.1))(
                event
            )
        assert (failure.value.kind, failure.value.said) == (
            "NotDelivered",
            f"2 of 2 documents not delivered: 2 x {FORBIDDEN}",
        )
        assert requests.head(f"{guarded}/{INDEX}", auth=ADMIN, timeout=60).status_code == 404
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
        assert replay.invoke({})["waiting"] == 1

        run("install", guarded, "--shipper-role", SHIPPER, user=ADMIN[0], password=ADMIN[1])
        assert replay.invoke({})["replayed"] == 1
        assert shipper.invoke(event) == {"indexed": 0, "duplicate": 2, "rescued": 0, "excluded": 0}
        run("remove", guarded, "--shipper-role", SHIPPER, user=ADMIN[0], password=ADMIN[1])

    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert ids(guarded) == sorted(each["id"] for each in events)
    shipments = [json.loads(line) for line in lines if '"shipment"' in line]
    assert [
        (one["level"], one.get("EventsFailed"), one["requests"], one.get("reasons"))
        for one in shipments
    ] == [
        *[("ERROR", 2, 1, {FORBIDDEN: 2})] * 3,
        ("INFO", None, 1, None),
    ]


@pytest.mark.parametrize("user", [None, "shipper:wrong@"])
def test_a_shipper_without_a_valid_login_delivers_nothing(
    guarded: str, shipping: Shipping, user: str | None
) -> None:
    url = guarded.replace("//", f"//{user or ''}")
    with (
        shipping(url, []) as shipper,
        pytest.raises(FunctionFailed, match="1 of 1 documents not delivered: 1 x 401") as failure,
    ):
        shipper.invoke(subscription_event([log_event("line", NOON)], "a-log-group"))
    assert failure.value.kind == "NotDelivered"

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from installer import custom_resource
from installer.custom_resource import handler
from tests.unit.conftest import Context
from tests.unit.installer.conftest import SHIPPER
from tests.unit.installer.domain import (
    Address,
    Certificate,
    Domain,
    Reply,
    Request,
    certified,
    listening,
)

REQUEST = {
    "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/monitor/1",
    "RequestId": "0f5ad1e0",
    "LogicalResourceId": "Kibana",
}

Send = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certified(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def address(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """Yield the https address to which CloudFormation wants the answer.

    The handler accepts the address as an AWS address, because `send` sets URL_SUFFIX to 127.0.0.1.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.public))
    state = Address()
    with listening(state.answer, certificate=certificate) as url:
        state.url = f"{url}/answer?X-Amz-Signature=xyzzy"
        yield state


@pytest.fixture
def send(
    domain: Domain,
    address: Address,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Send:
    """Return a function that sends an event to the handler, and returns the handler's answer.

    `variables` replace environment variables.
    """
    monkeypatch.setattr(custom_resource, "stack_status", lambda _: "DELETE_IN_PROGRESS")

    def call(
        kind: str, *, seconds: int = 120, identifier: str | None = None, **variables: str
    ) -> dict[str, Any]:
        known = {
            "OPENSEARCH_URL": domain.url,
            "DASHBOARDS_URL": domain.dashboards,
            "SHIPPER_ROLE_ARNS": SHIPPER,
            "STACK": "monitor",
            "STACK_ID": REQUEST["StackId"],
            "URL_SUFFIX": "127.0.0.1",
        }
        event = {
            "RequestType": kind,
            "ResponseURL": address.url,
            "ResourceProperties": {"ServiceToken": "arn"},
            **REQUEST,
        }
        if identifier:
            event["PhysicalResourceId"] = identifier
        with monkeypatch.context() as patch:
            for name, value in (known | variables).items():
                patch.setenv(name, value)
            handler(event, Context(milliseconds=seconds * 1000))
        written = "".join(capsys.readouterr())
        assert "xyzzy" not in written
        answer = address.answers.pop()
        assert address.answers == []
        assert {name: answer[name] for name in REQUEST} == REQUEST
        return answer

    return call


def test_a_stack_is_created_updated_and_deleted(domain: Domain, send: Send) -> None:
    created = send("Create", RETENTION_DAYS="14", MONITOR_ROLE_ARNS="")
    assert (created["Status"], created["Reason"]) == ("SUCCESS", "everything is installed")
    assert created["PhysicalResourceId"] == "prediction-monitor.monitor"
    assert created["Data"]["OpenSearchUrl"] == domain.url
    assert created["Data"]["PredictionsUrl"].startswith(
        f"{domain.dashboards}/app/dashboards#/view/"
    )
    assert set(domain.roles) == {"prediction-monitor-shipper.monitor"}
    assert domain.objects
    domain.writes.clear()
    updated = send("Update", identifier=created["PhysicalResourceId"], RETENTION_DAYS="30")
    assert (updated["Status"], updated["PhysicalResourceId"]) == (
        "SUCCESS",
        created["PhysicalResourceId"],
    )
    assert domain.writes == ["PUT /_plugins/_ism/policies/prediction-monitor"]
    deleted = send("Delete", identifier=created["PhysicalResourceId"])
    assert (deleted["Status"], deleted["PhysicalResourceId"], deleted["Data"]) == (
        "SUCCESS",
        created["PhysicalResourceId"],
        {},
    )
    assert not any([domain.objects, domain.roles, domain.mappings])
    assert all([domain.templates, domain.policies])  # the indices stay, and need both
    assert "stack" not in domain.templates["prediction-monitor"]["_meta"]


def test_the_audit_log_is_switched_on_if_the_setting_asks_for_it(
    domain: Domain, send: Send
) -> None:
    send("Create")
    assert domain.audit["enabled"] is False
    for writes in (["PATCH /_plugins/_security/api/audit"], []):
        domain.writes.clear()
        assert send("Update", AUDIT_LOG="true")["Status"] == "SUCCESS"
        assert domain.writes == writes
    assert domain.audit == {
        "enabled": True,
        "audit": {"log_request_body": False, "enable_rest": True},
    }
    send("Delete", AUDIT_LOG="true")
    assert domain.audit["enabled"] is True  # other stacks may need the audit log


def test_a_reason_that_is_too_long_is_cut(send: Send) -> None:
    answer = send("Create", RETENTION_DAYS="é" * 3000)
    assert answer["Status"] == "FAILED"
    assert len(answer["Reason"].encode()) <= 1000


def test_an_object_that_was_changed_by_hand_is_kept_and_named_in_the_answer(
    domain: Domain, send: Send
) -> None:
    send("Create")
    (key, found), *_ = [
        (key, found) for key, found in domain.objects.items() if key[1] == "dashboard"
    ]
    found["attributes"]["title"] = "Mine"
    answer = send("Update")
    assert (answer["Status"], answer["Reason"]) == (
        "SUCCESS",
        f"changed by hand, and kept: dashboard {key[2]}",
    )


FAILURES = [
    ({"OPENSEARCH_URL": ""}, "OPENSEARCH_URL is missing: give the domain's address"),
    ({"OPENSEARCH_URL": "here"}, "--opensearch must be an http(s) address"),
    (
        {"OPENSEARCH_URL": "http://10.0.0.7:9200", "SECRET_ARN": "master"},
        "is not sent to 10.0.0.7 without encryption",
    ),
    ({"RETENTION_DAYS": "-1"}, "'-1' is not a number of days"),
    ({"SHIPPER_ROLE_ARNS": "shipper"}, "'shipper' is not a role: give its ARN"),
    ({"INDEX_PREFIX": "Cwl"}, "such as dev-cwl-, not 'Cwl'"),
]


@pytest.mark.parametrize(("properties", "reason"), FAILURES)
def test_a_failure_is_answered_with_one_sentence(
    send: Send, properties: dict[str, str], reason: str
) -> None:
    answer = send("Create", **properties)
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]
    assert (
        send("Delete", identifier=answer["PhysicalResourceId"], **properties)["Status"] == "SUCCESS"
    )


def test_the_deletion_after_a_failed_creation_removes_no_earlier_object(
    domain: Domain, send: Send
) -> None:
    send("Create")
    before = dict(domain.objects)
    failed = send("Create", RETENTION_DAYS="-1")
    assert failed["PhysicalResourceId"] != send("Update")["PhysicalResourceId"]
    deleted = send("Delete", identifier=failed["PhysicalResourceId"])
    assert (deleted["Status"], deleted["Reason"]) == ("SUCCESS", "nothing was created")
    assert domain.objects == before


def test_if_no_days_are_given_an_existing_policy_keeps_its_days(domain: Domain, send: Send) -> None:
    send("Create", RETENTION_DAYS="90")
    send("Update", RETENTION_DAYS="")
    (state,) = (
        one
        for one in domain.policies["prediction-monitor"]["policy"]["states"]
        if one["transitions"]
    )
    assert state["transitions"][0]["conditions"] == {"min_index_age": "90d"}


def test_an_unexpected_exception_is_answered_too(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_resource, "saved_objects", lambda: 1 / 0)
    answer = send("Create")
    assert (answer["Status"], answer["Reason"]) == (
        "FAILED",
        "ZeroDivisionError in the installer: see the function's log",
    )


def test_a_stack_can_be_deleted_although_its_domain_is_gone(send: Send) -> None:
    answer = send(
        "Delete", OPENSEARCH_URL="http://127.0.0.1:1", DASHBOARDS_URL="http://127.0.0.1:1"
    )
    assert answer["Status"] == "SUCCESS"
    assert "cannot be reached" in answer["Reason"]


@pytest.mark.parametrize(
    ("kind", "status"), [("Create", "FAILED"), ("Update", "FAILED"), ("Delete", "SUCCESS")]
)
def test_the_answer_is_sent_before_the_time_limit_of_the_function(
    domain: Domain, send: Send, kind: str, status: str
) -> None:
    held = threading.Event()
    own = domain.answer

    def hang(request: Request) -> Reply:
        held.wait(20)
        return own(request)

    with listening(hang) as slow:
        answer = send(kind, seconds=17, OPENSEARCH_URL=slow, DASHBOARDS_URL=f"{slow}/_dashboards")
        held.set()
    assert answer["Status"] == status
    assert "time ran out" in answer["Reason"] or "does not answer" in answer["Reason"]


def test_a_refused_answer_is_sent_again(address: Address, send: Send) -> None:
    address.refusals.extend([500, 503])
    assert send("Create")["Status"] == "SUCCESS"


def test_an_answer_that_is_always_refused_does_not_reveal_the_address(
    address: Address, send: Send
) -> None:
    address.refusals.extend([403] * 3)
    with pytest.raises(RuntimeError, match="CloudFormation did not accept the answer") as problem:
        send("Create")
    assert "xyzzy" not in str(problem.value)


SECRETS = [
    (json.dumps({"username": "jane", "password": "xyzzy"}), "SUCCESS", "everything is installed"),
    (
        json.dumps({"username": "jane", "password": "other"}),
        "FAILED",
        "does not accept the user (401: Unauthorized)",
    ),
    ("xyzzy", "FAILED", "must hold a JSON object with username and password"),
    (None, "FAILED", "cannot be read (ResourceNotFoundException): check its ARN"),
]


@pytest.mark.parametrize(("content", "status", "reason"), SECRETS)
def test_user_and_password_are_read_from_a_secret(  # noqa: PLR0917
    domain: Domain,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    status: str,
    reason: str,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    domain.login = ("jane", "xyzzy")
    with mock_aws():
        if content:
            boto3.client("secretsmanager").create_secret(Name="master", SecretString=content)
        answer = send("Create", SECRET_ARN="master")
    assert answer["Status"] == status
    assert reason in answer["Reason"]


# Refused answers, and settings that no event may change


HOSTS = [
    "https://attacker.example.com/answer",
    "http://127.0.0.1/answer",  # a host of AWS in this test, but not https
    "https://127.0.0.1.example.com/answer",
    "https://example127.0.0.1/answer",
    "https://127.0.0.1@example.com/answer",
    "https://[/answer",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", HOSTS)
def test_an_answer_goes_only_to_aws(domain: Domain, address: Address, send: Send, url: str) -> None:
    address.url = url
    with pytest.raises(PermissionError, match="answer would not go to AWS"):
        send("Create")
    assert domain.writes == []


@pytest.mark.parametrize(
    "stack", ["arn:aws:cloudformation:eu-west-1:123456789012:stack/monitor/2", None]
)
def test_an_event_of_another_stack_does_nothing(
    domain: Domain, address: Address, send: Send, monkeypatch: pytest.MonkeyPatch, stack: str | None
) -> None:
    monkeypatch.setitem(REQUEST, "StackId", stack)
    with pytest.raises(PermissionError, match="is not from this stack"):
        send("Create", STACK_ID="arn:aws:cloudformation:eu-west-1:123456789012:stack/monitor/1")
    assert (domain.writes, address.answers) == ([], [])


def test_an_event_cannot_send_the_password_to_another_address(
    domain: Domain, address: Address, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Request] = []

    def listen(request: Request) -> Reply:
        heard.append(request)
        return Reply(200, {})

    def forged(event: dict[str, Any], context: Any) -> None:
        wanted = {
            "OpenSearchUrl": url,
            "DashboardsUrl": url,
            "SecretArn": "master",
            "RetentionDays": "1",
            "ShipperRoleArns": ["x"],
        }
        own(event | {"ResourceProperties": wanted}, context)

    own = handler
    with listening(listen) as url:
        monkeypatch.setattr(f"{__name__}.handler", forged)
        assert send("Update")["Status"] == "SUCCESS"
    assert heard == []
    assert domain.mappings["prediction-monitor-shipper.monitor"]["backend_roles"] == [SHIPPER]
    assert domain.policies == {}


def test_a_delete_event_without_a_running_deployment_removes_nothing(
    domain: Domain, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("Create")
    before = dict(domain.objects)
    monkeypatch.setattr(custom_resource, "stack_status", lambda _: "UPDATE_COMPLETE")
    assert "nothing is removed, because the stack is UPDATE_COMPLETE" in send("Delete")["Reason"]
    assert domain.objects == before


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, "CloudFormation could not be asked whether the stack itself is deleted"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "the stack is UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
    ],
)
def test_roles_stay_unless_the_stack_itself_is_deleted(
    domain: Domain, send: Send, monkeypatch: pytest.MonkeyPatch, status: str | None, reason: str
) -> None:
    send("Create")
    monkeypatch.setattr(custom_resource, "stack_status", lambda _: status)
    answer = send("Delete", identifier="prediction-monitor.monitor")
    assert f"roles and their mapping stay, because {reason}: remove them with" in answer["Reason"]
    assert domain.objects == {}
    assert domain.mappings["prediction-monitor-shipper.monitor"]["backend_roles"] == [SHIPPER]


# The upgrade from an earlier version (the former version), in which a domain had only one stack


FORMER = json.loads(Path(__file__).with_name("former.json").read_text(encoding="utf-8"))
BOTH = f"{SHIPPER},arn:aws:iam::123456789012:role/replay"


def deployed_before(domain: Domain) -> None:
    """Put the domain into the state in which commit 0bcfc45 left it.

    The retention policy deletes indices after 90 days. The domain has one index, to which the
    policy applies.
    """
    was = deepcopy(FORMER)
    domain.templates, domain.policies, domain.settings = (
        was["templates"],
        was["policies"],
        was["settings"],
    )
    domain.roles, domain.mappings, domain.sequence = was["roles"], was["mappings"], was["sequence"]
    domain.objects = {("global", one["type"], one["id"]): one for one in was["objects"]}
    domain.indices = {"cwl-2026.11.22": ("prediction-monitor", was["sequence"])}


@pytest.fixture
def update(domain: Domain, send: Send) -> Callable[..., dict[str, Any]]:
    """Return a function that updates the stack of the former version."""
    deployed_before(domain)
    roles = {
        "SHIPPER_ROLE_ARNS": BOTH,
        "MONITOR_ROLE_ARNS": "arn:aws:iam::123456789012:role/monitor",
    }
    return lambda **variables: send(
        "Update", identifier="prediction-monitor", **{**roles, **variables}
    )


def test_an_upgrade_keeps_every_name_and_creates_no_duplicate(
    domain: Domain, update: Callable[..., dict[str, Any]]
) -> None:
    answer = update()
    assert (answer["Status"], answer["Reason"]) == ("SUCCESS", "everything is installed")
    assert answer["PhysicalResourceId"] == "prediction-monitor"
    links = {name: link.replace(domain.url, "") for name, link in answer["Data"].items()}
    places = {name: link.partition("?")[0] for name, link in links.items()}
    assert list(places)[:2] == ["OpenSearchUrl", "PredictionsUrl"]
    formerly = {name: link.partition("?")[0] for name, link in FORMER["links"].items()}
    assert places.items() >= formerly.items()
    assert "time:(from:now-24h,to:now)" in links["PredictionsUrl"]
    assert "time:(from:now-7d,to:now)" in links["DriftUrl"]
    for kind in ("templates", "policies", "roles", "mappings", "settings"):
        assert getattr(domain, kind).keys() == FORMER[kind].keys(), kind
    assert domain.policies == FORMER["policies"]  # days and version stay
    assert domain.indices == {"cwl-2026.11.22": ("prediction-monitor", FORMER["sequence"])}
    assert domain.mappings == FORMER["mappings"]
    before = {
        ("global", one["type"], one["id"]): one["attributes"]["title"] for one in FORMER["objects"]
    }
    titles = {key: one["attributes"]["title"] for key, one in domain.objects.items()}
    renamed = {
        ("global", "dashboard", f"prediction-monitor-{name}"): f"Prediction Monitor: {title}"
        for name, title in (("pipeline", "Pipeline"), ("predictions", "Predictions"))
    } | {("global", "visualization", "prediction-monitor-errors"): "Failed requests by status"}
    assert {key: titles.get(key) for key in before} == before | renamed
    assert not [key for key in domain.objects if "." in key[2]]
    assert not [
        one
        for one in domain.objects.values()
        if "[prediction-monitor" in one["attributes"].get("description", "")
    ]
    pattern = domain.objects["global", "index-pattern", "prediction-monitor-cwl"]["attributes"]
    assert pattern["predictionMonitor"]["stack"] == "monitor"
    domain.writes.clear()
    assert update() == answer
    assert domain.writes == []


def test_an_upgrade_keeps_an_object_that_was_changed_by_hand(
    domain: Domain, update: Callable[..., dict[str, Any]]
) -> None:
    key = ("global", "dashboard", "prediction-monitor-pipeline")
    domain.objects[key]["attributes"]["title"] = "Mine"
    assert update()["Reason"] == "changed by hand, and kept: dashboard prediction-monitor-pipeline"
    assert domain.objects[key]["attributes"]["title"] == "Mine"


def test_a_new_stack_changes_no_part_of_a_stack_from_an_earlier_version(
    domain: Domain, send: Send, update: Callable[..., dict[str, Any]]
) -> None:
    update()
    before = json.dumps([domain.templates, domain.policies, domain.roles, domain.mappings])
    objects = dict(domain.objects)
    assert (
        send("Create", STACK="dev", SHIPPER_ROLE_ARNS=SHIPPER)["PhysicalResourceId"]
        == "prediction-monitor.dev"
    )
    assert {key: domain.objects[key] for key in objects} == objects
    assert (
        send("Delete", identifier="prediction-monitor.dev", STACK="dev", SHIPPER_ROLE_ARNS=SHIPPER)[
            "Status"
        ]
        == "SUCCESS"
    )
    assert json.dumps([domain.templates, domain.policies, domain.roles, domain.mappings]) == before
    assert domain.objects == objects


def test_if_two_stacks_are_upgraded_only_the_first_one_keeps_its_names(
    domain: Domain, send: Send, update: Callable[..., dict[str, Any]]
) -> None:
    """The field `predictionMonitor` of the index pattern tells which stack keeps its names."""
    update()
    first = dict(domain.objects)
    assert update(STACK="second")["Status"] == "SUCCESS"
    assert {key: domain.objects[key] for key in first} == first
    assert ("global", "dashboard", "prediction-monitor-predictions.second") in domain.objects
    send("Delete", identifier="prediction-monitor", STACK="second", SHIPPER_ROLE_ARNS=BOTH)
    assert domain.objects == first
    send("Delete", identifier="prediction-monitor", SHIPPER_ROLE_ARNS=BOTH)
    assert domain.objects == {}

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from installer import custom_resource
from installer.custom_resource import handler
from tests.unit.conftest import Context
from tests.unit.installer.domain import Address, Domain, Reply, Request, listening

SHIPPER = "arn:aws:iam::123456789012:role/shipper"
REQUEST = {
    "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/monitor/1",
    "RequestId": "0f5ad1e0",
    "LogicalResourceId": "Kibana",
}


Send = Callable[..., dict[str, Any]]


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    state = Domain()
    with listening(state.answer) as url:
        state.url = url
        yield state
    assert state.wrong == []


@pytest.fixture
def address() -> Iterator[Address]:
    state = Address()
    with listening(state.answer) as url:
        state.url = f"{url}/answer?X-Amz-Signature=xyzzy"
        yield state


@pytest.fixture
def send(domain: Domain, address: Address, capsys: pytest.CaptureFixture[str]) -> Send:
    """An event to the handler: what CloudFormation was answered."""

    def call(kind: str, *, seconds: int = 120, identifier: str | None = None, **properties: str) -> dict[str, Any]:
        known = {"ServiceToken": "arn", "OpenSearchUrl": domain.url, "DashboardsUrl": domain.dashboards, "ShipperRoleArns": [SHIPPER]}
        event = {"RequestType": kind, "ResponseURL": address.url, "ResourceProperties": known | properties, **REQUEST}
        if identifier:
            event["PhysicalResourceId"] = identifier
        handler(event, Context(milliseconds=seconds * 1000))
        written = "".join(capsys.readouterr())
        assert "xyzzy" not in written
        answer = address.answers.pop()
        assert address.answers == []
        assert {name: answer[name] for name in REQUEST} == REQUEST
        return answer

    return call


def test_create_update_and_delete(domain: Domain, send: Send) -> None:
    created = send("Create", RetentionDays="14", MonitorRoleArns="")
    assert (created["Status"], created["Reason"]) == ("SUCCESS", "as it should be")
    assert created["Data"]["OpenSearchUrl"] == domain.url
    assert created["Data"]["PredictionsUrl"].startswith(f"{domain.dashboards}/app/dashboards#/view/")
    assert set(domain.roles) == {"prediction-monitor-shipper"}
    assert domain.objects
    domain.writes.clear()
    updated = send("Update", identifier=created["PhysicalResourceId"], RetentionDays="30")
    assert (updated["Status"], updated["PhysicalResourceId"]) == ("SUCCESS", created["PhysicalResourceId"])
    assert domain.writes == ["PUT /_plugins/_ism/policies/prediction-monitor"]
    deleted = send("Delete", identifier=created["PhysicalResourceId"])
    assert (deleted["Status"], deleted["PhysicalResourceId"], deleted["Data"]) == ("SUCCESS", created["PhysicalResourceId"], {})
    assert not domain.objects
    assert all([domain.templates, domain.policies, domain.roles])  # indices and shipper need them


def test_the_audit_log_is_switched_on_where_it_is_asked_for(domain: Domain, send: Send) -> None:
    send("Create")
    assert domain.audit["enabled"] is False
    for writes in (["PATCH /_plugins/_security/api/audit"], []):
        domain.writes.clear()
        assert send("Update", AuditLog="true")["Status"] == "SUCCESS"
        assert domain.writes == writes
    assert domain.audit == {"enabled": True, "audit": {"log_request_body": False, "enable_rest": True}}
    send("Delete", AuditLog="true")
    assert domain.audit["enabled"] is True  # who goes does not hide what comes


def test_a_reason_never_makes_an_answer_longer_than_cloudformation_takes(send: Send) -> None:
    answer = send("Create", RetentionDays="é" * 3000)
    assert answer["Status"] == "FAILED"
    assert len(answer["Reason"].encode()) <= 1000


def test_what_was_changed_by_hand_is_kept_and_named(domain: Domain, send: Send) -> None:
    send("Create")
    (key, found), *_ = [(key, found) for key, found in domain.objects.items() if key[1] == "dashboard"]
    found["attributes"]["title"] = "Mine"
    answer = send("Update")
    assert (answer["Status"], answer["Reason"]) == ("SUCCESS", f"changed by hand, and kept: dashboard {key[2]}")
    assert send("Update", Overwrite="true")["Reason"] == "as it should be"
    assert domain.objects[key]["attributes"]["title"] != "Mine"


FAILURES = [
    ({"OpenSearchUrl": ""}, "the property OpenSearchUrl is missing: give the domain's address"),
    ({"OpenSearchUrl": "here"}, "'here' is no address of a server"),
    ({"RetentionDays": "-1"}, "'-1' is no number of days"),
    ({"ShipperRoleArns": ["shipper"]}, "'shipper' is no role: give its ARN"),
    ({"Tenant": "mlops"}, "has no tenants: leave --tenant out"),
]


@pytest.mark.parametrize(("properties", "reason"), FAILURES)
def test_a_failure_is_answered_with_one_sentence(send: Send, properties: dict[str, str], reason: str) -> None:
    answer = send("Create", **properties)
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]
    assert send("Delete", identifier=answer["PhysicalResourceId"], **properties)["Status"] == "SUCCESS"


def test_a_creation_that_failed_takes_nothing_with_it_that_was_there_before(domain: Domain, send: Send) -> None:
    send("Create")
    before = dict(domain.objects)
    failed = send("Create", RetentionDays="-1")
    assert failed["PhysicalResourceId"] != send("Update")["PhysicalResourceId"]
    deleted = send("Delete", identifier=failed["PhysicalResourceId"])
    assert (deleted["Status"], deleted["Reason"]) == ("SUCCESS", "nothing was created")
    assert domain.objects == before


def test_days_that_are_left_out_shorten_no_retention(domain: Domain, send: Send) -> None:
    send("Create", RetentionDays="90")
    send("Update", RetentionDays="")
    (state,) = (one for one in domain.policies["prediction-monitor"]["policy"]["states"] if one["transitions"])
    assert state["transitions"][0]["conditions"] == {"min_index_age": "90d"}


def test_what_nobody_foresaw_is_answered_too(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_resource, "saved_objects", lambda: 1 / 0)
    answer = send("Create")
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "ZeroDivisionError in the installer: see the function's log")


def test_a_domain_that_is_gone_does_not_keep_a_stack_from_being_deleted(send: Send) -> None:
    answer = send("Delete", OpenSearchUrl="http://127.0.0.1:1", DashboardsUrl="http://127.0.0.1:1")
    assert answer["Status"] == "SUCCESS"
    assert "cannot be reached" in answer["Reason"]


@pytest.mark.parametrize(("kind", "status"), [("Create", "FAILED"), ("Update", "FAILED"), ("Delete", "SUCCESS")])
def test_an_answer_is_given_before_the_functions_own_time_runs_out(domain: Domain, send: Send, kind: str, status: str) -> None:
    held = threading.Event()
    own = domain.answer

    def hang(request: Request) -> Reply:
        held.wait(20)
        return own(request)

    with listening(hang) as slow:
        answer = send(kind, seconds=17, OpenSearchUrl=slow, DashboardsUrl=f"{slow}/_dashboards")
        held.set()
    assert answer["Status"] == status
    assert "time ran out" in answer["Reason"] or "does not answer" in answer["Reason"]


def test_an_answer_that_is_not_taken_at_once_is_given_again(address: Address, send: Send) -> None:
    address.refusals.extend([500, 503])
    assert send("Create")["Status"] == "SUCCESS"


def test_an_answer_that_is_never_taken_does_not_tell_the_address(address: Address, send: Send) -> None:
    address.refusals.extend([403] * 3)
    with pytest.raises(RuntimeError, match="CloudFormation did not take the answer") as problem:
        send("Create")
    assert "xyzzy" not in str(problem.value)


SECRETS = [
    (json.dumps({"username": "jane", "password": "xyzzy"}), "SUCCESS", "as it should be"),
    (json.dumps({"username": "jane", "password": "other"}), "FAILED", "does not accept who asks (401: Unauthorized)"),
    ("xyzzy", "FAILED", "must hold a JSON object with username and password"),
    (None, "FAILED", "cannot be read (ResourceNotFoundException): check its ARN"),
]


@pytest.mark.parametrize(("content", "status", "reason"), SECRETS)
def test_user_and_password_come_from_a_secret(  # noqa: PLR0917
    domain: Domain, send: Send, monkeypatch: pytest.MonkeyPatch, content: str | None, status: str, reason: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    domain.login = ("jane", "xyzzy")
    with mock_aws():
        if content:
            boto3.client("secretsmanager").create_secret(Name="master", SecretString=content)
        answer = send("Create", SecretArn="master")
    assert answer["Status"] == status
    assert reason in answer["Reason"]

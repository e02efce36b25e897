"""Tests the built installer under the real Lambda runtime, with events like CloudFormation's.

The installer must answer each event exactly once and in time. OpenSearch is real and has access
control. moto imitates Secrets Manager. Stand-ins imitate Dashboards and the address to which
CloudFormation wants the answer.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.template import Function, Template, load
from tests.integration import secured
from tests.integration.conftest import KEYS
from tests.integration.secured import ADMIN, MONITOR, SHIPPER
from tests.unit.installer.domain import Address, Certificate, Domain, certified, listening
from tools.ports import free_port

REPLAY = "arn:aws:iam::123456789012:role/replay"
HASTY = 22  # seconds per invocation; the handler reserves 16 of them for its answer
CREATED, FAILED = "prediction-monitor.monitor", "prediction-monitor-failed"
REQUEST = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/monitor/1",
    "RequestId": "0f5ad1e0",
    "LogicalResourceId": "Kibana",
}
LOGINS = {
    "administrator": ADMIN,
    "mistaken": (ADMIN[0], "a-Wrong-Passphrase-8"),
    "nobody": ("nobody", secured.PASSWORD),
}
# Texts that must not occur in answers and log lines. The last text is the signature in the address
# to which the installer sends its answer. The password "admin" is not here, because it is a part of
# other words.
SECRETS = (
    "a-Wrong-Passphrase-8",
    secured.PASSWORD,
    "xyzzy",
)

type Answer = dict[str, Any]
type Starting = Callable[..., AbstractContextManager[Installer]]


@dataclass
class Installer:
    """The running function, and the address at which its answers arrive."""

    runtime: Runtime
    function: Function
    address: Address

    def send(self, kind: str, identifier: str | None = None, **properties: Any) -> Answer:
        """Send an event, and return the answer that CloudFormation gets."""
        event = {
            "RequestType": kind,
            "ResponseURL": self.address.url,
            "ResourceProperties": properties,
            **REQUEST,
        }
        begin = time.monotonic()
        self.runtime.invoke(event | ({"PhysicalResourceId": identifier} if identifier else {}))
        assert time.monotonic() - begin < self.function.timeout
        (answer,) = self.address.answers
        self.address.answers.clear()
        assert {name: answer[name] for name in REQUEST} == REQUEST
        assert answer["Reason"]
        assert "\n" not in answer["Reason"]
        assert not [secret for secret in SECRETS if secret in str(answer)]
        return answer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certified(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def dashboards() -> Iterator[Domain]:
    state = Domain(login=ADMIN)
    with listening(state.answer) as url:
        state.url = url
        yield state
    assert state.wrong == []


@pytest.fixture(scope="module")
def arns(secrets: Any) -> dict[str, str]:
    """Return the ARN of each login's secret."""
    return {
        name: secrets.create_secret(
            Name=name, SecretString=json.dumps({"username": user, "password": password})
        )["ARN"]
        for name, (user, password) in LOGINS.items()
    }


@pytest.fixture
def usual(guarded: str, dashboards: Domain, arns: dict[str, str]) -> dict[str, str]:
    """Return the function's environment variables, with values like those that AWS computes."""
    known = {
        "OPENSEARCH_URL": guarded,
        "SECRET_ARN": arns["administrator"],
        "SHIPPER_ROLE_ARNS": f"{SHIPPER},{REPLAY}",
        "STACK": "monitor",
        "STACK_ID": REQUEST["StackId"],
        "URL_SUFFIX": "127.0.0.1",  # in place of amazonaws.com, to which answers are sent on AWS
        "LOG_GROUPS": "a-log-group,",
    }
    given = dict.fromkeys(
        load()["Resources"]["KibanaFunction"]["Properties"]["Environment"]["Variables"], ""
    )
    assert known.keys() <= given.keys()
    return given | known | {"INDEX_PREFIX": "cwl-", "DASHBOARDS_URL": dashboards.dashboards}


@pytest.fixture
def starting(  # noqa: PLR0917
    template: Template,
    built: Path,
    installer_packages: Path,
    aws: str,
    usual: dict[str, str],
    certificate: Certificate,
) -> Starting:
    """Return a function that starts the installer.

    `seconds` is the time limit of an invocation; without `seconds`, the template's limit applies.
    `variables` replace environment variables.
    """

    @contextmanager
    def started(seconds: int | None = None, **variables: str) -> Iterator[Installer]:
        function = template.functions["KibanaFunction"]
        function = replace(function, timeout=seconds or function.timeout)
        services = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws,
            "AWS_ENDPOINT_URL_CLOUDFORMATION": "http://127.0.0.1:1",
        }
        settings = {
            **usual,
            **variables,
            **KEYS,
            **services,
            "REQUESTS_CA_BUNDLE": str(certificate.public),
        }
        address, lines = Address(), list[str]()
        with listening(address.answer, certificate=certificate) as url:
            address.url = f"{url}/answer?X-Amz-Signature=xyzzy"
            with start(
                function,
                settings,
                lines.append,
                code=built / "KibanaFunction",
                packages=installer_packages,
            ) as runtime:
                yield Installer(runtime, function, address)
        assert address.answers == []
        assert not [line for line in lines for secret in SECRETS if secret in line]

    return started


@pytest.fixture(autouse=True)
def _clean_up_afterwards(guarded: str) -> Iterator[None]:
    yield
    for kind in ("shipper", "monitor"):
        for path in ("rolesmapping", "roles"):
            requests.delete(
                f"{guarded}/_plugins/_security/api/{path}/prediction-monitor-{kind}.monitor",
                auth=ADMIN,
                timeout=60,
            )
    requests.delete(f"{guarded}/_index_template/prediction-monitor", auth=ADMIN, timeout=60)


@contextmanager
def silent() -> Iterator[str]:
    """Yield the address of a server that accepts every connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def asked(url: str, path: str) -> Any:
    answer = requests.get(url + path, auth=ADMIN, timeout=60)
    return answer.json() if answer.ok else answer.status_code


def held(url: str, dashboards: Domain) -> dict[str, Any]:
    """Return the content of both servers, and the number of writes to the index of access control.

    Access control keeps its roles in an index of its own.
    """
    written = (
        "/.opendistro_security/_stats/indexing?filter_path=_all.primaries.indexing.index_total"
    )
    paths = (
        "/_index_template",
        "/_plugins/_security/api/roles",
        "/_plugins/_security/api/rolesmapping",
        written,
        "/_cat/indices?h=index",
    )
    return {
        path: asked(url, f"{path}{'&' if '?' in path else '?'}format=json") for path in paths
    } | {
        "objects": deepcopy(dashboards.objects),
        "settings": deepcopy(dashboards.settings),
    }


def role(url: str, kind: str) -> Any:
    """Return the IAM roles that have an OpenSearch role, or None if it has no mapping."""
    name = f"prediction-monitor-{kind}.monitor"
    found = asked(url, f"/_plugins/_security/api/rolesmapping/{name}")
    return None if found == 404 else found[name]["backend_roles"]


ROLES_STAY = (
    "roles and their mapping stay, because CloudFormation could not be asked "
    "whether the stack itself is deleted: "
    "remove them with python -m installer remove --stack monitor"
)


def test_a_stack_is_created_updated_and_deleted(
    guarded: str, dashboards: Domain, starting: Starting
) -> None:
    with starting() as installer:
        created = installer.send("Create")
        assert (created["Status"], created["Reason"], created["PhysicalResourceId"]) == (
            "SUCCESS",
            "everything is installed",
            CREATED,
        )
        assert created["Data"]["OpenSearchUrl"] == guarded
        assert created["Data"]["PredictionsUrl"].startswith(
            f"{dashboards.dashboards}/app/dashboards#/view/"
        )
        (template,) = asked(guarded, "/_index_template/prediction-monitor")["index_templates"]
        assert template["index_template"]["_meta"]["stack"] == "monitor"
        assert (role(guarded, "shipper"), role(guarded, "monitor")) == ([SHIPPER, REPLAY], None)
        assert dashboards.objects

        before = held(guarded, dashboards)
        dashboards.writes.clear()
        assert installer.send("Create") == created
        assert installer.send("Update", CREATED) == created
        # A changed property makes CloudFormation update the resource. The installer ignores the
        # values of the properties.
        asking = {
            "OpenSearchUrl": "http://127.0.0.1:1",
            "SecretArn": "arn",
            "ShipperRoleArns": ["arn"],
            "RetentionDays": "1",
        }
        assert installer.send("Update", CREATED, **asking) == created
        assert held(guarded, dashboards) == before
        assert dashboards.writes == []

    with starting(MONITOR_ROLE_ARNS=MONITOR) as installer:
        assert installer.send("Update", CREATED) == created
        assert (role(guarded, "shipper"), role(guarded, "monitor")) == (
            [SHIPPER, REPLAY],
            [MONITOR],
        )
        assert held(guarded, dashboards) != before
        assert dashboards.writes == []

        before = held(guarded, dashboards)
        for _ in range(2):
            deleted = installer.send("Delete", CREATED)
            assert (deleted["Status"], deleted["Reason"], deleted["PhysicalResourceId"]) == (
                "SUCCESS",
                ROLES_STAY,
                CREATED,
            )
            assert dashboards.objects == {}
        after = held(guarded, dashboards)
        (template,) = after.pop("/_index_template")["index_templates"]
        # the next stack that installs will own the template
        assert "stack" not in template["index_template"]["_meta"]
        assert after == {name: value for name, value in before.items() if name in after} | {
            "objects": {},
            "settings": {},
        }

        assert installer.send("Create") == created
        assert dashboards.objects


@pytest.mark.parametrize(
    "changed",
    [{"StackId": f"{REQUEST['StackId']}0"}, {"ResponseURL": "https://example.com/answer"}],
)
def test_an_event_of_another_sender_has_no_effect_and_gets_no_answer(
    guarded: str, dashboards: Domain, starting: Starting, changed: dict[str, str]
) -> None:
    before = held(guarded, dashboards)
    with starting(HASTY) as installer:
        event = {
            "RequestType": "Create",
            "ResponseURL": installer.address.url,
            "ResourceProperties": {},
            **REQUEST,
        }
        with pytest.raises(FunctionFailed, match="nothing is done"):
            installer.runtime.invoke(event | changed)
    assert held(guarded, dashboards) == before


@pytest.fixture
def failing(
    usual: dict[str, Any], arns: dict[str, str]
) -> Iterator[dict[str, tuple[dict[str, str], str]]]:
    """Yield cases of wrong settings. The key is the name of a case.

    The value has two parts: the wrong environment variables, and a part of the reason that the
    answer gives. `|` separates two possible reasons.
    """
    nowhere = f"http://127.0.0.1:{free_port()}"
    with silent() as wordless:
        yield {
            "wrong password": (
                {"SECRET_ARN": arns["mistaken"]},
                "does not accept the user (401: Unauthorized)",
            ),
            "no such secret": (
                {"SECRET_ARN": f"{arns['nobody']}x"},
                "cannot be read (ResourceNotFoundException): check its ARN",
            ),
            "nobody listens": (
                {"OPENSEARCH_URL": nowhere, "DASHBOARDS_URL": nowhere},
                "cannot be reached: check the address",
            ),
            # either reason may come first
            "never answers": (
                {"OPENSEARCH_URL": wordless, "DASHBOARDS_URL": wordless},
                "time ran out|does not answer",
            ),
            "no address": (
                {"OPENSEARCH_URL": ""},
                "OPENSEARCH_URL is missing: give the domain's address",
            ),
        }


@pytest.mark.parametrize(
    "name", ["wrong password", "no such secret", "nobody listens", "never answers", "no address"]
)
def test_a_failure_is_reported_in_time(
    *,
    guarded: str,
    dashboards: Domain,
    starting: Starting,
    failing: dict[str, tuple[dict[str, str], str]],
    name: str,
) -> None:
    wrong, reason = failing[name]
    before = held(guarded, dashboards)
    with starting(HASTY, **wrong) as installer:
        created = installer.send("Create")
        assert (created["Status"], created["PhysicalResourceId"], created["Data"]) == (
            "FAILED",
            FAILED,
            {},
        )
        assert any(each in created["Reason"] for each in reason.split("|"))
        deleted = installer.send("Delete", FAILED)  # CloudFormation sends this in a rollback
        assert (deleted["Status"], deleted["PhysicalResourceId"], deleted["Reason"]) == (
            "SUCCESS",
            FAILED,
            "nothing was created",
        )

        updated = installer.send("Update", CREATED)
        assert (updated["Status"], updated["PhysicalResourceId"]) == ("FAILED", CREATED)
        assert any(each in updated["Reason"] for each in reason.split("|"))
        # A deletion always succeeds, so that a stack can be deleted even if its domain is gone.
        deleted = installer.send("Delete", CREATED)
        assert (deleted["Status"], deleted["PhysicalResourceId"]) == ("SUCCESS", CREATED)
        assert any(each in deleted["Reason"] for each in reason.split("|"))
    assert held(guarded, dashboards) == before


def test_a_user_without_permissions_learns_which_request_is_not_permitted(
    guarded: str, dashboards: Domain, arns: dict[str, str], starting: Starting
) -> None:
    dashboards.login = None  # the stand-in would refuse this user: it knows only the administrator
    with starting(HASTY, SECRET_ARN=arns["nobody"]) as installer:
        answer = installer.send("Create")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", FAILED)
    assert (
        "OpenSearch does not permit GET /_index_template/prediction-monitor* "
        "(403: no permissions for [" in answer["Reason"]
    )
    assert asked(guarded, "/_index_template/prediction-monitor") == 404

"""Tests of two stacks and another team that share one OpenSearch domain.

OpenSearch is real, with and without access control. A stand-in, written from the documentation,
imitates Dashboards and index state management.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from installer import custom_resource
from installer.__main__ import main
from installer.custom_resource import Outcome, outcome
from local.opensearch import node
from tests.integration.secured import ADMIN, MONITOR, SHIPPER
from tests.unit.installer.domain import Domain, Reply, Request, listening
from tools.ports import free_port
from tools.root import ROOT

# Links to dashboards and searches that the former version did not have.
NEW_LINKS = {
    "DriftUrl",
    *(
        f"Discover{name}Url"
        for name in (
            "Verdictsandtheirreasons",
            "Canaryresults",
            "Messagesandmutes",
            "Randomsampletoreview",
        )
    ),
}
OBJECTS = {
    ("global", path.parent.name, path.stem) for path in (ROOT / "kibana" / "saved").glob("*/*.json")
}
# The parts that a former version of the installer made.
FORMER = json.loads((ROOT / "tests/unit/installer/former.json").read_text(encoding="utf-8"))
REPLAY = "arn:aws:iam::123456789012:role/replay"
TEMPLATE = "/_index_template/prediction-monitor"
SECURITY = "/_plugins/_security/api"
ROLES = ("prediction-monitor-shipper", "prediction-monitor-monitor")
THEIRS = "/aws/lambda/theirs"


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with node(free_port(range(9210, 9299))) as url:
        yield url


@contextmanager
def standing_in(url: str, domain: Domain) -> Iterator[str]:
    """Run a proxy that adds the stand-in `domain` to the real OpenSearch at `url`.

    Yields the proxy's address.
    """

    def answer(request: Request) -> Reply:
        if request.path.startswith((f"{Domain().dashboards}/", "/_plugins/_ism/")):
            return domain.answer(request)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in {"authorization", "content-type"}
        }
        found = requests.request(
            request.method,
            url + request.path,
            params=request.query,
            data=request.raw,
            headers=headers,
            timeout=60,
        )
        return Reply(
            found.status_code, found.text, found.headers.get("content-type", "application/json")
        )

    with listening(answer) as front:
        domain.url = front
        yield front
    assert domain.wrong == []


@pytest.fixture(params=["plain", "guarded"])
def shared_domain(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str, Domain]]:
    """Yield the real server's address, the proxy's address, and the stand-in.

    Tests run with a server without access control, and with a server with access control.
    """
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(custom_resource, "stack_status", lambda _: "DELETE_IN_PROGRESS")
    monkeypatch.setattr(custom_resource, "_login", lambda _: ADMIN)
    url = request.getfixturevalue(request.param)
    domain = Domain(login=ADMIN if request.param == "guarded" else None)
    with standing_in(url, domain) as front:
        yield url, front, domain
    for name in (TEMPLATE, "/cwl-*", "/dev-cwl-*", "/_index_template/prediction-monitor-dev-cwl-"):
        requests.delete(url + name, auth=ADMIN, timeout=60)
    for stack in ("", ".prod", ".dev"):
        for name in ROLES:
            for path in ("rolesmapping", "roles"):
                requests.delete(f"{url}{SECURITY}/{path}/{name}{stack}", auth=ADMIN, timeout=60)


def run_installer(
    front: str, domain: Domain, kind: str, stack: str, *, former: bool = False, **variables: str
) -> Outcome:
    """Run the installer as a stack's installer function does."""
    environment = {
        "OPENSEARCH_URL": front,
        "DASHBOARDS_URL": domain.dashboards,
        "SECRET_ARN": "arn" if domain.login else "",
        "STACK": stack,
        "STACK_ID": "arn",
        "SHIPPER_ROLE_ARNS": f"{SHIPPER},{REPLAY}",
        "MONITOR_ROLE_ARNS": MONITOR,
        "LOG_GROUPS": f"/aws/lambda/{stack},",
    }
    identifier = "prediction-monitor" if former else f"prediction-monitor.{stack}"
    event = {"RequestType": kind} | ({} if kind == "Create" else {"PhysicalResourceId": identifier})
    return outcome(event, environment | variables, time.monotonic() + 120)


def held(url: str, domain: Domain) -> dict[str, Any]:
    """Return everything that the server and the stand-in hold."""
    paths = [
        "/_index_template",
        "/_cat/indices?h=index,docs.count&s=index",
        "/cwl-*/_mapping",
        "/cwl-*/_settings",
    ]
    paths += [f"{SECURITY}/roles", f"{SECURITY}/rolesmapping"] if domain.login else []
    found: dict[str, Any] = {
        path: requests.get(url + path, auth=ADMIN, timeout=60).content for path in paths
    }
    kept = ("policies", "indices", "objects", "settings")
    return found | {name: deepcopy(getattr(domain, name)) for name in kept}


def test_the_creation_and_deletion_of_a_second_stack_do_not_change_the_first_stack(
    shared_domain: tuple[str, str, Domain],
) -> None:
    url, front, domain = shared_domain
    domain.indices = {"cwl-2026.11.22": (None, None)}
    assert run_installer(front, domain, "Create", "prod", RETENTION_DAYS="30").status == "SUCCESS"
    before = held(url, domain)
    created = run_installer(
        front, domain, "Create", "dev", RETENTION_DAYS="1", ADOPT_INDICES="true"
    )
    assert (created.status, created.reason) == ("SUCCESS", "everything is installed")
    assert (
        requests.get(url + TEMPLATE, auth=ADMIN, timeout=60).json()["index_templates"][0][
            "index_template"
        ]["_meta"]["stack"]
        == "prod"
    )
    assert held(url, domain) != before
    for _ in range(2):
        deleted = run_installer(front, domain, "Delete", "dev")
        assert (deleted.status, deleted.reason) == ("SUCCESS", "the parts of the stack are removed")
        assert held(url, domain) == before


def test_another_team_keeps_its_index_its_mapping_and_its_documents(
    shared_domain: tuple[str, str, Domain],
) -> None:
    """The other team uses the function that the console generates, and no index template.

    So OpenSearch guesses the mapping of its indices.
    """
    url, front, domain = shared_domain
    now = datetime.now(UTC)
    index = f"cwl-{now:%Y.%m.%d}"
    document = {"@timestamp": now.isoformat(), "@log_group": THEIRS, "@message": "{}", "score": 1}
    requests.post(
        f"{url}/{index}/_doc/1?refresh=true", json=document, auth=ADMIN, timeout=60
    ).raise_for_status()
    before = held(url, domain)
    refused = run_installer(
        front, domain, "Create", "prod", RETENTION_DAYS="1", ADOPT_INDICES="true"
    )
    assert refused.status == "FAILED"
    assert (
        f"log groups that belong to no installed stack: {THEIRS}. Template and retention "
        "would apply to them too" in refused.reason
    )
    assert held(url, domain) == before
    assert (
        run_installer(
            front,
            domain,
            "Create",
            "dev",
            INDEX_PREFIX="dev-cwl-",
            RETENTION_DAYS="1",
            ADOPT_INDICES="true",
        ).status
        == "SUCCESS"
    )
    after = held(url, domain)
    unchanged = (
        "/cwl-*/_mapping",
        "/cwl-*/_settings",
        "/_cat/indices?h=index,docs.count&s=index",
        "indices",
    )
    if not domain.login:  # with access control, OpenSearch itself writes into an index
        assert {name: after[name] for name in unchanged} == {
            name: before[name] for name in unchanged
        }
    assert after["/cwl-*/_mapping"] == before["/cwl-*/_mapping"]
    found = requests.get(f"{url}/{index}/_doc/1", auth=ADMIN, timeout=60).json()
    assert (found["_source"], found["_version"]) == (document, 1)
    tomorrow = f"cwl-{now + timedelta(days=1):%Y.%m.%d}"
    requests.post(
        f"{url}/{tomorrow}/_doc?refresh=true", json=document, auth=ADMIN, timeout=60
    ).raise_for_status()
    mapping = requests.get(f"{url}/{tomorrow}/_mapping", auth=ADMIN, timeout=60).json()[tomorrow][
        "mappings"
    ]
    # OpenSearch guessed the type, as on the day before.
    assert mapping["properties"]["@log_group"]["type"] == "text"
    assert (
        run_installer(
            front, domain, "Create", "prod", LOG_GROUPS=f"/aws/lambda/prod,{THEIRS}"
        ).status
        == "SUCCESS"
    )


def test_an_upgrade_keeps_the_parts_of_the_former_version(
    shared_domain: tuple[str, str, Domain],
) -> None:
    url, front, domain = shared_domain
    template = {**FORMER["templates"]["prediction-monitor"]}
    requests.put(url + TEMPLATE, json=template, auth=ADMIN, timeout=60).raise_for_status()
    if domain.login:
        for name in ROLES:
            keys = ("cluster_permissions", "index_permissions")
            role = {key: FORMER["roles"][name][key] for key in keys}
            requests.put(
                f"{url}{SECURITY}/roles/{name}", json=role, auth=ADMIN, timeout=60
            ).raise_for_status()
            mapping = {"backend_roles": FORMER["mappings"][name]["backend_roles"]}
            requests.put(
                f"{url}{SECURITY}/rolesmapping/{name}", json=mapping, auth=ADMIN, timeout=60
            ).raise_for_status()
    domain.policies, domain.settings = deepcopy(FORMER["policies"]), deepcopy(FORMER["settings"])
    domain.sequence = FORMER["sequence"]
    domain.objects = {
        ("global", one["type"], one["id"]): deepcopy(one) for one in FORMER["objects"]
    }
    domain.indices = {"cwl-2026.11.22": ("prediction-monitor", domain.sequence)}
    before = held(url, domain)
    answer = run_installer(front, domain, "Update", "prod", former=True)
    assert (answer.status, answer.reason) == ("SUCCESS", "everything is installed")
    links = {name: link.replace(front, "") for name, link in answer.data.items()}
    former = dict(FORMER["links"])
    # This link showed 15 minutes in the former version, and shows 24 hours now.
    former["PredictionsUrl"] = former["PredictionsUrl"].replace("now-15m", "now-24h")
    assert links.keys() - former.keys() == NEW_LINKS
    assert links.items() >= former.items()
    after = held(url, domain)
    assert (after["policies"], after["indices"], after["settings"]) == (
        before["policies"],
        before["indices"],
        before["settings"],
    )
    assert after["objects"].keys() == before["objects"].keys() | OBJECTS
    assert [one["name"] for one in json.loads(after["/_index_template"])["index_templates"]] == [
        "prediction-monitor"
    ]
    if domain.login:
        for path in ("roles", "rolesmapping"):
            assert (
                json.loads(after[f"{SECURITY}/{path}"]).keys()
                == json.loads(before[f"{SECURITY}/{path}"]).keys()
            )
        assert after[f"{SECURITY}/rolesmapping"] == before[f"{SECURITY}/rolesmapping"]
    assert run_installer(front, domain, "Update", "prod", former=True) == answer
    assert held(url, domain) == after
    assert run_installer(front, domain, "Delete", "prod", former=True).status == "SUCCESS"
    assert domain.objects == {}


AWARE = {
    "cluster.routing.allocation.awareness.attributes": "zone",
    "cluster.routing.allocation.awareness.force.zone.values": "a,b,c",
    "cluster.routing.allocation.awareness.balance": "true",
    # without this setting, a server with the settings above creates no index automatically
    "cluster.default_number_of_replicas": "2",
}


@pytest.fixture
def balanced(plain: str) -> Iterator[str]:
    """Yield a server that balances copies over three zones, like a domain with standby."""

    def put(settings: dict[str, str | None]) -> None:
        requests.put(
            f"{plain}/_cluster/settings", json={"persistent": settings}, timeout=60
        ).raise_for_status()

    put({**AWARE})
    yield plain
    requests.delete(f"{plain}/cwl-*", timeout=60)
    requests.delete(plain + TEMPLATE, timeout=60)
    put(dict.fromkeys(AWARE))


def test_a_domain_with_standby_accepts_the_template_and_the_index_of_the_next_day(
    balanced: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    former = FORMER["templates"]["prediction-monitor"]
    refusal = requests.put(balanced + TEMPLATE, json=former, timeout=60)
    assert refusal.status_code == 400
    assert "multiple of total awareness attributes [3]" in refusal.text
    assert main(["install", "--opensearch", balanced]) == 0
    assert "index template prediction-monitor: installed" in capsys.readouterr().out
    made = requests.put(f"{balanced}/cwl-2026.11.30?wait_for_active_shards=0", timeout=60)
    assert made.status_code == 200, made.text
    assert main(["status", "--opensearch", balanced]) == 0, capsys.readouterr().out
    for name in ("/cwl-*", TEMPLATE):
        requests.delete(balanced + name, timeout=60).raise_for_status()
    # imitates an account without the permission to read the settings
    monkeypatch.setattr("installer.index_template.SETTINGS", "/nothing/served")
    assert main(["install", "--opensearch", balanced]) == 0
    assert main(["status", "--opensearch", balanced]) == 0, capsys.readouterr().out

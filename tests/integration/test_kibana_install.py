"""Tests the installer with a real OpenSearch.

This OpenSearch has no index state management and no access control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from installer.__main__ import main
from local.opensearch import node
from tools.ports import free_port

SHIPPER = "arn:aws:iam::123456789012:role/shipper"
TEMPLATE = "/_index_template/prediction-monitor"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with node(free_port(range(9210, 9299))) as url:
        yield url


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(command: str, url: str, *arguments: str) -> tuple[int, str, str]:
        code = main([command, "--opensearch", url, *arguments])
        return code, *capsys.readouterr()

    return call


def test_a_changed_template_is_recognised_and_replaced(plain: str, run: Run) -> None:
    code, output, _ = run("status", plain)
    assert code == 1
    assert "index template prediction-monitor: missing" in output
    code, output, errors = run("install", plain)
    assert (code, errors) == (0, "")
    assert "index template prediction-monitor: installed" in output
    for _ in range(2):
        assert run("install", plain)[1].endswith("already up to date: 1 thing\n")
    assert run("status", plain)[0] == 0
    found = requests.get(plain + TEMPLATE, timeout=30).json()["index_templates"][0][
        "index_template"
    ]
    for change in (
        {"priority": 7},
        {"template": {**found["template"], "mappings": {}}},
        {"template": {**found["template"], "settings": {}}},
    ):
        requests.put(plain + TEMPLATE, json=found | change, timeout=30).raise_for_status()
        code, output, _ = run("status", plain)
        assert code == 1
        assert (
            "index template prediction-monitor (an existing index keeps its mapping): changed"
            in output
        )
        assert (
            "index template prediction-monitor (an existing index keeps its mapping): replaced"
            in run("install", plain)[1]
        )
    code, output, _ = run("remove", plain)
    assert code == 0
    assert "index template prediction-monitor: removed" in output
    assert requests.get(plain + TEMPLATE, timeout=30).status_code == 404


def test_install_succeeds_and_reports_missing_index_state_management_and_access_control(
    plain: str, run: Run
) -> None:
    code, output, _ = run("install", plain, "--shipper-role", SHIPPER)
    assert code == 0
    assert (
        "(the server has no index state management: delete old cwl-* indices yourself): left alone"
        in output
    )
    assert (
        "if the domain has no fine-grained access control, it needs no roles; otherwise, make the "
        "roles yourself): left alone" in output
    )
    assert "saved objects: left out, because no address of Dashboards is given" in output


def test_an_address_without_dashboards_is_reported(plain: str, run: Run) -> None:
    code, _, errors = run("install", plain, "--dashboards", plain)
    assert code == 1
    assert (
        f"neither Dashboards nor Kibana is at {plain}: check --dashboards and --base-path" in errors
    )
    assert errors.count("\n") == 1

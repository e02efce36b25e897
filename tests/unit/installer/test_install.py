from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from tests.unit.installer.conftest import MONITOR, NAMES, NOW, SHIPPER, STATE, Run, attributes
from tests.unit.installer.domain import Domain, Reply, short
from tools.root import ROOT


def test_install_puts_everything_into_an_empty_domain_and_prints_links(
    domain: Domain, run: Run
) -> None:
    domain.indices = {"cwl-2026.11.22": (None, None), "cwl-2026.11.23": (None, None)}
    domain.made = {"cwl-2026.11.22": NOW - 31 * 86_400_000, "cwl-2026.11.23": NOW}
    roles = "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    code, output, errors = run("install", *roles, "--adopt")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    told = lines.pop(1)
    assert told.startswith(
        "retention: 2 cwl-* indices are deleted 30d after being made, 1 of them today, "
        "the next on 20"
    )
    assert lines[:10] == [
        "index template prediction-monitor: installed",
        "retention policy prediction-monitor (deletes after 30d): installed",
        (
            "retention of existing indices (2 cwl-* indices; before this command, 2 had no "
            "policy or an older version of this policy): installed"
        ),
        f"role prediction-monitor-shipper for {SHIPPER}: installed",
        f"role prediction-monitor-monitor for {MONITOR}: installed",
        *(f"{name}: installed" for name in NAMES),
        "default index pattern (cwl): installed",
    ]
    assert lines[10:] == [
        "",
        "Predictions",
        f"  {domain.dashboards}/app/dashboards#/view/predictions?{STATE}",
        f"  {domain.dashboards}/goto/{short(f'/app/dashboards#/view/predictions?{STATE}')}",
        "",
        "Discover: MLOps Datatable",
        f"  {domain.dashboards}/app/discover#/view/datatable?{STATE}",
        f"  {domain.dashboards}/goto/{short(f'/app/discover#/view/datatable?{STATE}')}",
    ]
    assert set(domain.indices.values()) == {("prediction-monitor", domain.sequence)}
    assert domain.settings["defaultIndex"]["userValue"] == "cwl"
    assert domain.mappings["prediction-monitor-shipper"]["backend_roles"] == [SHIPPER]
    assert domain.roles["prediction-monitor-shipper"]["cluster_permissions"] == [
        "indices:data/write/bulk"
    ]
    assert json.loads(attributes(domain, "index-pattern", "cwl")["fields"])
    # no digest is added to the description
    assert attributes(domain, "search", "datatable")["description"] == "The newest predictions."


def test_a_second_and_a_third_run_change_nothing(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-2026.11.23": (None, None)}
    arguments = "install", "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    run(*arguments)
    domain.writes.clear()
    for _ in range(2):
        code, output, errors = run(*arguments)
        assert (code, errors) == (0, "")
        assert output.splitlines()[1] == "already up to date: 10 things"
    assert domain.writes == []
    assert run("status")[0] == 0


def test_kibana_gets_its_settings_at_its_own_path(domain: Domain, run: Run) -> None:
    domain.kibana = True
    assert run("install")[0] == 0
    assert "POST /_dashboards/api/kibana/settings" in domain.writes


def test_a_dry_run_writes_nothing_and_says_what_would_be_installed(
    domain: Domain, run: Run
) -> None:
    code, output, _ = run("install", "--dry-run")
    assert code == 0
    assert output.count(": would be installed") == 7
    assert "/app/" not in output
    assert domain.writes == []


@pytest.mark.parametrize("missing", ["opensearch", "dashboards"])
def test_a_server_without_an_address_is_left_out_with_a_message(
    domain: Domain, run: Run, missing: str
) -> None:
    code, output, _ = run("install", **{missing: None})
    assert code == 0
    assert (
        f"because no address of {'OpenSearch' if missing == 'opensearch' else 'Dashboards'} is "
        "given" in output
    )
    assert bool(domain.templates) is (missing == "dashboards")
    assert bool(domain.objects) is (missing == "opensearch")


def test_status_names_what_is_missing_or_changed(domain: Domain, run: Run, folder: Path) -> None:
    code, output, _ = run("status")
    assert code == 1
    # There are no indices, so no line says anything about their retention.
    assert output.count(": missing") == 7
    run("install")
    domain.templates["prediction-monitor"]["priority"] = 1
    domain.policies["prediction-monitor"]["policy"]["ism_template"] = []
    del domain.objects["global", "visualization", "labels"]
    attributes(domain, "dashboard", "predictions")["title"] = "Mine"
    path = folder / "search" / "datatable.json"
    path.write_text(path.read_text().replace('["text"]', '["text", "prediction.label"]'))
    code, output, _ = run("status")
    assert code == 1
    assert [line for line in output.splitlines() if not line.endswith(": installed")] == [
        "index template prediction-monitor (an existing index keeps its mapping): changed",
        "retention policy prediction-monitor (deletes after 30d): changed",
        "search datatable: changed",
        "visualization labels: missing",
        "dashboard predictions: changed by hand",
    ]


def test_each_zone_of_a_domain_with_standby_gets_one_copy(domain: Domain, run: Run) -> None:
    domain.cluster = {
        "defaults": {"cluster.routing.allocation.awareness.balance": "false"},
        "persistent": {
            "cluster.routing.allocation.awareness.balance": "true",
            "cluster.routing.allocation.awareness.force.zone.values": "a,b,c",
        },
    }
    run("install")
    assert (
        domain.templates["prediction-monitor"]["template"]["settings"]["index.auto_expand_replicas"]
        == "0-2"
    )
    assert run("status")[0] == 0
    domain.cluster = {}
    assert (
        "index template prediction-monitor (an existing index keeps its mapping): changed"
        in run("status")[1]
    )


def test_if_the_settings_cannot_be_read_the_error_of_the_domain_gives_the_number_of_copies(
    domain: Domain, run: Run
) -> None:
    reason = "expected max cap on auto expand to be a multiple of total awareness attributes [3]"
    refusal = Reply(
        400, {"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400}
    )
    unread = Reply(
        403,
        {
            "error": {
                "type": "security_exception",
                "reason": "no permissions for [cluster:monitor/state]",
            }
        },
    )
    domain.answers = {
        "/_cluster/settings": deque([unread] * 3),
        "/_index_template/prediction-monitor": deque([None, None, refusal]),
    }
    assert run("install")[0] == 0
    assert (
        domain.templates["prediction-monitor"]["template"]["settings"]["index.auto_expand_replicas"]
        == "0-2"
    )
    assert run("status")[0] == 0


def test_elasticsearch_has_retention_and_roles_below_its_own_path(domain: Domain, run: Run) -> None:
    domain.open_distro = True
    code, output, _ = run("install", "--shipper-role", SHIPPER)
    assert code == 0
    assert "retention policy prediction-monitor (deletes after 30d): installed" in output
    assert f"role prediction-monitor-shipper for {SHIPPER}: installed" in output
    assert isinstance(domain.policies["prediction-monitor"]["policy"]["ism_template"], dict)
    assert run("status", "--shipper-role", SHIPPER)[0] == 0


def program(domain: Domain) -> tuple[list[str], dict[str, str]]:
    command = [
        sys.executable,
        "-u",
        "-m",
        "installer",
        "install",
        "--opensearch",
        domain.url,
        "--dashboards",
        domain.dashboards,
    ]
    return command, os.environ | {"PYTHONPATH": str(ROOT / "functions/installer")}


def test_the_installer_runs_as_a_program_with_the_objects_of_this_project(domain: Domain) -> None:
    command, environment = program(domain)
    ended = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "dashboard" in ended.stdout


def test_a_closed_output_is_reported_in_one_sentence(domain: Domain) -> None:
    command, environment = program(domain)
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert ended.returncode == 1
    assert (
        ended.stderr
        == "python -m installer: stopped, because the output was closed: run this again\n"
    )

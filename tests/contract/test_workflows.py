"""Tests that the workflows run the commands in CONTRIBUTING.md, and have only the rights they need.

Every version in a workflow is pinned, so that only a commit can change it. `make lint` also checks
the workflows, with zizmor and with their schemas.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.root import ROOT

FILES = sorted((ROOT / ".github" / "workflows").iterdir())
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506  strings only
    for path in FILES
}
JOBS = {
    (name, job): body
    for name, workflow in WORKFLOWS.items()
    for job, body in workflow["jobs"].items()
}


def test_the_workflows_have_exactly_these_jobs() -> None:
    assert list(JOBS) == [("deploy", "deploy"), ("test", "test"), ("test", "audit")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits_and_name_their_versions(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert [
        each
        for each in used
        if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", each)
    ] == []


def test_an_action_has_the_same_version_in_every_workflow() -> None:
    used = {each for path in FILES for each in re.findall(r"uses: (.+)", path.read_text())}
    assert len(used) == len({each.partition("@")[0] for each in used})


@pytest.mark.parametrize(
    ("name", "rights"),
    [("test", {"contents": "read"}), ("deploy", {"contents": "read", "id-token": "write"})],
)
def test_a_job_has_the_rights_it_needs_and_no_other(name: str, rights: dict[str, str]) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    for job in WORKFLOWS[name]["jobs"].values():
        assert job["permissions"] == rights


@pytest.mark.parametrize("job", JOBS.values(), ids=map(".".join, JOBS))
def test_no_step_runs_text_that_a_stranger_wrote(job: dict[str, Any]) -> None:
    assert all("${{" not in step.get("run", "") for step in job["steps"])
    checkouts = [
        step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert [step["with"] for step in checkouts] == [{"persist-credentials": "false"}]
    assert int(job["timeout-minutes"]) <= 120


def test_a_pull_request_of_a_stranger_starts_no_workflow_with_rights_or_secrets() -> None:
    assert WORKFLOWS["test"]["on"].keys() == {"push", "pull_request", "schedule"}
    assert WORKFLOWS["deploy"]["on"].keys() == {"workflow_dispatch", "release"}
    assert not [
        path.name
        for path in FILES
        if re.search(r"pull_request_target|workflow_run|\bsecrets\b", path.read_text())
    ]


def test_a_deployment_has_an_environment_and_builds_before_it_gets_credentials() -> None:
    job = JOBS["deploy", "deploy"]
    assert job["environment"] == "${{ inputs.environment || 'prod' }}"
    assert WORKFLOWS["deploy"]["on"]["workflow_dispatch"]["inputs"]["environment"]["options"] == [
        "dev",
        "prod",
    ]
    steps = [step.get("run", step.get("uses", "")).partition("@")[0] for step in job["steps"]]
    assert steps.index("make build") < steps.index("aws-actions/configure-aws-credentials")
    assert not [step for step in steps if "cache" in step]


def test_ci_runs_make_test_and_make_audit_and_no_other_command() -> None:
    assert {
        step["run"]
        for job in WORKFLOWS["test"]["jobs"].values()
        for step in job["steps"]
        if "run" in step
    } == {
        "make test",
        "make audit",
    }


def test_renovate_finds_every_lock_in_requirements() -> None:
    settings = json.loads((ROOT / "renovate.json").read_text())["pip_requirements"]
    (pattern,) = (each.strip("/") for each in settings["managerFilePatterns"])
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert locks
    assert all(re.search(pattern, str(path.relative_to(ROOT))) for path in locks)

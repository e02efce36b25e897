"""Tests the retention policy: the age at which indices are deleted.

OpenSearch's index state management (ISM) applies the policy to indices.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import pytest

from tests.unit.installer.conftest import NOW, Run
from tests.unit.installer.domain import Domain, Reply, Request, listening


def age(domain: Domain) -> str:
    found: str = domain.policies["prediction-monitor"]["policy"]["states"][0]["transitions"][0][
        "conditions"
    ]["min_index_age"]
    return found


def test_retention_days_change_the_policy_and_every_index_that_follows_it(
    domain: Domain, run: Run
) -> None:
    domain.indices = {f"cwl-{number:03}": (None, None) for number in range(150)} | {
        "cwl-theirs": ("theirs", 3)
    }
    run("install", "--retention-days", "90", "--adopt")
    assert age(domain) == "90d"
    first = domain.sequence
    domain.indices["cwl-new"] = (None, None)
    code, output, _ = run("install", "--retention-days", "7", "--adopt")
    assert code == 0
    assert "retention policy prediction-monitor (deletes after 7d): replaced" in output
    assert (
        "(152 cwl-* indices; before this command, 151 had no policy or an older version of this "
        "policy, "
        "1 keeps a policy of another name): installed" in output
    )
    assert age(domain) == "7d"
    assert domain.sequence > first
    assert domain.indices.pop("cwl-theirs") == ("theirs", 3)
    assert set(domain.indices.values()) == {("prediction-monitor", domain.sequence)}


def test_without_retention_days_an_existing_policy_keeps_its_days(domain: Domain, run: Run) -> None:
    run("install", "--retention-days", "365")
    code, output, _ = run("install", days=None)
    assert code == 0
    assert output.partition("\n")[2].startswith("already up to date: 8 things\n")
    assert age(domain) == "365d"


def test_a_policy_with_changed_states_is_kept_unless_overwrite_is_given(
    domain: Domain, run: Run
) -> None:
    domain.indices = {"cwl-1": (None, None)}
    run("install", "--adopt")
    warm = {
        "name": "warm",
        "actions": [],
        "transitions": [{"state_name": "deleted", "conditions": {"min_index_age": "365d"}}],
    }
    states = domain.policies["prediction-monitor"]["policy"]["states"]
    states[0]["transitions"][0]["state_name"] = "warm"
    states.insert(1, warm)
    code, output, errors = run("install", "--retention-days", "7")
    assert code == 1
    assert "retention policy prediction-monitor: changed by hand, kept" in output
    assert (
        "changed by hand, and kept: retention policy prediction-monitor (--overwrite replaces it)"
        in errors
    )
    assert "retention policy prediction-monitor: changed by hand, kept" in run("remove")[1]
    assert states[1] is warm
    assert domain.indices == {"cwl-1": ("prediction-monitor", domain.sequence)}
    assert run("install", "--overwrite", "--retention-days", "7")[0] == 0
    assert age(domain) == "7d"
    assert domain.indices == {"cwl-1": ("prediction-monitor", domain.sequence)}
    assert run("status", days=None)[0] == 0


def test_the_next_run_applies_the_policy_to_indices_that_a_failed_run_left_out(
    domain: Domain, run: Run
) -> None:
    run("install")
    domain.indices = {
        "cwl-late": ("prediction-monitor", domain.sequence - 1),
        "cwl-waiting": ("prediction-monitor", None),
    }
    needed = "before this command, 1 had no policy or an older version of this policy"
    assert f"(2 cwl-* indices; {needed}): changed" in run("status")[1]
    run("install")
    assert domain.indices["cwl-late"] == ("prediction-monitor", domain.sequence)


def test_a_failure_is_reported_even_if_ism_answers_with_status_200(
    domain: Domain, run: Run
) -> None:
    domain.indices = {"cwl-1": (None, None)}
    failed = {
        "updated_indices": 0,
        "failures": True,
        "failed_indices": [{"index_name": "cwl-1", "index_uuid": "u", "reason": "closed"}],
    }
    domain.answers["/_plugins/_ism/add"] = deque([Reply(200, failed)])
    code, output, errors = run("install", "--adopt")
    assert code == 1
    assert "left the retention of some indices as it was (cwl-1: closed)" in errors
    assert "retention policy prediction-monitor (deletes after 30d): installed" in output
    assert (
        "retention of existing indices (1 cwl-* index; before this command, 1 had no policy "
        "or an older version of this policy): missing" in output
    )


def test_an_index_that_cannot_get_the_new_policy_at_once_gets_it_later(
    domain: Domain, run: Run
) -> None:
    run("install", "--retention-days", "30")
    domain.indices = {"cwl-late": ("prediction-monitor", domain.sequence - 1)}
    failed = {
        "updated_indices": 0,
        "failures": True,
        "failed_indices": [{"index_name": "cwl-late", "index_uuid": "u", "reason": "moving"}],
    }
    domain.answers["/_plugins/_ism/change_policy"] = deque([Reply(200, failed)])
    code, output, errors = run("install")
    assert (code, "cwl-late" in errors) == (0, False)
    assert "1 had no policy or an older version of this policy" in output
    assert domain.indices["cwl-late"] == ("prediction-monitor", domain.sequence - 1)
    run("install")
    assert domain.indices["cwl-late"] == ("prediction-monitor", domain.sequence)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_server_without_ism_is_reported_and_is_no_failure(
    domain: Domain, run: Run, status: int
) -> None:
    domain.ism, domain.without_ism = False, status
    sentence = (
        "retention policy prediction-monitor (the server has no index state management: delete "
        "old cwl-* indices yourself)"
    )
    for command in ("install", "status"):
        code, output, _ = run(command)
        assert code == 0
        assert f"{sentence}: left alone" in output


def test_no_index_is_deleted_before_a_number_of_days_is_given(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None)}
    for arguments in ((), ("--adopt",)):
        code, output, _ = run("install", *arguments, days=None)
        assert code == 0
        assert (
            "retention policy prediction-monitor (no days are given, so no index is deleted): "
            "left alone" in output
        )
    assert domain.policies == {}
    assert domain.indices == {"cwl-1": (None, None)}


def test_existing_indices_follow_the_policy_only_with_adopt(domain: Domain, run: Run) -> None:
    domain.indices = {"cwl-1": (None, None), "cwl-2": (None, None)}
    assert run("install")[0] == 0
    assert domain.indices == {"cwl-1": (None, None), "cwl-2": (None, None)}
    domain.indices["cwl-3"] = ("prediction-monitor", domain.sequence)
    _, output, _ = run("install", "--retention-days", "7")
    assert "retention: 1 cwl-* index is deleted 7d after being made" in output
    assert "retention policy prediction-monitor (deletes after 7d): replaced" in output
    assert (
        "2 with no policy, kept for ever unless you give --adopt (AdoptIndices)): replaced"
        in output
    )
    assert domain.indices["cwl-3"] == ("prediction-monitor", domain.sequence)
    assert domain.indices["cwl-1"] == (None, None)


@pytest.mark.parametrize("dry", [True, False])
def test_coming_deletions_are_reported_before_anything_is_written(
    domain: Domain, run: Run, *, dry: bool
) -> None:
    day = 86_400_000
    domain.indices = {f"cwl-{number}": (None, None) for number in range(3)}
    domain.made = {"cwl-0": NOW - 9 * day, "cwl-1": NOW - 8 * day, "cwl-2": NOW - day}
    seen: list[str] = []
    own = domain.answer

    def noted(request: Request) -> Reply:
        if "_ism" in request.path and request.method in {"PUT", "POST"}:
            seen.append(request.path)
        return own(request)

    with listening(noted) as url:
        _, output, _ = run(
            "install",
            "--retention-days",
            "7",
            "--adopt",
            *(["--dry-run"] if dry else []),
            opensearch=url,
        )
    first = datetime.fromtimestamp((NOW + 6 * day) / 1000, UTC)
    wanted = (
        "retention: 3 cwl-* indices are deleted 7d after being made, 2 of them today, "
        f"the next on {first:%Y-%m-%d}"
    )
    assert wanted in output.splitlines()
    assert bool(seen) is not dry

"""Tests the judgement of windows against the model's own profile."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from monitor.judgement import profile_reference
from monitor.judgement.compare_versions import compare
from monitor.judgement.profile_reference import Profile, ProfileUnreadable
from monitor.summaries.windows import stack
from tests.unit.monitor.made_windows import MONDAY, records, slots, summary
from tools.root import ROOT


@pytest.fixture(scope="module")
def reference() -> Profile:
    rows = records(1500, np.random.default_rng(1))
    numbers = [name for name, value in rows[0].items() if isinstance(value, float | int)]
    columns = {name: np.array([row[name] for row in rows], float) for name in numbers}
    labels = {
        label: sum(row["prediction.label"] == label for row in rows) for label in ("ham", "spam")
    }
    return Profile.of(
        "made", columns, labels, {"truncated": sum(bool(row["input.flags"]) for row in rows)}
    )


def test_rows_of_the_same_population_are_usual(reference: Profile) -> None:
    judgement = profile_reference.judge(stack(slots(150, 100, np.random.default_rng(2))), reference)
    assert judgement.unusual(profile_reference.LEVEL).mean() < 0.02
    assert judgement.missing == {}


@pytest.mark.parametrize(
    ("name", "value", "signal"),
    [("input.sig.s0", 60.0, "means"), ("prediction.label", "other", "label"),
     ("input.novelty", 5.0, "strange"), ("input.hash", "00000000000000aa", "duplicates"),
     ("prediction.score", 0.51, "prediction.score")],
)  # fmt: skip
def test_a_change_makes_its_signal_unusual(
    reference: Profile, name: str, value: object, signal: str
) -> None:
    rows = records(100, np.random.default_rng(3))
    for row in rows[:25]:
        row[name] = value
    judgement = profile_reference.judge(stack([summary(rows)]), reference)
    p = {s.name: s.p[0] for s in judgement.signals}
    assert p[signal] < profile_reference.LEVEL / 8  # there are eight signals


def test_records_with_few_fields_are_usual_and_missing_fields_are_named(reference: Profile) -> None:
    rows = [
        {n: row[n] for n in ("prediction.label", "prediction.score")}
        for row in records(100, np.random.default_rng(4))
    ]
    judgement = profile_reference.judge(stack([summary(rows)]), reference)
    assert judgement.unusual(profile_reference.LEVEL).tolist() == [False]
    assert {"input.words", "strange"} <= set(judgement.missing)


def test_the_shipped_profile_can_be_read() -> None:
    shipped = json.loads(
        (ROOT / "functions/inference/model/profile.json").read_text(encoding="utf-8")
    )
    read = Profile.read(shipped)
    assert (read.rows, read.id, len(read.names)) == (
        shipped["population"]["sentences"],
        shipped["id"],
        15,
    )
    assert np.linalg.eigvalsh(read.covariance).min() > 0


@pytest.mark.parametrize("content", [{}, {"rows": {"values": [[1]], "columns": ["a"]}, "id": "x"}])
def test_a_file_that_is_no_profile_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ProfileUnreadable):
        Profile.read(content)


def test_the_components_of_two_versions_are_compared() -> None:
    chance = np.random.default_rng(5)
    older = [summary(records(200, chance), MONDAY)]
    same = [summary(records(200, chance), MONDAY, version="2")]
    rows = records(200, chance)
    for row in rows:
        row["input.surprisal"] += 2
    other = [summary(rows, MONDAY, version="2")]
    assert min(d.p for d in compare(older, same, deff=1)) > 0.001
    worst = compare(older, other, deff=1)[0]
    assert worst.name == "input.surprisal"
    assert worst.p < 1e-9
    assert worst.newer - worst.older == pytest.approx(2, abs=0.5)
    profiled = [replace(other[0], profile="another profile")]
    assert worst.name not in {d.name for d in compare(older, profiled, deff=1)}


def test_the_labels_of_two_versions_are_compared() -> None:
    chance = np.random.default_rng(6)
    older = [summary(records(400, chance), MONDAY)]
    newer = [summary(records(400, chance), MONDAY, version="2")]
    share = older[0].labels["ham"] / 400
    labels = {"ham": 200, "spam": 200}
    moved = compare(older, [replace(newer[0], labels=labels)], deff=1)[0]
    assert moved.name.startswith("share of the label")
    assert abs(moved.effect) == pytest.approx(abs(share - 0.5))
    assert moved.p < 1e-6
    assert compare(older, newer, deff=1)[0].p > 0.001

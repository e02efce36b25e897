"""Tests the judgement of windows against a baseline.

Unchanged traffic is usual, changed traffic is unusual, and no input leads to a traceback.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from monitor.baselines import baseline as accepted
from monitor.baselines.baseline import Baseline, TooFewWindows
from monitor.judgement.judge_windows import SIGNALS, Fields, Judgement, judge
from monitor.summaries.summary import SIGNATURE, SLOT, Summary
from monitor.summaries.windows import HOUR, stack
from tests.unit.monitor.made_windows import LABELS, MONDAY, Record, records, summary

SIZE = 200
LEVEL = 0.003
INPUT = (
    "words",
    "tokens_per_word",
    "non_letter_share",
    "unk_share",
    "novelty",
    "surprisal",
    "script",
    "flags",
    "hash",
)
ONLY_LABEL_AND_SCORE: dict[str, Any] = dict.fromkeys(
    [
        *(f"input.{n}" for n in INPUT),
        *SIGNATURE,
        *(f"prediction.probability.{label}" for label in LABELS),
    ]
)


def windows(count: int, seed: int, **given: Any) -> list[Summary]:
    """Return `count` consecutive windows of an hour."""
    chance = np.random.default_rng(seed)
    return [
        summary(records(SIZE, chance, **given), MONDAY + at * HOUR, seconds=HOUR)
        for at in range(count)
    ]


@cache
def reference() -> Baseline:
    return accepted.fit(windows(96, 1))


def judged(summaries: Sequence[Summary], against: Baseline | None = None) -> Judgement:
    return judge(stack(summaries), against or reference())


def changed(change: dict[str, Any], share: float = 1.0) -> Summary:
    """Return a window in which this share of the records has other values.

    A new value may be a function of the old value.
    """
    chance = np.random.default_rng(5)
    rows: list[Record] = records(SIZE, chance)
    for row in rows[: round(share * SIZE)]:
        for name, value in change.items():
            row[name] = value(row[name]) if callable(value) else value
    return summary(rows, seconds=HOUR)


def found(one: Summary, against: Baseline | None = None) -> set[str]:
    """Return the names of the unusual signals."""
    judgement = judged([one], against)
    return {s.name for s in judgement.signals if Judgement((s,), {}).unusual(LEVEL)[0]}


def test_unchanged_traffic_is_usual() -> None:
    judgement = judged(windows(120, 2))
    assert tuple(s.name for s in judgement.signals) == SIGNALS
    assert judgement.unusual(LEVEL).sum() <= 2
    p = next(s.p for s in judgement.signals if s.name == "means")
    assert 0.35 < p.mean() < 0.65  # p is uniform for unchanged traffic


@pytest.mark.parametrize(
    ("signal", "change", "share"),
    [
        ("means", {"input.sig.s3": lambda v: v + 12}, 1.0),
        ("label", {"prediction.label": "spam"}, 0.3),
        ("label", {"prediction.label": "never seen before"}, 0.1),
        ("prediction.score", {"prediction.score": 0.5}, 0.3),
        ("input.words", {"input.words": 5}, 0.3),
        ("input.non_letter_share", {"input.non_letter_share": 0.0}, 0.4),
        ("strange", {"input.novelty": 4.0}, 0.05),
        ("strange", {"input.unk_share": 0.5}, 0.08),
        ("flags", {"input.flags": ["mostly_unknown"]}, 0.1),
        ("flags", {"input.script": "greek"}, 0.1),
        ("duplicates", {"input.hash": "00000000000000aa"}, 0.1),
    ],
)
def test_a_change_makes_its_signal_unusual(
    signal: str, change: dict[str, Any], share: float
) -> None:
    assert signal in found(changed(change, share))


def test_the_field_with_the_changed_mean_is_named() -> None:
    (means, *_) = judged([changed({"input.sig.s3": lambda v: v + 12})]).signals
    assert means.part == ["input.sig.s3"]
    assert means.value[0] == pytest.approx(means.expected[0] + 12, abs=3)


@pytest.mark.parametrize("document", [{}, {"format": 1}, {"format": 9}])
def test_a_document_that_is_no_baseline_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(accepted.BaselineUnreadable):
        accepted.from_document(document)


def test_a_baseline_needs_three_windows() -> None:
    with pytest.raises(TooFewWindows, match="3 windows; these days have 2"):
        accepted.fit(windows(2, 1))


POOR: dict[str, dict[str, Any]] = {
    "only label and score": ONLY_LABEL_AND_SCORE,
    "one label only": {"prediction.label": "ham"},
    "all scores equal": {"prediction.score": 0.9},
    "only the label": ONLY_LABEL_AND_SCORE | {"prediction.score": None},
    "no field at all": ONLY_LABEL_AND_SCORE | {"prediction.score": None, "prediction.label": None},
    "all texts equal": {"input.hash": "00000000000000aa"},
    "one label, whose probability is also the score": {
        "prediction.label": "ham", "prediction.score": 0.8,
        "prediction.probability.ham": 0.8,
    },
}  # fmt: skip


@pytest.mark.parametrize("given", [{}, *POOR.values()], ids=["all fields", *POOR])
def test_a_baseline_that_was_stored_as_json_judges_as_before(given: dict[str, Any]) -> None:
    fitted = accepted.fit(windows(80, 1, **given))
    read = accepted.from_document(
        json.loads(json.dumps(accepted.to_document(fitted), allow_nan=False))
    )
    some = windows(6, 3, **given)
    for one, other in zip(judged(some, fitted).signals, judged(some, read).signals, strict=True):
        assert one.p.tolist() == other.p.tolist()
        assert one.effect.tolist() == other.effect.tolist()


@pytest.mark.parametrize("given", POOR.values(), ids=POOR)
@pytest.mark.filterwarnings("error")
def test_records_with_few_fields_are_usual_and_missing_fields_are_named(
    given: dict[str, Any],
) -> None:
    against = accepted.fit(windows(80, 1, **given))
    judgement = judged(windows(60, 2, **given), against)
    assert judgement.unusual(LEVEL).sum() <= 1
    missing = [
        n for n, v in given.items() if v is None and n in {"prediction.score", "input.words"}
    ]
    assert set(missing) <= set(judgement.missing)


@pytest.mark.parametrize(
    ("given", "change", "signal"),
    [
        (POOR["one label only"], {"prediction.label": "spam"}, "label"),
        (POOR["all scores equal"], {"prediction.score": 0.6}, "prediction.score"),
        (POOR["only label and score"], {"prediction.score": 0.99}, "prediction.score"),
        (POOR["only label and score"], {"prediction.label": "spam"}, "label"),
    ],
)
def test_a_change_of_a_constant_field_is_found(
    given: dict[str, Any], change: dict[str, Any], signal: str
) -> None:
    against = accepted.fit(windows(80, 1, **given))
    rows = records(SIZE, np.random.default_rng(8), **given)
    for row in rows[: SIZE // 4]:
        row.update(change)
    assert signal in found(summary(rows, seconds=HOUR), against)


def test_with_fifty_labels_a_change_is_unusual_and_unchanged_traffic_is_not() -> None:
    def labelled(seed: int, count: int) -> list[Summary]:
        chance = np.random.default_rng(seed)
        weights = 1 / np.arange(1, 51)
        made = []
        for at in range(count):
            rows = records(SIZE, chance)
            for row in rows:
                row["prediction.label"] = f"label {chance.choice(50, p=weights / weights.sum())}"
            made.append(summary(rows, MONDAY + at * HOUR, seconds=HOUR))
        return made

    against = accepted.fit(labelled(1, 80))
    assert judged(labelled(2, 60), against).unusual(LEVEL).sum() <= 1
    assert "label" in found(changed({"prediction.label": "label 7"}, 0.5), against)


def test_a_field_that_a_window_lacks_is_left_out() -> None:
    without = summary(
        records(SIZE, np.random.default_rng(9), **{"input.novelty": None}), seconds=HOUR
    )
    judgement = judged([without])
    assert not np.isnan(judgement.signals[0].p).any()
    assert judgement.unusual(LEVEL).tolist() == [False]


def test_an_empty_window_is_not_unusual() -> None:
    nothing = Summary(reference().stream, "1", MONDAY, seconds=SLOT)
    assert judged([nothing]).unusual(LEVEL).tolist() == [False]
    assert judged([]).unusual(LEVEL).tolist() == []


def test_a_sum_that_is_not_a_number_counts_as_missing() -> None:
    one = windows(1, 4)[0]
    moments = dict(one.moments) | {
        "input.surprisal": replace(one.moments["input.surprisal"], total=float("nan"))
    }
    judgement = judged([replace(one, moments=moments)])
    assert judgement.unusual(LEVEL).tolist() == [False]


def test_only_the_fields_of_the_text_are_judged_for_another_model() -> None:
    drifted = changed(
        {"input.sig.s3": lambda v: v + 40, "prediction.label": "other", "input.surprisal": 39.0}
    )
    free = judge(stack([drifted]), reference(), fields=Fields.TEXT)
    assert free.unusual(LEVEL).tolist() == [False]
    assert judge(
        stack([changed({"input.words": 5}, 0.5)]), reference(), fields=Fields.TEXT
    ).unusual(LEVEL).tolist() == [True]

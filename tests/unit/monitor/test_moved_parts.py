"""Tests that a message describes each part of a signal with a number that people understand.

A signal is a tested property of a window, such as the shares of the labels. In this signal, each
label is a part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.judgement.judge_stream import Drift
from monitor.messages.message import INPUT, Moved
from monitor.messages.moved_parts import measures, moved, towards
from monitor.summaries.summary import Summary, total
from monitor.summaries.windows import HOUR
from tests.unit.monitor.made_windows import slots
from tests.unit.monitor.test_judge_stream import NEXT, day, followed, reference


def window(**given: Any) -> Summary:
    return total(slots(4, 200, np.random.default_rng(5), start=NEXT, **given))


USUAL = window()


def drift(signal: str, part: str) -> Drift:
    return Drift(signal, 1e-9, 1.0, 1e-3, 0.3, part, None, None, unusual=True)


def described(signal: str, part: str, now: Summary, usual: Summary | None = USUAL) -> Moved:
    before = [window(), *slots(1, 800, np.random.default_rng(6), start=NEXT - HOUR)]
    ((_, one),) = moved([drift(signal, part)], reference().baseline, now, usual, before, days=30)
    return one


@pytest.mark.parametrize(
    ("signal", "part", "given", "said", "now"),
    [
        ("means", "input.words", {"input.words": 3}, ("shorter", "median number of words"), 3),
        ("input.words", "part 1 of 10", {"input.words": 3}, ("shorter", "median number"), 3),
        ("input.words", "part 10 of 10", {"input.words": 60}, ("longer", "median number"), 60),
        ("means", "input.sig.s3", {"input.sig.s3": 40}, ("not of the usual kind", "signature"), 40),
        ("means", "input.novelty", {"input.novelty": 3}, ("less like", "mean novelty"), 3),
        ("means", "prediction.score", {"prediction.score": 0.9}, ("more sure", "mean score"), 0.9),
        (
            "prediction.score", "part 10 of 10", {"prediction.score": 0.99},
            ("more sure", "score"), 0.99,
        ),
        (
            "label", "ham", {"prediction.label": "spam"},
            ("fewer answers", "share of"), 0,
        ),
        (
            "label", "any other label", {"prediction.label": "odd"},
            ("more answers", "share of answers odd"), 1,
        ),
        (
            "strange", "input.novelty", {"input.novelty": 5},
            ("out of the ordinary", 'unusually high "novelty"'), 1,
        ),
        (
            "strange", "input.unk_share", {"input.unk_share": 0.5},
            ("out of the", "unknown word piece"), 1,
        ),
        ("strange", "their sum", {"input.novelty": 5}, ("out of the ordinary", "content"), 1),
        ("flags", "truncated", {"input.flags": ["truncated"]}, ("longer than", "share of"), 1),
        (
            "flags", "another script", {"input.script": "cyrillic"},
            ("another script", "share of texts in the script cyrillic"), 1,
        ),
        (
            "flags", "a flag that the baseline does not have", {"input.flags": ["odd"]},
            ("lacks", "share of texts with the flag odd"), 1,
        ),
        ("duplicates", "f" * 16, {"input.hash": "f" * 16}, ("again and again", "hash"), 1),
    ],
)  # fmt: skip
def test_a_part_is_described_by_a_sentence_and_its_values(
    signal: str, part: str, given: dict[str, Any], said: tuple[str, str], now: float
) -> None:
    one = described(signal, part, window(**given))
    assert said[0] in one.sentence()
    assert said[1] in one.name
    assert one.now == pytest.approx(now, abs=0.03)
    assert one.usual is not None
    assert one.extreme is not None
    assert (one.now >= one.extreme) is one.up


@pytest.mark.parametrize(
    ("signal", "part", "texts"),
    [
        ("means", "input.non_letter_share", True),
        ("strange", "input.non_letter_share", True),
        ("flags", "mostly_non_letter", True),
        ("flags", "another script", True),
        ("strange", "input.novelty", False),
        ("label", "ham", False),
    ],
)
def test_a_moved_field_shows_a_change_of_the_texts_only_if_no_model_computes_the_field(
    signal: str, part: str, texts: bool
) -> None:
    base = reference().baseline
    known = replace(base, flags=(*base.flags, "mostly_non_letter"))
    assert (measures(drift(signal, part), known)[-1].field in INPUT) is texts


def test_a_change_that_keeps_the_median_is_described_by_a_share() -> None:
    centre = described("input.words", "part 2 of 10", USUAL)
    assert centre.name.startswith("share of texts with a number of words from ")
    assert centre.share


def test_without_summaries_of_the_baseline_no_usual_value_is_shown() -> None:
    one = described("label", "ham", USUAL, usual=None)
    assert one.usual is None
    assert "usually" not in one.sentence()


def test_a_field_that_the_window_lacks_is_left_out() -> None:
    lacking = window(**{"input.novelty": None})
    found = [drift("means", "input.novelty")]
    assert moved(found, reference().baseline, lacking, USUAL, [], days=30) == []


def test_every_signal_of_a_notice_has_a_description() -> None:
    _, findings = followed(day(hours=8, given={"prediction.label": "spam", "input.words": 3}))
    last = findings[-1]
    found = moved(last.drifts, reference().baseline, last.window, USUAL, [], days=30)
    fields = [one.field for _, one in found]
    assert len(set(fields)) == len(fields) == 3
    assert "label" in fields
    assert "input.words" in fields


def test_towards_finds_the_two_golden_sentences_in_the_direction_of_the_movement() -> None:
    # The eight numbers of a text's signature describe its content. `golden` maps known sentences to
    # their signatures.
    golden = {
        "far": [0, 0, 0, 60, 0, 0, 0, 0],
        "near": [0, 0, 0, 20, 0, 0, 0, 0],
        "beside": [60, 0, 0, 0, 0, 0, 0, 0],
        "opposite": [0, 0, 0, -60, 0, 0, 0, 0],
    }
    base = reference().baseline
    assert towards(golden, base, window(**{"input.sig.s3": 40})) == ("far", "near")
    assert towards({}, base, USUAL) == ()
    none = {f"input.sig.s{at}": None for at in range(8)}
    assert towards(golden, base, window(**none)) == ()


def test_a_record_without_a_label_is_not_in_the_part_for_other_labels() -> None:
    (one,) = measures(drift("label", "any other label"), reference().baseline)
    assert one.share
    assert one.share["bool"]["filter"] == {"exists": {"field": "prediction.label.keyword"}}

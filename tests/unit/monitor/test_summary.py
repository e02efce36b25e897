"""Tests that summaries can be added, and can be written as JSON and read again.

A summary holds counts and sums over the predictions of one slot, which lasts 15 minutes.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitor.summaries.summary import Summary, UnknownSummary, from_document, to_document, total
from tests.unit.monitor.made_windows import MONDAY, records, slots, summary


def test_the_sum_of_slots_is_the_summary_of_their_rows() -> None:
    chance = np.random.default_rng(3)
    parts = [records(60, chance) for _ in range(3)]
    added = total([summary(rows, MONDAY + at * 900) for at, rows in enumerate(parts)])
    whole = summary([row for rows in parts for row in rows], seconds=2700)
    assert (added.rows, added.seconds, added.labels, added.flags, added.unknown) == (
        whole.rows, whole.seconds, whole.labels, whole.flags, whole.unknown
    )  # fmt: skip
    assert added.bins == whole.bins
    for name, moments in whole.moments.items():
        assert added.moments[name].count == moments.count
        assert added.moments[name].total == pytest.approx(moments.total)
        assert added.moments[name].squares == pytest.approx(moments.squares)


def test_a_summary_is_the_same_after_json() -> None:
    (one,) = slots(1, 30, np.random.default_rng(4))
    assert from_document(json.loads(json.dumps(to_document(one)))) == one


def test_a_document_has_no_text_and_names_its_slot() -> None:
    (one,) = slots(1, 30, np.random.default_rng(4), text="a secret sentence")
    document = to_document(one)
    assert "secret" not in json.dumps(document)
    assert (document["@timestamp"], document["rows"]) == ("1970-01-05T00:00:00Z", 30)


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"numbers": {}}, {"model": None}, {"rows": "many"}]
)
def test_a_document_that_is_no_summary_is_refused(change: dict[str, object]) -> None:
    (one,) = slots(1, 5, np.random.default_rng(5))
    with pytest.raises(UnknownSummary):
        from_document(to_document(one) | change)


def test_an_empty_summary_is_the_same_after_json_and_adds_nothing() -> None:
    (one,) = slots(1, 5, np.random.default_rng(5))
    empty = Summary(one.stream, "1", MONDAY + 900)
    assert from_document(to_document(empty)) == empty
    assert total([one, empty]).rows == 5

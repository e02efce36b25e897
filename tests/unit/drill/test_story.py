"""Tests the drill, which shows a series of situations to the monitor.

The tests cover the expectations, the table of results, and the texts.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from drill import texts
from drill.play_story import swapped
from drill.story import STORY, Expected, Seen, Situation, fulfilled, table
from tools.errors import UserError


def chance() -> random.Random:
    return random.Random(1)  # noqa: S311  texts, not a secret


NOTHING = Seen(0, 0, "ok", ("pass",), None)
NOTICE = Seen(1, 0, "notice", ("pass",), 6.0)
SILENT = Seen(2, 2, "notice", ("pass",), 6.0, "A title")
HALF = Seen(2, 1, "notice", ("pass",), 6.0)
FAILS = Seen(0, 0, "ok", ("pass", "fail"), None)
LASTS = Seen(0, 0, "notice", ("pass",), None)


@pytest.mark.parametrize(
    ("expected", "good"),
    [
        (Expected.QUIET, [NOTHING, LASTS]),
        (Expected.NOTICE, [NOTICE, HALF]),
        (Expected.SILENT, [SILENT]),
        (Expected.RECOVERS, [NOTHING]),
        (Expected.CANARY, [FAILS]),
    ],
)
def test_an_expectation_is_fulfilled_only_by_the_right_results(
    expected: Expected, good: list[Seen]
) -> None:
    several = [NOTHING, NOTICE, SILENT, HALF, FAILS, LASTS]
    assert [seen for seen in several if fulfilled(expected, seen)] == good


def test_the_table_shows_the_result_and_whether_it_was_expected() -> None:
    one = Situation("a launch", 12, Expected.SILENT)
    assert table([(one, SILENT), (one, FAILS)]) == [
        (
            "a launch",
            "12 h",
            "a silenced notice",
            "2 notices after 6 h, 2 silenced, last verdict notice",
            "A title",
            "yes",
        ),
        (
            "a launch",
            "12 h",
            "a silenced notice",
            "no notice, last verdict ok, the canary fails",
            "",
            "NO",
        ),
    ]


def test_the_story_expects_each_result_and_has_texts_for_each_situation() -> None:
    assert {one.expected for one in STORY} == set(Expected)
    assert {one.kind for one in STORY} <= {*texts.KINDS, "truncated"}


def test_exactly_the_situations_with_a_silenced_notice_are_announced() -> None:
    assert [one.announced for one in STORY] == [one.expected is Expected.SILENT for one in STORY]


@pytest.mark.parametrize("kind", texts.KINDS)
def test_generated_texts_vary_and_are_repeatable(kind: str) -> None:
    found = texts.made(kind, 600, chance())
    assert found == texts.made(kind, 600, chance())
    assert len(set(found)) > 200
    assert all(text.strip() for text in found)


def test_a_folder_of_texts_needs_only_the_file_usual_txt(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"usual\.txt is not there"):
        texts.read(tmp_path, "usual", 10, chance())
    (tmp_path / "usual.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    assert set(texts.read(tmp_path, "usual", 20, chance())) == {"one", "two"}
    assert texts.read(tmp_path, "usual", 2, chance()) == ["one", "two"]
    with pytest.raises(UserError, match="has 2 texts: give at least 10"):
        texts.read(tmp_path, "usual", 100, chance())
    assert len(texts.read(tmp_path, "launch", 5, chance())) == 5


def test_swapped_exchanges_the_first_two_labels_and_their_probabilities() -> None:
    prediction = {"label": "a", "score": 0.7, "probability": {"a": 0.7, "b": 0.2, "c": 0.1}}
    assert swapped(prediction) == {
        "label": "b",
        "score": 0.7,
        "probability": {"a": 0.2, "b": 0.7, "c": 0.1},
    }
    other = {"label": "c", "score": 0.6, "probability": {"a": 0.3, "b": 0.1, "c": 0.6}}
    assert swapped(other)["label"] == "c"

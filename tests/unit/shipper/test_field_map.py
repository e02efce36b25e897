"""Tests the setting `FIELD_MAP`, which renames a user's fields to the fields of a prediction."""

from __future__ import annotations

import copy
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.field_map import TARGETS, field_map, moved

THREE = "prediction.label=label,prediction.score=confidence,text=input"
SAME_NAME = "prediction.label=prediction,prediction.score=score"
SWAP = "text=prediction.label,prediction.label=text"
TAKEN = {"text": "a", "prediction": "b", "label": "c"}


def test_a_map_may_have_spaces_and_dots() -> None:
    assert field_map("") == field_map(" , ") == {}
    assert field_map(f" {THREE.replace('=', ' = ')} , ") == field_map(THREE)
    assert field_map("model.version=deployment.model.tag") == {
        "model.version": ("deployment", "model", "tag")
    }


FORM = "must be a comma-separated list of target=name, such as prediction.label=label"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("label", f"{FORM}, but it contains 'label'"),
        ("text=", f"{FORM}, but it contains 'text='"),
        (
            "text=a..b",
            f"{FORM}, but it contains 'text=a..b'",
        ),
        (
            "text=" + "a." * 20 + "a",
            f"{FORM}, but it contains 'text={'a.' * 20}a'",
        ),
        (
            "label=prediction.label",
            f"has the target 'label', but the only targets are {', '.join(TARGETS)}",
        ),
        ("text=a,text=b", "has two names for 'text': give only one"),
        ("text=a,prediction.label=a", "moves 'a' to two targets: give only one"),
    ],
)
def test_the_message_about_a_wrong_map_is_one_sentence(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^FIELD_MAP ") as caught:
        field_map(written)
    assert str(caught.value) == f"FIELD_MAP {said}"


@pytest.mark.parametrize(
    ("names", "fields", "found"),
    [
        (
            THREE,
            {"label": "a", "confidence": 0.5, "input": "x"},
            {"text": "x", "prediction": {"label": "a", "score": 0.5}},
        ),
        (THREE, {"label": "a", "n": 1}, {"prediction": {"label": "a"}, "n": 1}),
        (SAME_NAME, {"prediction": "a", "score": 1}, {"prediction": {"label": "a", "score": 1}}),
        (
            "prediction.label=out.class",
            {"out": {"class": "a", "n": 1}},
            {"out": {"n": 1}, "prediction": {"label": "a"}},
        ),
        ("prediction.label=out.class", {"out": {"class": "a"}}, {"prediction": {"label": "a"}}),
        ("prediction.label=out.class", {"out.class": "a"}, {"prediction": {"label": "a"}}),
        ("prediction.label=out.class", {"out": "a"}, {"out": "a"}),
        (
            SWAP,
            {"text": "a", "prediction": {"label": "b"}},
            {"text": "b", "prediction": {"label": "a"}},
        ),
        ("text=input", {"text": "kept", "input": "x"}, {"text": "kept", "input": "x"}),
        (
            "prediction.label=label",
            {"prediction": "words", "label": "a"},
            {"prediction": "words", "label": "a"},
        ),
        ("text=prediction,prediction.label=label", TAKEN, TAKEN),
        ("text=input", {"input": None}, {"text": None}),
        ("", {"label": "a"}, {"label": "a"}),
    ],
)
def test_fields_are_moved(names: str, fields: dict[str, Any], found: dict[str, Any]) -> None:
    before = copy.deepcopy(fields)
    assert moved(fields, field_map(names)) == found
    assert fields == before


NAMES = st.sampled_from(
    ["text", "prediction", "label", "score", "input", "model", "a.b", "prediction.label"]
)
FIELDS = st.recursive(
    st.integers(), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=8
)


PAIRS = st.lists(
    st.tuples(st.sampled_from(TARGETS), NAMES), unique_by=(itemgetter(0), itemgetter(1))
)


@given(st.dictionaries(NAMES, FIELDS, max_size=5), PAIRS)
def test_renaming_fields_loses_no_value(
    fields: dict[str, Any], pairs: list[tuple[str, str]]
) -> None:
    found = moved(fields, field_map(",".join(f"{target}={name}" for target, name in pairs)))
    assert sorted(_leaves(found)) == sorted(_leaves(fields))


def _leaves(value: Any) -> list[int]:
    return (
        [leaf for inner in value.values() for leaf in _leaves(inner)]
        if isinstance(value, dict)
        else [value]
    )

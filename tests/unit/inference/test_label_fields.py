"""Tests the field names that labels get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.label_fields import field_names


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(("no", "yes"), ["no", "yes"], id="words"),
        pytest.param(("0", "1", "2"), ["0", "1", "2"], id="digits"),
        pytest.param(
            ("a.b", "a b", "a_b"),
            ["a_b", "a_b_1", "a_b_2"],
            id="labels that would get the same field name",
        ),
        pytest.param(
            ("not-ok", "größe", "漢字"), ["not-ok", "größe", "漢字"], id="letters of any script"
        ),
        pytest.param((".", "*", "_id"), ["_", "__1", "_id"], id="punctuation"),
    ],
)
def test_a_label_gets_a_valid_field_name(labels: tuple[str, ...], names: list[str]) -> None:
    assert list(field_names(labels).items()) == list(zip(labels, names, strict=True))


@given(labels=st.lists(st.text(min_size=1), min_size=2, max_size=12, unique=True))
def test_every_label_has_its_own_field_name(labels: list[str]) -> None:
    names = field_names(tuple(labels))
    assert list(names) == labels
    assert len(set(names.values())) == len(labels)
    assert all(name and not set(name) & set(". \t\n*") for name in names.values())

"""Tests that text from others is safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.printable import plain


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("a word", "a word"),
        ("naïve 😀 中", "naïve 😀 中"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("\x1b[2J\x9b31m", "\ufffd[2J\ufffd31m"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\ud800", "\ufffd"),
        (17, "17"),
        (None, "None"),
    ],
)
def test_unprintable_characters_are_replaced(value: object, printed: str) -> None:
    assert plain(value) == printed


@given(st.text(st.characters(categories=None)))
def test_no_text_can_control_the_terminal(text: str) -> None:
    assert plain(text).isprintable()
    plain(text).encode()

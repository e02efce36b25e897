"""Tests the descriptors of a text: counts, script, flags and hash, which do not show the text."""

from __future__ import annotations

import hmac
import json
import re
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from inference.characters import keyed_hash
from inference.descriptors import Usual, describe
from tools.root import ROOT

SCHEMA = json.loads((ROOT / "events" / "record.schema.json").read_text(encoding="utf-8"))
INPUT = Draft202012Validator(
    {"$defs": SCHEMA["$defs"], **SCHEMA["$defs"]["prediction"]["properties"]["input"]}
)
BY_THE_MODEL: dict[str, Any] = {
    "sig": {f"s{at}": 0 for at in range(8)},
    "novelty": 0.5,
    "surprisal": 12.5,
}
KEY = b"a key"
USUAL = Usual(frozenset({"latin", "none"}), 0.5, 0.5)


def described(
    text: str,
    *,
    tokens: int = 7,
    unknown: int = 0,
    truncated: bool = False,
    key: bytes = KEY,
    usual: Usual = USUAL,
) -> dict[str, Any]:
    return describe(text, tokens=tokens, unknown=unknown, truncated=truncated, key=key, usual=usual)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        pytest.param("The boy is sitting on a bench.", "latin", id="latin"),
        pytest.param("Élève, où êtes-vous allé ?", "latin", id="latin with accents"),
        pytest.param("E\u0301le\u0300ve", "latin", id="latin with combining accents"),
        pytest.param(
            "\uff34\uff48\uff45 \uff42\uff4f\uff59 \uff53\uff49\uff54\uff53",
            "latin",
            id="full-width latin",
        ),
        pytest.param("Мальчик сидит на скамейке", "cyrillic", id="cyrillic"),
        pytest.param("αγόρι κάθεται στην πλατεία", "greek", id="greek"),
        pytest.param("男孩坐在长凳上", "han", id="han"),
        pytest.param("人々", "han", id="han iteration mark"),
        pytest.param("カタカナー", "katakana", id="katakana"),
        pytest.param("少年はベンチに座っています", "mixed", id="japanese mix"),
        pytest.param("الولد يجلس على المقعد", "arabic", id="arabic"),
        pytest.param("소년이 벤치에 앉아 있다", "hangul", id="hangul"),
        pytest.param("लड़का बेंच पर बैठा है", "devanagari", id="devanagari with marks"),
        pytest.param("ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "other", id="cherokee"),
        pytest.param("12345 678", "none", id="digits only"),
        pytest.param("?! -- ...", "none", id="punctuation only"),
        pytest.param("😀🎉👍🏽", "none", id="emoji"),
        pytest.param("\u200b\u200d", "none", id="zero-width"),
        pytest.param("", "none", id="nothing"),
        pytest.param("The мальчик is sitting on a bench", "latin", id="one cyrillic word in latin"),
        pytest.param("ab\N{CYRILLIC SMALL LETTER ZHE}", "latin", id="two thirds latin"),
        pytest.param("abcЖЩ", "mixed", id="less than two thirds latin"),
    ],
)
def test_the_script_of_a_text_is_the_script_of_most_letters(text: str, script: str) -> None:
    assert described(text)["script"] == script


def test_the_script_does_not_depend_on_the_order_of_the_letters() -> None:
    for text, script in (("abcЖЩ", "mixed"), ("abcdЖЩ", "latin")):
        assert described(text)["script"] == described(text[::-1])["script"] == script


@pytest.mark.parametrize(
    ("text", "counts", "flags"),
    [
        pytest.param("boys", {}, [], id="plain"),
        pytest.param("boys", {"truncated": True}, ["truncated"], id="truncated"),
        pytest.param(
            "boys",
            {"tokens": 4, "unknown": 2},
            ["mostly_unknown"],
            id="half of the tokens are unknown",
        ),
        pytest.param("boys", {"tokens": 5, "unknown": 2}, [], id="less than half are unknown"),
        pytest.param("ab12", {}, ["mostly_non_letter"], id="half of the characters are no letters"),
        pytest.param(" a b\t1 2\n", {}, ["mostly_non_letter"], id="white space is not counted"),
        pytest.param("abc12", {}, [], id="less than half are no letters"),
        pytest.param("мальчик", {}, ["other_script"], id="cyrillic"),
        pytest.param("abcЖЩ", {}, ["other_script"], id="mixed scripts"),
        pytest.param("123", {}, ["mostly_non_letter"], id="the flag other_script needs letters"),
        pytest.param(
            "щ1",
            {"tokens": 1, "unknown": 1, "truncated": True},
            ["truncated", "mostly_unknown", "mostly_non_letter", "other_script"],
            id="all flags",
        ),
    ],
)
def test_flags_are_set_at_their_thresholds(
    text: str, counts: dict[str, Any], flags: list[str]
) -> None:
    assert described(text, **counts)["flags"] == flags


def test_characters_words_and_tokens_are_counted() -> None:
    result = described(" Two  words, \n3 ", tokens=6, unknown=3)
    assert {
        name: result[name] for name in ("chars", "words", "tokens", "tokens_per_word", "unk_share")
    } == {
        "chars": 16,
        "words": 3,
        "tokens": 6,
        "tokens_per_word": 2.0,
        "unk_share": 0.5,
    }
    assert result["non_letter_share"] == pytest.approx(2 / 10)


@pytest.mark.parametrize(
    "text", ["लड़का बैठा है", "E\u0301le\u0300ve", "소년"], ids=["vowel signs", "accents", "hangul"]
)
def test_marks_are_part_of_letters(text: str) -> None:
    assert described(text)["non_letter_share"] == 0


@pytest.mark.parametrize("text", ["\u200b", "", " \n"], ids=["zero-width", "empty", "blank"])
def test_a_text_without_tokens_has_shares_of_zero(text: str) -> None:
    result = described(text, tokens=0)
    assert (result["tokens_per_word"], result["unk_share"]) == (0.0, 0.0)
    assert "mostly_unknown" not in result["flags"]


def test_the_hash_is_the_beginning_of_hmac_sha256() -> None:
    assert (
        described("naïve")["hash"]
        == keyed_hash("naïve", KEY)
        == hmac.digest(KEY, "naïve".encode(), sha256).hex()[:16]
    )


@pytest.mark.parametrize(
    ("text", "key", "same"),
    [
        pytest.param("The boy", KEY, True, id="same text and key"),
        pytest.param("The boy ", KEY, False, id="other text"),
        pytest.param("the boy", KEY, False, id="other case"),
        pytest.param("The boy", b"another key", False, id="other key"),
    ],
)
def test_the_hash_depends_on_text_and_key(text: str, key: bytes, same: bool) -> None:
    assert (keyed_hash(text, key) == keyed_hash("The boy", KEY)) is same


@given(text=st.text(), key=st.binary(min_size=1, max_size=100))
def test_the_hash_has_16_hex_digits(text: str, key: bytes) -> None:
    assert re.fullmatch("[0-9a-f]{16}", keyed_hash(text, key))


@given(
    text=st.text(), tokens=st.integers(0, 20_000), share=st.floats(0, 1), truncated=st.booleans()
)
def test_the_descriptors_of_any_text_fit_the_schema(
    text: str,
    tokens: int,
    share: float,
    truncated: bool,
) -> None:
    INPUT.validate(
        described(text, tokens=tokens, unknown=int(tokens * share), truncated=truncated)
        | BY_THE_MODEL
    )


@pytest.mark.parametrize(
    "change",
    [
        {"hash": "X"},
        {"unk_share": 1.5},
        {"sig": BY_THE_MODEL["sig"] | {"s0": 128}},
        {"sig": BY_THE_MODEL["sig"] | {"s0": 0.5}},
        {"sig": BY_THE_MODEL["sig"] | {"s8": 0}},
        {"novelty": None},
        {"surprisal": -1},
    ],
    ids=str,
)
def test_the_schema_refuses_wrong_values(change: dict[str, Any]) -> None:
    assert INPUT.is_valid(described("a") | BY_THE_MODEL)
    assert not INPUT.is_valid(described("a") | BY_THE_MODEL | change)


@pytest.mark.parametrize("name", BY_THE_MODEL)
def test_the_schema_requires_the_values_of_the_model(name: str) -> None:
    assert not INPUT.is_valid(
        described("a") | {other: value for other, value in BY_THE_MODEL.items() if other != name}
    )

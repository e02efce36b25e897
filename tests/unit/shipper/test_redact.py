"""Tests that fields to redact are dropped or hashed, and that patterns in text are masked."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from re import _constants, _parser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from shipper import normalise_text, redact, redaction_patterns
from shipper.decode import LogEvent, Payload
from shipper.document import Rules, documents
from shipper.normalise_text import readings
from shipper.redact import PURPOSE, WITHHELD, Redaction
from shipper.redaction_patterns import NUMBER
from tests.unit.conftest import at_most
from tools.root import ROOT

KEY = b"key of the hashes"
NAMED = Redaction(
    {"password": "drop", "user.mail": "hash", "token": "hash", "größe": "drop"}, (), KEY
)
MASKED = Redaction({}, ("email", "number"), b"")
ALL = Redaction(NAMED.fields, MASKED.patterns, KEY)
ENVELOPE = {
    "@id",
    "@timestamp",
    "@delay_ms",
    "@position",
    "@message",
    "@owner",
    "@log_group",
    "@log_stream",
    "@kind",
}
WRAPPED = {"timestamp": "2026-11-23T12:00:00Z", "level": "INFO"}
REQUEST = "8f5ad1e0-3c1c-4f9a-9a57-1f2b3c4d5e6f"
SECRET = "Sesame"
LONG = 300_000


def hashed(text: str) -> str:
    key = hmac.new(KEY, PURPOSE, hashlib.sha256).digest()
    return "redacted:" + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]


def source(line: str, redaction: Redaction, extracted: dict[str, Any] | None = None) -> bytes:
    payload = Payload(
        "DATA_MESSAGE",
        "123456789012",
        "group",
        "stream",
        [LogEvent("1", 0, Raw(json.dumps(line).encode()), extracted)],
    )
    [document] = documents(payload, Rules(redaction=redaction), Counter(), now=0)
    return document.source


def shown(
    line: str, redaction: Redaction, extracted: dict[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return `@message` and the fields that are not part of the envelope."""
    found = json.loads(source(line, redaction, extracted))
    return found["@message"], {name: value for name, value in found.items() if name not in ENVELOPE}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def nested(depth: int, inner: str) -> str:
    return '{"a":' * depth + inner + "}" * depth


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        pytest.param({"password": SECRET, "a": 1}, {"a": 1}, id="dropped"),
        pytest.param({"password": {"a": SECRET}}, {}, id="an object is dropped"),
        pytest.param(
            {"a": {"b": [{"password": SECRET}, [{"password": 1, "c": 2}]]}},
            {"a": {"b": [{}, [{"c": 2}]]}},
            id="in lists",
        ),
        pytest.param({"token": SECRET}, {"token": hashed(SECRET)}, id="hashed"),
        pytest.param(
            {"token": 5, "a": {"token": "5"}},
            {"token": hashed("5"), "a": {"token": hashed("5")}},
            id="the hash of a number",
        ),
        pytest.param(
            {"token": {"a": [SECRET, None]}},
            {"token": hashed(compact({"a": [SECRET, None]}))},
            id="the hash of an object",
        ),
        pytest.param(
            {"token": 10**30}, {"token": hashed("1" + "0" * 30)}, id="the hash of a large number"
        ),
        pytest.param(
            {"token": None, "n": "x"}, {"token": hashed("null"), "n": "x"}, id="the hash of null"
        ),
        pytest.param({"token": ""}, {"token": hashed("")}, id="the hash of an empty text"),
        pytest.param(
            {"user": {"mail": "x", "name": "n"}},
            {"user": {"mail": hashed("x"), "name": "n"}},
            id="by path",
        ),
        pytest.param(
            {"a": [{"user": {"mail": "x"}}]},
            {"a": [{"user": {"mail": hashed("x")}}]},
            id="by the end of a path",
        ),
        pytest.param(
            {"user": [[{"mail": "x"}]]}, {"user": [[{"mail": hashed("x")}]]}, id="by path, in lists"
        ),
        pytest.param(
            {"user": compact({"mail": "x"})},
            {"user": compact({"mail": hashed("x")})},
            id="by path, in a string",
        ),
        pytest.param(
            {"user": json.dumps(compact({"mail": "x"}))},
            {"user": json.dumps(compact({"mail": hashed("x")}))},
            id="by path, in a string in a string",
        ),
        pytest.param(
            {"user.mail": "x", "a.token": "y"},
            {"user.mail": hashed("x"), "a.token": hashed("y")},
            id="a name with dots",
        ),
        pytest.param({"größe": SECRET, "ä": 1}, {"ä": 1}, id="a name beyond ASCII"),
        pytest.param(
            {
                "mail": "x",
                "user": {"a": {"mail": "x"}},
                "auser": {"mail": "x"},
                "my_password": 1,
                "passwords": 2,
            },
            {
                "mail": "x",
                "user": {"a": {"mail": "x"}},
                "auser": {"mail": "x"},
                "my_password": 1,
                "passwords": 2,
            },
            id="other names stay",
        ),
        pytest.param(
            {"a": "password", "b": "the token 5"},
            {"a": "password", "b": "the token 5"},
            id="a name as a value stays",
        ),
    ],
)
def test_named_fields_are_dropped_or_hashed(fields: dict[str, Any], left: dict[str, Any]) -> None:
    assert shown(compact(fields), NAMED) == (compact(left), left)
    assert shown(json.dumps(fields, indent=1) + "\n", NAMED) == (compact(left), left)
    assert shown("INFO abc " + compact(fields), NAMED) == ("INFO abc " + compact(left), left)
    assert shown(json.dumps(compact(fields)), NAMED) == (
        json.dumps(compact(left), ensure_ascii=False),
        left,
    )
    for inner, below in ((fields, left), (compact(fields), compact(left))):
        wrapper, message = {**WRAPPED, "message": inner}, {**WRAPPED, "message": below}
        assert shown(compact(wrapper), NAMED) == (compact(message), WRAPPED | left)
    deeper = {"a": [compact({"b": compact(fields)})], "c": "got " + compact(fields)}
    shallower = {"a": [compact({"b": compact(left)})], "c": "got " + compact(left)}
    assert shown(compact(deeper), NAMED) == (compact(shallower), shallower)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        pytest.param("message", WRAPPED, id="the whole message"),
        pytest.param("message.user", WRAPPED | {"message": {"n": 1}}, id="in the message"),
        pytest.param(
            "message.user.mail",
            WRAPPED | {"message": {"user": {}, "n": 1}},
            id="deeper in the message",
        ),
        pytest.param(
            "user.mail", WRAPPED | {"message": {"user": {}, "n": 1}}, id="the path in the index"
        ),
    ],
)
@pytest.mark.parametrize("as_text", [True, False], ids=["JSON in a string", "object"])
def test_a_rule_can_have_the_path_in_the_line_or_the_path_in_the_index(
    name: str, left: dict[str, Any], *, as_text: bool
) -> None:
    inner = {"user": {"mail": SECRET}, "n": 1}
    line = WRAPPED | {"message": compact(inner) if as_text else inner}
    message, fields = shown(compact(line), Redaction({name: "drop"}, (), KEY))
    found = json.loads(message)
    if as_text and "message" in found:
        found["message"] = json.loads(found["message"])
    assert found == left
    assert fields == (WRAPPED | left["message"] if "message" in left else left)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"password": "Sesame', id="cut off"),
        pytest.param('{"a": 1}{"password": "Sesame"}', id="two objects"),
        pytest.param('{"password": "Sesame"} and more', id="text after the object"),
        pytest.param('[{"password": "Sesame"}]', id="array"),
        pytest.param('"password": "Sesame"', id="without braces"),
        pytest.param('"password": "Sesame", {"a": 1}', id="before an object"),
        pytest.param('x "password": "Sesame", {"a": 1}', id="before an object, after text"),
        pytest.param('{"mail": "Sesame', id="the last part of a path"),
        pytest.param('{"passw\\u006Frd": "Sesame', id="an escape in the name"),
        pytest.param(json.dumps({"größe": SECRET})[:-1], id="escapes in the name"),
        pytest.param('{"größe": "Sesame', id="a name beyond ASCII"),
        pytest.param(
            json.dumps(json.dumps(json.dumps({"password": SECRET})[:-1]))[:-1],
            id="in strings in strings, cut off",
        ),
        pytest.param("{'password': 'Sesame'}", id="an object as Python writes it"),
        pytest.param("{ password: 'Sesame' }", id="an object as JavaScript writes it"),
        pytest.param("level=info password=Sesame", id="before an equals sign"),
        pytest.param("the token \t: Sesame", id="before a colon"),
        pytest.param("user.mail=Sesame", id="a path before an equals sign"),
        pytest.param('größe = Sesame {"a": 1}', id="before an equals sign and an object"),
        pytest.param(nested(100_000, '{"password": "Sesame"}'), id="too deep to be read"),
        pytest.param(nested(5_000, '{"password": "Sesame"}'), id="too deep to be redacted"),
        pytest.param(
            '{"token": "' + nested(5_000, "1").replace('"', '\\"') + 'Sesame"',
            id="a deep string, cut off",
        ),
    ],
)
def test_an_unreadable_line_that_may_contain_a_named_field_is_withheld(line: str) -> None:
    assert SECRET.encode() not in source(line, NAMED)
    message, fields = shown(line, NAMED)
    assert WITHHELD in message
    assert SECRET not in str(fields)


@pytest.mark.parametrize("name", ["a(b", "a|", "[", "a\\b", "a+", "*"])
def test_a_name_may_contain_any_character(name: str) -> None:
    redaction = Redaction({name: "drop"}, (), KEY)
    assert shown(compact({name: SECRET, "n": 1}), redaction) == ('{"n":1}', {"n": 1})
    assert shown(compact({name: SECRET})[:-1], redaction) == (WITHHELD, {})
    assert shown(f"{name}=Sesame", redaction)[0] == WITHHELD
    assert shown("words: 5", redaction) == ("words: 5", {})


def test_only_the_unreadable_part_of_a_line_is_withheld() -> None:
    line = {"a": '{"password": "Sesame', "b": 'got {"token": Sesame}', "c": "words"}
    left = {"a": WITHHELD, "b": WITHHELD, "c": "words"}
    assert shown(compact(line), NAMED) == (compact(left), left)


def test_fields_in_json_strings_in_json_strings_are_redacted() -> None:
    line, left = (
        compact({"token": SECRET, "password": SECRET, "b": 1}),
        compact({"token": hashed(SECRET), "b": 1}),
    )
    for _ in range(6):
        line, left = json.dumps(line), json.dumps(left)
        assert shown(line, NAMED)[0] == left


@pytest.mark.parametrize(
    "line",
    [
        "the password is wrong",
        "no password; token",
        "my_token: 5, tokens: 5, tokenize=5",
        '{"a": 1',
        "[1]",
        "",
        '"words"',
        "{'a': 1}",
        "a=1 b: 2",
        "5",
    ],
)
def test_a_line_without_a_named_field_is_not_changed(line: str) -> None:
    assert shown(line, NAMED) == (line, {})


@pytest.mark.parametrize("depth", [1, 100, 300])
def test_deeply_nested_fields_are_redacted(depth: int) -> None:
    line = nested(depth, '{"password":"Sesame","b":1}')
    assert shown(line, NAMED) == (nested(depth, '{"b":1}'), json.loads(nested(depth, '{"b":1}')))


@pytest.mark.parametrize("redaction", [NAMED, MASKED], ids=["named", "patterns"])
def test_a_line_that_is_nested_too_deeply_has_no_fields(redaction: Redaction) -> None:
    assert shown(nested(2_000, '"a@b.de 4111111111111111"'), redaction) == (WITHHELD, {})


@pytest.mark.parametrize(
    ("line", "name", "fields"),
    [
        pytest.param(
            f"START RequestId: {REQUEST} Version: 5",
            "requestId",
            {"type": "platform.start", "record": {"requestId": hashed(REQUEST), "version": "5"}},
            id="by name",
        ),
        pytest.param(
            f"END RequestId: {REQUEST}",
            "record.requestId",
            {"type": "platform.end", "record": {"requestId": hashed(REQUEST)}},
            id="by path",
        ),
        pytest.param(
            f"END RequestId: {REQUEST}", "record", {"type": "platform.end"}, id="the whole record"
        ),
    ],
)
def test_a_line_of_lambda_with_a_named_field_is_withheld(
    line: str, name: str, fields: dict[str, Any]
) -> None:
    message, found = shown(line, Redaction({name: "hash"}, (), KEY))
    assert message == WITHHELD
    assert {
        key: value for key, value in found.items() if key != "record" or name != "record"
    } == fields


def test_a_line_of_lambda_without_a_named_field_is_not_changed() -> None:
    line = f"REPORT RequestId: {REQUEST}\tDuration: 12.34 ms\tMemory Size: 128 MB"
    record = {"requestId": REQUEST, "metrics": {"durationMs": 12.34, "memorySizeMB": 128}}
    assert shown(line, ALL) == (line, {"type": "platform.report", "record": record})


@pytest.mark.parametrize(
    ("line", "extracted", "redaction", "expected"),
    [
        pytest.param(
            "bob Sesame", {"user": "bob", "password": SECRET}, NAMED,
            (WITHHELD, {"user": "bob"}), id="dropped",
        ),
        pytest.param(
            "b Sesame", {"user": "b", "token": SECRET}, NAMED,
            (WITHHELD, {"user": "b", "token": hashed(SECRET)}), id="hashed",
        ),
        pytest.param(
            "bob 5", {"user": "bob", "n": "5"}, NAMED,
            ("bob 5", {"user": "bob", "n": 5}), id="no named field",
        ),
        pytest.param(
            'Sesame {"a": 1}', {"password": SECRET, "b": '{"a": 1}'}, NAMED,
            (WITHHELD, {"b": '{"a":1}', "$b": {"a": 1}}), id="next to JSON",
        ),
        pytest.param(
            'x {"token": "Sesame"}',
            {"b": '{"token": "Sesame"}'},
            NAMED,
            (WITHHELD, {"b": compact({"token": hashed(SECRET)}), "$b": {"token": hashed(SECRET)}}),
            id="in JSON",
        ),
        pytest.param(
            'x {"mail": "Sesame"} y', {"user": '{"mail": "Sesame"}'}, NAMED,
            (
                WITHHELD,
                {"user": compact({"mail": hashed(SECRET)}), "$user": {"mail": hashed(SECRET)}},
            ),
            id="in JSON, by path",
        ),
        pytest.param(
            'x {"a": "Sesame"} y', {"password": '{"a": "Sesame"}', "b": "y"}, NAMED,
            (WITHHELD, {"b": "y"}), id="JSON, dropped",
        ),
        pytest.param(
            "a@b.de 4111111111111111, 7",
            {"a": "a@b.de", "b": "4111111111111111", "c": "7"}, MASKED,
            ("[email] [number], 7", {"a": "[email]", "b": "[number]", "c": 7}), id="patterns",
        ),
        pytest.param(
            "x", {"a": [[{"token": SECRET}]]}, NAMED,
            (WITHHELD, {"a": [[{"token": hashed(SECRET)}]]}), id="in lists",
        ),
        pytest.param(
            "x", {"a@b.de": {"token": [SECRET]}}, ALL,
            (WITHHELD, {"[email]": {"token": hashed('["Sesame"]')}}),
            id="in an object with a masked name",
        ),
    ],
)  # fmt: skip
def test_fields_that_a_filter_pattern_extracted_are_redacted(
    line: str, extracted: dict[str, Any], redaction: Redaction, expected: tuple[str, dict[str, Any]]
) -> None:
    assert shown(line, redaction, extracted) == expected


def unmasked(text: str) -> tuple[str, str]:
    return text, text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail a@b.de now", "mail [email] now"),
        ("first.last+tag_1-x@sub.example.co.uk", "[email]"),
        ("<a@b.de>,mailto:c@d.de?subject", "<[email]>,mailto:[email]?subject"),
        ("to=a@b.de.", "to=[email]."),
        ("jörg@müller.de", "[email]"),
        ("x" * 100 + "@b.de", "[email]"),
        unmasked("@handle, user@localhost, a @ b.de, a@.de, @b.de"),
        ("call +49 151 23456789 now", "call [number] now"),
        ("(0151) 2345678", "([number]"),
        ("0151/2345678", "[number]"),
        ("+1 (555) 010-9999", "[number]"),
        ("4111 1111 1111 1111 or 4111-1111-1111-1111", "[number] or [number]"),
        ("4111111111111111,", "[number],"),
        ("n: 123 4567, 123 456", "n: [number], 123 456"),
        ("1234567.", "[number]."),
        ("tel:1234567;n=12345678", "tel:[number];n=[number]"),
        ("2026-11-23 4111111111111111", "2026-11-23 [number]"),
        ("3" * 60, "[number]"),
        ("123456", "123456"),
        unmasked("2026-11-23T12:00:00.123Z 2026-11-23 12:00:00,123 2026-11-23"),
        ("2026/11/23 12:00:00.123456 started", "2026/11/23 12:00:00.123456 started"),
        unmasked(f"{REQUEST} 12345678-90ab-4cde-8f01-234567890123"),
        ("1-5e1b4151-5ac6c58dc39a6b5a4e2f5c0a", "1-5e1b4151-5ac6c58dc39a6b5a4e2f5c0a"),
        unmasked("req-1234567 abc1234567 1234567abc v1.2345678 a_1234567"),
        ("0.123456789 -0.1234567 1.2345678e-05", "0.123456789 -0.1234567 1.2345678e-05"),
        ("192.168.100.200:8080 12:00:00", "192.168.100.200:8080 12:00:00"),
    ],
)  # fmt: skip
def test_only_the_texts_that_match_a_pattern_are_masked(text: str, left: str) -> None:
    assert shown(text, MASKED) == (left, {})
    assert shown(compact({"a": [text], text: 1}), MASKED) == (
        compact({"a": [left], left: 1}),
        {"a": [left], left: 1},
    )
    assert shown(text + ' {"n":1}', MASKED) == (left + ' {"n":1}', {"n": 1})
    wrapper, message = (
        WRAPPED | {"message": compact({"a": text})},
        WRAPPED | {"message": compact({"a": left})},
    )
    assert shown(compact(wrapper), MASKED) == (compact(message), WRAPPED | {"a": left})


def test_a_name_is_masked_even_if_its_value_is_redacted() -> None:
    line = {"a@b.de .token": SECRET, "c@d.de": 1, "e@f.de .password": SECRET}
    assert shown(compact(line), ALL)[1] == {"[email] .token": hashed(SECRET), "[email]": 1}


def test_each_pattern_can_be_used_without_the_other() -> None:
    line = "a@b.de 4111111111111111"
    assert shown(line, Redaction({}, ("email",), b""))[0] == "[email] 4111111111111111"
    assert shown(line, Redaction({}, ("number",), b""))[0] == "a@b.de [number]"


def test_a_json_number_is_not_masked() -> None:
    line = '{"n":4111111111111111,"score":0.123456789,"timestamp":1795435200123}'
    assert shown(line, MASKED) == (line, json.loads(line))


@pytest.mark.parametrize(
    "unit",
    [
        "x",
        "1",
        "1- ",
        "1-1-",
        "+1",
        "a@",
        "a@b.",
        "a.",
        "@",
        "token ",
        '{"',
        '\\"password',
        "\\",
        "\\u",
        '"',
        '"{',
        '{"a":"',
        "1 ",
        "1/",
        "12,",
        "12/12/",
        "1 1.1 ",
        "%25",
        "%C3",
        "&amp;",
        "AB12 ",
        "a'",
        "x.x",
        "password.",
        "password[",
        "<a:",
        "name=",
        "é",
        "\u0301\u0316",
    ],
)
def test_no_line_takes_long_to_redact(unit: str) -> None:
    # Redaction usually takes about one second. If the time grew with the square of the length, it
    # would take an hour.
    with at_most(20):
        ALL.apply((unit * LONG)[:LONG] + "-", {})


def repeats(pattern: Any) -> Iterator[tuple[Any, int, Any]]:
    """Yield each repetition in a regular expression: its kind, its upper bound and its content."""
    for kind, argument in pattern:
        if kind in {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}:
            yield kind, int(argument[1]), argument[2]
        for part in argument if isinstance(argument, tuple) else [argument]:
            for below in part if isinstance(part, list) else [part]:
                if isinstance(below, _parser.SubPattern):
                    yield from repeats(below)


def test_expressions_that_may_match_anywhere_have_bounded_repetitions() -> None:
    """If a repetition without a bound is tried from every place of a text, this takes too long.

    The time then grows with the square of the length of the text.
    """
    followed = redact._near(frozenset({"password", "token"}))[1]
    endless = {
        (expression.pattern, str(repeated))
        for expression in (
            redaction_patterns.EMAIL,
            redaction_patterns.NUMBER,
            redaction_patterns.IBAN,
            followed,
        )
        for kind, most, repeated in repeats(_parser.parse(expression.pattern))
        if most >= 1000 and kind is not _constants.POSSESSIVE_REPEAT
    }
    # A run of digits has no bound, but it is tried only from its start.
    assert {repeated for _, repeated in endless} == {str(_parser.parse(r"\d"))}
    for before in redaction_patterns.NUMBER.pattern, redaction_patterns.EMAIL.pattern:
        assert r"(?<![\w." in before


@pytest.mark.parametrize("text", ["%41", r"\x41", r"\u0041", "&amp;#65;", "é", "1 2.5 ", "word "])
def test_decoding_ends_and_its_time_grows_linearly_with_the_text(text: str) -> None:
    """Each level of decoding goes once through the result of the previous level.

    So the time grows with the total length of the results, which are called readings.
    """
    for count in (100, 1_000, 10_000):
        assert sum(len(reading) for reading, _ in readings(text * count)) <= 3 * len(text) * count
    nested = "a@b.de"
    for _ in range(normalise_text.LEVELS):
        nested = nested.replace("@", "%40").replace("%", "&#37;").replace("&", r"\x26")
    assert len(list(readings(nested))) <= normalise_text.LEVELS + 1


@given(st.text(st.sampled_from(list("%25\\xu0041&amp;#6;@a1.é \u3000"))))
def test_the_origin_of_each_decoded_character_is_known(text: str) -> None:
    """A decoded character has an origin: the part of the encoded text that was decoded to it.

    The origins are in order. An origin of one character was not encoded, so it equals the character
    in the decoded text.
    """
    for reading, origin in readings(text):
        spans = [origin(place, place + 1) for place in range(len(reading))]
        assert all(start < end for start, end in spans)
        assert all(before[1] <= after[0] or before == after for before, after in pairwise(spans))
        assert all(
            text[start:end] == each
            for each, (start, end) in zip(reading, spans, strict=True)
            if end - start == 1
        )


SHIPPING = (
    (ROOT / "docs" / "shipping.md")
    .read_text(encoding="utf-8")
    .split("## What redaction finds\n")[1]
    .split("\n## ")[0]
)
ROW = re.compile(r"\| (?P<what>[^|]+) \| (?P<mark>`+)(?P<line>.+?)(?P=mark) \| (?P<left>.+) \|")
ROWS = [row for row in map(ROW.fullmatch, SHIPPING.splitlines()) if row]
TOLD = Redaction(
    {"password": "drop", "user.email": "drop", "api_key": "drop"}, ("email", "number"), KEY
)


@pytest.mark.parametrize("row", ROWS, ids=[row["what"] for row in ROWS])
def test_each_row_of_the_table_in_the_documentation_is_true(row: re.Match[str]) -> None:
    line, left = (text.replace("\\|", "|") for text in (row["line"], row["left"].strip("`")))
    expected = {"withheld": WITHHELD, "the same": line}.get(left, left)
    assert shown(line, TOLD)[0] == expected
    assert row["left"] == "the same" or not any(
        secret in expected for secret in (SECRET, "1111", "@", "555")
    )


def test_every_row_of_the_table_in_the_documentation_is_tested() -> None:
    heads = 3
    assert len(ROWS) == sum(line.startswith("| ") for line in SHIPPING.splitlines()) - heads
    assert len(ROWS) > 120


def test_the_hash_of_a_field_has_a_mark_and_differs_from_input_hash() -> None:
    """The stack has one secret, which is the key of `input.hash`.

    The key of a redacted field's hash is derived from the secret.
    """
    own = hmac.new(KEY, b"a", hashlib.sha256).hexdigest()[:16]
    found = shown('{"token":"a"}', NAMED)[1]["token"]
    assert re.fullmatch("redacted:[0-9a-f]{16}", found)
    assert own not in found


def test_the_hash_of_a_field_depends_only_on_its_value_and_the_key() -> None:
    found = [
        shown('{"token":"a"}', NAMED)[1]["token"],
        shown('x {"b":{"token":"a"}}', NAMED)[1]["b"]["token"],
        shown("a", NAMED, {"token": "a"})[1]["token"],
    ]
    assert set(found) == {hashed("a")}
    assert shown('{"token":"b"}', NAMED)[1]["token"] == hashed("b") != hashed("a")
    assert shown('{"token":"a"}', Redaction({"token": "hash"}, (), b"other"))[1]["token"] != hashed(
        "a"
    )


NAMES = st.sampled_from(["a", "user", "message", "größe", "x.y"]) | st.text(max_size=4)
EMAILS = st.from_regex(
    r"[a-z0-9][a-z0-9.+_-]{0,20}@[a-z0-9-]{1,12}(\.[a-z]{2,6}){1,2}", fullmatch=True
)
NUMBERS = st.from_regex(r"\+?[0-9]{2,4}[ /-]?[0-9]{3,6}[ -]?[0-9]{4,7}", fullmatch=True).filter(
    lambda text: (match := NUMBER.fullmatch(text)) and match["number"]
)


@st.composite
def lines_with(draw: st.DrawFn, innermost: Any) -> str:
    """Make lines that contain this value: in objects, lists and JSON strings, after text, and in
    the format of a logger. The end of a line may be missing.
    """
    value = innermost
    for _ in range(draw(st.integers(0, 5))):
        match draw(
            st.sampled_from(
                ["object", "list", "string", "ASCII", "text", "wrapper", "text wrapper"]
            )
        ):
            case "object":
                value = {draw(NAMES): 1, draw(NAMES): value}
            case "list":
                value = [1, value, "x"]
            case "string":
                value = compact(value)
            case "ASCII":
                value = json.dumps(value, indent=draw(st.none() | st.just(1)))
            case "text":
                value = "INFO got " + compact(value)
            case "wrapper":
                value = WRAPPED | {"message": value}
            case _:
                value = WRAPPED | {"message": compact(value)}
    line = value if isinstance(value, str) and draw(st.booleans()) else compact(value)
    return line[: draw(st.integers(0, len(line)))] if draw(st.booleans()) else line


@given(
    data=st.data(), name=st.sampled_from(["password", "token", "größe"]), text=st.text(max_size=5)
)
def test_no_value_of_a_named_field_is_sent(data: st.DataObject, name: str, text: str) -> None:
    value = data.draw(
        st.sampled_from([SECRET + text, {"a": SECRET}, [SECRET], f'{{"{name}": "{SECRET}"}}'])
    )
    line = data.draw(lines_with({"a": text, name: value, "b": 1}))
    assert SECRET.encode() not in source(line, ALL)
    assert SECRET.encode() not in source(
        "x " + line, ALL, {"a": line, "b": {"c": line}, name: value}
    )


@given(data=st.data(), secret=EMAILS | NUMBERS)
@example(data=None, secret="a@b.de")
def test_nothing_that_matches_a_pattern_is_sent(data: st.DataObject | None, secret: str) -> None:
    values: list[Any] = [
        secret,
        f"to {secret}, now",
        {secret: 1},
        {"a": [secret]},
        f'{{"a": "{secret}"}}',
        f"<{secret}",
    ]
    for value in values if data is None else [data.draw(st.sampled_from(values))]:
        line = (
            compact(value)
            if data is None
            else data.draw(lines_with(value).filter(lambda line: secret in line))
        )
        assert secret.encode() not in source(line, MASKED)
        assert secret.encode() not in source(
            line, MASKED, {"a": line, "b": {"c": line}, "d": secret}
        )

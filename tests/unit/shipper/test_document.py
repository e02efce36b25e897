"""Tests how a log line becomes a document: envelope, fields, id and index.

The envelope consists of the fields that only the shipper writes, such as `@id`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from shipper.decode import LAST_MILLISECOND, LogEvent, Payload
from shipper.document import (
    ENVELOPE,
    METADATA,
    NO_FIELDS,
    RESERVED,
    Document,
    Form,
    Rules,
    documents,
    spliced,
    written,
)
from shipper.json_text import clean
from shipper.partial_document import less
from shipper.prediction import is_live, recognised
from shipper.provenance import RECORD_FILTER
from shipper.read import Kind, read
from shipper.redact import Redaction

NOON = 1795435200123  # 2026-11-23T12:00:00.123Z
NOW = NOON + 4321
MIDNIGHT = 1795392000000  # 2026-11-23T00:00:00Z
STANDARD = {
    "@id": "385",
    "@timestamp": "2026-11-23T12:00:00.123Z",
    "@delay_ms": 4321,
    "@position": 0,
    "@kind": "log",
    "@owner": "123456789012",
    "@log_group": "group",
    "@log_stream": "stream",
}
REDACTION = Rules(
    redaction=Redaction({"password": "drop", "token": "hash"}, ("email", "number"), b"key")
)
RULES = [
    Rules(),
    Rules(frozenset({Kind.PLATFORM, Kind.METRICS})),
    Rules(frozenset({Kind.OBJECT})),
    Rules(frozenset(Kind)),
    REDACTION,
]
WRAPPED = {"timestamp": "2026-11-23T12:00:00Z", "level": "INFO"}
MEGABYTE = 1_000_000
SAMPLES = {
    Kind.PLATFORM: [
        "START RequestId: abc Version: $LATEST\n",
        "REPORT RequestId: abc\tDuration: 1.5 ms\tMemory Size: 128 MB",
        '{"time":"2026-11-23T12:00:00Z","type":"platform.start","record":{"requestId":"abc"}}',
        'x {"record":{},"type":"platform.report"}',
        '{"record":{},"\\u0074ype":"platform.report"}',
    ],
    Kind.METRICS: [
        '{"_aws":{"Timestamp":1},"lines":5}',
        '{"lines":5,"\\u005faws":"\\u0000"}',
        '"{\\"_aws\\":{}}"',
    ],
    Kind.OBJECT: [
        '{"n":1}',
        'INFO {"n":1}',
        '{"n":NaN}',
        '"{\\"n\\":1}"',
        "{}",
        '{"type":"platform.start"}',
        '{"type":1,"record":{}}',
    ],
    Kind.TEXT: [
        "words",
        "",
        "[1]",
        '{"broken":',
        "5",
        "REPORT of the day",
        "START RequestId: \ud800 and more",
    ],
}

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # may contain lone surrogates
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.text(max_size=5) | st.sampled_from(
    [
        *sorted(RESERVED),
        "_aws",
        "message",
        "type",
        "record",
        "level",
        "timestamp",
        "prediction",
        "@",
        "_",
        "a.b",
    ]
)
OBJECTS = st.dictionaries(NAMES, TREES, max_size=5)


def payload(
    *lines: str,
    timestamp: int = NOON,
    identifier: str = "385",
    extracted: dict[str, Any] | None = None,
) -> Payload:
    events = [
        LogEvent(identifier, timestamp, Raw(json.dumps(line).encode()), extracted) for line in lines
    ]
    return Payload("DATA_MESSAGE", "123456789012", "group", "stream", events)


def only(found: Iterable[Document]) -> Document:
    [document] = found
    return document


def made(line: str, rules: Rules = Rules(), **more: Any) -> Document:  # noqa: B008  immutable
    return only(documents(payload(line, **more), rules, Counter(), NOW))


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), (
        "OpenSearch refuses an object with two fields of the same name"
    )
    return dict(pairs)


def parsed(document: Document) -> tuple[Any, Any]:
    """Return the action and the source of a document.

    The document must have two lines. Each must be a JSON object without duplicate names.
    """
    action, source, rest = document.lines.split(b"\n")
    assert rest == b""
    assert source == document.source
    assert source.endswith(document.lines[-document.tail : -1])
    return json.loads(action, object_pairs_hook=unique), json.loads(
        source, object_pairs_hook=unique
    )


def source_of(line: str, rules: Rules = Rules(), **more: Any) -> Any:  # noqa: B008  immutable
    action, source = parsed(made(line, rules, **more))
    assert set(action) == {"create"}
    assert set(action["create"]) == {"_index", "_id"}
    return source


def spelled(value: Any) -> str:
    """Return a canonical text of a value, in which an integer differs from a float."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param(
            '{"a": 1, "b": {"c": [true, null]}}', {"a": 1, "b": {"c": [True, None]}}, id="object"
        ),
        pytest.param(
            '{"text": "ä 👍 \\n\\ud83d\\udc4d"}', {"text": "ä 👍 \n👍"}, id="object beyond ASCII"
        ),
        pytest.param('INFO 8f5ad1e0 {"n": 1}', {"n": 1}, id="text before the object"),
        pytest.param('{"n": 1} \n', {"n": 1}, id="a newline after the object"),
        pytest.param('\n\t{"n": 1}', {"n": 1}, id="a newline before the object"),
        pytest.param(
            '{\n  "n": 1,\n  "m": [\n    2\n  ]\n}\n', {"n": 1, "m": [2]}, id="pretty-printed"
        ),
        pytest.param('{\r\n"n": 1}\r\n', {"n": 1}, id="pretty-printed in Windows"),
        pytest.param('{\t"n":\r1}', {"n": 1}, id="white space in the object"),
        pytest.param("{}", {}, id="an empty object"),
        pytest.param("{ }", {}, id="an empty object with a space"),
        pytest.param("{}\n", {}, id="a newline after an empty object"),
        pytest.param('["an", "array"]', {}, id="array"),
        pytest.param('[{"n": 1}]', {}, id="array of objects"),
        pytest.param('"words"', {}, id="string"),
        pytest.param('"{\\"n\\": 1}"', {"n": 1}, id="object in a string"),
        pytest.param("5", {}, id="number"),
        pytest.param("plain words", {}, id="words"),
        pytest.param('{"broken": ', {}, id="broken"),
        pytest.param('{"n": 1} and more', {}, id="text after the object"),
        pytest.param('{"n": 1}{"n": 2}', {}, id="two objects"),
        pytest.param('{"n": 1}\u2028', {}, id="a separator that is no white space in JSON"),
        pytest.param("", {}, id="empty"),
        pytest.param('{"n": NaN, "m": -Infinity}', {"n": None, "m": None}, id="NaN"),
        pytest.param(
            '{"n": 123456789012345678901234567890}',
            {"n": 123456789012345678901234567890},
            id="a large number",
        ),
        pytest.param('{"n": "\\ud800"}', {"n": "\ufffd"}, id="half a surrogate pair"),
        pytest.param('{"n": "\ud800"}', {"n": "\ufffd"}, id="half a surrogate pair, not escaped"),
        pytest.param(
            '{"message": "words", "n": 1}', {"message": "words", "n": 1}, id="message is a text"
        ),
        pytest.param('{"message": 5, "n": 1}', {"message": 5, "n": 1}, id="message is a number"),
        pytest.param('{"message": null}', {"message": None}, id="message is null"),
        pytest.param(
            '{"message": {"n": 1}}',
            {"message": {"n": 1}},
            id="an object as message, without timestamp and level",
        ),
        pytest.param(
            '{"message": "{\\"n\\": 1}"}',
            {"message": '{"n": 1}'},
            id="JSON in a string as message, without timestamp and level",
        ),
        pytest.param(
            json.dumps({**WRAPPED, "message": {"n": 1}}),
            {**WRAPPED, "n": 1},
            id="a logger's object",
        ),
        pytest.param(
            json.dumps({**WRAPPED, "message": ' {"n": 1}'}),
            {**WRAPPED, "n": 1},
            id="a logger's JSON in a string",
        ),
        pytest.param(
            json.dumps({**WRAPPED, "message": {"@id": "x", "n": 1}}),
            {**WRAPPED, "n": 1},
            id="a logger's object with an id",
        ),
        pytest.param(
            '{"_aws": {"Timestamp": 1}, "n": 1}', {"_aws": {"Timestamp": 1}, "n": 1}, id="metrics"
        ),
        pytest.param(
            '{"a": ' * 300 + "1" + "}" * 300,
            json.loads('{"a": ' * 300 + "1" + "}" * 300),
            id="nested 300 deep",
        ),
        pytest.param(
            'START RequestId: {"a":1}',
            {"type": "platform.start", "record": {"requestId": '{"a":1}'}},
            id="an object as a request's id",
        ),
        pytest.param(
            "START RequestId: \ud800",
            {"type": "platform.start", "record": {"requestId": "\ufffd"}},
            id="half a surrogate pair as an id",
        ),
        pytest.param(
            "END RequestId: abc\n",
            {"type": "platform.end", "record": {"requestId": "abc"}},
            id="end of a request",
        ),
    ],
)
def test_a_document_has_the_envelope_and_the_fields_of_its_line(
    line: str, fields: dict[str, Any]
) -> None:
    assert source_of(line) == fields | STANDARD | {"@message": line}


@pytest.mark.parametrize(
    "value", ['"x"', '"\\u0000"', '""', "0", "null", "{}", "[]", "1e5", "true"]
)
@pytest.mark.parametrize("name", sorted(RESERVED))
def test_fields_of_a_line_are_left_out_if_their_names_are_reserved(name: str, value: str) -> None:
    escaped = f"\\u{ord(name[0]):04X}{name[1:]}"
    for spelling in (name, escaped):
        for line in (
            f'{{"{spelling}":{value},"n":1}}',
            f'{{"n":1, "{spelling}": {value}}}',
            f'x {{"{spelling}":{value},"n":1}}\n',
        ):
            assert source_of(line) == STANDARD | {"@message": line, "n": 1}
    alone = f'{{"{escaped}":{value}}}'
    assert source_of(alone) == STANDARD | {"@message": alone}
    below = f'{{"a":{{"{name}":{value}}}}}'
    assert source_of(below) == STANDARD | {"@message": below, "a": {name: json.loads(value)}}


def test_the_list_of_reserved_names_is_complete() -> None:
    assert set(STANDARD) | {"@message", "@rescued", "@stack", "@function_version"} == set(ENVELOPE)
    assert {"_id", "_index", "_source", "_routing", "_version"} < set(METADATA)


@pytest.mark.parametrize(
    "name",
    [
        "@ID",
        "id",
        "_Id",
        "@",
        "_",
        "",
        ".",
        "@aws.account",
        "_own.x",
        "a.@id",
        "@id ",
        "@message2",
        "_aws2",
    ],
)
def test_names_that_are_not_reserved_are_kept(name: str) -> None:
    assert source_of(json.dumps({name: 1}))[name] == 1


@pytest.mark.parametrize(
    "line",
    [
        '\n{"index":{"_index":"x"}}\n',
        '{"a":1}\n{"delete":{"_index":"x","_id":"y"}}\n',
        '{"a":1}\n{"create":{"_index":"x"}}\n{"b":2}\n',
        '{"a":\n1}',
        '{"a":1\n}',
        '{"a":"x\ny"}',
        '{"a":"x\\ny"}',
        '"\n',
        '"}\n{"delete":{"_index":"x","_id":"y"}}',
        '","_id":"y',
        "\\",
        '\\"',
        "\r\n{}\r\n",
        '{"a":1}\r{"index":{}}\r',
        '{"a":1}\u2028{"index":{}}',
        '{"a":1}\x85\x0b\x0c\x1c',
        "\0\x1b[31m\x7f",
        "\ud800\n\udc00",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("rules", [Rules(), REDACTION], ids=["as they are", "redacted"])
def test_any_line_is_one_document(line: str, rules: Rules) -> None:
    assert source_of(line, rules)["@message"] == line or rules is REDACTION
    assert source_of("words", rules, extracted=clean({"a": line, line: "x"}))["@message"] == "words"
    odd = Payload("DATA_MESSAGE", line, line, line, [LogEvent(line, NOON, Raw(b'"words"'))])
    action, source = parsed(only(documents(odd, rules, Counter(), NOW)))
    assert [source[name] for name in ("@id", "@owner", "@log_group", "@log_stream")] == [line] * 4
    assert set(action) == {"create"}


@pytest.mark.parametrize(
    "line",
    [
        "x" * MEGABYTE,
        json.dumps({"a": "ä\n" * (MEGABYTE // 3)}),
        "[" * MEGABYTE,
        '{"a":' * (MEGABYTE // 5),
    ],
)
def test_a_long_line_is_kept_whole(line: str) -> None:
    source = source_of(line)
    assert source.pop("@message") == line
    assert source.get("a", "ä\n").startswith("ä\n")


@pytest.mark.parametrize("depth", [254, 255, 600, 1024, 1025, 5_000, 100_000])
@pytest.mark.parametrize(
    "rules",
    [Rules(), Rules(redaction=Redaction({}, ("email",), b""))],
    ids=["as they are", "redacted"],
)
def test_a_line_is_kept_however_deeply_its_fields_are_nested(depth: int, rules: Rules) -> None:
    line = '{"a":' * depth + "1" + "}" * depth
    document = made(line, rules)
    assert document.lines.count(b"\n") == 2
    whole = less(document, {})
    assert whole is not None
    found = json.loads(whole.source)["@message"]
    assert found == line or (found.startswith("[withheld") and rules.redaction and depth >= 600)


def test_a_line_is_kept_although_its_extracted_fields_are_nested_too_deeply() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert source_of("words", extracted={"a": deep}) == STANDARD | {"@message": "words"}


@pytest.mark.parametrize(
    ("timestamp", "index", "moment"),
    [
        pytest.param(NOON, "cwl-log-2026.11.23", "2026-11-23T12:00:00.123Z", id="noon"),
        pytest.param(
            MIDNIGHT,
            "cwl-log-2026.11.23",
            "2026-11-23T00:00:00.000Z",
            id="first millisecond of the day",
        ),
        pytest.param(
            MIDNIGHT - 1,
            "cwl-log-2026.11.22",
            "2026-11-22T23:59:59.999Z",
            id="last millisecond of the day before",
        ),
        pytest.param(
            MIDNIGHT + 7, "cwl-log-2026.11.23", "2026-11-23T00:00:00.007Z", id="leading zeros"
        ),
        pytest.param(0, "cwl-log-1970.01.01", "1970-01-01T00:00:00.000Z", id="earliest"),
        pytest.param(
            LAST_MILLISECOND, "cwl-log-9999.12.31", "9999-12-31T23:59:59.999Z", id="latest"
        ),
        pytest.param(
            1709164800000, "cwl-log-2024.02.29", "2024-02-29T00:00:00.000Z", id="leap day"
        ),
    ],
)
def test_the_day_is_in_the_index_name_and_the_time_in_the_document(
    timestamp: int, index: str, moment: str
) -> None:
    action, source = parsed(made("words", timestamp=timestamp))
    assert action["create"]["_index"] == index
    assert source["@timestamp"] == moment


@given(timestamp=st.integers(0, LAST_MILLISECOND))
def test_no_time_is_rounded(timestamp: int) -> None:
    action, source = parsed(made("words", timestamp=timestamp))
    moment = datetime.fromisoformat(source["@timestamp"])
    assert moment == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp)
    assert (
        action["create"]["_index"]
        == f"cwl-log-{moment.year:04d}.{moment.month:02d}.{moment.day:02d}"
    )


@pytest.mark.parametrize(
    ("identifier", "own"),
    [
        pytest.param(
            "38500000000000000000000000000000000000000000000000000000",
            True,
            id="an id of CloudWatch",
        ),
        pytest.param("x" * 512, True, id="512 bytes"),
        pytest.param("x" * 513, False, id="513 bytes"),
        pytest.param("ä" * 256, True, id="512 bytes beyond ASCII"),
        pytest.param("ä" * 257, False, id="514 bytes beyond ASCII"),
        pytest.param("👍" * 128, True, id="512 bytes beyond the first plane"),
        pytest.param("", False, id="empty"),
        pytest.param('"', True, id="a quote"),
        pytest.param("a\nb\\\0", True, id="characters that JSON escapes"),
        pytest.param('","_index":"x', True, id="text that looks like another index"),
        pytest.param("\ud800", False, id="half a surrogate pair"),
        pytest.param("a\udfff", False, id="half a surrogate pair after a letter"),
        pytest.param("\ufffd", True, id="the replacement character"),
    ],
)
def test_an_id_that_opensearch_refuses_is_replaced_by_a_digest(
    identifier: str, *, own: bool
) -> None:
    action, source = parsed(made("words", identifier=identifier))
    assert source["@id"] == identifier
    digest = hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest()
    assert action["create"]["_id"] == (identifier if own else digest)


@given(identifier=ANY_TEXT | st.text(min_size=160, max_size=520))
def test_every_id_can_be_sent(identifier: str) -> None:
    action, source = parsed(made("words", identifier=identifier))
    assert 0 < len(action["create"]["_id"].encode()) <= 512
    assert source["@id"] == json.loads(json.dumps(identifier))


@pytest.mark.parametrize(
    "excluded",
    [frozenset(some) for count in range(5) for some in combinations(Kind, count)],
    ids=lambda some: ",".join(sorted(some)),
)
@pytest.mark.parametrize("redaction", [None, REDACTION.redaction], ids=["as they are", "redacted"])
@pytest.mark.parametrize(
    "extracted", [None, {"n": "5"}], ids=["no extracted fields", "with extracted fields"]
)
def test_lines_of_excluded_kinds_are_only_counted(
    excluded: frozenset[Kind], redaction: Redaction | None, extracted: dict[str, Any] | None
) -> None:
    lines = [line for some in SAMPLES.values() for line in some]
    counted: Counter[str] = Counter()
    found = list(
        documents(payload(*lines, extracted=extracted), Rules(excluded, redaction), counted, NOW)
    )
    kept = [line for kind, some in SAMPLES.items() for line in some if kind not in excluded]
    assert [parsed(document)[1]["@message"] for document in found] == kept or redaction
    assert len(found) == len(kept)
    assert counted == {kind: len(SAMPLES[kind]) for kind in excluded}


@pytest.mark.parametrize(
    "line", ["words", '{"n":1}', "x" * 1000, '{"@rescued":"x"}', "", "START RequestId: abc"]
)
@pytest.mark.parametrize("rules", [Rules(), REDACTION], ids=["as they are", "redacted"])
def test_a_refused_document_loses_its_fields_and_a_document_refused_twice_has_no_reason_either(
    line: str, rules: Rules
) -> None:
    """After the first refusal, the reason of the refusal is in the field `@rescued`."""
    whole = made(line, rules)
    reasoned = less(whole, {"status": "400", "type": 'a "type"\n'})
    assert reasoned is not None
    bare = less(reasoned, {"status": "500"})
    assert bare is not None
    assert less(bare, {}) is None
    assert [document.form for document in (whole, reasoned, bare)] == [
        Form.WHOLE,
        Form.RESCUED,
        Form.BARE,
    ]
    envelope = STANDARD | {"@message": line}
    assert parsed(reasoned)[1] == envelope | {"@rescued": {"status": "400", "type": 'a "type"\n'}}
    assert parsed(bare)[1] == envelope
    assert parsed(whole)[0] == parsed(reasoned)[0] == parsed(bare)[0]


@given(
    line=ANY_TEXT | st.builds(json.dumps, OBJECTS),
    error=st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_any_refused_document_can_lose_its_fields(line: str, error: dict[str, str]) -> None:
    whole = made(line)
    reasoned = less(whole, error)
    assert reasoned is not None
    bare = less(reasoned, {})
    assert bare is not None
    envelope = {name: value for name, value in parsed(whole)[1].items() if name in ENVELOPE}
    assert parsed(reasoned)[1] == envelope | {"@rescued": error}
    assert parsed(bare)[1] == envelope


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"a": 1},
        {"@id": 1},
        {"@id": 1, "a": {"@id": 2}},
        {"_id": 1, "": None},
        {"a": float("nan")},
    ],
    ids=str,
)
def test_fields_with_reserved_names_are_not_written(fields: dict[str, Any]) -> None:
    tail = written(fields)
    left = {
        name: None if value != value else value  # noqa: PLR0124  NaN
        for name, value in fields.items()
        if name not in RESERVED
    }
    assert json.loads(b'{"@":0' + tail) == {"@": 0} | left
    assert (tail == NO_FIELDS) == (not left)


@st.composite
def json_text(draw: st.DrawFn, value: Any) -> str:
    """Write a value as JSON, with random white space, escapes and exponents."""

    def space() -> str:
        return draw(st.sampled_from(["", "", "", " ", "\n", "\t", "\r", "  "]))

    def text(value: str) -> str:
        return (
            '"'
            + "".join(
                f"\\u{ord(each):04x}"
                if ord(each) < 2**16 and draw(st.booleans())
                else json.dumps(each, ensure_ascii=False)[1:-1]
                for each in value
            )
            + '"'
        )

    def write(value: Any) -> str:
        if isinstance(value, dict):
            return (
                "{"
                + ",".join(
                    f"{space()}{text(name)}{space()}:{write(inner)}"
                    for name, inner in value.items()
                )
                + space()
                + "}"
            )
        if isinstance(value, list):
            return "[" + ",".join(map(write, value)) + "]"
        if isinstance(value, str):
            return space() + text(value) + space()
        if isinstance(value, float):
            return draw(st.sampled_from([repr(value), f"{value:.17e}", f"{value:.3E}"]))
        return space() + json.dumps(value) + space()

    return write(value)


STARTS = st.sampled_from(
    [
        "",
        "",
        "",
        " ",
        "\n",
        "INFO ",
        "START RequestId: ",
        "REPORT RequestId: x Duration: ",
        '"',
        "{",
        "\u2028",
    ]
)
ENDS = st.sampled_from(["", "", "", "\n", " \r\n", "\u2028", "\x0b", "\x1c", "}", " x", "\0"])


@given(data=st.data(), fields=OBJECTS, start=STARTS, end=ENDS)
def test_copied_fields_are_equal_to_parsed_fields(
    data: st.DataObject, fields: dict[str, Any], start: str, end: str
) -> None:
    check_copied_fields(start + data.draw(json_text(fields)) + end)


@pytest.mark.parametrize(
    "line",
    [
        *(line for some in SAMPLES.values() for line in some),
        '{"a":1}\x1c',
        '{"a":1}\xa0',
        'REPORT RequestId: x Duration: {"a":1}',
        'REPORT x {"a":1}',
        'INIT_REPORT Init Duration: {"a":1}',
        '{"@id":"\\u0000"}',
        '{"_\\u0061ws":"\\u0000"}',
        '{"message":" \\u007b\\"a\\":1}","level":1,"timestamp":1}',
        '{"message":"\\u2028{}","level":1,"timestamp":1}',
        '{"message":"\\"{\\\\\\"a\\\\\\":1}\\"","level":1,"timestamp":1}',
        '{not} {"a":1}',
        '{{"a":1}',
        '{ "b":{"a":1}',
        '{"message":"words","message":"{}","level":1,"timestamp":1}',
        '{"message":"{}","message":"words","level":1,"timestamp":1}',
        '{"a":01}',
        '{"a":1.}',
        '{"a":.5}',
        '{"a":-}',
        '{"a":+1}',
        '{"a":1e}',
        '{"a":tru}',
        '{"a":True}',
        "{\"a\":'b'}",
        '{"a":[1,]}',
        '{"a":1,}',
        '{"a":1 "b":2}',
        '{"a" 1}',
        '{"a":"\\x"}',
        '{"a":"\\u12"}',
        '{"a":"\x00"}',
        '{"a":"\t"}',
        '{"a":"\\ud800"}',
        '{"a":"\\udc00\\ud800"}',
        '{"\\ud800":1}',
        '{"a":/**/1}',
        '{"a":1}//',
        '\ufeff{"a":1}',
        '{"a":[1}',
        '{"a":{"b":[{"c":}]}}',
    ],
    ids=ascii,
)
def test_copied_fields_are_equal_to_parsed_fields_in_odd_lines(line: str) -> None:
    check_copied_fields(line)


@pytest.mark.parametrize("name", sorted(RESERVED))
@pytest.mark.parametrize(
    "line", ['{"%s.x":1}', '{"a_b":"c_d \\\\ e@f","%s.x":1}', '{"n":{"%s.x" :1}}']
)
def test_a_line_with_a_name_that_begins_like_a_reserved_name_is_parsed(
    line: str, name: str
) -> None:
    escaped = f"\\u00{ord(name[0]):02x}{name[1:]}"
    assert [spliced(line % each) for each in (name, escaped)] == [None, None]


def check_copied_fields(line: str) -> None:
    """Check that `spliced`, which copies the fields as text, agrees with `read`, which parses them.

    If `spliced` returns None, the line is parsed anyway.
    """
    found = spliced(line)
    quick = spliced(line, platform_matters=True)
    if found is None:
        assert quick is None
        return
    tail = found.tail
    kind, fields = read(line)
    if not found.unsure:
        assert recognised(fields, {}) == (found.kind, fields)
    assert found.live == is_live(fields)
    assert tail.endswith(b"}\n")
    assert tail.count(b"\n") == 1
    assert spelled(json.loads(b"{" + tail[1:])) == spelled(
        json.loads(b"{" + written(fields).removeprefix(b","))
    )
    assert kind in {Kind.OBJECT, Kind.PLATFORM}
    assert (quick and quick.tail) == tail or (quick is None and '"type"' in json.dumps(fields))
    assert quick is None or kind is Kind.OBJECT


@pytest.mark.parametrize(
    "line",
    [
        '{"a":1}',
        '{"a":{"@id":1,"_aws":{}},"b":[{"message":{}}]}',
        'INFO x {"a":1}\n',
        '{"message":"words","type":"x","level":"INFO","timestamp":1}',
        '{"a":"ä\\n\\u00e4 \\ud83d\\udc4d"} \r\n',
        '{"a" : [ 1 , 2.50 ] }',
    ],
)
def test_the_fields_of_most_lines_are_copied_unchanged(line: str) -> None:
    found = spliced(line)
    assert found is not None
    inner = line.strip()
    assert found.tail == b"," + inner[inner.index("{") + 1 :].encode() + b"\n"


@given(
    line=ANY_TEXT | st.builds(lambda start, fields: start + json.dumps(fields), STARTS, OBJECTS),
    rules=st.sampled_from(RULES),
)
@example(line='{"n":"\ud800"}', rules=Rules())
def test_any_line_becomes_one_document_or_is_excluded(line: str, rules: Rules) -> None:
    counted: Counter[str] = Counter()
    found = list(documents(payload(line), rules, counted, NOW))
    assert len(found) + counted.total() == 1
    assert set(counted) <= rules.exclude
    for document in found:
        _, source = parsed(document)
        assert {name: source[name] for name in STANDARD} == STANDARD
        assert rules.redaction or source["@message"] == json.loads(json.dumps(line))


EVENTS = st.builds(
    lambda identifier, timestamp, line, extracted: LogEvent(
        identifier, timestamp, Raw(json.dumps(line).encode()), extracted
    ),
    ANY_TEXT,
    st.integers(0, LAST_MILLISECOND),
    ANY_TEXT
    | st.builds(json.dumps, OBJECTS)
    | st.sampled_from([line for some in SAMPLES.values() for line in some]),
    st.none() | st.dictionaries(st.text(), st.text() | TREES, max_size=3),
)


@given(events=st.lists(EVENTS, max_size=6), rules=st.sampled_from(RULES), group=ANY_TEXT)
def test_each_event_becomes_one_document_or_is_excluded(
    events: list[LogEvent], rules: Rules, group: str
) -> None:
    counted: Counter[str] = Counter()
    found = list(documents(Payload("DATA_MESSAGE", "1", group, group, events), rules, counted, NOW))
    assert len(found) + counted.total() == len(events)
    assert all(
        parsed(document)[1]["@log_group"] == json.loads(json.dumps(group)) for document in found
    )


@given(value=st.dictionaries(st.text(max_size=5), TREES, max_size=4))
def test_fields_keep_their_values(value: dict[str, Any]) -> None:
    line = json.dumps(value)
    kept = {name: inner for name, inner in value.items() if name not in RESERVED}
    assert source_of(line) == kept | STANDARD | {"@message": line}


@pytest.mark.parametrize(
    ("extracted", "fields"),
    [
        pytest.param(
            {"ip": "10.0.0.1", "status": "200", "size": "-"},
            {"ip": "10.0.0.1", "status": 200},
            id="fields of an access log",
        ),
        pytest.param({"a": "", "@id": "x", "_id": "y"}, {}, id="empty and reserved fields"),
        pytest.param(
            {"a": '{"n": 1}'}, {"a": '{"n": 1}', "$a": {"n": 1}}, id="an object in a field"
        ),
        pytest.param({}, {"n": 1}, id="no extracted fields: the fields of the line are used"),
    ],
)
def test_a_document_has_the_fields_that_the_filter_pattern_extracted(
    extracted: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert source_of('{"n": 1}', extracted=extracted) == fields | STANDARD | {
        "@message": '{"n": 1}'
    }


PREDICTION = '{"message":"prediction","prediction":{"label":"first","score":0.9}}'


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (PREDICTION, "prediction"),
        ('{"message":"prediction"}', "prediction"),
        ('{"message":"prediction_error","error":{"status":400}}', "prediction_error"),
        ('{"m\\u0065ssage":"\\u0070rediction"}', "prediction"),
        *(
            (json.dumps({"message": kind}), kind)
            for kind in ("feedback", "drift", "verdict", "canary")
        ),
        ('{"text":"hf","prediction":{"label":"negative","score":0.98}}', "prediction"),
        ('{"message":"served","prediction":{"label":"negative","score":0.98}}', "prediction"),
        (
            '{"timestamp":"2026-11-23T12:00:00Z","level":"INFO","message":{"prediction":{"label":"negative"}}}',
            "prediction",
        ),
        (
            '{"timestamp":"2026-11-23T12:00:00Z","level":"INFO","message":"{\\"message\\":\\"prediction\\"}"}',
            "prediction",
        ),
        ('INFO {"message":"prediction"}', "prediction"),
        ('{"message":"served","prediction":{"score":0.98}}', "log"),
        ('{"message":"served","prediction":{"label":5}}', "prediction"),
        ('{"message":"served","prediction":{"label":""}}', "log"),
        ('{"message":"served","prediction":null}', "log"),
        ('{"message":"served","prediction":"negative"}', "log"),
        ('{"message":"served","prediction":[{"label":"negative"}]}', "log"),
        ('{"message":"log"}', "log"),
        ('{"message":"Prediction"}', "log"),
        ('{"message":["prediction"]}', "log"),
        ('{"a":{"message":"prediction"}}', "log"),
        ("prediction", "log"),
        ("START RequestId: prediction", "log"),
        ('{"type":"platform.report","record":{}}', "log"),
        ('{"_aws":{"message":"prediction"},"n":1}', "log"),
        ("", "log"),
    ],
)
def test_the_kind_of_a_line_of_a_trusted_group_follows_from_its_fields(
    line: str, kind: str
) -> None:
    """Redaction does not change the kind, even if it drops the field that decides the kind."""
    redaction = Redaction({"message": "drop", "prediction": "drop"}, ("email",), b"key")
    for rules in (Rules(), Rules(redaction=redaction)):
        action, source = parsed(made(line, rules._replace(record_groups=frozenset({"group"}))))
        assert source["@kind"] == kind
        assert action["create"]["_index"] == (
            "cwl-log-2026.11.23" if kind == "log" else "cwl-2026.11.23"
        )
        action, source = parsed(made(line, rules._replace(record_groups=frozenset({"another"}))))
        assert (source["@kind"], action["create"]["_index"]) == ("log", "cwl-log-2026.11.23")


@pytest.mark.parametrize(
    ("filters", "groups", "kind"),
    [
        ([], {"group"}, "prediction"),
        (["ShipperFunctionPredictions-1X"], {"group"}, "prediction"),
        # In a trusted log group, the filter does not matter. Otherwise a line that two filters
        # match could become two different documents.
        (
            ["MoreLogs1"],
            {"group"},
            "prediction",
        ),
        ([RECORD_FILTER], set(), "prediction"),
        (["MoreLogs1", RECORD_FILTER], {"another"}, "prediction"),
        ([], set(), "log"),
        (["MoreLogs1"], {"another", "GROUP", "grou"}, "log"),
        (["ShipperFunctionPredictions-1X", f"{RECORD_FILTER}-2"], set(), "log"),
    ],
)
def test_a_record_is_trusted_because_of_its_group_or_its_filter(
    filters: list[str], groups: set[str], kind: str
) -> None:
    from_filter = msgspec.structs.replace(payload(PREDICTION), filters=filters)
    _, source = parsed(
        only(documents(from_filter, Rules(record_groups=frozenset(groups)), Counter(), NOW))
    )
    assert source["@kind"] == kind


def test_a_forged_envelope_is_replaced() -> None:
    line = (
        '{"@kind":"prediction","@stack":"prod","@position":7,"@function_version":"9",'
        '"message":"prediction"}'
    )
    assert source_of(line) == STANDARD | {"@message": line, "message": "prediction"}


def test_a_document_has_its_stack_its_position_and_an_index_with_the_prefix() -> None:
    rules = Rules(stack='a "stack"', prefix="dev-cwl-", record_groups=frozenset({"group"}))
    found = [
        parsed(document)
        for document in documents(payload(PREDICTION, "words", PREDICTION), rules, Counter(), NOW)
    ]
    assert [action["create"]["_index"] for action, _ in found] == [
        "dev-cwl-2026.11.23",
        "dev-cwl-log-2026.11.23",
        "dev-cwl-2026.11.23",
    ]
    assert [source["@stack"] for _, source in found] == ['a "stack"'] * 3
    assert [source["@position"] for _, source in found] == [0, 1, 2]


def test_excluded_lines_do_not_change_the_position_of_other_lines() -> None:
    found = documents(payload("words", PREDICTION), Rules(frozenset({Kind.TEXT})), Counter(), NOW)
    assert parsed(only(found))[1]["@position"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "@rescued.type",
        "@id.x",
        "_id.x",
        "@kind.a.b",
        "@stack.",
        "\\u0040rescued.type",
        "@rescued\\u002Etype",
    ],
)
@pytest.mark.parametrize("rules", [Rules(), REDACTION], ids=["as they are", "redacted"])
def test_a_name_is_reserved_if_its_part_before_the_first_dot_is_reserved(
    name: str, rules: Rules
) -> None:
    for line in (
        f'{{"{name}":"forged","n":1}}',
        f'{{"n":1, "{name}" : {{"a":1}}}}',
        f'INFO {{"{name}":"forged","n":1}}',
    ):
        source = source_of(line, rules)
        assert source["n"] == 1
        assert source.keys() <= STANDARD.keys() | {"@message", "n"}


def test_fields_are_copied_if_only_their_values_look_like_reserved_names() -> None:
    assert spliced('{"text":"@somebody said. So","a":"_id.x","b":["@id.x"]}') is not None


ORDER = '{"level":"ERROR","message":"payment failed","order":{"id":17}}'
# CloudWatch adds these system fields to a line if its subscription asks for them.
SYSTEM = {"@aws.account": "111122223333", "@aws.region": "eu-west-1"}


@pytest.mark.parametrize(
    ("line", "extracted", "fields"),
    [
        (ORDER, SYSTEM, json.loads(ORDER) | SYSTEM),
        ("words", SYSTEM, SYSTEM),
        ("words", {"@aws.account": "", "@aws.region": None}, {}),
        (
            "1.2.3.4 5 -",
            SYSTEM | {"ip": "1.2.3.4", "n": "5", "size": "-"},
            SYSTEM | {"ip": "1.2.3.4", "n": 5},
        ),
        ('{"@aws.account":"forged","n":1}', SYSTEM, SYSTEM | {"n": 1}),
        (ORDER, {"@id": "x", "@rescued.type": "y"}, json.loads(ORDER)),
        (
            "END RequestId: abc",
            SYSTEM,
            SYSTEM | {"type": "platform.end", "record": {"requestId": "abc"}},
        ),
    ],
)
def test_system_fields_are_added_to_the_fields_of_the_line(
    line: str, extracted: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert source_of(line, extracted=extracted) == fields | STANDARD | {"@message": line}


def test_a_prediction_with_system_fields_is_recognised() -> None:
    rules = Rules(record_groups=frozenset({"group"}))
    assert source_of(PREDICTION, rules, extracted=SYSTEM)["@kind"] == "prediction"

"""Tests which fields the shipper finds in a log line, and which kind of line it is."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipper.json_text import clean, json_object
from shipper.read import Kind, number, platform, read, read_extracted, unwrapped
from tests.unit.conftest import at_most

REQUEST = "8f5ad1e0-3c1c-4f9a-9a57-1f2b3c4d5e6f"
MEGABYTE = 1_000_000
WRAPPED = {"timestamp": "2026-11-23T12:00:00Z", "level": "INFO", "requestId": REQUEST}
EMF = {"_aws": {"Timestamp": 1, "CloudWatchMetrics": []}, "lines": 5}
REPORTED = {
    "requestId": REQUEST,
    "metrics": {
        "durationMs": 12.34,
        "billedDurationMs": 13,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 66,
        "initDurationMs": 210.5,
    },
}
REPORT = (
    f"REPORT RequestId: {REQUEST}\tDuration: 12.34 ms\tBilled Duration: 13 ms\t"
    "Memory Size: 128 MB\tMax Memory Used: 66 MB\tInit Duration: 210.5 ms\t"
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


def wrapper(message: Any, **changes: Any) -> str:
    return json.dumps(WRAPPED | {"message": message} | changes)


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param(
            '{"a": 1, "b": {"c": [true, null]}}', {"a": 1, "b": {"c": [True, None]}}, id="object"
        ),
        pytest.param(' \t{"a": 1} \r\n', {"a": 1}, id="white space around the object"),
        pytest.param('{\n  "a": 1\n}\n', {"a": 1}, id="pretty-printed"),
        pytest.param("{}", {}, id="an empty object"),
        pytest.param('INFO 8f5ad1e0 {"n": 1}', {"n": 1}, id="text before the object"),
        pytest.param(
            '[INFO]\t2026-11-23T12:00:00Z\tabc\t{"n": 1}\n',
            {"n": 1},
            id="text of Lambda's own logger before the object",
        ),
        pytest.param('"quoted" {"n": 1}', {"n": 1}, id="a string before the object"),
        pytest.param('"{\\"n\\": 1}"', {"n": 1}, id="an object in a string"),
        pytest.param('"INFO {\\"n\\": 1}"\n', {"n": 1}, id="an object in a string, after text"),
        pytest.param(' \t"{\\"n\\": 1}"', {"n": 1}, id="an object in a string, after white space"),
        pytest.param(
            '{"n": "{\\"m\\": 1}"}', {"n": '{"m": 1}'}, id="a string in an object stays a string"
        ),
        pytest.param(
            '{"n": NaN, "m": [Infinity, -Infinity]}',
            {"n": None, "m": [None, None]},
            id="NaN and infinity",
        ),
        pytest.param(
            '{"n": 1e999, "m": -1e999}', {"n": None, "m": None}, id="beyond the range of a float"
        ),
        pytest.param(
            '{"n": "\\ud800a", "\\udfff": 1}',
            {"n": "\ufffda", "\ufffd": 1},
            id="escaped lone surrogates",
        ),
        pytest.param(
            '{"n": "\ud800a", "m": "ä\\ud83d\\udc4d"}',
            {"n": "\ufffda", "m": "ä👍"},
            id="lone surrogates without an escape",
        ),
        pytest.param(
            '{"n": 123456789012345678901234567890}',
            {"n": 123456789012345678901234567890},
            id="more than 64 bits",
        ),
        pytest.param(
            '{"n": -18446744073709551617}',
            {"n": -18446744073709551617},
            id="more than 64 bits, negative",
        ),
        pytest.param('{"n": 0.1, "m": 1e5, "k": -0}', {"n": 0.1, "m": 1e5, "k": 0}, id="numbers"),
        pytest.param('{"n": 1, "n": 2}', {"n": 2}, id="a name twice"),
        pytest.param('{"n": NaN, "n": 2}', {"n": 2}, id="a name twice, first with NaN"),
        pytest.param(
            '{"type": "platform.start"}', {"type": "platform.start"}, id="type without a record"
        ),
        pytest.param(
            '{"type": "other.start", "record": {}}',
            {"type": "other.start", "record": {}},
            id="another type with a record",
        ),
        pytest.param(
            '{"type": ["platform.start"], "record": {}}',
            {"type": ["platform.start"], "record": {}},
            id="a type that is no text",
        ),
        pytest.param(nested(300), json.loads(nested(300)), id="nested 300 deep"),
        pytest.param('REPORT of the day {"n": 1}', {"n": 1}, id="an object after the word REPORT"),
        pytest.param('START {"n": 1}', {"n": 1}, id="an object after the word START"),
    ],
)
def test_a_json_object_in_a_line_is_found(line: str, fields: dict[str, Any]) -> None:
    assert read(line) == (Kind.OBJECT, fields)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("plain words", id="words"),
        pytest.param('["an", "array"]', id="array"),
        pytest.param('[{"n": 1}]', id="array of objects"),
        pytest.param('"words"', id="string"),
        pytest.param('"[{}]"', id="array in a string"),
        pytest.param("5", id="number"),
        pytest.param("null", id="null"),
        pytest.param("{", id="one brace"),
        pytest.param('{"broken": ', id="broken"),
        pytest.param('{"n": 01}', id="no JSON number"),
        pytest.param("{'n': 1}", id="an object as Python writes it"),
        pytest.param('{"n": 1} and more', id="text after the object"),
        pytest.param('{"n": 1}\x0b', id="a separator that is no white space in JSON"),
        pytest.param('{"n": 1}{"n": 2}', id="two objects"),
        pytest.param('{not} {"n": 1}', id="a brace before the object"),
        pytest.param('{"n": "a\nb"}', id="a newline in a string"),
        pytest.param(
            json.dumps(json.dumps(json.dumps({"n": 1}))), id="an object in a string in a string"
        ),
        pytest.param(nested(100_000), id="nested 100,000 deep"),
        pytest.param("START", id="START and nothing else"),
        pytest.param("START RequestId:", id="START without an id"),
        pytest.param(f"START RequestId: {REQUEST} and more", id="START and more text"),
        pytest.param(f"xSTART RequestId: {REQUEST}", id="a letter before START"),
        pytest.param(f"END RequestId: {REQUEST} Version: 1", id="END with a version"),
        pytest.param(f"start RequestId: {REQUEST}", id="START in lowercase letters"),
        pytest.param("REPORT all good", id="REPORT in a line that Lambda did not write"),
        pytest.param(
            "REPORT Total: 5", id="REPORT and a number in a line that Lambda did not write"
        ),
        pytest.param("REPORT RequestId: 5", id="REPORT with a request id and nothing else"),
        pytest.param(
            "REPORT RequestId: abc was late: why",
            id="REPORT and a request id in a line that Lambda did not write",
        ),
        pytest.param("INIT_REPORT done", id="INIT_REPORT without numbers"),
        pytest.param("INIT_STARTED Runtime Version: x", id="nearly INIT_START"),
    ],
)
def test_a_line_without_a_json_object_has_no_fields(line: str) -> None:
    assert read(line) == (Kind.TEXT, {})


@pytest.mark.parametrize("depth", [300, 900, 1_000, 1_100, 5_000, 10_000])
@pytest.mark.parametrize("last", ["1", "NaN"], ids=["valid JSON", "NaN"])
def test_nested_objects_are_read_in_full_or_not_at_all(depth: int, last: str) -> None:
    kind, fields = read(nested(depth).replace("1", last))
    if kind is Kind.TEXT:
        assert fields == {}
        assert depth > 500
        return
    for _ in range(depth - 1):
        fields = fields["a"]
    assert fields == {"a": None if last == "NaN" else 1}


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param(
            wrapper('{"n": 1, "m": "x"}'), {**WRAPPED, "n": 1, "m": "x"}, id="JSON in a string"
        ),
        pytest.param(
            wrapper(' \n{"n": 1}\n'),
            {**WRAPPED, "n": 1},
            id="JSON in a string with white space",
        ),
        pytest.param(
            wrapper(json.dumps(json.dumps({"n": 1}))),
            {**WRAPPED, "n": 1},
            id="JSON in a string in a string",
        ),
        pytest.param(wrapper({"n": {"m": 1}}), {**WRAPPED, "n": {"m": 1}}, id="object"),
        pytest.param(
            "INFO " + wrapper({"n": 1}), {**WRAPPED, "n": 1}, id="object, text before the wrapper"
        ),
        pytest.param(
            json.dumps(wrapper({"n": 1})), {**WRAPPED, "n": 1}, id="object, the wrapper in a string"
        ),
        pytest.param(
            wrapper({"n": 1, "level": "LOW"}),
            {**WRAPPED, "n": 1, "level": "LOW"},
            id="the inner field replaces the outer field",
        ),
        pytest.param(
            wrapper({"message": "x"}),
            {**WRAPPED, "message": "x"},
            id="the inner message replaces the outer message",
        ),
        pytest.param(
            wrapper('{"message": {"n": 1}}'), {**WRAPPED, "message": {"n": 1}}, id="unwrapped once"
        ),
        pytest.param(wrapper({}), WRAPPED, id="an empty object in a wrapper"),
        pytest.param(wrapper('{"n": NaN}'), {**WRAPPED, "n": None}, id="NaN inside"),
    ],
)
def test_the_object_in_the_message_of_a_logger_is_unwrapped(
    line: str, fields: dict[str, Any]
) -> None:
    assert read(line) == (Kind.OBJECT, fields)


@pytest.mark.parametrize(
    "message",
    [
        "words",
        "",
        '{"broken": ',
        '{"n": 1} and more',
        'INFO {"n": 1}',
        "[1]",
        '["{}"]',
        '"words"',
        "{}}",
        " ",
        5,
        None,
        [{"n": 1}],
    ],
    ids=str,
)
def test_a_message_without_an_object_is_not_changed(message: Any) -> None:
    assert read(wrapper(message)) == (Kind.OBJECT, WRAPPED | {"message": message})


@pytest.mark.parametrize("missing", ["timestamp", "level"])
@pytest.mark.parametrize("message", ['{"n": 1}', {"n": 1}], ids=["string", "object"])
def test_a_line_that_no_logger_wrote_is_not_changed(missing: str, message: Any) -> None:
    fields = {name: value for name, value in WRAPPED.items() if name != missing} | {
        "message": message
    }
    assert read(json.dumps(fields)) == (Kind.OBJECT, fields)
    assert unwrapped(fields) is fields


def test_a_line_of_powertools_is_not_changed() -> None:
    line = {
        "level": "INFO",
        "location": "handler:12",
        "message": "prediction",
        "timestamp": "2026-11-23T12:00:00.123Z",
        "service": "inference",
        "cold_start": True,
        "function_memory_size": "128",
        "prediction": {"score": 0.5},
        "xray_trace_id": "1-5e1b4151-00000000",
    }
    assert read(json.dumps(line)) == (Kind.OBJECT, line)


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(EMF),
        "INFO " + json.dumps(EMF),
        json.dumps(json.dumps(EMF)),
        json.dumps({"_aws": None, **EMF}),
    ],
    ids=["the whole line", "after text", "in a string", "the name _aws twice"],
)
def test_lines_with_metrics_are_recognised(line: str) -> None:
    assert read(line) == (Kind.METRICS, EMF)


@pytest.mark.parametrize("message", [EMF, json.dumps(EMF)], ids=["object", "string"])
def test_metrics_in_the_message_of_a_logger_are_recognised(message: Any) -> None:
    assert read(wrapper(message)) == (Kind.METRICS, WRAPPED | EMF)


@pytest.mark.parametrize(
    "end", ["", "\n", "\t\n", " "], ids=["nothing", "newline", "tab and newline", "space"]
)
@pytest.mark.parametrize(
    ("line", "kind", "record"),
    [
        pytest.param(
            f"START RequestId: {REQUEST} Version: $LATEST",
            "start",
            {"requestId": REQUEST, "version": "$LATEST"},
            id="START",
        ),
        pytest.param(
            f"START RequestId: {REQUEST}",
            "start",
            {"requestId": REQUEST},
            id="START without a version",
        ),
        pytest.param(f"END RequestId: {REQUEST}", "end", {"requestId": REQUEST}, id="END"),
        pytest.param(
            "INIT_START Runtime Version: python:3.13.v1\t"
            "Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:1f",
            "initStart",
            {
                "runtimeVersion": "python:3.13.v1",
                "runtimeVersionArn": "arn:aws:lambda:eu-west-1::runtime:1f",
            },
            id="INIT_START",
        ),
        pytest.param(
            "INIT_START Runtime Version: python:3.13.v1",
            "initStart",
            {"runtimeVersion": "python:3.13.v1"},
            id="INIT_START without an ARN",
        ),
        pytest.param(REPORT, "report", REPORTED, id="REPORT"),
        pytest.param(REPORT.replace("\t", "  "), "report", REPORTED, id="REPORT with spaces"),
        pytest.param(REPORT.replace("\t", "\n"), "report", REPORTED, id="REPORT on several lines"),
        pytest.param(
            f"{REPORT}\nXRAY TraceId: 1-5e1b4151-5ac6c58dc39a6b5a4e2f5c0a\t"
            "SegmentId: 45dca9b2e1e0f5d1\tSampled: true\t",
            "report",
            REPORTED
            | {
                "xrayTraceId": "1-5e1b4151-5ac6c58dc39a6b5a4e2f5c0a",
                "segmentId": "45dca9b2e1e0f5d1",
                "sampled": "true",
            },
            id="REPORT with X-Ray",
        ),
        pytest.param(
            f"{REPORT}Status: timeout",
            "report",
            REPORTED | {"status": "timeout"},
            id="REPORT of a timeout",
        ),
        pytest.param(
            f"{REPORT}Status: error\tError Type: Runtime.ExitError",
            "report",
            REPORTED | {"status": "error", "errorType": "Runtime.ExitError"},
            id="REPORT of an error",
        ),
        pytest.param(
            f"REPORT RequestId: {REQUEST}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms",
            "report",
            {"requestId": REQUEST, "metrics": {"durationMs": 3000.0, "billedDurationMs": 3000}},
            id="a number that ends with a zero",
        ),
        pytest.param(
            f"REPORT RequestId: {REQUEST}\tStatus: timeout",
            "report",
            {"requestId": REQUEST, "status": "timeout"},
            id="REPORT without numbers",
        ),
        pytest.param(
            "INIT_REPORT Init Duration: 9999.5 ms\tPhase: init\tStatus: error\t"
            "Error Type: Runtime.Unknown",
            "initReport",
            {
                "phase": "init",
                "status": "error",
                "errorType": "Runtime.Unknown",
                "metrics": {"initDurationMs": 9999.5},
            },
            id="INIT_REPORT",
        ),
        pytest.param(
            "RESTORE_REPORT Restore Duration: 350.5 ms\tBilled Restore Duration: 20 ms",
            "restoreReport",
            {"metrics": {"restoreDurationMs": 350.5, "billedRestoreDurationMs": 20}},
            id="RESTORE_REPORT",
        ),
        pytest.param(
            "RESTORE_START Runtime Version: java:21.v9\t"
            "Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:1f",
            "restoreStart",
            {
                "runtimeVersion": "java:21.v9",
                "runtimeVersionArn": "arn:aws:lambda:eu-west-1::runtime:1f",
            },
            id="RESTORE_START",
        ),
        pytest.param(
            "EXTENSION\tName: my-extension\tState: Ready\tEvents: [INVOKE, SHUTDOWN]",
            "extension",
            {"name": "my-extension", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
            id="EXTENSION",
        ),
        pytest.param(
            "EXTENSION\tName: internal one\tState: LaunchError\tEvents: []\t"
            "Error Type: PermissionDenied",
            "extension",
            {
                "name": "internal one",
                "state": "LaunchError",
                "events": [],
                "errorType": "PermissionDenied",
            },
            id="EXTENSION that failed",
        ),
        pytest.param(
            "LOGS\tName: my-extension\tState: Subscribed\tTypes: [platform,function]",
            "logsSubscription",
            {"name": "my-extension", "state": "Subscribed", "types": ["platform", "function"]},
            id="LOGS",
        ),
        pytest.param(
            "TELEMETRY\tName: my-extension\tState: Subscribed\tTypes: [Platform, Function]",
            "telemetrySubscription",
            {"name": "my-extension", "state": "Subscribed", "types": ["Platform", "Function"]},
            id="TELEMETRY",
        ),
        *(
            pytest.param(
                f"{start}RequestId: {REQUEST} {said}",
                "fault",
                {"requestId": REQUEST, "errorMessage": said},
                id=f"{start}{said[:14]}",
            )
            for start in ("", "FAULT ")
            for said in (
                "Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
                "Process exited before completing request",
            )
        ),
    ],
)
def test_lines_of_lambda_in_text_format_get_the_fields_of_the_json_format(
    line: str, end: str, kind: str, record: dict[str, Any]
) -> None:
    assert read(line + end) == (Kind.PLATFORM, {"type": f"platform.{kind}", "record": record})


@pytest.mark.parametrize("event", ["start", "runtimeDone", "report", "initStart", "logsDropped"])
def test_lines_of_lambda_in_json_format_are_recognised(event: str) -> None:
    line = {
        "time": "2026-11-23T12:00:00.123Z",
        "type": f"platform.{event}",
        "record": {"requestId": REQUEST, "metrics": {"durationMs": 1.5}},
    }
    assert read(json.dumps(line)) == (Kind.PLATFORM, line)


@pytest.mark.parametrize(
    "line",
    [f"START RequestId: {REQUEST} Version: $LATEST", REPORT + "Status: timeout\tXRAY TraceId: x\t"],
    ids=["START", "REPORT"],
)
def test_a_line_of_lambda_has_the_same_fields_in_text_and_in_json(line: str) -> None:
    fields = read(line).fields
    assert read(json.dumps(fields)) == (Kind.PLATFORM, fields)


def test_a_line_of_lambda_with_a_lone_surrogate_can_be_written() -> None:
    fields = read("START RequestId: \ud800 Version: \udfff").fields
    assert fields["record"] == {"requestId": "\ufffd", "version": "\ufffd"}


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        ("START RequestId: ", "x"),
        ("START RequestId: ", "x Version: "),
        ("START RequestId: x", " "),
        ("START RequestId: x Version: ", "x"),
        ("END RequestId: ", "x"),
        ("END RequestId: x", "\t"),
        ("INIT_START Runtime Version: ", "x"),
        ("INIT_START Runtime Version: x", " "),
        ("INIT_START Runtime Version: x", " Runtime Version ARN: "),
        ("INIT_START Runtime Version: x Runtime Version ARN: ", "x"),
        ("REPORT RequestId: ", "x"),
        ("REPORT RequestId: ", " "),
        ("REPORT RequestId: x", " \t"),
        ("REPORT RequestId: x Duration: ", "A"),
        ("REPORT RequestId: x Duration: 1 ", "A "),
        ("REPORT RequestId: x Duration: 1 ", "A: x "),
        ("INIT_REPORT ", "A"),
        ("INIT_REPORT ", "A "),
        ("RESTORE_REPORT", "\t"),
        ("", " "),
        ("", "{"),
        ("", '{"a":'),
        ("", '{"a":1}'),
        ("", "[{"),
        ("", '"'),
        ("", '"{'),
        ("", '"\\"{'),
        ('{"n":', "9"),
        ('{"n":', "NaN,"),
        ('{"message":"', "{"),
        ('{"timestamp":1,"level":1,"message":"', '\\"{'),
    ],
)
@pytest.mark.parametrize("end", ["\0 y", '"}'], ids=["text", "JSON"])
def test_no_line_takes_long_to_read(start: str, unit: str, end: str) -> None:
    # Reading usually takes about one second. If the time grew with the square of the length, it
    # would take hours.
    with at_most(20):
        read(start + (unit * MEGABYTE)[:MEGABYTE] + end)


@pytest.mark.parametrize(
    ("extracted", "fields"),
    [
        pytest.param({"a": "x", "b": "two words"}, {"a": "x", "b": "two words"}, id="text"),
        pytest.param({"a": "", "b": None, "c": " "}, {"c": " "}, id="empty fields are dropped"),
        pytest.param({}, {}, id="none"),
        pytest.param(
            {"a": "5", "b": "-5", "c": "0", "d": "0.5"},
            {"a": 5, "b": -5, "c": 0, "d": 0.5},
            id="numbers",
        ),
        pytest.param({"a": "9007199254740992"}, {"a": 9007199254740992}, id="2^53"),
        pytest.param({"a": "9007199254740993"}, {"a": "9007199254740993"}, id="beyond 2^53"),
        *(
            pytest.param({"a": text}, {"a": text}, id=f"text {text!r}")
            for text in [
                "007",
                "+5",
                "5.",
                ".5",
                "1e3",
                "1e999",
                "0x10",
                "1_000",
                " 5",
                "5 ",
                "nan",
                "inf",
                "-Infinity",
                "\u0665",
                "true",
            ]
        ),
        pytest.param(
            {"a": "0.020", "b": "5.50", "c": "-0", "d": "0.0"},
            {"a": 0.02, "b": 5.5, "c": 0, "d": 0.0},
            id="zeros at the end",
        ),
        pytest.param({"a": "-", "b": "", "c": "--"}, {"c": "--"}, id="a dash is dropped"),
        pytest.param(
            {"@aws.account": "111122223333", "@aws.n": "5", "n": "5"},
            {"@aws.account": "111122223333", "@aws.n": "5", "n": 5},
            id="system fields",
        ),
        pytest.param(
            {"a": "12345678901234567890.5"},
            {"a": "12345678901234567890.5"},
            id="more digits than a float has",
        ),
        pytest.param({"a": "9" * 5000}, {"a": "9" * 5000}, id="more digits than Python reads"),
        pytest.param({"a": '{"n": 1}'}, {"a": '{"n": 1}', "$a": {"n": 1}}, id="object"),
        pytest.param(
            {"a": 'x {"n": 1}'}, {"a": 'x {"n": 1}', "$a": {"n": 1}}, id="object after text"
        ),
        pytest.param({"a": '{"n": '}, {"a": '{"n": '}, id="broken object"),
        pytest.param({"a": "[1]"}, {"a": "[1]"}, id="array"),
        pytest.param(
            {"a": 5, "b": {"c": ""}, "d": False},
            {"a": 5, "b": {"c": ""}, "d": False},
            id="values that are not strings",
        ),
    ],
)
def test_extracted_fields_are_converted_to_numbers_and_objects_if_possible(
    extracted: dict[str, Any], fields: dict[str, Any]
) -> None:
    found = read_extracted(extracted)
    assert found == fields
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in fields.items()
    }


@given(
    text=st.from_regex(r"[+-]?[0-9]{0,25}(\.[0-9]{0,25})?(e[+-]?[0-9]{1,3})?", fullmatch=True)
    | st.text()
)
def test_a_number_loses_no_digit(text: str) -> None:
    found = number(text)
    assert found == text if isinstance(found, str) else Decimal(repr(found)) == Decimal(text)


@given(value=st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15))
def test_a_number_in_text_becomes_a_number(value: float) -> None:
    found = number(str(value))
    assert str(found) == str(value) or found == value == 0
    assert type(found) is type(value) or "e" in str(value)


@given(
    line=ANY_TEXT | st.builds(lambda prefix, value: prefix + json.dumps(value), ANY_TEXT, VALUES)
)
@example(line="{}")
@example(line='"{"')
@example(line='{"type":"platform.x","record":null}')
def test_any_line_is_read(line: str) -> None:
    kind, fields = read(line)
    assert kind is not Kind.TEXT or fields == {}
    assert (platform(line) is not None) <= (kind is Kind.PLATFORM)
    json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()


@given(
    fields=st.dictionaries(st.text(), VALUES),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
)
def test_any_object_that_python_writes_is_read(
    fields: dict[str, Any], indent: int | None, *, ascii_only: bool
) -> None:
    line = json.dumps(fields, ensure_ascii=ascii_only, indent=indent)
    expected = clean(json.loads(line))
    assert json_object(line) == expected
    assert json_object("some text before " + line + "\n") == expected
    assert json_object(json.dumps(line)) == expected


@given(inner=st.dictionaries(st.text(), VALUES))
def test_the_fields_of_a_wrapped_object_move_to_the_root(inner: dict[str, Any]) -> None:
    expected = WRAPPED | clean(json.loads(json.dumps(inner)))
    assert read(wrapper(inner)).fields == expected
    assert read(wrapper(json.dumps(inner))).fields == expected

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.decode import LAST_MILLISECOND, LogEvent, Payload
from shipper.document import document

PAYLOAD = Payload("123456789012", "group", "stream", ())
NOON = 1795435200123  # 2026-11-23T12:00:00.123Z
MIDNIGHT = 1795392000000  # 2026-11-23T00:00:00Z
ENVELOPE = {
    "@id": "385",
    "@timestamp": "2026-11-23T12:00:00.123Z",
    "@owner": "123456789012",
    "@log_group": "group",
    "@log_stream": "stream",
}

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
OBJECTS = st.dictionaries(
    st.text(max_size=5) | st.sampled_from(["@id", "@message", "@timestamp"]),
    st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5),
    max_size=4,
)
MESSAGES = st.text() | st.builds(lambda value, prefix: prefix + json.dumps(value), OBJECTS, st.sampled_from(["", "INFO ", "\n\t"]))


def source_of(message: str) -> Any:
    return json.loads(document(LogEvent("385", NOON, message), PAYLOAD).source)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        pytest.param('{"a": 1, "b": {"c": [true, null]}}', {"a": 1, "b": {"c": [True, None]}}, id="object"),
        pytest.param('{"text": "ä 👍 \\n"}', {"text": "ä 👍 \n"}, id="object beyond ASCII"),
        pytest.param('INFO 8f5ad1e0 {"n": 1}', {"n": 1}, id="text before the first brace"),
        pytest.param('{"n": 1} \n', {"n": 1}, id="white space after the object"),
        pytest.param("{}", {}, id="empty object"),
        pytest.param('["an", "array"]', {}, id="array"),
        pytest.param('[{"n": 1}]', {}, id="array of objects"),
        pytest.param('"words"', {}, id="string"),
        pytest.param("5", {}, id="number"),
        pytest.param("plain words", {}, id="words"),
        pytest.param('{"broken": ', {}, id="broken"),
        pytest.param('{"n": 1} and more', {}, id="text after the object"),
        pytest.param('{"n": 1}{"n": 2}', {}, id="two objects"),
        pytest.param("", {}, id="empty"),
        pytest.param('{"n": NaN}', {}, id="NaN"),
        pytest.param('{"n": 1e999}', {}, id="infinite"),
        pytest.param('{"n": "\\ud800"}', {}, id="half a surrogate pair"),
        pytest.param('{"@id": "x", "@timestamp": 0, "@message": {}, "@owner": 1, "n": 1}', {"n": 1}, id="user keys of the envelope"),
        pytest.param('{"a":' * 200 + "1" + "}" * 200, json.loads('{"a":' * 200 + "1" + "}" * 200), id="nested 200 deep"),
        pytest.param('{"a":' * 2000 + "1" + "}" * 2000, {}, id="nested 2000 deep"),
    ],
)
def test_fields_and_envelope(message: str, fields: dict[str, Any]) -> None:
    assert source_of(message) == fields | ENVELOPE | {"@message": message}


@pytest.mark.parametrize("depth", [254, 255, 600, 1024, 1025])
def test_no_depth_of_nesting_loses_the_line(depth: int) -> None:
    message = '{"a":' * depth + "1" + "}" * depth
    assert source_of(message)["@message"] == message


@pytest.mark.parametrize(
    ("timestamp", "index", "written"),
    [
        pytest.param(NOON, "cwl-2026.11.23", "2026-11-23T12:00:00.123Z", id="noon"),
        pytest.param(MIDNIGHT, "cwl-2026.11.23", "2026-11-23T00:00:00.000Z", id="first millisecond of the day"),
        pytest.param(MIDNIGHT - 1, "cwl-2026.11.22", "2026-11-22T23:59:59.999Z", id="last millisecond of the day before"),
        pytest.param(MIDNIGHT + 7, "cwl-2026.11.23", "2026-11-23T00:00:00.007Z", id="leading zeros"),
        pytest.param(0, "cwl-1970.01.01", "1970-01-01T00:00:00.000Z", id="first of all"),
        pytest.param(LAST_MILLISECOND, "cwl-9999.12.31", "9999-12-31T23:59:59.999Z", id="last of all"),
        pytest.param(1709164800000, "cwl-2024.02.29", "2024-02-29T00:00:00.000Z", id="leap day"),
    ],
)
def test_day_and_moment_are_the_events_own(timestamp: int, index: str, written: str) -> None:
    found = document(LogEvent("385", timestamp, "words"), PAYLOAD)
    assert found.index == index
    assert json.loads(found.source)["@timestamp"] == written


@given(timestamp=st.integers(0, LAST_MILLISECOND))
def test_no_moment_is_rounded(timestamp: int) -> None:
    found = document(LogEvent("385", timestamp, "words"), PAYLOAD)
    moment = datetime.fromisoformat(json.loads(found.source)["@timestamp"])
    assert moment == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp)
    assert found.index == f"cwl-{moment.year:04d}.{moment.month:02d}.{moment.day:02d}"


@given(message=MESSAGES, identifier=st.text(min_size=1))
def test_source_is_one_line_that_holds_the_message(message: str, identifier: str) -> None:
    found = document(LogEvent(identifier, NOON, message), PAYLOAD)
    source = json.loads(found.source)
    assert b"\n" not in found.source
    assert b"\r" not in found.source
    assert (found.id, source["@id"], source["@message"]) == (identifier, identifier, message)


@given(value=OBJECTS)
def test_fields_keep_their_values(value: dict[str, Any]) -> None:
    message = json.dumps(value)
    assert source_of(message) == value | ENVELOPE | {"@message": message}

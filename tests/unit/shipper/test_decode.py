"""Tests how the payload of a subscription is decoded, and which payloads are refused."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from local.cloudwatch import OWNER, subscription_event
from shipper import decode as module
from shipper.decode import (
    BLOCK,
    LAST_MILLISECOND,
    LENIENT_BYTES,
    LogEvent,
    Payload,
    PayloadInvalid,
    decode,
    line,
    mended,
)
from shipper.json_text import quoted
from tools.root import ROOT

EVENTS = ROOT / "events"
LIMIT = 1024 * 1024
# Refused payloads contain this word. The reason of the refusal must not contain it.
DATUM = "Sesame"
LINE = {
    "id": "38500000000000000000000000000000000000000000000000000000",
    "timestamp": 1795435200123,
    "message": f"a line {DATUM}",
}
BODY = {
    "messageType": "DATA_MESSAGE",
    "owner": "123456789012",
    "logGroup": DATUM,
    "logStream": DATUM,
    "logEvents": [LINE],
}
HEAD = (
    b'{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"group","logStream":"stream",'
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))  # may contain lone surrogates
LINES = st.fixed_dictionaries(
    {"id": ANY_TEXT, "timestamp": st.integers(0, LAST_MILLISECOND), "message": ANY_TEXT}
)


def sample(name: str) -> Any:
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


def packed(data: bytes) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


def zipped(content: bytes) -> dict[str, Any]:
    return packed(gzip.compress(content))


def body(**changes: Any) -> dict[str, Any]:
    return zipped(json.dumps(BODY | changes).encode())


def event(**changes: Any) -> dict[str, Any]:
    return body(logEvents=[LINE | changes])


def messages(*raw: bytes, extra: bytes = b"") -> dict[str, Any]:
    """Make a payload whose messages are these bytes, even if the bytes are not JSON."""
    events = b",".join(
        b'{"id":"%d","timestamp":%d,"message":%b}' % (number, number, message)
        for number, message in enumerate(raw)
    )
    return zipped(HEAD + extra + b'"logEvents":[' + events + b"]}")


def without(name: str) -> dict[str, Any]:
    return packed(
        gzip.compress(
            json.dumps({key: value for key, value in BODY.items() if key != name}).encode()
        )
    )


def lines(payload: Payload) -> list[str]:
    return [line(found)[0] for found in payload.events]


def valid(text: str) -> str:
    """Convert a text to JSON and back, which joins the two halves of a surrogate pair."""
    found: str = json.loads(json.dumps(text))
    return found


def whole(text: str) -> str:
    """Convert a text to JSON and back, and replace lone surrogates."""
    return valid(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def bomb(mebibytes: int) -> bytes:
    """Return zeros, compressed by gzip.

    To save time, only one block is compressed, and then repeated. This is possible because a block
    after a full flush does not depend on other blocks.
    """
    zeros = bytes(1024 * 1024)
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(zeros, checksum)
    end = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    trailer = checksum.to_bytes(4, "little") + (mebibytes * len(zeros) % 2**32).to_bytes(
        4, "little"
    )
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + block * mebibytes + end + trailer


def test_the_sample_payload_contains_the_sample_records() -> None:
    payload = decode(sample("shipper/subscription.json"), LIMIT)
    records = [sample("record.prediction.json"), sample("record.prediction_error.json")]
    assert [json.loads(text) for text in lines(payload)] == records
    assert [found.timestamp for found in payload.events] == [1795435200123, 1795435200124]
    assert len({found.id for found in payload.events}) == 2
    assert payload.log_group == "/aws/lambda/prediction-monitor-InferenceFunction"
    assert (payload.kind, payload.owner, payload.log_stream) == (
        "DATA_MESSAGE",
        "000000000000",
        "local",
    )


@pytest.mark.parametrize(
    "control",
    [sample("shipper/control-message.json"), body(messageType="CONTROL_MESSAGE")],
    ids=["sample", "with a line"],
)
def test_a_control_message_has_no_lines(control: dict[str, Any]) -> None:
    payload = decode(control, LIMIT)
    assert (payload.kind, payload.events) == ("CONTROL_MESSAGE", [])


@pytest.mark.parametrize(
    ("broken", "fragment"),
    [
        pytest.param({}, "no awslogs.data", id="no awslogs"),
        pytest.param({"awslogs": None}, "no awslogs.data", id="awslogs null"),
        pytest.param({"awslogs": {}}, "no awslogs.data", id="no data"),
        pytest.param({"awslogs": {"data": None}}, "no awslogs.data", id="data null"),
        pytest.param({"awslogs": {"data": 7}}, "no awslogs.data", id="data is a number"),
        pytest.param({"awslogs": [DATUM]}, "no awslogs.data", id="awslogs is a list"),
        pytest.param([DATUM], "no awslogs.data", id="event is a list"),
        pytest.param(None, "no awslogs.data", id="event null"),
        pytest.param({"awslogs": {"data": "####" + DATUM}}, "not base64", id="not base64"),
        pytest.param({"awslogs": {"data": "ä" + DATUM}}, "not base64", id="not ASCII"),
        pytest.param({"awslogs": {"data": "\ud800" + DATUM}}, "not base64", id="a lone surrogate"),
        pytest.param({"awslogs": {"data": "H4sIA"}}, "not base64", id="base64 cut short"),
        pytest.param(
            {"awslogs": {"data": "#" + body()["awslogs"]["data"]}},
            "not base64",
            id="something before the base64",
        ),
        pytest.param(packed(b"no gzip at all " + DATUM.encode()), "not gzip", id="not gzip"),
        pytest.param(packed(zlib.compress(b"{}")), "not gzip", id="zlib instead of gzip"),
        pytest.param(
            packed(gzip.compress(b"{}")[:-4]), "cut short", id="gzip truncated in its trailer"
        ),
        pytest.param(
            packed(gzip.compress(json.dumps(BODY).encode())[:40]),
            "cut short",
            id="gzip truncated in its data",
        ),
        pytest.param(
            packed(gzip.compress(json.dumps(BODY).encode()) + b"\x1f\x8b"),
            "cut short",
            id="truncated second member",
        ),
        pytest.param(packed(gzip.compress(b"{}")[:-8] + bytes(8)), "not gzip", id="wrong checksum"),
        pytest.param(
            packed(gzip.compress(b"{}") + b"something else"),
            "not gzip",
            id="bytes that are not gzip after the data",
        ),
        pytest.param(
            packed(gzip.compress(b"{}") + b"rest"),
            "cut short",
            id="too few bytes for another gzip header after the data",
        ),
        pytest.param(packed(b""), "not JSON", id="empty data"),
        pytest.param(
            zipped(b"plain words " + DATUM.encode()),
            "not JSON",
            id="gzip of non-JSON",
        ),
        pytest.param(zipped(b'{"owner": "\xff", '), "not JSON", id="neither JSON nor UTF-8"),
        pytest.param(
            zipped(b'{"owner": NaN}'),
            "has no log events",
            id="read leniently, no log events",
        ),
        pytest.param(
            zipped(b'{"owner": NaN, "logEvents": [1]}'),
            "has no log events",
            id="read leniently, a log event is a number",
        ),
        pytest.param(
            zipped(b'{"owner": NaN, "logEvents": [{}]}'),
            "has no log events",
            id="read leniently, no message",
        ),
        pytest.param(
            zipped(b'{"x": NaN, "messageType": "", "logEvents": {}}'),
            "Expected `array`, got `object`",
            id="read leniently, log events are no list",
        ),
        pytest.param(
            zipped(b'{"owner": "\xff", "logEvents": []}'),
            "missing required",
            id="read leniently, no stream",
        ),
        pytest.param(zipped(b'{"x":' + b"[" * 100_000), "not JSON", id="nested too deep"),
        pytest.param(
            messages(b"[" * 100_000 + b"]" * 100_000), "not JSON", id="a message nested too deep"
        ),
        pytest.param(messages(b'"a\nb"'), "not JSON", id="a newline in a message"),
        pytest.param(messages(b'"a\\x"'), "not JSON", id="a message with an unknown escape"),
        pytest.param(messages(b'"\\u12"'), "not JSON", id="a message with half an escape"),
        pytest.param(messages(b"words"), "not JSON", id="a message without quotes"),
        pytest.param(zipped(b"[{}]"), "Expected `object`", id="JSON array"),
        pytest.param(zipped(b'"words"'), "Expected `object`", id="JSON string"),
        *(
            pytest.param(without(name), f"missing required field `{name}`", id=f"no {name}")
            for name in BODY
        ),
        pytest.param(
            body(messageType=DATUM), "neither a data message", id="messageType is another word"
        ),
        pytest.param(body(messageType=None), "Expected `str`", id="messageType null"),
        pytest.param(body(owner=7), "Expected `str`", id="owner is a number"),
        pytest.param(body(logGroup=[DATUM]), "Expected `str`", id="logGroup is a list"),
        pytest.param(body(logStream={DATUM: DATUM}), "Expected `str`", id="logStream is an object"),
        pytest.param(
            body(logEvents=[{"id": DATUM, "timestamp": 1}]),
            "missing required field `message`",
            id="log event without message",
        ),
        pytest.param(body(logEvents=[DATUM]), "Expected `object`", id="log event is a string"),
        pytest.param(body(logEvents=[None]), "Expected `object`", id="log event is null"),
        pytest.param(body(logEvents=None), "Expected `array`", id="logEvents null"),
        pytest.param(body(logEvents=7), "Expected `array`", id="logEvents is a number"),
        pytest.param(event(id=7), "Expected `str`, got `int`", id="id is a number"),
        pytest.param(event(id=None), "Expected `str`, got `null`", id="id null"),
        pytest.param(
            event(timestamp="1795435200123"),
            "Expected `int`, got `str`",
            id="timestamp is a string",
        ),
        pytest.param(
            event(timestamp=1.5), "Expected `int`, got `float`", id="timestamp is a fraction"
        ),
        pytest.param(event(timestamp=True), "Expected `int`, got `bool`", id="timestamp true"),
        pytest.param(
            event(timestamp=float("nan")), "Expected `int`, got `null`", id="timestamp NaN"
        ),
        pytest.param(event(timestamp=-1), "Expected `int` >= 0", id="timestamp negative"),
        pytest.param(
            event(timestamp=LAST_MILLISECOND + 1),
            "Expected `int` <=",
            id="timestamp in the year 10000",
        ),
        pytest.param(
            event(timestamp=10**40), "Expected `int` <=", id="timestamp is beyond 64 bits"
        ),
        pytest.param(
            event(extractedFields=DATUM),
            r"Expected `object \| null`",
            id="extractedFields is a string",
        ),
        pytest.param(
            event(message="x" * LIMIT), f"more than {LIMIT} bytes", id="inflates beyond the limit"
        ),
    ],
)
def test_the_error_names_the_fault_and_quotes_no_input(broken: Any, fragment: str) -> None:
    with pytest.raises(PayloadInvalid, match=fragment) as refusal:
        decode(broken, LIMIT)
    assert DATUM not in str(refusal.value)
    assert len(str(refusal.value)) < 150


@pytest.mark.parametrize(
    "cuts",
    [(), (1,), (7, 60), (0, 30, 30, 90)],
    ids=["one member", "two members", "three members", "members with nothing in them"],
)
def test_gzip_members_are_joined(cuts: tuple[int, ...]) -> None:
    data = json.dumps(BODY).encode()
    members = [
        gzip.compress(data[start:end])
        for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True)
    ]
    assert (
        lines(decode(packed(b"".join(members)), LIMIT))
        == lines(decode(body(), LIMIT))
        == [LINE["message"]]
    )


@pytest.mark.parametrize("size", [*range(1, 30), 64])
def test_a_gzip_member_may_end_anywhere_in_a_block(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", size)
    data = json.dumps(BODY).encode()
    both = gzip.compress(data[:50]) + gzip.compress(data[50:])
    assert lines(decode(packed(both), LIMIT)) == [LINE["message"]]
    for end in (len(both) - 1, len(both) - 8, len(both) - 9, 40):
        with pytest.raises(PayloadInvalid, match="cut short"):
            decode(packed(both[:end]), LIMIT)


def test_time_grows_in_proportion_to_the_number_of_gzip_members() -> None:
    # 80,000 members take about 8 times as long as 10,000 members. If the decoder copied all the
    # remaining data after each member, 80,000 members would take 64 times as long.
    def seconds(members: int) -> float:
        data = packed(gzip.compress(b" ") * members + gzip.compress(json.dumps(BODY).encode()))
        best = []
        for _ in range(3):
            start = time.perf_counter()
            assert lines(decode(data, LIMIT)) == [LINE["message"]]
            best.append(time.perf_counter() - start)
        return min(best)

    assert seconds(80_000) < 32 * seconds(10_000)


def test_unknown_keys_are_tolerated() -> None:
    extended = body(
        policyLevel="ACCOUNT_LEVEL_POLICY",
        subscriptionFilters=["a"],
        logEvents=[LINE | {"ingestionTime": 1}],
    )
    assert lines(decode(extended, LIMIT)) == [LINE["message"]]


@pytest.mark.parametrize(
    "extracted",
    [None, {}, {"level": "INFO", "n": "5", "inner": {"a": [None]}}],
    ids=["null", "empty", "some"],
)
def test_extracted_fields_are_kept(extracted: dict[str, Any] | None) -> None:
    [found] = decode(event(extractedFields=extracted), LIMIT).events
    assert found.extracted == extracted


@pytest.mark.parametrize("members", [1, 2])
def test_the_size_limit_is_exact(members: int) -> None:
    data = json.dumps(BODY).encode()
    payload = packed(
        b"".join(
            gzip.compress(half) for half in ([data] if members == 1 else [data[:50], data[50:]])
        )
    )
    assert lines(decode(payload, len(data))) == [LINE["message"]]
    with pytest.raises(PayloadInvalid, match=f"more than {len(data) - 1} bytes"):
        decode(payload, len(data) - 1)


def test_a_gzip_bomb_is_refused_in_little_memory() -> None:
    assert gzip.decompress(bomb(3)) == bytes(3 * 1024 * 1024)
    payload = packed(bomb(1024))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadInvalid, match="more than 1048576 bytes"):
            decode(payload, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * LIMIT


@pytest.mark.parametrize(
    ("raw", "text", "written"),
    [
        pytest.param(b'"a \\"line\\"\\n"', 'a "line"\n', b'"a \\"line\\"\\n"', id="escapes"),
        pytest.param(
            b'"\\u00e4\\/\\ud83d\\udc4d"',
            "ä/👍",
            b'"\\u00e4\\/\\ud83d\\udc4d"',
            id="escapes beyond ASCII",
        ),
        pytest.param('"ä👍"'.encode(), "ä👍", '"ä👍"'.encode(), id="UTF-8"),
        pytest.param(b'""', "", b'""', id="empty"),
        pytest.param(b'  "x"\n ', "x", b'"x"', id="white space around the message"),
        pytest.param(b'"a\\ud800b"', "a\ud800b", b'"a\\ud800b"', id="lone high surrogate"),
        pytest.param(
            b'"\\udc4d\\ud83d"',
            "\udc4d\ud83d",
            b'"\\udc4d\\ud83d"',
            id="a low surrogate before a high one",
        ),
        pytest.param(b'"a\xffb\xc3"', "a\ufffdb\ufffd", '"a\ufffdb\ufffd"'.encode(), id="no UTF-8"),
        pytest.param(
            b'"\xed\xa0\x80"',
            "\ufffd\ufffd\ufffd",
            '"\ufffd\ufffd\ufffd"'.encode(),
            id="a surrogate as bytes",
        ),
        pytest.param(
            b'"\xff\\ud800"',
            "\ufffd\ud800",
            b'"\\ufffd\\ud800"',
            id="no UTF-8 and a lone surrogate",
        ),
        pytest.param(b"7", "7", b'"7"', id="number"),
        pytest.param(b"null", "null", b'"null"', id="null"),
        pytest.param(b"NaN", "NaN", b'"NaN"', id="NaN"),
        pytest.param(
            b'{"a": "\xc3\xa4"}', '{"a": "ä"}', '"{\\"a\\": \\"ä\\"}"'.encode(), id="object"
        ),
        pytest.param(b'[1,\n"a"]', '[1,\n"a"]', b'"[1,\\n\\"a\\"]"', id="list on two lines"),
    ],
)
def test_an_odd_message_and_its_neighbours_are_read(raw: bytes, text: str, written: bytes) -> None:
    before, found, after = decode(messages(b'"before"', raw, b'"after"'), LIMIT).events
    assert [line(one)[0] for one in (before, after)] == ["before", "after"]
    shown, as_json = line(found)
    assert shown == text
    assert bytes(as_json) == written
    assert json.loads(bytes(as_json)) == text


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b'"x":NaN,', id="NaN"),
        pytest.param(b'"x":[-Infinity],', id="Infinity"),
        pytest.param(b'"x":"\xff",', id="no UTF-8"),
        pytest.param(b'"x":"\\ud800",', id="lone surrogate"),
        pytest.param(b'"\\ud800":1,', id="lone surrogate in a key"),
        pytest.param(b'"logStream":"\\ud800",', id="logStream twice, first with a lone surrogate"),
    ],
)
def test_no_line_is_lost_if_other_values_of_the_payload_are_odd(extra: bytes) -> None:
    payload = decode(messages(b'"before"', b'"\xff"', b'"\\ud800"', extra=extra), LIMIT)
    assert lines(payload) == ["before", "\ufffd", "\ud800"]
    assert (payload.log_group, [found.timestamp for found in payload.events]) == (
        "group",
        [0, 1, 2],
    )


def test_lone_surrogates_outside_of_the_line_are_replaced() -> None:
    extracted = {"a": "\ud800", "b\ud800": ["\udfff", float("nan")], "c": "ä"}
    odd = body(
        logStream="\ud800",
        logGroup="ä\ud800",
        logEvents=[LINE | {"id": "1\udfff", "message": "\udfff", "extractedFields": extracted}],
    )
    payload = decode(odd, LIMIT)
    assert (payload.log_stream, payload.log_group, payload.events[0].id) == (
        "\ufffd",
        "ä\ufffd",
        "1\ufffd",
    )
    assert payload.events[0].extracted == {"a": "\ufffd", "b\ufffd": ["\ufffd", None], "c": "ä"}
    assert lines(payload) == ["\udfff"]


@given(found=st.lists(LINES, max_size=5), group=ANY_TEXT)
@example(found=[{"id": "1", "timestamp": 0, "message": "\ud83d\udc4d"}], group="")
def test_a_payload_of_cloudwatch_is_read(found: list[dict[str, Any]], group: str) -> None:
    payload = decode(subscription_event(found, group), LIMIT)
    assert (payload.kind, payload.owner, payload.log_group, payload.log_stream) == (
        "DATA_MESSAGE",
        OWNER,
        whole(group),
        "local",
    )
    expected = [(whole(one["id"]), one["timestamp"], valid(one["message"])) for one in found]
    assert [(one.id, one.timestamp, line(one)[0]) for one in payload.events] == expected


@given(
    raw=st.binary()
    | ANY_TEXT.map(lambda text: json.dumps(text).encode())
    | st.binary().map(lambda inner: b'"%b"' % inner)
)
@example(raw=b'"\xff\\"')
@example(raw=b'"a"b"')
def test_a_payload_with_any_message_is_read_or_refused(raw: bytes) -> None:
    try:
        payload = decode(messages(raw, b'"after"'), LIMIT)
    except PayloadInvalid:
        with pytest.raises((ValueError, RecursionError)):
            json.loads(raw.decode(errors="replace"))
        return
    for found in payload.events:
        text, as_json = line(found)
        assert json.loads(bytes(as_json)) == text
        assert b"\n" not in bytes(as_json)
    assert lines(payload)[-1] == "after"


@given(text=ANY_TEXT)
def test_a_line_is_decoded_exactly(text: str) -> None:
    for ascii_only in (True, False):
        raw = json.dumps(text, ensure_ascii=ascii_only).encode(errors="surrogatepass")
        found, as_json = line(LogEvent("1", 0, Raw(raw)))
        assert found == json.loads(raw.decode(errors="replace"))
        assert json.loads(bytes(as_json)) == found
    assert json.loads(quoted(text)) == valid(text)


@given(
    st.one_of(
        JSON,
        st.builds(packed, st.binary()),
        st.builds(zipped, st.binary()),
        st.fixed_dictionaries({"awslogs": st.fixed_dictionaries({"data": JSON})}),
        st.builds(lambda value: zipped(json.dumps(value).encode()), JSON),
        st.builds(
            body,
            messageType=JSON | st.just("DATA_MESSAGE"),
            owner=JSON,
            logEvents=JSON | st.lists(JSON, max_size=2),
        ),
        st.builds(event, id=JSON, timestamp=JSON, message=JSON, extractedFields=JSON),
    )
)
def test_any_event_is_read_or_refused(anything: Any) -> None:
    try:
        payload = decode(anything, LIMIT)
    except PayloadInvalid:
        return
    for found in payload.events:
        text, as_json = line(found)
        assert json.loads(bytes(as_json)) == text


def test_reading_a_large_payload_with_a_bad_byte_takes_little_memory() -> None:
    """A separate process decodes the payload, so that its memory can be measured."""
    program = r"""
import resource
from shipper.decode import _parse
size = 100 * 2**20
data = bytearray(b'{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s",')
data += b'"logEvents":['
event = b'{"id":"1","timestamp":1,"message":"' + b"x" * 1000 + b'"},'
while len(data) < size:
    data += event
data += b'{"id":"\xff","timestamp":1,"message":"x"}]}'
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
payload = _parse(data)
print(len(payload.events), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "functions/shipper")},
    )
    events, mebibytes = map(int, done.stdout.split())
    assert events > 100_000
    assert mebibytes < 200  # the payload has 100 MiB; as Python values it took 320 MiB


@pytest.mark.parametrize("at", [BLOCK - 2, BLOCK - 1, BLOCK, 2 * BLOCK - 1])
def test_a_block_of_bytes_may_end_within_a_character(at: int) -> None:
    text = "x" * at + "ä👍" + "y" * BLOCK
    assert mended(bytearray(text.encode() + b"\xff")).decode() == text + "\ufffd"


def test_a_large_payload_that_needs_the_lenient_reader_is_refused() -> None:
    with pytest.raises(PayloadInvalid, match="too large to be read leniently"):
        decode(zipped(b'{"owner": NaN, "x": "' + b"x" * LENIENT_BYTES + b'"}'), 2**30)

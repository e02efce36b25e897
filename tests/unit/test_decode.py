from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cloudwatch import OWNER, subscription_event
from shipper.decode import LAST_MILLISECOND, LogEvent, Payload, PayloadInvalid, decode

EVENTS = Path(__file__).parents[2] / "events"
LIMIT = 1024 * 1024
LINE = {"id": "38500000000000000000000000000000000000000000000000000000", "timestamp": 1795435200123, "message": "a line"}
BODY = {"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "group", "logStream": "stream", "logEvents": [LINE]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LINES = st.fixed_dictionaries({"id": st.text(), "timestamp": st.integers(0, LAST_MILLISECOND), "message": st.text()})


def sample(name: str) -> Any:
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


def packed(data: bytes) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


def body(**changes: Any) -> dict[str, Any]:
    return packed(gzip.compress(json.dumps(BODY | changes).encode()))


def line(**changes: Any) -> dict[str, Any]:
    return body(logEvents=[LINE | changes])


def without(name: str) -> dict[str, Any]:
    return packed(gzip.compress(json.dumps({key: value for key, value in BODY.items() if key != name}).encode()))


def bomb(mebibytes: int) -> bytes:
    """Zeros in gzip: after a full flush a block stands for itself, so that one block can be repeated."""
    zeros = bytes(1024 * 1024)
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(zeros, checksum)
    end = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    trailer = checksum.to_bytes(4, "little") + (mebibytes * len(zeros)).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + block * mebibytes + end + trailer


def test_sample_holds_the_sample_records() -> None:
    payload = decode(sample("shipper/subscription.json"), LIMIT)
    records = [sample("record.prediction.json"), sample("record.prediction_error.json")]
    assert [json.loads(event.message) for event in payload.events] == records
    assert [event.timestamp for event in payload.events] == [1795435200123, 1795435200124]
    assert len({event.id for event in payload.events}) == 2
    assert payload.log_group == "/aws/lambda/prediction-monitor-InferenceFunction"
    assert (payload.owner, payload.log_stream) == ("000000000000", "local")


@pytest.mark.parametrize(
    "event", [sample("shipper/control-message.json"), body(messageType="CONTROL_MESSAGE")], ids=["sample", "with a line"]
)
def test_control_message_has_no_events(event: dict[str, Any]) -> None:
    assert decode(event, LIMIT).events == ()


@pytest.mark.parametrize(
    ("event", "fragment"),
    [
        pytest.param({}, "no awslogs.data", id="no awslogs"),
        pytest.param({"awslogs": None}, "no awslogs.data", id="awslogs null"),
        pytest.param({"awslogs": {}}, "no awslogs.data", id="no data"),
        pytest.param({"awslogs": {"data": None}}, "no awslogs.data", id="data null"),
        pytest.param({"awslogs": {"data": 7}}, "no awslogs.data", id="data a number"),
        pytest.param([], "no awslogs.data", id="event a list"),
        pytest.param(None, "no awslogs.data", id="event null"),
        pytest.param({"awslogs": {"data": "####"}}, "not base64", id="not base64"),
        pytest.param({"awslogs": {"data": "ä"}}, "not base64", id="not ASCII"),
        pytest.param({"awslogs": {"data": "H4sIA"}}, "not base64", id="base64 cut short"),
        pytest.param(packed(b"no gzip at all"), "not gzip", id="not gzip"),
        pytest.param(packed(zlib.compress(b"{}")), "not gzip", id="zlib instead of gzip"),
        pytest.param(packed(gzip.compress(b"{}")[:-4]), "cut short", id="gzip truncated in its trailer"),
        pytest.param(packed(gzip.compress(json.dumps(BODY).encode())[:40]), "cut short", id="gzip truncated in its data"),
        pytest.param(packed(gzip.compress(b"{}")[:-8] + bytes(8)), "not gzip", id="wrong checksum"),
        pytest.param(packed(gzip.compress(b"{}") + b"rest"), "not gzip", id="something after the gzip"),
        pytest.param(packed(b""), "not JSON", id="nothing"),
        pytest.param(packed(gzip.compress(b"plain words")), "not JSON", id="gzip of non-JSON"),
        pytest.param(packed(gzip.compress(b'{"owner": "\xff"}')), "not JSON", id="not UTF-8"),
        pytest.param(packed(gzip.compress(b"[" * 100_000)), "not JSON", id="nested too deep"),
        pytest.param(packed(gzip.compress(b"[{}]")), "no JSON object", id="JSON array"),
        pytest.param(packed(gzip.compress(b'"words"')), "no JSON object", id="JSON string"),
        *(pytest.param(without(name), f"no '{name}'", id=f"no {name}") for name in BODY),
        pytest.param(body(logEvents=[{"id": "1", "timestamp": 1}]), "id, timestamp and message", id="log event without message"),
        pytest.param(body(logEvents=["text"]), "log event", id="log event a string"),
        pytest.param(body(logEvents=[None]), "log event", id="log event null"),
        pytest.param(body(logEvents=None), "log events", id="logEvents null"),
        pytest.param(body(logEvents=7), "log events", id="logEvents a number"),
        pytest.param(line(message=7), "wrong type", id="message a number"),
        pytest.param(line(message=None), "wrong type", id="message null"),
        pytest.param(line(id=7), "wrong type", id="id a number"),
        pytest.param(line(timestamp="1795435200123"), "wrong type", id="timestamp a string"),
        pytest.param(line(timestamp=1.5), "wrong type", id="timestamp a fraction"),
        pytest.param(line(timestamp=True), "wrong type", id="timestamp true"),
        pytest.param(line(timestamp=-1), "impossible timestamp -1", id="timestamp negative"),
        pytest.param(line(timestamp=LAST_MILLISECOND + 1), "impossible timestamp", id="timestamp in the year 10000"),
        pytest.param(line(timestamp=10**40), "wrong type", id="timestamp beyond 64 bits"),
        pytest.param(line(message="x" * LIMIT), f"more than {LIMIT} bytes", id="inflates beyond the limit"),
    ],
)
def test_broken_input_is_named(event: Any, fragment: str) -> None:
    with pytest.raises(PayloadInvalid, match=fragment):
        decode(event, LIMIT)


@pytest.mark.parametrize(
    "cuts", [(), (1,), (7, 60), (0, 30, 30, 90)], ids=["one member", "two members", "three members", "members with nothing in them"]
)
def test_gzip_members_are_joined(cuts: tuple[int, ...]) -> None:
    data = json.dumps(BODY).encode()
    members = [gzip.compress(data[start:end]) for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True)]
    assert decode(packed(b"".join(members)), LIMIT) == decode(body(), LIMIT)


def test_unknown_keys_are_tolerated() -> None:
    extended = body(policyLevel="ACCOUNT_LEVEL_POLICY", logEvents=[LINE | {"extractedFields": {"level": "INFO"}}])
    assert decode(extended, LIMIT) == decode(body(), LIMIT)


@pytest.mark.parametrize("members", [1, 2])
def test_limit_is_exact(members: int) -> None:
    data = json.dumps(BODY).encode()
    event = packed(b"".join(gzip.compress(half) for half in ([data] if members == 1 else [data[:50], data[50:]])))
    assert decode(event, len(data)).events == (LogEvent(str(LINE["id"]), 1795435200123, "a line"),)
    with pytest.raises(PayloadInvalid, match=f"more than {len(data) - 1} bytes"):
        decode(event, len(data) - 1)


def test_bomb_is_refused_in_little_memory() -> None:
    assert gzip.decompress(bomb(3)) == bytes(3 * 1024 * 1024)
    event = packed(bomb(1024))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadInvalid, match="more than 1048576 bytes"):
            decode(event, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * LIMIT


@given(lines=st.lists(LINES, max_size=5), group=st.text())
def test_what_cloudwatch_sends_is_read_back(lines: list[dict[str, Any]], group: str) -> None:
    events = tuple(LogEvent(**event) for event in lines)
    assert decode(subscription_event(lines, group), LIMIT) == Payload(OWNER, group, "local", events)


@given(
    st.one_of(
        JSON,
        st.builds(packed, st.binary()),
        st.builds(packed, st.binary().map(gzip.compress)),
        st.fixed_dictionaries({"awslogs": st.fixed_dictionaries({"data": JSON})}),
        st.builds(lambda value: packed(gzip.compress(json.dumps(value).encode())), JSON),
        st.builds(body, messageType=JSON | st.just("DATA_MESSAGE"), owner=JSON, logEvents=JSON | st.lists(JSON, max_size=2)),
        st.builds(line, id=JSON, timestamp=JSON, message=JSON),
    )
)
def test_anything_gives_a_payload_or_is_refused(event: Any) -> None:
    try:
        payload = decode(event, LIMIT)
    except PayloadInvalid:
        return
    assert isinstance(payload, Payload)

"""base64, gzip, JSON: CloudWatch's subscription payload as values, or a named error."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way of saying: expect a gzip header
BLOCK: Final = 64 * 1024
LAST_MILLISECOND: Final = 253_402_300_799_999  # of the year 9999, the last that ISO 8601 and OpenSearch write in four digits


class PayloadInvalid(Exception):
    """The event is no subscription payload. Failing the invocation with it keeps the event for the dead letter."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line: `id` a decimal string of about 56 digits, `timestamp` in milliseconds since 1970, `message` the line."""

    id: str
    timestamp: int
    message: str


@dataclass(frozen=True, slots=True)
class Payload:
    """What one delivery carries: where its lines come from, and the lines. A control message carries none."""

    owner: str
    log_group: str
    log_stream: str
    events: tuple[LogEvent, ...]


def decode(event: Any, limit: int) -> Payload:
    """The subscription payload in a Lambda event; at most `limit` bytes are inflated. Raises `PayloadInvalid`."""
    body = _json(_inflate(_compressed(event), limit))
    if not isinstance(body, dict):
        raise PayloadInvalid("the payload is no JSON object")
    try:
        kind, source, events = body["messageType"], (body["owner"], body["logGroup"], body["logStream"]), body["logEvents"]
    except KeyError as problem:
        raise PayloadInvalid(f"the payload has no {problem}") from None
    if not all(isinstance(part, str) for part in source):
        raise PayloadInvalid("the payload's owner, log group or log stream is no string")
    if kind == "CONTROL_MESSAGE":
        return Payload(*source, events=())
    if kind != "DATA_MESSAGE" or not isinstance(events, list):
        raise PayloadInvalid("the payload is neither a data message with log events nor a control message")
    return Payload(*source, events=tuple(map(_log_event, events)))


def _compressed(event: Any) -> bytes:
    try:
        return base64.b64decode(event["awslogs"]["data"], validate=True)
    except (KeyError, TypeError):
        raise PayloadInvalid("the event has no awslogs.data: is this function subscribed to a log group?") from None
    except (binascii.Error, ValueError) as problem:
        raise PayloadInvalid(f"awslogs.data is not base64: {problem}") from None


def _inflate(data: bytes, limit: int) -> bytearray:
    """Every member of the gzip data. Never holds more than `limit` inflated bytes and one, and notices a missing end.

    Block by block, because zlib copies what follows a member: many small ones would cost time by the square.
    """
    inflated, position = bytearray(), 0
    while position < len(data):
        member = zlib.decompressobj(GZIP)
        while not member.eof:
            block = data[position : position + BLOCK]
            if not block:
                raise PayloadInvalid("awslogs.data is cut short: the gzip stream has no end")
            try:
                inflated += member.decompress(block, limit - len(inflated) + 1)
            except zlib.error as problem:
                raise PayloadInvalid(f"awslogs.data is not gzip: {problem}") from None
            if len(inflated) > limit:
                raise PayloadInvalid(f"awslogs.data inflates to more than {limit} bytes")
            position += len(block) - len(member.unused_data)
    return inflated


def _json(data: bytearray) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise PayloadInvalid(f"the payload is not JSON: {problem}") from None


def _log_event(raw: Any) -> LogEvent:
    try:
        identifier, timestamp, message = raw["id"], raw["timestamp"], raw["message"]
    except (KeyError, TypeError):
        raise PayloadInvalid("a log event is no object with id, timestamp and message") from None
    if not (isinstance(identifier, str) and type(timestamp) is int and isinstance(message, str)):
        raise PayloadInvalid("a log event's id, timestamp or message is of the wrong type")
    if not 0 <= timestamp <= LAST_MILLISECOND:
        raise PayloadInvalid(f"log event {identifier} has the impossible timestamp {timestamp}")
    return LogEvent(identifier, timestamp, message)

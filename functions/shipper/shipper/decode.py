"""base64, gzip, JSON: CloudWatch's subscription payload as values, or a named error."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way of saying: expect a gzip header
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
        events = tuple(map(_log_event, body["logEvents"])) if body["messageType"] == "DATA_MESSAGE" else ()
        return Payload(body["owner"], body["logGroup"], body["logStream"], events)
    except KeyError as problem:
        raise PayloadInvalid(f"the payload has no {problem}") from None


def _compressed(event: Any) -> bytes:
    try:
        return base64.b64decode(event["awslogs"]["data"], validate=True)
    except (KeyError, TypeError):
        raise PayloadInvalid("the event has no awslogs.data: is this function subscribed to a log group?") from None
    except (binascii.Error, ValueError) as problem:
        raise PayloadInvalid(f"awslogs.data is not base64: {problem}") from None


def _inflate(data: bytes, limit: int) -> bytes:
    """Every member of the gzip data. Never holds more than `limit` inflated bytes, and notices a missing end."""
    inflated = bytearray()
    while data:
        member = zlib.decompressobj(GZIP)
        try:
            inflated += member.decompress(data, limit - len(inflated) + 1)
        except zlib.error as problem:
            raise PayloadInvalid(f"awslogs.data is not gzip: {problem}") from None
        if len(inflated) > limit:
            raise PayloadInvalid(f"awslogs.data inflates to more than {limit} bytes")
        if not member.eof:
            raise PayloadInvalid("awslogs.data is cut short: the gzip stream has no end")
        data = member.unused_data
    return bytes(inflated)


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise PayloadInvalid(f"the payload is not JSON: {problem}") from None


def _log_event(raw: dict[str, Any]) -> LogEvent:
    identifier, timestamp, message = raw["id"], raw["timestamp"], raw["message"]
    if not (isinstance(identifier, str) and isinstance(timestamp, int) and isinstance(message, str)):
        raise PayloadInvalid("a log event's id, timestamp or message is of the wrong type")
    if not 0 <= timestamp <= LAST_MILLISECOND:
        raise PayloadInvalid(f"log event {identifier} has the impossible timestamp {timestamp}")
    return LogEvent(identifier, timestamp, message)

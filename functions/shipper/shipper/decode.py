"""Decodes the subscription payload of CloudWatch Logs: JSON in gzip in base64.

In an event that CloudWatch sends to a function, the base64 text is `awslogs.data`. In an event of a
Kinesis stream, it is the data of each record.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from typing import Annotated, Any, Final

import msgspec
from isal import isal_zlib
from msgspec import Meta, Raw, Struct

from shipper.json_text import clean, quoted

GZIP: Final = 16 + isal_zlib.MAX_WBITS  # zlib's flag for a gzip header
BLOCK: Final = 64 * 1024
AWSLOGS: Final = "awslogs.data"
LENIENT_BYTES: Final = 16 * 1024 * 1024
# The end of the year 9999: ISO 8601 and OpenSearch write a year with four digits.
LAST_MILLISECOND: Final = 253_402_300_799_999


class PayloadInvalid(Exception):
    """The event is not a subscription payload.

    If the handler raises this exception, the invocation fails, and Lambda keeps the event as a dead
    letter.
    """


class LogEvent(Struct, frozen=True, gc=False):
    """One log line.

    `id` is a decimal string of about 56 digits. `timestamp` is in milliseconds since 1970.
    `message` is the line exactly as in the payload: a JSON string with its quotation marks and
    escapes, which can be copied into a document. If the subscription has a space-delimited filter
    pattern, `extracted` holds the fields that the pattern extracted from the line.
    """

    id: str
    timestamp: Annotated[int, Meta(ge=0, le=LAST_MILLISECOND)]
    message: Raw
    extracted: dict[str, Any] | None = msgspec.field(default=None, name="extractedFields")


class Payload(Struct, frozen=True):
    """One delivery: the origin of its lines, and the lines. A control message has no lines.

    `filters` names the subscription filters that matched the lines. It is empty if the lines were
    read from the log group itself, without a subscription.
    """

    kind: str = msgspec.field(name="messageType")
    owner: str
    log_group: str = msgspec.field(name="logGroup")
    log_stream: str = msgspec.field(name="logStream")
    events: list[LogEvent] = msgspec.field(name="logEvents")
    filters: list[str] = msgspec.field(default_factory=list, name="subscriptionFilters")


_payload: Final = msgspec.json.Decoder(Payload).decode
_string: Final = msgspec.json.Decoder(str).decode


def decode(event: Any, limit: int) -> Payload:
    """Return the subscription payload in a Lambda event.

    Raises `PayloadInvalid` if the event has no valid payload, or if its payload inflates to more
    than `limit` bytes.
    """
    try:
        data = event["awslogs"]["data"]
    except (KeyError, TypeError):
        raise PayloadInvalid(
            "the event has no awslogs.data: is this function subscribed to a log group?"
        ) from None
    return decode_data(data, limit)


def decode_data(data: Any, limit: int, name: str = AWSLOGS) -> Payload:
    """Return the subscription payload in `data`, a base64 text. Error messages call it `name`.

    Raises `PayloadInvalid` as `decode` does.
    """
    payload = _parse(_inflate(_compressed(data, name), limit, name))
    if payload.kind == "CONTROL_MESSAGE":
        return msgspec.structs.replace(payload, events=[])
    if payload.kind != "DATA_MESSAGE":
        raise PayloadInvalid("the payload is neither a data message nor a control message")
    return payload


def line(event: LogEvent) -> tuple[str, bytes | Raw]:
    """Return the log line as text, and as a JSON string.

    This never fails: a message that is not a valid string is converted to a valid string.
    """
    try:
        return _string(event.message), event.message
    # The message has a lone surrogate or invalid UTF-8, or it is not a string.
    except (msgspec.DecodeError, UnicodeDecodeError):
        raw = bytes(event.message).decode(errors="replace")
    text = str(json.loads(raw)) if raw.startswith('"') else raw
    return text, quoted(text)


def _compressed(data: Any, name: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except TypeError:
        raise PayloadInvalid(
            f"the event has no {name}: is this function subscribed to a log group?"
        ) from None
    except (binascii.Error, ValueError) as problem:
        raise PayloadInvalid(f"{name} is not base64: {problem}") from None


def _inflate(data: bytes, limit: int, name: str) -> bytearray:
    """Inflate gzip data, which can consist of several members (complete gzip streams).

    Raises `PayloadInvalid` if the data is not gzip, is cut short, or inflates to more than `limit`
    bytes. At most `limit` + 1 bytes are inflated.

    The decompressor gets one block of the data at a time, because after each member it copies the
    rest of its input. If its input were all the data, the time would grow with the square of the
    number of members.
    """
    inflated, position = bytearray(), 0
    while position < len(data):
        member = isal_zlib.decompressobj(GZIP)
        while not member.eof:
            block = data[position : position + BLOCK]
            if not block:
                raise PayloadInvalid(f"{name} is cut short: the gzip stream has no end")
            try:
                inflated += member.decompress(block, limit - len(inflated) + 1)
            except isal_zlib.error as problem:  # type: ignore[misc]
                raise PayloadInvalid(f"{name} is not gzip: {problem}") from None
            if len(inflated) > limit:
                raise PayloadInvalid(f"{name} inflates to more than {limit} bytes")
            position += len(block) - len(member.unused_data)
    return inflated


def _parse(data: bytearray) -> Payload:
    try:
        return _payload(data)
    except msgspec.ValidationError as problem:
        raise PayloadInvalid(f"the payload is no subscription payload: {problem}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_leniently(mended(data))


def mended(data: bytearray) -> bytearray:
    """Replace invalid UTF-8 by U+FFFD.

    This works in blocks, because all data as one text would take four times as much memory.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    found = bytearray()
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        found += decoder.decode(block, final=start + BLOCK >= len(data)).encode()
    return found


def _parse_leniently(data: bytearray) -> Payload:
    """Read a payload that the strict parser refused, for instance because of a lone surrogate.

    Without this function, one bad line would make the payload's other lines unreadable. `data` is
    now valid UTF-8, so the strict parser often succeeds. If it fails, Python's parser is used, but
    only for small `data`: Python's values take many times the memory of `data`.
    """
    try:
        return _payload(data)
    except msgspec.ValidationError as problem:
        raise PayloadInvalid(f"the payload is no subscription payload: {problem}") from None
    except (msgspec.DecodeError, RecursionError):
        if len(data) > LENIENT_BYTES:
            raise PayloadInvalid(
                f"the payload is not JSON, and too large to be read leniently: {len(data)} bytes"
            ) from None
    try:
        found = json.loads(data)
        for event in found["logEvents"]:
            event["message"] = Raw(json.dumps(event["message"]).encode())
        return msgspec.convert(clean(found), Payload)
    except msgspec.ValidationError as problem:
        raise PayloadInvalid(f"the payload is no subscription payload: {problem}") from None
    except (ValueError, RecursionError):
        raise PayloadInvalid("the payload is not JSON") from None
    except (LookupError, TypeError):
        raise PayloadInvalid(
            "the payload is no subscription payload: it has no log events with messages"
        ) from None

"""base64, gzip, JSON: CloudWatch's subscription payload as values, or a named error."""

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
LENIENT_BYTES: Final = 16 * 1024 * 1024
# of the year 9999, the last that ISO 8601 and OpenSearch write in four digits
LAST_MILLISECOND: Final = 253_402_300_799_999


class PayloadInvalid(Exception):
    """The event is no subscription payload.

    Failing the invocation with it keeps the event for the dead letter.
    """


class LogEvent(Struct, frozen=True, gc=False):
    """One line: `id` a decimal string of about 56 digits, `timestamp` in milliseconds since 1970, `message` the line.

    The message stays the JSON string that it came as, escapes and all: a document can hold those
    very bytes. `extracted` are the fields that a space-delimited filter pattern cut out of the
    line, where the subscription has one.
    """

    id: str
    timestamp: Annotated[int, Meta(ge=0, le=LAST_MILLISECOND)]
    message: Raw
    extracted: dict[str, Any] | None = msgspec.field(default=None, name="extractedFields")


class Payload(Struct, frozen=True):
    """One delivery: the origin of its lines, and the lines. A control message has no lines.

    `filters` are the names of the subscription filters that matched them; lines that were read from
    the log group have none.
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
    """The subscription payload in a Lambda event; at most `limit` bytes are inflated.

    Raises `PayloadInvalid`.
    """
    payload = _parse(_inflate(_compressed(event), limit))
    if payload.kind == "CONTROL_MESSAGE":
        return msgspec.structs.replace(payload, events=[])
    if payload.kind != "DATA_MESSAGE":
        raise PayloadInvalid("the payload is neither a data message nor a control message")
    return payload


def line(event: LogEvent) -> tuple[str, bytes | Raw]:
    """The log line, and the same as a JSON string.

    Never fails: a value that is not a valid string is converted to one.
    """
    try:
        return _string(event.message), event.message
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
    ):  # a lone surrogate, bytes that are no UTF-8, another type
        raw = bytes(event.message).decode(errors="replace")
    text = str(json.loads(raw)) if raw.startswith('"') else raw
    return text, quoted(text)


def _compressed(event: Any) -> bytes:
    try:
        return base64.b64decode(event["awslogs"]["data"], validate=True)
    except (KeyError, TypeError):
        raise PayloadInvalid(
            "the event has no awslogs.data: is this function subscribed to a log group?"
        ) from None
    except (binascii.Error, ValueError) as problem:
        raise PayloadInvalid(f"awslogs.data is not base64: {problem}") from None


def _inflate(data: bytes, limit: int) -> bytearray:
    """Every member of the gzip data.

    Never holds more than `limit` + 1 inflated bytes, and notices a missing end.

    It reads in blocks, because the decompressor copies the data behind a member: many small members
    would take quadratic time.
    """
    inflated, position = bytearray(), 0
    while position < len(data):
        member = isal_zlib.decompressobj(GZIP)
        while not member.eof:
            block = data[position : position + BLOCK]
            if not block:
                raise PayloadInvalid("awslogs.data is cut short: the gzip stream has no end")
            try:
                inflated += member.decompress(block, limit - len(inflated) + 1)
            except isal_zlib.error as problem:  # type: ignore[misc]
                raise PayloadInvalid(f"awslogs.data is not gzip: {problem}") from None
            if len(inflated) > limit:
                raise PayloadInvalid(f"awslogs.data inflates to more than {limit} bytes")
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
    """Bytes as valid UTF-8, with U+FFFD for invalid ones.

    Works in blocks: as one text they would take four times their size.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    found = bytearray()
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        found += decoder.decode(block, final=start + BLOCK >= len(data)).encode()
    return found


def _parse_leniently(data: bytearray) -> Payload:
    """A payload that strict JSON refuses, such as one with lone surrogates, read by Python's parser so that no other line is lost.

    `data` is valid UTF-8 by now, which is often enough for the strict parser. Python's values take
    many times their bytes, so a large payload is not read this way.
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

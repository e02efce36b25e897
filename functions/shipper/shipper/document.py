"""One log event as one document: the record's fields at the root, and the envelope around them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from shipper.decode import LogEvent, Payload


@dataclass(frozen=True, slots=True)
class Document:
    """What is indexed: `id` and `index` say where, `source` is the JSON object in UTF-8, on one line."""

    id: str
    index: str
    source: bytes


def document(event: LogEvent, payload: Payload) -> Document:
    """The event's document: id and day are the event's own, so that a second delivery meets the first."""
    moment = datetime.fromtimestamp(event.timestamp / 1000, UTC)
    envelope = {
        "@id": event.id,
        "@timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{event.timestamp % 1000:03d}Z",
        "@message": event.message,
        "@owner": payload.owner,
        "@log_group": payload.log_group,
        "@log_stream": payload.log_stream,
    }
    return Document(event.id, f"cwl-{moment:%Y.%m.%d}", _source(fields(event.message), envelope))


def fields(message: str) -> dict[str, Any]:
    """The JSON object that a line ends with, whatever text stands before its first brace; {} where there is none."""
    start = message.find("{")
    if start < 0:
        return {}
    try:
        found: dict[str, Any] = orjson.loads(message[start:] if start else message)
    except orjson.JSONDecodeError:
        return {}
    return found


def _source(found: dict[str, Any], envelope: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(found | envelope)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes (254), though not deeper than it reads (1,024)
        return orjson.dumps(envelope)

"""Parses a Lambda event (direct, REST API v1 or HTTP API v2) into a request."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from inference.problem import Refused

MAX_CHARS: Final = 10_000
MAX_SENTENCES: Final = 64
MAX_ID_CHARS: Final = 128
TRAFFIC: Final = ("live", "canary", "test")


@dataclass(frozen=True, slots=True)
class Request:
    """A valid request.

    `batch` is true if the caller sent `sentences`; the answer then holds a list. `traffic` is
    `live`, `canary` or `test`. Dashboard panels count live traffic only.
    """

    sentences: tuple[str, ...]
    batch: bool = False
    traffic: str = "live"


def is_http(event: Any) -> bool:
    """Return whether an API sent the event. Events of both API versions have a request context."""
    return isinstance(event, dict) and isinstance(event.get("requestContext"), dict)


def correlation_id(event: Any) -> str | None:
    """Return the API's own id of the request, or None for a direct invocation.

    A direct caller can imitate an API and send any text as the id. So at most `MAX_ID_CHARS`
    characters are kept, and `?` replaces each character that is not printable ASCII. Otherwise
    CloudWatch might refuse the log line.
    """
    found = event["requestContext"].get("requestId") if is_http(event) else None
    if not isinstance(found, str) or not found:
        return None
    return "".join(each if " " <= each <= "~" else "?" for each in found[:MAX_ID_CHARS])


def asks_description(event: Any) -> bool:
    """Return whether the event is `{"describe": true}`, which only a direct caller can send."""
    return isinstance(event, dict) and not is_http(event) and event.get("describe") is True


def parse(event: Any) -> Request:
    """Parse the event. Raises `Refused` if the event is not a valid request."""
    body = body_of(event, '{"sentence": "..."}')
    traffic = body.get("traffic", "live")
    if traffic not in TRAFFIC:
        raise Refused("field-invalid", f"traffic must be one of {', '.join(TRAFFIC)}.", "traffic")
    try:
        return Request(_asked(body), batch="sentences" in body, traffic=traffic)
    except Refused as problem:
        problem.traffic = traffic
        raise


def body_of(event: Any, example: str) -> dict[str, Any]:
    """Return the object in the body of an API's event, or a direct event itself.

    Raises `Refused` if there is no such object; the message shows `example`.
    """
    body = _json(_text(event, example)) if is_http(event) else event
    if not isinstance(body, dict):
        raise Refused("body-not-an-object", f"The body must be a JSON object such as {example}.")
    return body


def _asked(body: dict[str, Any]) -> tuple[str, ...]:
    if "sentence" in body and "sentences" in body:
        raise Refused(
            "field-ambiguous", "Send either sentence or sentences, not both.", "sentences"
        )
    if "sentences" in body:
        return _sentences(body["sentences"])
    if "sentence" not in body:
        raise Refused(
            "field-missing", 'The body has no sentence; send {"sentence": "..."}.', "sentence"
        )
    return (_sentence(body["sentence"], "sentence"),)


def _text(event: dict[str, Any], example: str) -> str:
    body = event.get("body")
    if not isinstance(body, str) or not body:
        raise Refused("body-missing", f"The request has no body; send {example}.")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except UnicodeDecodeError as problem:
        raise Refused("body-not-utf8", f"The body is not UTF-8 (byte {problem.start}).") from None
    except ValueError:
        raise Refused("body-not-base64", "The body is marked as base64, but is not.") from None


def _json(text: str) -> Any:
    try:
        return decode(text)
    except json.JSONDecodeError as problem:
        raise Refused(
            "body-not-json", f"The body is not JSON: {problem.msg} (character {problem.pos})."
        ) from None
    # A number with too many digits gives a ValueError, and deep nesting a RecursionError.
    except (ValueError, RecursionError):
        raise Refused(
            "body-not-json", "The body has a number that is too long, or is nested too deeply."
        ) from None


def _no_number(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser accepts although they are not JSON."""
    raise Refused("body-not-json", f"The body is not JSON: JSON has no {name}.")


decode = json.JSONDecoder(parse_constant=_no_number).decode


def _sentences(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Refused("field-invalid", "sentences must be a list of strings.", "sentences")
    if not value:
        raise Refused("field-invalid", "sentences is empty.", "sentences")
    if len(value) > MAX_SENTENCES:
        raise Refused(
            "too-many-sentences",
            f"The request has {len(value)} sentences; at most {MAX_SENTENCES} are accepted.",
            "sentences",
        )
    return tuple(_sentence(item, f"sentences[{at}]") for at, item in enumerate(value))


def _sentence(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise Refused("field-invalid", f"{field} must be a string.", field)
    if not value.strip():
        raise Refused("sentence-blank", f"{field} is empty or blank.", field)
    if len(value) > MAX_CHARS:
        raise Refused(
            "sentence-too-long",
            f"{field} has {len(value)} characters; at most {MAX_CHARS} are accepted.",
            field,
        )
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise Refused(
            "sentence-not-unicode",
            f"{field} holds half of a surrogate pair (character {problem.start}).",
            field,
        ) from None
    return value

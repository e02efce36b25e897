"""Parses a Lambda event (direct, REST API v1 or HTTP API v2) into a request, or raises the problem with it."""

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

    With `batch` the answer is a list. `traffic` is live, canary or test; panels count live traffic
    only.
    """

    sentences: tuple[str, ...]
    batch: bool = False
    traffic: str = "live"


def is_http(event: Any) -> bool:
    """Whether an API sent the event (both of its formats carry a request context)."""
    return isinstance(event, dict) and isinstance(event.get("requestContext"), dict)


def correlation_id(event: Any) -> str | None:
    """The API's own id of the request; None for a direct invocation.

    A direct caller can send any text as the id. At most `MAX_ID_CHARS` are kept, with `?` for each
    character that is not printable ASCII, so that no id makes a line that CloudWatch refuses.
    """
    found = event["requestContext"].get("requestId") if is_http(event) else None
    if not isinstance(found, str) or not found:
        return None
    return "".join(each if " " <= each <= "~" else "?" for each in found[:MAX_ID_CHARS])


def asks_description(event: Any) -> bool:
    """Whether the event is a direct `{"describe": true}`, which is not available over HTTP."""
    return isinstance(event, dict) and not is_http(event) and event.get("describe") is True


def parse(event: Any) -> Request:
    """Parse the event. Raises `Refused`."""
    body = _json(_text(event)) if is_http(event) else event
    if not isinstance(body, dict):
        raise Refused(
            "body-not-an-object", 'The body must be a JSON object such as {"sentence": "..."}.'
        )
    traffic = body.get("traffic", "live")
    if traffic not in TRAFFIC:
        raise Refused("field-invalid", f"traffic must be one of {', '.join(TRAFFIC)}.", "traffic")
    try:
        return Request(_asked(body), batch="sentences" in body, traffic=traffic)
    except Refused as problem:
        problem.traffic = traffic
        raise


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


def _text(event: dict[str, Any]) -> str:
    body = event.get("body")
    if not isinstance(body, str) or not body:
        raise Refused("body-missing", 'The request has no body; send {"sentence": "..."}.')
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
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as problem:
        raise Refused(
            "body-not-json", f"The body is not JSON: {problem.msg} (character {problem.pos})."
        ) from None
    except (
        ValueError,
        RecursionError,
    ):  # a number of thousands of digits, or nesting beyond what any sentence needs
        raise Refused(
            "body-not-json", "The body holds a number too long or is nested too deep to be read."
        ) from None


def _no_number(name: str) -> NoReturn:
    """Refuse NaN and Infinity: Python's parser accepts them by default, JSON does not."""
    raise Refused("body-not-json", f"The body is not JSON: that has no {name}.")


def _sentences(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Refused("field-invalid", "sentences must be a list of strings.", "sentences")
    if not value:
        raise Refused("field-invalid", "sentences is empty.", "sentences")
    if len(value) > MAX_SENTENCES:
        raise Refused(
            "too-many-sentences",
            f"{len(value)} sentences; at most {MAX_SENTENCES} are taken at once.",
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
            f"{field} has {len(value)} characters; at most {MAX_CHARS} are taken.",
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

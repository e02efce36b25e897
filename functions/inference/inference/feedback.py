"""Reads a request that gives predictions their right labels: POST /feedback."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from inference.problem import Refused
from inference.request import body_of

MOST: Final = 100  # labels in one request
PREDICTION_ID: Final = re.compile(r"[0-9a-f]{32}")
SOURCES: Final = ("human", "model", "code", "audit")
# The optional text fields, and the largest number of characters of each.
TEXTS: Final = {"explanation": 1000, "identifier": 128}

Feedback = dict[str, str]  # the fields of events/feedback.schema.json that the request has


def asks_feedback(event: dict[str, Any]) -> bool:
    """Return whether an event of an API (REST API v1 or HTTP API v2) is for the route /feedback."""
    path = event.get("rawPath") or event.get("path")
    return isinstance(path, str) and path.endswith("/feedback")


def parse_feedback(event: dict[str, Any], labels: Collection[str]) -> list[Feedback]:
    """Return the feedback in an API's event. `labels` are the labels of the model.

    Raises `Refused` if any part of the feedback is not valid: then no part of it is accepted.
    """
    body = body_of(event, '{"prediction_id": "...", "label": "..."}')
    if "feedback" not in body:
        return [_feedback(body, "", labels)]
    if "prediction_id" in body or "label" in body:
        raise Refused(
            "field-ambiguous", "Send either one label or a list in feedback, not both.", "feedback"
        )
    several = body["feedback"]
    if not isinstance(several, list):
        raise Refused("field-invalid", "feedback must be a list of objects.", "feedback")
    if not several:
        raise Refused("field-invalid", "feedback is empty.", "feedback")
    if len(several) > MOST:
        raise Refused(
            "too-many-labels",
            f"The request has {len(several)} labels; at most {MOST} are accepted.",
            "feedback",
        )
    return [_feedback(one, f"feedback[{at}].", labels) for at, one in enumerate(several)]


def _feedback(one: Any, place: str, labels: Collection[str]) -> Feedback:
    """Check one label. `place` is the beginning of the field names in error messages."""
    if not isinstance(one, dict):
        raise Refused("field-invalid", f"{place[:-1]} must be an object.", place[:-1])
    for name in ("prediction_id", "label"):
        if name not in one:
            raise Refused(
                "field-missing",
                f'There is no {place}{name}; send {{"prediction_id": "...", "label": "..."}}.',
                place + name,
            )
    found = one["prediction_id"]
    if not isinstance(found, str) or not PREDICTION_ID.fullmatch(found):
        raise Refused(
            "field-invalid",
            f"{place}prediction_id must be the 32 hexadecimal digits of an answer's prediction_id.",
            f"{place}prediction_id",
        )
    if not isinstance(one["label"], str) or one["label"] not in labels:
        raise Refused(
            "label-unknown",
            f"{place}label must be one of the model's labels: {', '.join(labels)}.",
            f"{place}label",
        )
    optional = {name: one[name] for name in ("source", *TEXTS) if name in one}
    if "source" in optional and optional["source"] not in SOURCES:
        raise Refused(
            "field-invalid", f"{place}source must be one of {', '.join(SOURCES)}.", f"{place}source"
        )
    for name, most in TEXTS.items():
        if name in optional and not _is_text(optional[name], most):
            raise Refused(
                "field-invalid",
                f"{place}{name} must be text of 1 to {most} characters. A lone surrogate (half of a"
                " surrogate pair) is not allowed.",
                place + name,
            )
    return {"prediction_id": found, "label": one["label"], **optional}


def _is_text(value: Any, most: int) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        return False
    return not any("\ud800" <= each <= "\udfff" for each in value)

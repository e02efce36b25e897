"""Recognises predictions among trusted lines, and gives them the fields of a record.

The rule is in events/prediction.json.

A user's own function does not follow our record schema. Its prediction may be inside a logger's
`message`, may be Hugging Face's list, or may have other field names, and it has no descriptors.
This module converts the fields; the line itself stays unchanged.
"""

from __future__ import annotations

from typing import Any, Final

from shipper.characters import characters
from shipper.field_map import FieldMap, moved
from shipper.json_text import Fields, json_object
from shipper.labels import field_names
from shipper.provenance import LOG, PREDICTION, RECORDS

LEVELS: Final = 2  # of objects in `message`: Powertools' line in Lambda's JSON format has both
LABELS: Final = 100  # of a list whose scores become fields: an index takes about 1,000
DESCRIBED: Final = 100_000  # characters of a text that is described: it takes some 0.1 µs each
OWN: Final = "record_version"  # what a record of this project has, and no other line


def recognised(fields: Fields, names: FieldMap) -> tuple[str, Fields]:
    """The `@kind` of a trusted line with these fields, and the fields of its document.

    A record of this project is returned unchanged. `names` maps the user's field names to those of
    a prediction.
    """
    message = fields.get("message")
    named = message if isinstance(message, str) and message in RECORDS else ""
    if named and (named != PREDICTION or OWN in fields):
        return named, fields
    inside = fields
    for _ in range(1 + LEVELS):
        found = _best(moved(inside, names))
        if is_label(_label(found)):
            return PREDICTION, found
        inner = _inside(inside.get("message"))
        if inner is None:
            break
        inside = {name: value for name, value in inside.items() if name != "message"} | inner
    return named or LOG, fields


def described(fields: Fields, key: bytes) -> Fields:
    """Add the descriptors of its text to a prediction's `input`.

    Existing members of `input` stay. An empty key gives no hash.
    """
    text, said = fields.get("text"), fields.get("input", {})
    if not isinstance(text, str) or not isinstance(said, dict) or len(text) > DESCRIBED:
        return fields
    return fields | {"input": characters(text, key) | said}


def is_live(fields: Fields) -> bool:
    """Whether the traffic is live. A line without `traffic` is live."""
    traffic = fields.get("traffic")
    return traffic is None or traffic == "live"


def is_label(value: Any) -> bool:
    """Whether a value can be a label: non-empty text, or a number, which the index stores as text."""
    return isinstance(value, str | int | float) and value != ""


def _label(fields: Fields) -> Any:
    prediction = fields.get("prediction")
    return prediction.get("label") if isinstance(prediction, dict) else None


def _inside(message: Any) -> Fields | None:
    """The object that a `message` is, or ends with, or holds as a string."""
    if isinstance(message, str):
        ends = message.rstrip()[-1:]
        message = json_object(message) if ends in {"}", '"'} and "{" in message else None
    return message if isinstance(message, dict) else None


def _best(fields: Fields) -> Fields:
    """Convert Hugging Face's list: its best entry becomes the prediction, and all scores become probabilities."""
    listed = fields.get("prediction")
    if isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], list):
        listed = listed[0]  # a pipeline's answer to a list of one text
    if not isinstance(listed, list) or not listed or not all(map(_is_scored, listed)):
        return fields
    best = max(listed, key=lambda one: one["score"])
    scores = {one["label"]: one["score"] for one in listed}
    if 1 < len(scores) <= LABELS:
        named = field_names(tuple(sorted(scores)))
        best = best | {"probability": {named[label]: score for label, score in scores.items()}}
    return fields | {"prediction": best}


def _is_scored(one: Any) -> bool:
    """Whether an entry is an object with a label (text) and a score (number)."""
    if not isinstance(one, dict) or not isinstance(one.get("label"), str) or not one["label"]:
        return False
    return isinstance(one.get("score"), int | float) and not isinstance(one["score"], bool)

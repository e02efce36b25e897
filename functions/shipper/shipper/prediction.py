"""Recognises predictions and feedback among trusted lines, and gives them the fields of a record.

A line is trusted if provenance.py trusts its log group or its subscription filter.
The rules are in events/prediction.json and events/feedback.schema.json. A user's own function does
not follow our record schema: its prediction may be inside the `message` of a logger, may be a list
in Hugging Face's format, or may have other field names. Its lines have no descriptors of the text,
such as the number of characters. This module converts the fields; the line itself stays unchanged.
"""

from __future__ import annotations

from typing import Any, Final

from shipper.characters import characters
from shipper.field_map import FieldMap, moved
from shipper.json_text import Fields, json_object
from shipper.label_fields import field_names
from shipper.provenance import FEEDBACK, LOG, PREDICTION, RECORDS

# A `message` may hold an object that has a `message` itself, for instance if Lambda's JSON format
# contains a line of Powertools. This many levels are read.
LEVELS: Final = 2
# The largest number of scores that become fields. An index accepts about 1,000 fields.
LABELS: Final = 100
# A text with more characters gets no descriptors. A character takes about 0.1 µs.
DESCRIBED: Final = 100_000
OWN: Final = "record_version"  # only records of this project have this field
# Fields of feedback that are moved below `feedback` in the document. At the root, a name such as
# `source` would clash with fields of other lines.
JUDGEMENT: Final = ("label", "source", "explanation", "identifier")
# The user's field map is used for this field of feedback, and for no other. The map was made for
# the lines of the model. In feedback from another service, a name in the map may have another
# meaning.
ID: Final = "prediction_id"


def recognised(fields: Fields, names: FieldMap) -> tuple[str, Fields]:
    """Return the `@kind` of a trusted line with these fields, and the fields of its document.

    The fields of this project's records stay unchanged, except that feedback is moved
    (`_judgement`). `names` maps the user's field names to the field names of a prediction.
    """
    message = fields.get("message")
    named = message if isinstance(message, str) and message in RECORDS else ""
    if named not in {"", FEEDBACK} and (named != PREDICTION or OWN in fields):
        return named, fields
    inside = fields
    for _ in range(1 + LEVELS):
        if inside.get("message") == FEEDBACK:
            return FEEDBACK, _judgement(inside, names)
        found = _best(moved(inside, names))
        if is_label(_label(found)):
            return PREDICTION, found
        inner = _inside(inside.get("message"))
        if inner is None:
            break
        inside = {name: value for name, value in inside.items() if name != "message"} | inner
    return named or LOG, fields


def described(fields: Fields, key: bytes) -> Fields:
    """Add the descriptors of a prediction's text to the prediction's `input`.

    Existing members of `input` stay. If `key` is empty, no hash is added.
    """
    text, said = fields.get("text"), fields.get("input", {})
    if not isinstance(text, str) or not isinstance(said, dict) or len(text) > DESCRIBED:
        return fields
    return fields | {"input": characters(text, key) | said}


def is_live(fields: Fields) -> bool:
    """Return whether the traffic is live. A line without `traffic` is live."""
    traffic = fields.get("traffic")
    return traffic is None or traffic == "live"


def is_label(value: Any) -> bool:
    """Return whether a value can be a label: non-empty text, or a number.

    The index stores a number as text.
    """
    return isinstance(value, str | int | float) and value != ""


def _label(fields: Fields) -> Any:
    prediction = fields.get("prediction")
    return prediction.get("label") if isinstance(prediction, dict) else None


def _judgement(fields: Fields, names: FieldMap) -> Fields:
    """Return the fields of feedback, with label, source and so on below `feedback`."""
    found = moved(fields, {ID: names[ID]} if ID in names else {})
    given = {name: found[name] for name in JUDGEMENT if _is_scalar(found.get(name))}
    rest = {name: value for name, value in found.items() if name not in given}
    return rest | {"feedback": given}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _inside(message: Any) -> Fields | None:
    """Return the object in a `message`, or None.

    The message may be the object itself, text with the object at its end, or a JSON string of the
    object.
    """
    if isinstance(message, str):
        ends = message.rstrip()[-1:]
        message = json_object(message) if ends in {"}", '"'} and "{" in message else None
    return message if isinstance(message, dict) else None


def _best(fields: Fields) -> Fields:
    """Convert a prediction in Hugging Face's format, which is a list of labels with scores.

    The best entry becomes the prediction, and all scores become probabilities.
    """
    listed = fields.get("prediction")
    if isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], list):
        listed = listed[0]  # a Hugging Face pipeline's answer to a list of one text
    if not isinstance(listed, list) or not listed or not all(map(_is_scored, listed)):
        return fields
    best = max(listed, key=lambda one: one["score"])
    scores = {one["label"]: one["score"] for one in listed}
    if 1 < len(scores) <= LABELS:
        named = field_names(tuple(sorted(scores)))
        best = best | {"probability": {named[label]: score for label, score in scores.items()}}
    return fields | {"prediction": best}


def _is_scored(one: Any) -> bool:
    """Return whether an entry is an object with a label (text) and a score (number)."""
    if not isinstance(one, dict) or not isinstance(one.get("label"), str) or not one["label"]:
        return False
    return isinstance(one.get("score"), int | float) and not isinstance(one["score"], bool)

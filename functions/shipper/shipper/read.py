"""Reads the fields of a log line.

Fields come from a JSON object in the line, or from a line that Lambda itself writes. Other lines
have no fields.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from shipper.json_text import Fields, clean, json_object

# Matches Lambda's own lines in text format.
PLATFORM: Final = re.compile(
    r"(?:(?P<start>START) RequestId: (?P<id>\S+)(?: Version: (?P<version>\S+))?"
    r"|(?P<end>END) RequestId: (?P<end_id>\S+)"
    r"|(?P<init>INIT_START|RESTORE_START) Runtime Version: (?P<runtime>\S+)"
    r"(?:\s+Runtime Version ARN: (?P<arn>\S+))?"
    r"|(?P<report>REPORT(?= RequestId: )|INIT_REPORT|RESTORE_REPORT)"
    r"(?: RequestId: (?P<report_id>\S+))?+"
    r"\s+(?P<figures>[A-Z][A-Za-z ]{0,40}: \S.*)"
    r"|(?P<agent>EXTENSION|LOGS|TELEMETRY)\s+(?P<parts>Name: \S.*?)"
    r"|(?:FAULT )?RequestId: (?P<fault_id>\S+) (?P<fault>(?:Error: |Process exited )\S.*?))\s*",
    re.DOTALL,
)
FIGURE: Final = re.compile(
    r"(?P<name>[A-Z][A-Za-z ]{0,40}): (?P<value>\S{1,200})(?: (?P<unit>ms|MB)\b)?"
)
PART: Final = re.compile(
    r"(?P<name>Name|State|Events|Types|Error Type): (?P<value>\[[^\]]*\]|[^\t]*)"
)
# A value with an exponent stays text, because an `e` between digits is more likely part of an id.
NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
DIGITS: Final = 40  # the length limit of a number; a longer number would lose digits anyway
MISSING: Final = frozenset({"", "-"})  # a missing value in access logs
KINDS: Final = {
    "REPORT": "platform.report",
    "INIT_REPORT": "platform.initReport",
    "RESTORE_REPORT": "platform.restoreReport",
}
STARTS: Final = {"INIT_START": "platform.initStart", "RESTORE_START": "platform.restoreStart"}
AGENTS: Final = {
    "EXTENSION": "platform.extension",
    "LOGS": "platform.logsSubscription",
    "TELEMETRY": "platform.telemetrySubscription",
}
FIRST: Final = frozenset("SEIRLTF")  # the first letters of Lambda's own lines
# The fields that both Lambda's JSON format and Powertools have.
WRAPPER: Final = {"timestamp", "level", "message"}


class Kind(StrEnum):
    """The kind of a line."""

    PLATFORM = "platform"  # START, END, REPORT, and their JSON forms
    METRICS = "metrics"  # CloudWatch's embedded metric format
    OBJECT = "object"  # a JSON object, with or without text before it
    TEXT = "text"  # anything else


class Reading(NamedTuple):
    """A line's kind and fields. A line of plain text has no fields."""

    kind: Kind
    fields: Fields


def read(line: str) -> Reading:
    """Return a line's kind, and the fields for the root of its document. This never fails."""
    found = platform(line)
    if found is not None:
        return Reading(Kind.PLATFORM, found if line.isascii() else clean(found))
    found = json_object(line)
    if found is None:
        return Reading(Kind.TEXT, {})
    found = unwrapped(found)
    if "_aws" in found:
        return Reading(Kind.METRICS, found)
    if str(found.get("type", "")).startswith("platform.") and "record" in found:
        return Reading(Kind.PLATFORM, found)
    return Reading(Kind.OBJECT, found)


def read_extracted(extracted: Fields) -> Fields:
    """Convert the fields that a space-delimited filter pattern extracted.

    The fields are nearly the same as those from the function that the AWS console generates.
    Missing values (empty, `-`) are dropped. Text that is a number becomes a number if no digit is
    lost. A value with a JSON object is kept twice: unchanged, and as an object whose name begins
    with a dollar sign. System fields (such as `@aws.account`) stay text.
    """
    fields: Fields = {}
    for name, value in extracted.items():
        if value is None or (isinstance(value, str) and value in MISSING):
            continue
        convertible = isinstance(value, str) and not is_system(name)
        fields[name] = number(value) if convertible else value
        inner = json_object(value) if convertible else None
        if inner is not None:
            fields[f"${name}"] = inner
    return fields


def is_system(name: str) -> bool:
    """Return whether CloudWatch itself added an extracted field (`emitSystemFields`)."""
    return name.startswith("@")


def number(value: str) -> str | int | float:
    """Convert a string to a number if it is a JSON number without exponent.

    Any other string (such as `007`) stays a string, and so does a number with more digits than a
    double keeps.
    """
    if len(value) > DIGITS or not NUMBER.fullmatch(value):
        return value
    found = float(value)
    if Decimal(value) != Decimal(repr(found)):
        return value
    return int(value) if value.lstrip("-").isdigit() else found


def unwrapped(fields: Fields) -> Fields:
    """Move the fields of an object in a logger's `message` to the root.

    The object may also be in a JSON string. If a name occurs both in the object and at the root,
    the object's value stays. Without this step, `message` would be an object in some documents and
    text in others, and an index refuses that.
    """
    message = fields.get("message")
    if isinstance(message, str) and message.lstrip()[:1] in {"{", '"'}:
        message = json_object(message) if message.rstrip()[-1:] in {"}", '"'} else None
    if not isinstance(message, dict) or not fields.keys() >= WRAPPER:
        return fields
    return {name: value for name, value in fields.items() if name != "message"} | message


def platform(line: str) -> Fields | None:  # noqa: PLR0911  one return for each kind of line
    """Convert one of Lambda's own lines in text format to the fields of its JSON format.

    Returns None for any other line.
    """
    match = PLATFORM.fullmatch(line) if line[:1] in FIRST else None
    if match is None:
        return None
    if match["start"]:
        return {
            "type": "platform.start",
            "record": _present(requestId=match["id"], version=match["version"]),
        }
    if match["end"]:
        return {"type": "platform.end", "record": {"requestId": match["end_id"]}}
    if match["init"]:
        return {
            "type": STARTS[match["init"]],
            "record": _present(runtimeVersion=match["runtime"], runtimeVersionArn=match["arn"]),
        }
    if match["agent"]:
        parts = {
            _camel(part["name"]): _listed(part["value"].strip())
            for part in PART.finditer(match["parts"])
        }
        return {"type": AGENTS[match["agent"]], "record": parts}
    if match["fault"]:
        return {
            "type": "platform.fault",
            "record": {"requestId": match["fault_id"], "errorMessage": match["fault"]},
        }
    metrics: Fields = {}
    record = _present(requestId=match["report_id"])
    for figure in FIGURE.finditer(match["figures"].replace("\t", "  ")):
        name = _camel(figure["name"]) + {"ms": "Ms", "MB": "MB", None: ""}[figure["unit"]]
        (metrics if figure["unit"] else record)[name] = (
            number(figure["value"]) if figure["unit"] else figure["value"]
        )
    return {
        "type": KINDS[match["report"]],
        "record": record | ({"metrics": metrics} if metrics else {}),
    }


def _listed(value: str) -> str | list[str]:
    return value[1:-1].replace(",", " ").split() if value.startswith("[") else value


def _present(**fields: str | None) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _camel(words: str) -> str:
    first, *rest = words.split()
    return (first.lower() if first.isupper() else first[:1].lower() + first[1:]) + "".join(
        word[:1].upper() + word[1:] for word in rest
    )

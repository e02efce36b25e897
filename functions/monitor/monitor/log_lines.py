"""Turns findings into log lines, as events/monitor.schema.json defines them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from monitor.judgement.false_alarm_table import Choice
from monitor.judgement.judge_stream import Drift, Finding

VERSION: Final = 1
# A smaller p is written as this value, because the index keeps p as a 32-bit float.
SMALLEST: Final = 1e-30
NAME: Final = 200  # names from the records are cut after this number of characters


class Line(NamedTuple):
    """A log line: its `message`, which tells the kind of line, and its fields."""

    message: str
    fields: dict[str, Any]


def lines(
    finding: Finding, choice: Choice, message: Mapping[str, Any] | None = None
) -> Iterator[Line]:
    """Yield a drift line for each signal, then a verdict line.

    Numbers that are not known are left out. If the finding leads to a message to people, `message`
    is this message, and the verdict line contains it.
    """
    common = _common(finding)
    for drift in finding.drifts:
        yield _line("drift", common | _drift(drift))
    said = None if message is None else dict(message)
    accuracy = finding.accuracy.fields() if finding.accuracy else None
    known = {"accuracy": accuracy or None, "message": said}
    yield _line("verdict", common | _verdict(finding, choice) | known)


def _line(message: str, fields: dict[str, Any]) -> Line:
    known = {name: value for name, value in fields.items() if value is not None}
    return Line(message, {"record_version": VERSION, "monitor": known})


def _common(finding: Finding) -> dict[str, Any]:
    window = finding.window
    return {
        "log_group": window.stream.log_group,
        "model": window.stream.model[:NAME],
        "version": window.version[:NAME],
        "profile": window.profile[:NAME],
        "start": utc(window.start),
        "end": utc(window.end),
        "rows": window.rows,
        "deff": _rounded(finding.deff),
        "reference": str(finding.reference),
        "baseline": str(finding.number) if finding.number else None,
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "signal": drift.signal,
        "p": None if drift.p is None else max(drift.p, SMALLEST),
        "effect": _rounded(drift.effect),
        "limit": drift.limit,
        "floor": drift.floor,
        "part": drift.part[:NAME],
        "value": _rounded(drift.value),
        "expected": _rounded(drift.expected),
        "unusual": drift.unusual,
    }


def _verdict(finding: Finding, choice: Choice) -> dict[str, Any]:
    return {
        "word": str(finding.verdict),
        "begins": finding.begins,
        "sentence": finding.sentence,
        "signals": [drift.signal for drift in finding.drifts if drift.unusual],
        "in_a_row": finding.in_a_row,
        "wanted_in_a_row": choice.row.in_a_row,
        "promised_days": _rounded(choice.promised) if finding.number else None,
        "text_alone": finding.text_alone,
        "missing": sorted(finding.missing),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def utc(seconds: float) -> str:
    """Return a time in seconds since 1970 as text in RFC 3339: UTC, with milliseconds."""
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )

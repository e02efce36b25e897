"""Convert log lines to log events.

The input is plain lines, or the output of `aws logs filter-log-events`, `aws logs tail` or
`sam logs`.

Each event keeps its time. If the input has CloudWatch's id of an event, the event keeps the id.
Otherwise the id is computed from file, position and content, so that a line that is shipped twice
becomes one document.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from tools.errors import UserError

LONGEST: Final = 1024 * 1024  # CloudWatch's limit for a log event, in bytes
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(hours=2)  # CloudWatch refuses events that are further in the future
TIME: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
STREAM: Final = r"\d{4}/\d\d/\d\d/(?:[\w.-]*)\[[\w$.]+\][0-9a-f]{8,}"
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
# `aws logs tail` prints time, stream and message; with --format short it prints no stream.
# `sam logs` prints stream, time and message.
TAIL: Final = re.compile(rf"(?P<time>{TIME}) (?P<stream>{STREAM})(?:\s(?P<message>.*))?", re.DOTALL)
SHORT: Final = re.compile(rf"(?P<time>{TIME}) (?P<message>.*)", re.DOTALL)
SAM: Final = re.compile(rf"(?P<stream>{STREAM}) (?P<time>{TIME})\s(?P<message>.*)", re.DOTALL)
FIRST_TIME: Final = re.compile(rf"(?<!\d){TIME}")
PIPE: Final = "standard input"  # stands in messages and ids in place of a file's name
TIME_FIELDS: Final = ("timestamp", "@timestamp", "time", "ts")


class Line(NamedTuple):
    """A log event.

    `timestamp` is in milliseconds since 1970; `own_time` is true if the time comes from the log
    itself.
    """

    id: str
    timestamp: int
    message: str
    own_time: bool

    def event(self) -> dict[str, Any]:
        """Return the event in the form of a subscription's payload."""
        return {"id": self.id, "timestamp": self.timestamp, "message": self.message}


def text_of(data: bytes, name: str) -> str:
    """Decode the content of a file. Raises `UserError` if it is not text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UserError(
            f"{name} is not UTF-8 text (byte {problem.start}): give a file of log lines"
        ) from None
    if "\0" in text:
        raise UserError(f"{name} is not text (it has a zero byte): give a file of log lines")
    return text


def lines(
    text: str, name: str, otherwise: datetime, now: datetime, first: int = 1
) -> Iterator[Line]:
    """Yield the log events in the text of a file called `name`.

    A line without a time gets the time of the line before it. `otherwise` is the time for lines
    before the first line with a time.

    `first` is the number of the first line. Raises `UserError` for a line that CloudWatch would
    refuse.
    """
    time, own = _milliseconds(otherwise), False
    for number, message, found, identifier in _records(text, first):
        where = f"line {number} of {name}"
        if len(message.encode(errors="surrogatepass")) > LONGEST:
            raise UserError(
                f"{where} has more than 1 MB, which CloudWatch does not accept: "
                "split it, or leave it out"
            )
        if found is not None:
            _ensure_possible(found, where, now)
            time, own = found, True
        # If no line of a pipe has had a time so far, `time` is the present time, and the id is
        # computed from it. So the line becomes a new event each time that it is shipped.
        digits = identifier or _identifier(
            name, number, message, time if own or name == PIPE else 0
        )
        yield Line(digits, time, message, own)


def _records(text: str, first: int) -> Iterator[tuple[int, str, int | None, str | None]]:
    """Yield the line number, message, time and CloudWatch id of each event."""
    answer = _json(text) if text.lstrip()[:1] in {"{", "["} else None
    events = answer.get("events") if isinstance(answer, dict) else answer
    if isinstance(events, list) and all(_is_event(event) for event in events) and events:
        for number, event in enumerate(events, first):
            yield number, _message(event["message"]), event["timestamp"], event.get("eventId")
        return
    tailed: tuple[int, list[str], int] | None = None
    for number, raw in enumerate(text.splitlines() if "\r\n" in text else text.split("\n"), first):
        line = COLOUR.sub("", raw)
        match = TAIL.fullmatch(line) or SAM.fullmatch(line)
        if match:
            if tailed:
                yield tailed[0], "\n".join(tailed[1]).strip("\n"), tailed[2], None
            tailed = number, [match["message"] or ""], _parsed(match["time"]) or 0
        elif tailed:
            tailed[1].append(line)
        elif line.strip():
            yield number, *_plain(line)
    if tailed:
        yield tailed[0], "\n".join(tailed[1]).strip("\n"), tailed[2], None


def _plain(line: str) -> tuple[str, int | None, str | None]:
    fields = _json(line) if line.startswith("{") else None
    if isinstance(fields, dict):
        if _is_event(fields) and fields.keys() <= {
            "timestamp",
            "message",
            "eventId",
            "id",
            "ingestionTime",
            "logStreamName",
            "logGroupName",
        }:
            return (
                _message(fields["message"]),
                fields["timestamp"],
                fields.get("eventId") or fields.get("id"),
            )
        times = (_time_in(fields[name]) for name in TIME_FIELDS if name in fields)
        return line, next((time for time in times if time is not None), None), None
    short = SHORT.fullmatch(line)
    if short and short["message"].lstrip().startswith(("{", "START ", "END ", "REPORT ")):
        return short["message"], _parsed(short["time"]), None
    found = FIRST_TIME.search(line[:200])
    return line, _parsed(found[0]) if found else None, None


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and isinstance(event.get("message"), str)
        and type(event.get("timestamp")) is int
    )


def _message(text: str) -> str:
    return text.removesuffix("\n")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _time_in(value: Any) -> int | None:
    if isinstance(value, str):
        found = FIRST_TIME.match(value)
        return _parsed(found[0]) if found else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1000) if abs(value) < 10**11 else int(value)  # seconds, or ms
    return None


def _parsed(text: str) -> int | None:
    try:
        found = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return _milliseconds(found if found.tzinfo else found.replace(tzinfo=UTC))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _ensure_possible(time: int, where: str, now: datetime) -> None:
    if time < _milliseconds(EARLIEST):
        shown = datetime.fromtimestamp(max(time, 0) / 1000, UTC).date()
        raise UserError(
            f"{where} has the date {shown}, which is before the year 2000: give its time in "
            "milliseconds since 1970, or as 2026-11-28T12:00:00Z"
        )
    if time > _milliseconds(now + AHEAD):
        raise UserError(
            f"{where} has a time more than two hours ahead of this machine's clock, which "
            "CloudWatch does not accept: correct its time"
        )


def _identifier(name: str, number: int, message: str, time: int) -> str:
    """Return an id of 56 digits, the length of CloudWatch's ids."""
    digest = hashlib.sha256(json.dumps([name, number, message, time]).encode()).digest()
    return f"{int.from_bytes(digest) % 10**56:056d}"

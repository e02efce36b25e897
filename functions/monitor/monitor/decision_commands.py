"""The commands by which people stop or allow messages, and `show`, which lists their decisions.

A silence is a period without messages. Each decision is a document in the monitor's own index, with
the person, the time and the reason. The next scheduled run reads the document.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from monitor.baseline_commands import Context, Refused, lately, show_command
from monitor.baselines.activation import next_number
from monitor.messages import muting
from monitor.messages.muting import Silence, in_force, silencing
from monitor.messages.transitions import Episode
from monitor.printable import plain
from monitor.scheduled_run import name
from monitor.summaries.store import Kind, stream_of
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY, moment

LONGEST: Final = 31 * DAY  # the longest silence, in seconds
LAST: Final = 10  # the largest number of decisions that `show` prints for a stream


def mute_command(context: Context) -> int:
    """Run `mute`: send no messages until a time."""
    now = time.time()
    return _silence(context, muting.Kind.MUTE, int(now), _until(context.options.until, now), now)


def expect_command(context: Context) -> int:
    """Run `expect`: send no messages about a period in which a change is expected."""
    now, options = time.time(), context.options
    end = _until(options.last, now, name="--to")
    if options.first >= end:
        raise Refused("--from is not before --to: give the beginning and the end of the change")
    return _silence(context, muting.Kind.EXPECT, options.first, end, now)


def unmute_command(context: Context) -> int:
    """Run `unmute`: end every silence now, and cancel every silence that has not begun."""
    now = time.time()
    if not any(in_force(_silences(context, one), now) for one in context.streams(*lately())):
        raise Refused("no message is silenced, now or later: there is nothing to end")
    return _silence(context, muting.Kind.UNMUTE, int(now), int(now), now)


def show_all_command(context: Context) -> int:
    """Run `show`: print the baseline in use, the open notice, silences, and the last decisions.

    A notice is the verdict that three windows in a row differ from the baseline.
    """
    show_command(context)
    now = time.time()
    states = {stream_of(one.source): one.source for one in context.store.documents(Kind.STATE)}
    for stream in context.streams(*lately()):
        print(f"{plain(name(stream))}: messages and decisions")
        state = states.get(stream, {})
        print(f"  {plain(_notice(Episode.read(state), str(state.get('word', ''))))}")
        held = silencing(_silences(context, stream), int(now), int(now), now)
        if held:
            print(f"  Messages are silenced until {moment(held.end)} UTC: {plain(held.reason)}")
        for line in [*_decisions(context, stream)][-LAST:]:
            print(f"  {plain(line)}")
    return 0


def _silence(context: Context, kind: muting.Kind, start: int, end: int, now: float) -> int:
    options = context.options
    if end - max(start, int(now)) > LONGEST:
        raise Refused(
            f"a silence lasts at most {LONGEST // DAY} days: give an earlier end, or, if the "
            "traffic has changed for good, accept a new baseline"
        )
    decision = Silence(kind, start, end, options.by, options.reason, int(now))
    for stream in context.streams(*lately()):
        number = next_number(context.store, Kind.SILENCE, stream)
        context.store.create(Kind.SILENCE, stream, number, decision.document())
        print(plain(f"{name(stream)}: {_sentence(decision)}"))
    return 0


def _sentence(one: Silence) -> str:
    match one.kind:
        case muting.Kind.MUTE:
            return f"messages are muted until {moment(one.end)} UTC"
        case muting.Kind.EXPECT:
            return f"a change is expected from {moment(one.start)} to {moment(one.end)} UTC"
        case muting.Kind.UNMUTE:
            return "messages are sent again"


def _until(end: int, now: float, *, name: str = "--until") -> int:
    if end <= now:
        raise Refused(f"{name} is in the past ({moment(end)} UTC): give a future time")
    return end


def _silences(context: Context, stream: Stream) -> list[Silence]:
    return [Silence.read(one.source) for one in context.store.documents(Kind.SILENCE, stream)]


def _notice(episode: Episode, word: str) -> str:
    last = f"The last verdict is {word}." if word else "Nothing was judged yet."
    if not episode.told:
        return f"No notice is open. {last}"
    held = " Its message was not sent, because messages are silenced." if episode.held else ""
    signals = ", ".join(episode.told)
    return f"A notice is open: it began at {moment(episode.since)} UTC ({signals}).{held} {last}"


def _decisions(context: Context, stream: Stream) -> Iterator[str]:
    """Yield one line for each decision, in the order of time."""
    found: list[tuple[float, str, dict[str, Any]]] = []
    for one in context.store.documents(Kind.DECISION, stream):
        what = f"{one.source['action']} baseline {one.source['baseline']}"
        found.append((float(one.source.get("decided", 0)), what, one.source))
    for one in context.store.documents(Kind.SILENCE, stream):
        what = _sentence(Silence.read(one.source))
        found.append((float(one.source["decided"]), what, one.source))
    for decided, what, source in sorted(found, key=lambda each: each[0]):
        by, reason = source.get("by") or "somebody", source.get("reason") or "no reason given"
        yield f"{moment(decided)} {by}: {what} ({reason})"


def point(text: str) -> int:
    """Convert a time in UTC, such as 2026-11-24T08:00 or 2026-11-24, to seconds since 1970."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: write it as 2026-11-24T08:00, in UTC") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())

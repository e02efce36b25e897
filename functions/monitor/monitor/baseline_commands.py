"""The commands about baselines, and `feasible`, `backtest` and `judge`.

A stream is the predictions of one model in one log group. A baseline is the predictions of accepted
days. Each later window (a span of time) of the stream is compared with the baseline. Several
unusual windows in a row give a notice.

`baseline` accepts and shows baselines. `feasible` computes which changes can be detected.
`backtest` judges past days. `judge` runs once as the schedule does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from monitor.accuracy.gather_feedback import gather
from monitor.baselines.acceptance import comparison, feasible, judged, notices, propose, rate
from monitor.baselines.activation import Decider, adopt, decide, next_number
from monitor.baselines.shipped_profile import shipped_golden, shipped_profile
from monitor.baselines.window_length import plan
from monitor.judgement import false_alarm_table
from monitor.judgement.false_alarm_table import Choice
from monitor.judgement.judge_stream import GROWS, Accepted, Finding
from monitor.log_lines import Line
from monitor.messages.evidence import Sight
from monitor.printable import plain
from monitor.scheduled_run import asking, fill, growth, in_use, name, run
from monitor.summaries.read_summaries import Connection, find_streams
from monitor.summaries.store import Kind, Store, stream_of
from monitor.summaries.summary import SLOT, Stream, Summary
from monitor.summaries.windows import DAY, moment

PROGRAM: Final = "python -m monitor"
# `feasible` reads this number of days, and more if traffic is low. `accept` judges this number of
# days before the new baseline, and the same number after it.
LOOK_BACK: Final = 14


class Refused(Exception):
    """A refused command: the message is one sentence with the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The store and the settings of all commands.

    `index` is the pattern of prediction indices. `false_alarm_days` is a number of days: at most
    one false notice is allowed in this time.
    """

    connection: Connection
    store: Store
    index: str
    stack: str
    false_alarm_days: float


class Context:
    """The options of one command, and the objects with which it works."""

    def __init__(self, options: argparse.Namespace, reach: Reach) -> None:
        self.options = options
        self.reach = reach
        self.connection = reach.connection
        self.store = reach.store
        self.index = reach.index

    def streams(self, start: int, end: int) -> list[Stream]:
        """Return the streams that --log-group and --model select.

        They are selected from the streams with predictions between `start` and `end` (in seconds
        since 1970), and from all streams that were judged before. Raises `Refused` if no stream is
        selected.
        """
        found, others = asking(
            lambda: find_streams(self.connection, self.reach.stack, start, end, index=self.index)
        )
        known = [stream_of(one.source) for one in self.store.documents(Kind.STATE)]
        several = list(dict.fromkeys([*found, *others, *known]))
        wanted = [s for s in several if self._wanted(s)]
        if not wanted:
            there = f" (the stack has {', '.join(map(name, several))})" if several else ""
            raise Refused(
                f"no stream of the stack {self.reach.stack} is selected{there}:"
                " check --log-group, --model, --stack and the days"
            )
        return wanted

    def stream(self, start: int, end: int) -> Stream:
        """Return the one stream that is selected. Raises `Refused` for none or several."""
        several = self.streams(start, end)
        if len(several) > 1:
            names = ", ".join(name(one) for one in several)
            raise Refused(
                f"several streams are selected ({names}): select one with --log-group and --model"
            )
        return several[0]

    def choice(self, windows: int, streams: int = 1) -> Choice:
        """Return the limits (false_alarm_table.py) for a baseline with this number of windows."""
        return false_alarm_table.choose(windows, days=self.reach.false_alarm_days, streams=streams)

    @property
    def decider(self) -> Decider:
        """The person who gave the command, and the reason."""
        return Decider(self.options.by, self.options.reason or "")

    def _wanted(self, stream: Stream) -> bool:
        group, model = self.options.log_group, self.options.model
        return group in {None, stream.log_group} and model in {None, stream.model}


def accept_command(context: Context) -> int:
    """Run `baseline accept`: accept days as the baseline of a stream."""
    start, end = _span(context.options)
    stream = context.stream(start, end)
    slots = _summaries(context, stream, start, end)
    current = in_use(context.store, stream)
    number = next_number(context.store, Kind.BASELINE, stream)
    choice = context.choice(current.baseline.windows if current else 0)
    proposal = propose(number, slots, start, end, current=current, choice=choice)
    new = proposal.accepted
    print(f"{plain(name(stream))}: baseline {number}, {moment(start)} to {moment(end)}")
    print(plain(new.sentence))
    if current:
        _table(comparison(current, new), f"{current.number} (in use)", str(number))
    _others(context, stream, new, start, end)
    for sentence in proposal.against:
        print(f"reason against this baseline: {plain(sentence)}")
    if proposal.against and not context.options.force:
        raise Refused("not accepted, for the reasons above: give other days, or --force")
    adopt(context.store, stream, new, "accept", time.time(), decider=context.decider)
    print(
        f"accepted: baseline {number} is in use. {context.choice(new.baseline.windows).sentence()}"
    )
    return 0


def show_command(context: Context) -> int:
    """Run `baseline show`: print each stream's baseline in use."""
    for stream in context.streams(*lately()):
        current = in_use(context.store, stream)
        print(plain(name(stream)))
        if current is None:
            print("  no baseline is accepted")
            continue
        one = current.baseline
        choice = context.choice(one.windows)
        days = f"{moment(one.start)} to {moment(one.end)}"
        print(f"  baseline {current.number}, {days}, version {plain(one.version or 'none')}")
        print(f"  {plain(current.sentence)} Design effect {one.deff:.2f}.")
        if current.may_grow(_today()):
            _, reason = growth(context.store, stream, current, choice, _today())
            grows = f"cannot grow. {plain(reason)}" if reason else "grows at midnight (UTC)."
            print(f"  The baseline {grows}")
        print(
            f"  The level of the tests is {choice.row.level:g}."
            f" {choice.row.in_a_row} unusual windows in a row give a notice. {choice.sentence()}"
        )
        for why in sorted(set(one.missing.values())):
            names = sorted(name for name, reason in one.missing.items() if reason == why)
            print(f"  Not judged ({plain(why)}): {plain(', '.join(names))}")
    return 0


def list_command(context: Context) -> int:
    """Run `baseline list`: print all baselines of each stream."""
    for stream in context.streams(*lately()):
        decisions = context.store.documents(Kind.DECISION, stream)
        used = int(decisions[-1].source["baseline"]) if decisions else 0
        print(plain(name(stream)))
        for one in context.store.documents(Kind.BASELINE, stream):
            source = one.source
            mark = "in use" if source["number"] == used else ""
            days = f"{moment(source['start'])} to {moment(source['end'])}"
            print(f"  {source['number']:>4}  {days}  {source['windows']} windows  {mark}".rstrip())
    return 0


def use_command(context: Context) -> int:
    """Run `baseline use`: from now on, judge a stream by another accepted baseline."""
    stream = context.stream(*lately())
    number = context.options.number
    if not context.store.documents(Kind.BASELINE, stream, number):
        raise Refused(
            f"there is no baseline {number} of {name(stream)}:"
            ' the command "baseline list" shows the numbers'
        )
    decide(context.store, stream, number, "use", time.time(), decider=context.decider)
    print(f"{plain(name(stream))}: baseline {number} is in use")
    return 0


def feasible_command(context: Context) -> int:
    """Run `feasible`: print the changes that can be detected in each stream."""
    start, end = lately()
    streams = context.streams(start, end)
    for stream in streams:
        slots = _summaries(context, stream, start, end)
        if slots and not plan(slots).armed:
            # With little traffic, a baseline grows for up to `GROWS` seconds: read older days too.
            slots = [*context.store.summaries(stream, end - GROWS, start), *slots]
        print(plain(name(stream)))
        for sentence in feasible(slots, days=context.reach.false_alarm_days, streams=len(streams)):
            print(f"  {plain(sentence)}")
    return 0


def backtest_command(context: Context) -> int:
    """Run `backtest`: judge past days and print the notices."""
    start, end = _span(context.options)
    code = 0
    for stream in context.streams(start, end):
        current = in_use(context.store, stream)
        if current is None:
            code = complain(
                f"{name(stream)}: no baseline is accepted: see baseline accept --help", 1
            )
            continue
        print(plain(name(stream)))
        slots = _summaries(context, stream, start, end)
        findings = judged(slots, current, context.choice(current.baseline.windows), end)
        _print_notices(findings)
        print(f"  {rate(findings)}")
    return code


def judge_command(context: Context) -> int:
    """Run `judge`: judge once, as the schedule does."""

    def tell(line: Line) -> None:
        print(json.dumps({"message": line.message, **line.fields}))

    print(gather_sentence(context), file=sys.stderr)
    report = run(
        context.connection,
        context.store,
        context.reach.stack,
        context.index,
        days=context.reach.false_alarm_days,
        profile=shipped_profile(),
        now=time.time(),
        tell=tell,
        sight=Sight(context.connection, context.store, context.index, golden=shipped_golden()),
    )
    for problem in report.problems:
        complain(problem, 1)
    words = ", ".join(f"{count} {word}" for word, count in sorted(report.words.items()))
    print(
        f"{report.streams} streams, {report.slots} slots read: {words or 'nothing to judge'}",
        file=sys.stderr,
    )
    return 1 if report.problems else 0


def gather_sentence(context: Context) -> str:
    """Gather feedback as the schedule does, and return a sentence about it."""
    found = gather(
        context.connection, context.store, context.reach.stack, context.index, time.time()
    )
    said = (
        f"feedback: {found.joined} labels joined, {found.not_joined} cannot join,"
        f" {found.waiting} wait for their predictions"
    )
    return f"{said}, {found.behind} lines are not read yet" if found.behind else said


def _others(context: Context, stream: Stream, new: Accepted, start: int, end: int) -> None:
    """Print the notices that the new baseline would have given on days other than its own."""
    _, closed = lately()
    others = [
        *_summaries(context, stream, start - LOOK_BACK * DAY, start),
        *_summaries(context, stream, end, min(closed, end + LOOK_BACK * DAY)),
    ]
    if not others:
        print(
            f"the {LOOK_BACK} days before and after the new baseline have no predictions to judge"
        )
        return
    findings = judged(others, new, context.choice(new.baseline.windows), closed)
    print("on other days the new baseline would have given these notices:")
    _print_notices(findings)
    print(f"  {rate(findings)}")


def _summaries(context: Context, stream: Stream, start: int, end: int) -> list[Summary]:
    """Return the summaries of a stream between two times. Missing summaries are computed first."""
    if end <= start:
        return []
    fill(context.connection, context.store, stream, start, end, index=context.index)
    return context.store.summaries(stream, start, end)


def _print_notices(findings: Sequence[Finding]) -> None:
    for line in notices(findings):
        print(f"  {plain(line)}")


def _table(rows: Sequence[tuple[str, str, str]], old: str, new: str) -> None:
    table = [("", old, new), *rows]
    widths = [max(len(plain(row[column])) for row in table) for column in range(3)]
    for row in table:
        print(
            "  ".join(
                plain(cell).ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
        )


def _span(options: argparse.Namespace) -> tuple[int, int]:
    """Return the start of the day --from and the end of the day --to, in seconds since 1970.

    Raises `Refused` for days in the wrong order and for days that are not over.
    """
    start, end = _seconds(options.first), _seconds(options.last) + DAY
    if end <= start:
        raise Refused("--to is before --from: give the first and the last whole day")
    if end > _today():
        raise Refused(
            f"--to must be a day that is over (UTC): {moment(_today() - DAY)[:10]} at the latest"
        )
    return start, end


def lately() -> tuple[int, int]:
    """Return the start and the end of the last two weeks, in seconds since 1970.

    The end is 15 to 30 minutes ago, because predictions may be delivered late.
    """
    closed = int(time.time() - SLOT) // SLOT * SLOT
    return closed - LOOK_BACK * DAY, closed


def _today() -> int:
    return int(time.time()) // DAY * DAY


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def complain(sentence: str, code: int) -> int:
    """Print a sentence to standard error, and return `code`."""
    print(f"{PROGRAM}: {plain(sentence)}", file=sys.stderr)
    return code

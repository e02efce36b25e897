"""`python -m monitor baseline|feasible|backtest|judge`: accept a stream's baseline, compute the detectable changes, judge the past.

Exit 0 when it is done, 1 with one sentence when it is not, 2 for wrong arguments, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from monitor import dial
from monitor.acceptance import comparison, feasible, judged, moment, propose, rate, said
from monitor.address import PASSWORD
from monitor.arguments import Parser, value
from monitor.baseline import BaselineUnreadable, TooFewWindows, to_document
from monitor.client import connect
from monitor.dial import Choice
from monitor.follow import Accepted, Finding
from monitor.lines import lines
from monitor.plain import plain
from monitor.problem import ServerProblem
from monitor.profile import ProfileUnreadable
from monitor.read import Connection, find_streams
from monitor.run import asking, fill, in_use, name, run
from monitor.settings import PREFIX, days_of, index_prefix, own_index, stack_name
from monitor.shipped_profile import shipped_profile
from monitor.store import Conflict, Kind, Store, stream_of
from monitor.summary import SLOT, Stream, Summary
from monitor.windows import DAY

PROGRAM: Final = "python -m monitor"
LOOK_BACK: Final = 14  # days that `feasible` reads, and days beside its own that `accept` judges
ENVIRONMENT: Final = f"""\
environment: {PASSWORD} is the password of --user, or of a name that stands in the address without one; OPENSEARCH_URL stands for
--opensearch, STACK for --stack and INDEX_PREFIX for --index-prefix where they are not given. Requests to an Amazon domain are
signed with AWS credentials, found as by the AWS CLI, unless a user is given."""
ACCEPT: Final = """\
Accepts whole days (UTC) of one stream as its baseline: at least 3, better 7 or more. Missing summaries are first made from the
predictions. Shows the baseline in use beside the new one, and the notices of the new one on other days. Refuses days
with a notice, a gap, two versions or too few windows, unless --force is given. Nothing accepts a baseline by itself."""


class Refused(Exception):
    """A command is refused: one sentence with the reason and the remedy."""


class Context:
    """The options, the connection and the store of a command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.index = f"{options.index_prefix}*"
        self.connection: Connection = connect(options.opensearch, os.environ, options.user)
        self.store = Store(self.connection, own_index(options.stack), options.stack)

    def streams(self, start: int, end: int) -> list[Stream]:
        """The streams of a span that --log-group and --model leave.

        Raises `Refused` where there is none.
        """
        found, others = asking(
            lambda: find_streams(self.connection, self.options.stack, start, end, index=self.index)
        )
        known = [stream_of(one.source) for one in self.store.documents(Kind.STATE)]
        several = list(dict.fromkeys([*found, *others, *known]))
        wanted = [s for s in several if self._wanted(s)]
        if not wanted:
            there = f": there are {', '.join(map(name, several))}" if several else ""
            raise Refused(
                f"no stream of the stack {self.options.stack} is meant{there}; check --stack and the days"
            )
        return wanted

    def stream(self, start: int, end: int) -> Stream:
        """The one stream that is meant. Raises `Refused` for several."""
        several = self.streams(start, end)
        if len(several) > 1:
            names = ", ".join(name(one) for one in several)
            raise Refused(
                f"several streams are meant ({names}): name one by --log-group, and --model"
            )
        return several[0]

    def choice(self, windows: int, streams: int = 1) -> Choice:
        """The dial's row."""
        return dial.choose(windows, days=self.options.false_alarm_days, streams=streams)

    def _wanted(self, stream: Stream) -> bool:
        group, model = self.options.log_group, self.options.model
        return group in {None, stream.log_group} and model in {None, stream.model}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; wrong arguments end the process with code 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.opensearch:
        parser.error("give --opensearch, or set OPENSEARCH_URL")
    try:
        options.stack = stack_name(options.stack or "", "--stack")
        options.index_prefix = index_prefix(options.index_prefix, "--index-prefix")
    except ValueError as problem:
        parser.error(str(problem))
    try:
        code: int = options.run(Context(options))
    except KeyboardInterrupt:
        return _complain("stopped by Ctrl-C", 130)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or Python complains once more at its end
        return 1
    except (
        Refused,
        ServerProblem,
        Conflict,
        TooFewWindows,
        BaselineUnreadable,
        ProfileUnreadable,
        ValueError,
    ) as problem:
        return _complain(str(problem), 1)
    return code


def accept_command(context: Context) -> int:
    """`baseline accept`."""
    start, end = _span(context.options)
    stream = context.stream(start, end)
    slots = _summaries(context, stream, start, end)
    current = in_use(context.store, stream)
    numbers = [int(one.source["number"]) for one in context.store.documents(Kind.BASELINE, stream)]
    number = max(numbers, default=0) + 1
    choice = context.choice(current.baseline.windows if current else 0)
    proposal = propose(number, slots, start, end, current=current, choice=choice)
    new = proposal.accepted
    print(f"{plain(name(stream))}: baseline {number}, {moment(start)} to {moment(end)}")
    print(plain(new.sentence))
    if current:
        _table(comparison(current, new), f"{current.number} (in use)", str(number))
    _others(context, stream, new, start, end)
    for sentence in proposal.against:
        print(f"against it: {plain(sentence)}")
    if proposal.against and not context.options.force:
        raise Refused("not accepted, for the reasons above: give other days, or --force")
    content = to_document(new.baseline) | {"plan": new.plan(), "accepted": time.time()}
    context.store.create(Kind.BASELINE, stream, number, content)
    _decide(context, stream, number, "accept")
    print(
        f"accepted: baseline {number} is in use. {context.choice(new.baseline.windows).sentence()}"
    )
    return 0


def show_command(context: Context) -> int:
    """`baseline show`."""
    for stream in context.streams(*_lately()):
        current = in_use(context.store, stream)
        print(plain(name(stream)))
        if current is None:
            print("  no baseline is accepted")
            continue
        one = current.baseline
        choice = context.choice(one.windows)
        print(
            f"  baseline {current.number}, {moment(one.start)} to {moment(one.end)}, version {plain(one.version or 'none')}"
        )
        print(f"  {plain(current.sentence)} deff {one.deff:.2f}.")
        print(
            f"  Unusual below {choice.row.level:g}, a notice after {choice.row.in_a_row} windows in a row. {choice.sentence()}"
        )
        for what, why in sorted(one.missing.items()):
            print(f"  without {plain(what)}: {plain(why)}")
    return 0


def list_command(context: Context) -> int:
    """`baseline list`."""
    for stream in context.streams(*_lately()):
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
    """`baseline use`."""
    stream = context.stream(*_lately())
    number = context.options.number
    if not context.store.documents(Kind.BASELINE, stream, number):
        raise Refused(f"there is no baseline {number} of {name(stream)}: see baseline list")
    _decide(context, stream, number, "use")
    print(f"{plain(name(stream))}: baseline {number} is in use")
    return 0


def feasible_command(context: Context) -> int:
    """`feasible`."""
    start, end = _lately()
    streams = context.streams(start, end)
    for stream in streams:
        slots = _summaries(context, stream, start, end)
        print(plain(name(stream)))
        for sentence in feasible(
            slots, days=context.options.false_alarm_days, streams=len(streams)
        ):
            print(f"  {plain(sentence)}")
    return 0


def backtest_command(context: Context) -> int:
    """`backtest`."""
    start, end = _span(context.options)
    code = 0
    for stream in context.streams(start, end):
        current = in_use(context.store, stream)
        if current is None:
            code = _complain(
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
    """`judge`."""

    def tell(finding: Finding, choice: Choice) -> None:
        for line in lines(finding, choice):
            print(json.dumps({"message": line.message, **line.fields}))

    report = run(
        context.connection,
        context.store,
        context.options.stack,
        context.index,
        days=context.options.false_alarm_days,
        profile=shipped_profile(),
        now=time.time(),
        tell=tell,
    )
    for problem in report.problems:
        _complain(problem, 1)
    words = ", ".join(f"{count} {word}" for word, count in sorted(report.words.items()))
    print(
        f"{report.streams} streams, {report.slots} slots read: {words or 'nothing to judge'}",
        file=sys.stderr,
    )
    return 1 if report.problems else 0


def _others(context: Context, stream: Stream, new: Accepted, start: int, end: int) -> None:
    """What the new baseline would have noticed on days beside its own."""
    _, closed = _lately()
    beside = [
        *_summaries(context, stream, start - LOOK_BACK * DAY, start),
        *_summaries(context, stream, end, min(closed, end + LOOK_BACK * DAY)),
    ]
    if not beside:
        print("there are no predictions of other days to judge by it")
        return
    findings = judged(beside, new, context.choice(new.baseline.windows), closed)
    print("on other days it would have noticed:")
    _print_notices(findings)
    print(f"  {rate(findings)}")


def _summaries(context: Context, stream: Stream, start: int, end: int) -> list[Summary]:
    """The stream's summaries of a span; those that are missing are read from the predictions first."""
    if end <= start:
        return []
    fill(context.connection, context.store, stream, start, end, index=context.index)
    return context.store.summaries(stream, start, end)


def _print_notices(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.begins:
            print(f"  {plain(said(finding))}")


def _decide(context: Context, stream: Stream, baseline: int, action: str) -> None:
    decisions = context.store.documents(Kind.DECISION, stream)
    number = int(decisions[-1].source["number"]) + 1 if decisions else 1
    content = {"baseline": baseline, "action": action, "decided": time.time()}
    context.store.create(Kind.DECISION, stream, number, content)


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
    """From the first moment of --from until the last of --to. Raises `Refused`."""
    start, end = _seconds(options.first), _seconds(options.last) + DAY
    if end <= start:
        raise Refused("--to is before --from: give the first and the last whole day")
    if end > _today():
        raise Refused(
            f"--to must be a day that is over (UTC): {moment(_today() - DAY)[:10]} at the latest"
        )
    return start, end


def _lately() -> tuple[int, int]:
    closed = int(time.time() - SLOT) // SLOT * SLOT
    return closed - LOOK_BACK * DAY, closed


def _today() -> int:
    return int(time.time()) // DAY * DAY


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day: write it as 2026-11-23") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{text!r} is no number of a baseline: see baseline list")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Baselines of streams of predictions, and the notices that they would give.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    baseline = commands.add_parser(
        "baseline", help="accept, show, list or change the baseline of a stream"
    )
    several = baseline.add_subparsers(dest="baseline_command", required=True)
    accept = several.add_parser(
        "accept",
        help="accept whole days as a stream's baseline",
        description=ACCEPT,
        epilog=ENVIRONMENT,
    )
    _common(accept, accept_command)
    _days(accept)
    accept.add_argument(
        "--force", action="store_true", help="accept these days, whatever speaks against them"
    )
    _common(
        several.add_parser("show", help="the baseline in use, and its promise", epilog=ENVIRONMENT),
        show_command,
    )
    _common(several.add_parser("list", help="all baselines", epilog=ENVIRONMENT), list_command)
    use = several.add_parser("use", help="judge by another accepted baseline", epilog=ENVIRONMENT)
    _common(use, use_command)
    use.add_argument("number", type=value(_number), metavar="VERSION", help="the baseline's number")
    feasible_parser = commands.add_parser(
        "feasible", help="the changes that can be found at this traffic, and their delays", epilog=ENVIRONMENT,
        description=f"Computes from the last {LOOK_BACK} days the changes that a baseline of them would find.",
    )  # fmt: skip
    _common(feasible_parser, feasible_command)
    backtest = commands.add_parser(
        "backtest", help="judge past days as the schedule would have", epilog=ENVIRONMENT,
        description="Judges past days by the baseline in use, prints each notice, and how often there was one.",
    )  # fmt: skip
    _common(backtest, backtest_command)
    _days(backtest)
    judge = commands.add_parser(
        "judge", help="judge once, as the schedule does", epilog=ENVIRONMENT,
        description="Runs once as the schedule does, with the lines on standard output. The schedule does not write these lines again.",
    )  # fmt: skip
    _common(judge, judge_command)
    return parser


def _common(parser: argparse.ArgumentParser, command: Any) -> None:
    parser.set_defaults(run=command)
    add = parser.add_argument
    add(
        "--opensearch",
        metavar="URL",
        default=os.environ.get("OPENSEARCH_URL"),
        help="the address of OpenSearch",
    )
    add("--user", metavar="NAME", help=f"sign in with this name, and the password in {PASSWORD}")
    add(
        "--stack",
        metavar="NAME",
        default=os.environ.get("STACK"),
        help="the stack of the predictions; make serve's is local",
    )
    add(
        "--index-prefix",
        metavar="P",
        default=os.environ.get("INDEX_PREFIX") or PREFIX,
        help="prefix of their indices (%(default)s)",
    )
    add("--log-group", metavar="NAME", help="only streams of this log group")
    add("--model", metavar="NAME", help="only streams of this model")
    add(
        "--false-alarm-days",
        metavar="N",
        type=value(lambda text: days_of(text, "--false-alarm-days")),
        default=float(dial.DEFAULT_DAYS),
        help="at most one false notice in so many days (%(default)g)",
    )


def _days(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="first",
        type=value(_day),
        required=True,
        metavar="DAY",
        help="the first whole day, in UTC",
    )
    parser.add_argument(
        "--to",
        dest="last",
        type=value(_day),
        required=True,
        metavar="DAY",
        help="the last whole day, in UTC",
    )


def _complain(sentence: str, code: int) -> int:
    print(f"{PROGRAM}: {plain(sentence)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())

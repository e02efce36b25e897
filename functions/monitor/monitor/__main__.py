"""The commands `python -m monitor baseline|feasible|backtest|judge`.

`baseline` accepts and shows baselines. `feasible` computes which changes can be detected.
`backtest` judges past days. `judge` runs once as the schedule does.

The exit code is 0 after success, 1 after a failure (with one sentence on standard error), 2 for
wrong arguments, and 130 after Ctrl-C.
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
from monitor.adopt import adopt, decide, next_number
from monitor.arguments import Parser, value
from monitor.baseline import BaselineUnreadable, TooFewWindows
from monitor.client import connect
from monitor.dial import Choice
from monitor.evidence import Sight
from monitor.follow import Accepted, Finding
from monitor.lines import Line
from monitor.plain import plain
from monitor.problem import ServerProblem
from monitor.profile import ProfileUnreadable
from monitor.read import Connection, find_streams
from monitor.run import asking, fill, growth, in_use, name, run
from monitor.settings import PREFIX, days_of, index_prefix, own_index, stack_name
from monitor.shipped_profile import shipped_golden, shipped_profile
from monitor.store import Conflict, Kind, Store, stream_of
from monitor.summary import SLOT, Stream, Summary
from monitor.windows import DAY

PROGRAM: Final = "python -m monitor"
# The number of days that `feasible` reads, and that `accept` judges before and after the baseline.
LOOK_BACK: Final = 14
ENVIRONMENT: Final = f"""\
environment: {PASSWORD} is the password for --user, or for the user name in the address if
the address has no password. OPENSEARCH_URL, STACK and INDEX_PREFIX are the defaults of
--opensearch, --stack and --index-prefix. If no user is given, requests to an Amazon domain
are signed with the AWS credentials that the AWS CLI would use."""
ACCEPT: Final = """\
Accepts whole days (UTC) of one stream as its baseline: at least 3, better 7 or more. Missing
summaries are first made from the predictions. Compares the baseline in use with the new one, and
shows the notices that the new one would have given on other days. Refuses days with a notice, a
gap, two versions or too few windows, unless --force is given. A baseline is never accepted
automatically."""


class Refused(Exception):
    """A refused command: the message is one sentence with the reason and the remedy."""


class Context:
    """The options, the connection and the store of a command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.index = f"{options.index_prefix}*"
        self.connection: Connection = connect(options.opensearch, os.environ, options.user)
        self.store = Store(self.connection, own_index(options.stack), options.stack)

    def streams(self, start: int, end: int) -> list[Stream]:
        """Return the streams of a span that --log-group and --model select.

        Raises `Refused` if they select no stream.
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
                f"no stream of the stack {self.options.stack} is selected{there};"
                " check --stack and the days"
            )
        return wanted

    def stream(self, start: int, end: int) -> Stream:
        """Return the one stream that is selected. Raises `Refused` for several."""
        several = self.streams(start, end)
        if len(several) > 1:
            names = ", ".join(name(one) for one in several)
            raise Refused(
                f"several streams are selected ({names}): select one with --log-group and --model"
            )
        return several[0]

    def choice(self, windows: int, streams: int = 1) -> Choice:
        """Return the monitor's settings for a baseline of `windows` windows."""
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
        # Without this, Python reports the broken pipe once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    """Run `baseline accept`: accept days as the baseline of a stream."""
    start, end = _span(context.options)
    stream = context.stream(start, end)
    slots = _summaries(context, stream, start, end)
    current = in_use(context.store, stream)
    number = next_number(context.store, stream)
    choice = context.choice(current.baseline.windows if current else 0)
    proposal = propose(number, slots, start, end, current=current, choice=choice)
    new = proposal.accepted
    print(f"{plain(name(stream))}: baseline {number}, {moment(start)} to {moment(end)}")
    print(plain(new.sentence))
    if current:
        _table(comparison(current, new), f"{current.number} (in use)", str(number))
    _others(context, stream, new, start, end)
    for sentence in proposal.against:
        print(f"reason against it: {plain(sentence)}")
    if proposal.against and not context.options.force:
        raise Refused("not accepted, for the reasons above: give other days, or --force")
    adopt(context.store, stream, new, "accept", time.time())
    print(
        f"accepted: baseline {number} is in use. {context.choice(new.baseline.windows).sentence()}"
    )
    return 0


def show_command(context: Context) -> int:
    """Run `baseline show`: print the baseline in use of each stream."""
    for stream in context.streams(*_lately()):
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
            print(
                f"  It {f'cannot grow. {plain(reason)}' if reason else 'grows at midnight (UTC).'}"
            )
        print(
            f"  A window is unusual below p = {choice.row.level:g};"
            f" {choice.row.in_a_row} unusual windows in a row give a notice. {choice.sentence()}"
        )
        for why in sorted(set(one.missing.values())):
            names = sorted(name for name, reason in one.missing.items() if reason == why)
            print(f"  Not judged ({plain(why)}): {plain(', '.join(names))}")
    return 0


def list_command(context: Context) -> int:
    """Run `baseline list`: print all baselines of each stream."""
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
    """Run `baseline use`: judge a stream by another accepted baseline."""
    stream = context.stream(*_lately())
    number = context.options.number
    if not context.store.documents(Kind.BASELINE, stream, number):
        raise Refused(f"there is no baseline {number} of {name(stream)}: see baseline list")
    decide(context.store, stream, number, "use", time.time())
    print(f"{plain(name(stream))}: baseline {number} is in use")
    return 0


def feasible_command(context: Context) -> int:
    """Run `feasible`: print the changes that can be detected in each stream."""
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
    """Run `backtest`: judge past days and print the notices."""
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
    """Run `judge`: judge once, as the schedule does."""

    def tell(line: Line) -> None:
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
        sight=Sight(context.connection, context.store, context.index, golden=shipped_golden()),
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
    """Print the notices that the new baseline would have given on days other than its own."""
    _, closed = _lately()
    others = [
        *_summaries(context, stream, start - LOOK_BACK * DAY, start),
        *_summaries(context, stream, end, min(closed, end + LOOK_BACK * DAY)),
    ]
    if not others:
        print("there are no predictions of other days to judge by the new baseline")
        return
    findings = judged(others, new, context.choice(new.baseline.windows), closed)
    print("on other days the new baseline would have given these notices:")
    _print_notices(findings)
    print(f"  {rate(findings)}")


def _summaries(context: Context, stream: Stream, start: int, end: int) -> list[Summary]:
    """Return the summaries of a stream in a span.

    Missing summaries are first computed from the predictions.
    """
    if end <= start:
        return []
    fill(context.connection, context.store, stream, start, end, index=context.index)
    return context.store.summaries(stream, start, end)


def _print_notices(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.begins:
            print(f"  {plain(said(finding))}")


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
        raise ValueError(f"{text!r} is not a day: write it as 2026-11-23") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{text!r} is not the number of a baseline: see baseline list")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Manages the baselines of streams of predictions, and judges streams by them.",
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
        "--force",
        action="store_true",
        help="accept these days in spite of the reasons against them",
    )
    _common(
        several.add_parser(
            "show",
            help="show the baseline in use, and its promised rate of false notices",
            epilog=ENVIRONMENT,
        ),
        show_command,
    )
    _common(several.add_parser("list", help="list all baselines", epilog=ENVIRONMENT), list_command)
    use = several.add_parser("use", help="judge by another accepted baseline", epilog=ENVIRONMENT)
    _common(use, use_command)
    use.add_argument("number", type=value(_number), metavar="VERSION", help="the baseline's number")
    feasible_parser = commands.add_parser(
        "feasible",
        help="compute the changes that can be detected, and the delays", epilog=ENVIRONMENT,
        description=f"Computes which changes a baseline of the last {LOOK_BACK} days would detect.",
    )  # fmt: skip
    _common(feasible_parser, feasible_command)
    backtest = commands.add_parser(
        "backtest", help="judge past days as the schedule would have", epilog=ENVIRONMENT,
        description="Judges past days by the baseline in use. Prints all notices and their rate.",
    )  # fmt: skip
    _common(backtest, backtest_command)
    _days(backtest)
    judge = commands.add_parser(
        "judge", help="judge once, as the schedule does", epilog=ENVIRONMENT,
        description="Runs once as the schedule does, and writes the log lines to standard output."
        " The schedule does not write these lines again.",
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
        help="the stack that made the predictions; make serve uses the name local",
    )
    add(
        "--index-prefix",
        metavar="P",
        default=os.environ.get("INDEX_PREFIX") or PREFIX,
        help="prefix of the names of the prediction indices (%(default)s)",
    )
    add("--log-group", metavar="NAME", help="only streams of this log group")
    add("--model", metavar="NAME", help="only streams of this model")
    add(
        "--false-alarm-days",
        metavar="N",
        type=value(lambda text: days_of(text, "--false-alarm-days")),
        default=float(dial.DEFAULT_DAYS),
        help="allow at most one false notice in N days (%(default)g)",
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

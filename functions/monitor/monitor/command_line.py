"""Parses and runs the monitor's commands, from a command line or from an event of the function.

A command from an event works on the function's own stack and domain. The sender of an event cannot
give another address. Otherwise the function would send requests with its own signature to any
address.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import date
from io import StringIO
from typing import Any, Final

from monitor.accuracy.feedback_file import feedback_command
from monitor.accuracy.join_labels import SOURCES
from monitor.accuracy.review_commands import accuracy_command, review_command
from monitor.address import PASSWORD
from monitor.arguments import Parser, value
from monitor.baseline_commands import (
    LOOK_BACK,
    PROGRAM,
    Context,
    Reach,
    Refused,
    accept_command,
    backtest_command,
    complain,
    feasible_command,
    judge_command,
    list_command,
    show_command,
    use_command,
)
from monitor.decision_commands import (
    expect_command,
    mute_command,
    point,
    show_all_command,
    unmute_command,
)
from monitor.index_prefix import PREFIX
from monitor.judgement import false_alarm_table
from monitor.opensearch_problem import ServerProblem
from monitor.settings import days_of
from monitor.summaries.store import Conflict

ENVIRONMENT: Final = f"""\
environment: {PASSWORD} is the user's password, unless the address contains a password.
OPENSEARCH_URL, STACK and INDEX_PREFIX are the defaults of --opensearch, --stack and
--index-prefix. If no user is given, requests to an Amazon domain are signed with the AWS
credentials that the AWS CLI would use."""
ACCEPT: Final = """\
Accepts whole days (UTC) of one stream as the stream's baseline: at least 3 days, better 7 or more.
A stream is the predictions of one model in one log group of a stack. If summaries are missing, the
command first makes them from the predictions. It compares the baseline in use with the new
baseline, and shows the notices that the new baseline would have given on other days. Without
--force, it refuses days with a notice, a gap, two versions or too few windows. A baseline is never
accepted automatically."""
FEEDBACK: Final = """\
Joins the right labels of a CSV file to their predictions. The file has the columns prediction_id
and label, and may have source, explanation and identifier. If several rows have the same
prediction_id and identifier, the last row counts. The same file can be given again. Ends with exit
code 1 if a row did not join."""
NAME: Final = 200  # the largest number of characters in a name
REASON: Final = 500  # the largest number of characters in a reason
# The upper limit of --random, --least-certain and --days. An answer of OpenSearch has at most
# 10,000 documents.
MOST_REVIEWED: Final = 5000
REVIEW: Final = """\
Writes two groups of predictions with their texts into a CSV file: a random sample, and the least
certain predictions. Fill in the column label, and give the file to the command "feedback", which
leaves out rows without a label. Only the random sample shows the accuracy of all predictions. Its
rows have "audit" in the column source."""
ACCURACY: Final = """\
Shows the accuracy of each version with its 95 % interval, computed from the labels of the last
thirty days. Also shows the share of predictions with a label, the labels that the model confuses,
and how often answers with each score are right."""

Commands = Any  # argparse's sub-parsers, whose type has no public name


def execute(options: argparse.Namespace, reach: Reach) -> int:
    """Run the command of parsed options, and return its exit code."""
    try:
        code: int = options.run(Context(options, reach))
    except KeyboardInterrupt:
        return complain("stopped by Ctrl-C", 130)
    except (Refused, ServerProblem, Conflict, ValueError) as problem:
        return complain(str(problem), 1)
    return code


def remote(command: Any, reach: Reach) -> dict[str, Any]:
    """Run a command from an event, and return its exit code and the lines that it printed.

    `command` is a command line as text, or the list of its words.
    """
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = _remote(command, reach)
    return {"code": code, "said": said.getvalue().splitlines()}


def _remote(command: Any, reach: Reach) -> int:
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as problem:
        return complain(f"the command cannot be read ({problem}): check its quotation marks", 2)
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        return complain("a command is a text, or a list of texts: see docs/monitoring.md", 2)
    try:
        options = parser_of(remote=True).parse_args(words)
    except SystemExit as end:  # the parser has printed the reason
        return int(end.code or 0)
    return execute(options, reach)


def parser_of(*, remote: bool) -> Parser:
    """Return the parser. `remote` leaves out the options for the server and the stack."""
    parser = Parser(
        prog=PROGRAM,
        description="Manages the baselines of streams of predictions, compares streams with their"
        " baselines, and stops or allows messages.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    baseline = commands.add_parser(
        "baseline", help="accept, show, list or change the baseline of a stream"
    )
    _baseline(baseline.add_subparsers(dest="baseline_command", required=True), remote=remote)
    _decisions(commands, remote=remote)
    text = "compute which changes can be detected, and after how long"
    said = f"Computes which changes would be detected with a baseline of the last {LOOK_BACK} days."
    _add(commands, "feasible", feasible_command, text, said, remote=remote)
    text = "judge past days as the schedule judges new ones"
    said = "Judges past days by the baseline in use. Prints all notices and their rate."
    _days(_add(commands, "backtest", backtest_command, text, said, remote=remote))
    text = "show the accuracy of each version, computed from labels"
    _add(commands, "accuracy", accuracy_command, text, ACCURACY, remote=remote)
    if not remote:
        said = (
            "Judges once, as the schedule does, and writes the log lines to standard output."
            " Nobody gets a message about these lines: messages are sent only for lines in the"
            " monitor's log group, and the schedule does not judge the same windows again."
        )
        _add(commands, "judge", judge_command, "judge once, as the schedule does", said)
        _feedback(commands)
        _review(commands)
    return parser


def _feedback(commands: Commands) -> None:
    text = "join the right labels of a file to their predictions"
    feedback = _add(commands, "feedback", feedback_command, text, FEEDBACK)
    add = feedback.add_argument
    add("file", metavar="FILE.csv", help="a CSV file in UTF-8, whose first line names the columns")
    add("--dry-run", action="store_true", help="look up every row, and write nothing")
    text = "write the rows that did not join into this CSV file, each with the reason"
    add("--rejected", metavar="FILE.csv", help=text)
    text = (
        "the source that is stored for rows without a source; audit means that a person labelled a "
        "random sample"
    )
    add("--source", choices=sorted(SOURCES), help=text)


def _review(commands: Commands) -> None:
    text = "write predictions into a CSV file, for a person to label"
    review = _add(commands, "review", review_command, text, REVIEW)
    add, count = review.add_argument, value(_count)
    add("file", metavar="FILE.csv", help="the file to write; it must not exist")
    text = "choose from the predictions of the last DAYS days (%(default)s)"
    add("--days", type=count, default=7, help=text)
    text = "number of predictions in the random sample of each stream (%(default)s)"
    add("--random", metavar="N", type=count, default=100, help=text)
    text = "number of predictions with the lowest scores in each stream (%(default)s)"
    add("--least-certain", metavar="N", type=count, default=50, help=text)


def _baseline(several: Commands, *, remote: bool) -> None:
    text = "accept whole days as a stream's baseline"
    accept = _add(several, "accept", accept_command, text, ACCEPT, remote=remote)
    _days(accept)
    _who(accept, remote=remote)
    text = "accept these days in spite of the reasons against them"
    accept.add_argument("--force", action="store_true", help=text)
    text = "show the baseline in use, and its promised rate of false notices"
    _add(several, "show", show_command, text, remote=remote)
    _add(several, "list", list_command, "list all baselines", remote=remote)
    use = _add(several, "use", use_command, "judge by another accepted baseline", remote=remote)
    use.add_argument("number", type=value(_number), metavar="VERSION", help="the baseline's number")
    _who(use, remote=remote)


def _decisions(commands: Commands, *, remote: bool) -> None:
    text = "show the baseline, an open notice, silences and the last decisions"
    _add(commands, "show", show_all_command, text, remote=remote)
    time = value(point)
    text = "send no messages until a time"
    mute = _add(commands, "mute", mute_command, text, remote=remote)
    text = "the end, in UTC: 2026-11-24T08:00"
    mute.add_argument("--until", type=time, required=True, metavar="TIME", help=text)
    text = "send no messages about a time in which a change is expected"
    expect = _add(commands, "expect", expect_command, text, remote=remote)
    for option, to, which in (("--from", "first", "beginning"), ("--to", "last", "end")):
        text = f"the {which}, in UTC"
        expect.add_argument(option, dest=to, type=time, required=True, metavar="TIME", help=text)
    unmute = _add(commands, "unmute", unmute_command, "end every silence now", remote=remote)
    for each in (mute, expect, unmute):
        _who(each, remote=remote, why=True)


def _add(
    commands: Commands,
    name: str,
    run: Callable[[Context], int],
    text: str,
    description: str | None = None,
    *,
    remote: bool = False,
) -> argparse.ArgumentParser:
    """Add a command with the options that every command has."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=description, epilog=None if remote else ENVIRONMENT
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    if not remote:
        text = "the address of OpenSearch"
        add("--opensearch", metavar="URL", default=os.environ.get("OPENSEARCH_URL"), help=text)
        text = f"sign in with this name, and the password in {PASSWORD}"
        add("--user", metavar="NAME", help=text)
        text = 'the name of the stack that made the predictions ("local" for "make serve")'
        add("--stack", metavar="NAME", default=os.environ.get("STACK"), help=text)
        text = "prefix of the names of the prediction indices (%(default)s)"
        prefix = os.environ.get("INDEX_PREFIX") or PREFIX
        add("--index-prefix", metavar="P", default=prefix, help=text)
        days = value(lambda given: days_of(given, "--false-alarm-days"))
        default = float(false_alarm_table.DEFAULT_DAYS)
        text = "allow at most one false notice in N days (%(default)g)"
        add("--false-alarm-days", metavar="N", type=days, default=default, help=text)
    add("--log-group", metavar="NAME", help="only streams of this log group")
    add("--model", metavar="NAME", help="only streams of this model")
    return parser


def _who(parser: argparse.ArgumentParser, *, remote: bool, why: bool = False) -> None:
    """Add the options --by and --reason. An event does not name its sender, so it needs --by."""
    text = "name of the person who decides"
    if not remote:
        text += " (default: the user of this machine)"
    default = None if remote else _user()
    parser.add_argument(
        "--by", metavar="NAME", type=value(_named), required=remote, default=default, help=text
    )
    parser.add_argument(
        "--reason",
        metavar="TEXT",
        type=value(_reason),
        required=why,
        help="the reason, which is stored",
    )


def _days(parser: argparse.ArgumentParser) -> None:
    for option, which in (("--from", "first"), ("--to", "last")):
        text = f"the {which} whole day, in UTC"
        parser.add_argument(
            option, dest=which, type=value(_day), required=True, metavar="DAY", help=text
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the system knows no name for this user's number
        return "unknown"


def _named(text: str) -> str:
    if not 0 < len(text) <= NAME:
        raise ValueError(f"a name has 1 to {NAME} characters")
    return text


def _reason(text: str) -> str:
    if not 0 < len(text.strip()) <= REASON:
        raise ValueError(f"a reason has 1 to {REASON} characters")
    return text


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a day: write it as 2026-11-23") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_REVIEWED):
        raise ValueError(f"{text!r} is not a number from 0 to {MOST_REVIEWED}")
    return int(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(
            f"{text!r} is not the number of a baseline:"
            ' the command "baseline list" shows the numbers'
        )
    return int(text)

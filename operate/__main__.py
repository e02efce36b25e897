"""The command line `python -m operate replay|backfill|reconcile`, for missing documents.

Exit codes:
- 0: every document is in the index.
- 1: documents are missing, or there are too many; the reasons are printed.
- 2: the command cannot run; one sentence says why.
- 130: the command was stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from opensearchpy import RequestsHttpConnection

from operate import output
from operate.backfill import (
    LogGroupUnknown,
    NothingTaken,
    PatternUnknown,
    Shipped,
    Span,
    backfill,
    filter_names,
    owner,
    pages,
    payloads,
    subscribed_pattern,
)
from operate.reconcile import (
    EPOCH,
    IdsDiffer,
    Row,
    SearchFailed,
    compare_ids,
    gap,
    index_counts,
    interval,
    log_counts,
    milliseconds,
    rows,
    starts,
)
from shipper.back_off import RetryBudget
from shipper.client import connect
from shipper.dead_letters import PREFIX, Bucket, LetterFate, Replayed, letters, replay_all
from shipper.decode import Payload, decode
from shipper.option_values import moment, positive
from shipper.outcome import Outcome
from shipper.settings import Settings, settings
from shipper.ship import ship
from shipper.stream import is_stream, ship_kept
from tools.arguments import Parser, value
from tools.errors import UserError
from tools.printable import plain

PAYLOAD_SECONDS: Final = 60.0  # the time limit for the delivery of one payload
RATE: Final = 2000.0  # lines per second
# FilterLogEvents accepts only a few requests a second. The mode "adaptive" waits between requests.
RETRIES: Final = Config(retries={"mode": "adaptive", "max_attempts": 8})
KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
REPLAY: Final = """\
Ships dead letters, which are payloads that Lambda could not deliver. A letter is removed when all
its lines are in the index. A letter that can never be delivered is moved to the prefix poison/,
with the reason in its metadata; --prefix poison/ tries the letters there again. Every other letter
stays where it is. The exit code is 1 if letters stay or were moved to poison/. With --dry-run, the
exit code is 1 if there are letters."""
BACKFILL: Final = """\
Ships lines that CloudWatch never delivered. The lines are read from the log group. CloudWatch
delivers no lines while the subscription is disabled, and drops a line if its delivery fails for 24
hours. A second backfill changes nothing, because a document's id is the id of its log event. AWS
does not promise that a line has the same id in the log group as in a delivery. So if the index has
documents between --from and --to, some ids are compared first. If an id differs, nothing is sent.
--dry-run compares ids too, and counts the lines to send. A backfill cannot recover three things:
lines past the log group's retention, fields that a space-delimited pattern extracts, and the output
of a log transformer."""
RECONCILE: Final = """\
Compares the number of lines in the log group with the number of documents in the index, interval by
interval. Lines of the kinds in the environment variable EXCLUDE are not counted. If the shipper
excludes a kind that is not in this variable, its lines are reported as missing. Lines of the last
minutes are possibly not indexed yet. The exit code is 1 if the numbers differ."""
ENVIRONMENT: Final = """\
environment: EXCLUDE, REDACT_FIELDS, REDACT_PATTERNS, REDACT_KEY, STACK, INDEX_PREFIX,
RECORD_LOG_GROUPS and FIELD_MAP must have the same values as for the shipper. OPENSEARCH_URL is the
default of --opensearch; use the variable for an address with a password. AWS credentials and region
are found as the AWS CLI finds them. Times are in ISO 8601, such as 2026-11-23 or
2026-11-23T14:00+01:00; a time without a zone is in UTC."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns the exit code; wrong arguments end the process with code 2, as argparse does.
    """
    options = _parser().parse_args(arguments)
    _choose_profile(options.profile)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        output.complain("stopped by Ctrl-C")
        return 130
    except (UserError, LogGroupUnknown, PatternUnknown, SearchFailed, IdsDiffer) as problem:
        output.complain(str(problem))
    except (BotoCoreError, ClientError) as problem:
        output.complain(f"AWS: {' '.join(str(problem).split())}")
    else:
        return code
    return 2


def replay_command(options: argparse.Namespace) -> int:
    """Run `replay`: ship dead letters into the index."""
    setting = _settings(options.opensearch)
    connection = _connect(setting, options.user)
    bucket = Bucket(options.bucket, _session(options).client("s3", config=RETRIES))
    found = letters(bucket, options.prefix, options.since, options.until)
    if options.dry_run:
        for letter in sorted(found, key=lambda letter: letter.written):
            print(
                f"{letter.written:%Y-%m-%dT%H:%M:%SZ} {letter.size:>12,} bytes  {plain(letter.key)}"
            )
        print(
            f"{output.plural(len(found), 'letter')} below {options.prefix} in {options.bucket}; "
            "nothing was sent"
        )
        return 1 if found else 0
    with closing(connection):
        print(output.in_force(setting.rules))
        fates: Counter[str] = Counter()
        lines = Outcome()
        unhappy: list[Replayed] = []
        try:
            with output.progress("letters", len(found)) as advance:
                for result in replay_all(
                    found, bucket, partial(_ship_event, setting, connection), options.rate
                ):
                    fates[result.fate] += 1
                    lines.add(result.outcome)
                    unhappy += [result] if result.reason else []
                    advance(fates.total(), f"{output.fates(fates)}; lines: {output.outcome(lines)}")
        finally:
            print(
                f"{fates.total()} of {output.plural(len(found), 'letter')} tried: "
                f"{output.fates(fates)}"
            )
            print(f"lines: {output.outcome(lines)}")
            output.explain(unhappy)
    if fates.total() < len(found):
        output.complain(
            "stopped early, because the server accepts nothing now: "
            f"{output.plural(len(found) - fates.total(), 'letter')} not tried; run this again later"
        )
    return 0 if fates[LetterFate.REPLAYED] + fates[LetterFate.GONE] == len(found) else 1


def backfill_command(options: argparse.Namespace) -> int:
    """Run `backfill`: ship lines of a log group into the index."""
    _check_times(options)
    setting = _settings(options.opensearch)
    with closing(_connect(setting, options.user)) as connection:
        logs = _session(options).client("logs", config=RETRIES)
        account = owner(logs, options.log_group)
        span = _span(options, logs)
        print(output.in_force(setting.rules))
        print(output.ids(compare_ids(logs, connection, span, setting.rules.prefix)))
        if span.pattern.lstrip().startswith("["):
            output.complain(
                "the pattern is space-delimited: lines are recovered, "
                "but not the fields that the pattern extracts from a line"
            )
        if options.dry_run:
            return _count(logs, span)
        names = filter_names(logs, span.log_group)
        found = (payloads(page, span.log_group, account, names) for page in pages(logs, span))
        return _backfill(span, backfill(found, partial(_ship, setting, connection), options.rate))


def _backfill(span: Span, steps: Iterable[Shipped]) -> int:
    total, covered = Outcome(), span.start
    try:
        with output.progress("time", span.end - span.start) as advance:
            for step in steps:
                total.add(step.outcome)
                if not total.failed:
                    covered = step.covered
                advance(step.covered - span.start, output.outcome(total))
        if not total.failed:
            covered = span.end
    except NothingTaken as problem:
        output.complain(f"stopped early: {problem}")
    finally:
        print(f"{output.plural(total.documents + total.excluded, 'line')}: {output.outcome(total)}")
        if covered < span.end:
            print(
                f"to go on, run the same command with --from {output.moment(covered)}: "
                "all earlier lines are done"
            )
    if total.failed:
        output.complain(total.summary())
    return 1 if total.failed else 0


def _count(logs: Any, span: Span) -> int:
    lines, streams = 0, set[str]()
    try:
        with output.progress("time", span.end - span.start) as advance:
            for page in pages(logs, span):
                lines += len(page)
                streams |= {event["logStreamName"] for event in page}
                advance(page[-1]["timestamp"] - span.start, output.plural(lines, "line"))
    finally:
        print(
            f"{output.plural(lines, 'line')} of {output.plural(len(streams), 'log stream')} "
            f"({output.wanted(span)}); nothing was sent"
        )
    return 0


def reconcile_command(options: argparse.Namespace) -> int:
    """Run `reconcile`: report lines of a log group whose documents are missing in the index."""
    _check_times(options)
    setting = _settings(options.opensearch)
    with closing(_connect(setting, options.user)) as connection:
        logs = _session(options).client("logs", config=RETRIES)
        owner(logs, options.log_group)
        span = _span(options, logs)
        try:
            starts(span, options.every)
        except ValueError as problem:
            raise UserError(f"--every: {problem}") from None
        if setting.rules.exclude:
            print(
                "not counted: lines of the kinds in the environment variable EXCLUDE: "
                f"{', '.join(sorted(setting.rules.exclude))}"
            )
        in_log: Counter[int] = Counter()
        with output.progress("time", span.end - span.start) as advance:
            for page in pages(logs, span):
                in_log += log_counts(page, span, options.every, setting.rules.exclude)
                advance(page[-1]["timestamp"] - span.start, output.plural(in_log.total(), "line"))
        compared = rows(
            span,
            options.every,
            in_log,
            index_counts(connection, span, options.every, setting.rules.prefix),
        )
        output.console().print(output.table(compared, span))
        return _verdict(
            compared,
            partial(compare_ids, logs, connection, span),
            gap(compared, span, options.every),
            options,
        )


def _verdict(
    compared: list[Row], ids: Callable[[], int], missing: Span | None, options: argparse.Namespace
) -> int:
    surplus = -sum(min(row.missing, 0) for row in compared)
    if missing:
        try:
            print(output.ids(ids()))
            print(
                "documents are missing; this command closes the gap:\n"
                f"  {_backfill_call(missing, options)}"
            )
        except IdsDiffer as problem:
            output.complain(str(problem))
    if surplus:
        why = (
            "lines past the log group's retention, lines that the pattern does not match, "
            "or lines twice in the index"
        )
        print(f"{output.plural(surplus, 'document')} too many; possible causes: {why}")
    return 1 if missing or surplus else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=output.PROGRAM, description="Find and ship documents that are missing in the index."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, short, description in (
        ("replay", replay_command, "ship dead letters into the index", REPLAY),
        (
            "backfill",
            backfill_command,
            "ship into the index the lines that CloudWatch never delivered",
            BACKFILL,
        ),
        (
            "reconcile",
            reconcile_command,
            "count lines and documents, and report missing ones",
            RECONCILE,
        ),
    ):
        command = commands.add_parser(name, help=short, description=description, epilog=ENVIRONMENT)
        command.set_defaults(run=run)
        _add_options(name, command)
        url = os.environ.get("OPENSEARCH_URL")
        command.add_argument(
            "--opensearch",
            metavar="URL",
            required=not url,
            default=url,
            help="the address of OpenSearch",
        )
        command.add_argument(
            "--user",
            metavar="NAME",
            help="sign in with this name, and the password in OPENSEARCH_PASSWORD",
        )
        command.add_argument("--region", help="the AWS region, if it is not the default region")
        command.add_argument(
            "--profile", help="the AWS profile; its keys also sign requests to OpenSearch on AWS"
        )
    return parser


def _add_options(name: str, command: argparse.ArgumentParser) -> None:
    if name == "replay":
        command.add_argument("--bucket", required=True, help="the dead-letter bucket")
        command.add_argument(
            "--prefix", default=PREFIX, help="only letters below this prefix (default: %(default)s)"
        )
        command.add_argument(
            "--since",
            type=value(moment),
            metavar="T",
            help="only letters written at this time or later",
        )
        command.add_argument(
            "--until",
            type=value(moment),
            metavar="T",
            help="only letters written before this time",
        )
    else:
        command.add_argument("--log-group", required=True, metavar="G", help="the log group's name")
        command.add_argument(
            "--from",
            dest="start",
            type=value(moment),
            required=True,
            metavar="T",
            help="only lines of this time or later",
        )
        command.add_argument(
            "--to",
            dest="end",
            type=value(moment),
            required=True,
            metavar="T",
            help="only lines before this time",
        )
        command.add_argument(
            "--pattern",
            metavar="P",
            help="the filter pattern, '' for all lines"
            " (default: the pattern of the log group's only subscription)",
        )
    if name == "reconcile":
        command.add_argument(
            "--every",
            type=value(interval),
            default="1h",
            metavar="I",
            help="length of an interval, such as 30s, 5m, 1d (default: %(default)s)",
        )
    else:
        command.add_argument(
            "--rate",
            type=value(positive),
            default=RATE,
            metavar="N",
            help="the largest number of lines per second (default: %(default)g)",
        )
        command.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _choose_profile(profile: str | None) -> None:
    """Use an AWS profile in this process.

    The profile is set as an environment variable, so that requests to OpenSearch are signed with it
    too. AWS keys in the environment would be used instead of the profile, so they are removed.
    """
    if profile:
        os.environ["AWS_PROFILE"] = profile
        for name in KEYS:
            os.environ.pop(name, None)


def _session(options: argparse.Namespace) -> boto3.Session:
    return boto3.Session(region_name=options.region)


def _settings(url: str) -> Settings:
    try:
        return settings(os.environ | {"OPENSEARCH_URL": url})
    except ValueError as problem:
        raise UserError(str(problem)) from None


def _connect(setting: Settings, user: str | None) -> RequestsHttpConnection:
    try:
        return connect(setting.opensearch_url, os.environ, user)
    except ValueError as problem:
        raise UserError(str(problem)) from None


def _check_times(options: argparse.Namespace) -> None:
    if not EPOCH <= options.start < options.end:
        raise UserError("--from must be before --to, and not before 1970")


def _span(options: argparse.Namespace, logs: Any) -> Span:
    pattern = (
        subscribed_pattern(logs, options.log_group) if options.pattern is None else options.pattern
    )
    return Span(options.log_group, milliseconds(options.start), milliseconds(options.end), pattern)


def _ship(setting: Settings, connection: RequestsHttpConnection, payload: Payload) -> Outcome:
    return ship(payload, setting.rules, connection, RetryBudget(time.monotonic() + PAYLOAD_SECONDS))


def _ship_event(setting: Settings, connection: RequestsHttpConnection, event: Any) -> Outcome:
    if is_stream(event):
        budget = RetryBudget(time.monotonic() + PAYLOAD_SECONDS)
        return ship_kept(event, setting, connection, budget)
    return _ship(setting, connection, decode(event, limit=setting.max_payload_bytes))


def _backfill_call(missing: Span, options: argparse.Namespace) -> str:
    """Return the command that ships a span, ready to be pasted, but without a password."""
    words = [
        *output.PROGRAM.split(),
        "backfill",
        "--log-group",
        missing.log_group,
        "--from",
        output.moment(missing.start),
        "--to",
        output.moment(missing.end),
    ]
    words += ["--opensearch", re.sub(r"//[^/]*@", "//USER:PASSWORD@", options.opensearch)]
    for name in ("pattern", "region", "profile"):
        given = getattr(options, name)
        # An = is used, because a pattern may begin with a dash.
        words += [f"--{name}={given}"] if given is not None else []
    return shlex.join(words)


if __name__ == "__main__":
    raise SystemExit(main())

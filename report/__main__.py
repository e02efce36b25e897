"""`python -m report` writes one self-contained HTML file about the predictions of a time span.

Exit codes: 0 if the file is written, 1 if it is not (a message says why), 2 for wrong arguments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from opensearchpy.exceptions import TransportError

from monitor.address import PASSWORD
from monitor.client import connect
from monitor.index_prefix import PREFIX, index_prefix
from monitor.opensearch_problem import sentence
from monitor.settings import stack_name
from report import page_words
from report.page import render
from report.read import read, span
from report.search import searching
from report.time_span import length
from tools.arguments import Parser, value
from tools.printable import plain

PROGRAM: Final = "python -m report"
ENVIRONMENT: Final = f"""\
environment: {PASSWORD} is the user's password, unless the address contains a password.
OPENSEARCH_URL, STACK and INDEX_PREFIX are used if --opensearch, --stack and --index-prefix are not
given. If no user is given, requests to an Amazon domain are signed with the AWS credentials that
the AWS CLI would use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report. Returns the exit code. Wrong arguments end the process with code 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.opensearch:
        parser.error("give --opensearch, or set OPENSEARCH_URL")
    try:
        stack = stack_name(options.stack, "--stack") if options.stack else ""
        index = f"{index_prefix(options.index_prefix, '--index-prefix')}*"
    except ValueError as problem:
        parser.error(str(problem))
    try:
        search = searching(connect(options.opensearch, os.environ, options.user), index)
        view = read(search, span(options.until or datetime.now(UTC), options.since), stack)
        Path(options.out).write_text(render(view), encoding="utf-8")
    except TransportError as problem:
        return _complain(sentence(problem))
    except ValueError as problem:
        return _complain(str(problem))
    except OSError as problem:
        return _complain(
            f"{options.out} cannot be written ({problem.strerror}): give another --out"
        )
    print(f"{plain(options.out)}: {page_words.answer(view).title}")
    return 0


def moment(text: str) -> datetime:
    """Read a moment such as 2026-11-23T12:00, in UTC if no zone is given. Raises `ValueError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} must be a time such as 2026-11-23T12:00") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Writes one HTML file, without scripts, about the predictions of a time span.",
        epilog=ENVIRONMENT,
    )
    add = parser.add_argument
    add(
        "--since",
        metavar="TIME",
        type=value(length),
        default=timedelta(days=1),
        help="length of the time span to show, such as 30m, 24h (the default) or 7d",
    )
    add(
        "--until",
        metavar="MOMENT",
        type=value(moment),
        help="end of the time span, in UTC (default: now)",
    )
    add("--out", metavar="FILE", default="report.html", help="file to write (default: %(default)s)")
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
        help="read only documents of this stack and documents that name no stack",
    )
    add(
        "--index-prefix",
        metavar="P",
        default=os.environ.get("INDEX_PREFIX") or PREFIX,
        help="prefix of the indices (default: %(default)s)",
    )
    return parser


def _complain(problem: str) -> int:
    print(f"{PROGRAM}: {plain(problem)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

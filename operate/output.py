"""Print the output of the commands: progress, tables, counts and sentences."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from operate.backfill import Span
from operate.reconcile import EPOCH, Row
from shipper.dead_letters import LetterFate, Replayed
from shipper.document import Rules
from shipper.outcome import Outcome
from tools.printable import plain

PROGRAM: Final = "python -m operate"
LETTERS_SHOWN: Final = 20
REASON_CHARACTERS: Final = 200


def in_force(rules: Rules) -> str:
    """Return the settings for exclusion and redaction, as one line."""
    redaction = rules.redaction
    redacted = (
        [*(f"{name}={action}" for name, action in redaction.fields.items()), *redaction.patterns]
        if redaction
        else []
    )
    excluded = ", ".join(sorted(rules.exclude)) or "nothing (EXCLUDE is not set here)"
    nothing = "nothing (REDACT_FIELDS and REDACT_PATTERNS are not set here)"
    return f"excluded: {excluded}; redacted: {', '.join(redacted) or nothing}"


def console() -> Console:
    """Return a console. Outside a terminal its lines have a fixed width."""
    found = Console()
    return found if found.is_terminal else Console(width=120)


@contextmanager
def progress(unit: str, total: float) -> Iterator[Callable[[float, str], None]]:
    """Show a progress bar, but only in a terminal.

    The context manager yields a function, which takes the progress and a text with counts.
    """
    page = console()
    columns = (
        TextColumn(unit),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=page, disable=not page.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def advance(done: float, counted: str) -> None:
            bar.update(task, completed=done, description=counted)

        yield advance


def table(compared: Iterable[Row], span: Span) -> Table:
    """Return a table of the intervals that have lines or documents, with totals below."""
    found = Table(
        title=Text(f"{span.log_group} ({wanted(span)})"), title_justify="left", show_footer=True
    )
    filled = [row for row in compared if row.lines or row.documents]
    found.add_column(
        "interval", footer=plural(len(filled), "interval") + " with lines or documents"
    )
    for name in ("lines", "documents", "missing"):
        found.add_column(
            name, justify="right", footer=str(sum(getattr(row, name) for row in filled))
        )
    for row in filled:
        counts = str(row.lines), str(row.documents), str(row.missing or "")
        found.add_row(moment(row.start), *counts, style="red" if row.missing else "")
    return found


def explain(unhappy: list[Replayed]) -> None:
    """Print why dead letters are not in the index: one line for each of the first letters.

    If there are more than `LETTERS_SHOWN` letters, the last line has the number of the others.
    """
    for one in unhappy[:LETTERS_SHOWN]:
        shown = (
            one.reason
            if len(one.reason) <= REASON_CHARACTERS
            else f"{one.reason[:REASON_CHARACTERS]}..."
        )
        complain(f"{one.fate}: {one.letter.key}: {shown}")
    if len(unhappy) > LETTERS_SHOWN:
        complain(f"and {len(unhappy) - LETTERS_SHOWN} more")


def wanted(span: Span) -> str:
    """Return a text that says which lines of a log group are selected."""
    return f"pattern {span.pattern}" if span.pattern else "all lines"


def ids(agreeing: int) -> str:
    """Return a sentence about the comparison of ids."""
    if agreeing:
        return (
            "ids: CloudWatch and the index agree "
            f"(compared: {plural(agreeing, 'document')} of the range)"
        )
    return (
        "ids: not compared, because the index has no documents of the range, "
        "or CloudWatch no longer has their lines"
    )


def outcome(total: Outcome) -> str:
    """Return the five counts of lines."""
    names = ("indexed", "duplicate", "rescued", "excluded", "failed")
    return ", ".join(f"{getattr(total, name)} {name}" for name in names)


def fates(counted: Counter[str]) -> str:
    """Return how many dead letters had each fate, such as `replayed`."""
    return ", ".join(f"{counted[fate]} {fate}" for fate in LetterFate)


def moment(milliseconds: int) -> str:
    """Return milliseconds since 1970 as ISO 8601."""
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    return (
        (EPOCH + timedelta(milliseconds=milliseconds))
        .isoformat(timespec=precision)
        .replace("+00:00", "Z")
    )


def plural(count: int, name: str) -> str:
    """Return a number with a noun, such as `2 lines`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def complain(sentence: str) -> None:
    """Print a sentence on standard error, after the program's name."""
    print(f"{PROGRAM}: {plain(sentence)}", file=sys.stderr)

"""The command `feedback`: joins the labels of a CSV file to their predictions.

The command writes the joined records (prediction and label) into the monitor's index.
"""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import batched
from pathlib import Path
from typing import Any, Final

from monitor.accuracy.join_labels import Given, Reason, join, judgement_of
from monitor.baseline_commands import Context, Refused, complain
from monitor.printable import plain
from monitor.scheduled_run import asking

COLUMNS: Final = ("prediction_id", "label", "source", "explanation", "identifier")
NEEDED: Final = COLUMNS[:2]
ROWS: Final = 1000  # rows that are joined at once
SHOWN: Final = 20  # of the rows that did not join, at most this many are printed
SECONDS: Final = 2  # the time between two lines of progress

Row = dict[str, Any]


def feedback_command(context: Context) -> int:
    """Run `feedback`: join the rows of a file, and report those that did not join.

    Returns 1 if a row did not join.
    """
    options = context.options
    counts: Counter[Reason] = Counter()
    read = new = replaced = empty = 0
    now = time.time()
    told = time.monotonic()
    with ExitStack() as stack:
        rows = _rows(options.file, stack)
        rejected = _Rejected(options.rejected, options.file, stack)
        for part in batched(rows, ROWS, strict=False):
            given = [_given(row, options, int(now * 1000)) for row in part]
            blank = _blank(part)
            empty += len(blank)
            outcomes = asking(
                partial(
                    join, context.connection, context.store, context.reach.stack, context.index,
                    given, dry=options.dry_run,
                )
            )  # fmt: skip
            missed_here = {at: why for at, why in outcomes.reasons.items() if at not in blank}
            for at, reason in sorted(missed_here.items()):
                if sum(counts.values()) < SHOWN:
                    name = plain(part[at].get("prediction_id") or "")[:64]
                    print(f"row {read + at + 1}: {name}: {reason}")
                counts[reason] += 1
                rejected.add(part[at], reason)
            read, new = read + len(part), new + outcomes.new
            replaced += outcomes.replaced
            if time.monotonic() - told > SECONDS:
                told = time.monotonic()
                print(f"{read} rows are read ...", file=sys.stderr, flush=True)
    missed = sum(counts.values())
    left = f" {empty} rows have no label, and are left out." if empty else ""
    if options.dry_run:
        said = f"{new} labels would join. Nothing is written (--dry-run)."
    else:
        said = f"New labels: {new}. Labels that replace an earlier label: {replaced}."
    print(f"{read} rows are read. {said}{left}")
    if not missed:
        return 0
    for reason, count in counts.most_common():
        print(f"{count} did not join: {reason}")
    if counts[Reason.UNKNOWN]:
        print(
            "If an index was deleted at the end of its retention, its predictions cannot be found."
            " Check --stack. If the predictions are only minutes old, wait, and give the file"
            " again."
        )
    where = f": they are in {options.rejected}" if options.rejected else ""
    return complain(f"{missed} of {read} rows did not join{where}", 1)


class _Rejected:
    """Writes the rows that did not join into a CSV file, each with the reason.

    Without a file name, nothing is written.
    """

    def __init__(self, name: str | None, labels: str, stack: ExitStack) -> None:
        self._writer: csv.DictWriter[str] | None = None
        if name:
            try:
                if Path(name).exists() and Path(name).samefile(labels):
                    raise Refused(f"{name} is the file of labels: give --rejected another name")
                opened = Path(name).open("w", encoding="utf-8", newline="")  # noqa: SIM115  see next line
            except OSError as problem:
                raise Refused(f"{name} cannot be written ({problem.strerror})") from None
            file = stack.enter_context(opened)
            fields = [*COLUMNS, "reason"]
            self._writer = csv.DictWriter(file, fields, extrasaction="ignore")
            self._writer.writeheader()

    def add(self, row: Row, reason: Reason) -> None:
        if self._writer:
            self._writer.writerow(row | {"reason": str(reason)})


def _rows(name: str, stack: ExitStack) -> Iterator[Row]:
    """Yield the rows of a CSV file. Raises `Refused` if the file is not a CSV file."""
    try:
        opened = Path(name).open(encoding="utf-8-sig", newline="")  # noqa: SIM115  see next line
        reader = csv.DictReader(stack.enter_context(opened), strict=True)
        _check(name, reader.fieldnames or [])
    except OSError as problem:
        raise Refused(f"{name} cannot be read ({problem.strerror}): give a CSV file") from None
    except (csv.Error, UnicodeDecodeError) as problem:
        raise Refused(_no_csv(name, 1, problem)) from None
    return _checked(name, reader)


def _checked(name: str, reader: csv.DictReader[str]) -> Iterator[Row]:
    try:
        yield from reader
    except (csv.Error, UnicodeDecodeError) as problem:
        raise Refused(_no_csv(name, reader.line_num, problem)) from None


def _no_csv(name: str, line: int, problem: Exception) -> str:
    said = "no UTF-8" if isinstance(problem, UnicodeDecodeError) else problem
    return (
        f"{name} cannot be read as CSV at line {line} ({said}). Rows before this line may be joined"
        " already. Correct the file and give it again: no label is counted twice"
    )


def _check(name: str, columns: Sequence[str]) -> None:
    missing = [each for each in NEEDED if each not in columns]
    if missing:
        raise Refused(
            f"the first line of {name} must name the columns, separated by commas:"
            f" {', '.join(NEEDED)} and, if you like, {', '.join(COLUMNS[2:])}"
            f" (missing: {', '.join(missing)})"
        )


def _blank(rows: Sequence[Row]) -> set[int]:
    """Return the positions of rows without a label. The command `review` writes such rows."""
    return {at for at, row in enumerate(rows) if not (row.get("label") or "").strip()}


def _given(row: Row, options: Any, now: int) -> Given | None:
    fields = {name: (row.get(name) or "").strip() for name in COLUMNS}
    fields["source"] = fields["source"] or options.source or ""
    judgement = judgement_of(fields, now)
    if judgement is None:
        return None
    return Given(judgement, model=options.model or "", log_group=options.log_group or "")

"""Reads a sample of texts that the model was not trained on, and splits it into two parts."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Final

from tools.errors import UserError

LEAST: Final = 300  # a sample with fewer texts is refused
ENOUGH: Final = 1500  # a sample with at most this many texts causes a warning
TO_FIT: Final = 0.4  # the share of the rows in `Sample.fit`
TEXTS: Final = ("text", "sentence", "content", "review", "message", "body")
LABELS: Final = ("label", "labels", "class", "category", "target")
SEED: Final = 13


@dataclass(frozen=True, slots=True)
class Row:
    """A text and the index of its label, which is None if the sample has no labels."""

    text: str
    label: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample in two parts.

    The projection (for signatures), the temperature (for scores) and the surprisal table are fitted
    to the part `fit`. The profile and all figures are computed from the part `rest`.
    """

    name: str
    fit: list[Row]
    rest: list[Row]

    @property
    def labelled(self) -> bool:
        """Return whether every row has a label."""
        return self.fit[0].label is not None

    @property
    def rows(self) -> list[Row]:
        """Return the rows of both parts."""
        return [*self.fit, *self.rest]


def read(
    path: Path, labels: list[str], *, text: str | None = None, label: str | None = None
) -> Sample:
    """Read a sample with one text per row.

    The file's suffix says its format: CSV or TSV with a header, JSON lines, or plain text. `text`
    and `label` name the columns. By default, columns with usual names are taken.

    Rows without text are left out. Repeated texts are left out too. Otherwise both parts might have
    the same text, and the profile would be too similar to the fitted texts. Raises `UserError` if
    the file cannot be used.
    """
    records = list(_records(path))
    if not records:
        raise UserError(f"{path} has no rows.")
    columns = list(dict.fromkeys(name for record in records[:100] for name in record))
    of_text = _column(path, columns, text, TEXTS, "--text-column") or (
        columns[0] if len(columns) == 1 else None
    )
    if of_text is None:
        raise UserError(
            f"{path} has the columns {', '.join(columns)}: name the column of the text with "
            "--text-column."
        )
    of_label = _column(path, columns, label, LABELS, "--label-column")
    names = {name: at for at, name in enumerate(labels)}
    numbers = {str(at): at for at in range(len(labels))}
    known = {**numbers, **names}
    rows: dict[str, Row] = {}
    for number, record in enumerate(records, start=1):
        found = str(record.get(of_text) or "").strip()
        if not found:
            continue
        given = str(record.get(of_label, "")) if of_label else None
        if given is not None and given not in known:
            raise UserError(
                f"{path}, row {number}: the label {given[:40]!r} is not a label of the model "
                f"({', '.join(labels)})."
            )
        rows.setdefault(found, Row(found, None if given is None else known[given]))
    if len(rows) < LEAST:
        raise UserError(
            f"{path} has {len(rows)} different texts: give at least {LEAST}, "
            f"better more than {ENOUGH}."
        )
    return split(path.name, list(rows.values()))


def texts(path: Path) -> list[str]:
    """Read only the texts of a file, however few there are. Raises `UserError`."""
    records = list(_records(path))
    columns = list(records[0]) if records else []
    of_text = _column(path, columns, None, TEXTS, "") or (columns[0] if columns else "")
    return [text for record in records if (text := str(record.get(of_text) or "").strip())]


def split(name: str, rows: list[Row]) -> Sample:
    """Split rows at random, always in the same way: 40 % to fit, 60 % for the profile."""
    shuffled = rows[:]
    random.Random(SEED).shuffle(shuffled)
    at = round(TO_FIT * len(rows))
    return Sample(name, shuffled[:at], shuffled[at:])


def cost(sample: Sample) -> str | None:
    """Return a warning about a small sample, or None for more than 1,500 rows.

    The warning states two figures:

    - The first figure is a shift d, in standard deviations. If the monitor compares windows of
      n = 200 rows with a profile of m rows, it finds this shift in half of them. Hotelling's T²
      with 15 components has the mean 15 + d² / (1/n + 1/m). The shift is found in half of the
      windows if this mean is 43.6, the quantile of χ² for one false window in 8,000 (the monitor
      tests each of its eight signals at .001 / 8). A sample of 5,000 rows gives a profile of
      m = 3,000 rows.
    - The second figure is the half width of the 95 % interval of an accuracy of .8, by the normal
      approximation.
    """
    count, profile = len(sample.rows), len(sample.rest)
    if count > ENOUGH:
        return None
    shift, better = (sqrt((43.6 - 15) * (1 / 200 + 1 / rows)) for rows in (profile, 3000))
    return (
        f"{count} rows are few. The monitor finds a shift of {shift:.2f} standard deviations in "
        "only half of the windows of 200 predictions. With 5,000 rows, it would find a shift of "
        f"{better:.2f} in half of the windows. "
        f"An accuracy of 80 % has a margin of error of ± {1.96 * sqrt(0.16 / profile):.1%}. "
        f"Give more rows if you have them; more than {ENOUGH:,} rows cause no warning."
    )


def _column(
    path: Path, columns: list[str], wanted: str | None, usual: tuple[str, ...], option: str
) -> str | None:
    if wanted is None:
        return next(
            (column for name in usual for column in columns if column.strip().lower() == name), None
        )
    if wanted not in columns:
        raise UserError(f"{path} has no column {wanted!r} ({option}); it has {', '.join(columns)}.")
    return wanted


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            match path.suffix.lower():
                case ".csv":
                    yield from csv.DictReader(file, strict=True)
                case ".tsv":
                    yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                case ".jsonl" | ".ndjson":
                    for number, line in enumerate(file, start=1):
                        if line.strip():
                            yield _object(path, number, line)
                case ".txt":
                    yield from ({"text": line} for line in file)
                case other:
                    raise UserError(
                        f"{path}: a sample is a .csv, .tsv, .jsonl or .txt file, "
                        f"not {other or 'a file without a suffix'}."
                    )
    except FileNotFoundError:
        raise UserError(f"{path} is not there.") from None
    except UnicodeDecodeError as problem:
        raise UserError(f"{path} is not UTF-8 (byte {problem.start}): save it as UTF-8.") from None
    except csv.Error as problem:
        raise UserError(f"{path} is not CSV: {problem}.") from None


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}, line {number} is not a JSON object.")
    return found

"""Shows measured figures, next to those of the rivals (the programs to compare with).

The table is for people. The figures of docs/performance.md come from the JSON file of results.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

CAPTION: Final = (
    "Figures in µs are processor time. For a shipper, this is the time to ship a Lambda event and "
    "to count its documents. Figures in ms are wall time, except `import: shipper.handler`, which "
    "is processor time. Contenders are measured in turn, in several rounds. A figure is the median "
    "of all rounds, and a ratio is the median of the ratios of all rounds. Only ratios can be "
    "compared between machines."
)


class Target(NamedTuple):
    """The target of a row: the ratio or the value of the row must be `bound` or better."""

    sign: Literal["≤", "≥"]
    bound: float
    of: Literal["ratio", "value"] = "ratio"

    def __str__(self) -> str:
        return f"{self.sign} {number(self.bound)}"


class Row(NamedTuple):
    """One figure. If it is a ratio, `name` has the form "dividend / divisor"."""

    name: str
    value: float
    unit: str
    rival: str | None = None
    rival_value: float | None = None
    ratio: float | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met, or None if there is no target."""
        figure = self.value if self.target and self.target.of == "value" else self.ratio
        if self.target is None or figure is None:
            return None
        return (
            figure <= self.target.bound if self.target.sign == "≤" else figure >= self.target.bound
        )


def console() -> Console:
    """Return the terminal, or a plain output of 160 columns if there is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=160)


def table(rows: Sequence[Row], *, targets: bool, processor: str = "") -> Table:
    """Return the rows as a table, with or without their targets.

    `processor` is the name of the machine's processor.
    """
    found = Table(
        title=f"Cost of shipping and predicting{f' on {processor}' if processor else ''}",
        title_justify="left",
        caption=CAPTION,
        caption_justify="left",
    )
    found.add_column("figure")
    for column in ("ratio", *(("target", "met") if targets else ()), "ours"):
        found.add_column(column, justify="right", no_wrap=True)
    found.add_column("rival")
    found.add_column("figure of the rival", justify="right", no_wrap=True)
    for row in rows:
        judged = [
            "" if row.target is None else str(row.target),
            {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.met],
        ]
        cells: list[Text | str] = [
            Text(row.name),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            *(judged if targets else ()),
            f"{number(row.value)} {row.unit}",
            Text(row.rival or ""),
            "" if row.rival_value is None else number(row.rival_value),
        ]
        found.add_row(*cells)
    return found


def number(value: float) -> str:
    """Return a number with three significant digits, or as a whole number if it is at least 100."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(path: Path, machine: dict[str, Any], date: str, rows: Sequence[Row]) -> None:
    """Write the rows as JSON, with the machine on which they were measured."""
    fields = ("name", "value", "unit", "rival", "rival_value", "ratio")
    shown = [{name: _rounded(getattr(row, name)) for name in fields} for row in rows]
    path.write_text(
        json.dumps({"machine": machine, "date": date, "rows": shown}, indent=2, ensure_ascii=False)
        + "\n",
        encoding="utf-8",
    )


def _rounded(value: str | float | None) -> str | float | None:
    return float(f"{value:.4g}") if isinstance(value, float) else value


@contextmanager
def progress(page: Console) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Show the progress of steps.

    Yields a function `start(name, rounds)`. It begins a step, and returns the function that each
    round of the step calls. The progress is drawn only between rounds, because a thread that draws
    would take processor time during a round.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns,
        console=page,
        auto_refresh=False,
        disable=not page.is_terminal,
        redirect_stdout=False,
    ) as bars:

        def start(name: str, rounds: int) -> Callable[[], None]:
            if not page.is_terminal:
                page.print(f"{name} ...", markup=False, highlight=False)
            task = bars.add_task(name, total=rounds)
            bars.refresh()

            def tick() -> None:
                bars.advance(task)
                bars.refresh()

            return tick

        yield start

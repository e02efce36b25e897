"""What the terminal shows: answers, documents, a chart of labels, the filter's counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from local.cloudwatch import Counts

BAR: Final = 40
COLOURS: Final = {"acceptable": "green", "unacceptable": "red"}

Document = dict[str, Any]


def console() -> Console:
    """The terminal, or a plain page of 120 columns where there is none."""
    found = Console()
    return found if found.is_terminal else Console(width=120)


@contextmanager
def step(page: Console, name: str) -> Iterator[None]:
    """Show a slow step while it lasts: with its seconds in a terminal, as one line elsewhere."""
    if not page.is_terminal:
        page.print(f"{name} ...", markup=False)
        yield
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=page) as progress:
        progress.add_task(name, total=None)
        yield


def answers(results: list[Document]) -> Table:
    """The API's answers, one a sentence."""
    table = Table(title="Answers of POST /predict", title_justify="left")
    for column in ("text", "label", "score", "prediction_id"):
        table.add_column(column, overflow="fold")
    for result in results:
        table.add_row(Text(result["text"]), _label(result), _score(result), Text(result["prediction_id"]))
    return table


def documents(hits: list[Document], title: str) -> Table:
    """Documents as Discover would list them, newest first; fields that one lacks stay empty."""
    table = Table(title=Text(title), title_justify="left")
    for column in ("_index", "@timestamp", "text", "prediction.label", "prediction.score", "input.flags"):
        table.add_column(column, overflow="fold", no_wrap=column != "text")
    for hit in hits:
        source = hit["_source"]
        moment = Text(source.get("@timestamp", "").partition("T")[2])
        flags = Text(", ".join(source.get("input", {}).get("flags", [])))
        table.add_row(Text(hit["_index"]), moment, Text(source.get("text", "-")), _label(source), _score(source), flags)
    return table


def chart(counts: dict[str, int]) -> RenderableType:
    """A bar for each label, with its count."""
    highest = max(counts.values(), default=1)
    bars = [
        Text.assemble(f"{label:>13} ", ("█" * max(1, BAR * count // highest), COLOURS.get(label, "blue")), f" {count}")
        for label, count in sorted(counts.items())
    ]
    return Group(Text("Live predictions by label", style="italic"), *bars)


def filtered(counts: Counts, pattern: str) -> str:
    """The subscription filter's work in one sentence."""
    return f"log lines: {counts.seen} seen, {counts.passed} passed, {counts.dropped} dropped by {pattern}"


def _label(source: Document) -> Text:
    label = str(source.get("prediction", {}).get("label", ""))
    return Text(label, style=COLOURS.get(label, "blue"))


def _score(source: Document) -> str:
    score = source.get("prediction", {}).get("score")
    return f"{score:.3f}" if isinstance(score, int | float) else ""

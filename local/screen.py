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
    for column, width in (("text", 12), ("label", 12), ("score", 5), ("prediction_id", 32)):
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=width)
    for result in results:
        table.add_row(_text(result), *_verdict(result), Text(result["prediction_id"]))
    return table


def documents(hits: list[Document], title: str) -> Table:
    """Documents as Discover would list them, newest first, a line each; fields that one lacks stay empty."""
    table = Table(title=Text(title), title_justify="left")
    for column, width in (("time", 8), ("text", 20), ("label", 12), ("score", 5), ("flags", 12)):
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=width)
    for source in (hit["_source"] for hit in hits):
        flags = Text(", ".join(source.get("input", {}).get("flags", [])))
        table.add_row(_time(source), _text(source), *_verdict(source), flags)
    return table


def line(source: Document) -> str:
    """One document as one line, for where there is no terminal."""
    return "  ".join(part.plain for part in (_time(source), *_verdict(source), _text(source)))


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


def plain(text: str, style: str = "") -> Text:
    """A text as it is, but for characters that would steer the terminal."""
    return Text("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text), style=style)


def _time(source: Document) -> Text:
    return Text(source.get("@timestamp", "").partition("T")[2][:8])


def _text(source: Document) -> Text:
    """The text on one line; `-` where it is kept out of the log."""
    return plain(" ".join(source.get("text", "-").split())[:200])


def _verdict(source: Document) -> tuple[Text, Text]:
    """Label and score, or error and status of a request without prediction."""
    if "error" in source:
        error = source["error"]
        return plain(str(error.get("type", "")), "yellow"), plain(str(error.get("status", "")))
    prediction = source.get("prediction", {})
    label, score = str(prediction.get("label", "")), prediction.get("score")
    return plain(label, COLOURS.get(label, "blue")), Text(f"{score:.3f}" if isinstance(score, int | float) else "")

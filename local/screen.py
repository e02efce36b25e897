"""What the terminal shows: answers, documents, a chart of labels, the filter's counts."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console, Group, RenderableType
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


def answers(results: list[Document]) -> Table:
    """The API's answers, one a sentence."""
    table = Table(title="Answers of POST /predict", title_justify="left")
    for column in ("text", "label", "score", "prediction_id"):
        table.add_column(column, overflow="fold")
    for result in results:
        table.add_row(result["text"], _label(result), _score(result), result["prediction_id"])
    return table


def documents(hits: list[Document], title: str) -> Table:
    """Documents as Discover would list them, newest first."""
    table = Table(title=title, title_justify="left")
    for column in ("_index", "@timestamp", "text", "prediction.label", "prediction.score", "input.flags"):
        table.add_column(column, overflow="fold", no_wrap=column != "text")
    for hit in hits:
        source = hit["_source"]
        moment = source["@timestamp"].partition("T")[2]
        flags = ", ".join(source["input"]["flags"])
        table.add_row(hit["_index"], moment, source.get("text", "-"), _label(source), _score(source), flags)
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
    label = source["prediction"]["label"]
    return Text(label, style=COLOURS.get(label, "blue"))


def _score(source: Document) -> str:
    return f"{source['prediction']['score']:.3f}"

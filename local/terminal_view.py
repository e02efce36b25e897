"""Format the view for the terminal: answers, documents, a chart of labels, the filter's counts.

Documents may come from untrusted sources, so every field is made safe before it is printed. If a
document has unexpected fields, only the known fields are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from local.cloudwatch import Counts
from tools.printable import plain as printable

BAR: Final = 40
PALETTE: Final = ("green", "red", "yellow", "magenta", "cyan", "blue")
NARROW: Final = 18  # the greatest width of the columns label and flags, in characters
LEAST: Final = 7  # the least width of the text column, in characters
PAUSE_SECONDS: Final = 5  # between two progress lines about one step
MUCH: Final = 1000  # the largest number of characters of a field that are shown

Document = dict[str, Any]
_given: dict[str, str] = {}


def console() -> Console:
    """Return the terminal, or a plain page 120 characters wide if there is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=120)


@contextmanager
def step(page: Console, name: str) -> Iterator[Callable[[str], None]]:
    """Show a slow step while it lasts. Yields a function that shows the progress.

    In a terminal, the elapsed seconds are shown. Elsewhere, lines are printed.
    """
    if not page.is_terminal:
        page.print(f"{name} ...", markup=False)
        yield now_and_then(
            lambda far: page.print(f"  {far}", markup=False, highlight=False), PAUSE_SECONDS
        )
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=page,
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda far: progress.update(task, description=f"{name}: {far}")


def now_and_then(say: Callable[[str], None], seconds: float) -> Callable[[str], None]:
    """Return a function that passes a sentence to `say` at most once in `seconds`.

    The first sentence is passed only after `seconds`. Sentences that come too early are dropped.
    """
    due = time.monotonic() + seconds

    def tell(sentence: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            say(sentence)
            due = time.monotonic() + seconds

    return tell


def answers(results: Sequence[object], width: int) -> Table:
    """Return a table of the API's answers, one row per sentence, `width` characters wide."""
    rows = [
        (_text(each), *_verdict(each), plain(each.get("prediction_id", "")))
        for each in map(_object, results)
    ]
    return _table(
        "Answers of POST /predict", ("text", "label", "score", "prediction_id"), rows, width
    )


def documents(hits: Sequence[Document], title: str, width: int, now: datetime) -> Table:
    """Return a table with one row for each document, `width` characters wide.

    A field that a document lacks stays empty. Times are in UTC. A time on the day of `now` has
    seconds; any other time has a date and minutes.
    """
    rows = [
        (_time(each, now), _text(each), *_verdict(each), _flags(each)) for each in map(source, hits)
    ]
    return _table(title, ("time", "text", "label", "score", "flags"), rows, width)


def line(found: Document, now: datetime) -> str:
    """Return a document as one line for output without a terminal. Times are as in `documents`."""
    return "  ".join(part.plain for part in (_time(found, now), *_verdict(found), _text(found)))


def source(hit: object) -> Document:
    """Return the document of a search hit; empty if the hit has no document."""
    return _object(_object(hit).get("_source"))


def label(found: Document) -> str:
    """Return the printable label of a document's prediction; empty if it has no label."""
    return plain(_object(found.get("prediction")).get("label", "")).plain


def chart(counts: dict[str, int]) -> RenderableType:
    """Draw a bar for each label, with its count."""
    highest = max(counts.values(), default=1)
    bars = [
        Text.assemble(
            f"{label:>13} ", ("█" * max(1, BAR * count // highest), colour(label)), f" {count}"
        )
        for label, count in sorted(counts.items())
    ]
    return Group(Text("Live predictions by label", style="italic"), *bars)


def colour(label: str) -> str:
    """Return the label's colour. A new label gets the next colour of the palette."""
    return _given.setdefault(label, PALETTE[len(_given) % len(PALETTE)])


def forget_colours() -> None:
    """Start the palette again, so that a picture does not depend on labels shown earlier."""
    _given.clear()


def filtered(counts: Counts, pattern: str) -> str:
    """Return the counts of the subscription filter in one sentence."""
    return (
        f"log lines: {counts.seen} seen, {counts.passed} passed, "
        f"{counts.dropped} dropped by {pattern}"
    )


def plain(value: object, style: str = "") -> Text:
    """Return a value on one line, without control characters; an empty text for null."""
    text = "" if value is None else value[:MUCH] if isinstance(value, str) else str(value)[:MUCH]
    return Text(printable(text), style=style)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> Table:
    """Return a table whose text column gets only the width that the other columns leave."""
    table = Table(title=plain(title), title_justify="left")
    widths = {
        name: max([len(name), *(row[at].cell_len for row in rows)]) for at, name in enumerate(names)
    }
    widths |= {name: min(widths[name], NARROW) for name in ("label", "flags") if name in widths}
    others = sum(each for name, each in widths.items() if name != "text") + 3 * len(names) + 1
    widths["text"] = max(LEAST, min(widths["text"], width - others))
    for name in names:
        table.add_column(
            name, no_wrap=True, overflow="ellipsis", min_width=widths[name], max_width=widths[name]
        )
    for row in rows:
        table.add_row(*row)
    return table


def _object(value: object) -> Document:
    """Return an object, or the first object of a list; an empty object for anything else.

    Some pipelines write their predictions as a list.
    """
    if isinstance(value, list):
        value = next((each for each in value if isinstance(each, dict)), {})
    return value if isinstance(value, dict) else {}


def _time(found: Document, now: datetime) -> Text:
    moment = found.get("@timestamp")
    day, _, time = moment.partition("T") if isinstance(moment, str) else ("", "", "")
    return plain(
        time[:8]
        if day in {"", now.astimezone(UTC).date().isoformat()}
        else f"{day[:10]} {time[:5]}"
    )


def _text(found: Document) -> Text:
    """Return the text on one line, or `-` if the text is kept out of the log."""
    return plain("-" if found.get("text") is None else found["text"])


def _flags(found: Document) -> Text:
    flags = _object(found.get("input")).get("flags")
    return plain(", ".join(map(str, flags)) if isinstance(flags, list) else flags)


def _verdict(found: Document) -> tuple[Text, Text]:
    """Return label and score. For a request without a prediction, return error and status."""
    if found.get("error") is not None and not _object(found.get("prediction")):
        error = _object(found["error"])
        return plain(error.get("type", "" if error else found["error"]), "yellow"), plain(
            error.get("status")
        )
    shown = label(found)
    return Text(shown, style=colour(shown)), Text(
        _score(_object(found.get("prediction")).get("score"))
    )


def _score(value: object) -> str:
    try:
        return f"{value:.3f}"
    # the value is not a number, or an integer too large for a float
    except (TypeError, ValueError, OverflowError):
        return ""

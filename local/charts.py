"""Draw the dashboard's main panels in the terminal, one line per series.

The searches are the same as Kibana's searches for these panels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from installer.evaluate_panel import Row, Span, interval, request, rows
from installer.saved_objects import SavedObject, saved_objects
from local.terminal_view import colour, plain

SHOWN: Final = timedelta(minutes=15)
LINES: Final = 14  # lines of all panels together, if every flag occurs
STEPS: Final = " ▁▂▃▄▅▆▇█"
BAR: Final = 30

Search = Callable[[dict[str, Any]], dict[str, Any]]
Line = tuple[str, str, str]  # name of the series, drawing, number to print


def panels(search: Search, now: datetime) -> RenderableType:
    """Draw labels, scores, flags and latency of live traffic in the last 15 minutes."""
    span = (now - SHOWN, now)
    grid = Table.grid(padding=(0, 1))
    for justify in ("left", "right", "left", "right"):
        grid.add_column(justify=justify, no_wrap=True)
    for name, draw in DRAWN.items():
        panel = _objects()["visualization", f"prediction-monitor-{name}"]
        title = panel.attributes["title"]
        lines = draw(rows(panel, search(request(panel, _objects().values(), span))), span)
        for series, drawing, figure in lines or [("-", "", "")]:
            style = colour(str(series)) if name in BY_LABEL else ""
            grid.add_row(
                title, plain(series, style), Text(drawing, style=style or "blue"), Text(figure)
            )
            title = ""
    return Group(
        Text(
            f"Live traffic of the last {SHOWN.seconds // 60} minutes, "
            f"{interval(span).seconds} s a column",
            style="italic",
        ),
        grid,
    )


def spark(values: list[float], highest: float) -> str:
    """Draw a column for each value: a full block for the highest, a blank for zero."""
    return "".join(STEPS[min(8, ceil(8 * value / highest))] if value else " " for value in values)


@cache
def _objects() -> dict[tuple[str, str], SavedObject]:
    return {(one.type, one.id): one for one in saved_objects()}


def _counts(found: list[Row], span: Span) -> list[Line]:
    highest = max((count for _, _, count in found), default=1)
    return [
        (label, "█" * ceil(BAR * count / highest), str(count))
        for label, _, count in sorted(found, key=str)
    ]


def _shares(found: list[Row], span: Span) -> list[Line]:
    totals = Counter[datetime]()
    for time, _, count in found:
        totals[time] += count
    lines = []
    for label, counts in _series(found):
        shares = [counts[time] / (totals[time] or 1) for time in _times(span)]
        lines.append((label, spark(shares, 1), f"{counts.total() / totals.total():.0%}"))
    return lines


def _scores(found: list[Row], span: Span) -> list[Line]:
    counts = Counter[str](dict.fromkeys((score for _, score, _ in found), 0))
    for _, score, count in found:
        counts[score] += count
    if not counts.total():
        return []
    return [("first bar below 0.5", spark(list(counts.values()), max(counts.values())), "")]


def _flags(found: list[Row], span: Span) -> list[Line]:
    series = list(_series(found))
    highest = max((count for _, counts in series for count in counts.values()), default=1)
    return [
        (flag, spark([counts[time] for time in _times(span)], highest), str(counts.total()))
        for flag, counts in series
    ]


def _latencies(found: list[Row], span: Span) -> list[Line]:
    known = [value for _, *values in found for value in values if value is not None]
    highest = max(known, default=0) or 1
    lines = []
    for at, name in enumerate(("median, ms", "95 %", "99 %"), start=1) if known else ():
        values = {row[0]: row[at] or 0 for row in found}
        lines.append(
            (
                name,
                spark([values.get(time, 0) for time in _times(span)], highest),
                "-" if found[-1][at] is None else f"{found[-1][at]:.1f}",
            )
        )
    return lines


def _series(found: list[Row]) -> Iterator[tuple[str, Counter[Hashable]]]:
    """Yield each name with its counts by time. Each row has a time, a name and a count."""
    for name in sorted({row[1] for row in found}, key=str):
        yield name, Counter({time: count for time, each, count in found if each == name})


def _times(span: Span) -> list[datetime]:
    """Return the start of each column. Columns are aligned to 1970, as in OpenSearch."""
    bar = interval(span)
    epoch = datetime.fromtimestamp(0, UTC)
    first, last = ((moment - epoch) // bar for moment in span)
    return [epoch + bar * each for each in range(first, last + 1)]


BY_LABEL: Final = {"label-counts", "label-share"}
DRAWN: Final = {
    "label-counts": _counts,
    "label-share": _shares,
    "score-histogram": _scores,
    "flags": _flags,
    "latency": _latencies,
}

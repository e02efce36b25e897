"""Draws numbers as plots. Each series is one SVG path.

A plot is 100 units high and stretches to any width. Its text is HTML next to the SVG, so that the
text keeps its size on a small screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor, log10
from typing import Final

from report.page_values import Span
from report.page_words import figure, percent

HIGH: Final = 100  # height of a plot, in units
WIDE: Final = 10  # width of a bar and its gap, in units
BAR: Final = 8.4  # width of a bar, in units
SHOWN: Final = 300  # the largest number of characters in the tooltip of a column
PALETTE: Final = 8  # number of colours in page.css; all further series get the last colour

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """A series of values.

    `colour` is the CSS class of its colour. `path` draws the series in SVG. `figure` is a number as
    text, such as the sum or the last value, for the legend.
    """

    name: str
    colour: str
    path: str
    figure: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a plot: left edge and width in units, and the tooltip with its values."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of `kind` "bars" or "lines". A plot without series is empty.

    `ticks` are the labels of the vertical axis, from the bottom. `below` are the labels of the
    horizontal axis, from the left. If `usual` is not None, the plot has a dashed line for the usual
    value, and `usual` is the distance of this line from the top, in units.
    """

    title: str
    note: str
    kind: str
    width: float
    series: tuple[Series, ...]
    columns: tuple[Column, ...]
    ticks: tuple[str, ...]
    below: tuple[str, ...]
    usual: float | None = None


def by_name(names: Sequence[str]) -> dict[str, str]:
    """Return the CSS class of a colour for each label, in the order of the labels' names.

    The dashboards choose the colours of labels in the same way
    (functions/installer/installer/label_colours.py).
    """
    return palette(sorted(names))


def others(names: Sequence[str]) -> dict[str, str]:
    """Return the CSS class of a colour for each name that is no label, such as a version.

    The colours begin at the other end of the palette, so that they differ from the labels' colours
    as long as there are few labels.
    """
    return {name: f"c{max(PALETTE - 2 - at, 0)}" for at, name in enumerate(names)}


def palette(names: Sequence[str]) -> dict[str, str]:
    """Return the CSS class of a colour for each name, in the order of the names."""
    return {name: f"c{min(at, PALETTE - 1)}" for at, name in enumerate(names)}


def bars(
    title: str,
    counts: Mapping[str, Sequence[int]],
    colours: Mapping[str, str],
    *,
    below: Sequence[str],
    names: Sequence[str],
    note: str = "",
    shares: bool = False,
) -> Plot:
    """Return a plot of stacked bars.

    `counts` has the counts of each series, one for each bar. `names` are the names of the bars.
    With `shares`, each bar has the full height.
    """
    totals = [sum(each) for each in zip(*counts.values(), strict=True)] if counts else []
    if not any(totals):
        return Plot(title, note, "bars", 1, (), (), (), ())
    top = nice(max(totals))
    done = [0.0] * len(totals)
    series = []
    for name, values in counts.items():
        path = []
        for at, value in enumerate(values):
            if value:
                high = HIGH * value / (totals[at] if shares else top)
                path.append(_bar(at, done[at], high))
                done[at] += high
        whole = sum(values)
        shown = percent(whole / sum(totals)) if shares else f"{whole:,}"
        series.append(Series(name, colours.get(name, "c0"), "".join(path), shown))
    columns = tuple(
        Column(at * WIDE, WIDE, f"{name}: {_counted(counts, at, shares=shares)}")
        for at, name in enumerate(names)
        if totals[at]
    )
    ticks = ("0 %", "50 %", "100 %") if shares else ("0", f"{top / 2:,g}", f"{top:,g}")
    return Plot(
        title, note, "bars", len(totals) * WIDE, tuple(series), columns, ticks, tuple(below)
    )


def lines(
    title: str,
    values: Mapping[str, Values],
    colours: Mapping[str, str],
    *,
    below: Sequence[str],
    names: Sequence[str],
    note: str = "",
    low: float = 0.0,
    high: float | None = None,
    usual: float | None = None,
) -> Plot:
    """Return a plot of lines. A line is interrupted where its value is unknown.

    The vertical axis goes from `low` to `high`. If `high` is None, it goes to the highest value,
    rounded up. A dashed line marks the value `usual`, unless it is None.
    """
    known = [value for each in values.values() for value in each if value is not None]
    if not known:
        return Plot(title, note, "lines", 1, (), (), (), ())
    top = nice(max([*known, *([usual] if usual is not None else [])])) if high is None else high

    def height(value: float) -> float:
        return HIGH - HIGH * (min(max(value, low), top) - low) / (top - low)

    series = tuple(
        Series(name, colours.get(name, "c0"), _line(each, height), f"last {figure(_last(each))}")
        for name, each in values.items()
    )
    columns = tuple(
        Column(at * WIDE, WIDE, f"{name}: " + ", ".join(found))
        for at, name in enumerate(names)
        if (found := [f"{s} {figure(v[at])}" for s, v in values.items() if v[at] is not None])
    )
    ticks = tuple(f"{one:,.3g}" for one in (low, (low + top) / 2, top))
    at = None if usual is None else height(usual)
    width = len(names) * WIDE
    return Plot(title, note, "lines", width, series, columns, ticks, tuple(below), at)


def times(span: Span) -> tuple[list[str], tuple[str, ...]]:
    """Return a name for each time step of the span, and the labels below the time axis."""
    moments = span.times()
    day = span.end - span.start > timedelta(days=1)
    seconds = span.step < timedelta(minutes=1)
    form = "%b %d %H:%M" if day else "%H:%M:%S" if seconds else "%H:%M"
    ends = (moments[0], moments[len(moments) // 2], span.end)
    if span.end - span.start > timedelta(days=3):
        forms = ("%b %d",) * 3
    else:  # one date is enough: three dates do not fit below a narrow plot
        forms = (form, form.removeprefix("%b %d "), form.removeprefix("%b %d "))
    below = tuple(f"{one:{each}}" for one, each in zip(ends, forms, strict=True))
    return [f"{one:{form}}" for one in moments], below


def spark(values: Values, top: float) -> tuple[str, float]:
    """Return the path and the width of a small line of values between 0 and `top`."""

    def height(value: float) -> float:
        return HIGH - HIGH * min(max(value, 0), top) / top

    return _line(values, height), max(1, len(values)) * WIDE


def place(moment: datetime, span: Span) -> float:
    """Return the position of a moment in the span, from 0 to 1."""
    return min(1.0, max(0.0, (moment - span.start) / (span.end - span.start)))


def nice(value: float) -> float:
    """Round a value up to 1, 2, 4, 6, 8 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return float(next(one * power for one in (1, 2, 4, 6, 8, 10) if one * power >= value))


def _bar(at: int, bottom: float, high: float) -> str:
    left = at * WIDE + (WIDE - BAR) / 2
    return f"M{left:g} {HIGH - bottom:.4g}h{BAR:g}v{-high:.4g}h{-BAR:g}z"


def _line(values: Values, height: Callable[[float], float]) -> str:
    """Return a path through the middle of each column. A single value becomes a short stroke."""
    path = []
    for at, value in enumerate(values):
        if value is None:
            continue
        x, y = at * WIDE + WIDE / 2, height(value)
        before = at and values[at - 1] is not None
        after = at + 1 < len(values) and values[at + 1] is not None
        if not before and not after:
            path.append(f"M{x - 2:g} {y:.4g}h4")
        else:
            path.append(f"{'L' if before else 'M'}{x:g} {y:.4g}")
    return "".join(path)


def _counted(counts: Mapping[str, Sequence[int]], at: int, *, shares: bool) -> str:
    total = sum(values[at] for values in counts.values())
    several = ", ".join(
        f"{name} {percent(values[at] / total) if shares else f'{values[at]:,}'}"
        for name, values in counts.items()
        if values[at]
    )
    return several if len(several) <= SHOWN else f"{several[:SHOWN]}…"


def _last(values: Values) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)

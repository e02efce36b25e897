"""Joins slots of 15 minutes to windows with enough predictions, and turns windows into arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.summaries.bins import SCALES
from monitor.summaries.summary import Moments, Summary, total

Array = NDArray[np.float64]

HOUR: Final = 3600
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of rows with each value. `counts` has the shape (windows, names)."""

    names: tuple[str, ...]
    counts: Array

    def of(self, names: Sequence[str]) -> Array:
        """Return the columns of these names: shape (windows, names).

        The column of a name that does not occur is zero.
        """
        none = np.zeros(len(self.counts))
        at = {name: column for column, name in enumerate(self.names)}
        columns = [self.counts[:, at[name]] if name in at else none for name in names]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.counts), 0))


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows in the order of time. The first axis of every array is the windows.

    - `start` and `end` are in seconds since 1970.
    - `rows` is the number of predictions, and `distinct` the number of different texts.
    - `moments` maps a field to count, sum and sum of squares: shape (windows, 3).
    - `bins` maps a field to the number of rows in each bin: shape (windows, codes).
    - `unknown` counts the rows with an unknown word piece.
    - `hashes` has a mapping for each window, from a frequent text's hash to its number of rows.
    """

    start: Array
    end: Array
    rows: Array
    moments: dict[str, Array]
    bins: dict[str, Array]
    labels: Tally
    flags: Tally
    scripts: Tally
    unknown: Array
    hashes: tuple[dict[str, int], ...]
    distinct: Array

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Cut:
    """The result of joining slots to windows.

    `full` are windows with enough predictions. `short` are windows that did not get enough
    predictions in the longest permitted time. `open` are the last slots, which do not form a window
    yet.
    """

    full: list[Summary]
    short: list[Summary]
    open: list[Summary]


def cut(slots: Iterable[Summary], *, rows: int, at_least: int = HOUR, at_most: int = DAY) -> Cut:
    """Join slots to consecutive windows that do not overlap, beginning with the first slot.

    A window ends with the first slot that gives it at least `rows` predictions and at least
    `at_least` seconds. A window that would last longer than `at_most` seconds ends with too few
    predictions. Slots of several versions with the same start belong to the same window.
    """
    made = Cut([], [], [])
    for slot in sorted(slots, key=lambda s: s.start):
        pending = made.open
        if pending and slot.start > pending[-1].start:
            begun = pending[0].start
            if sum(s.rows for s in pending) >= rows and _end(pending) - begun >= at_least:
                made.full.append(total(pending))
                pending.clear()
            elif slot.end - begun > at_most:
                made.short.append(total(pending))
                pending.clear()
        pending.append(slot)
    pending = made.open
    if (
        pending
        and sum(s.rows for s in pending) >= rows
        and _end(pending) - pending[0].start >= at_least
    ):
        made.full.append(total(pending))
        pending.clear()
    return made


def stack(summaries: Sequence[Summary]) -> Windows:
    """Turn summaries, one for each window, into arrays.

    If a moment is infinite or not a number, it counts as missing.
    """
    bins = {}
    for name, scale in SCALES.items():
        dense = np.zeros((len(summaries), scale.count))
        for at, summary in enumerate(summaries):
            for code, count in summary.bins.get(name, {}).items():
                if 0 <= code < scale.count:
                    dense[at, code] = count
        bins[name] = dense
    names = dict.fromkeys(name for summary in summaries for name in summary.moments)
    return Windows(
        start=np.array([s.start for s in summaries], dtype=np.float64),
        end=np.array([s.end for s in summaries], dtype=np.float64),
        rows=np.array([s.rows for s in summaries], dtype=np.float64),
        moments={
            name: np.array([_finite(s.moments.get(name)) for s in summaries]) for name in names
        },
        bins=bins,
        labels=_tally([s.labels for s in summaries]),
        flags=_tally([s.flags for s in summaries]),
        scripts=_tally([s.scripts for s in summaries]),
        unknown=np.array([s.unknown for s in summaries], dtype=np.float64),
        hashes=tuple(dict(s.hashes) for s in summaries),
        distinct=np.array([s.distinct for s in summaries], dtype=np.float64),
    )


def hour_of(windows: Windows) -> NDArray[np.int64]:
    """Return, for each window, the UTC hour (0 to 23) in which its middle lies."""
    return (((windows.start + windows.end) / 2 % DAY) // HOUR).astype(np.int64)


def moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as text with date, hour and minute, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def a_day_apart(windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of windows whose middles lie 24 hours apart.

    The result has two arrays: the positions of the earlier windows, and the positions of the later
    windows. The tolerance is half the median length of a window.
    """
    middle = (windows.start + windows.end) / 2
    tolerance = float(np.median(windows.end - windows.start)) / 2 if len(windows) else 0.0
    wanted = middle + DAY
    right = np.clip(np.searchsorted(middle, wanted), 1, max(1, len(middle) - 1))
    if len(middle) < 2:
        return np.array([], dtype=np.int64), np.array([], dtype=np.int64)
    nearer = np.where(
        np.abs(middle[right - 1] - wanted) <= np.abs(middle[right] - wanted), right - 1, right
    )
    near = np.abs(middle[nearer] - wanted) <= tolerance
    return np.flatnonzero(near), nearer[near]


def _end(pending: list[Summary]) -> int:
    return max(s.end for s in pending)


def _finite(moments: Moments | None) -> tuple[float, float, float]:
    if moments is None or not (np.isfinite(moments.total) and np.isfinite(moments.squares)):
        return (0.0, 0.0, 0.0)
    return (moments.count, moments.total, moments.squares)


def _tally(mappings: Sequence[Mapping[str, int]]) -> Tally:
    names = tuple(sorted({name for mapping in mappings for name in mapping}))
    table = np.array([[m.get(name, 0) for name in names] for m in mappings], dtype=np.float64)
    return Tally(names, table.reshape(len(mappings), len(names)))

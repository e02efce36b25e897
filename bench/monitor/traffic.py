"""Makes traffic from rows of predictions, and makes the monitor's windows from this traffic.

The sentences come from a corpus of documents, and each document has a genre. The sentences of a
document follow each other in a burst. In some kinds of traffic, the genres change with the hour. In
others, there is a drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.monitor.rows import FIELDS, FLAGS, LABELS, PROBABILITY, Rows
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import TOP
from monitor.summaries.windows import DAY, Tally, Windows

Index = NDArray[np.int64]
Chance = np.random.Generator

SLOT_ROWS: Final = 200  # rows in a slot, which is a quarter of an hour
DAY_ROWS: Final = 96 * SLOT_ROWS
MONDAY: Final = 4 * DAY  # the start of 5 January 1970, in seconds since 1970


@dataclass(frozen=True, slots=True)
class Table:
    """All sets of rows in one table, one set after the other.

    - `columns` has the numeric fields of each row, and `codes` has their bins (`SCALES`).
    - `label` and `flags` are as in `Rows`. Equal texts have the same number in `text`.
    - `foreign` is true for a text in a script that is not usual for the model.
    - `first` has the index of each set's first row, and `size` has the count of each set's rows.
    """

    columns: NDArray[np.float64]  # shape (fields, rows)
    codes: dict[str, Index]
    label: Index
    flags: Index
    text: Index
    foreign: NDArray[np.bool_]
    first: Mapping[str, int]
    size: Mapping[str, int]
    sets: Mapping[str, Rows]

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The columns as an array of shape (rows, fields)."""
        return self.columns.T

    def all(self, name: str) -> Index:
        """Return the indexes of the rows of one set."""
        return np.arange(self.first[name], self.first[name] + self.size[name])

    def changed(self, rows: Index, of: str, how: str) -> Index:
        """Return the rows of the same sentences in their changed form.

        `of` is the name of the set that has these rows, and `how` is the name of the change.
        """
        return rows - self.first[of] + self.first[f"{of} {how}"]


def table(sets: Mapping[str, Rows]) -> Table:
    """Join all sets to one table."""
    names, first, at = (PROBABILITY, *FIELDS), {}, 0
    for name, rows in sets.items():
        first[name] = at
        at += len(rows)
    columns = {n: np.concatenate([rows.columns[n] for rows in sets.values()]) for n in names}
    text = np.concatenate([rows.text for rows in sets.values()])
    flags = np.concatenate([rows.flags for rows in sets.values()])
    return Table(
        columns=np.stack([columns[n].astype(np.float64) for n in names]),
        codes={name: scale.codes(columns[name]) for name, scale in SCALES.items()},
        label=np.concatenate([rows.label for rows in sets.values()]),
        flags=flags,
        text=np.unique(text, return_inverse=True)[1].astype(np.int64),
        foreign=(flags >> FLAGS.index("other_script") & 1).astype(bool),
        first=first,
        size={name: len(rows) for name, rows in sets.items()},
        sets=sets,
    )


def windows(source: Table, rows: Index, *, start: float = MONDAY, squares: bool = True) -> Windows:
    """Return the windows that the monitor would make of these rows.

    `rows` has the shape (windows, rows of a window). The windows follow each other without a gap,
    with `DAY_ROWS` rows a day. `squares=False` leaves out the sums of squares, which only a
    baseline needs.
    """
    count, size = rows.shape
    flat = rows.ravel()
    window = np.repeat(np.arange(count), size)

    def added(codes: Index, of: int) -> NDArray[np.float64]:
        joined = np.bincount(window * of + codes, minlength=count * of)
        return joined.reshape(count, of).astype(np.float64)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[flat].reshape(count, size).sum(axis=1)

    moments = {}
    for at, name in enumerate((PROBABILITY, *FIELDS)):
        column = source.columns[at]
        moments[name] = np.stack(
            [
                np.full(count, size),
                summed(column),
                summed(column**2) if squares else np.zeros(count),
            ],
            axis=1,
        )
    unknown = source.columns[FIELDS.index("input.unk_share") + 1]
    labels = added(source.label[flat], 2)
    flags = np.stack(
        [summed((source.flags >> bit & 1).astype(float)) for bit in range(len(FLAGS))], axis=1
    )
    scripts = summed(source.foreign.astype(float))
    hashes, distinct = _frequent(source.text[flat].reshape(count, size))
    seconds = size * DAY / DAY_ROWS
    starts = start + np.arange(count) * seconds
    return Windows(
        start=starts,
        end=starts + seconds,
        rows=np.full(count, float(size)),
        moments=moments,
        bins={n: added(codes[flat], SCALES[n].count) for n, codes in source.codes.items()},
        labels=Tally(LABELS, labels),
        flags=Tally(FLAGS, flags),
        scripts=Tally(("latin", "other"), np.stack([size - scripts, scripts], axis=1)),
        unknown=summed((unknown > 0).astype(float)),
        hashes=hashes,
        distinct=distinct,
    )


def _frequent(texts: Index) -> tuple[tuple[dict[str, int], ...], NDArray[np.float64]]:
    """Return, for each window, the most frequent texts and the number of different texts.

    Texts that occur only once are not among the frequent texts.
    """
    count, size = texts.shape
    ordered = np.sort(texts, axis=1)
    begins = np.concatenate([np.ones((count, 1), bool), ordered[:, 1:] != ordered[:, :-1]], axis=1)
    places = np.flatnonzero(begins.ravel())
    lengths = np.diff(np.append(places, count * size))
    often = lengths > 1
    window, text = places[often] // size, ordered.ravel()[places[often]]
    lengths = lengths[often]
    found: list[dict[str, int]] = [{} for _ in range(count)]
    for at in np.argsort(-lengths, kind="stable"):
        if len(found[window[at]]) < TOP:
            found[window[at]][str(text[at])] = int(lengths[at])
    return tuple(found), begins.sum(axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Pool:
    """Documents to draw from.

    For each document, `starts` has its first row, `lengths` has its number of rows, and `genre` has
    its genre.
    """

    starts: Index
    lengths: Index
    genre: Index


def pool(
    source: Table,
    name: str,
    chosen: Callable[[Index], NDArray[np.bool_]] | None = None,
    *,
    longest: int = 0,
) -> Pool:
    """Return the documents of one set as a pool.

    `chosen`, if given, gets the codes of the documents, and returns which of them are kept. With
    `longest`, documents are cut into pieces of at most this many rows.
    """
    rows = source.sets[name]
    begin = np.flatnonzero(np.append(True, rows.document[1:] != rows.document[:-1]))
    length = np.diff(np.append(begin, len(rows)))
    keep = np.ones(len(begin), bool) if chosen is None else chosen(rows.document[begin])
    begin, length = begin[keep], length[keep]
    if longest:
        pieces = [
            (b + o, min(longest, k - o))
            for b, k in zip(begin, length, strict=True)
            for o in range(0, k, longest)
        ]
        begin, length = (np.array(column) for column in zip(*pieces, strict=True))
    return Pool(begin + source.first[name], length, rows.genre[begin])


def halves(
    seed: int,
) -> tuple[Callable[[Index], NDArray[np.bool_]], Callable[[Index], NDArray[np.bool_]]]:
    """Divide documents into two halves that have no document in common.

    Returns a function for each half. The function returns true for the documents of its half.
    """

    def one(documents: Index) -> NDArray[np.bool_]:
        return np.asarray(
            np.random.default_rng(seed).permutation(int(documents.max()) + 1)[documents] % 2 == 0
        )

    return one, lambda documents: ~one(documents)


def bursts(
    of: Pool, count: int, chance: Chance, weight: NDArray[np.float64] | None = None
) -> Index:
    """Draw documents with replacement until they have `count` rows, and return these rows.

    A document is drawn with a probability proportional to its `weight`, if weights are given. The
    rows of a document stay together, in their order. Only the last document may be cut.
    """
    mean = float(np.average(of.lengths, weights=weight))
    drawn = np.zeros(0, dtype=np.int64)
    while (have := int(of.lengths[drawn].sum())) < count:
        more = int((count - have) / mean * 1.1) + 8
        chances = None if weight is None else weight / weight.sum()
        drawn = np.append(drawn, chance.choice(len(of.starts), more, p=chances))
    lengths = of.lengths[drawn]
    begin = np.repeat(of.starts[drawn] - np.append(0, np.cumsum(lengths)[:-1]), lengths)
    return np.asarray((begin + np.arange(len(begin)))[:count])


def steady(of: Pool) -> Callable[[int, Chance], Index]:
    """Make traffic that does not change with the hour. Each document is a burst.

    The returned function takes a number of days and a random generator, and returns rows.
    """
    return lambda days, chance: bursts(of, days * DAY_ROWS, chance)


def by_hour(of: Pool, swing: float) -> Callable[[int, Chance], Index]:
    """Make traffic as `steady` does, but with genres that change with the hour.

    Half of the genres are most frequent at noon, and the other half at midnight. When a genre is
    most frequent, it is about `1 + swing` times as frequent as in `steady` traffic.
    """
    side = np.where(of.genre % 2 == 0, 1.0, -1.0)

    def made(days: int, chance: Chance) -> Index:
        hours = [
            bursts(
                of, DAY_ROWS // 24, chance,
                1 - side * swing * np.cos(2 * np.pi * (h + 0.5) / 24),
            )
            for _ in range(days) for h in range(24)
        ]  # fmt: skip
        return np.concatenate(hours)

    return made


def by_night(
    day: Pool, night: Pool, hours: Sequence[int] = (22, 23, 0, 1, 2, 3, 4, 5)
) -> Callable[[int, Chance], Index]:
    """Make traffic with documents of `night` at these hours, and of `day` at other hours."""

    def made(days: int, chance: Chance) -> Index:
        return np.concatenate(
            [
                bursts(night if h in hours else day, DAY_ROWS // 24, chance)
                for _ in range(days)
                for h in range(24)
            ]
        )

    return made


def mixed(rows: Index, others: Index, share: float, chance: Chance) -> Index:
    """Replace this share of each window's rows by rows of `others`.

    `rows` has the shape (windows, size). If `others` has enough rows, no row of `others` occurs
    twice in a window.
    """
    result = rows.copy()
    size = rows.shape[1]
    number = round(share * size)
    for at in range(len(rows)):
        places = chance.choice(size, number, replace=False)
        result[at, places] = chance.choice(others, number, replace=number > len(others))
    return result


def altered(
    source: Table, rows: Index, of: str, how: str, *, share: float, chance: Chance
) -> Index:
    """Choose this share of each window's rows at random, and make the change `how` in them.

    `rows` has the shape (windows, size). `of` is the name of a set: only chosen rows
    of this set change.
    """
    hit = parts(rows, share, chance)
    inside = (rows >= source.first[of]) & (rows < source.first[of] + source.size[of])
    return np.where(hit & inside, source.changed(rows, of, how), rows)


def parts(rows: Index, share: float, chance: Chance) -> NDArray[np.bool_]:
    """Choose this share of each window's rows at random. The result is true for chosen rows."""
    hit = np.broadcast_to(np.arange(rows.shape[1]) < round(share * rows.shape[1]), rows.shape)
    return chance.permuted(hit, axis=1)

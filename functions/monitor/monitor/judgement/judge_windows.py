"""Judges windows against a baseline. Eight signals are tested, each with a p-value and an effect.

profile_reference.py tests the same signals against the model's profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.baselines import baseline as accepted
from monitor.baselines.baseline import BINNED, Baseline
from monitor.statistics import chi_squared_groups, strange_rows, tail_probabilities
from monitor.summaries.summary import SIGNATURE
from monitor.summaries.windows import Windows

Array = NDArray[np.float64]

# "means" tests the means of several fields together. "strange" is the share of rows with an
# extremely high value. "flags" is the share of rows with a flag or an unusual script. "duplicates"
# is the share of rows that repeat one text. The other signals test the values of one field.
SIGNALS: Final = (
    "means", "label", "prediction.score", "input.words", "input.non_letter_share",
    "strange", "flags", "duplicates",
)  # fmt: skip
# The smallest effect that counts, for each signal. The effect of "means" is in standard deviations
# of single rows, and every other effect is a share of rows.
FLOOR: Final = {
    "means": 0.3, "label": 0.03, "prediction.score": 0.05, "input.words": 0.05,
    "input.non_letter_share": 0.05, "strange": 0.005, "flags": 0.005, "duplicates": 0.05,
}  # fmt: skip
# Fields that describe the text and do not depend on the model.
TEXT: Final = ("input.words", "input.non_letter_share")
# Fields that depend on a model's profile or tokenizer. Their values can be compared only between
# records with the same profile.
OF_PROFILE: Final = (
    *SIGNATURE, "input.novelty", "input.surprisal", "input.tokens_per_word",
    strange_rows.UNKNOWN, strange_rows.SUM,
)  # fmt: skip
FLAGS_OF_PROFILE: Final = ("truncated", "mostly_unknown")


class Fields(StrEnum):
    """The fields by which windows are compared with a baseline."""

    ALL = "all"
    UNPROFILED = "unprofiled"  # without `OF_PROFILE`, for windows with another profile
    TEXT = "text"  # only `TEXT`, for windows of another model

    def has(self, name: str) -> bool:
        """Return whether `name` is compared.

        `name` is a component of the means, a binned field, or a kind of strange rows.
        """
        if self is Fields.TEXT:
            return name in TEXT
        return self is Fields.ALL or name not in OF_PROFILE


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal. Every field except the name has an entry for each window.

    `p` is the p-value (NaN if it cannot be computed), and `effect` is the effect size. `part` names
    the part of the signal that changed most, for example a label. `value` is the value of this part
    in the window, and `expected` is the value in the baseline or profile.
    """

    name: str
    p: Array
    effect: Array
    part: list[str]
    value: Array
    expected: Array

    def unusual(self, level: float) -> NDArray[np.bool_]:
        """Return whether the signal is unusual, for each window: shape (windows,).

        It is unusual if p is below an eighth of `level` (because there are eight signals), and the
        effect is at least the signal's value in `FLOOR`.
        """
        with np.errstate(invalid="ignore"):
            return (self.p < level / len(SIGNALS)) & (self.effect >= FLOOR[self.name])


@dataclass(frozen=True, slots=True)
class Judgement:
    """The signals of the windows. `missing` maps each absent signal or component to a reason."""

    signals: tuple[Signal, ...]
    missing: Mapping[str, str]

    def unusual(self, level: float) -> NDArray[np.bool_]:
        """Return whether any signal is unusual, for each window: shape (windows,)."""
        if not self.signals:
            return np.zeros(0, dtype=bool)
        return np.any([s.unusual(level) for s in self.signals], axis=0)

    def leading(self, window: int, level: float) -> Signal | None:
        """Return the window's unusual signal with the smallest p, or None if none is unusual."""
        found = [s for s in self.signals if s.unusual(level)[window]]
        return min(found, key=lambda s: float(s.p[window])) if found else None


def judge(windows: Windows, baseline: Baseline, *, fields: Fields = Fields.ALL) -> Judgement:
    """Judge windows against an accepted baseline by the given fields.

    If there are no windows, the result has no signals.
    """
    found: list[Signal] = []
    if not len(windows):
        return Judgement((), baseline.missing)
    if baseline.means:
        found.append(_means(windows, baseline, fields))
    if baseline.label and fields is not Fields.TEXT:
        found.append(_label(windows, baseline))
    found += [
        _bins(windows, baseline, name) for name in BINNED
        if name in baseline.bins and fields.has(name)
    ]  # fmt: skip
    if baseline.strange:
        found.append(_strange(windows, baseline, fields))
    found.append(_flags(windows, baseline, fields))
    if baseline.duplicate:
        found.append(_duplicates(windows, baseline))
    return Judgement(tuple(found), baseline.missing)


def _means(windows: Windows, baseline: Baseline, fields: Fields) -> Signal:
    chart = baseline.means
    assert chart
    found = chart.judge(windows, [name for name in chart.names if fields.has(name)])
    if not found.names:
        nothing = np.full(len(windows), np.nan)
        return Signal("means", nothing, nothing, [""] * len(windows), nothing, nothing)
    moved = np.abs(found.standardised).argmax(axis=1)
    at = np.arange(len(windows))
    centre = chart.centre[[chart.names.index(name) for name in found.names]]
    return Signal(
        "means", found.p, found.effect, [found.names[m] for m in moved],
        found.values[at, moved], centre[moved],
    )  # fmt: skip


def _label(windows: Windows, baseline: Baseline) -> Signal:
    assert baseline.label
    counts = accepted.label_counts(windows, baseline.labels)
    chance, effect = baseline.label.judge(counts)
    names = (*baseline.labels, "any other label")
    return _of_shares(
        "label", chance, effect, counts=counts, expected=baseline.label.expected, names=names
    )


def _bins(windows: Windows, baseline: Baseline, name: str) -> Signal:
    codes = baseline.groups[name]
    counts = chi_squared_groups.grouped(windows.bins[name], codes)
    test = baseline.bins[name]
    chance, effect = test.judge(counts)
    names = [f"part {group + 1} of {counts.shape[1]}" for group in range(counts.shape[1])]
    return _of_shares(name, chance, effect, counts=counts, expected=test.expected, names=names)


def _strange(windows: Windows, baseline: Baseline, fields: Fields) -> Signal:
    assert baseline.strange
    counts = strange_rows.counts(windows, baseline.limits)
    chance, over = baseline.strange.judge(counts, windows.rows)
    names = strange_rows.kinds(baseline.limits)
    chance = np.where([fields.has(name) for name in names], chance, 1.0)
    return _of_kinds(
        "strange",
        chance,
        over,
        now=_share(counts, windows),
        rate=baseline.strange.rate,
        names=names,
    )


def _flags(windows: Windows, baseline: Baseline, fields: Fields) -> Signal:
    counts = accepted.flag_counts(windows, baseline.flags, baseline.scripts)
    chance, over = baseline.flag.judge(counts, windows.rows)
    names = accepted.flag_names(baseline.flags)
    if fields is not Fields.ALL:
        chance = np.where([name not in FLAGS_OF_PROFILE for name in names], chance, 1.0)
    return _of_kinds(
        "flags", chance, over, now=_share(counts, windows), rate=baseline.flag.rate, names=names
    )


def _duplicates(windows: Windows, baseline: Baseline) -> Signal:
    """Judge one text of each window.

    It is the text with the largest difference between two shares: its share of the window's rows,
    minus its share of the baseline's rows.

    The result's p is the larger p of two tests: the negative binomial and Fisher's exact test.
    """
    assert baseline.duplicate
    over, which = accepted.excess(windows, baseline.hashes)
    chance, _ = baseline.duplicate.judge(over[:, None], windows.rows)
    p = chance[:, 0]
    for at in np.flatnonzero(p < 0.05):
        count, rows = windows.hashes[at][which[at]], int(windows.rows[at])
        before = round(baseline.hashes.get(which[at], 0.0) * baseline.rows)
        exact = tail_probabilities.fisher_upper(count, rows, before, baseline.rows)
        p[at] = max(p[at], min(1.0, exact * windows.distinct[at]))
    share = over / np.maximum(windows.rows, 1)
    return Signal("duplicates", p, share, which, share, np.zeros(len(windows)))


def _of_shares(
    name: str, chance: Array, effect: Array, *, counts: Array, expected: Array, names: Sequence[str]
) -> Signal:
    now = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    moved = np.abs(now - expected).argmax(axis=1)
    value = now[np.arange(len(now)), moved]
    return Signal(name, chance, effect, [names[m] for m in moved], value, expected[moved])


def _of_kinds(
    name: str, chance: Array, over: Array, *, now: Array, rate: Array, names: Sequence[str]
) -> Signal:
    moved = chance.argmin(axis=1)
    at = np.arange(len(moved))
    p = np.minimum(1, chance[at, moved] * len(names))
    return Signal(name, p, over[at, moved], [names[m] for m in moved], now[at, moved], rate[moved])


def _share(counts: Array, windows: Windows) -> Array:
    return counts / np.maximum(windows.rows, 1)[:, None]

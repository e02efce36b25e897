"""A control chart of the means of windows.

A window is a group of successive predictions, and a row is one prediction. The baseline is the
accepted windows with which later windows are compared. A component is a number that each prediction
has, such as its score or its number of words. The mean of a window is the mean of a component over
the window's predictions.

The chart computes Hotelling's T²: the distance of a window's means from the baseline's means,
measured by the covariance between the baseline's windows (Hotelling 1947). The limit of the chart
is the limit for a future observation (Montgomery, Introduction to Statistical Quality Control,
11.3).

The covariance between windows is valid even if the predictions of a window depend on each other,
for example because similar texts arrive in bursts. For such
predictions, a test that assumes independence would find hundreds of times too many unusual windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from monitor.statistics import tail_probabilities
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import PROBABILITY, SIGNATURE
from monitor.summaries.windows import Windows, a_day_apart, hour_of

Array = NDArray[np.float64]

CAPPED: Final = ("input.words", "input.tokens_per_word", "input.non_letter_share")
PLAIN: Final = ("prediction.score", "input.surprisal", "input.novelty")
# Values of the fields `CAPPED` are capped at this quantile of the baseline's rows. Without the cap,
# heavy tails would make T² wrong by a factor of ten.
CAP: Final = 0.99
PRESENT: Final = 0.5  # a window has a component if at least this share of its rows has the field
ABSENT_WINDOWS: Final = 0.05  # largest share of the baseline's windows that may lack a component
# A component is redundant if the other components explain its whole variance, except for at most
# this share.
REDUNDANT: Final = 1e-6
A_CELL: Final = 3  # the mean of an hour of the day needs at least this many windows
SPARE: Final = 40  # the means of the hours must leave at least this many degrees of freedom
DAILY: Final = 10  # a variance needs at least this many pairs of windows that are a day apart
# The hours of the day have means of their own if the hour explains at least this share of the
# variance of one component.
BY_HOUR: Final = 0.5
NOT_THERE: Final = "the records do not have it"
# The fields of `Means` in its JSON form, apart from `names`.
ARRAYS: Final = (
    "centre",
    "deviation",
    "covariance",
    "hours",
    "hour_windows",
    "hour_noise",
    "plain",
)
NUMBERS: Final = ("caps", "degrees", "windows", "rows", "deff")


@dataclass(frozen=True, slots=True)
class Means:
    """The chart of p components, fitted to the windows of a baseline.

    - `names` are the names of the components.
    - `caps` holds the cap of each capped field that the records have.
    - `centre` and `deviation` are the mean and the standard deviation of rows, shape (p,).
    - `covariance` is the covariance between windows, shape (p, p). It has `degrees` degrees of
      freedom.
    - `windows` is the number of the baseline's windows, and each has about `rows` rows.
    - `hours` holds the mean of each hour of the day, shape (24, p), if the hours have means of
      their own. `covariance` is then the covariance around these means.
    - `hour_windows` is the number of windows of each hour, shape (24,).
    - `hour_noise` has one number for each hour, at least 1: shape (24,). It is the variance of this
      hour's windows around their mean, divided by the same variance averaged over all hours.
    - `deff`, the design effect, is the variance of a window's mean, divided by the variance that
      this mean would have with independent rows.
    - `plain` is the covariance around the overall mean, if the hours have means of their own.
    """

    names: tuple[str, ...]
    caps: dict[str, float]
    centre: Array
    deviation: Array
    covariance: Array
    degrees: int
    windows: int
    rows: float
    deff: float
    hours: Array | None = None
    hour_windows: Array | None = None
    hour_noise: Array | None = None
    plain: Array | None = None

    def judge(self, windows: Windows, names: Sequence[str] | None = None) -> MeansFound:
        """Compute T² and its p-value for each window, and how far each component moved.

        If `names` is given, only these components are used.
        """
        values = components(windows, self.names, self.caps)
        wanted = [
            at for at, name in enumerate(self.names)
            if (names is None or name in names) and not np.isnan(values[:, at]).any()
        ]  # fmt: skip
        kept = tuple(self.names[at] for at in wanted)
        if not wanted or not len(windows):
            nothing = np.full(len(windows), np.nan)
            return MeansFound(
                kept, nothing, nothing, nothing, np.zeros((len(windows), 0)), values[:, wanted]
            )
        square = np.ix_(wanted, wanted)
        values, p = values[:, wanted], len(wanted)
        away = values - self.centre[wanted]
        general = self.covariance if self.plain is None else self.plain
        result = _chart(away, general[square], self.windows - 1, 1 + 1 / self.windows)
        if self.hours is not None and self.hour_windows is not None and self.hour_noise is not None:
            hours = hour_of(windows)
            known = self.hour_windows[hours] >= A_CELL
            if known.any():
                hours = hours[known]
                of_hour = values[known] - self.hours[hours][:, wanted]
                noise = (1 + 1 / self.hour_windows[hours]) * self.hour_noise[hours]
                same = _chart(of_hour, self.covariance[square], self.degrees, noise)
                for whole, part in zip(result, same, strict=True):
                    whole[known] = part
        squared, chance, standardised = result
        effect = np.sqrt(np.maximum(0, squared - p) * self.deff / self.rows)
        return MeansFound(kept, squared, chance, effect, standardised, values)

    def to_json(self) -> dict[str, Any]:
        """Return the chart as a JSON object."""
        lists = {name: getattr(self, name) for name in ARRAYS}
        return {
            "names": list(self.names),
            **{name: getattr(self, name) for name in NUMBERS},
            **{name: None if value is None else value.tolist() for name, value in lists.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read a chart that `to_json` wrote."""
        read: dict[str, Any] = {
            n: None if content[n] is None else np.array(content[n], float) for n in ARRAYS
        }
        rest = {n: content[n] for n in NUMBERS}
        return cls(names=tuple(content["names"]), **rest, **read)


@dataclass(frozen=True, slots=True)
class MeansFound:
    """The result of the chart. Each array has an entry for each window.

    `names` are the components that were used. `squared` is T², and `p` is its p-value. `effect` is
    the estimated shift of the means, in standard deviations of single rows. `values` holds the mean
    of each component, and `standardised` its z-score, both of shape (windows, names).
    """

    names: tuple[str, ...]
    squared: Array
    p: Array
    effect: Array
    standardised: Array
    values: Array


def fit(windows: Windows, names: Sequence[str]) -> tuple[Means | None, dict[str, str]]:
    """Fit a chart to the components `names`. Components that cannot be charted are left out.

    Returns the chart (None if all components are left out), and the reason for each component that
    is left out.
    """
    reasons: dict[str, str] = {}
    caps = caps_of(windows)
    values = components(windows, names, caps)
    absent = np.isnan(values).mean(axis=0)
    for name, share in zip(names, absent, strict=True):
        if share > ABSENT_WINDOWS:
            reasons[name] = NOT_THERE
    kept = [at for at, name in enumerate(names) if name not in reasons]
    present = ~np.isnan(values[:, kept]).any(axis=1)
    values, centre = values[present][:, kept], np.zeros(0)
    names = [names[at] for at in kept]
    deviation = row_deviation(windows, names, caps)
    if len(values) > 1 and names:
        centre = values.mean(axis=0)
        spread = (values - centre).std(axis=0)
        still = (spread <= 1e-9 * (1 + np.abs(centre))) | ~(deviation > 0)
        reasons |= {
            n: "its values are all the same" for n, s in zip(names, still, strict=True) if s
        }
        chosen = np.flatnonzero(~still).tolist()
        told = _independent(np.cov(values[:, chosen], rowvar=False).reshape((len(chosen),) * 2))
        reasons |= {
            names[at]: "other components already determine it"
            for place, at in enumerate(chosen) if place not in told
        }  # fmt: skip
        chosen = [chosen[place] for place in told]
    else:
        chosen = []
    count = len(values)
    if not chosen or count - len(chosen) < 2:
        return None, reasons | {n: "too few windows" for n in names if n not in reasons}
    values, names = values[:, chosen], [names[at] for at in chosen]
    centre, deviation = centre[chosen], deviation[chosen]
    plain = np.cov(values, rowvar=False).reshape(len(chosen), len(chosen))
    rows = float(windows.rows[present].mean())
    found = Means(
        tuple(names), caps, centre, deviation, plain, count - 1, count, rows,
        design_effect(values, _only(windows, present), deviation),
    )  # fmt: skip
    return _by_hour(found, values, hour_of(windows)[present]), reasons


def components(windows: Windows, names: Sequence[str], caps: Mapping[str, float]) -> Array:
    """Return the mean of each component in each window: shape (windows, names).

    The mean is NaN if too few rows of the window have the field.
    """
    values = np.full((len(windows), len(names)), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        for at, name in enumerate(names):
            if name in caps:
                counts = windows.bins[name]
                number = counts.sum(axis=1)
                mean = counts @ np.minimum(SCALES[name].middle, caps[name]) / number
            elif name in windows.moments and name not in CAPPED:
                number, sums = windows.moments[name][:, 0], windows.moments[name][:, 1]
                mean = sums / number
            else:
                continue
            values[:, at] = np.where(number >= PRESENT * np.maximum(windows.rows, 1), mean, np.nan)
    return values


def component_names(label: str | None) -> tuple[str, ...]:
    """Return the names of all components of a stream whose most frequent label is `label`."""
    probability = (f"{PROBABILITY}.{label}",) if label is not None else ()
    return (*SIGNATURE, *probability, *PLAIN, *CAPPED)


def caps_of(windows: Windows) -> dict[str, float]:
    """Return the cap of each capped field that occurs in the windows."""
    counts = {name: windows.bins[name].sum(axis=0) for name in CAPPED}
    return {name: cap(of_field, name) for name, of_field in counts.items() if of_field.any()}


def cap(counts: Array, name: str) -> float:
    """Return the upper edge of the bin that holds the 99 % quantile of the field `name`.

    `counts` has the number of rows of each bin, and must count at least one row.
    """
    code = int(np.searchsorted(np.cumsum(counts), CAP * counts.sum()))
    scale = SCALES[name]
    if scale.whole and code < 1 + scale.steps:
        return float(scale.middle[code])  # this bin holds only one whole number
    return float(scale.lower[code + 1]) if code + 1 < scale.count else float(scale.middle[code])


def row_deviation(windows: Windows, names: Sequence[str], caps: Mapping[str, float]) -> Array:
    """Return the standard deviation of each component over all rows: shape (names,)."""
    found = []
    for name in names:
        if name in caps:
            counts = windows.bins[name].sum(axis=0)
            middle = np.minimum(SCALES[name].middle, caps[name])
            number, sums, squares = counts.sum(), counts @ middle, counts @ middle**2
        else:
            number, sums, squares = windows.moments[name].sum(axis=0)
        found.append(max(0.0, squares / number - (sums / number) ** 2) ** 0.5 if number else 0.0)
    return np.array(found)


def design_effect(values: Array, windows: Windows, deviation: Array) -> float:
    """Return the design effect of windows, at least 1.

    The design effect of a component is the variance of a window's mean, divided by the variance
    that this mean would have with independent rows. The result is the mean of the design effects of
    all components.

    The variance between windows is computed from differences between windows that are 24 hours
    apart, because a daily cycle does not affect these differences. If there are fewer than `DAILY`
    such pairs, the variance of all windows is used.

    The exact value would be tr(Σ⁻¹ S n) / p. Here Σ is the covariance between rows, S is the
    covariance between windows, n is the number of rows in a window, and p is the number of
    components. Σ would need sums of products, which summaries do not have. The result is 15 to 25 %
    larger than the exact value, so windows are planned somewhat larger than necessary.
    """
    first, second = a_day_apart(windows)
    daily = (
        ((values[second] - values[first]) ** 2).mean(axis=0) / 2 if len(first) >= DAILY else None
    )
    between = values.var(axis=0, ddof=1) if daily is None else daily
    return float(max(1.0, np.mean(between * windows.rows.mean() / deviation**2)))


def _by_hour(found: Means, values: Array, hours: NDArray[np.int64]) -> Means:
    """Return the chart with a mean for each hour, if the hour explains much of the variance.

    Otherwise return the chart unchanged.
    """
    count = np.bincount(hours, minlength=24).astype(float)
    used = count > 0
    degrees = len(values) - int(used.sum())
    if (count[used] < A_CELL).any() or degrees - len(found.names) < SPARE:
        return found
    sums = np.zeros((24, values.shape[1]))
    np.add.at(sums, hours, values)
    means = sums / np.maximum(count, 1)[:, None]
    left = values - means[hours]
    within = (left**2).sum(axis=0) / degrees
    explained = 1 - within / values.var(axis=0, ddof=1)
    if explained.max() < BY_HOUR:
        return found
    covariance = left.T @ left / degrees
    squared = np.einsum("wi,ij,wj->w", left, np.linalg.inv(covariance), left) / len(found.names)
    noise = np.bincount(hours, weights=squared, minlength=24) / np.maximum(count - 1, 1)
    return replace(
        found, covariance=covariance, degrees=degrees, plain=found.covariance,
        hours=means, hour_windows=count, hour_noise=np.maximum(1, noise),
    )  # fmt: skip


def _chart(
    away: Array, covariance: Array, degrees: int, noise: float | Array
) -> tuple[Array, Array, Array]:
    """Return each window's T² (divided by `noise`), its p-value, and each component's z-score.

    `away` has each window's means minus the expected means: shape (windows, components).
    """
    p = away.shape[1]
    squared = np.einsum("wi,ij,wj->w", away, np.linalg.inv(covariance), away) / noise
    left = degrees - p + 1
    chance = tail_probabilities.f(squared * left / (degrees * p), p, left)
    return squared, chance, away / np.sqrt(np.diag(covariance))


def _independent(covariance: Array) -> list[int]:
    """Return the positions of components that do not determine each other.

    The returned components determine all components that are left out. They are found by Cholesky's
    decomposition with pivots.
    """
    deviation = np.sqrt(np.diag(covariance))
    left = covariance / np.outer(deviation, deviation) if len(deviation) else covariance
    chosen: list[int] = []
    while len(chosen) < len(left):
        diagonal = np.diag(left).copy()
        diagonal[chosen] = -1
        at = int(diagonal.argmax())
        if diagonal[at] <= REDUNDANT:
            break
        chosen.append(at)
        left = left - np.outer(left[:, at], left[at]) / left[at, at]
    return sorted(chosen)


def _only(windows: Windows, present: NDArray[np.bool_]) -> Windows:
    """Shorten the arrays that `design_effect` uses to the windows in `present`.

    The other arrays keep all windows.
    """
    return replace(
        windows, start=windows.start[present], end=windows.end[present], rows=windows.rows[present]
    )

"""The chart of window means: how far a window lies from the baseline's, in the measure of how its windows differ.

Hotelling's T² against the covariance between windows (Hotelling 1947; Montgomery, Introduction to
Statistical Quality Control, 11.3: the limit for a future observation): it holds whatever ties the
predictions of a window together. A test that takes predictions for independent is off by a factor
of hundreds on documents in bursts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from monitor import tails
from monitor.bins import SCALES
from monitor.summary import PROBABILITY, SIGNATURE
from monitor.windows import Windows, a_day_apart, hour_of

Array = NDArray[np.float64]

CAPPED: Final = ("input.words", "input.tokens_per_word", "input.non_letter_share")
PLAIN: Final = ("prediction.score", "input.surprisal", "input.novelty")
CAP: Final = (
    0.99  # quantile of the baseline's rows; without it heavy tails make T² wrong by a factor of ten
)
PRESENT: Final = 0.5  # a window has a component if at least this share of its rows has the field
ABSENT_WINDOWS: Final = 0.05  # a component may be absent from so many of the baseline's windows
REDUNDANT: Final = 1e-6  # variance of a component, of its own, that the others do not tell
A_CELL: Final = 3  # windows that an hour needs for a mean of its own
SPARE: Final = 40  # degrees of freedom that must be left after the hours' means
DAILY: Final = 10  # pairs of windows a day apart that tell how windows vary beside the hour
BY_HOUR: Final = 0.5  # share of a component's variance between windows that the hour explains
NOT_THERE: Final = "the records do not have it"


@dataclass(frozen=True, slots=True)
class Means:
    """The chart of p components, fitted to K windows of about `rows` rows.

    `caps` by field, of the fields that the records have; `centre` and `deviation` (of rows), (p,);
    `covariance` between windows, (p, p), on `degrees` degrees of freedom. Where hours have means of
    their own, these are `hours`, (24, p), of `hour_windows` windows, (24,); `covariance` is then
    the one around them, and `hour_noise`, (24,), says how many times more the windows of an hour
    vary. `deff` is the variance of a window's mean as a multiple of its variance for independent
    rows.
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
    plain: Array | None = None  # the covariance around the one mean, where `hours` has means

    def judge(self, windows: Windows, names: Sequence[str] | None = None) -> MeansFound:
        """T², its p and the moved components, of each window; of components `names` alone where given."""
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
        """The chart as JSON."""
        arrays = (
            "centre",
            "deviation",
            "covariance",
            "hours",
            "hour_windows",
            "hour_noise",
            "plain",
        )
        numbers = ("caps", "degrees", "windows", "rows", "deff")
        lists = {name: getattr(self, name) for name in arrays}
        return {
            "names": list(self.names),
            **{name: getattr(self, name) for name in numbers},
            **{name: None if value is None else value.tolist() for name, value in lists.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The chart that `to_json` wrote."""
        arrays = (
            "centre",
            "deviation",
            "covariance",
            "hours",
            "hour_windows",
            "hour_noise",
            "plain",
        )
        read: dict[str, Any] = {
            n: None if content[n] is None else np.array(content[n], float) for n in arrays
        }
        rest = {n: content[n] for n in ("caps", "degrees", "windows", "rows", "deff")}
        return cls(names=tuple(content["names"]), **rest, **read)


@dataclass(frozen=True, slots=True)
class MeansFound:
    """Of each window: T², its p, the effect δ in standard deviations of rows, and each component's z, (windows, p)."""

    names: tuple[str, ...]
    squared: Array
    p: Array
    effect: Array
    standardised: Array
    values: Array


def fit(windows: Windows, names: Sequence[str]) -> tuple[Means | None, dict[str, str]]:
    """The chart of those of the components `names` that can be charted, and why each other one cannot."""
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
        told = _independent(np.cov(values[:, chosen], rowvar=False).reshape(len(chosen), -1))
        reasons |= {
            names[at]: "other components tell it already"
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
    """Each window's mean of each component, (windows, names); NaN where too few of its rows have the field."""
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
    """All components of a stream whose most frequent label is `label`."""
    probability = (f"{PROBABILITY}.{label}",) if label is not None else ()
    return (*SIGNATURE, *probability, *PLAIN, *CAPPED)


def caps_of(windows: Windows) -> dict[str, float]:
    """The cap of each capped field that the windows have rows of."""
    counts = {name: windows.bins[name].sum(axis=0) for name in CAPPED}
    return {name: cap(of_field, name) for name, of_field in counts.items() if of_field.any()}


def cap(counts: Array, name: str) -> float:
    """The upper edge of the bin with the 99 % quantile of these counts, (codes,), of at least one row."""
    code = int(np.searchsorted(np.cumsum(counts), CAP * counts.sum()))
    scale = SCALES[name]
    if scale.whole and code < 1 + scale.steps:
        return float(scale.middle[code])  # the bin holds this number alone
    return float(scale.lower[code + 1]) if code + 1 < scale.count else float(scale.middle[code])


def row_deviation(windows: Windows, names: Sequence[str], caps: Mapping[str, float]) -> Array:
    """The standard deviation of each component's rows over all windows, (names,)."""
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
    """How many times the windows' means vary as they would with independent rows: the mean over the components.

    From differences between windows 24 hours apart, which a daily cycle does not touch; from all
    windows where there are fewer than ten such pairs. Reads 15 to 25 % above tr(Σ⁻¹ S n) / p, which
    needs sums of products: the safe side.
    """
    first, second = a_day_apart(windows)
    daily = (
        ((values[second] - values[first]) ** 2).mean(axis=0) / 2 if len(first) >= DAILY else None
    )
    between = values.var(axis=0, ddof=1) if daily is None else daily
    return float(max(1.0, np.mean(between * windows.rows.mean() / deviation**2)))


def _by_hour(found: Means, values: Array, hours: NDArray[np.int64]) -> Means:
    """The chart with means of its own for each hour, where the hour explains much of how windows differ."""
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
    """T² of each row of `away`, (windows, p), divided by `noise`; its p; each component's z."""
    p = away.shape[1]
    squared = np.einsum("wi,ij,wj->w", away, np.linalg.inv(covariance), away) / noise
    left = degrees - p + 1
    chance = tails.f(squared * left / (degrees * p), p, left)
    return squared, chance, away / np.sqrt(np.diag(covariance))


def _independent(covariance: Array) -> list[int]:
    """The components that others do not tell, by Cholesky's decomposition with pivots; in their own order."""
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
    """What `design_effect` looks at, of the windows that are present."""
    return replace(
        windows, start=windows.start[present], end=windows.end[present], rows=windows.rows[present]
    )

"""Judges whether windows differ from the validation texts that the model's profile describes.

This judgement never leads to a notice. It treats all rows as independent of each other. If similar
texts arrive in bursts, they are not independent, so even usual traffic can differ from the profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from monitor.baselines.baseline import BINNED
from monitor.judgement.judge_windows import Judgement, Signal
from monitor.statistics import chi_squared_groups, means_chart, strange_rows, tail_probabilities
from monitor.statistics.means_chart import NOT_THERE
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import PROBABILITY
from monitor.summaries.windows import Windows

Array = NDArray[np.float64]

LEVEL: Final = (
    0.001  # the level of a window; each of the eight signals is tested at an eighth of it
)


class ProfileUnreadable(ValueError):
    """The profile cannot be read, or has no rows."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The statistics of the reference rows: the validation texts of the model.

    - `rows` is the number of reference rows.
    - `names` are the names of the components. A component is a number that each prediction has,
      such as its score.
    - `centre` is the mean of the components over the rows, `deviation` is their standard deviation,
      and `covariance` is their covariance. The shapes are (components,) for the first two, and
      (components, components) for the covariance.
    - `caps` holds an upper limit for some components. A larger value counts as the limit.
    - `labels` and `flags` count rows by value.
    - `groups` holds, for each field, the group to which each bin belongs. `bins` holds, for each
      field, the number of rows in each group.
    - `limits` holds, for each field, the lowest bin whose rows are strange (strange_rows.py). The
      bin is given by its code (bins.py).
    - `strange` counts the strange rows of each kind.
    """

    id: str
    rows: int
    names: tuple[str, ...]
    caps: dict[str, float]
    centre: Array
    deviation: Array
    covariance: Array
    labels: dict[str, int]
    flags: dict[str, int]
    groups: dict[str, NDArray[np.int64]]
    bins: dict[str, Array]
    limits: dict[str, int]
    strange: Array

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read the profile from the content of `profile.json`. Raises `ProfileUnreadable`."""
        try:
            table = content["rows"]
            values = np.array(table["values"], dtype=np.float32).astype(np.float64)
            columns = dict(zip(table["columns"], values.T, strict=True))
            counts = content["counts"]
            return cls.of(content["id"], columns, counts["prediction.label"], counts["input.flags"])
        except (KeyError, TypeError, ValueError) as error:
            raise ProfileUnreadable(f"the profile cannot be read: {error}") from error

    @classmethod
    def of(
        cls,
        name: str,
        columns: Mapping[str, Array],
        labels: Mapping[str, int],
        flags: Mapping[str, int],
    ) -> Self:
        """Compute the profile from the reference rows.

        `columns` holds one array of shape (rows,) for each field of the record. `labels` and
        `flags` count the rows with each label and each flag.
        """
        codes = {
            n: np.bincount(s.codes(columns[n]), minlength=s.count).astype(float)
            for n, s in SCALES.items()
        }
        caps = {n: means_chart.cap(codes[n], n) for n in means_chart.CAPPED}
        probability = next(n for n in columns if n.startswith(f"{PROBABILITY}."))
        names = means_chart.component_names(probability.removeprefix(f"{PROBABILITY}."))
        # The means of windows are computed from bins, so the rows are binned in the same way.
        capped = {
            n: np.minimum(SCALES[n].middle, caps[n])[SCALES[n].codes(columns[n])]
            for n in means_chart.CAPPED
        }
        matrix = np.stack([capped.get(n, columns[n]) for n in names], axis=1)
        kept = [at for at in range(len(names)) if matrix[:, at].std() > 0]
        matrix, names = matrix[:, kept], tuple(names[at] for at in kept)
        limits = strange_rows.thresholds(codes)
        reached = [codes[n][code:].sum() for n, code in limits.items()]
        reached.append(float((columns["input.unk_share"] > 0).sum()))
        grouping = {n: chi_squared_groups.deciles(codes[n], n) for n in BINNED}
        return cls(
            id=name, rows=len(matrix), names=names, caps=caps, centre=matrix.mean(axis=0),
            deviation=matrix.std(axis=0, ddof=1), covariance=np.cov(matrix, rowvar=False),
            labels=dict(labels), flags=dict(flags), groups=grouping,
            bins={n: chi_squared_groups.grouped(codes[n][None, :], grouping[n])[0] for n in BINNED},
            limits=limits, strange=np.array([*reached, sum(reached)]),
        )  # fmt: skip


def judge(windows: Windows, profile: Profile) -> Judgement:
    """Judge windows against the profile.

    The signals are the same as in a comparison with a baseline. Each test compares the rows of a
    window and the rows of the profile as two samples of independent rows.
    """
    found: list[Signal] = []
    missing: dict[str, str] = {}
    if not len(windows):
        return Judgement((), missing)
    for signal in (_means(windows, profile), _label(windows, profile)):
        if np.isnan(signal.p).all():
            missing[signal.name] = NOT_THERE
        else:
            found.append(signal)
    for name in BINNED:
        if windows.bins[name].sum():
            found.append(_bins(windows, profile, name))
        else:
            missing[name] = NOT_THERE
    if any(windows.bins[name].sum() for name in profile.limits):
        found.append(_strange(windows, profile))
    else:
        missing["strange"] = NOT_THERE
    found += [_flags(windows, profile), _duplicates(windows, profile.rows)]
    return Judgement(tuple(found), missing)


def two_samples(counts: Array, reference: Array) -> tuple[Array, Array]:
    """Test the counts of windows against the counts of the reference.

    `counts` has the shape (windows, groups), and `reference` the shape (groups,). Returns, for each
    window, the p of a chi-squared test of two samples, and the total variation distance.
    """
    n, m = counts.sum(axis=1, keepdims=True), reference.sum()
    used = (counts + reference) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = (np.sqrt(m / n) * counts - np.sqrt(n / m) * reference) ** 2 / (counts + reference)
        effect = np.abs(counts / n - reference / m).sum(axis=1) / 2
    statistic = np.where(used, parts, 0).sum(axis=1)
    p = tail_probabilities.chi_squared(statistic, np.maximum(used.sum(axis=1) - 1, 1))
    return np.where(n[:, 0] > 0, p, np.nan), effect


def _means(windows: Windows, profile: Profile) -> Signal:
    values = means_chart.components(windows, profile.names, profile.caps)
    kept = [at for at in range(len(profile.names)) if not np.isnan(values[:, at]).any()]
    if not kept:
        nothing = np.full(len(windows), np.nan)
        return Signal("means", nothing, nothing, [""] * len(windows), nothing, nothing)
    away, noise = (
        (values - profile.centre)[:, kept],
        1 / np.maximum(windows.rows, 1) + 1 / profile.rows,
    )
    covariance = profile.covariance[np.ix_(kept, kept)]
    squared = np.einsum("wi,ij,wj->w", away, np.linalg.inv(covariance), away) / noise
    moved = np.abs(away / profile.deviation[kept]).argmax(axis=1)
    which = np.array(kept)[moved]
    return Signal(
        "means", tail_probabilities.chi_squared(squared, len(kept)),
        np.sqrt(np.maximum(0, squared - len(kept)) * noise),
        [profile.names[at] for at in which],
        values[np.arange(len(values)), which], profile.centre[which],
    )  # fmt: skip


def _label(windows: Windows, profile: Profile) -> Signal:
    names = tuple(dict.fromkeys([*profile.labels, *windows.labels.names]))
    counts = windows.labels.of(names)
    reference = np.array([profile.labels.get(n, 0) for n in names], float)
    p, effect = two_samples(counts, reference)
    if len(names) == 2:
        first, total = int(reference[0]), int(reference.sum())
        rows = counts.sum(axis=1)
        exact = [
            tail_probabilities.fisher(int(c), int(n), first, total) if n else np.nan
            for c, n in zip(counts[:, 0], rows, strict=True)
        ]
        p = np.array(exact)
    return _moved("label", p, effect, counts=counts, reference=reference, names=names)


def _bins(windows: Windows, profile: Profile, name: str) -> Signal:
    counts, reference = (
        chi_squared_groups.grouped(windows.bins[name], profile.groups[name]),
        profile.bins[name],
    )
    p, effect = two_samples(counts, reference)
    names = [f"part {group + 1} of {len(reference)}" for group in range(len(reference))]
    return _moved(name, p, effect, counts=counts, reference=reference, names=names)


def _strange(windows: Windows, profile: Profile) -> Signal:
    counts = strange_rows.counts(windows, profile.limits)
    return _too_many(
        "strange",
        windows,
        counts=counts,
        reference=profile.strange,
        rows=profile.rows,
        names=strange_rows.kinds(profile.limits),
    )


def _flags(windows: Windows, profile: Profile) -> Signal:
    names = tuple(dict.fromkeys([*profile.flags, *windows.flags.names])) or ("any flag",)
    reference = np.array([profile.flags.get(n, 0) for n in names], float)
    return _too_many(
        "flags",
        windows,
        counts=windows.flags.of(names),
        reference=reference,
        rows=profile.rows,
        names=names,
    )


def _duplicates(windows: Windows, rows: int) -> Signal:
    """Judge the most frequent text of each window.

    The test assumes that the reference does not contain this text.
    """
    top = [max(h.items(), key=lambda item: item[1], default=("", 0)) for h in windows.hashes]
    count = np.array([c for _, c in top], float)
    share = count / np.maximum(windows.rows, 1)
    p = [
        min(1.0, tail_probabilities.fisher_upper(int(c), int(n), 0, rows) * d) if c > 1 else 1.0
        for c, n, d in zip(count, windows.rows, windows.distinct, strict=True)
    ]  # fmt: skip
    return Signal(
        "duplicates", np.array(p), share, [h for h, _ in top], share, np.zeros(len(share))
    )


def _too_many(
    name: str, windows: Windows, *, counts: Array, reference: Array, rows: int, names: Sequence[str]
) -> Signal:
    """Test whether a window has too many rows of a kind, by Fisher's one-sided test.

    `counts` has the shape (windows, kinds). Each p is multiplied by the number of kinds.
    """
    # The last kind of strange rows is the sum of all others (strange_rows.py). A row of two
    # kinds counts twice in this sum, so each count is limited to the number of rows.
    chance = np.array(
        [
            [
                tail_probabilities.fisher_upper(int(min(c, n)), int(n), int(min(r, rows)), rows)
                for c, r in zip(line, reference, strict=True)
            ]
            for line, n in zip(counts, windows.rows, strict=True)
        ]
    )
    moved, at = chance.argmin(axis=1), np.arange(len(counts))
    p = np.minimum(1, chance[at, moved] * len(names))
    value, expected = counts[at, moved] / np.maximum(windows.rows, 1), reference[moved] / rows
    return Signal(name, p, value - expected, [names[m] for m in moved], value, expected)


def _moved(
    name: str, p: Array, effect: Array, *, counts: Array, reference: Array, names: Sequence[str]
) -> Signal:
    now, before = (
        counts / np.maximum(counts.sum(axis=1, keepdims=True), 1),
        reference / reference.sum(),
    )
    moved = np.abs(now - before).argmax(axis=1)
    return Signal(
        name, p, effect, [names[m] for m in moved], now[np.arange(len(now)), moved], before[moved]
    )

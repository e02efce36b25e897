"""The baseline: statistics of days that a person accepted as usual.

Each window (the predictions of a span of time) is compared with the baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.statistics import (
    chi_squared_groups,
    means_chart,
    rare_rows_test,
    share_test,
    strange_rows,
)
from monitor.statistics.means_chart import NOT_THERE, Means
from monitor.statistics.rare_rows_test import Rare
from monitor.statistics.share_test import Shares
from monitor.summaries.summary import Stream, Summary
from monitor.summaries.windows import DAY, Windows, stack

Array = NDArray[np.float64]

FORMAT: Final = 1
BINNED: Final = ("prediction.score", "input.words", "input.non_letter_share")
HASHES: Final = 500  # the largest number of hashes of frequent texts that a baseline keeps
LEAST: Final = 3  # a baseline needs at least this number of windows
DOMINANT: Final = 0.5  # a writing system (script) is usual if at least this share of rows has it


class BaselineUnreadable(ValueError):
    """A document that is not a baseline, or a baseline in an unknown format."""


class TooFewWindows(ValueError):
    """There are fewer windows than a baseline needs."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline of one version of a model in one log group.

    The baseline was computed from windows, and `windows` is their number. `start` and `end` are in
    seconds since 1970. A statistic that cannot be computed from the records is None or left out,
    and `missing` gives the reason.
    """

    stream: Stream
    version: str
    profile: str
    start: int
    end: int
    windows: int
    rows: int
    weekdays: tuple[int, ...]
    means: Means | None
    labels: tuple[str, ...]
    label: Shares | None
    groups: dict[str, NDArray[np.int64]]
    bins: dict[str, Shares]
    limits: dict[str, int]
    strange: Rare | None
    flags: tuple[str, ...]
    scripts: tuple[str, ...]
    flag: Rare
    hashes: dict[str, float]
    duplicate: Rare | None
    missing: dict[str, str]

    @property
    def deff(self) -> float:
        """The design effect of the means, or 1 if it is unknown.

        The design effect is the variance of the means of windows, divided by the variance that
        these means would have if rows were independent.
        """
        return self.means.deff if self.means else 1.0

    @property
    def of_version(self) -> tuple[str, str]:
        """The version of the model, and the profile of that version."""
        return self.version, self.profile

    @property
    def rows_a_window(self) -> float:
        """The mean number of predictions in a window."""
        return self.rows / self.windows


def fit(summaries: Sequence[Summary]) -> Baseline:
    """Fit a baseline to whole windows of one stream (a model in a log group) and one version.

    Raises `TooFewWindows` for fewer than three windows.
    """
    if len(summaries) < LEAST:
        raise TooFewWindows(
            f"a baseline needs at least {LEAST} windows; these days have {len(summaries)}"
        )
    first = summaries[0]
    windows = stack(summaries)
    return fit_windows(windows, first.stream, first.version, first.profile)


def fit_windows(windows: Windows, stream: Stream, version: str, profile: str) -> Baseline:
    """Fit a baseline to windows in the form of arrays.

    Raises `TooFewWindows` if the windows hold no prediction.
    """
    if not windows.rows.sum():
        raise TooFewWindows("a baseline needs predictions; these days have none")
    missing: dict[str, str] = {}
    size = float(windows.rows.mean())
    labels = windows.labels
    known = chi_squared_groups.common_labels(labels.names, labels.counts.sum(axis=0), size)
    chart, reasons = means_chart.fit(
        windows, means_chart.component_names(known[0] if known else None)
    )
    missing |= reasons
    if chart is None:
        missing["means"] = "no component can be charted"
    enough = (labels.counts.sum(axis=1) > 0).sum() >= LEAST
    label = share_test.fit(label_counts(windows, known)) if known and enough else None
    if label is None:
        missing["label"] = NOT_THERE
    grouping, bins = {}, {}
    for name in BINNED:
        counts = windows.bins[name]
        if (counts.sum(axis=1) > 0).sum() < LEAST:
            missing[name] = NOT_THERE
            continue
        grouping[name] = chi_squared_groups.deciles(counts.sum(axis=0), name)
        # If one bin has all rows of the baseline, the empty bins form a second group.
        if grouping[name].max() == 0:
            grouping[name] = (counts.sum(axis=0) == 0).astype(np.int64)
        bins[name] = share_test.fit(chi_squared_groups.grouped(counts, grouping[name]))
    limits = strange_rows.thresholds({n: windows.bins[n].sum(axis=0) for n in strange_rows.FIELDS})
    if not limits:
        missing["strange"] = NOT_THERE
    flags, scripts = windows.flags.names, _usual(windows)
    hashes = common_hashes(windows)
    strange = strange_rows.counts(windows, limits) if limits else None
    duplicates = _one(excess(windows, hashes)[0]) if hashes else None
    if not hashes:
        missing["duplicates"] = NOT_THERE
    return Baseline(
        stream=stream, version=version, profile=profile,
        start=int(windows.start.min()), end=int(windows.end.max()),
        windows=len(windows), rows=int(windows.rows.sum()), weekdays=_weekdays(windows),
        means=chart, labels=known, label=label, groups=grouping, bins=bins, limits=limits,
        strange=None if strange is None else rare_rows_test.fit(strange, windows.rows),
        flags=flags, scripts=scripts,
        flag=rare_rows_test.fit(flag_counts(windows, flags, scripts), windows.rows),
        hashes=hashes,
        duplicate=None if duplicates is None else rare_rows_test.fit(duplicates, windows.rows),
        missing=missing,
    )  # fmt: skip


def label_counts(windows: Windows, known: Sequence[str]) -> Array:
    """Count the rows of each known label and of all other labels: shape (windows, labels + 1)."""
    named = windows.labels.of(known)
    others = windows.labels.counts.sum(axis=1, keepdims=True) - named.sum(axis=1, keepdims=True)
    return np.hstack([named, others])


def flag_counts(windows: Windows, flags: Sequence[str], usual: Sequence[str]) -> Array:
    """Count the rows with each known flag, with any other flag, and in an unusual script.

    The counts have the shape (windows, flags + 2).
    """
    named = windows.flags.of(flags)
    other = windows.flags.counts.sum(axis=1, keepdims=True) - named.sum(axis=1, keepdims=True)
    scripts = windows.scripts.counts.sum(axis=1) - windows.scripts.of(usual).sum(axis=1)
    return np.hstack([named, other, _one(scripts)])


def flag_names(flags: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of `flag_counts`."""
    return (*flags, "a flag that the baseline does not have", "another script")


def common_hashes(windows: Windows) -> dict[str, float]:
    """Return the hashes of the most frequent texts, each with the text's share of all rows."""
    counts: Counter[str] = Counter()
    for one in windows.hashes:
        counts.update(one)
    rows = max(1.0, float(windows.rows.sum()))
    return {name: count / rows for name, count in counts.most_common(HASHES)}


def excess(windows: Windows, known: Mapping[str, float]) -> tuple[Array, list[str]]:
    """Find the most unusually frequent text of each window.

    It is the text with the largest difference: its share of the window, minus its usual share.
    `known` has the usual shares by hash. Returns, for each window, the number of rows by which the
    text exceeds its usual share, and the text's hash.
    """
    largest, which = np.zeros(len(windows)), [""] * len(windows)
    for at, (hashes, rows) in enumerate(zip(windows.hashes, windows.rows, strict=True)):
        for name, count in hashes.items():
            over = count - rows * known.get(name, 0.0)
            if over > largest[at]:
                largest[at], which[at] = over, name
    return largest, which


def to_document(baseline: Baseline) -> dict[str, Any]:
    """Return the baseline as a JSON object."""
    b = baseline
    return {
        "format": FORMAT,
        "stack": b.stream.stack,
        "log_group": b.stream.log_group,
        "model": {"name": b.stream.model, "version": b.version, "profile": b.profile},
        "start": b.start,
        "end": b.end,
        "windows": b.windows,
        "rows": b.rows,
        "weekdays": list(b.weekdays),
        "reference": {
            "means": b.means.to_json() if b.means else None,
            "labels": list(b.labels),
            "label": b.label.to_json() if b.label else None,
            "groups": {name: codes.tolist() for name, codes in b.groups.items()},
            "bins": {name: test.to_json() for name, test in b.bins.items()},
            "limits": dict(b.limits),
            "strange": b.strange.to_json() if b.strange else None,
            "flags": list(b.flags),
            "scripts": list(b.scripts),
            "flag": b.flag.to_json(),
            "hashes": dict(b.hashes),
            "duplicate": b.duplicate.to_json() if b.duplicate else None,
            "missing": dict(b.missing),
        },
    }


def from_document(document: Mapping[str, Any]) -> Baseline:
    """Read a baseline that `to_document` wrote. Raises `BaselineUnreadable`."""
    if document.get("format") != FORMAT:
        raise BaselineUnreadable(
            f"this is not a baseline of format {FORMAT}, the only format that this version reads"
        )
    try:
        model, content = document["model"], document["reference"]
        return Baseline(
            stream=Stream(document["stack"], document["log_group"], model["name"]),
            version=model["version"], profile=model["profile"],
            start=int(document["start"]), end=int(document["end"]),
            windows=int(document["windows"]), rows=int(document["rows"]),
            weekdays=tuple(document["weekdays"]),
            means=Means.from_json(content["means"]) if content["means"] else None,
            labels=tuple(content["labels"]),
            label=Shares.from_json(content["label"]) if content["label"] else None,
            groups={n: np.array(codes, dtype=np.int64) for n, codes in content["groups"].items()},
            bins={n: Shares.from_json(test) for n, test in content["bins"].items()},
            limits=dict(content["limits"]),
            strange=Rare.from_json(content["strange"]) if content["strange"] else None,
            flags=tuple(content["flags"]), scripts=tuple(content["scripts"]),
            flag=Rare.from_json(content["flag"]), hashes=dict(content["hashes"]),
            duplicate=Rare.from_json(content["duplicate"]) if content["duplicate"] else None,
            missing=dict(content["missing"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise BaselineUnreadable(f"a field of the baseline cannot be read: {error}") from error


def _usual(windows: Windows) -> tuple[str, ...]:
    counts = windows.scripts.counts.sum(axis=0)
    names = windows.scripts.names
    return tuple(n for n, c in zip(names, counts, strict=True) if c >= DOMINANT * counts.sum())


def _weekdays(windows: Windows) -> tuple[int, ...]:
    """Return the weekdays that the windows cover. Monday is 0."""
    days = np.concatenate([windows.start, windows.end - 1]) // DAY
    # 1970 began on a Thursday, which is weekday 3.
    return tuple(int(d) for d in np.unique((days + 3) % 7))


def _one(column: Array) -> Array:
    return column[:, None]

"""Compares two versions of a model that answered during the same time.

Each comparison is about the mean of a component, or about the share of a label. A component is a
number that each prediction has, such as its score. A slot is the summary of 15 minutes of
predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.judgement.judge_windows import FLOOR, Fields
from monitor.statistics import means_chart, tail_probabilities
from monitor.summaries.summary import Summary, total
from monitor.summaries.windows import Windows, stack

LABEL: str = "share of the label"


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of a component's mean, or of a label's share, between two versions.

    `newer` and `older` are the means or shares of the newer and of the older version. `effect` is
    their difference. For a component, it is in standard deviations of single predictions. An effect
    below `floor` does not count. `p` is already multiplied by the number of comparisons.
    """

    name: str
    newer: float
    older: float
    effect: float
    floor: float
    p: float


def compare(older: Sequence[Summary], newer: Sequence[Summary], *, deff: float) -> list[Difference]:
    """Return the differences between the slots of two versions. The smallest p comes first.

    The slots of both versions must cover the same time, and must have predictions. Components that
    a version lacks are left out. If the versions have different profiles (statistics of the model's
    validation texts), components that depend on the profile are left out too.

    Each comparison is a z test of two means or shares. The variance of single predictions is
    multiplied by `deff`, the design effect of the baseline.
    """
    fields = Fields.ALL if older[0].profile == newer[0].profile else Fields.UNPROFILED
    windows = stack([total(older), total(newer)])
    noise = float(np.sqrt(deff * (1 / windows.rows[0] + 1 / windows.rows[1])))
    several = [*_components(windows, fields, noise), *_labels(windows, noise)]
    found = [
        Difference(name, new, old, effect, floor, min(1.0, _two_sided(z) * len(several)))
        for name, new, old, effect, floor, z in several
    ]
    return sorted(found, key=lambda d: (d.p, -abs(d.effect)))


type Compared = tuple[str, float, float, float, float, float]


def _components(windows: Windows, fields: Fields, noise: float) -> Iterator[Compared]:
    labels = windows.labels
    label = labels.names[int(labels.counts.sum(axis=0).argmax())] if labels.names else None
    names = [name for name in means_chart.component_names(label) if fields.has(name)]
    caps = means_chart.caps_of(windows)
    values = means_chart.components(windows, names, caps)
    kept = [at for at in range(len(names)) if not np.isnan(values[:, at]).any()]
    names = [names[at] for at in kept]
    deviation = means_chart.row_deviation(windows, names, caps)
    for name, (old, new), spread in zip(names, values[:, kept].T, deviation, strict=True):
        effect = float((new - old) / spread) if spread > 0 else 0.0
        yield name, float(new), float(old), effect, FLOOR["means"], effect / noise


def _labels(windows: Windows, noise: float) -> Iterator[Compared]:
    counts = windows.labels.counts
    number = counts.sum(axis=1, keepdims=True)
    if not number.all():
        return
    both = counts.sum(axis=0) / number.sum()
    for name, (old, new), share in zip(
        windows.labels.names, (counts / number).T, both, strict=True
    ):
        spread = float(np.sqrt(share * (1 - share)))
        effect = float(new - old)
        z = effect / (spread * noise) if spread > 0 else 0.0
        yield f"{LABEL} {name}", float(new), float(old), effect, FLOOR["label"], z


def _two_sided(z: float) -> float:
    return float(tail_probabilities.chi_squared(z**2, 1))

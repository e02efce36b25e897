"""Makes random predictions, and computes their summaries with numpy.

Tests compare these summaries with those that the monitor reads from OpenSearch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.summaries.bins import SCALES
from monitor.summaries.summary import MOMENTS, PROBABILITY, SLOT, Moments, Stream, Summary

STREAM = Stream("stack", "/aws/lambda/one", "a-model")
MONDAY = 4 * 86_400
LABELS = ("ham", "spam")

Record = dict[str, Any]


def records(count: int, chance: np.random.Generator, **given: Any) -> list[Record]:
    """Return records in the form in which the index holds them, with flat field names.

    `given` has fields that get one value in all records. A field with the value None is left out.
    """
    probability = chance.beta(4, 1.5, count)
    words = chance.geometric(0.08, count)
    columns: dict[str, list[Any]] = {
        "traffic": ["live"] * count,
        "prediction.label": [LABELS[int(p < 0.5)] for p in probability],
        "prediction.score": np.maximum(probability, 1 - probability).tolist(),
        f"{PROBABILITY}.ham": probability.tolist(),
        f"{PROBABILITY}.spam": (1 - probability).tolist(),
        "input.words": words.tolist(),
        "input.tokens_per_word": (1 + chance.gamma(1, 0.3, count)).tolist(),
        "input.non_letter_share": (
            chance.beta(1, 20, count) * (chance.random(count) < 0.9)
        ).tolist(),
        "input.unk_share": (0.1 * (chance.random(count) < 0.005)).tolist(),
        "input.novelty": chance.normal(1.0, 0.3, count).tolist(),
        "input.surprisal": chance.normal(13.5, 1.5, count).tolist(),
        "input.script": ["latin"] * count,
        "input.flags": [["truncated"] if w > 60 else [] for w in words],
        "input.hash": [f"{h:016x}" for h in chance.integers(0, 2**63, count).tolist()],
        **{f"input.sig.s{at}": np.round(chance.normal(0, 16, count)).tolist() for at in range(8)},
    }
    columns |= {name: [value] * count for name, value in given.items()}
    kept = {name: values for name, values in columns.items() if given.get(name, values) is not None}
    return [dict(zip(kept, row, strict=True)) for row in zip(*kept.values(), strict=True)]


def summary(
    rows: Sequence[Record],
    start: int = MONDAY,
    *,
    seconds: int = SLOT,
    version: str = "1",
    stream: Stream = STREAM,
) -> Summary:
    def column(name: str) -> np.ndarray:
        values = np.array([row[name] for row in rows if name in row], dtype=np.float32).astype(
            np.float64
        )
        return values[np.isfinite(values)]

    labels = Counter(row["prediction.label"] for row in rows if "prediction.label" in row)
    hashes = Counter(row["input.hash"] for row in rows if "input.hash" in row)
    fields = [*MOMENTS, *(f"{PROBABILITY}.{label}" for label in labels)]
    columns = {name: column(name) for name in fields}
    return Summary(
        stream=stream,
        version=version,
        start=start,
        seconds=seconds,
        profile="a profile",
        rows=len(rows),
        moments={
            n: Moments(len(c), float(c.sum()), float((c**2).sum()))
            for n, c in columns.items()
            if len(c)
        },
        bins={n: dict(Counter(s.codes(columns[n]).tolist())) for n, s in SCALES.items()},
        labels=dict(labels),
        flags=dict(Counter(flag for row in rows for flag in row.get("input.flags", []))),
        scripts=dict(Counter(row["input.script"] for row in rows if "input.script" in row)),
        unknown=sum(row.get("input.unk_share", 0) > 0 for row in rows),
        hashes=dict(hashes.most_common(20)),
        distinct=len(hashes),
    )


def slots(
    count: int,
    rows: int,
    chance: np.random.Generator,
    *,
    start: int = MONDAY,
    stream: Stream = STREAM,
    **given: Any,
) -> list[Summary]:
    """Return the summaries of `count` slots in a row, with `rows` records each.

    A slot lasts 15 minutes.
    """
    return [
        summary(records(rows, chance, **given), start + at * SLOT, stream=stream)
        for at in range(count)
    ]

"""Makes the reference profile, with which the monitor compares predictions.

The profile describes predictions for sentences on which the model was not trained.
"""

from __future__ import annotations

import json
import platform
import random
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from inference.classifier import Classifier
from inference.label_fields import field_names
from inference.record import prediction_record
from training.sample import Row, Sample
from training.signature import STEPS, Signature

FORMAT: Final = 1
PARTS: Final = 10  # the edges are deciles of the reference
# values of exactly 0 and exactly 1 in these fields are counted separately
SHARES: Final = ("prediction.score", "input.unk_share", "input.non_letter_share")
NUMBERS: Final = (
    *SHARES,
    "input.chars",
    "input.words",
    "input.tokens",
    "input.tokens_per_word",
    "input.novelty",
    "input.surprisal",
)
# The score of a golden sentence (a test sentence in the profile) is allowed to differ by this much
# from the score in the profile. Scores differ because 8-bit kernels differ between CPUs, and CPUs
# without 8-bit instructions compute in 32 bits. On the kind of CPU that made the profile, scores
# are equal. training/README.md has the figures.
TOLERANCE: Final = {"x86_64": 0.04, "aarch64": 0.06}


def profile(
    classifier: Classifier, sample: Sample, signature: Signature, golden_texts: list[dict[str, str]]
) -> dict[str, Any]:
    """Return the profile of the finished classifier on `sample.rest`, as JSON.

    Its `id` is the digest of all other content. Without labels, the profile has no `calibration`,
    no `confusion` and no column `right`. The numbers of a prediction are rounded to 32-bit floats,
    as in the index, so that a value is counted in the same bin as in OpenSearch.
    """
    names: list[str] = classifier.card["labels"]
    records = [flat(record(classifier, row.text)) for row in sample.rest]
    labels = labels_of(sample.rest, names)
    content: dict[str, Any] = {
        "format": FORMAT,
        "population": {
            "name": sample.name,
            "sentences": len(records),
            "digest": digest(sorted(row.text for row in sample.rest)),
        },
        "model": {
            name: classifier.card[name] for name in ("name", "version", "temperature", "max_tokens")
        },
        "projection": digest([signature.centre.tolist(), signature.projection.tolist()]),
        "counts": {
            "prediction.label": dict(Counter(row["prediction.label"] for row in records)),
            "input.script": dict(Counter(row["input.script"] for row in records)),
            "input.flags": dict(Counter(flag for row in records for flag in row["input.flags"])),
            **{
                name: binned([row[name] for row in records], apart=name in SHARES)
                for name in NUMBERS
            },
        },
        "signature": {
            "fields": [f"input.sig.s{at}" for at in range(len(signature.mean))],
            "steps_a_deviation": STEPS,
            "mean": signature.mean.tolist(),
            "covariance": signature.covariance.tolist(),
            "centre": [float(f"{value:.9g}") for value in signature.centre.tolist()],
            "projection": [
                [float(f"{value:.9g}") for value in row] for row in signature.projection.tolist()
            ],
        },
        **(_with_labels(records, labels, names) if labels else {}),
        "rows": {
            # A reader must convert the numbers to 32-bit floats before comparing them with an edge.
            # This text must not change, because the profile's id is computed from it.
            "precision": "32-bit floats with nine digits: read them as such before comparing "
            "with an edge",
            **rows(records, labels, names),
        },
        "golden": {
            "made_on": made_on(),
            "tolerance": TOLERANCE,
            "sentences": [golden(classifier, case) for case in golden_texts],
        },
    }
    return {"id": digest(content), **content}


def labels_of(rows: list[Row], names: list[str]) -> list[str] | None:
    """Return the names of the true labels, or None if the sample has no labels."""
    return [names[row.label] for row in rows if row.label is not None] or None


def _with_labels(
    records: list[dict[str, Any]], labels: list[str], names: list[str]
) -> dict[str, Any]:
    scores, predicted = (
        [row[f"prediction.{name}"] for row in records] for name in ("score", "label")
    )
    return {
        "calibration": calibration(scores, predicted, labels, least=1 / len(names)),
        "confusion": {
            label: dict(
                Counter(
                    found for found, true in zip(predicted, labels, strict=True) if true == label
                )
            )
            for label in names
        },
    }


def made_on() -> str:
    """Return the kind of this processor, which computes the golden scores.

    The kind is its architecture and its instructions for 8-bit products.
    """
    machine = platform.machine()
    path = Path("/proc/cpuinfo")
    flags = set(path.read_text(encoding="utf-8").split()) if path.exists() else set()
    for flag, name in (
        ("avx512_vnni", "AVX512-VNNI"),
        ("avx_vnni", "AVX-VNNI"),
        ("avx512bw", "AVX512"),
        ("avx2", "AVX2"),
    ):
        if flag in flags:
            return f"{machine} with {name}"
    return machine


def record(classifier: Classifier, sentence: str) -> dict[str, Any]:
    """Return the values that the inference function would log for a sentence."""
    prediction = classifier.predict(sentence)
    return prediction_record(
        sentence,
        prediction,
        prediction_id="",
        model={},
        traffic="test",
        key=b"-",
        log_text=False,
        log_signals=True,
        usual=classifier.usual,
    )


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields by their dotted names. Fractions are rounded to 32-bit floats."""
    fields: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            fields |= flat(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = float(np.float32(value)) if isinstance(value, float) else value
    return fields


def binned(values: Sequence[float], *, apart: bool) -> dict[str, Any]:
    """Count the values in bins whose edges are the deciles.

    The first bin is below the first edge. Every other bin begins at an edge, which it includes, and
    ends before the next edge. With `apart`, values of exactly 0 and 1 are counted in `exactly`, and
    not in a bin. If all values are integers, the edges are integers too.
    """
    inside = np.array([value for value in values if not (apart and value in {0, 1})])
    edges = (
        sorted({float(np.quantile(inside, at / PARTS, method="higher")) for at in range(1, PARTS)})
        if inside.size
        else []
    )
    places = np.searchsorted(np.array(edges), inside, side="right")
    counted: dict[str, Any] = {
        "edges": [
            int(edge) if all(isinstance(value, int) for value in values) else edge for edge in edges
        ],
        "counts": np.bincount(places, minlength=len(edges) + 1).tolist(),
    }
    return (
        {**counted, "exactly": {str(exact): list(values).count(exact) for exact in (0, 1)}}
        if apart
        else counted
    )


def calibration(
    scores: list[float], predicted: list[str], labels: list[str], least: float = 0.5
) -> dict[str, Any]:
    """Return how often predictions with a certain score are right.

    There are ten bins over [least, 1], each with its mean score and the share of right predictions.
    `least` is the lowest score that the most probable label can have: 1 / (number of labels).
    """
    edges = np.linspace(least, 1, 11)
    places = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, 9)
    right = np.array([one == other for one, other in zip(predicted, labels, strict=True)])
    bins = [
        {"from": round(low, 4), "to": round(high, 4), "count": int((places == at).sum())}
        | (
            {
                "score": float(np.array(scores)[places == at].mean()),
                "right": float(right[places == at].mean()),
            }
            if (places == at).any()
            else {}
        )
        for at, (low, high) in enumerate(pairwise(edges.tolist()))
    ]
    return {"sentences": len(scores), "bins": bins}


def rows(
    records: list[dict[str, Any]], labels: list[str] | None, names: list[str]
) -> dict[str, Any]:
    """Return the numbers of every reference prediction, shuffled and without texts.

    The probability of the first label is left out, because all probabilities add up to 1. With
    `labels`, the last column is `right`, which is 1 or 0.
    """
    probabilities = [
        f"prediction.probability.{name}" for name in list(field_names(tuple(names)).values())[1:]
    ]
    columns = [
        *probabilities,
        *NUMBERS,
        *(name for name in records[0] if name.startswith("input.sig.")),
    ]
    values: list[list[Any]] = [
        [
            float(f"{row[name]:.9g}") if isinstance(row[name], float) else row[name]
            for name in columns
        ]
        for row in records
    ]
    if labels:
        for row, record, label in zip(values, records, labels, strict=True):
            row.append(int(record["prediction.label"] == label))
    random.Random(0).shuffle(values)
    return {"columns": [*columns, *(["right"] if labels else [])], "values": values}


def golden(classifier: Classifier, case: dict[str, str]) -> dict[str, Any]:
    """Return a golden sentence with the unrounded answer of the finished model."""
    prediction = classifier.predict(case["text"])
    return {
        **case,
        "label": prediction.label,
        "score": prediction.score,
        "tokens": prediction.tokens,
        "signature": prediction.signature,
    }


def digest(content: Any) -> str:
    """Return the first 12 hex digits of the SHA-256 of content as canonical JSON."""
    return sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()[:12]

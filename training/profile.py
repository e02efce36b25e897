"""The reference profile: what predictions look like on sentences that the model never saw, for a monitor to compare with."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from inference.classifier import Classifier
from inference.record import prediction_record
from training.corpora import Example
from training.signature import STEPS, Signature

FORMAT: Final = 1
POPULATION: Final = "CoLA in-domain train, put aside before training"
GOLDEN: Final = Path(__file__).parent / "golden.json"
PARTS: Final = 10  # edges lie at the reference's deciles
SHARES: Final = ("prediction.score", "input.unk_share", "input.non_letter_share")  # exact 0 and 1 are counted apart
NUMBERS: Final = (
    *SHARES, "input.chars", "input.words", "input.tokens", "input.tokens_per_word", "input.novelty", "input.surprisal",
)  # fmt: skip
# How far a golden score may lie from the one stated: 8-bit kernels differ, and CPUs without any compute in 32 bits. On the
# kind of CPU that made the profile scores are equal. Measured as README.md tells.
TOLERANCE: Final = {"x86_64": 0.04, "aarch64": 0.04}
MADE_ON: Final = "x86_64 with AVX512-VNNI"


def profile(classifier: Classifier, reference: list[Example], signature: Signature) -> dict[str, Any]:
    """The profile of the shipped classifier on `reference`, as JSON; its `id` is the digest of all the rest.

    Every number went through 32-bit floats, as in the index: a value then falls into the bin that OpenSearch puts it in.
    """
    records = [flat(record(classifier, example.sentence)) for example in reference]
    labels = [classifier.card["labels"][example.label] for example in reference]
    content: dict[str, Any] = {
        "format": FORMAT,
        "population": {"name": POPULATION, "sentences": len(reference), "digest": digest(sorted(e.sentence for e in reference))},
        "model": {name: classifier.card[name] for name in ("name", "version", "temperature", "max_tokens")},
        "projection": digest([signature.centre.tolist(), signature.projection.tolist()]),
        "counts": {
            "prediction.label": dict(Counter(row["prediction.label"] for row in records)),
            "input.script": dict(Counter(row["input.script"] for row in records)),
            "input.flags": dict(Counter(flag for row in records for flag in row["input.flags"])),
            **{name: binned([row[name] for row in records], apart=name in SHARES) for name in NUMBERS},
        },
        "signature": {
            "fields": [f"input.sig.s{at}" for at in range(len(signature.mean))],
            "steps_a_deviation": STEPS,
            "mean": signature.mean.tolist(),
            "covariance": signature.covariance.tolist(),
            "centre": [float(f"{value:.9g}") for value in signature.centre.tolist()],
            "projection": [[float(f"{value:.9g}") for value in row] for row in signature.projection.tolist()],
        },
        "calibration": calibration([row["prediction.score"] for row in records], [row["prediction.label"] for row in records], labels),
        "confusion": {
            label: dict(Counter(row["prediction.label"] for row, true in zip(records, labels, strict=True) if true == label))
            for label in classifier.card["labels"]
        },
        "rows": {"precision": "32-bit floats with nine digits: read them as such before comparing with an edge", **rows(records, labels)},
        "golden": {
            "made_on": MADE_ON,
            "tolerance": TOLERANCE,
            "sentences": [golden(classifier, case) for case in json.loads(GOLDEN.read_text("utf-8"))],
        },
    }
    return {"id": digest(content), **content}


def record(classifier: Classifier, sentence: str) -> dict[str, Any]:
    """What the inference function would log of a sentence."""
    prediction = classifier.predict(sentence)
    return prediction_record(
        sentence, prediction, prediction_id="", model={}, traffic="test", key=b"-", log_text=False, log_signals=True, usual=classifier.usual
    )


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields by their dotted names, fractions as 32-bit floats."""
    fields: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            fields |= flat(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = float(np.float32(value)) if isinstance(value, float) else value
    return fields


def binned(values: Sequence[float], *, apart: bool) -> dict[str, Any]:
    """Counts between edges at the deciles: below the first, from each up to but without the next, from the last on.

    With `apart`, exact 0 and exact 1 are in `exactly` and in no bin. An edge of whole numbers is whole.
    """
    inside = np.array([value for value in values if not (apart and value in {0, 1})])
    edges = sorted({float(np.quantile(inside, at / PARTS, method="higher")) for at in range(1, PARTS)}) if inside.size else []
    places = np.searchsorted(np.array(edges), inside, side="right")
    counted: dict[str, Any] = {
        "edges": [int(edge) if all(isinstance(value, int) for value in values) else edge for edge in edges],
        "counts": np.bincount(places, minlength=len(edges) + 1).tolist(),
    }
    return {**counted, "exactly": {str(exact): list(values).count(exact) for exact in (0, 1)}} if apart else counted


def calibration(scores: list[float], predicted: list[str], labels: list[str]) -> dict[str, Any]:
    """How often predictions of a score are right: ten bins over [0.5, 1], with the mean score and the share that is right."""
    edges = np.linspace(0.5, 1, 11)
    places = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, 9)
    right = np.array([one == other for one, other in zip(predicted, labels, strict=True)])
    bins = [
        {"from": round(low, 2), "to": round(high, 2), "count": int((places == at).sum())}
        | (
            {"score": float(np.array(scores)[places == at].mean()), "right": float(right[places == at].mean())}
            if (places == at).any()
            else {}
        )
        for at, (low, high) in enumerate(pairwise(edges.tolist()))
    ]
    return {"sentences": len(scores), "bins": bins}


def rows(records: list[dict[str, Any]], labels: list[str]) -> dict[str, Any]:
    """The numbers of every reference prediction, without its text and in an order that is not the corpus's; `right`: 1 or 0."""
    columns = ["prediction.probability.acceptable", *NUMBERS, *(name for name in records[0] if name.startswith("input.sig."))]
    values = [
        [
            *(float(f"{row[name]:.9g}") if isinstance(row[name], float) else row[name] for name in columns),
            int(row["prediction.label"] == label),
        ]
        for row, label in zip(records, labels, strict=True)
    ]
    random.Random(0).shuffle(values)
    return {"columns": [*columns, "right"], "values": values}


def golden(classifier: Classifier, case: dict[str, str]) -> dict[str, Any]:
    """One sentence of our own with what the shipped file says of it, to every digit."""
    prediction = classifier.predict(case["text"])
    return {**case, "label": prediction.label, "score": prediction.score, "tokens": prediction.tokens, "signature": prediction.signature}


def digest(content: Any) -> str:
    """12 hex digits of content as canonical JSON."""
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()[:12]

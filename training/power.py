"""Measures how often the signature shows that the texts of a window have drifted.

A signature is eight numbers that describe a text. For comparison, signatures made from the
published base encoder are measured too. Run `python -m training.power --data FOLDER`.

The test is Hotelling's T² at alpha = .001. It compares the mean signature of a window with the mean
and the covariance of the reference. A window has n sentences, and the reference has m. Drift is
found if T² / (1/n + 1/m) exceeds the quantile of χ², with one degree of freedom for each component
of the signature. The term 1/m accounts for the noise of the reference.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.classifier import Classifier
from training import signature
from training.__main__ import MODEL, packaged_encoder
from training.corpora import SEED, CorpusMissing, ewt, split
from training.corrupt import detokenised

ALPHA: Final = 0.001
CHI_SQUARED: Final = 26.1245  # the quantile of χ² for 1 - ALPHA and 8 degrees of freedom
WINDOWS: Final = 400
SIZES: Final = (100, 200)

Rows = NDArray[np.float64]


def shuffled(sentence: str, chance: random.Random) -> str:
    """Return the words in random order."""
    words = sentence.split()
    chance.shuffle(words)
    return " ".join(words)


def misspelt(sentence: str, chance: random.Random) -> str:
    """Exchange two neighbouring letters in one word in ten."""
    return " ".join(
        _exchanged(word, chance) if chance.random() < 0.1 else word for word in sentence.split()
    )


def _exchanged(word: str, chance: random.Random) -> str:
    if len(word) < 2:
        return word
    at = chance.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def power(
    reference: Rows, clean: Rows, drifted: Rows, *, share: float, size: int, seed: int
) -> float:
    """Return the share of windows in which the drift is found.

    A window has `size` sentences: `share` of them are drawn from `drifted`, and the others from
    `clean`. All arrays have the shape (sentences, components). `drifted` holds either
    changed sentences of `clean` or other sentences.
    """
    chance = np.random.default_rng(seed)
    mean, precision = reference.mean(axis=0), np.linalg.inv(np.cov(reference, rowvar=False))
    found = 0
    for _ in range(WINDOWS):
        chosen = clean[chance.choice(len(clean), size, replace=False)]
        bad = round(share * size)
        chosen[:bad] = drifted[chance.choice(len(drifted), bad, replace=False)]
        difference = chosen.mean(axis=0) - mean
        found += int(
            difference @ precision @ difference / (1 / size + 1 / len(reference)) > CHI_SQUARED
        )
    return found / WINDOWS


def main(argv: list[str] | None = None) -> int:
    """Print a table of the shares."""
    parser = argparse.ArgumentParser(prog="python -m training.power", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument(
        "--model", type=Path, default=MODEL, help="the model folder to measure (%(default)s)"
    )
    arguments = parser.parse_args(argv)
    try:
        parts = split(arguments.data)
        web = [detokenised([token.form for token in tokens]) for tokens in ewt(arguments.data)]
    except CorpusMissing as problem:
        print(problem, file=sys.stderr)
        return 2
    chance = random.Random(SEED)
    reference = [example.sentence for example in parts.aside]
    # The windows need sentences on which the packaged model was not trained. The selection set was
    # part of its training data (training/README.md), so only the dev set is used.
    clean = [example.sentence for example in parts.dev]
    kinds: dict[str, tuple[list[str], float]] = {
        "25 % EWT": (chance.sample(web, 1500), 0.25),
        "20 % shuffled": ([shuffled(sentence, chance) for sentence in clean], 0.2),
        "10 % of words misspelt": ([misspelt(sentence, chance) for sentence in clean], 1.0),
        "none": (clean, 0.0),
    }
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    signatures = {"layer 3": shipped(arguments.model), "frozen embedding": frozen(reference)}
    for of in signatures.values():
        before, now = of(reference), of(clean)
        for kind, (sentences, share) in kinds.items():
            drifted = of(sentences)
            found[kind] += [
                f"{power(before, now, drifted, share=share, size=size, seed=SEED):.2f}"
                for size in SIZES
            ]
    table = Table("drift", *(f"{name}, n = {size}" for name in signatures for size in SIZES))
    for kind, cells in found.items():
        table.add_row(kind, *cells)
    Console().print(table)
    return 0


def shipped(folder: Path) -> Callable[[Sequence[str]], Rows]:
    """Return a function that makes signatures as the inference function logs them."""
    classifier = Classifier(folder)
    return lambda sentences: np.array(
        [
            classifier.predict(sentence).signature
            for sentence in track(sentences, "signatures", console=Console(stderr=True))
        ],
        dtype=np.float64,
    )


def frozen(reference: list[str]) -> Callable[[Sequence[str]], Rows]:
    """Return a function that makes signatures from the published base encoder.

    The sentence embedding (the mean of the last layer) is projected in the same way as the middle
    layer of the shipped model.
    """
    import torch  # noqa: PLC0415  seconds of import
    from transformers import AutoModel  # noqa: PLC0415

    from training.finetune import load_tokenizer  # noqa: PLC0415

    model, tokenizer = (
        AutoModel.from_pretrained(packaged_encoder()).eval(),
        load_tokenizer(packaged_encoder()),
    )

    @torch.inference_mode()
    def pooled(sentences: Sequence[str]) -> NDArray[np.float32]:
        return np.array(
            [
                model(**tokenizer(sentence, truncation=True, max_length=128, return_tensors="pt"))
                .last_hidden_state[0]
                .mean(0)
                .numpy()
                for sentence in track(sentences, "embeddings", console=Console(stderr=True))
            ]
        )

    fitted = signature.fit(pooled(reference))
    return lambda sentences: fitted.of(pooled(sentences)).astype(np.float64)


if __name__ == "__main__":
    raise SystemExit(main())

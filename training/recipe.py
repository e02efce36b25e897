"""Defines the stages of training and their examples.

The first two stages use real sentences, corrupted sentences and minimal pairs (a good and a bad
sentence that differ in one point). The last stage uses CoLA (the Corpus of Linguistic
Acceptability).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.corpora import Example, bare, blimp, ewt
from training.corrupt import corrupted, detokenised, exchanging_verbs, lemmatised

# Only treebank sentences with 4 to 24 words are used, because sentences in CoLA have about these
# lengths.
WORDS = range(4, 25)


@dataclass(frozen=True, slots=True)
class Stage:
    """The settings of one stage of training.

    `learning_rate` is AdamW's highest rate. At the beginning of the stage, the rate rises to this
    value. `warm_up` is the length of this rise, as a share of all steps. `batch` is the number of
    sentences per step. The model learns one or two targets. The first target is the label, and
    `smoothing` is the label smoothing. The second target marks the wrong tokens of the sentence,
    and `spotting` is the weight of this target. If `spotting` is 0, the second target is not
    learnt. With `select`, the epoch with the highest Matthews correlation on the selection split is
    kept.
    """

    name: str
    learning_rate: float
    batch: int
    seed: int
    epochs: int = 1
    warm_up: float = 0.06
    dropout: float = 0.0
    smoothing: float = 0.0
    spotting: float = 0.0
    select: bool = False


def stages(
    folder: Path, train: list[Example], held_out: set[str], seed: int
) -> list[tuple[Stage, list[Example]]]:
    """Return all stages in order, each with its examples. Raises `CorpusMissing`."""
    mixed = partial(real_against_corrupted, folder, train, held_out, copies_ewt=3)
    return [
        (
            Stage("1 what is wrong", 1.5e-4, 64, seed, spotting=3.0),
            mixed(copies_cola=3, pairs=300, seed=seed),
        ),
        (
            Stage("2 once more", 1e-4, 64, seed, spotting=2.0),
            mixed(copies_cola=4, pairs=400, seed=seed + 1),
        ),
        (
            Stage(
                "3 CoLA",
                5e-5,
                32,
                seed,
                epochs=4,
                warm_up=0.1,
                dropout=0.1,
                smoothing=0.05,
                select=True,
            ),
            train,
        ),
    ]


def real_against_corrupted(
    folder: Path,
    cola_train: list[Example],
    held_out: set[str],
    *,
    copies_ewt: int,
    copies_cola: int,
    pairs: int,
    seed: int,
) -> list[Example]:
    """Return the examples of a stage.

    The examples are
    - several copies of each good sentence, and a corruption of each copy;
    - minimal pairs from BLiMP;
    - two copies of each bad sentence of CoLA.

    `held_out` has the sentences that are used for measurements, reduced to letters and digits by
    `bare`. An example is left out if its reduced sentence is one of them.
    """
    chance = random.Random(seed)
    examples: list[Example] = []
    treebank = ewt(folder)
    more = [exchanging_verbs(treebank)]
    for tokens in treebank:
        if len(tokens) not in WORDS:
            continue
        sentence = detokenised([token.form for token in tokens])
        for _ in range(copies_ewt):
            wrong = (
                lemmatised(tokens, chance)
                if chance.random() < 0.2
                else corrupted(sentence, chance, more)
            )
            examples += _pair(sentence, wrong)
    for example in cola_train:
        if example.label == 0:
            examples += [example, example]
            continue
        for _ in range(copies_cola):
            examples += _pair(example.sentence, corrupted(example.sentence, chance, more))
    minimal = blimp(folder, pairs, seed)
    for good, bad in zip(minimal[::2], minimal[1::2], strict=True):
        examples += _pair(good.sentence, bad.sentence)
    return [example for example in examples if bare(example.sentence) not in held_out]


def _pair(right: str, wrong: str | None) -> Iterator[Example]:
    if wrong:
        yield Example(right, 1, right)
        yield Example(wrong, 0, right)

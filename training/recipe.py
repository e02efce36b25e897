"""The stages of training and their examples: real sentences against corrupted ones, minimal pairs, then CoLA."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.corpora import Example, bare, blimp, ewt
from training.corrupt import corrupted, detokenised, lemmatised


@dataclass(frozen=True, slots=True)
class Stage:
    """One pass of training. `stop_after`: epochs actually run of the `epochs` that the schedule is made for.

    With `select` the epoch with the highest Matthews correlation on the selection split stays.
    """

    name: str
    learning_rate: float
    batch: int
    epochs: int = 1
    stop_after: int = 1
    select: bool = False


def stages(folder: Path, train: list[Example], held_out: set[str], seed: int) -> list[tuple[Stage, list[Example]]]:
    """All stages in order, each with its examples. Raises `CorpusMissing`."""
    mixed = partial(real_against_corrupted, folder, train, held_out)
    return [
        (Stage("1 real or corrupted", 1e-4, batch=32), mixed(copies_ewt=3, copies_cola=3, pairs=150, seed=seed)),
        (Stage("2 nearer to CoLA", 1e-4, batch=64), mixed(copies_ewt=2, copies_cola=2, pairs=250, seed=seed + 1)),
        (Stage("3 CoLA", 5e-5, batch=32, epochs=4, stop_after=3, select=True), train),
    ]


def real_against_corrupted(
    folder: Path, cola_train: list[Example], held_out: set[str], *, copies_ewt: int, copies_cola: int, pairs: int, seed: int
) -> list[Example]:
    """Each good sentence so many times, each time with one corruption of it; plus BLiMP pairs; plus CoLA's own negatives.

    Sentences in `held_out` (all that is measured on, `bare`) are left out, and so are corruptions equal to one.
    """
    chance = random.Random(seed)
    examples: list[Example] = []
    treebank = ewt(folder)
    for tokens in treebank:
        sentence = detokenised([token.form for token in tokens])
        for _ in range(copies_ewt):
            wrong = lemmatised(tokens, chance) if chance.random() < 0.25 else corrupted(sentence, chance)
            if wrong:
                examples += [Example(sentence, 1), Example(wrong, 0)]
    for example in cola_train:
        if example.label == 0:
            examples.append(example)
            continue
        for _ in range(copies_cola):
            wrong = corrupted(example.sentence, chance)
            if wrong:
                examples += [example, Example(wrong, 0)]
    examples += blimp(folder, pairs, seed)
    return [example for example in examples if bare(example.sentence) not in held_out]

"""The intermediate stage's examples: real sentences against corrupted ones, and minimal pairs."""

from __future__ import annotations

import random
from pathlib import Path

from training.corpora import Example, blimp, ewt
from training.corrupt import corrupted, detokenised, lemmatised


def real_against_corrupted(
    folder: Path, cola_train: list[Example], held_out: set[str], *, copies_ewt: int, copies_cola: int, pairs: int, seed: int
) -> list[Example]:
    """Each good sentence so many times, each time with one corruption of it; plus BLiMP pairs; plus CoLA's own negatives.

    Sentences in `held_out` (dev and what was put aside) are left out, and so are corruptions equal to one.
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
    return [example for example in examples if example.sentence not in held_out]

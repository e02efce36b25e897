"""Reads the public corpora, and sets aside some of their sentences to measure the model."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass
from pathlib import Path

SOURCES = """\
  cola/in_domain_train.tsv, cola/in_domain_dev.tsv
      the Corpus of Linguistic Acceptability, public release 1.1: https://nyu-mll.github.io/CoLA/
  ewt/*.conllu.gz (one or more files, gzipped, six or more CoNLL-U columns)
      Universal Dependencies English EWT: https://universaldependencies.org/treebanks/en_ewt/
  blimp/blimp_pairs.tsv.gz (columns: paradigm, good, bad)
      BLiMP minimal pairs: the 67 JSON files of https://github.com/alexwarstadt/blimp in one
      table"""


LABELS = ("unacceptable", "acceptable")  # an example's label is an index of this tuple


SEED = 13
PUT_ASIDE = 1500  # at least this many sentences are put aside for `Split.aside`
SELECTION = 500  # at least this many are put aside for `Split.selection`


class CorpusMissing(Exception):
    """A corpus is not in the data folder."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence and its label: 1 if it is acceptable, otherwise 0.

    `right` is the correct form of a bad sentence, or None if it is not known. For a good sentence
    `right` is the sentence itself.
    """

    sentence: str
    label: int
    right: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a treebank sentence.

    `upos` is the universal part of speech, and `features` look like `Number=Sing|...`.
    """

    form: str
    lemma: str
    upos: str
    features: str


def cola(folder: Path, split: str) -> list[Example]:
    """Read CoLA's `in_domain_<split>.tsv`.

    The file has four columns: a code of the source, the label, the author's own mark (such as `*`
    for a bad sentence), and the sentence.
    """
    path = _existing(folder / "cola" / f"in_domain_{split}.tsv")
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line)
    return [Example(row[3].strip(), int(row[1])) for row in rows]


def ewt(folder: Path) -> list[list[Token]]:
    """Read EWT's sentences of 3 to 40 tokens, without multiword tokens and empty nodes."""
    paths = sorted((folder / "ewt").glob("*.conllu.gz"))
    if not paths:
        raise CorpusMissing(_missing(folder / "ewt" / "*.conllu.gz"))
    sentences: list[list[Token]] = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            tokens: list[Token] = []
            for line in file:
                cells = line.rstrip("\n").split("\t")
                if cells[0].isdigit():
                    tokens.append(Token(cells[1], cells[2], cells[3], cells[5]))
                elif not line.strip():
                    if 3 <= len(tokens) <= 40:
                        sentences.append(tokens)
                    tokens = []
    return sentences


def blimp(folder: Path, pairs_per_paradigm: int, seed: int) -> list[Example]:
    """Read both sentences of random minimal pairs from each of BLiMP's 67 paradigms."""
    path = _existing(folder / "blimp" / "blimp_pairs.tsv.gz")
    paradigms: dict[str, list[tuple[str, str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        next(file)
        for line in file:
            paradigm, good, bad = line.rstrip("\n").split("\t")
            paradigms.setdefault(paradigm, []).append((good, bad))
    chance = random.Random(seed)
    chosen = [
        pair
        for pairs in paradigms.values()
        for pair in chance.sample(pairs, min(pairs_per_paradigm, len(pairs)))
    ]
    return [example for good, bad in chosen for example in (Example(good, 1), Example(bad, 0))]


@dataclass(frozen=True, slots=True)
class Split:
    """CoLA in four parts.

    - `train` is for training.
    - `selection` is for the choice between epochs.
    - `aside` is for the temperature (which calibrates the scores), the signature (eight numbers
      that describe the content) and the profile (statistics of unseen texts).
    - `dev` is for the final figures only.
    """

    train: list[Example]
    selection: list[Example]
    aside: list[Example]
    dev: list[Example]


def split(data: Path) -> Split:
    """Split CoLA into its four parts, the same each time. Raises `CorpusMissing`.

    A sentence that occurs in several parts is kept in only one of them, in this order of
    preference: dev, aside, selection, train.
    """
    dev = cola(data, "dev")
    rest, aside = put_aside(cola(data, "train"), PUT_ASIDE, SEED)
    train, selection = put_aside(rest, SELECTION, SEED)

    def without(examples: list[Example], *others: list[Example]) -> list[Example]:
        taken = {bare(example.sentence) for other in others for example in other}
        return [example for example in examples if bare(example.sentence) not in taken]

    return Split(
        without(train, dev, aside, selection),
        without(selection, dev, aside),
        without(aside, dev),
        dev,
    )


def put_aside(
    examples: list[Example], at_least: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Split examples into a part for training and a part that is put aside.

    Successive sentences that share half of their words stay together: CoLA lists the variants of a
    sentence one after the other. If both parts had variants of a sentence, the part that is put
    aside would seem easier than unseen text.
    """
    groups: list[list[Example]] = []
    for example in examples:
        if groups and _overlap(groups[-1][-1].sentence, example.sentence) >= 0.5:
            groups[-1].append(example)
        else:
            groups.append([example])
    random.Random(seed).shuffle(groups)
    if len(examples) < at_least:
        raise ValueError(f"{len(examples)} sentences are too few to put {at_least} of them aside")
    aside: list[Example] = []
    while len(aside) < at_least:
        aside += groups.pop()
    return [example for group in groups for example in group], aside


def bare(sentence: str) -> str:
    """Return the letters and digits of a sentence in lower case.

    Two sentences that differ only in spaces, punctuation or case become equal.
    """
    return "".join(filter(str.isalnum, sentence.lower()))


def _overlap(one: str, other: str) -> float:
    left, right = set(one.lower().split()), set(other.lower().split())
    return len(left & right) / max(1, min(len(left), len(right)))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CorpusMissing(_missing(path))
    return path


def _missing(path: Path) -> str:
    return f"no corpus at {path}. The data folder needs:\n{SOURCES}"

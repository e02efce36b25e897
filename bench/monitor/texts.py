"""Reads sentences from the folder of corpora, and damages them in several ways."""

from __future__ import annotations

import gzip
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.corpora import CorpusMissing, blimp, cola
from training.corrupt import swap

SEED: Final = 2027
JUNK: Final = 2000  # number of junk texts
BLIMP_PAIRS: Final = 20  # pairs of sentences from each of BLiMP's 67 files (paradigms)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text, its document, and the genre of the document."""

    text: str
    document: str
    genre: str


def ewt(data: Path) -> list[Sentence]:
    """Read every sentence of the treebank EWT as it was written, whatever its length.

    Raises `CorpusMissing`.
    """
    found: list[Sentence] = []
    for path in _existing(data, "ewt", "*.conllu.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            document = ""
            for line in file:
                if line.startswith("# sent_id = "):
                    document = line.removeprefix("# sent_id = ").strip().rpartition("-")[0]
                elif line.startswith("# text = "):
                    text = line.removeprefix("# text = ").strip()
                    found.append(Sentence(text, document, document.partition("-")[0]))
    return found


def gum(data: Path) -> list[Sentence]:
    """Read the corpus GUM, which has longer documents than EWT, and other genres.

    Raises `CorpusMissing`.
    """
    (path,) = _existing(data, "gum", "gum_documents.tsv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        next(file)
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [Sentence(text, document, genre) for genre, document, text in rows if text.strip()]


def plain(texts: list[str], genre: str) -> list[Sentence]:
    """Return a `Sentence` for each text. Each text counts as a document of its own."""
    return [Sentence(text, f"{genre}-{at}", genre) for at, text in enumerate(texts) if text.strip()]


def foreign(data: Path) -> list[Sentence]:
    """Read German and French sentences. Raises `CorpusMissing`."""
    found: list[Sentence] = []
    for language in ("german", "french"):
        (path,) = _existing(data, "foreign", f"{language}.txt.gz")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found += plain([line.strip() for line in file], language)
    return found


def junk() -> list[Sentence]:
    """Make junk: random keys, addresses, numbers and fragments of markup."""
    chance = random.Random(SEED)

    def letters(low: int, high: int, of: str = string.ascii_lowercase) -> str:
        return "".join(chance.choice(of) for _ in range(chance.randint(low, high)))

    kinds: list[Callable[[], str]] = [
        lambda: " ".join(letters(2, 12) for _ in range(chance.randint(1, 6))),
        lambda: letters(5, 40, string.ascii_letters + string.digits + string.punctuation),
        lambda: (
            f"https://{letters(4, 9)}.example/{letters(3, 8)}"
            f"?{letters(2, 4)}={letters(6, 20, string.hexdigits)}"
        ),
        lambda: " ".join(letters(1, 7, string.digits) for _ in range(chance.randint(1, 8))),
        lambda: f'<{letters(1, 5)} class="{letters(3, 9)}">{letters(0, 9)}</{letters(1, 5)}>',
    ]
    return plain([chance.choice(kinds)() for _ in range(JUNK)], "junk")


def grammar(data: Path) -> list[Sentence]:
    """Return both sentences of `BLIMP_PAIRS` pairs per paradigm. Raises `CorpusMissing`."""
    return plain([example.sentence for example in blimp(data, BLIMP_PAIRS, SEED)], "blimp")


def linguistics(data: Path) -> list[Sentence]:
    """Return sentences of CoLA that were not used for training, calibration or the model's profile.

    Raises `CorpusMissing`.
    """
    return plain([example.sentence for example in cola(data, "dev")], "cola")


def shuffled(text: str, chance: random.Random) -> str:
    """Return the words in random order."""
    words = text.split()
    chance.shuffle(words)
    return " ".join(words)


def swapped(text: str, chance: random.Random) -> str:
    """Exchange two neighbouring words."""
    words = text.split()
    return " ".join(swap(words, chance) or words) if len(words) > 1 else text


def misspelt(share: float) -> Callable[[str, random.Random], str]:
    """Return a function that exchanges two neighbouring letters in this share of the words."""

    def change(text: str, chance: random.Random) -> str:
        return " ".join(
            _exchanged(word, chance) if chance.random() < share else word for word in text.split()
        )

    return change


def cut(text: str, _: random.Random) -> str:
    """Return the first five words."""
    return " ".join(text.split()[:5])


CHANGES: Final[dict[str, Callable[[str, random.Random], str]]] = {
    "shuffled": shuffled,
    "swapped": swapped,
    "misspelt": misspelt(0.1),
    "misspelt a little": misspelt(0.03),
    "cut": cut,
}


def changed(sentences: list[Sentence], how: str) -> list[Sentence]:
    """Apply one of `CHANGES` to each sentence, and keep the order."""
    chance = random.Random(f"{SEED} {how}")
    return [Sentence(CHANGES[how](s.text, chance), s.document, s.genre) for s in sentences]


def every(data: Path) -> Iterator[tuple[str, list[Sentence]]]:
    """Yield each set of sentences with its name, for example `ewt` or `ewt shuffled`.

    Raises `CorpusMissing`.
    """
    for name, sentences in (("cola", linguistics(data)), ("gum", gum(data)), ("ewt", ewt(data))):
        yield name, sentences
        for how in CHANGES:
            yield f"{name} {how}", changed(sentences, how)
    yield "foreign", foreign(data)
    yield "blimp", grammar(data)
    yield "junk", junk()


def _exchanged(word: str, chance: random.Random) -> str:
    if len(word) < 2:
        return word
    at = chance.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _existing(data: Path, folder: str, pattern: str) -> list[Path]:
    found = sorted((data / folder).glob(pattern))
    if not found:
        raise CorpusMissing(
            f"no corpus at {data / folder / pattern}; docs/monitoring.md names the sources"
        )
    return found

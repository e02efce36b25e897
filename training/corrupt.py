"""Ungrammatical neighbours of a sentence: the negative half of the intermediate training stage."""

from __future__ import annotations

import random
from collections.abc import Callable

from training.corpora import Token

Words = list[str]
Corruption = Callable[[Words, random.Random], Words | None]

# Function words exchanged within their class; most exchanges break agreement, case, number or selection.
CLASSES = [
    "is are am", "was were", "has have having", "do does did", "a an the", "this these", "that those",
    "he him his", "she her hers", "they them their", "I me my", "we us our", "himself herself themselves itself him her them it",
    "much many", "who whom which whose what", "in on at to of for with from by about", "can could may has is does", "there it",
    "if that whether", "any some no every each all", "be been being is", "not never no", "than as that", "and or but",
]  # fmt: skip
PARTNERS = {
    word: [other for line in CLASSES if word in line.split() for other in line.split() if other != word]
    for word in " ".join(CLASSES).split()
}


def swap(words: Words, chance: random.Random) -> Words | None:
    """Two neighbouring words change places."""
    at = chance.randrange(len(words) - 1)
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def drop(words: Words, chance: random.Random) -> Words | None:
    """One word is missing."""
    at = chance.randrange(len(words))
    return words[:at] + words[at + 1 :]


def double(words: Words, chance: random.Random) -> Words | None:
    """One word stands at a second place as well."""
    at, to = chance.randrange(len(words)), chance.randrange(len(words))
    return [*words[:to], words[at], *words[to:]]


def move(words: Words, chance: random.Random) -> Words | None:
    """One word stands elsewhere."""
    at = chance.randrange(len(words))
    rest = words[:at] + words[at + 1 :]
    to = chance.randrange(len(rest) + 1)
    return [*rest[:to], words[at], *rest[to:]]


def substitute(words: Words, chance: random.Random) -> Words | None:
    """A function word gives way to another of its class; None where the sentence has none."""
    places = [at for at, word in enumerate(words) if word in PARTNERS]
    if not places:
        return None
    at = chance.choice(places)
    return [*words[:at], chance.choice(PARTNERS[words[at]]), *words[at + 1 :]]


def inflect(words: Words, chance: random.Random) -> Words | None:
    """A word loses or gains an -s, -ed or -ing, without regard to what it is."""
    places = [at for at, word in enumerate(words) if word.isalpha() and len(word) > 3 and word.islower()]
    if not places:
        return None
    at = chance.choice(places)
    word = words[at]
    stems = [word[: -len(end)] for end in ("ing", "ed", "s") if word.endswith(end)]
    changed = chance.choice(stems or [word + "s", word + "ing", word + "ed"])
    return [*words[:at], changed, *words[at + 1 :]]


CORRUPTIONS: list[Corruption] = [swap, drop, double, move, substitute, substitute, inflect]


def corrupted(sentence: str, chance: random.Random) -> str | None:
    """The sentence with one random corruption, or None where that one cannot apply or changes nothing."""
    words = sentence.split()
    if len(words) < 3:
        return None
    changed = chance.choice(CORRUPTIONS)(words, chance)
    return " ".join(changed) if changed and changed != words else None


def lemmatised(tokens: list[Token], chance: random.Random) -> str | None:
    """A treebank sentence in which one inflected verb, noun or pronoun stands as its lemma."""
    places = [
        at for at, token in enumerate(tokens)
        if token.upos in {"VERB", "AUX", "NOUN", "PRON"} and token.form.isalpha() and token.form.lower() != token.lemma.lower()
    ]  # fmt: skip
    if not places:
        return None
    at = chance.choice(places)
    return detokenised([token.lemma if here == at else token.form for here, token in enumerate(tokens)])


def detokenised(forms: list[str]) -> str:
    """Treebank tokens as running text: no space before closing punctuation and clitics."""
    text = " ".join(forms)
    for mark in (" .", " ,", " ?", " !", " ;", " :", " n't", " 's", " 're", " 've", " 'll", " 'd", " 'm", " )", " %"):
        text = text.replace(mark, mark[1:])
    return text.replace("( ", "(").replace("$ ", "$")

"""Makes ungrammatical variants of sentences: bad examples for the first two stages of training."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from training.corpora import Token

Words = list[str]
Corruption = Callable[[Words, random.Random], Words | None]

# Classes of function words. After a word was replaced by another word of its class, the sentence
# usually has an error of agreement, case, number or selection.
CLASSES = [
    "is are am", "was were", "has have having", "do does did", "a an the", "this these",
    "that those", "he him his", "she her hers", "they them their", "I me my", "we us our",
    "himself herself themselves itself him her them it", "much many", "who whom which whose what",
    "in on at to of for with from by about", "can could may has is does", "there it",
    "if that whether", "any some no every each all", "be been being is", "not never no",
    "than as that", "and or but",
]  # fmt: skip
PARTNERS = {
    word: [
        other for line in CLASSES if word in line.split() for other in line.split() if other != word
    ]
    for word in " ".join(CLASSES).split()
}


def swap(words: Words, chance: random.Random) -> Words | None:
    """Swap two neighbouring words."""
    at = chance.randrange(len(words) - 1)
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def drop(words: Words, chance: random.Random) -> Words | None:
    """Drop a word."""
    at = chance.randrange(len(words))
    return words[:at] + words[at + 1 :]


def double(words: Words, chance: random.Random) -> Words | None:
    """Insert a copy of a word at a random place."""
    at, to = chance.randrange(len(words)), chance.randrange(len(words))
    return [*words[:to], words[at], *words[to:]]


def move(words: Words, chance: random.Random) -> Words | None:
    """Move a word to another place."""
    at = chance.randrange(len(words))
    rest = words[:at] + words[at + 1 :]
    to = chance.randrange(len(rest) + 1)
    return [*rest[:to], words[at], *rest[to:]]


def substitute(words: Words, chance: random.Random) -> Words | None:
    """Replace a function word by another of its class; None if the sentence has no such word."""
    places = [at for at, word in enumerate(words) if word in PARTNERS]
    if not places:
        return None
    at = chance.choice(places)
    return [*words[:at], chance.choice(PARTNERS[words[at]]), *words[at + 1 :]]


def inflect(words: Words, chance: random.Random) -> Words | None:
    """Remove -s, -ed or -ing from a word, or add one of them; None if no word fits.

    The word can have any part of speech.
    """
    places = [
        at for at, word in enumerate(words) if word.isalpha() and len(word) > 3 and word.islower()
    ]
    if not places:
        return None
    at = chance.choice(places)
    word = words[at]
    stems = [word[: -len(end)] for end in ("ing", "ed", "s") if word.endswith(end)]
    changed = chance.choice(stems or [word + "s", word + "ing", word + "ed"])
    return [*words[:at], changed, *words[at + 1 :]]


def exchanging_verbs(treebank: list[list[Token]]) -> Corruption:
    """Return a corruption that replaces a verb by a random verb of the treebank.

    Both verbs have the same grammatical features, such as tense and number. The new verb need not
    fit the meaning or the objects.
    """
    seen = Counter(
        (token.form.lower(), token.upos, token.features)
        for tokens in treebank
        for token in tokens
        if _exchanged(token)
    )
    forms: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    usual: dict[str, tuple[str, str]] = {}
    for (word, *form), count in seen.items():
        if count < 2:
            continue
        kind = form[0], form[1]
        forms[kind].append(word)
        if word not in usual or count > seen[word, *usual[word]]:
            usual[word] = kind
    verbs = {word: forms[kind] for word, kind in usual.items() if kind[0] == "VERB"}

    def exchange(words: Words, chance: random.Random) -> Words | None:
        places = [at for at, word in enumerate(words) if word in verbs]
        if not places:
            return None
        at = chance.choice(places)
        return [*words[:at], chance.choice(verbs[words[at]]), *words[at + 1 :]]

    return exchange


def _exchanged(token: Token) -> bool:
    return token.upos in {"VERB", "ADP", "SCONJ"} and token.form.isalpha()


CORRUPTIONS: list[Corruption] = [swap, drop, double, move, substitute, substitute, inflect]
TWICE = 0.15  # the share of sentences that get a second corruption


def corrupted(sentence: str, chance: random.Random, more: Sequence[Corruption] = ()) -> str | None:
    """Return the sentence with a random corruption, and sometimes a second one.

    Returns None if the first corruption does not apply or changes nothing.
    """
    words = sentence.split()
    if len(words) < 3:
        return None
    kinds = [*CORRUPTIONS, *more]
    changed = chance.choice(kinds)(words, chance)
    if changed and chance.random() < TWICE:
        changed = chance.choice(kinds)(changed, chance) or changed
    return " ".join(changed) if changed and changed != words else None


def lemmatised(tokens: list[Token], chance: random.Random) -> str | None:
    """Replace an inflected verb, noun or pronoun of a treebank sentence by its lemma."""
    places = [
        at for at, token in enumerate(tokens)
        if token.upos in {"VERB", "AUX", "NOUN", "PRON"}
        and token.form.isalpha()
        and token.form.lower() != token.lemma.lower()
    ]  # fmt: skip
    if not places:
        return None
    at = chance.choice(places)
    return detokenised(
        [token.lemma if here == at else token.form for here, token in enumerate(tokens)]
    )


def different(right: Sequence[int], wrong: Sequence[int]) -> list[int]:
    """Mark each token of `wrong` with 1 if it differs from `right`, otherwise with 0.

    If tokens of `right` are missing in `wrong`, the token after the gap is also marked with 1. If
    no token follows the gap, the last token is marked.
    """
    marks = [0] * len(wrong)
    for change, _, _, start, end in SequenceMatcher(
        None, right, wrong, autojunk=False
    ).get_opcodes():
        if change == "delete" and wrong:
            marks[min(start, len(wrong) - 1)] = 1
        elif change != "equal":
            marks[start:end] = [1] * (end - start)
    return marks


def detokenised(forms: list[str]) -> str:
    """Join treebank tokens to a text, without spaces before closing punctuation and clitics."""
    text = " ".join(forms)
    for mark in (
        " .",
        " ,",
        " ?",
        " !",
        " ;",
        " :",
        " n't",
        " 's",
        " 're",
        " 've",
        " 'll",
        " 'd",
        " 'm",
        " )",
        " %",
    ):
        text = text.replace(mark, mark[1:])
    return text.replace("( ", "(").replace("$ ", "$")

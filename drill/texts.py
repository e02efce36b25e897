"""The texts that a drill sends to the model: generated from phrases, or read from a folder."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from tools.errors import UserError

PEOPLE: Final = (
    "the boy", "a teacher", "my old neighbour", "the committee", "nobody", "the tall woman",
    "her brother", "some of the students", "the owner of the shop", "every driver", "our doctor",
    "the two girls", "an artist from the village", "John", "Mary's cousin", "the people next door",
)  # fmt: skip
VERBS: Final = (
    "saw", "reads", "has written", "gave away", "wants to buy", "will have sold", "forgot",
    "was looking for", "never liked", "could not find", "promised to bring", "talked about",
)  # fmt: skip
THINGS: Final = (
    "the book", "a long letter", "the bread on the table", "nothing at all", "the small garden",
    "an apple", "the picture that hangs in the hall", "two tickets", "the keys", "his new bicycle",
    "the song", "a cup of tea", "the house by the river", "those shoes", "an old photograph",
)  # fmt: skip
ENDINGS: Final = (
    "", "", "yesterday", "in the morning", "before the guests arrived", "because it was raining",
    "without a word", "although nobody asked", "when the train came", "again and again",
)  # fmt: skip
GREETINGS: Final = ("Hi,", "hello team", "URGENT:", "Dear support,", "hey", "@help")
TROUBLES: Final = (
    "order #{n} hasnt arrived", "cant log in since {n}", "refund for invoice {n} pls",
    "error code E{n} on checkout", "tracking no. {n} not found", "app v{n} crashes on start",
)  # fmt: skip
PLEAS: Final = ("thx!!", "asap...", "pls fix :(", "any update???", "call me @ 555-{n}", "!!!")
COMPOUNDS: Final = (
    "quarterly revenue", "interest rate", "supply chain", "climate policy", "semiconductor export",
    "central bank", "labour market", "energy price", "trade deficit", "pension reform",
)  # fmt: skip
MOVES: Final = ("surges", "outlook dims", "talks stall", "hits record", "faces review", "rebounds")
SLOGANS: Final = (
    "Try {n} days of premium for free", "Win one of {n} vouchers now", "Only {n} seats are left",
    "Join {n} happy members today", "Save {n} percent on everything",
)  # fmt: skip
CUT: Final = 3  # the number of words in a truncated text
KINDS: Final = ("usual", "customer", "headlines", "launch")


def made(kind: str, number: int, chance: random.Random) -> list[str]:
    """Generate `number` texts of a kind: usual, customer, headlines or launch."""
    return [_one(kind, chance) for _ in range(number)]


def read(folder: Path, kind: str, number: int, chance: random.Random) -> list[str]:
    """Return `number` texts of a kind: lines of the file `KIND.txt` in the folder.

    The file `usual.txt` must exist. For each other kind without a file, texts are generated.
    Raises `UserError`.
    """
    path = folder / f"{kind}.txt"
    if not path.exists():
        if kind == KINDS[0]:
            raise UserError(f"{path} is not there: give a folder with usual.txt, one text a line")
        return made(kind, number, chance)
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} cannot be read ({problem}): give UTF-8 text") from None
    texts = [text for text in found if text]
    if len(texts) < number // 10:
        raise UserError(f"{path} has {len(texts)} texts: give at least {number // 10}")
    return [chance.choice(texts) for _ in range(number)] if len(texts) < number else texts[:number]


def truncated(text: str) -> str:
    """Return the first words of a text."""
    return " ".join(text.split()[:CUT])


def _one(kind: str, chance: random.Random) -> str:
    number = str(chance.randrange(10, 99999))
    match kind:
        case "usual":
            words = (PEOPLE, VERBS, THINGS, ENDINGS)
            said = " ".join(chance.choice(several) for several in words).strip()
            return _swapped(said, chance) if chance.random() < 0.15 else f"{said}."
        case "customer":
            parts = (chance.choice(several) for several in (GREETINGS, TROUBLES, PLEAS))
            return " ".join(parts).replace("{n}", number)
        case "headlines":
            first, second = chance.choice(COMPOUNDS).title(), chance.choice(COMPOUNDS)
            return f"{first} {chance.choice(MOVES)} as {second} {chance.choice(MOVES)}"
        case _:
            return chance.choice(SLOGANS).replace("{n}", number)


def _swapped(text: str, chance: random.Random) -> str:
    """Return the text with two words exchanged."""
    words = text.split()
    first, second = chance.sample(range(len(words)), 2)
    words[first], words[second] = words[second], words[first]
    return " ".join(words)

"""The faults of a soak, and their random order.

An episode lasts until its fault has struck a number of requests. It therefore does not depend on
the speed of the machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """One way in which the server or the way to it fails. The value is its name in the table."""

    CALM = "none"
    KILLED = "server killed"  # and started again with the same data
    FROZEN = "server stopped"  # the process stands still, and then goes on
    BLOCKED = "writes blocked"  # index.blocks.write
    SLOW = "answer too late"  # the documents are stored
    CUT = "request cut"  # the connection ends before the server has the request
    LOST = "answer cut"  # the documents are stored
    TORN = "half an answer"  # the documents are stored
    TOO_LARGE = "413"  # for every request above a size
    BUSY = "429"
    UNAVAILABLE = "503"


# How often each fault is drawn. A restart of the server takes seconds, so it is rarer.
WEIGHTS: Final = {
    Fault.CALM: 2,
    Fault.KILLED: 1,
    Fault.FROZEN: 1,
    Fault.BLOCKED: 2,
    Fault.SLOW: 1,
    Fault.CUT: 2,
    Fault.LOST: 2,
    Fault.TORN: 2,
    Fault.TOO_LARGE: 2,
    Fault.BUSY: 3,
    Fault.UNAVAILABLE: 2,
}
# Of an episode, about as often. The shipper and Lambda together try a payload about 20 times.
STRIKES: Final = (1, 2, 3, 5, 8, 13, 21, 34)
EVENTS: Final = (200, 4_000)  # of an episode


@dataclass(frozen=True, slots=True)
class Episode:
    """`events` events with one fault: half of them before it begins, half while it lasts.

    The fault ends when it has struck `strikes` requests.
    """

    fault: Fault
    events: int
    strikes: int


def episodes(seed: int) -> Iterator[Episode]:
    """Yield episodes for ever: first one of each fault in random order, then weighted ones."""
    chance = random.Random(seed)  # noqa: S311  no secret
    first = list(Fault)
    chance.shuffle(first)
    for fault in first:
        yield _episode(fault, chance)
    while True:
        yield _episode(chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], chance)


def _episode(fault: Fault, chance: random.Random) -> Episode:
    return Episode(fault, chance.randint(*EVENTS), chance.choice(STRIKES))

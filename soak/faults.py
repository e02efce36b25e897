"""The faults of a soak, and their random order.

In a soak, the shipper sends events for some minutes, while faults occur. A fault strikes a request
if the request fails because of it. An episode is a part of the soak with one fault. At its
beginning, a number of strikes is drawn. The fault ends when it has struck this many requests, and
not after a fixed time. So the number of failed requests hardly depends on the speed of the machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """A fault of the server or of the connection to it. The value is its name in the table."""

    CALM = "none"
    KILLED = "server killed"  # when the fault ends, the server starts with the same data
    FROZEN = "server stopped"  # when the fault ends, the process continues
    BLOCKED = "writes blocked"  # by the setting index.blocks.write
    SLOW = "answer too late"  # the documents are stored, but the answer is held back
    CUT = "request cut"  # the connection ends, and the server never gets the request
    LOST = "answer cut"  # the documents are stored, but the answer is lost
    TORN = "half an answer"  # the documents are stored, but half of the answer is lost
    TOO_LARGE = "413"  # the answer to every request above a size
    BUSY = "429"  # the answer to every request
    UNAVAILABLE = "503"  # the answer to every request


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
# The numbers of requests that a fault can strike in an episode. All numbers are equally probable.
# Shipper and Lambda together try a payload about 20 times. With more strikes, a payload can become
# a dead letter.
STRIKES: Final = (1, 2, 3, 5, 8, 13, 21, 34)
EVENTS: Final = (200, 4_000)  # the smallest and the largest number of events in an episode


@dataclass(frozen=True, slots=True)
class Episode:
    """A number of events and one fault. Half of the events are sent before the fault begins.

    The other half is sent during the fault. The fault ends when it has struck `strikes` requests.
    """

    fault: Fault
    events: int
    strikes: int


def episodes(seed: int) -> Iterator[Episode]:
    """Yield episodes without end: first each fault once, then faults as often as `WEIGHTS` says.

    The order is random.
    """
    chance = random.Random(seed)  # noqa: S311  no secret
    first = list(Fault)
    chance.shuffle(first)
    for fault in first:
        yield _episode(fault, chance)
    while True:
        yield _episode(chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], chance)


def _episode(fault: Fault, chance: random.Random) -> Episode:
    return Episode(fault, chance.randint(*EVENTS), chance.choice(STRIKES))

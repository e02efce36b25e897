"""The back-off: the pauses between two attempts to deliver documents."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FIRST_PAUSE: Final = 0.2  # the upper limit of the first pause, in seconds
LONGEST_PAUSE: Final = 20.0  # in seconds


@dataclass(slots=True)
class RetryBudget:
    """The pauses between retries: exponential back-off with full jitter, until a deadline.

    `deadline` is a time of `clock`, in seconds. Full jitter means that each pause is random, with
    an upper limit that doubles at each retry. Among the usual methods, full jitter spreads the
    requests of many senders best:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    deadline: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[float, float], float] = random.uniform

    def left(self) -> float:
        """Return the seconds until the deadline; the number is negative after the deadline."""
        return self.deadline - self.clock()

    def pause(self, tries: int) -> None:
        """Wait after a failed try, but not beyond the deadline.

        `tries` is the number of failed tries so far.
        """
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 10), max(self.left(), 0.0))
        self.sleep(self.chance(0.0, bound))

    def wait(self, longest: float) -> None:
        """Wait for a random time, from half of `longest` seconds to `longest` seconds.

        The wait ends at the deadline at the latest.
        """
        self.sleep(min(self.chance(longest / 2, longest), max(self.left(), 0.0)))

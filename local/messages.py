"""Problems of the running stack, for the page of `make serve`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Messages:
    """Problems for the page.

    `failures` are the last failures. `refusals` are the reasons why OpenSearch accepts no documents
    now.
    """

    failures: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    refusals: list[str] = field(default_factory=list)

    def now(self) -> list[str]:
        """Return all problems, as sentences."""
        return [
            *(f"OpenSearch accepts no documents: {reason}" for reason in self.refusals),
            *self.failures,
        ]

"""The outcome of a delivery: how many documents are in the index, and why others are not."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from shipper.document import Document

NOWHERE: Final = sys.maxsize  # greater than every place in a batch


class NotDelivered(Exception):
    """Some documents are not in the index.

    If the handler raises this exception, the invocation fails, and Lambda keeps the payload.
    """


@dataclass(slots=True)
class Outcome:
    """The counts of a delivery.

    - `excluded` counts the lines of a kind that is not shipped. All other lines become documents.
    - `rescued` counts the documents that the index refused at first and accepted with fewer fields.
    - `predictions` counts the documents of live predictions, delivered or not.
    - `reasons` counts the documents that are not in the index, by reason.
    - `sent_bytes` counts bytes before compression.
    - `available` is true if the server was able to process the last request.
    - `denied` is true if the server refused every document of the last request for lack of
      permission.
    - `first_failed` is used if the payloads come in a batch (shipper.stream). It is the position of
      the first payload with a document that is not in the index.
    """

    indexed: int = 0
    duplicate: int = 0
    rescued: int = 0
    excluded: int = 0
    predictions: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    sent_bytes: int = 0
    available: bool = True
    denied: bool = False
    first_failed: int = NOWHERE

    @property
    def failed(self) -> int:
        """The number of documents that are not in the index."""
        return self.reasons.total()

    @property
    def documents(self) -> int:
        """The number of all documents."""
        return self.indexed + self.duplicate + self.rescued + self.failed

    def add(self, other: Outcome) -> None:
        """Add the counts of a later outcome to this one, and copy its `available` and `denied`."""
        self.indexed += other.indexed
        self.duplicate += other.duplicate
        self.rescued += other.rescued
        self.excluded += other.excluded
        self.predictions += other.predictions
        self.reasons.update(other.reasons)
        self.requests += other.requests
        self.retries += other.retries
        self.sent_bytes += other.sent_bytes
        self.available, self.denied = other.available, other.denied

    def fail(self, document: Document, reason: str) -> None:
        """Count a document that is not in the index."""
        self.reasons[reason] += 1
        self.first_failed = min(self.first_failed, document.place)

    def summary(self) -> str:
        """Return a line that tells people why documents are not in the index.

        The line is empty if all documents are in the index.
        """
        if not self.reasons:
            return ""
        reasons = ", ".join(f"{count} x {reason}" for reason, count in self.reasons.most_common())
        return f"{self.failed} of {self.documents} documents not delivered: {reasons}"

    def or_raise(self) -> dict[str, int]:
        """Return the counts, or raise `NotDelivered` if a document is not in the index."""
        if self.reasons:
            raise NotDelivered(self.summary())
        return {
            "indexed": self.indexed,
            "duplicate": self.duplicate,
            "rescued": self.rescued,
            "excluded": self.excluded,
        }

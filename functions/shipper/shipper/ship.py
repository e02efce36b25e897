"""One payload from its lines to documents in OpenSearch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from time import time_ns

from opensearchpy import RequestsHttpConnection

from shipper.decode import Payload
from shipper.deliver import TOO_LATE, Outcome, RetryBudget, deliver
from shipper.document import Document, Rules, documents
from shipper.log_index import NotAnswered, is_common


def ship(payload: Payload, rules: Rules, connection: RequestsHttpConnection, budget: RetryBudget) -> Outcome:
    """Deliver a payload's lines, and count the result of each. Raises nothing: the outcome holds the failures too."""
    # Lines of these groups were never in another place. The server is not asked about a record of any other group either.
    asks = payload.log_group not in rules.record_groups
    days = _CommonDays(payload.log_group, rules.prefix, connection, budget) if asks else ()
    excluded: Counter[str] = Counter()
    predictions: list[int] = []
    found = _counted(documents(payload, rules, excluded, time_ns() // 1_000_000, days), predictions)
    unanswered: list[NotAnswered] = []
    outcome = deliver(_until_unanswered(found, unanswered), connection, budget)
    found.close()  # it may not be at its end: then it counts here
    outcome.predictions = sum(predictions)
    outcome.excluded = excluded.total()
    outcome.available = outcome.available and not unanswered
    unread = len(payload.events) - outcome.excluded - outcome.documents
    if unread:
        outcome.reasons[str(unanswered[0]) if unanswered else TOO_LATE] += unread
    return outcome


@dataclass(frozen=True, slots=True)
class _CommonDays:
    """The days on which a group's logs belong into the common index. The server is asked when a document of a day is made."""

    log_group: str
    prefix: str
    connection: RequestsHttpConnection
    budget: RetryBudget
    known: dict[int, bool] = field(default_factory=dict)

    def __contains__(self, day: object) -> bool:
        """Raises `NotAnswered` when no time is left."""
        assert isinstance(day, int)
        if day not in self.known:
            self.known[day] = self._asked(day)
        return self.known[day]

    def _asked(self, day: int) -> bool:
        tries = 0
        while True:
            left = self.budget.left()
            if left <= 0:
                return False  # nothing will be sent
            try:
                return is_common(self.connection, self.prefix, self.log_group, day, left)
            except NotAnswered:
                tries += 1
                self.budget.pause(tries)
                if self.budget.left() <= 0:
                    raise


def _counted(found: Iterator[Document], predictions: list[int]) -> Generator[Document]:
    """The same documents; at the end the number of live predictions among them goes into `predictions`."""
    count = 0
    try:
        for document in found:
            count += document.counts
            yield document
    finally:
        predictions.append(count)


def _until_unanswered(found: Iterator[Document], unanswered: list[NotAnswered]) -> Iterator[Document]:
    try:
        yield from found
    except NotAnswered as problem:
        unanswered.append(problem)

"""Ships one payload: makes documents of its lines, and delivers them to OpenSearch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from time import time_ns

from opensearchpy import RequestsHttpConnection

from shipper.back_off import RetryBudget
from shipper.common_index import CommonDays, NotAnswered
from shipper.decode import Payload
from shipper.deliver import TOO_LATE, deliver
from shipper.document import Document, Rules, documents
from shipper.outcome import Outcome


def ship(
    payload: Payload, rules: Rules, connection: RequestsHttpConnection, budget: RetryBudget
) -> Outcome:
    """Deliver a payload's lines, and count the result of each line.

    This raises no exception: the outcome holds the failures too.
    """
    # Another shipper may have put all lines of this log group into one index (common_index.py).
    # `CommonDays` asks the server on which days this happened. The question is not needed for the
    # log groups in `record_groups`: only this stack ships them.
    asks = payload.log_group not in rules.record_groups
    days = CommonDays(connection, rules.prefix, payload.log_group, budget) if asks else ()
    excluded: Counter[str] = Counter()
    predictions: list[int] = []
    found = _counted(documents(payload, rules, excluded, time_ns() // 1_000_000, days), predictions)
    unanswered: list[NotAnswered] = []
    outcome = deliver(_until_unanswered(found, unanswered), connection, budget)
    found.close()  # `_counted` then appends its count, even if not all documents were read
    outcome.predictions = sum(predictions)
    outcome.excluded = excluded.total()
    outcome.available = outcome.available and not unanswered
    unread = len(payload.events) - outcome.excluded - outcome.documents
    if unread:
        outcome.reasons[str(unanswered[0]) if unanswered else TOO_LATE] += unread
    return outcome


def _counted(found: Iterator[Document], predictions: list[int]) -> Generator[Document]:
    """Yield the documents, then append the number of live predictions to `predictions`."""
    count = 0
    try:
        for document in found:
            count += document.counts
            yield document
    finally:
        predictions.append(count)


def _until_unanswered(
    found: Iterator[Document], unanswered: list[NotAnswered]
) -> Iterator[Document]:
    try:
        yield from found
    except NotAnswered as problem:
        unanswered.append(problem)

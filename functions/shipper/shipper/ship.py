"""One payload through the whole way: lines to documents to OpenSearch."""

from __future__ import annotations

from collections import Counter
from time import time_ns

from opensearchpy import RequestsHttpConnection

from shipper.decode import Payload
from shipper.deliver import TOO_LATE, Outcome, RetryBudget, deliver
from shipper.document import Rules, documents


def ship(payload: Payload, rules: Rules, connection: RequestsHttpConnection, budget: RetryBudget) -> Outcome:
    """Deliver a payload's lines, and say what became of each. Raises nothing: what is not delivered is in the outcome."""
    excluded: Counter[str] = Counter()
    outcome = deliver(documents(payload, rules, excluded, now=time_ns() // 1_000_000), connection, budget)
    outcome.excluded = excluded.total()
    unread = len(payload.events) - outcome.excluded - outcome.documents
    if unread:
        outcome.reasons[TOO_LATE] += unread
    return outcome

"""One payload through the whole way: lines to documents to OpenSearch."""

from __future__ import annotations

from collections import Counter
from time import time_ns

from opensearchpy import RequestsHttpConnection

from shipper.decode import Payload
from shipper.deliver import TOO_LATE, Outcome, RetryBudget, deliver
from shipper.document import Rules, documents
from shipper.exchange import TookTooLong, within
from shipper.log_index import SECONDS, NotAnswered, common_days


def ship(payload: Payload, rules: Rules, connection: RequestsHttpConnection, budget: RetryBudget) -> Outcome:
    """Deliver a payload's lines, and say what became of each. Raises nothing: what is not delivered is in the outcome."""
    try:
        days = _common_days(payload, rules, connection, budget)
    except NotAnswered as problem:
        return Outcome(reasons=Counter({str(problem): len(payload.events)}), available=False)
    excluded: Counter[str] = Counter()
    found = documents(payload, rules, excluded, time_ns() // 1_000_000, days)
    outcome = deliver(found, connection, budget)
    outcome.excluded = excluded.total()
    unread = len(payload.events) - outcome.excluded - outcome.documents
    if unread:
        outcome.reasons[TOO_LATE] += unread
    return outcome


def _common_days(payload: Payload, rules: Rules, connection: RequestsHttpConnection, budget: RetryBudget) -> frozenset[int]:
    tries = 0
    while True:
        try:
            left = budget.left()
            if left <= 0:
                return frozenset()  # nothing will be sent
            if left > 2 * SECONDS:
                return common_days(payload, rules, connection)
            return within(left, lambda: common_days(payload, rules, connection))
        except TookTooLong:
            raise NotAnswered("no answer in time") from None
        except NotAnswered:
            tries += 1
            budget.pause(tries)
            if budget.left() <= 0:
                raise

"""Finds the days on which a log group's lines stay in the index of the records, because documents of the group are there already.

Lines that are not records have a daily index of their own (shipper.document). The console's
function, and earlier versions of this shipper, put them into the common index, under the same id.
If such a line is delivered again to the common index, it keeps one document; in another index it
would get a second one. So a log group's lines stay in the common index on a day if that index holds
a document of the group without `@kind`, from that day or the day before. The day before counts too,
because two functions that both deliver a group begin each day at the same moment. The rule ends by
itself once only one function delivers: docs/from-the-console.md.

Retry, replay and backfill ask the same question, and the answer for a day does not change later.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout, TransportError

from shipper.bulk import ANY_STATUS
from shipper.deliver import RetryBudget
from shipper.document import DAY

SECONDS: Final = 5.0  # the server's time for an answer
BUSY: Final = frozenset({429, 502, 503, 504})


class NotAnswered(Exception):
    """The server is away or busy, so nothing can be delivered now either."""


class _Count(Struct):
    count: int


# The answers so far by day, for each prefix and log group.
_ANSWERS: Final[
    WeakKeyDictionary[RequestsHttpConnection, dict[tuple[str, str], dict[int, bool]]]
] = WeakKeyDictionary()


class CommonDays:
    """The days (since 1970) on which a log group's lines belong in the common index; none if the server does not permit counting.

    A connection asks once per day, when the first line of that day is looked up.
    """

    def __init__(
        self, connection: RequestsHttpConnection, prefix: str, log_group: str, budget: RetryBudget
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._log_group = log_group
        self._budget = budget
        self._answers = _ANSWERS.setdefault(connection, {}).setdefault((prefix, log_group), {})

    def __contains__(self, day: object) -> bool:
        """Raises `NotAnswered` if the server has not answered when no time is left."""
        assert isinstance(day, int)
        answer = self._answers.get(day)
        return self._ask(day) if answer is None else answer

    def _ask(self, day: int) -> bool:
        tries = 0
        while (left := self._budget.left()) > 0:
            try:
                self._answers[day] = self._count(day, min(left, SECONDS)) > 0
                return self._answers[day]
            except NotAnswered:
                tries += 1
                self._budget.pause(tries)
                if self._budget.left() <= 0:
                    raise
        return False  # nothing will be sent

    def _count(self, day: int, seconds: float) -> int:
        """The number of the group's documents without `@kind` from this day and the day before."""
        query = group_query(self._log_group, (day - 1) * DAY, (day + 1) * DAY)
        query["bool"]["must_not"] = {"exists": {"field": "@kind"}}
        try:
            status, _, text = self._connection.perform_request(
                "POST",
                f"/{self._prefix}*/_count",  # with a pattern, a missing index is not an error
                body=msgspec.json.encode({"query": query}),
                timeout=seconds,
                allow_redirects=False,
                ignore=ANY_STATUS,
                headers={"content-type": "application/json"},
            )
        except ConnectionTimeout:
            raise NotAnswered("no answer in time") from None
        except TransportError as problem:
            raise NotAnswered(f"no connection ({type(problem).__name__})") from None
        if status in BUSY:
            raise NotAnswered(f"{status} while documents were counted")
        try:
            return msgspec.json.decode(text, type=_Count).count
        except (msgspec.DecodeError, UnicodeError):
            return 0


def group_query(log_group: str, start: int, end: int) -> dict[str, Any]:
    """The query for a log group's documents from `start` until before `end`, in milliseconds since 1970."""
    names = [
        {"term": {field: log_group}} for field in ("@log_group", "@log_group.keyword")
    ]  # the latter without our index template
    times = {"range": {"@timestamp": {"gte": start, "lt": end, "format": "epoch_millis"}}}
    return {"bool": {"filter": [times, {"bool": {"should": names, "minimum_should_match": 1}}]}}

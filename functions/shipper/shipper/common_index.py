"""Chooses the daily index for lines that are not records.

Records are predictions, feedback and a few others (shipper.provenance). They have a daily index,
called the common index here. Other lines have a daily index of their own (shipper.document).

But the function that the AWS console generates puts all lines into the common index. Earlier
versions of this shipper did the same. If such a line is delivered to the common index again, there
is still one document, because the document's id is the same. If the line were delivered to the
other index, it would have two documents.

Documents of the generated function and of the earlier versions have no field `@kind`. So if the
common index holds a document without `@kind` from a log group, all lines that the log group wrote
on that day and on the next day go to the common index. The next day is included, because shortly
after midnight this shipper may be faster than the generated function. The index then has no
document of the generated function for the new day yet. If the function is removed, the log group's
lines go to their own index from the second day after the removal (docs/from-the-console.md).

Retry, replay and backfill follow the same rule. The choice of the index for a day does not change
later.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout, TransportError

from shipper.back_off import RetryBudget
from shipper.bulk import ANY_STATUS
from shipper.document import DAY

SECONDS: Final = 5.0  # the time limit for an answer of the server
BUSY: Final = frozenset({429, 502, 503, 504})


class NotAnswered(Exception):
    """The server is unavailable or busy, so it would not accept a document now either."""


class _Count(Struct):
    count: int


# The server's answers so far. There is one answer for each connection, prefix, log group and day.
_ANSWERS: Final[
    WeakKeyDictionary[RequestsHttpConnection, dict[tuple[str, str], dict[int, bool]]]
] = WeakKeyDictionary()


class CommonDays:
    """The days on which a log group's lines belong in the common index.

    A day is a number of days since 1970-01-01. The server is asked once for each day, when the
    first line of the day is shipped. If the server does not permit counting documents, the log
    group has no such days.
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
        """Return whether the day is one of these days.

        Raises `NotAnswered` if the server does not answer before the deadline.
        """
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
        return False  # no time is left, so nothing will be sent

    def _count(self, day: int, seconds: float) -> int:
        """Count the group's documents without `@kind` from this day and the day before."""
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
    """Return the query for a log group's documents from `start` to just before `end`.

    Both times are in milliseconds since 1970.
    """
    # The second name is needed for indices that were made without our index template.
    names = [{"term": {field: log_group}} for field in ("@log_group", "@log_group.keyword")]
    times = {"range": {"@timestamp": {"gte": start, "lt": end, "format": "epoch_millis"}}}
    return {"bool": {"filter": [times, {"bool": {"should": names, "minimum_should_match": 1}}]}}

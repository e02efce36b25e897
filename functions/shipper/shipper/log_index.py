"""Finds the days on which a log group's lines stay in the index of the records, because documents of the group are there already.

Lines that are not records have a daily index of their own (shipper.document). The console's function, and earlier versions of
this shipper, put them into the common index, under the same id. If such a line is delivered again to the common index, it keeps one
document; in another index it would get a second one. So a log group's lines stay in the common index on a day if that index holds a
document of the group without `@kind`, from that day or the day before. The day before counts too, because two functions that both deliver a
group begin each day at the same moment. The rule ends by itself once only one function delivers: docs/from-the-console.md.

Retry, replay and backfill ask the same question, and the answer for a day does not change later.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import ConnectionTimeout, TransportError

from shipper.document import DAY

SECONDS: Final = 5.0  # the server's time for an answer
BUSY: Final = frozenset({429, 502, 503, 504})


class NotAnswered(Exception):
    """The server is away or busy, so nothing can be delivered now either."""


class _Count(Struct):
    count: int


# The answers so far, by prefix, log group and day.
_ANSWERS: Final[WeakKeyDictionary[RequestsHttpConnection, dict[tuple[str, str, int], bool]]] = WeakKeyDictionary()


def is_common(connection: RequestsHttpConnection, prefix: str, log_group: str, day: int, seconds: float = SECONDS) -> bool:
    """Whether a day's lines of the group belong in the common index. False if the server does not permit counting.

    `day` is in days since 1970. A connection asks once per group and day, for at most `seconds`. Raises `NotAnswered`.
    """
    answers = _ANSWERS.setdefault(connection, {})
    place = (prefix, log_group, day)
    if place not in answers:
        answers[place] = _is_common(connection, *place, seconds)
    return answers[place]


def _is_common(connection: RequestsHttpConnection, prefix: str, log_group: str, day: int, seconds: float) -> bool:
    groups = [{"term": {field: log_group}} for field in ("@log_group", "@log_group.keyword")]  # the latter without our template
    times = {"range": {"@timestamp": {"gte": (day - 1) * DAY, "lt": (day + 1) * DAY, "format": "epoch_millis"}}}
    without_kind = {"filter": [times], "should": groups, "minimum_should_match": 1, "must_not": {"exists": {"field": "@kind"}}}
    try:
        status, _, text = connection.perform_request(
            "POST",
            f"/{prefix}*/_count",  # with a pattern, a missing index is not an error
            body=msgspec.json.encode({"query": {"bool": without_kind}}),
            timeout=min(seconds, SECONDS),
            allow_redirects=False,
            ignore=range(300, 600),
            headers={"content-type": "application/json"},
        )
    except ConnectionTimeout:
        raise NotAnswered("no answer in time") from None
    except TransportError as problem:
        raise NotAnswered(f"no connection ({type(problem).__name__})") from None
    if status in BUSY:
        raise NotAnswered(f"{status} while documents were counted")
    try:
        return msgspec.json.decode(text, type=_Count).count > 0
    except (msgspec.DecodeError, UnicodeError):
        return False

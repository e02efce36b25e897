"""Ship lines that CloudWatch never delivered, for instance because a filter was disabled.

The lines are read from the log group.

A line must get the same id here as from the subscription. With another id, there would be a second
document of the line. AWS documents both `eventId` of FilterLogEvents and `id` of a subscription
only as "the ID of the event". In published samples, both ids are numbers of the same structure:

    time of the event * 2^144 + time of its ingestion * 2^80 + place in the batch

The times are in milliseconds. Links into CloudWatch's console work with both ids. So this
module assumes that the two ids of a line are equal, and `reconcile.compare_ids` checks this before
anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from msgspec import Raw

from shipper.decode import LogEvent, Payload
from shipper.json_text import quoted
from shipper.outcome import Outcome

PAGE_EVENTS: Final = 10_000  # the largest page of FilterLogEvents
# A backfill stops if this many payloads in a row fail as a whole: the server accepted no line.
MOST_CONSECUTIVE_FAILURES: Final = 3
# Settings of a subscription that select lines in other ways than the pattern.
MORE_THAN_PATTERN: Final = ("applyOnTransformedLogs", "fieldSelectionCriteria")

Event = dict[str, Any]  # in boto3's form: eventId, timestamp, message, logStreamName


class LogGroupUnknown(Exception):
    """There is no log group of that name."""


class PatternUnknown(Exception):
    """The pattern that selects the lines cannot be read from the log group's subscription.

    The log group has no subscription, or it has several, or its subscription selects lines by more
    than the pattern.
    """


class NothingTaken(Exception):
    """The server accepted nothing from several payloads in a row.

    The server cannot be reached, or the user has no permission to write.
    """


class Span(NamedTuple):
    """The lines of a log group from `start` to just before `end` that match `pattern`.

    Times are milliseconds since 1970. An empty pattern matches all lines.
    """

    log_group: str
    start: int
    end: int
    pattern: str


class Shipped(NamedTuple):
    """The outcome of the delivery of one payload.

    All lines before the time `covered` (milliseconds since 1970) have been sent.
    """

    outcome: Outcome
    covered: int


def owner(logs: Any, log_group: str) -> str:
    """Return the id of the account that owns a log group. Raises `LogGroupUnknown`.

    `logs` is a boto3 client.
    """
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=log_group):
        for found in page["logGroups"]:
            if found["logGroupName"] == log_group:
                return str(found["arn"]).split(":")[4]
    raise LogGroupUnknown(
        f"there is no log group {log_group!r} in {logs.meta.region_name}: "
        "check --log-group, --region and --profile"
    )


def filter_names(logs: Any, log_group: str) -> list[str]:
    """Return the names of a log group's subscription filters.

    The names decide whether the log group's records are trusted (shipper.provenance).
    """
    return [str(found["filterName"]) for found in _filters(logs, log_group)]


def _filters(logs: Any, log_group: str) -> list[dict[str, Any]]:
    pages = logs.get_paginator("describe_subscription_filters").paginate(logGroupName=log_group)
    return [found for page in pages for found in page["subscriptionFilters"]]


def subscribed_pattern(logs: Any, log_group: str) -> str:
    """Return the filter pattern of a log group's only subscription.

    Raises `PatternUnknown` unless there is exactly one subscription that selects lines only by
    its pattern.
    """
    filters = _filters(logs, log_group)
    hint = "select the lines with --pattern ('' for all)"
    if len(filters) != 1:
        names = f": {', '.join(found['filterName'] for found in filters)}" if filters else ""
        raise PatternUnknown(
            f"the pattern is not known, because {log_group} has {len(filters)} "
            f"subscription filters of its own{names}; {hint}"
        )
    more = [name for name in MORE_THAN_PATTERN if filters[0].get(name)]
    if more:
        raise PatternUnknown(
            f"the subscription filter {filters[0]['filterName']} selects lines not only by its "
            f"pattern (also by {more[0]}); {hint}"
        )
    return str(filters[0].get("filterPattern", ""))


def pages(logs: Any, span: Span, streams: Iterable[str] = ()) -> Iterator[list[Event]]:
    """Yield pages of the log events of a span, oldest first.

    Without `streams`, the events of all log streams are read. Raises the client's exceptions.

    botocore's paginator is not used. While CloudWatch has not found a matching line, it can give
    the same token twice. The paginator then raises PaginationError
    (https://github.com/boto/boto3/issues/1584).
    """
    # `interleaved` merges the events of all log streams. CloudWatch always merges them, but other
    # servers with this API, such as moto, need the parameter.
    wanted: dict[str, Any] = {
        "startTime": span.start,
        "endTime": span.end,
        "limit": PAGE_EVENTS,
        "interleaved": True,
    }
    if span.pattern:
        wanted["filterPattern"] = span.pattern
    if names := list(streams):
        wanted["logStreamNames"] = names
    while True:
        answer = logs.filter_log_events(logGroupName=span.log_group, **wanted)
        # CloudWatch includes events at the end time, but a span excludes them.
        found = [event for event in answer["events"] if event["timestamp"] < span.end]
        if found:  # an empty page may be followed by others
            yield found
        if not answer.get("nextToken"):
            return
        wanted["nextToken"] = answer["nextToken"]


def payloads(
    page: Iterable[Event], log_group: str, account: str, filters: Iterable[str] = ()
) -> list[Payload]:
    """Return the payloads that a subscription with these `filters` would have delivered.

    There is one payload per log stream.
    """
    names = list(filters)
    streams: dict[str, list[LogEvent]] = {}
    for event in page:
        found = LogEvent(event["eventId"], event["timestamp"], Raw(quoted(event["message"])))
        streams.setdefault(event["logStreamName"], []).append(found)
    return [
        Payload("DATA_MESSAGE", account, log_group, stream, events, names)
        for stream, events in streams.items()
    ]


def backfill(
    found: Iterable[list[Payload]],
    ship: Callable[[Payload], Outcome],
    events_per_second: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Shipped]:
    """Ship page after page of payloads, no faster than `events_per_second`. Raises `NothingTaken`.

    Lines may be shipped twice. A document that already exists does not change, and counts as a
    duplicate.
    """
    consecutive_failures = 0
    for page in found:
        times = [event.timestamp for payload in page for event in payload.events]
        for number, payload in enumerate(page, 1):
            start = time.monotonic()
            outcome = ship(payload)
            yield Shipped(outcome, max(times) if number == len(page) else min(times))
            if outcome.documents:
                consecutive_failures = (
                    consecutive_failures + 1 if outcome.failed == outcome.documents else 0
                )
            if consecutive_failures == MOST_CONSECUTIVE_FAILURES:
                raise NothingTaken(
                    f"the server accepted nothing from {MOST_CONSECUTIVE_FAILURES} payloads in a "
                    f"row ({outcome.summary()})"
                )
            sleep(max(outcome.documents / events_per_second - (time.monotonic() - start), 0.0))

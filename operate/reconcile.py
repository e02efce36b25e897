"""Compare lines in CloudWatch with documents in the index.

The number of lines and the number of documents are compared interval by interval. The ids of a few
documents are compared with the ids of their lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from opensearchpy import RequestsHttpConnection
from opensearchpy.exceptions import TransportError

from operate.backfill import Event, Span, pages
from shipper.bulk import ANY_STATUS, judge_request
from shipper.common_index import group_query
from shipper.index_prefix import PREFIX
from shipper.read import Kind, read

SEARCH_SECONDS: Final = 60.0
MOST_INTERVALS: Final = 1000
SAMPLE: Final = 3  # the number of documents whose ids are compared
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
UNITS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}  # milliseconds


class SearchFailed(Exception):
    """OpenSearch did not answer a search, or answered only for some of its shards."""


class IdsDiffer(Exception):
    """A line has another id in the index than in CloudWatch.

    A backfill would add such a line a second time.
    """


class Row(NamedTuple):
    """The number of lines in the log, and of documents in the index, in one interval.

    `start` is the start of the interval, in milliseconds since 1970.
    """

    start: int
    lines: int
    documents: int

    @property
    def missing(self) -> int:
        """The lines minus the documents, which is negative if there are more documents."""
        return self.lines - self.documents


def milliseconds(moment: datetime) -> int:
    """Return the milliseconds since 1970 of a moment with a time zone."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def interval(text: str) -> int:
    """Return the milliseconds of an interval such as `30s`, `5m`, `1h` or `1d`.

    Raises `ValueError` for any other form.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if not match:
        raise ValueError(
            f"an interval is a number and a unit, such as 30s, 5m, 1h, 1d, not {text!r}"
        )
    return int(match[1]) * UNITS[match[2]]


def starts(span: Span, every: int) -> range:
    """Return the starts of a span's intervals of `every` milliseconds.

    Raises `ValueError` for more than `MOST_INTERVALS` intervals.
    """
    found = range(span.start, span.end, every)
    if len(found) > MOST_INTERVALS:
        raise ValueError(
            f"{len(found)} intervals are too many: choose a longer interval, "
            f"so that there are {MOST_INTERVALS} at most"
        )
    return found


def log_counts(
    page: Iterable[Event], span: Span, every: int, exclude: frozenset[Kind]
) -> Counter[int]:
    """Count the lines of a page by the start of their interval.

    Lines of an excluded kind are not counted, because they have no documents.
    """
    counted = (event for event in page if not exclude or read(event["message"]).kind not in exclude)
    return Counter(
        event["timestamp"] - (event["timestamp"] - span.start) % every for event in counted
    )


def index_counts(
    connection: RequestsHttpConnection, span: Span, every: int, prefix: str = PREFIX
) -> Counter[int]:
    """Count the documents by the start of their interval. Raises `SearchFailed`."""
    histogram = {
        "field": "@timestamp",
        "fixed_interval": f"{every}ms",
        "offset": f"{span.start % every}ms",
        "min_doc_count": 1,
    }
    query = {
        "size": 0,
        "query": group_query(span.log_group, span.start, span.end),
        "aggs": {"intervals": {"date_histogram": histogram}},
    }
    buckets = (
        search(connection, query, prefix)
        .get("aggregations", {})
        .get("intervals", {})
        .get("buckets", [])
    )
    return Counter({int(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets})


def rows(span: Span, every: int, log: Counter[int], index: Counter[int]) -> list[Row]:
    """Return a row with both counts for each interval."""
    return [Row(start, log[start], index[start]) for start in starts(span, every)]


def gap(compared: Iterable[Row], span: Span, every: int) -> Span | None:
    """Return the part of a span from the first to the last interval with missing documents.

    Returns None if no documents are missing.
    """
    missing = [row.start for row in compared if row.missing > 0]
    return (
        span._replace(start=missing[0], end=min(missing[-1] + every, span.end)) if missing else None
    )


def compare_ids(
    logs: Any, connection: RequestsHttpConnection, span: Span, prefix: str = PREFIX
) -> int:
    """Compare the ids of a few documents of a span with the ids of their lines in CloudWatch.

    The line of a document is found by the document's log stream and time (in milliseconds).

    Returns the number of documents that were found to have the id of their line. The number is 0 if
    there is nothing to compare: the index has no document of the span, or CloudWatch no longer has
    the lines. Raises `IdsDiffer` at the first document with another id, `SearchFailed`, and the
    exceptions of the logs client.
    """
    query = {
        "size": SAMPLE,
        "query": group_query(span.log_group, span.start, span.end),
        # CloudWatch most likely still has the lines of the newest documents.
        "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
        "_source": ["@id", "@log_stream", "@timestamp"],
    }
    agreeing = 0
    for hit in search(connection, query, prefix)["hits"]["hits"]:
        source = hit["_source"]
        moment = milliseconds(datetime.fromisoformat(source["@timestamp"]))
        try:
            found = list(
                pages(logs, Span(span.log_group, moment, moment + 1, ""), [source["@log_stream"]])
            )
        except logs.exceptions.ResourceNotFoundException:  # the log stream is gone
            continue
        ids = [event["eventId"] for page in found for event in page]
        if source["@id"] in ids:
            agreeing += 1
        elif ids:
            here, there = f"document {source['@id']} at {source['@timestamp']}", " or ".join(ids)
            raise IdsDiffer(
                f"the index has {here}, but CloudWatch now has the id {there} for the line: "
                "a backfill would add such lines a second time; "
                'choose a time range (--from and --to) in which the command "reconcile" counts '
                "no documents"
            )
    return agreeing


def search(
    connection: RequestsHttpConnection, query: dict[str, Any], prefix: str = PREFIX
) -> dict[str, Any]:
    """Search all daily indices, and return the answer.

    Raises `SearchFailed`, also for an incomplete answer.
    """
    indices = f"{prefix}*"  # a pattern that matches no index finds nothing, and is no error
    try:
        status, _, text = connection.perform_request(
            "POST",
            # The path has no parameters, because Amazon ignores parameters of a signed POST.
            f"/{indices}/_search",
            body=msgspec.json.encode(query),
            timeout=SEARCH_SECONDS,
            ignore=ANY_STATUS,
            headers={"content-type": "application/json"},
        )
    except TransportError as problem:
        raise SearchFailed(
            f"OpenSearch does not answer ({type(problem).__name__}): "
            "check --opensearch and the network"
        ) from None
    if status >= 300:
        hint = (
            f": the user needs the permission to search {indices}" if status in {401, 403} else ""
        )
        raise SearchFailed(
            f"OpenSearch refuses to search {indices} "
            f"({judge_request(status, text, 1).reason}){hint}"
        )
    try:
        answer = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        raise SearchFailed("the server is not OpenSearch: check --opensearch") from None
    if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
        raise SearchFailed(
            "OpenSearch answered only for a part of its documents: "
            "try again when the cluster is healthy"
        )
    return answer

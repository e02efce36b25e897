"""Reads the summaries of a stream's slots from OpenSearch. The searches are aggregations only.

A stream is the predictions of one model in one log group of one stack. A slot is 15 minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

from monitor.index_prefix import PREFIX
from monitor.summaries import searches
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import SLOT, Moments, Stream, Summary, total

INDEX: Final = f"{PREFIX}*"
TIMEOUT: Final = 60  # seconds for one search
MOST_STREAMS: Final = 20


Search = Callable[[Mapping[str, Any]], dict[str, Any]]


class Connection(Protocol):
    """The part of `opensearchpy.RequestsHttpConnection` that the monitor uses."""

    def perform_request(
        self, method: str, url: str, *args: Any, **kwargs: Any
    ) -> tuple[int, Any, str]:
        """Send a request, and return the status, the headers and the body of the answer.

        Raises `opensearchpy.TransportError`.
        """
        ...


class ReadIncomplete(Exception):
    """The answer of OpenSearch is incomplete, so its numbers would be too small.

    Some of the shards failed, or the search ran out of time.
    """


def find_streams(
    connection: Connection, stack: str, start: int, end: int, *, index: str = INDEX
) -> tuple[list[Stream], list[Stream]]:
    """Find the streams with predictions in a span: the 20 largest ones, and the others.

    Raises `ReadIncomplete` and the connection's exceptions.
    """
    answer = aggregations(connection, index, searches.streams(stack, start, end))
    found = [
        (
            -bucket["doc_count"],
            Stream(stack, bucket["key"]["stream"] or "", bucket["key"]["model"] or ""),
        )
        for bucket in answer.get("streams", {}).get("buckets", [])
    ]
    ordered = [stream for _, stream in sorted(found)]
    return ordered[:MOST_STREAMS], ordered[MOST_STREAMS:]


def read_counts(
    connection: Connection, stream: Stream, start: int, end: int, *, index: str = INDEX
) -> dict[int, int]:
    """Read the number of predictions in each slot that has any.

    The keys of the result are the starts of the slots. Raises the same exceptions as
    `find_streams`.
    """
    answer = aggregations(connection, index, searches.counts(stream, start, end))
    buckets = answer.get("slots", {}).get("buckets", [])
    return {int(bucket["key"]) // 1000: int(bucket["doc_count"]) for bucket in buckets}


def read_slots(
    connection: Connection, stream: Stream, start: int, end: int, *, index: str = INDEX
) -> list[Summary]:
    """Read the summaries of the slots that have predictions, in the order of time.

    A slot has one summary for each pair of version and profile of the model.

    `start` and `end` are times at which slots begin, in seconds since 1970. Raises the same
    exceptions as `find_streams`.
    """
    if start % SLOT or end % SLOT:
        raise ValueError(
            f"slots begin and end at multiples of {SLOT} seconds, not at {start} and {end}"
        )
    answer = aggregations(connection, index, searches.labels(stream, start, end))
    names = [bucket["key"] for bucket in answer.get("labels", {}).get("buckets", [])]
    if not names and not answer:
        return []
    found: dict[tuple[int, str, str], list[Summary]] = {}
    for begin in range(start, end, searches.SPAN):
        until = min(end, begin + searches.SPAN)
        for bucket in _pages(partial(aggregations, connection, index), stream, begin, until, names):
            summary = parse_slot(bucket, stream, names)
            found.setdefault((summary.start, summary.version, summary.profile), []).append(summary)
    return [total(parts) for _, parts in sorted(found.items())]


def parse_slot(bucket: Mapping[str, Any], stream: Stream, names: list[str]) -> Summary:
    """Turn one bucket of `searches.slots` into a summary."""
    key = bucket["key"]
    return Summary(
        stream=stream,
        version=key["version"] or key["function"] or "",
        profile=key["profile"] or "",
        start=int(key["slot"]) // 1000,
        rows=int(bucket["doc_count"]),
        moments=dict(_moments(bucket, names)),
        bins={name: _codes(bucket, name) for name in SCALES},
        labels=_terms(bucket["labels"]),
        flags=_terms(bucket["flags"]),
        scripts=_terms(bucket["scripts"]),
        unknown=int(bucket["unknown"]["doc_count"]),
        hashes=_terms(bucket["hashes"]),
        distinct=int(bucket["distinct"]["value"]),
    )


def _pages(
    search: Search, stream: Stream, start: int, end: int, names: list[str]
) -> Iterator[Mapping[str, Any]]:
    after: Mapping[str, Any] | None = None
    while True:
        body = searches.slots(stream, start, end, names, after)
        page = search(body).get("slots", {})
        yield from page.get("buckets", [])
        after = page.get("after_key")
        if not after or len(page["buckets"]) < searches.PAGE:
            return


def aggregations(
    connection: Connection, index: str, body: Mapping[str, Any], seconds: float = TIMEOUT
) -> dict[str, Any]:
    """Search, and return the aggregations. They are empty if there is no index.

    Raises the same exceptions as `searched`.
    """
    return dict(searched(connection, index, body, seconds).get("aggregations", {}))


def searched(
    connection: Connection, index: str, body: Mapping[str, Any], seconds: float = TIMEOUT
) -> dict[str, Any]:
    """Search, and return the answer of OpenSearch. It has no hits if there is no index.

    Raises `ReadIncomplete` if a part of the index could not be read, and `TransportError`.
    """
    params = {"ignore_unavailable": "true", "allow_no_indices": "true", "request_cache": "false"}
    _, _, text = connection.perform_request(
        "POST", f"/{index}/_search", params=params, body=json.dumps(body).encode(), timeout=seconds
    )
    answer: dict[str, Any] = json.loads(text)
    failed = answer["_shards"]["failed"]
    if answer["timed_out"] or failed:
        raise ReadIncomplete(
            f"OpenSearch could not read all of {index} ({failed} shards failed):"
            " the next run tries again"
        )
    return answer


def _moments(bucket: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, Moments]]:
    for name in searches.moment_fields(names):
        stats = bucket[f"moments {name}"]
        if stats["count"]:
            yield (
                name,
                Moments(int(stats["count"]), float(stats["sum"]), float(stats["sum_of_squares"])),
            )


def _codes(bucket: Mapping[str, Any], name: str) -> dict[int, int]:
    scale = SCALES[name]
    found = {
        int(code): int(part["doc_count"])
        for code, part in bucket[f"ranges {name}"]["buckets"].items()
    }
    for part in bucket[f"steps {name}"]["buckets"]:
        code = scale.code_of_step(part["key"])
        if code >= 0:
            found[code] = int(part["doc_count"])
    if scale.apart and found.get(1):
        # Code 1 has the values that are exactly the lower limit. The first step of the histogram,
        # which is code 2, counts them too.
        found[2] = found.get(2, 0) - found[1]
    return {code: count for code, count in sorted(found.items()) if count}


def _terms(answer: Mapping[str, Any]) -> dict[str, int]:
    return {str(part["key"]): int(part["doc_count"]) for part in answer["buckets"]}

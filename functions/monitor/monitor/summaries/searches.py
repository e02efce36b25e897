"""Builds the bodies of the searches for predictions.

The answers contain only numbers and values of fields, never a text or a whole prediction. A stream
is the predictions of one model in one log group. A slot is a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.summaries.bins import SCALES, Scale
from monitor.summaries.summary import MOMENTS, PROBABILITY, SLOT, TOP, Stream

STREAMS: Final = 500  # the largest number of streams in an answer
LABELS: Final = 50  # the largest number of labels in an answer
VALUES: Final = 50  # the largest number of flags, and of scripts, in an answer
# The largest number of pairs of slot and version in an answer. A pair has at most about 1,900
# buckets (`buckets`), and OpenSearch refuses an answer with more than 65,535 buckets.
PAGE: Final = 30
SPAN: Final = 8 * SLOT  # the length of the time span that one search reads, in seconds
# The width of the bin for values that are exactly 0: no value lies between 0 and this number.
NOTHING_ABOVE: Final = 1e-9

SEVERAL: Final = {"stream": "@log_group", "model": "model.name"}
PARTS: Final = {
    "version": "model.version",
    "function": "@function_version",
    "profile": "model.profile",
}


def predictions(stack: str, start: int, end: int) -> list[dict[str, Any]]:
    """Return the filters that select the live predictions of one stack in a span.

    The span includes `start` but not `end`, both in seconds since 1970.
    """
    span = {"gte": start * 1000, "lt": end * 1000, "format": "epoch_millis"}
    live = [{"term": {"traffic": "live"}}, {"bool": {"must_not": {"exists": {"field": "traffic"}}}}]
    return [
        {"term": {"@kind": "prediction"}},
        {"range": {"@timestamp": span}},
        {"term": {"@stack": stack}},
        {"bool": {"should": live, "minimum_should_match": 1}},
    ]


def of_stream(stream: Stream, start: int, end: int) -> dict[str, Any]:
    """Return the query for the predictions of one stream.

    If the stream's model has no name, the query selects the records that name no model.
    """
    filters = [*predictions(stream.stack, start, end), {"term": {"@log_group": stream.log_group}}]
    if stream.model:
        return {"bool": {"filter": [*filters, {"term": {"model.name": stream.model}}]}}
    return {"bool": {"filter": filters, "must_not": {"exists": {"field": "model.name"}}}}


def streams(stack: str, start: int, end: int) -> dict[str, Any]:
    """Return the search for the streams of a stack and the number of predictions of each stream."""
    return aggregated(
        {"bool": {"filter": predictions(stack, start, end)}},
        {"streams": {"composite": {"size": STREAMS, "sources": _sources(SEVERAL)}}},
    )


def labels(stream: Stream, start: int, end: int) -> dict[str, Any]:
    """Return the search for the most frequent labels of a stream.

    `slots` then searches the probabilities of these labels.
    """
    return aggregated(
        of_stream(stream, start, end), {"labels": _terms("prediction.label.keyword", LABELS)}
    )


def counts(stream: Stream, start: int, end: int) -> dict[str, Any]:
    """Return the search for the number of predictions of each slot.

    The caller asks for at most a week, which is 672 slots. It compares each number with the number
    in the slot's summary, and so finds the slots in which more predictions have arrived.
    """
    histogram = {"field": "@timestamp", "fixed_interval": f"{SLOT}s", "min_doc_count": 1}
    return aggregated(of_stream(stream, start, end), {"slots": {"date_histogram": histogram}})


def slots(
    stream: Stream,
    start: int,
    end: int,
    names: Sequence[str],
    after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the search for the statistics of each slot and version.

    The answer has at most 30 (`PAGE`) pairs of slot and version. If `after` is given, it has only
    pairs after this key. `names` are the labels whose probabilities are searched.
    """
    slot = {"date_histogram": {"field": "@timestamp", "fixed_interval": f"{SLOT}s"}}
    composite: dict[str, Any] = {"size": PAGE, "sources": [{"slot": slot}, *_sources(PARTS)]}
    if after:
        composite["after"] = dict(after)
    inner = {
        **{f"moments {name}": {"extended_stats": {"field": name}} for name in moment_fields(names)},
        **{key: body for name, scale in SCALES.items() for key, body in _bins(name, scale).items()},
        "labels": _terms("prediction.label.keyword", LABELS),
        "flags": _terms("input.flags", VALUES),
        "scripts": _terms("input.script", VALUES),
        "unknown": {"filter": {"range": {"input.unk_share": {"gt": 0}}}},
        "hashes": _terms("input.hash", TOP),
        "distinct": {"cardinality": {"field": "input.hash", "precision_threshold": 1000}},
    }
    return aggregated(
        of_stream(stream, start, end), {"slots": {"composite": composite, "aggregations": inner}}
    )


def moment_fields(names: Sequence[str]) -> tuple[str, ...]:
    """Return the fields for which a summary has a count, a sum and a sum of squares.

    The probability of each label in `names` is among them.
    """
    return (*MOMENTS, *(f"{PROBABILITY}.{name}" for name in names))


def buckets() -> int:
    """Return the largest number of buckets that a slot of one version can have."""
    return sum(s.count for s in SCALES.values()) + LABELS + 2 * VALUES + TOP + 2


def aggregated(query: dict[str, Any], aggregations: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a search whose answer has aggregations and no documents."""
    return {"size": 0, "track_total_hits": False, "query": query, "aggregations": aggregations}


def _sources(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {key: {"terms": {"field": field, "missing_bucket": True}}} for key, field in fields.items()
    ]


def _terms(field: str, size: int) -> dict[str, Any]:
    return {"terms": {"field": field, "size": size}}


def _bins(name: str, scale: Scale) -> dict[str, Any]:
    """Return the aggregations that count the values of a field by bin.

    Bins of equal width are counted by a histogram with fixed limits. All other bins are ranges,
    whose keys are the codes of the bins.
    """
    last = scale.high - scale.step / 2
    histogram = {
        "field": name,
        "interval": scale.step,
        "min_doc_count": 1,
        "hard_bounds": {"min": scale.low, "max": last},
    }
    tail = 2 + scale.steps
    ranges: list[dict[str, Any]] = [{"key": "0", "to": scale.low}]
    if scale.apart:
        ranges.append({"key": "1", "from": scale.low, "to": scale.low + NOTHING_ABOVE})
    for at, edge in enumerate(scale.tail):
        upper = {"to": scale.tail[at + 1]} if at + 1 < len(scale.tail) else {}
        ranges.append({"key": str(tail + at), "from": edge, **upper})
    return {
        f"steps {name}": {"histogram": histogram},
        f"ranges {name}": {"range": {"field": name, "keyed": True, "ranges": ranges}},
    }

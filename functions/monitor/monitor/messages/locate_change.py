"""Finds the part of the traffic, such as one version of the model, in which a number changed.

A number, such as the share of a label, is computed for each version of the model, for each script
(writing system), and for each value of a keyword field. Each part of the traffic
has a share of the change:

    rows of the part x (number in the part - usual number)
    ------------------------------------------------------
    all rows x (number in the whole traffic - usual number)

Functions with the parameter `search` send searches. All other functions only build searches or read
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from monitor.messages.message import VERSIONS, Canary, Deployment, Source
from monitor.messages.moved_parts import Measure
from monitor.summaries.searches import aggregated, of_stream
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY, HOUR

Search = Callable[[Mapping[str, Any]], Mapping[str, Any]]

SCRIPT: Final = {"script": "input.script"}
VALUES: Final = 10  # the largest number of values of an attribute in an answer
# A part explains the change if its share of the change exceeds its share of the predictions by at
# least this number.
MORE: Final = 0.2
LEAST: Final = 0.2  # a new value with a smaller share of the change is not named
EARLIER: Final = 7 * DAY  # a value is new if no prediction had it in this time before the change
DEPLOYED: Final = 30 * DAY  # older deployments are not looked for
# If a canary result is older than this when the window ends, the result is ignored.
PASSES: Final = 2 * HOUR
# Typical words are looked for in this number of predictions of each shard.
SAMPLE: Final = 200
# The words are also counted in this number of earlier predictions of each shard.
EARLIER_SAMPLE: Final = 1000
CANDIDATES: Final = {
    "words": {"significant_text": {"field": "text", "size": 50, "filter_duplicate_text": True}}
}
TYPICAL: Final = 5  # the largest number of typical words in a message
MANY: Final = 2.0  # a typical word is at least this many times as frequent as in earlier texts


@dataclass(frozen=True, slots=True)
class Span:
    """The start and end of the window, and the beginning of the change, in seconds since 1970."""

    start: int
    end: int
    since: int


def locate(
    search: Search,
    stream: Stream,
    span: Span,
    measure: Measure,
    *,
    usual: float | None,
    by: str,
) -> tuple[Source, ...]:
    """Return the parts of the traffic that explain the change, at most one for each attribute.

    The attributes are the versions, the script, and the field `by` unless it is empty. A part is
    the predictions with one value of an attribute. It explains the change if it is new, or if its
    share of the change is much larger than its share of the predictions. If the change is spread
    evenly, no part is returned.
    """
    attributes = VERSIONS | SCRIPT | ({by: by} if by else {})
    found = split(search(split_body(stream, span, measure, attributes)), measure, usual, attributes)
    known = search(earlier_body(stream, span, found, attributes)) if found else {}
    named = [replace(source, new=_is_new(known, at)) for at, source in enumerate(found)]
    return tuple(source for source in named if _explains(source))


def split_body(
    stream: Stream, span: Span, measure: Measure, attributes: Mapping[str, str]
) -> dict[str, Any]:
    """Return the search that counts the window's predictions for each value of each attribute.

    The search also computes the number that changed (`measure`), for each part and for all
    predictions.
    """
    value: dict[str, Any] = (
        {"filter": measure.share} if measure.share else {"avg": {"field": measure.mean}}
    )
    own = VERSIONS | SCRIPT
    parts = {
        name: {
            # `missing` counts predictions without the field as if its value were the text
            # "none". OpenSearch accepts a text there only for a keyword field.
            "terms": {"field": field, "size": VALUES}
            | ({"missing": "none"} if name in own else {}),
            "aggs": {"value": value},
        }
        for name, field in attributes.items()
    }
    return aggregated(of_stream(stream, span.start, span.end), {"whole": value, **parts})


def split(
    answer: Mapping[str, Any],
    measure: Measure,
    usual: float | None,
    attributes: Mapping[str, str],
) -> list[Source]:
    """Return one part for each attribute: the part with the largest share of the change.

    If the shares of the change are not known, the part with the most predictions is returned.
    Predictions without the attribute belong to no part.
    """
    rows = sum(int(part["doc_count"]) for part in _parts(answer, "script"))
    found = []
    for name in attributes:
        several = [
            Source(
                name,
                str(part.get("key_as_string", part["key"])),  # the key of a boolean is 0 or 1
                int(part["doc_count"]) / max(1, rows),
                _of_change(part, answer, measure, usual, rows),
            )
            for part in _parts(answer, name)
            if part["key"] != "none"
        ]
        largest = max(several, key=_weight, default=None)
        if largest:
            found.append(largest)
    return found


def earlier_body(
    stream: Stream, span: Span, found: list[Source], attributes: Mapping[str, str]
) -> dict[str, Any]:
    """Return the search that counts the predictions of each part in the week before the change."""
    filters = {
        str(at): {"filter": {"term": {attributes[s.attribute]: s.value}}}
        for at, s in enumerate(found)
    }
    return aggregated(of_stream(stream, span.since - EARLIER, span.since), filters)


def deployed(search: Search, stream: Stream, end: int) -> Deployment | None:
    """Return the newest version, or None if only one version answered in the last thirty days."""
    return newest(search(deployed_body(stream, end)))


def deployed_body(stream: Stream, end: int) -> dict[str, Any]:
    """Return the search for the first prediction of each version in the last thirty days."""
    parts = {
        name: {
            "terms": {"field": field, "size": VALUES, "order": {"first": "desc"}},
            "aggs": {"first": {"min": {"field": "@timestamp"}}},
        }
        for name, field in VERSIONS.items()
    }
    return aggregated(of_stream(stream, end - DEPLOYED, end), parts)


def newest(answer: Mapping[str, Any]) -> Deployment | None:
    """Return the newest version in the answer to `deployed_body`, or None if there is only one."""
    found = [
        Deployment(name, str(part["key"]), int(part["first"]["value"]) // 1000, str(before["key"]))
        for name in VERSIONS
        if len(parts := _parts(answer, name)) > 1
        for part, before in [parts[:2]]
    ]
    return max(found, key=lambda d: d.first, default=None)


def canary(search: Search, stream: Stream, end: int) -> Canary | None:
    """Return the canary's last result for the stream's model, or None if there is no recent one."""
    last = {
        "top_hits": {
            "size": 1,
            "sort": [{"@timestamp": "desc"}],
            "_source": ["monitor.canary.result", "monitor.canary.asked"],
        }
    }
    filters: list[dict[str, Any]] = [
        {"term": {"@kind": "canary"}},
        {"term": {"@stack": stream.stack}},
        {"term": {"monitor.model": stream.model}},
        # Runs during a deployment do not count: they ask a version that is not live yet.
        {"term": {"monitor.canary.trigger": "schedule"}},
        {"terms": {"monitor.canary.result": ["pass", "fail"]}},
        {"range": {"@timestamp": {"gte": (end - PASSES) * 1000, "format": "epoch_millis"}}},
    ]
    hits = search(aggregated({"bool": {"filter": filters}}, {"last": last})).get("last", {})
    for hit in hits.get("hits", {}).get("hits", []):
        found = hit["_source"]["monitor"]["canary"]
        passed = found["result"] == "pass"
        return Canary(passed, int(hit["sort"][0]) // 1000, compared="asked" in found)
    return None


def typical(search: Search, stream: Stream, span: Span) -> tuple[str, ...]:
    """Return words that are frequent in a sample of the window's texts, but rare in earlier texts.

    The first search (`significant_text`) finds words that may be typical. The second search counts
    these words in a sample of the texts from the week before the change. The comparison that
    `significant_text` itself makes cannot be used. It counts a word only in the indices of the
    window, but compares the count with the size of all indices. So each common word would seem to
    be typical.
    """
    there = {"exists": {"field": "text"}}
    found = search(_sampled(of_stream(stream, span.start, span.end), there, SAMPLE, CANDIDATES))
    sample = found.get("sample", {})
    words = {
        str(word["key"]): int(word["doc_count"]) / sample["doc_count"]
        for word in sample.get("words", {}).get("buckets", [])
    }
    if not words:
        return ()
    counted = {str(at): {"filter": {"match": {"text": word}}} for at, word in enumerate(words)}
    week = of_stream(stream, span.since - EARLIER, span.since)
    before = search(_sampled(week, there, EARLIER_SAMPLE, counted)).get("sample", {})
    rows = int(before.get("doc_count", 0))
    if not rows:
        return ()
    usual = [max(1, before[str(at)]["doc_count"]) / rows for at in range(len(words))]
    scores = {
        # This is OpenSearch's score JLH: the difference of the shares, times their ratio.
        word: (share - old) * share / old
        for (word, share), old in zip(words.items(), usual, strict=True)
        if share >= MANY * old
    }
    return tuple(sorted(scores, key=lambda word: -scores[word])[:TYPICAL])


def _sampled(
    query: Mapping[str, Any], also: Mapping[str, Any], size: int, parts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the search that applies the aggregations `parts` to `size` documents of each shard."""
    whole = {"bool": {"filter": [query, also]}}
    return aggregated(whole, {"sample": {"sampler": {"shard_size": size}, "aggs": parts}})


def _explains(source: Source) -> bool:
    if source.of_change is None:
        return source.new
    if source.new:
        return source.of_change >= LEAST
    return source.of_change - source.of_rows >= MORE


def _weight(source: Source) -> float:
    return source.of_rows if source.of_change is None else source.of_change


def _of_change(
    part: Mapping[str, Any],
    answer: Mapping[str, Any],
    measure: Measure,
    usual: float | None,
    rows: int,
) -> float | None:
    """Return the part's share of the change, or None if the change is zero or not known."""
    count = int(part["doc_count"])
    value, whole = _value(part["value"], measure, count), _value(answer["whole"], measure, rows)
    if value is None or whole is None or usual is None or whole == usual or not rows:
        return None
    return count * (value - usual) / (rows * (whole - usual))


def _value(answer: Mapping[str, Any], measure: Measure, rows: int) -> float | None:
    if measure.share:
        return int(answer["doc_count"]) / rows if rows else None
    value = answer["value"]
    return None if value is None else float(value)


def _parts(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return list(answer.get(name, {}).get("buckets", []))


def _is_new(known: Mapping[str, Any], at: int) -> bool:
    return str(at) in known and not known[str(at)]["doc_count"]

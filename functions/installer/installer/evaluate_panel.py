"""Evaluate a panel outside Kibana.

The module makes the search request that Kibana would send for the panel, and the rows that Kibana
would draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from installer.saved_objects import SavedObject

BARS: Final = 50  # the number of bars that Kibana aims at
PAGE: Final = 500  # the largest number of documents that a saved search shows
# Each pair is a bound and the length of a bar. Kibana divides the displayed period by `BARS`, and
# takes the first pair with a bound above the quotient.
INTERVALS: Final = (
    (timedelta(seconds=5), timedelta(seconds=1)),
    (timedelta(seconds=7.5), timedelta(seconds=5)),
    (timedelta(seconds=15), timedelta(seconds=10)),
    (timedelta(seconds=45), timedelta(seconds=30)),
    (timedelta(minutes=3), timedelta(minutes=1)),
    (timedelta(minutes=9), timedelta(minutes=5)),
    (timedelta(minutes=20), timedelta(minutes=10)),
    (timedelta(minutes=45), timedelta(minutes=30)),
    (timedelta(hours=2), timedelta(hours=1)),
    (timedelta(hours=6), timedelta(hours=3)),
    (timedelta(hours=24), timedelta(hours=12)),
)
MISSING: Final = "__missing__"

Span = tuple[datetime, datetime]
Row = tuple[Any, ...]


def request(panel: SavedObject, objects: Iterable[SavedObject], span: Span) -> dict[str, Any]:
    """Return the body of the search that Kibana sends for a panel and a span of time.

    `panel` is a visualization or a saved search. `objects` include the objects that the panel
    refers to. Raises `ValueError` for an aggregation that this module does not support.
    """
    *_, pattern = lineage = list(_lineage(panel, {(one.type, one.id): one for one in objects}))
    queries = [
        one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]["query"]["query"]
        for one in lineage[:-1]
    ]
    start, end = (moment.isoformat() for moment in span)
    body = {
        "track_total_hits": True,
        "query": {
            "bool": {
                "must": [
                    {"query_string": {"query": query, "analyze_wildcard": True}}
                    for query in queries
                ],
                "filter": [
                    {"range": {pattern.attributes["timeFieldName"]: {"gte": start, "lte": end}}}
                ],
            }
        },
    }
    if panel.type == "search":
        sort = [
            {field: {"order": order, "unmapped_type": "boolean"}}
            for field, order in panel.attributes["sort"]
        ]
        return {**body, "size": PAGE, "sort": sort}
    return {**body, "size": 0, "aggs": _nested(panel, interval(span))}


def searches(panel: SavedObject) -> bool:
    """Return whether Kibana sends a search for a panel. A panel of text needs none."""
    return panel.type == "search" or (
        panel.type == "visualization" and panel.attributes["visState"]["type"] != "markdown"
    )


def rows(panel: SavedObject, answer: dict[str, Any], span: Span | None = None) -> list[Row]:
    """Return the answer to a visualization's request as rows.

    A row has the keys of the buckets, then the values of the metrics, with one value for each
    percentile. Times are datetimes in UTC. A metric without documents has the value None. If a span
    is given and the panel drops partial bars, bars that are not wholly in the span are left out.
    """
    if "aggregations" not in answer:  # no index yet
        return []
    buckets, metrics = _aggregations(panel)
    found = {"doc_count": answer["hits"]["total"]["value"], **answer["aggregations"]}
    partial = [
        at
        for at, one in enumerate(buckets)
        if span and one["type"] == "date_histogram" and one["params"].get("drop_partials")
    ]
    return [
        row
        for row in _rows(buckets, metrics, found)
        if all(span and _whole(row[at], span) for at in partial)
    ]


def interval(span: Span) -> timedelta:
    """Return the length of a date histogram's bar, as Kibana chooses it for `auto`.

    The length is at most a day.
    """
    start, end = span
    return next(
        (each for bound, each in INTERVALS if bound > (end - start) / BARS), timedelta(days=1)
    )


def _whole(time: datetime, span: Span) -> bool:
    return span[0] <= time and time + interval(span) <= span[1]


def _lineage(
    panel: SavedObject, objects: dict[tuple[str, str], SavedObject]
) -> Iterator[SavedObject]:
    """Yield the panel, the saved search of the panel (if there is one), and the index pattern."""
    yield panel
    if panel.type != "index-pattern":
        source = panel.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]
        name = panel.attributes.get("savedSearchRefName") or source["indexRefName"]
        (reference,) = (one for one in panel.references if one["name"] == name)
        yield from _lineage(objects[reference["type"], reference["id"]], objects)


def _aggregations(panel: SavedObject) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the panel's buckets and its metrics, both in the order of the panel."""
    enabled = [one for one in panel.attributes["visState"]["aggs"] if one["enabled"]]
    return [one for one in enabled if one["schema"] != "metric"], [
        one for one in enabled if one["schema"] == "metric"
    ]


def _nested(panel: SavedObject, bar: timedelta) -> dict[str, Any]:
    buckets, metrics = _aggregations(panel)
    # An answer always has the count of each bucket, so the request needs no metric for it.
    counts = {one["id"] for one in metrics if one["type"] == "count"}
    aggs = {one["id"]: _metric(one) for one in metrics if one["id"] not in counts}
    for one in reversed(buckets):
        aggs = {one["id"]: {**_bucket(one, bar, counts), **({"aggs": aggs} if aggs else {})}}
    return aggs


def _metric(aggregation: dict[str, Any]) -> dict[str, Any]:
    params = aggregation["params"]
    match aggregation["type"]:
        case "percentiles":
            return {
                "percentiles": {
                    "field": params["field"],
                    "percents": params["percents"],
                    "keyed": False,
                }
            }
        case "avg" | "cardinality" | "max" | "min" as kind:
            return {kind: {"field": params["field"]}}
        case "top_hits":
            return {
                "top_hits": {
                    "_source": params["field"].removesuffix(".keyword"),
                    "size": params["size"],
                    "sort": [{params["sortField"]: {"order": params["sortOrder"]}}],
                }
            }
        case kind:
            raise ValueError(f"the metric {kind} is not supported")


def _bucket(aggregation: dict[str, Any], bar: timedelta, counts: set[str]) -> dict[str, Any]:
    params = aggregation["params"]
    if aggregation["type"] == "filters":
        return {
            "filters": {
                "filters": {
                    one["label"]: {
                        "query_string": {"query": one["input"]["query"], "analyze_wildcard": True}
                    }
                    for one in params["filters"]
                }
            }
        }
    asked: dict[str, Any] = {"field": params["field"]}
    match aggregation["type"]:
        case "date_histogram":
            asked |= {
                "fixed_interval": f"{bar // timedelta(seconds=1)}s",
                "min_doc_count": params["min_doc_count"],
            }
        case "terms":
            asked |= {
                "size": params["size"],
                "order": {
                    "_count" if params["orderBy"] in counts else params["orderBy"]: params["order"]
                },
            }
            if params.get("missingBucket"):
                asked["missing"] = MISSING
        case kind:
            raise ValueError(f"the bucket {kind} is not supported")
    return {aggregation["type"]: asked}


def _rows(
    buckets: list[dict[str, Any]],
    metrics: list[dict[str, Any]],
    found: dict[str, Any],
    keys: Row = (),
) -> Iterator[Row]:
    if not buckets:
        yield (*keys, *(value for one in metrics for value in _values(one, found)))
        return
    first, *others = buckets
    below = found[first["id"]]["buckets"]
    if first["type"] == "filters":
        below = [{"key": key, **bucket} for key, bucket in below.items()]
    for bucket in below:
        yield from _rows(others, metrics, bucket, (*keys, _key(first, bucket["key"])))


def _values(metric: dict[str, Any], found: dict[str, Any]) -> list[Any]:
    match metric["type"]:
        case "count":
            return [found["doc_count"]]
        case "percentiles":
            return [one["value"] for one in found[metric["id"]]["values"]]
        case "top_hits":
            return [_top(metric, found)]
        case _:
            return [found[metric["id"]]["value"]]


def _top(metric: dict[str, Any], found: dict[str, Any]) -> Any:
    """Return the field's value in the first document."""
    value: Any = next((hit["_source"] for hit in found[metric["id"]]["hits"]["hits"]), {})
    for name in metric["params"]["field"].removesuffix(".keyword").split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _key(bucket: dict[str, Any], key: Any) -> Any:
    if bucket["type"] == "date_histogram":
        return datetime.fromtimestamp(key / 1000, UTC)
    return bucket["params"]["missingBucketLabel"] if key == MISSING else key

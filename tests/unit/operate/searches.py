"""Extend the bulk server of the tests: it also answers the searches of `python -m operate`."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from operate.reconcile import milliseconds
from tests.unit.conftest import Answer, Bulk, Request, as_json


def searchable(bulk: Bulk) -> Bulk:
    plain = bulk._answer

    def answer(request: Request) -> Answer:
        if (request.method, urlsplit(request.target).path) != ("POST", "/cwl-*/_search"):
            return plain(request)
        assert request.headers["content-type"] == "application/json"
        return as_json(200, found(json.loads(request.body), bulk.documents))

    bulk._answer = answer  # type: ignore[method-assign]
    return bulk


def found(query: dict[str, Any], documents: dict[tuple[str, str], bytes]) -> dict[str, Any]:
    """Return OpenSearch's answer to a search.

    Without an index, the answer has no aggregations, as in OpenSearch 3.8.
    """
    times, names = query["query"]["bool"]["filter"]
    within = times["range"]["@timestamp"]
    wanted = [
        term["term"]["@log_group"]
        for term in names["bool"]["should"]
        if "@log_group" in term["term"]
    ]
    sources = [json.loads(source) for source in documents.values()]
    hits = [
        source
        for source in sources
        if source["@log_group"] in wanted
        and within["gte"] <= moment(source["@timestamp"]) < within["lt"]
    ]
    answer: dict[str, Any] = {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": []}}
    if "aggs" in query and documents:
        histogram = query["aggs"]["intervals"]["date_histogram"]
        every, offset = (
            int(histogram[name].removesuffix("ms")) for name in ("fixed_interval", "offset")
        )
        buckets = Counter(
            (moment(source["@timestamp"]) - offset) // every * every + offset for source in hits
        )
        answer["aggregations"] = {
            "intervals": {
                "buckets": [
                    {"key": key, "doc_count": count} for key, count in sorted(buckets.items())
                ]
            }
        }
    if query["size"]:
        assert query["sort"][0]["@timestamp"]["order"] == "desc"
        newest = sorted(hits, key=lambda source: moment(source["@timestamp"]), reverse=True)[
            : query["size"]
        ]
        answer["hits"]["hits"] = [
            {"_source": {name: source[name] for name in query["_source"]}} for source in newest
        ]
    return answer


def moment(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))


def rename(index: Bulk, old: str, new: str) -> None:
    [(key, source)] = [(key, source) for key, source in index.documents.items() if key[1] == old]
    del index.documents[key]
    index.documents[key[0], new] = json.dumps(json.loads(source) | {"@id": new}).encode()

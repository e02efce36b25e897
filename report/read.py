"""Reads the page's values from OpenSearch. Every search is limited to a time span."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any, Final

from report.page_values import (
    Bucket,
    Canary,
    Drift,
    Example,
    Gap,
    Predictions,
    Refusals,
    Said,
    Shipping,
    Span,
    Verdict,
    View,
)
from report.page_words import CERTAIN, FAILS
from shipper.label_fields import field_names

STEPS: Final = tuple(
    timedelta(seconds=one)
    for one in (
        5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800,
    )
)  # fmt: skip
# The largest number of time steps (buckets) of a span. Only a span of more than 59 weeks has more,
# because the longest step is a week.
BUCKETS: Final = 60
# Only this many labels (or flags, versions, error types, kinds) are read: the most frequent ones.
LABELS: Final = 20
NEWEST: Final = 12  # the number of newest predictions that are read
SHOWN: Final = 8  # rows of the table of feedback, and of each table of uncertain or strange texts
ASKED: Final = 100  # the number of predictions that are read, to show `SHOWN` different texts
# Only this many of the newest documents are read. If there may be more, the page says so.
VERDICTS: Final = 700  # enough for one stream and a week
DRIFTS: Final = 4000
OTHERS: Final = 50
CANARIES: Final = 100  # enough for a day, in which the scheduled canary runs 96 times
# A gap (a period without predictions) at the end of the span counts only if at least this many time
# steps have predictions.
STEADY: Final = 10
TWENTIETHS: Final = 20  # the number of bins of the score, from 0 to 1
# OpenSearch keeps a score as a 32-bit float. Near 1, the error of such a float is at most 3.0e-8
# (2^-25), and the largest float below 1 is 1 - 6.0e-8 (1 - 2^-24). All bins begin 5e-8 lower. This
# is more than 3.0e-8, so a score of 0.95 is in the bin from 0.95 to 1. It is less than 6.0e-8, so
# the last bin has only scores of exactly 1.
OFFSET: Final = -5e-8
_ENDED: Final = ({"exists": {"field": "monitor.start"}}, {"exists": {"field": "monitor.end"}})
MUCH: Final = 1000  # the largest number of characters of a text that are kept
# Verdicts and results of the canary are read for at least this time, even if the span is shorter.
JUDGED: Final = timedelta(days=1)

Search = Callable[[dict[str, Any]], dict[str, Any]]
Document = dict[str, Any]


def span(now: datetime, length: timedelta) -> Span:
    """Return the span of `length` that ends at `now`. Its start is rounded down to a whole step.

    The step is the shortest of `STEPS` with which the span has at most `BUCKETS` steps. If there is
    no such step, it is the longest of `STEPS`.
    """
    step = next((one for one in STEPS if length <= one * (BUCKETS - 1)), STEPS[-1])
    epoch = datetime.fromtimestamp(0, UTC)
    return Span(epoch + step * ((now - length - epoch) // step), now, step)


def read(search: Search, shown: Span, stack: str = "") -> View:
    """Return all that the page shows about a span.

    `search` sends the body of a search to the prediction indices and returns the answer. The
    exceptions of `search` are not caught. If `stack` is given, only documents of this stack and
    documents without a stack are read.
    """
    filters = _Filters(shown, stack)
    failed: dict[str, str] = {}
    search = _noting(search, failed)
    predictions, live = _predictions(search, shown, filters)
    refusals = _refusals(search, shown, filters)
    return View(
        span=shown,
        predictions=predictions,
        refusals=refusals,
        verdicts=tuple(_verdicts(search, filters)),
        drifts=tuple(_drifts(search, filters)),
        newest=tuple(map(_example, live)),
        uncertain=_distinct(search, filters, "prediction.score", "asc"),
        strangest=_distinct(search, filters, "input.novelty", "desc"),
        shipping=_shipping(search, filters),
        others=tuple(_others(search, filters)),
        gaps=tuple(gaps(predictions.buckets, shown)),
        canary=_canary(search, filters),
        failed=tuple(failed.items()),
    )


def _noting(search: Search, failed: dict[str, str]) -> Search:
    """Return a search that also puts the indices that failed, and the reasons, into `failed`."""

    def noting(body: dict[str, Any]) -> dict[str, Any]:
        answer = search(body)
        for one in _object(answer.get("_shards")).get("failures", []):
            reason = _text(_object(one.get("reason")).get("reason"))
            failed.setdefault(_text(one.get("index")), reason)
        return answer

    return noting


class _Filters:
    """Makes queries that are limited to a span and to a stack."""

    def __init__(self, shown: Span, stack: str) -> None:
        self._stack = stack
        self._start, self._end = shown.start, shown.end

    def query(self, *conditions: dict[str, Any], back: timedelta | None = None) -> dict[str, Any]:
        """Return a query for the span. A span that is shorter than `back` is extended to `back`."""
        start = min(self._start, self._end - back) if back else self._start
        time = {"gte": start.isoformat(), "lt": self._end.isoformat()}
        own = [_or_none("@stack", self._stack)] if self._stack else []
        return {"bool": {"filter": [{"range": {"@timestamp": time}}, *own, *conditions]}}

    def predictions(self, *more: dict[str, Any]) -> dict[str, Any]:
        """Return a query for live predictions, as the dashboards count them."""
        live = (_or_none("traffic", "live"), _or_none("@kind", "prediction"))
        return self.query(*live, {"exists": {"field": "prediction.label"}}, *more)


def _or_none(field: str, *values: str) -> dict[str, Any]:
    none = {"bool": {"must_not": [{"exists": {"field": field}}]}}
    return {"bool": {"should": [{"terms": {field: values}}, none], "minimum_should_match": 1}}


def _by(field: str, order: str = "desc") -> dict[str, Any]:
    """Return a sort by a field. An index that does not have the field is no error."""
    return {field: {"order": order, "unmapped_type": "long"}}


def _predictions(
    search: Search, shown: Span, filters: _Filters
) -> tuple[Predictions, list[dict[str, Any]]]:
    """Return the counts of the predictions, and the newest predictions."""
    label = {"terms": {"field": "prediction.label.keyword", "size": LABELS}}
    latency = {"percentiles": {"field": "latency_ms", "percents": [50, 95], "keyed": False}}
    score = {"avg": {"field": "prediction.score"}}
    bins = {
        "field": "prediction.score",
        "interval": 1 / TWENTIETHS,
        "offset": OFFSET,
        "min_doc_count": 1,
        "hard_bounds": {"min": 0, "max": 1},
    }
    each = {
        "labels": label,
        "flags": {"terms": {"field": "input.flags", "size": LABELS}},
        "versions": {"terms": {"field": "model.version", "size": LABELS}},
        "score": score,
        "latency": latency,
    }
    answer = search(
        {
            "size": NEWEST,
            "sort": [_by("@timestamp"), _by("@position")],
            "track_total_hits": True,
            "query": filters.predictions(),
            "aggs": {
                "time": _time(shown, each),
                "labels": {**label, "aggs": {"scores": {"histogram": bins}}},
                "scores": {"histogram": bins},
                "score": score,
                "latency": latency,
                "texts": {"cardinality": {"field": "input.hash"}},
            },
        }
    )
    live = _hits(answer)
    found = answer.get("aggregations", {})
    labels = _counts(found.get("labels"))
    known = _known(_all_labels(live), labels)
    if found.get("labels", {}).get("sum_other_doc_count"):
        # The counts of labels that were not read are unknown, so these labels are left out.
        known = [name for name in known if name in labels]
    predictions = Predictions(
        number=int(answer.get("hits", {}).get("total", {}).get("value", 0)),
        all_labels=tuple(known),
        labels={name: labels.get(name, 0) for name in known},
        scores={
            str(one["key"]): _bins(one["scores"])
            for one in found.get("labels", {}).get("buckets", [])
        },
        score=_value(found.get("score")),
        latency=_percentiles(found.get("latency")),
        texts=int(found.get("texts", {}).get("value", 0)),
        buckets=tuple(_buckets(found, shown)),
        all_scores=_bins(found.get("scores", {"buckets": []})),
    )
    return predictions, live


def _known(fields: Sequence[str], labels: Mapping[str, int]) -> list[str]:
    """Return every label once.

    `fields` has the field names of the probabilities. Labels with a field come first, in the order
    of the fields. The other labels follow in alphabetical order.
    """
    found = sorted(labels)
    by_field = {name: label for label, name in field_names(tuple(found)).items()}
    return list(dict.fromkeys([*(by_field.get(name, name) for name in fields), *found]))


def _buckets(found: Mapping[str, Any], shown: Span) -> Iterator[Bucket]:
    by_time = _by_time(found)
    for time in shown.times():
        one = by_time.get(time, {})
        yield Bucket(
            time,
            int(one.get("doc_count", 0)),
            _counts(one.get("labels")),
            _counts(one.get("flags")),
            _counts(one.get("versions")),
            _value(one.get("score")),
            _percentiles(one.get("latency")),
        )


def _all_labels(live: Sequence[Document]) -> list[str]:
    """Return the field names of the probabilities in the newest prediction that has them."""
    for hit in live:
        probability = _object(_object(hit.get("_source")).get("prediction")).get("probability")
        if isinstance(probability, dict) and probability:
            return [str(name) for name in probability]
    return []


def _bins(found: Mapping[str, Any]) -> tuple[int, ...]:
    counts = [0] * (TWENTIETHS + 1)
    for one in found["buckets"]:
        counts[min(TWENTIETHS, max(0, round(one["key"] * TWENTIETHS)))] += one["doc_count"]
    return tuple(counts)


def _refusals(search: Search, shown: Span, filters: _Filters) -> Refusals:
    ranges = [{"key": "caller", "from": 400, "to": 500}, {"key": "ours", "from": 500, "to": 600}]
    status = {"range": {"field": "error.status", "keyed": True, "ranges": ranges}}
    answer = search(
        {
            "size": 0,
            "query": filters.query(
                _or_none("traffic", "live"),
                _or_none("@kind", "prediction", "prediction_error"),
                {"range": {"error.status": {"gte": 400, "lt": 600}}},
            ),
            "aggs": {
                "time": _time(shown, {"status": status}),
                "types": {"terms": {"field": "error.type", "size": LABELS}},
            },
        }
    )
    found = answer.get("aggregations", {})
    by_time = _by_time(found)
    statuses = [by_time.get(time, {}).get("status", {}) for time in shown.times()]
    counts = {
        whose: tuple(
            int(each.get("buckets", {}).get(whose, {}).get("doc_count", 0)) for each in statuses
        )
        for whose in ("caller", "ours")
    }
    return Refusals(_counts(found.get("types")), counts["caller"], counts["ours"])


def _distinct(search: Search, filters: _Filters, field: str, order: str) -> tuple[Example, ...]:
    """Return the first predictions in the order of a field, but only one for each text.

    Two predictions have the same text if their hashes are equal, or if they have no hash and their
    texts are equal.
    """
    asked: dict[str, Any] = {
        "size": ASKED,
        "sort": [_by(field, order), _by("@timestamp")],
        "track_total_hits": False,
        "query": filters.predictions({"exists": {"field": field}}),
    }
    known, unknown = (
        _hits(search(each))
        for each in (
            {**asked, "collapse": {"field": "input.hash"}, "query": _having(asked, "must")},
            {**asked, "query": _having(asked, "must_not")},
        )
    )
    place = -1 if order == "desc" else 1
    hits = sorted([*known, *unknown], key=lambda hit: place * _sorted_by(hit))
    examples = {one.hash or one.text or one.id: one for one in reversed([*map(_example, hits)])}
    return tuple(reversed(examples.values()))[:SHOWN]


def _having(asked: dict[str, Any], occurrence: str) -> dict[str, Any]:
    return {"bool": {"filter": [asked["query"]], occurrence: [{"exists": {"field": "input.hash"}}]}}


def _sorted_by(hit: Document) -> float:
    value = hit.get("sort", [0])[0]
    return float(value) if isinstance(value, int | float) else 0.0


def _verdicts(search: Search, filters: _Filters) -> Iterator[Verdict]:
    against = {"term": {"monitor.reference": "baseline"}}
    query = filters.query({"term": {"@kind": "verdict"}}, against, *_ENDED, back=JUDGED)
    asked = {"size": VERDICTS, "sort": [_by("monitor.end")], "query": query}
    for hit in _hits(search(asked)):
        one = _object(_object(hit.get("_source")).get("monitor"))
        start, end = _moment(one.get("start")), _moment(one.get("end"))
        if start is None or end is None:
            continue
        yield Verdict(
            _stream(one),
            start,
            end,
            int(_number(one.get("rows")) or 0),
            _text(one.get("word")),
            _text(one.get("sentence")),
            int(_number(one.get("in_a_row")) or 0),
            int(_number(one.get("wanted_in_a_row")) or 0),
            _text(_object(one.get("message")).get("subject")),
            _text(_object(one.get("message")).get("silenced")),
            _text(_object(one.get("message")).get("change")),
            _text(_object(one.get("message")).get("action")),
            _text(one.get("baseline")),
        )


def _drifts(search: Search, filters: _Filters) -> Iterator[Drift]:
    against = {"term": {"monitor.reference": "baseline"}}
    query = filters.query({"term": {"@kind": "drift"}}, against, *_ENDED, back=JUDGED)
    asked = {"size": DRIFTS, "sort": [_by("monitor.end")], "query": query}
    for hit in _hits(search(asked | {"_source": ["monitor"]})):
        one = _object(_object(hit.get("_source")).get("monitor"))
        end = _moment(one.get("end"))
        if end is None:
            continue
        yield Drift(
            _stream(one),
            end,
            _text(one.get("signal")),
            _number(one.get("p")),
            _number(one.get("effect")),
            _number(one.get("floor")) or 0.0,
            _text(one.get("part")),
            _number(one.get("value")),
            _number(one.get("expected")),
            one.get("unusual") is True,
            _number(one.get("limit")),
        )


def _shipping(search: Search, filters: _Filters) -> Shipping:
    delay = {"percentiles": {"field": "@delay_ms", "percents": [50, 95], "keyed": False}}
    answer = search(
        {
            "size": 0,
            "query": filters.query(),
            "aggs": {
                "kinds": {"terms": {"field": "@kind", "size": LABELS}},
                "rescued": {"filter": {"exists": {"field": "@rescued.type"}}},
                "delay": delay,
            },
        }
    )
    found = answer.get("aggregations", {})
    return Shipping(
        _counts(found.get("kinds")),
        int(found.get("rescued", {}).get("doc_count", 0)),
        _percentiles(found.get("delay")),
    )


def _others(search: Search, filters: _Filters) -> Iterator[Said]:
    """Yield the newest results of the canary, and then the newest feedback.

    Each kind has a search of its own, so that much feedback does not displace a result of the
    canary.
    """
    for kind, size in (("canary", OTHERS), ("feedback", SHOWN)):
        query = filters.query({"term": {"@kind": kind}}, back=JUDGED)
        asked = {"size": size, "sort": [_by("@timestamp")], "query": query}
        yield from map(_said, _hits(search(asked)))


def _canary(search: Search, filters: _Filters) -> Canary | None:
    """Return the last result of the scheduled canary.

    A canary sends sentences with known answers to a model. The scheduled canary tests the model
    that answers the callers. The canary of a deployment tests a new model that does not answer the
    callers yet, so its results are not read.
    """
    scheduled = {"term": {"monitor.canary.trigger": "schedule"}}
    judged = {"terms": {"monitor.canary.result": ["pass", "fail"]}}
    query = filters.query({"term": {"@kind": "canary"}}, scheduled, judged, back=JUDGED)
    asked = {"size": CANARIES, "sort": [_by("@timestamp")], "query": query}
    found = [_object(hit.get("_source")) for hit in _hits(search(asked))]
    if not found:
        return None
    failed = list(takewhile(lambda one: _result(one) == FAILS, found))
    last = _object(found[0].get("monitor"))
    canary = _object(last.get("canary"))
    return Canary(
        _result(found[0]),
        _text(last.get("sentence")),
        _texts(canary.get("faults")),
        _moment(failed[-1].get("@timestamp")) if failed else None,
        len(failed) < len(found),
        (_text(last.get("version")), _text(canary.get("function_version"))),
    )


def _result(document: Document) -> str:
    return _text(_object(_object(document.get("monitor")).get("canary")).get("result"))


def _said(hit: Document) -> Said:
    document = _object(hit.get("_source"))
    kind = _text(document.get("@kind"))
    if kind == "feedback":
        label = _object(document.get("feedback"))
        about = f"{_text(label.get('source')) or 'somebody'} labelled"
        sentence = f"{about} prediction {_text(document.get('prediction_id'))}"
        return Said(_moment(document.get("@timestamp")), kind, _text(label.get("label")), sentence)
    one = _object(document.get("monitor")) or _object(document.get(kind))
    return Said(
        _moment(document.get("@timestamp")),
        kind,
        _text(one.get("word") or _object(one.get(kind)).get("result")),
        _text(one.get("sentence")),
    )


def gaps(buckets: Sequence[Bucket], shown: Span) -> Iterator[Gap]:
    """Yield the periods that have no predictions, although at least `CERTAIN` were expected.

    The expected number is computed from the mean number of predictions in a bucket. For a period
    between two buckets with predictions, this is the mean of all buckets that are not empty. For a
    period at the end of the span, the mean also counts the empty buckets between the first and the
    last bucket with predictions. If 20 predictions are expected at random times, the probability
    that there is none is e^-20.

    A period without predictions at the end of the span is a gap only if at least `STEADY` buckets
    have predictions, so that no gap is shown after a few requests that were sent by hand.
    """
    there = [at for at, one in enumerate(buckets) if one.predictions]
    if not there:
        return
    total = sum(one.predictions for one in buckets)
    for before, after in pairwise(there):
        expected = total / len(there) * (after - before - 1)
        if expected >= CERTAIN:
            yield Gap(buckets[before].time + shown.step, buckets[after].time, expected)
    since = buckets[there[-1]].time + shown.step
    expected = total / (there[-1] - there[0] + 1) * ((shown.end - since) / shown.step)
    if len(there) >= STEADY and expected >= CERTAIN:
        yield Gap(since, shown.end, expected)


def _time(shown: Span, each: Mapping[str, Any]) -> dict[str, Any]:
    histogram = {
        "field": "@timestamp",
        "fixed_interval": f"{shown.step // timedelta(seconds=1)}s",
        "min_doc_count": 1,
    }
    return {"date_histogram": histogram, "aggs": each}


def _by_time(found: Mapping[str, Any]) -> dict[datetime, dict[str, Any]]:
    """Return the buckets of the aggregation that `_time` makes, by time."""
    return {
        datetime.fromtimestamp(one["key"] / 1000, UTC): one
        for one in found.get("time", {}).get("buckets", [])
    }


def _hits(answer: Mapping[str, Any]) -> list[Document]:
    hits: list[Document] = answer.get("hits", {}).get("hits", [])
    return hits


def _counts(found: Mapping[str, Any] | None) -> dict[str, int]:
    return {str(one["key"]): int(one["doc_count"]) for one in (found or {}).get("buckets", [])}


def _value(found: Mapping[str, Any] | None) -> float | None:
    return _number((found or {}).get("value"))


def _percentiles(found: Mapping[str, Any] | None) -> tuple[float | None, float | None]:
    values = [_number(one["value"]) for one in (found or {}).get("values", [])]
    low, high = values or (None, None)
    return low, high


def _example(hit: Document) -> Example:
    """Return the prediction in a hit. Values of an unexpected type are left out or become texts."""
    document = _object(hit.get("_source"))
    prediction, about = _object(document.get("prediction")), _object(document.get("input"))
    text = document.get("text")
    return Example(
        _moment(document.get("@timestamp")),
        None if text is None else str(text)[:MUCH],
        _text(prediction.get("label")),
        _number(prediction.get("score")),
        _number(about.get("novelty")),
        _texts(about.get("flags")),
        _text(about.get("hash")),
        about.get("chars") if isinstance(about.get("chars"), int) else None,
        _text(document.get("prediction_id")) or str(hit.get("_id", "")),
    )


def _object(value: object) -> Document:
    """Return an object, or the first object of a list, or an empty object."""
    if isinstance(value, list):
        value = next((each for each in value if isinstance(each, dict)), {})
    return value if isinstance(value, dict) else {}


def _stream(monitor: Mapping[str, Any]) -> str:
    return f"{_text(monitor.get('log_group'))} {_text(monitor.get('model'))}".strip()


def _texts(value: object) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(map(_text, several))


def _text(value: object) -> str:
    return "" if value is None else str(value)[:MUCH]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found and found.tzinfo else None

"""Counts the labels that people gave for the predictions of a stream.

A stream is the predictions of one model in one log group. One search over the monitor's index
finds all counts. For each label, the index has a joined record (joined_record.py), which holds the
label and its prediction. The index also has summaries, which count all predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from monitor.accuracy.intervals import Labelled, Tally
from monitor.summaries.searches import aggregated
from monitor.summaries.store import Kind
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY

DAYS: Final = 30  # labels are counted if their predictions are of the last 30 days
SPAN: Final = DAYS * DAY
VERSIONS: Final = 20  # the largest number of versions in an answer
LABELS: Final = 20  # the largest number of labels in a table of confusion
BIN: Final = 0.05  # width of a bin of the score


def labelled_body(stream: Stream, start: int, end: int) -> dict[str, Any]:
    """Return the search that counts labels and predictions for each version of the model.

    The predictions are from `start` to just before `end`, both in seconds since 1970.
    """
    filters = [
        {"terms": {"kind": [Kind.FEEDBACK, Kind.SUMMARY]}},
        {"term": {"stack": stream.stack}},
        {"term": {"log_group": stream.log_group}},
        {"term": {"model.name": stream.model}},
        {"range": {"start": {"gte": start, "lt": end}}},
    ]
    tally = {
        "right": {"filter": {"term": {"feedback.correct": True}}},
        "score": {"avg": {"field": "feedback.score"}},
    }
    predicted = {"terms": {"field": "feedback.predicted", "size": LABELS}}
    bins = {"field": "feedback.score", "interval": BIN, "min_doc_count": 1}
    of_labels = {
        **tally,
        "audit": {"filter": {"term": {"feedback.source": "audit"}}, "aggs": tally},
        "confusion": {
            "terms": {"field": "feedback.label", "size": LABELS},
            "aggs": {"predicted": predicted},
        },
        "bins": {"histogram": bins, "aggs": tally},
    }
    parts = {
        "labels": {"filter": {"term": {"kind": Kind.FEEDBACK}}, "aggs": of_labels},
        "all": {
            "filter": {"term": {"kind": Kind.SUMMARY}},
            "aggs": {"rows": {"sum": {"field": "rows"}}},
        },
    }
    versions = {"terms": {"field": "model.version", "size": VERSIONS}, "aggs": parts}
    return aggregated({"bool": {"filter": filters}}, {"versions": versions})


def parse_labelled(answer: Mapping[str, Any]) -> dict[str, Labelled]:
    """Return the counts for each version that has labels. `answer` holds the aggregations."""
    found = {}
    for bucket in answer.get("versions", {}).get("buckets", []):
        labels = bucket["labels"]
        if labels["doc_count"]:
            found[str(bucket["key"])] = Labelled(
                every=_tally(labels),
                audit=_tally(labels["audit"]),
                confusion={
                    str(one["key"]): {
                        str(other["key"]): int(other["doc_count"])
                        for other in one["predicted"]["buckets"]
                    }
                    for one in labels["confusion"]["buckets"]
                },
                bins={
                    round(100 * float(one["key"])): _tally(one) for one in labels["bins"]["buckets"]
                },
                rows=int(bucket["all"]["rows"]["value"] or 0),
            )
    return found


def _tally(bucket: Mapping[str, Any]) -> Tally:
    score = bucket["score"]["value"]
    return Tally(
        int(bucket["doc_count"]),
        int(bucket["right"]["doc_count"]),
        None if score is None else float(score),
    )

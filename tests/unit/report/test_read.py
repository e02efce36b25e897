"""Tests `report.read` without a server: its searches, and the view that it makes from answers."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from report import page_words
from report.page import render
from report.page_values import View
from report.read import LABELS, SHOWN, VERDICTS, read, span
from tools.root import ROOT

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SPAN = span(NOW, timedelta(hours=1))
PANELS = ROOT / "kibana" / "saved" / "visualization"

Doc = dict[str, Any]


def kinds(body: Doc) -> str:
    return json.dumps(body["query"])


class Index:
    """Answers searches, and records them in `asked`.

    `found` maps a text to documents. If the query of a search contains the text, the answer has
    these documents.
    """

    def __init__(self, found: dict[str, list[Doc]] | None = None, **predictions: Any) -> None:
        self.asked: list[Doc] = []
        self._found, self._predictions = found or {}, predictions

    def __call__(self, body: Doc) -> Doc:
        self.asked.append(body)
        if "labels" in body.get("aggs", {}):
            return self._predictions
        for text, documents in self._found.items():
            if text in kinds(body):
                return {"hits": {"hits": [{"_source": each} for each in documents[: body["size"]]]}}
        return {}

    def view(self) -> View:
        return read(self, SPAN)


def said(kind: str, word: str, **more: Any) -> Doc:
    monitor = {"sentence": f"It is {word}.", "canary": {"result": word, **more}}
    return {"@timestamp": NOW.isoformat(), "@kind": kind, "monitor": monitor}


def test_newer_lines_of_other_kinds_do_not_hide_a_failing_canary() -> None:
    index = Index(
        {
            '"monitor.canary.trigger": "schedule"': [said("canary", "fail", trigger="schedule")],
            '"feedback"': [said("canary", "pass", trigger="deployment")] * 60,
        }
    )
    assert page_words.answer(index.view()).word == "canary"
    (asked,) = (each for each in index.asked if "canary.trigger" in kinds(each))
    assert '"monitor.canary.result": ["pass", "fail"]' in kinds(asked)


@pytest.mark.parametrize(
    ("results", "since", "passed_before"),
    [
        (["fail", "fail", "pass", "fail"], 1, True),
        (["fail", "fail"], 1, False),
        (["pass", "fail"], None, True),
    ],
)
def test_a_failing_canary_is_read_with_its_time_and_version(
    results: list[str], since: int | None, passed_before: bool
) -> None:
    lines = [said("canary", one, function_version="7", faults=["a", "b"]) for one in results]
    for ago, line in enumerate(lines):
        line["@timestamp"] = (NOW - timedelta(hours=ago)).isoformat()
        line["monitor"]["version"] = "v1"
    canary = Index({'"monitor.canary.trigger": "schedule"': lines}).view().canary
    assert canary is not None
    assert canary.since == (None if since is None else NOW - timedelta(hours=since))
    assert (canary.word, canary.passed_before) == (results[0], passed_before)
    assert (canary.faults, canary.versions) == (("a", "b"), ("v1", "7"))


def test_much_feedback_does_not_displace_a_result_of_the_canary() -> None:
    label = {"label": "negative", "source": "human"}
    given = {"@kind": "feedback", "prediction_id": "5fc1", "feedback": label}
    many = [given | {"@timestamp": NOW.isoformat()}] * 60
    index = Index({'"@kind": "feedback"': many, '"@kind": "canary"': [said("canary", "pass")]})
    others = index.view().others
    assert [one.kind for one in others] == ["canary", *["feedback"] * SHOWN]
    assert (others[-1].word, others[-1].sentence) == ("negative", "human labelled prediction 5fc1")


def found(labels: dict[str, int], probability: Doc | None = None, rest: int = 0) -> Doc:
    """Return an answer in which every prediction is in the first step of the span."""
    number = sum(labels.values()) + rest
    score = {"buckets": [{"key": 0.5, "doc_count": number}]}
    buckets = [
        {"key": name, "doc_count": count, "scores": {"buckets": [{"key": 0.5, "doc_count": count}]}}
        for name, count in labels.items()
    ]
    time = {
        "key": SPAN.start.timestamp() * 1000,
        "doc_count": number,
        "labels": {"buckets": buckets},
    }
    source = {"prediction": {"label": next(iter(labels)), "probability": probability or {}}}
    return {
        "hits": {"total": {"value": number}, "hits": [{"_source": source}]},
        "aggregations": {
            "labels": {"buckets": buckets, "sum_other_doc_count": rest},
            "time": {"buckets": [time]},
            "scores": score,
        },
    }


def test_a_label_with_a_space_is_not_shown_again_with_an_underscore() -> None:
    probability = {"very_positive": 0.7, "negative": 0.2, "so_so": 0.1}
    made = Index(**found({"negative": 2, "very positive": 3}, probability)).view().predictions
    assert made.all_labels == ("very positive", "negative", "so_so")
    assert made.labels == {"very positive": 3, "negative": 2, "so_so": 0}


def test_labels_that_are_not_shown_are_counted_as_others() -> None:
    names = [f"label {at:02}" for at in range(LABELS + 5)]
    counted = dict.fromkeys(names[5:], 4)  # the search does not return the first five labels
    probability = {name.replace(" ", "_"): 0.04 for name in names}
    view = Index(**found(counted, probability, rest=20)).view()
    assert view.predictions.all_labels == tuple(names[5:])
    html = " ".join(render(view).split())
    assert html.count("</i>others <b>20</b>") == 2  # in the plots of counts and of scores
    assert "</i>others <b>20 %</b>" in html
    assert "</i>label 24 <b>4 %</b>" in html
    assert "<span>others</span> <b>20 %</b> <small>20</small>" in html


def test_a_label_with_the_same_name_as_the_group_others_is_counted_in_this_group() -> None:
    html = render(Index(**found({"others": 5, "a": 3}, rest=2)).view())
    assert "</i>others <b>7</b>" in html


@pytest.mark.parametrize("twentieth", range(21))
def test_a_score_at_the_edge_of_a_bar_is_in_the_upper_bar(twentieth: int) -> None:
    index = Index()
    index.view()
    (asked,) = (each["aggs"] for each in index.asked if "labels" in each.get("aggs", {}))
    for bins in (asked["labels"]["aggs"]["scores"]["histogram"], asked["scores"]["histogram"]):
        stored = as_float(twentieth / 20)
        below = as_float(math.nextafter(stored, 0)) if stored else -1.0
        # OpenSearch computes the bin of a value in this way
        at = [math.floor((v - bins["offset"]) / bins["interval"]) for v in (stored, below)]
        assert at[0] == twentieth
        if twentieth == 20:
            assert math.floor((1 - 2**-24 - bins["offset"]) / bins["interval"]) == 19


def as_float(value: float) -> float:
    """Return a value as a field of type float keeps it."""
    kept: float = struct.unpack("f", struct.pack("f", value))[0]
    return kept


def test_an_index_may_lack_the_field_by_which_documents_are_sorted() -> None:
    index = Index()
    index.view()
    sorts = [one for each in index.asked for one in each.get("sort", [])]
    assert sorts
    for one in sorts:
        (how,) = one.values()
        assert how["unmapped_type"], one


def test_the_page_names_an_index_that_could_not_be_searched() -> None:
    reason = {"index": "cwl-2026.11.22", "reason": {"reason": "No mapping found"}}
    answer = {"_shards": {"total": 3, "failed": 1, "failures": [reason]}}
    view = read(lambda _: answer, SPAN)
    assert [one for one in page_words.troubles(view) if "cwl-2026.11.22" in one] == [
        "Figures are too low: cwl-2026.11.22 could not be searched in full (No mapping found)."
    ]
    assert list(page_words.troubles(Index().view())) == []


def test_only_errors_in_prediction_lines_are_counted() -> None:
    """Lines that are no records (`@kind: log`) may have an `error.status` too."""
    index = Index()
    index.view()
    (asked,) = (kinds(each) for each in index.asked if "error.status" in kinds(each))
    assert '{"terms": {"@kind": ["prediction", "prediction_error"]}}' in asked
    errors, failures = (
        json.loads((PANELS / f"prediction-monitor-{name}.json").read_text())["attributes"]
        for name in ("errors", "failures")
    )
    query = errors["kibanaSavedObjectMeta"]["searchSourceJSON"]["query"]["query"]
    condition = query.removeprefix("(traffic:live OR (*:* AND NOT _exists_:traffic)) AND ")
    (filters,) = (one["params"]["filters"] for one in failures["visState"]["aggs"][1:])
    assert filters[0]["input"]["query"] == f"error.status:[500 TO *] AND {condition}"


@pytest.mark.parametrize("value", [None, "many", [1], {"a": 1}])
def test_a_verdict_with_counts_that_are_no_numbers_is_shown(value: object) -> None:
    numbers = dict.fromkeys(("rows", "in_a_row", "wanted_in_a_row"), value)
    times = {"start": (NOW - timedelta(hours=1)).isoformat(), "end": NOW.isoformat()}
    index = Index({'"verdict"': [{"monitor": {"word": "ok", **times, **numbers}}]})
    (one,) = index.view().verdicts
    assert (one.rows, one.in_a_row, one.wanted) == (0, 0, 0)


@pytest.mark.parametrize("number", [VERDICTS - 1, VERDICTS])
def test_the_page_says_if_it_shows_only_the_newest_verdicts(number: int) -> None:
    times = {"start": (NOW - timedelta(hours=1)).isoformat(), "end": NOW.isoformat()}
    index = Index({'"verdict"': [{"monitor": {"word": "ok", **times}}] * number})
    assert ("Only the newest 700 verdicts are shown." in render(index.view())) == (number == 700)

"""Tests the search for the part of the traffic from which most of a change comes.

A part is, for example, all predictions of one version of the model.
"""

from __future__ import annotations

from typing import Any

import pytest

from monitor.messages.locate_change import Span, canary, locate, newest
from monitor.messages.message import Canary, Deployment
from monitor.messages.moved_parts import Measure
from monitor.opensearch_problem import ServerProblem
from tests.unit.monitor.made_windows import STREAM

NEW = {"8"}
SPAN = Span(3600, 7200, 0)
MEAN = Measure("input.words", "words", "longer", "shorter", lambda w: w.rows, mean="input.words")
SHARE = Measure("label", "share", "more", "fewer", lambda w: w.rows, share={"term": {"a": "b"}})


def part(key: str, rows: int, value: float) -> dict[str, Any]:
    return {"key": key, "doc_count": rows, "value": {"value": value, "doc_count": round(value)}}


def answer(whole: float, **parts: list[dict[str, Any]]) -> dict[str, Any]:
    named = {"function_version": "function version", "model_version": "model version"}
    buckets = {named.get(name, name): {"buckets": several} for name, several in parts.items()}
    return {"whole": {"value": whole, "doc_count": round(whole)}, **buckets}


@pytest.mark.parametrize(
    ("measure", "usual", "found", "sources"),
    [
        (
            MEAN,
            10.0,
            answer(
                7.5,
                script=[part("latin", 100, 7.5)],
                function_version=[part("7", 50, 10), part("8", 50, 5)],
                customer=[part("none", 70, 10), part("acme", 20, 10), part("shop", 10, 5)],
            ),
            [
                ("function version", "8", 0.5, 1.0),
            ],
        ),
        (
            SHARE,
            0.2,
            answer(
                60,
                script=[part("latin", 70, 14), part("cyrillic", 30, 30)],
                function_version=[part("8", 100, 44)],
            ),
            [("function version", "8", 1.0, 0.6), ("script", "cyrillic", 0.3, 0.6)],
        ),
        (
            MEAN,
            None,
            answer(5, script=[part("latin", 100, 5)], function_version=[part("8", 100, 5)]),
            [("function version", "8", 1.0, None)],  # its share of the change is not known
        ),
        (MEAN, 10.0, answer(5, script=[part("none", 100, 5)]), []),
        (MEAN, 10.0, {"whole": {"value": None}}, []),
    ],
)
def test_the_part_of_the_traffic_from_which_most_of_the_change_comes_is_named(
    measure: Measure, usual: float | None, found: dict[str, Any], sources: list[tuple[Any, ...]]
) -> None:
    asked = []

    def search(body: Any) -> Any:
        asked.append(body)
        if len(asked) == 1:
            return found
        values = {
            name: next(iter(asked_for["filter"]["term"].values()))
            for name, asked_for in body["aggregations"].items()
        }
        return {name: {"doc_count": 0 if value in NEW else 5} for name, value in values.items()}

    located = locate(search, STREAM, SPAN, measure, usual=usual, by="customer")
    shares = [
        (
            s.attribute,
            s.value,
            s.of_rows,
            s.of_change if s.of_change is None else round(s.of_change, 6),
        )
        for s in located
    ]
    assert shares == sources
    assert [s.new for s in located] == [s.value in NEW for s in located]


@pytest.mark.parametrize(
    ("bucket", "value"),
    [
        ({"key": 7}, "7"),  # a field of OpenSearch's type `long`
        ({"key": 1, "key_as_string": "true"}, "true"),  # a boolean field
    ],
)
def test_traffic_can_be_divided_by_a_field_that_is_not_a_keyword(
    bucket: dict[str, Any], value: str
) -> None:
    asked: list[Any] = []

    def search(body: Any) -> Any:
        asked.append(body)
        if len(asked) == 2:
            return {name: {"doc_count": 5} for name in body["aggregations"]}
        if "missing" in body["aggregations"]["customer"]["terms"]:
            raise ServerProblem('failed to parse "none" as a number')  # as OpenSearch does
        some = {"buckets": [part("", 20, 5) | bucket]}
        script = [part("latin", 100, 9)]
        return answer(9, script=script, function_version=[part("8", 20, 5)]) | {"customer": some}

    found = locate(search, STREAM, SPAN, MEAN, usual=10.0, by="customer")
    assert [(s.attribute, s.value) for s in found] == [
        ("function version", "8"),
        ("customer", value),
    ]
    (term,) = (
        each["filter"]["term"]
        for each in asked[1]["aggregations"].values()
        if "customer" in each["filter"]["term"]
    )
    assert term == {"customer": value}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"result": "pass", "asked": 64}, Canary(passed=True, at=900)),
        ({"result": "fail", "asked": 64}, Canary(passed=False, at=900)),
        ({"result": "fail"}, Canary(passed=False, at=900, compared=False)),  # no answers
    ],
)
def test_a_canary_result_without_answers_is_marked_as_not_compared(
    result: dict[str, Any], expected: Canary
) -> None:
    def search(body: Any) -> Any:
        wanted = body["aggregations"]["last"]["top_hits"]["_source"]
        kept = {name: v for name, v in result.items() if f"monitor.canary.{name}" in wanted}
        hit = {"_source": {"monitor": {"canary": kept}}, "sort": [900_000]}
        return {"last": {"hits": {"hits": [hit]}}}

    assert canary(search, STREAM, 1000) == expected


def seen(*versions: tuple[str, int]) -> dict[str, Any]:
    return {"buckets": [{"key": v, "first": {"value": at * 1000}} for v, at in versions]}


@pytest.mark.parametrize(
    ("found", "deployment"),
    [
        ({}, None),
        ({"function version": seen(("7", 100))}, None),  # there was only one version
        (
            {"function version": seen(("8", 900), ("7", 100)), "model version": seen(("b", 100))},
            Deployment("function version", "8", 900, "7"),
        ),
        (
            {
                "function version": seen(("8", 900), ("7", 100)),
                "model version": seen(("b", 950), ("a", 100)),
            },
            Deployment("model version", "b", 950, "a"),
        ),
    ],
)
def test_the_newest_version_is_the_last_deployment(
    found: dict[str, Any], deployment: Deployment | None
) -> None:
    assert newest(found) == deployment

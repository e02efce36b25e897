"""Tests the searches of the monitor.

They name only existing fields, and select only live predictions of one stack. They never return
single predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.summaries import searches
from monitor.summaries.summary import Stream
from tools.root import ROOT

STREAM = Stream("stack", "/aws/lambda/one", "a-model")
# Fields that get their types from the dynamic rules of the index template.
BY_RULE = {
    "@kind",
    "@stack",
    "@function_version",
    "prediction.probability.ham",
    "prediction.probability.spam",
}
BODIES = {
    "streams": searches.streams("stack", 0, 900),
    "labels": searches.labels(STREAM, 0, 900),
    "counts": searches.counts(STREAM, 0, 900),
    "slots": searches.slots(STREAM, 0, 900, ["ham", "spam"], {"slot": 0}),
    "without a model": searches.slots(Stream("stack", "/aws/lambda/one", ""), 0, 900, []),
}


def mapped(properties: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, field in properties.items():
        yield above + name
        yield from mapped(field.get("properties", {}), f"{above}{name}.")
        yield from (f"{above}{name}.{sub}" for sub in field.get("fields", {}))


def named(body: Any) -> Iterator[str]:
    """Return the fields that a body names."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "field":
                yield value
            elif key in {"term", "range"} and "field" not in value:
                yield from value
            else:
                yield from named(value)
    elif isinstance(body, list):
        for part in body:
            yield from named(part)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_index_template_has_every_field_of_a_search(body: dict[str, Any]) -> None:
    template = json.loads((ROOT / "kibana" / "index_template.json").read_text(encoding="utf-8"))
    assert set(named(body)) <= set(mapped(template["template"]["mappings"]["properties"])) | BY_RULE


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_searches_return_no_single_prediction_and_no_text(body: dict[str, Any]) -> None:
    assert body["size"] == 0
    assert not {"text", "@message"} & set(named(body))
    assert "top_hits" not in json.dumps(body)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_searches_select_only_live_predictions_of_one_stack(body: dict[str, Any]) -> None:
    filters = body["query"]["bool"]["filter"]
    assert {"term": {"@stack": "stack"}} in filters
    assert {"term": {"@kind": "prediction"}} in filters
    assert any("traffic" in json.dumps(each) for each in filters)

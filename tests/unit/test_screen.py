from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from local import screen
from local.cloudwatch import Counts


def shown(part: RenderableType, width: int = 200) -> str:
    page = Console(width=width, file=io.StringIO())
    page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


@pytest.mark.parametrize("text", ["see [1] and [/]", "a [bold]word[/bold]", "[red]"])
def test_text_is_shown_as_it_is(text: str) -> None:
    prediction = {"label": "acceptable", "score": 0.5}
    assert text in shown(screen.answers([{"text": text, "prediction": prediction, "prediction_id": "[/x]"}]))
    assert text in shown(screen.documents([{"_index": "cwl-1", "_source": {"text": text, "prediction": prediction}}], title=text))
    assert text in screen.line({"text": text, "prediction": prediction})


@pytest.mark.parametrize("source", [{}, {"prediction": {"label": "fine"}}, {"prediction": {"label": "fine", "score": "high"}}])
def test_a_document_of_another_shipper_is_shown_with_what_it_has(source: dict[str, Any]) -> None:
    assert len(shown(screen.documents([{"_index": "cwl-1", "_source": source}], title="documents")).splitlines()) == 6


def test_a_refused_request_is_shown_with_its_reason() -> None:
    source = {"@timestamp": "2026-11-23T12:00:00.123Z", "error": {"type": "field-invalid", "status": 422, "field": "sentence"}}
    assert screen.line(source) == "12:00:00  field-invalid  422  -"


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_text_stays_on_its_line(width: int) -> None:
    source = {
        "@timestamp": "2026-11-23T12:00:00.123Z",
        "text": "The boy sat\n" * 700,
        "prediction": {"label": "unacceptable", "score": 0.98},
        "input": {"flags": ["mostly_non_letter"]},
    }
    lines = shown(screen.documents([{"_index": "cwl-1", "_source": source}], title="documents"), width).splitlines()
    assert len(lines) == 6
    assert "The boy sat The boy" in lines[4]
    assert "unacceptable" in lines[4]


def test_the_chart_is_in_proportion() -> None:
    bars = [line.count("\u2588") for line in shown(screen.chart({"acceptable": 8, "unacceptable": 2})).splitlines()]
    assert bars == [0, screen.BAR, screen.BAR // 4]
    assert shown(screen.chart({})).strip() == "Live predictions by label"


def test_the_filter_is_one_sentence() -> None:
    assert screen.filtered(Counts(seen=5, passed=2), "{ $.a = 1 }") == "log lines: 5 seen, 2 passed, 3 dropped by { $.a = 1 }"

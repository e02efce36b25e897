from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from local import screen
from local.cloudwatch import Counts


def shown(part: RenderableType) -> str:
    page = Console(width=200, file=io.StringIO())
    page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


@pytest.mark.parametrize("text", ["see [1] and [/]", "a [bold]word[/bold]", "[red]"])
def test_text_is_shown_as_it_is(text: str) -> None:
    prediction = {"label": "acceptable", "score": 0.5}
    assert text in shown(screen.answers([{"text": text, "prediction": prediction, "prediction_id": "[/x]"}]))
    assert text in shown(screen.documents([{"_index": "cwl-1", "_source": {"text": text, "prediction": prediction}}], title=text))


@pytest.mark.parametrize("source", [{}, {"prediction": {"label": "fine"}}, {"prediction": {"label": "fine", "score": "high"}}])
def test_a_document_of_another_shipper_is_shown_with_what_it_has(source: dict[str, Any]) -> None:
    assert "cwl-1" in shown(screen.documents([{"_index": "cwl-1", "_source": source}], title="documents"))


def test_the_chart_is_in_proportion() -> None:
    bars = [line.count("\u2588") for line in shown(screen.chart({"acceptable": 8, "unacceptable": 2})).splitlines()]
    assert bars == [0, screen.BAR, screen.BAR // 4]
    assert shown(screen.chart({})).strip() == "Live predictions by label"


def test_the_filter_is_one_sentence() -> None:
    assert screen.filtered(Counts(seen=5, passed=2), "{ $.a = 1 }") == "log lines: 5 seen, 2 passed, 3 dropped by { $.a = 1 }"

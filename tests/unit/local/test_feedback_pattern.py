"""Tests of the command `test-pattern`: its advice if a pattern does not match feedback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from local.filter_pattern import matches
from local.ship_lines import FEEDBACK, try_pattern
from tools.root import ROOT

SCHEMA = json.loads((ROOT / "events" / "feedback.schema.json").read_text(encoding="utf-8"))
WIDER = "this pattern lets your lines and feedback pass: "


def test_the_example_line_is_valid_feedback() -> None:
    Draft202012Validator(SCHEMA).validate(json.loads(FEEDBACK))


@pytest.mark.parametrize(
    ("pattern", "wider"),
    [
        ("prediction", None),
        ("", None),
        ("{ $.label = * }", None),
        ("served", "?served ?feedback"),
        (
            "{ $.prediction.label = * }",
            '{ ($.prediction.label = *) || ($.message = "feedback") }',
        ),
        ("[a, b]", ""),
        ("-feedback", ""),
        ("served now", ""),
    ],
)
def test_a_wider_pattern_is_suggested_if_a_pattern_leaves_feedback_out(
    pattern: str, wider: str | None, tmp_path: Path
) -> None:
    line = '{"message": "served", "prediction": {"label": "a"}}'
    file = tmp_path / "lines.log"
    file.write_text(line + "\n", encoding="utf-8")
    said: list[str] = []
    try_pattern(pattern, [str(file)], said.append)
    if wider is None:
        assert said[-1] == f"feedback passes this pattern too: {FEEDBACK}"
        return
    assert said[-2].startswith("feedback does not pass this pattern (")
    if wider:
        assert said[-1].strip() == WIDER + wider
        assert matches(wider, FEEDBACK)
        assert matches(wider, line)
    else:
        assert "python -m monitor feedback" in said[-1]

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.table import Row, Target, write


@pytest.mark.parametrize(
    ("target", "value", "quotient", "met"),
    [
        (Target("≤", 1.6), 99.0, 1.6, True),
        (Target("≤", 1.6), 1.0, 1.7, False),
        (Target("≥", 4), 1.0, 4.1, True),
        (Target("≥", 4), 99.0, 3.9, False),
        (Target("≥", 40, "value"), 41.0, 0.1, True),
        (Target("≤", 15, "value"), 16.0, None, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_a_target_applies_to_the_ratio_or_to_the_value(
    target: Target | None,
    value: float,
    quotient: float | None,
    met: bool | None,
) -> None:
    assert Row("row", value, "unit", "rival", 1.0, quotient, target).met is met


def test_rows_are_written_as_json(tmp_path: Path) -> None:
    write(
        tmp_path / "out.json",
        {"cpu": "x"},
        "2026-11-23",
        [Row("a", 1.23456, "µs", "b", 2.0, 0.5), Row("size", 3.0, "MiB")],
    )
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == {
        "machine": {"cpu": "x"},
        "date": "2026-11-23",
        "rows": [
            {
                "name": "a",
                "value": 1.235,
                "unit": "µs",
                "rival": "b",
                "rival_value": 2.0,
                "ratio": 0.5,
            },
            {
                "name": "size",
                "value": 3.0,
                "unit": "MiB",
                "rival": None,
                "rival_value": None,
                "ratio": None,
            },
        ],
    }

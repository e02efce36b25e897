from __future__ import annotations

import time
from collections import Counter

from local.filter_pattern import parse
from local.lines import Line
from local.ship import told


def test_the_report_takes_its_time_for_each_line_once() -> None:
    lines = [
        Line(f"{number:056d}", number, f"a prediction {number}", own_time=True)
        for number in range(20_000)
    ]
    began = time.monotonic()
    assert list(
        told("a.log", lines, lines, Counter(indexed=20_000), parse("prediction").why_not)
    ) == ["a.log: 20000 lines, 20000 pass the filter pattern; 20000 indexed"]
    # It would take longer than these seconds if each line were searched among all lines.
    assert time.monotonic() - began < 5

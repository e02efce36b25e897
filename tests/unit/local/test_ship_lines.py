from __future__ import annotations

import time
from collections import Counter

from local.log_events import Line
from local.ship_lines import report


def test_the_report_is_fast_for_many_lines() -> None:
    lines = [
        Line(f"{number:056d}", number, f"a prediction {number}", own_time=True)
        for number in range(20_000)
    ]
    began = time.monotonic()
    judged = [(line, None) for line in lines]
    assert list(report("a.log", judged, Counter(indexed=20_000))) == [
        "a.log: 20000 lines, 20000 pass the filter pattern; 20000 indexed"
    ]
    # If the report searched the list of all lines once for each line, it would take longer.
    assert time.monotonic() - began < 5

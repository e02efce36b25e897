"""Tests which row of the false-alarm table is chosen for the setting `FalseAlarmDays`.

The monitor judges windows (groups of successive predictions). A row says how strictly windows are
judged. A row also promises a number of days in which a stream has at most one false notice.
`Choice.kept` is true if this number of days is large enough for the setting and all streams.
"""

from __future__ import annotations

import pytest

from monitor.judgement import false_alarm_table
from monitor.judgement.false_alarm_table import Row, choose

# Each row has: windows of the baseline, level, unusual windows in a row, promised days.
TABLE = (
    Row(72, 0.005, 2, 60), Row(72, 0.001, 3, 500),
    Row(168, 0.01, 2, 100), Row(168, 0.005, 2, 400), Row(168, 0.001, 3, 2000),
)  # fmt: skip


@pytest.mark.parametrize(
    ("windows", "days", "streams", "row", "kept"),
    [
        (168, 90, 1, TABLE[2], True),
        (200, 90, 4, TABLE[3], True),  # four streams: each needs a promise of 4 x 90 = 360 days
        (168, 90, 20, TABLE[4], True),
        (168, 365, 20, TABLE[4], False),  # no row is strict enough, so the strictest is used
        (100, 90, 1, TABLE[1], True),  # below 168 windows, the rows for 72 windows are used
        (72, 60, 1, TABLE[0], True),
        (30, 60, 1, TABLE[0], True),
    ],
)
def test_the_least_strict_row_that_promises_the_days_is_chosen(
    windows: int, days: float, streams: int, row: Row, kept: bool
) -> None:
    choice = choose(windows, days=days, streams=streams, table=TABLE)
    assert (choice.row, choice.kept) == (row, kept)


def test_the_sentence_says_that_no_row_is_strict_enough() -> None:
    said = choose(168, days=365, streams=20, table=TABLE).sentence()
    assert (
        said == "At most one false notice in 100 days: no row of the table is strict enough"
        " for 365 days and 20 streams."
    )


def test_every_size_of_baseline_has_a_row_that_is_strict_enough_for_the_default_setting() -> None:
    for windows in sorted({row.windows for row in false_alarm_table.rows()}):
        assert choose(windows).kept
    assert all(
        0 < row.level <= 0.05 and row.in_a_row >= 2 and row.days > 0
        for row in false_alarm_table.rows()
    )


def test_a_baseline_of_150_to_167_windows_uses_the_same_level_as_one_of_168_windows() -> None:
    assert (
        false_alarm_table.choose(150).row.level
        == false_alarm_table.choose(167).row.level
        == false_alarm_table.choose(168).row.level
    )
    assert false_alarm_table.choose(149).row.level < false_alarm_table.choose(150).row.level

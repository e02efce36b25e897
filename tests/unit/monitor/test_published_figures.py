"""Tests that docs/monitoring.md and false_alarm_table.json agree with the measurements."""

from __future__ import annotations

import json

import pytest

from bench.monitor.report import tables
from monitor.judgement import false_alarm_table
from tools.root import ROOT

RESULTS = json.loads((ROOT / "bench" / "monitor.json").read_text(encoding="utf-8"))
TABLES = tables(RESULTS)


@pytest.mark.parametrize("name", TABLES)
def test_the_document_has_each_table_as_it_was_measured(name: str) -> None:
    assert TABLES[name] in (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")


def test_the_false_alarm_table_has_the_measured_rows() -> None:
    assert (
        json.loads(false_alarm_table.TABLE.read_text(encoding="utf-8"))["rows"] == RESULTS["dial"]
    )
    row = false_alarm_table.choose(168).row
    assert (row.level, row.in_a_row) == (RESULTS["row"]["level"], RESULTS["row"]["in_a_row"])

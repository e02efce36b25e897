from __future__ import annotations

import json
import subprocess
import sys
from math import isfinite
from pathlib import Path

import pytest

from bench.__main__ import RESULTS, destination
from tools.root import ROOT


@pytest.mark.parametrize(
    ("asked", "quick", "file"),
    [
        (None, False, RESULTS),
        (None, True, None),
        (Path("mine.json"), True, Path("mine.json")),
        (Path("mine.json"), False, Path("mine.json")),
    ],
)
def test_a_quick_run_does_not_overwrite_the_file_of_results(
    *, asked: Path | None, quick: bool, file: Path | None
) -> None:
    assert destination(asked, quick=quick) == file


def test_a_quick_run_writes_its_results_if_a_file_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--quick", "--no-package", "--out", str(out)]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found.keys() == {"machine", "date", "rows"}
    assert found["machine"].keys() == {"cpu", "cores", "system", "python", "packages"}
    assert {"msgspec", "isal", "opensearch-py"} <= found["machine"]["packages"].keys()
    names = [row["name"] for row in found["rows"]]
    assert len(set(names)) == len(names) > 15
    for row in found["rows"]:
        assert row.keys() == {"name", "value", "unit", "rival", "rival_value", "ratio"}
        if row["rival"] is None:
            assert row["name"] == "log of an invocation"
            continue
        assert all(
            isfinite(row[name]) and row[name] > 0 for name in ("value", "rival_value", "ratio")
        )
        # A ratio in the file is rounded already. Here it is rounded again, to the digits of the
        # printed table, so its last digit may differ from the table's last digit.
        assert any(
            f"{row['ratio'] + shift:.2f}"[:3] in result.stdout for shift in (0, -0.001, 0.001)
        )
    for subject in (
        "shipper / floor",
        "handler / floor",
        "usual way / shipper",
        "events/s",
        "peak memory",
        "server not reachable",
        "NOT RUN",
    ):
        assert subject in result.stdout
    assert "target" not in result.stdout  # a quick run has no targets

"""Tests that `feedback` never overwrites the file of labels, and reports a broken file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.__main__ import main
from monitor.accuracy import feedback_file
from monitor.accuracy.join_labels import Outcomes

ROWS = "prediction_id,label\n" + "".join(f"{at},good\n" for at in range(3000))


def feedback(path: Path, *more: str) -> int:
    """Run the command `feedback`. There is no server, because only `join` would need one."""
    where = ["--opensearch", "http://127.0.0.1:9", "--stack", "a-stack"]
    return main(["feedback", str(path), *where, *more])


@pytest.mark.parametrize("name", ["labels.csv", "./labels.csv", "link.csv"])
def test_rejected_rows_never_overwrite_the_file_of_labels(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "labels.csv"
    file.write_text(ROWS, encoding="utf-8")
    (tmp_path / "link.csv").symlink_to(file)
    assert feedback(file, "--rejected", name) == 1
    assert file.read_text(encoding="utf-8") == ROWS
    assert "give --rejected another name" in capsys.readouterr().err


def test_the_message_about_a_broken_file_says_that_rows_may_be_joined_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    joined = 0

    def join(*several: Any, **_: Any) -> Outcomes:
        nonlocal joined
        joined += len(several[-1])
        return Outcomes(new=len(several[-1]))

    monkeypatch.setattr(feedback_file, "join", join)
    file = tmp_path / "labels.csv"
    file.write_text(f'{ROWS}3000,good\n"3001"x,good\n', encoding="utf-8")
    assert feedback(file) == 1
    assert joined == 3000  # a thousand rows are joined at a time, so row 3,001 is not joined
    said = capsys.readouterr().err
    assert "labels.csv cannot be read as CSV at line 300" in said
    assert "Rows before this line may be joined already" in said

"""The command `feedback` and the user's files: what it must leave alone, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.__main__ import main
from monitor.accuracy import feedback_file
from monitor.accuracy.join_labels import Outcomes

ROWS = "prediction_id,label\n" + "".join(f"{at},good\n" for at in range(3000))


def given(path: Path, *more: str) -> int:
    """Run the command without a server: `join` is replaced, or must not be reached."""
    where = ["--opensearch", "http://127.0.0.1:9", "--stack", "a-stack"]
    return main(["feedback", str(path), *where, *more])


@pytest.mark.parametrize("name", ["labels.csv", "./labels.csv", "link.csv"])
def test_the_file_of_labels_is_never_written_over_by_the_rejected_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "labels.csv"
    file.write_text(ROWS, encoding="utf-8")
    (tmp_path / "link.csv").symlink_to(file)
    assert given(file, "--rejected", name) == 1
    assert file.read_text(encoding="utf-8") == ROWS
    assert "give --rejected another name" in capsys.readouterr().err


def test_a_file_that_breaks_off_is_not_said_to_be_joined_up_to_there(
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
    assert given(file) == 1
    assert joined == 3000  # a thousand at a time; the row before the broken one is not among them
    said = capsys.readouterr().err
    assert "labels.csv is no CSV file from line 300" in said
    assert "rows before it may be joined already" in said

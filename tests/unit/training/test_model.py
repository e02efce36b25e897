"""Test the first steps of `make model`, which need no torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.model import main


def make(folder: Path, out: Path) -> int:
    return main(
        ["--from", str(folder / "none"), "--sample", str(folder / "none.csv"), "--out", str(out)]
    )


def test_a_folder_that_is_not_a_model_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("a year of work", encoding="utf-8")
    assert make(tmp_path, out) == 2
    assert f"{out} exists and is not a model folder" in capsys.readouterr().err
    assert [each.name for each in out.iterdir()] == ["thesis.txt"]


def test_the_command_says_which_model_it_replaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "card.json").write_text('{"name": "mine", "version": "1"}', encoding="utf-8")
    assert make(tmp_path, out) == 2  # there is no checkpoint
    assert f"{out} contains the model mine 1" in capsys.readouterr().out


@pytest.mark.parametrize("there", [True, False], ids=["empty", "missing"])
def test_an_empty_or_missing_folder_is_accepted(
    *, there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    assert make(tmp_path, out) == 2
    assert str(out) not in "".join(capsys.readouterr())

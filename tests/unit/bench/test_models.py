"""Tests that the bench measures two models, and reports a model that it cannot find."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models import main


def test_two_models_are_measured_in_turn(
    four_label_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(four_label_model)
    assert main(["--model", folder, "--against", folder, "--rounds", "1"]) == 0
    shown = capsys.readouterr().out
    for size in (12, 30, 128):
        assert f"one run of the model, {size} tokens" in shown


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("no-such-commit", "is neither a folder nor a commit"),
        ("tests", "is not the folder of a model"),
    ],
)
def test_a_model_that_cannot_be_found_is_reported(
    against: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--against", against]) == 2
    assert said in capsys.readouterr().err

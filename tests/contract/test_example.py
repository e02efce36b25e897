"""Tests that the labels of the shipped model occur only in files about this model.

The shipped model is an example: all other code and tests must work with any labels.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.models import SHIPPED
from tools.root import ROOT

# The files of the example model: the model, its training, samples of its answers, the figures of
# the bench, documents, and recordings of former versions.
EXAMPLE = (
    "functions/inference/model/",
    "training/",
    "events/canary/questions.jsonl",
    "bench/monitor.json",
    "events/old/",
    "events/record.prediction.json",
    "events/inference/http-api-v2-feedback.json",
    "events/old/record.prediction.1.json",
    "docs/",
    "README.md",
    "CHANGELOG.md",
    "tests/unit/installer/former.json",
    "tests/unit/monitor/canary_scores.json",
)


def test_only_files_of_the_example_contain_its_labels() -> None:
    labels = json.loads((SHIPPED / "card.json").read_text(encoding="utf-8"))["labels"]
    words = [argument for label in labels for argument in ("-e", label)]
    found = subprocess.run(
        ["git", "grep", "--ignore-case", "--files-with-matches", "--fixed-strings", *words],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert "functions/inference/model/card.json" in found
    others = [path for path in found if not path.startswith(EXAMPLE)]
    assert [path for path in others if not _is_marked(ROOT / path)] == []


def _is_marked(path: Path) -> bool:
    """Return whether a test file marks tests as valid for the example model only."""
    return path.name.startswith("test_") and "@pytest.mark.example" in path.read_text("utf-8")

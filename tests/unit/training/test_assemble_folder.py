"""Tests the code that makes a model folder, and the code that compares two model folders.

The tests of the shipped model are also run with another model.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from inference.classifier import Classifier
from tests.models import four_labels
from tools.errors import UserError
from tools.root import ROOT
from training import optimise_graph
from training.assemble_folder import Wish, assemble
from training.check import main as check
from training.checkpoint import read as read_checkpoint
from training.compare_models import compared
from training.sample import Row, split

# All tests that use a model. They must pass with any model, whatever its labels are.
ANY_MODEL = (
    "tests/unit/inference",
    "tests/unit/training/test_profile.py",
    "tests/unit/training/test_graph.py",
    "tests/contract/test_openapi.py",
)


def test_the_tests_of_the_shipped_model_pass_with_a_model_of_four_labels(
    four_label_model: Path,
) -> None:
    environment = {
        **os.environ,
        "TESTED_MODEL": str(four_label_model),
        "MODEL_FOLDER": str(four_label_model),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not example",
        "-p",
        "no:cacheprovider",
        *ANY_MODEL,
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"(\d+) passed", done.stdout)


def test_the_folder_describes_its_sample(four_label_model: Path) -> None:
    card = json.loads((four_label_model / "card.json").read_text(encoding="utf-8"))
    assert card["labels"] == list(four_labels.LABELS)
    assert set(card["usual"]["scripts"]) >= {"latin", "cyrillic", "none"}
    assert (card["unknown"], card["calibrated"], card["max_tokens"]) == (
        None,
        True,
        four_labels.MAX_TOKENS,
    )
    profile = json.loads((four_label_model / "profile.json").read_text(encoding="utf-8"))
    assert profile["population"]["sentences"] == 240
    assert profile["rows"]["columns"][:3] == [
        f"prediction.probability.{name}" for name in ("how-to", "e_mail", "2_b")
    ]
    readme = (four_label_model / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in readme
    assert check([str(four_label_model)]) == 0


def again(
    folder: Path, *, rows: list[Row], own: Any = None, graph: Any = None, out: Path
) -> dict[str, Any]:
    """Make another model folder from the checkpoint with four labels."""
    plain = folder.parent / "plain.onnx"
    if graph:
        model = onnx.load(plain)
        graph(model.graph)
        plain = out.parent / "changed.onnx"
        onnx.save(model, plain)
    sample = split("again.csv", rows)
    session = onnxruntime.InferenceSession(
        folder.parent / "plain.onnx", providers=["CPUExecutionProvider"]
    )
    encode = Classifier(folder)._tokenizer.encode
    found = [
        session.run(["sentence_logits"], {"ids": np.array([encode(row.text).ids[:48]])})[0].tolist()
        for row in sample.rows
    ]
    checkpoint = read_checkpoint(folder.parent / "checkpoint")
    wish = Wish("again")
    return assemble(
        plain,
        own or found,
        checkpoint=checkpoint,
        sample=sample,
        wish=wish,
        out=out,
        say=lambda _: None,
    )


def test_long_texts_are_cut_before_they_are_compared(
    four_label_model: Path, tmp_path: Path
) -> None:
    words = four_labels.WORDS
    after = words["how-to"] * 30  # if the text were not cut, it would have this label
    long = [" ".join([*words["news"][at:], *words["news"] * 6, *after]) for at in range(4)]
    rows = [Row(text) for text in long] + [Row(text) for text, _ in four_labels.texts(100)]
    card = again(four_label_model, rows=rows, out=tmp_path / "model")
    assert card["kernels"]["labels_changed"] < len(long)


def test_without_labels_nothing_is_calibrated(four_label_model: Path, tmp_path: Path) -> None:
    card = again(
        four_label_model,
        rows=[Row(text) for text, _ in four_labels.texts()],
        out=tmp_path / "model",
    )
    assert (card["calibrated"], card["temperature"]) == (False, 1.0)
    profile = json.loads((tmp_path / "model" / "profile.json").read_text(encoding="utf-8"))
    assert not {"calibration", "confusion"} & set(profile)
    assert "right" not in profile["rows"]["columns"]
    assert "Not calibrated" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_a_graph_with_other_labels_than_the_checkpoint_is_refused(
    four_label_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # this form of the graph needs onnx-ir, a library that this environment lacks
    monkeypatch.delitem(optimise_graph.WIDTHS, "8-bit weights in blocks")
    rows = [Row(text, label) for text, label in four_labels.texts()]
    with pytest.raises(
        UserError, match="even in 32 bits, 400 of 400 texts get another label from the exported"
    ):
        again(
            four_label_model, rows=rows, own=_others(four_label_model, rows), out=tmp_path / "model"
        )
    assert not (tmp_path / "model").exists()


def _others(folder: Path, rows: list[Row]) -> list[list[float]]:
    classifier = Classifier(folder)
    return [[-each for each in classifier.logits(row.text)] for row in split("", rows).rows]


def test_a_new_version_is_compared_with_the_former_version(
    four_label_model: Path, tmp_path: Path
) -> None:
    rows = [Row(text, label) for text, label in four_labels.texts()]

    def forgets_mails(graph: onnx.GraphProto) -> None:
        (head,) = [value for value in graph.initializer if value.name == "head"]
        numbers = onnx.numpy_helper.to_array(head).copy()
        numbers[:, 2] = -numbers[:, 2]
        head.CopyFrom(onnx.numpy_helper.from_array(numbers, "head"))

    plain = four_label_model.parent / "plain.onnx"
    model = onnx.load(plain)
    forgets_mails(model.graph)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    encode = Classifier(four_label_model)._tokenizer.encode
    own = [
        session.run(["sentence_logits"], {"ids": np.array([encode(row.text).ids[:48]])})[0].tolist()
        for row in split("", rows).rows
    ]
    again(four_label_model, rows=rows, own=own, graph=forgets_mails, out=tmp_path / "model")
    lines = compared(tmp_path / "model", four_label_model, split("again.csv", rows))
    assert re.fullmatch(
        r"\d+ of 240 texts get another label from the new model than from the old model "
        r"\(four [0-9a-f]{12}\)",
        lines[0],
    )
    assert lines[1].endswith(": worse")
    assert any(line.startswith("  e.mail -> ") for line in lines[2:])
    same = compared(four_label_model, four_label_model, split("again.csv", rows))
    assert same[0].startswith("0 of 240")
    assert same[1].endswith(": this sample shows no difference")


def test_a_folder_with_an_exchanged_file_does_not_pass_the_check(
    four_label_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again(
        four_label_model,
        rows=[Row(text) for text, _ in four_labels.texts()],
        out=tmp_path / "model",
    )
    assert check([str(tmp_path / "model")]) == 0
    for name in ("profile.json", "model.onnx"):
        (tmp_path / "model" / name).write_bytes((four_label_model / name).read_bytes())
        capsys.readouterr()
        assert check([str(tmp_path / "model")]) == 1
        said = capsys.readouterr().err
        assert said.startswith("make check-model: ")
        assert said.count("\n") == 1

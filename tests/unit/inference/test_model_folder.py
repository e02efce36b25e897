"""Tests that a problem with the model folder is reported in one sentence at the start."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from inference.classifier import Classifier
from inference.model_folder import UnfitModel
from tools.root import ROOT

MODEL = ROOT / "functions" / "inference" / "model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(MODEL, tmp_path / "model")
    return tmp_path / "model"


def card(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "card.json"
        path.write_text(
            json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8"
        )

    return change


def content(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return change


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def graph(change: Callable[[onnx.GraphProto], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        model = onnx.load(folder / "model.onnx")
        change(model.graph)
        onnx.save(model, folder / "model.onnx")

    return changed


def another_input(graph: onnx.GraphProto) -> None:
    graph.input.append(
        onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["batch"])
    )


def no_surprisal(graph: onnx.GraphProto) -> None:
    del graph.output[3:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            without("card.json"),
            r"card\.json does not exist: make the folder with `make model`\.",
            id="no card",
        ),
        pytest.param(
            content("card.json", "{"), r"card\.json is not JSON", id="a card that is cut short"
        ),
        pytest.param(content("card.json", "[]"), r"card\.json is not a JSON object", id="a list"),
        pytest.param(
            card(labels=["one"]),
            "labels must be a list of at least two different strings",
            id="one label",
        ),
        pytest.param(card(labels=["a", "a"]), "labels must be", id="a label twice"),
        pytest.param(
            card(temperature=0), "temperature must be a number above 0", id="a temperature of 0"
        ),
        pytest.param(
            card(max_tokens=True),
            "max_tokens must be a whole number above 0",
            id="a limit that is no number",
        ),
        pytest.param(
            card(usual={"scripts": []}),
            "usual must be an object with scripts",
            id="usual values are missing",
        ),
        pytest.param(
            card(labels=["a", "b", "c"]),
            r"gives 2 numbers per sentence, but card\.json has 3 labels",
            id="a model with fewer labels than its card",
        ),
        pytest.param(
            card(unknown="<unk>"), "has no token <unk>", id="a special token of another tokenizer"
        ),
        pytest.param(
            content("tokenizer.json", "{}"),
            r"tokenizer\.json cannot be read as a tokenizer",
            id="no tokenizer",
        ),
        pytest.param(
            content("model.onnx", "text"),
            r"model\.onnx cannot be loaded by onnxruntime",
            id="no graph",
        ),
        pytest.param(
            graph(another_input),
            "needs the input pixels, but this function makes only input_ids, attention_mask, ",
            id="another input",
        ),
        pytest.param(
            graph(no_surprisal), "does not have the output surprisal", id="an output is missing"
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_one_sentence(
    folder: Path, change: Callable[[Path], None], said: str
) -> None:
    change(folder)
    with pytest.raises(UnfitModel, match=said) as raised:
        Classifier(folder)
    assert str(raised.value).endswith("`make model`.")


@pytest.mark.parametrize(
    "asked",
    [
        ["input_ids"],
        ["attention_mask", "input_ids"],
        ["input_ids", "attention_mask", "token_type_ids"],
    ],
)
def test_a_model_gets_the_inputs_that_it_asks_for(folder: Path, asked: list[str]) -> None:
    from inference.classifier import feed

    found = feed(asked, [5, 6, 7])
    assert {name: value.tolist() for name, value in found.items()} == {
        name: [
            {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "token_type_ids": [0, 0, 0]}[name]
        ]
        for name in asked
    }

"""Tests that checkpoints are accepted, or refused with a message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.errors import UserError
from training.checkpoint import read

WORDPIECE = {"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}}}
UNIGRAM = {"model": {"type": "Unigram", "unk_id": 1, "vocab": [["<s>", 0.0], ["<unk>", 0.0]]}}
BYTES = {"model": {"type": "BPE", "unk_token": None, "vocab": {"a": 0}}}
CONFIG: dict[str, Any] = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "id2label": {"0": "no", "1": "e.mail", "2": "2 b"},
    "max_position_embeddings": 512,
}


def saved(
    folder: Path,
    config: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] = WORDPIECE,
    *,
    weights: str = "model.safetensors",
) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / weights).touch()
    return folder


@pytest.mark.parametrize(
    ("config", "tokenizer", "max_tokens", "unknown"),
    [
        pytest.param({}, WORDPIECE, 512, "[UNK]", id="BERT, WordPiece"),
        pytest.param(
            {"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 514},
            BYTES,
            512,
            None,
            id="RoBERTa, bytes",
        ),
        pytest.param(
            {"model_type": "xlm-roberta", "pad_token_id": 1, "max_position_embeddings": 130},
            UNIGRAM,
            128,
            "<unk>",
            id="XLM-R",
        ),
        pytest.param(
            {"max_position_embeddings": 8192}, WORDPIECE, 512, "[UNK]", id="more than 512 positions"
        ),
    ],
)
def test_labels_length_and_unknown_token_are_read(
    tmp_path: Path,
    config: dict[str, Any],
    tokenizer: dict[str, Any],
    max_tokens: int,
    unknown: str | None,
) -> None:
    found = read(saved(tmp_path, config, tokenizer))
    assert (found.labels, found.max_tokens, found.unknown) == (
        ["no", "e.mail", "2 b"],
        max_tokens,
        unknown,
    )
    assert read(tmp_path, 64).max_tokens == 64


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param(
            {"problem_type": "regression"}, "gives one number instead of labels", id="regression"
        ),
        pytest.param(
            {"id2label": {"0": "LABEL_0"}}, "gives one number instead of labels", id="one number"
        ),
        pytest.param(
            {"problem_type": "multi_label_classification"},
            "any number of labels to a text",
            id="multi-label",
        ),
        pytest.param(
            {"architectures": ["BertForTokenClassification"]},
            "gives a label to each token",
            id="tokens",
        ),
        pytest.param(
            {"architectures": ["BertForMaskedLM"]}, "is not a text classifier", id="language model"
        ),
        pytest.param({"architectures": None}, "is not a text classifier", id="no architecture"),
        pytest.param(
            {"auto_map": {"AutoModel": "own.Model"}}, "has code of its own", id="remote code"
        ),
        pytest.param({"id2label": {"0": "a", "1": "a"}}, "a different name", id="a label twice"),
        pytest.param(
            {"id2label": {"0": "a", "2": "b"}}, "each number from 0 to 1", id="a label missing"
        ),
    ],
)
def test_a_model_that_is_no_text_classifier_is_refused(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        read(saved(tmp_path, config))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pickled weights only"):
        read(saved(tmp_path, weights="pytorch_model.bin"))
    (tmp_path / "model.safetensors").touch()
    assert read(tmp_path).labels


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_the_error_names_a_missing_file(tmp_path: Path, missing: str) -> None:
    (saved(tmp_path) / missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is not there: "):
        read(tmp_path)


def test_a_folder_with_code_is_refused(tmp_path: Path) -> None:
    (saved(tmp_path) / "modeling_own.py").touch()
    with pytest.raises(UserError, match=r"modeling_own\.py"):
        read(tmp_path)


@pytest.mark.parametrize("wanted", [2, 513])
def test_a_length_that_the_model_cannot_take_is_refused(tmp_path: Path, wanted: int) -> None:
    with pytest.raises(UserError, match="between 3 and 512"):
        read(saved(tmp_path), wanted)

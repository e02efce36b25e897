"""What needs PyTorch: `.venv-train/bin/python -m pytest tests/training`, with pytest and hypothesis in that environment."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tools.root import ROOT

MISSING = [name for name in ("torch", "transformers", "onnx_ir") if find_spec(name) is None]
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)} (requirements/train.txt)"),
    pytest.mark.filterwarnings("default"),  # the exporter's own
]

TOKENIZER = ROOT / "functions" / "inference" / "model" / "tokenizer.json"
LAYERS, HEADS, PLACES, MAX_TOKENS = 4, 4, 96, 64
SENTENCES = [
    "",
    "Rain",
    "Birds sing.",
    "The boy is sitting on a bench.",
    "Мальчик сидит на скамейке.",
    "Nobody who has ever been to the island has come back without a story that nobody else believed.",
    "the dog and the cat " * 12,
]


def scattered(model: Any, seed: int) -> Any:
    """The model with weights that are far enough from nothing for a mistake to be seen."""
    import torch

    chance = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        about = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        value.data = about + 0.2 * torch.randn(value.shape, generator=chance)
    return model.eval()


def configured(layers: int) -> Any:
    from transformers import BertConfig

    vocabulary = Tokenizer.from_file(str(TOKENIZER)).get_vocab_size()
    return BertConfig(
        vocab_size=vocabulary, hidden_size=64, num_attention_heads=HEADS, num_hidden_layers=layers, intermediate_size=128,
        max_position_embeddings=PLACES, num_labels=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoded() -> list[list[int]]:
    found = [one.ids for one in Tokenizer.from_file(str(TOKENIZER)).encode_batch(SENTENCES)]
    assert (min(map(len, found)), max(map(len, found))) == (2, 62)
    return found


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import BertForSequenceClassification

    return scattered(BertForSequenceClassification(configured(LAYERS)), seed=1)


@pytest.fixture(scope="module")
def plain(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from training.sentence import to_onnx

    path = tmp_path_factory.mktemp("exported") / "plain.onnx"
    to_onnx(model, path, MAX_TOKENS)
    return path


def exported(path: Path, ids: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits, pooled = session.run(["sentence_logits", "pooled"], {"ids": np.array(ids)})
    return logits, pooled


def test_exported_graph_agrees_with_the_model(model: Any, plain: Path, encoded: list[list[int]]) -> None:
    import torch

    seen = []
    for ids in encoded:
        with torch.inference_mode():
            expected = model(torch.tensor([ids]), output_hidden_states=True)
        logits, pooled = exported(plain, ids)
        assert logits == pytest.approx(expected.logits[0].numpy(), abs=1e-4, rel=0)
        assert pooled == pytest.approx(expected.hidden_states[3][0].mean(0).numpy(), abs=1e-4, rel=0)
        for other in (2, 4):
            assert pooled != pytest.approx(expected.hidden_states[other][0].mean(0).numpy(), abs=1e-2)
        seen.append(logits)
    assert np.std(seen, axis=0).min() > 0.05


def test_shipped_graph_gives_back_the_weights_within_a_step(model: Any, plain: Path, encoded: list[list[int]], tmp_path: Path) -> None:
    import onnx

    from training import graph, restored, signature

    chance = np.random.default_rng(1)
    sentences = [*encoded, *(chance.integers(1000, 20_000, 12).tolist() for _ in range(40))]
    fitted = signature.fit(np.array([exported(plain, ids)[1] for ids in sentences]))
    graph.quantised(plain, tmp_path / "small.onnx")
    onnx.save(graph.whole(onnx.load(tmp_path / "small.onnx"), fitted, signature.bigram_bits(sentences)), tmp_path / "model.onnx")
    state = restored.bert(restored.weights(tmp_path / "model.onnx"), LAYERS, HEADS)

    expected = {name: value.numpy() for name, value in model.state_dict().items()}
    assert set(state) == set(expected)
    places, kinds = (f"bert.embeddings.{name}_embeddings.weight" for name in ("position", "token_type"))
    expected[places] = expected[places][:MAX_TOKENS] + expected[kinds][0]
    expected[kinds] = np.zeros_like(expected[kinds])
    for name, value in expected.items():
        assert state[name].shape == value.shape, name
        assert (np.abs(state[name] - value) <= step(name, value) + 1e-6).all(), name


def step(name: str, value: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of 8 bits with a sign: one for all word embeddings, one for each output of a matrix of up to 128 inputs, none for the rest."""
    sizes = np.abs(value.astype(np.float64))
    if name == "bert.embeddings.word_embeddings.weight":
        return np.full_like(sizes, sizes.max() / 127)
    if name.startswith("bert.encoder.") and value.ndim == 2:
        return np.broadcast_to(sizes.max(axis=1, keepdims=True) / 127, sizes.shape)
    return np.zeros_like(sizes)


def test_a_stage_learns_labels_and_leaves_the_word_embeddings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A few dozen sentences of the project's own, through both targets and the choice of an epoch."""
    import torch
    from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

    from training.corpora import Example
    from training.finetune import agreement, fit
    from training.recipe import Stage

    torch.manual_seed(1)
    model = BertForSequenceClassification(configured(2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER), pad_token="[PAD]")
    names = [f"The {colour} {animal}" for colour in ("red", "old", "shy", "wet") for animal in ("dog", "cat", "bird", "cow")]
    pairs = [(f"{name} sleeps.", f"{name} sleep.") for name in names]
    examples = [example for right, wrong in pairs for example in (Example(right, 1, right), Example(wrong, 0, right))]
    examples += [Example("Dog the sleeps.", 0), Example("The dogs sleep.", 1)]
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    stage = Stage("both targets", 3e-3, 8, 1, epochs=12, dropout=0.1, smoothing=0.05, spotting=2.0, select=True)
    fit(model, tokenizer, examples, stage, selection=examples)
    assert agreement(model, tokenizer, examples) > 0.9
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)
    assert "both targets: Matthews correlation" in capsys.readouterr().out

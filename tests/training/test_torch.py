"""Tests that need PyTorch.

Install pytest and hypothesis in the environment `.venv-train`, and run
`.venv-train/bin/python -m pytest tests/training`.
"""

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
    pytest.mark.skipif(
        bool(MISSING), reason=f"not installed here: {', '.join(MISSING)} (requirements/train.txt)"
    ),
    pytest.mark.filterwarnings("default"),  # because the exporter itself warns
]

TOKENIZER = ROOT / "functions" / "inference" / "model" / "tokenizer.json"
LAYERS, HEADS, PLACES, MAX_TOKENS = 4, 4, 96, 64
SENTENCES = [
    "",
    "Rain",
    "Birds sing.",
    "The boy is sitting on a bench.",
    "Мальчик сидит на скамейке.",
    (
        "Nobody who has ever been to the island has come back without a story that nobody else "
        "believed."
    ),
    "the dog and the cat " * 12,
]


def scattered(model: Any, seed: int) -> Any:
    """Give the model random weights that are so large that a mistake changes the results."""
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
        vocab_size=vocabulary, hidden_size=64, num_attention_heads=HEADS,
        num_hidden_layers=layers, intermediate_size=128,
        max_position_embeddings=PLACES, num_labels=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoded() -> list[list[int]]:
    found = [one.ids for one in Tokenizer.from_file(str(TOKENIZER)).encode_batch(SENTENCES)]
    assert (min(map(len, found)), max(map(len, found))) == (2, 62)
    return found


ENCODERS = ("Bert", "DistilBert", "Roberta", "XLMRoberta", "Electra")


def encoder(name: str, labels: int) -> Any:
    """Return a small model of the architecture `name`, with random weights."""
    import transformers

    vocabulary = Tokenizer.from_file(str(TOKENIZER)).get_vocab_size()
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "num_labels": labels,
        "max_position_embeddings": PLACES,
    }
    if name == "DistilBert":
        sizes |= {"dim": 64, "n_heads": HEADS, "n_layers": LAYERS, "hidden_dim": 128}
    else:
        sizes |= {
            "hidden_size": 64,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "intermediate_size": 128,
        }
    if name == "Electra":
        sizes |= {"embedding_size": 32}
    config = getattr(transformers, f"{name}Config")(**sizes, attn_implementation="eager")
    return scattered(getattr(transformers, f"{name}ForSequenceClassification")(config), seed=1)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_exported_graph_agrees_with_the_model_in_8_bits_and_in_32_bits(
    name: str, encoded: list[list[int]], tmp_path: Path
) -> None:
    import onnx
    import torch

    from training import exported, optimise_graph

    model = encoder(name, labels=4)
    exported.to_onnx(model, tmp_path / "plain.onnx")
    for form, make in optimise_graph.WIDTHS.items():
        make(tmp_path / "plain.onnx", tmp_path / "small.onnx")
        spread = []
        for ids in encoded:
            with torch.inference_mode():
                expected = model(torch.tensor([ids]), output_hidden_states=True)
            logits, pooled = run(tmp_path / "small.onnx", ids)
            near = (
                1e-4 if form == "32 bits" else 0.35 * max(1.0, float(expected.logits.abs().max()))
            )
            assert logits == pytest.approx(expected.logits[0].numpy(), abs=near, rel=0), form
            if form == "32 bits":
                assert pooled == pytest.approx(
                    expected.hidden_states[LAYERS // 2][0].mean(0).numpy(), abs=1e-4, rel=0
                )
            spread.append(logits)
        assert np.std(spread, axis=0).min() > 1e-3
        kinds = [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node]
        if form == "8-bit products":
            assert kinds.count("QAttention") == LAYERS - 1, "the attention was not found"
            assert kinds.count("Softmax") == 1, "unused queries were not removed"
        assert "Slice" in kinds, "unused tokens were not removed"


def test_weights_restored_from_a_graph_differ_by_at_most_one_quantisation_step(
    encoded: list[list[int]], tmp_path: Path
) -> None:
    import onnx

    from training import exported, graph, optimise_graph, restored, signature

    model = encoder("Bert", labels=2)
    exported.to_onnx(model, tmp_path / "plain.onnx")
    optimise_graph.dynamic(tmp_path / "plain.onnx", tmp_path / "small.onnx")
    chance = np.random.default_rng(1)
    sentences = [*encoded, *(chance.integers(1000, 20_000, 12).tolist() for _ in range(40))]
    fitted = signature.fit(np.array([run(tmp_path / "small.onnx", ids)[1] for ids in sentences]))
    onnx.save(
        graph.whole(onnx.load(tmp_path / "small.onnx"), fitted, signature.bigram_bits(sentences)),
        tmp_path / "model.onnx",
    )
    state = restored.weights(tmp_path / "model.onnx")

    expected = {
        name: value.numpy()
        for name, value in model.state_dict().items()
        if not name.endswith("position_ids")
    }
    assert set(state) == set(expected)
    for name, value in expected.items():
        assert state[name].shape == value.shape, name
        assert (np.abs(state[name] - value) <= step(name, value) + 1e-6).all(), name


def step(name: str, value: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the size of a quantisation step.

    The word embeddings have 8 bits, and all share one step. A matrix has 7 bits, and one step for
    each output. All other weights are exact.
    """
    sizes = np.abs(value.astype(np.float64))
    if name == "bert.embeddings.word_embeddings.weight":
        return np.full_like(sizes, sizes.max() / 127)
    if name.endswith("weight") and value.ndim == 2 and "embeddings" not in name:
        return np.broadcast_to(sizes.max(axis=1, keepdims=True) / 64, sizes.shape)
    return np.zeros_like(sizes)


def run(path: Path, ids: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits, pooled = session.run(["sentence_logits", "pooled"], {"ids": np.array([ids])})
    return logits, pooled


def test_a_stage_of_training_learns_labels_and_does_not_change_the_word_embeddings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Train on a few dozen sentences, with both targets (label and wrong tokens)."""
    import torch
    from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

    from training.corpora import Example
    from training.finetune import agreement, fit
    from training.recipe import Stage

    torch.manual_seed(1)
    model = BertForSequenceClassification(configured(2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER), pad_token="[PAD]")
    names = [
        f"The {colour} {animal}"
        for colour in ("red", "old", "shy", "wet")
        for animal in ("dog", "cat", "bird", "cow")
    ]
    pairs = [(f"{name} sleeps.", f"{name} sleep.") for name in names]
    examples = [
        example
        for right, wrong in pairs
        for example in (Example(right, 1, right), Example(wrong, 0, right))
    ]
    examples += [Example("Dog the sleeps.", 0), Example("The dogs sleep.", 1)]
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    stage = Stage(
        "both targets",
        3e-3,
        8,
        1,
        epochs=12,
        dropout=0.1,
        smoothing=0.05,
        spotting=2.0,
        select=True,
    )
    fit(model, tokenizer, examples, stage, selection=examples)
    assert agreement(model, tokenizer, examples) > 0.9
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)
    assert "both targets: Matthews correlation" in capsys.readouterr().out

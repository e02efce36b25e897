"""Makes a model folder with four labels, without torch.

The sample has texts in two alphabets, Latin and Cyrillic. The tokenizer has no token for unknown
text. The network is small and has random weights. Like every other model, this model is assembled
by training/assemble_folder.py.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from training.assemble_folder import Wish, assemble
from training.checkpoint import read as read_checkpoint
from training.sample import Row, split

LABELS: Final = ("news", "how-to", "e.mail", "2 b")  # with a dot, a blank and a digit
NAME: Final = "four"
MAX_TOKENS: Final = 48
WIDTH: Final = 24
WORDS: Final = {
    "news": ["the", "minister", "said", "on", "monday", "that", "parliament", "will", "vote"],
    "how-to": ["first", "open", "lid", "then", "press", "both", "buttons", "and", "wait"],
    "e.mail": ["hello", "dear", "thanks", "for", "your", "letter", "regards", "see", "you"],
    "2 b": ["быть", "или", "не", "быть", "вот", "в", "чём", "вопрос"],
}


def texts(count: int = 400) -> list[tuple[str, int]]:
    """Return texts with the indices of their labels. Each call returns the same texts."""
    chance = random.Random(5)
    found: dict[str, int] = {}
    while len(found) < count:
        label = chance.randrange(len(LABELS))
        other = LABELS[chance.randrange(len(LABELS))]
        words = chance.choices(WORDS[LABELS[label]], k=chance.randint(2, 12)) + chance.choices(
            WORDS[other], k=chance.randint(0, 3)
        )
        found.setdefault(" ".join(words), label)
    return list(found.items())


def make(folder: Path) -> Path:
    """Make a model folder below `folder`, and return its path."""
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    rows = [Row(text, label) for text, label in texts()]
    tokenizer = _tokenizer([row.text for row in rows])
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    config = {
        "architectures": ["ToyForSequenceClassification"],
        "id2label": {str(at): label for at, label in enumerate(LABELS)},
        "max_position_embeddings": MAX_TOKENS,
    }
    (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (checkpoint / "model.safetensors").touch()
    plain = folder / "plain.onnx"
    onnx.save(_graph(tokenizer), plain)
    sample = split("four-label.csv", rows)
    session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
    own = [
        session.run(["sentence_logits"], {"ids": np.array([tokenizer.encode(row.text).ids])})[
            0
        ].tolist()
        for row in sample.rows
    ]
    out = folder / "model"
    assemble(
        plain,
        own,
        checkpoint=read_checkpoint(checkpoint),
        sample=sample,
        wish=Wish(NAME),
        out=out,
        say=lambda _: None,
    )
    return out


def _tokenizer(corpus: list[str]) -> Tokenizer:
    """Train a byte-level BPE tokenizer, the kind that RoBERTa has.

    This tokenizer pads and truncates. `assemble` must switch off both for the model folder.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_padding(length=8, pad_id=1, pad_token="<pad>")
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _graph(tokenizer: Tokenizer) -> onnx.ModelProto:
    """Return a small network: embeddings, a mean over the tokens, and a classification head.

    The embeddings of a label's words are moved towards the label.
    """
    chance = np.random.default_rng(3)
    words = chance.normal(size=(tokenizer.get_vocab_size(), WIDTH))
    head = chance.normal(size=(WIDTH, len(LABELS)))
    for label, name in enumerate(LABELS):
        for token in {
            token for word in WORDS[name] for token in tokenizer.encode(word).ids if token > 2
        }:
            words[token] += 2 * head[:, label]
    values: dict[str, Any] = {
        "words": words,
        "mix": chance.normal(size=(WIDTH, WIDTH)) / WIDTH,
        "head": head,
    }
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Gather", ["words", "ids"], ["rows"]),
                helper.make_node("MatMul", ["rows", "mix"], ["mixed"]),
                helper.make_node("Tanh", ["mixed"], ["bent"]),
                helper.make_node("Add", ["rows", "bent"], ["sum"]),
                helper.make_node("ReduceMean", ["sum", "tokens_axis"], ["means"], keepdims=0),
                helper.make_node("MatMul", ["means", "head"], ["heads"]),
                helper.make_node("Squeeze", ["means", "first_axis"], ["pooled"]),
                helper.make_node("Squeeze", ["heads", "first_axis"], ["sentence_logits"]),
            ],
            "toy",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"])],
            [
                helper.make_tensor_value_info("sentence_logits", TensorProto.FLOAT, [len(LABELS)]),
                helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [WIDTH]),
            ],
            [
                numpy_helper.from_array(np.array([1]), "tokens_axis"),
                numpy_helper.from_array(np.array([0]), "first_axis"),
                *(
                    numpy_helper.from_array(value.astype(np.float32), name)
                    for name, value in values.items()
                ),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )

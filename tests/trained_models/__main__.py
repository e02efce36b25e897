"""Trains three checkpoints, and writes a sample of texts and labels for each.

Run `python -m tests.trained_models --out FOLDER [--data FOLDER]` in the environment for training.
The checkpoints are
- `genres`, a MiniLM with four labels. It is trained only if --data gives the folder of the corpora.
- `distilbert` and `roberta`, which begin with random weights, and learn made-up sentences. Each has
  a vocabulary of its own.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from torch.nn.functional import cross_entropy

from tests.models import four_labels

GENRES = ("answers", "newsgroup", "reviews", "weblog")
TEXTS_EACH = 550
Rows = list[tuple[str, int]]


def main() -> int:
    """Write `FOLDER/NAME/checkpoint` and `FOLDER/NAME/sample.csv` for each checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m tests.trained_models", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    made: dict[str, Callable[[Rows, Path], Any]] = {"distilbert": distilbert, "roberta": roberta}
    for name, make in made.items():
        rows = four_labels.texts(1200)
        adopt(arguments.out / name, rows, four_labels.LABELS, make, steps=60)
    if arguments.data:
        adopt(arguments.out / "genres", genres(arguments.data), GENRES, minilm, steps=80)
    else:
        print("genres: NOT RUN; give the folder of the corpora, DATA=FOLDER (training/README.md)")
    return 0


def adopt(
    folder: Path,
    rows: Rows,
    labels: tuple[str, ...],
    make: Callable[[Rows, Path], Any],
    *,
    steps: int,
) -> None:
    """Train on half of the rows, and write the other half as the sample."""
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True, exist_ok=True)
    train, sample = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    tokenizer, model = make(train, folder)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: at for at, label in enumerate(labels)}
    right = fit(tokenizer, model, train, steps)
    print(f"{folder.name}: {steps} steps, accuracy of the last batches {right:.0%}")
    tokenizer.save_pretrained(checkpoint)
    model.save_pretrained(checkpoint)
    with (folder / "sample.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text, labels[label]) for text, label in sample)


def fit(tokenizer: Any, model: Any, rows: Rows, steps: int) -> float:
    """Train on `steps` batches of 16 rows. Return the accuracy in the last ten batches."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4 if model.config.hidden_size > 200 else 2e-3
    )
    chance, right = random.Random(2), list[float]()
    model.train()
    for _ in range(steps):
        batch = chance.sample(rows, 16)
        inputs = tokenizer(
            [text for text, _ in batch],
            truncation=True,
            max_length=64,
            padding=True,
            return_tensors="pt",
        )
        logits = model(**inputs).logits
        labels = torch.tensor([label for _, label in batch])
        cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        right.append(float((logits.argmax(-1) == labels).float().mean()))
    model.eval()
    return sum(right[-10:]) / 10


def distilbert(rows: Rows, folder: Path) -> tuple[Any, Any]:
    """Make a DistilBERT with a lower-case WordPiece tokenizer."""
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator([text for text, _ in rows], vocab_size=500, show_progress=False)
    trained.save(str(folder / "trained.json"))
    marks = {
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
    }
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "trained.json"),
        model_max_length=96,
        model_input_names=["input_ids", "attention_mask"],
        **marks,
    )
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer), dim=64, n_heads=4, n_layers=3, hidden_dim=128,
        max_position_embeddings=96, num_labels=len(four_labels.LABELS),
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return tokenizer, transformers.DistilBertForSequenceClassification(config)


def roberta(rows: Rows, folder: Path) -> tuple[Any, Any]:
    """Make a RoBERTa with a byte-level tokenizer.

    The tokenizer has no token for unknown text. The model counts positions from the id of the
    padding token.
    """
    trained = ByteLevelBPETokenizer(add_prefix_space=True)
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(
        [text for text, _ in rows], vocab_size=600, special_tokens=marks, show_progress=False
    )
    trained.save_model(str(folder))
    tokenizer = transformers.RobertaTokenizerFast(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        add_prefix_space=True,
        model_max_length=96,
    )
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_attention_heads=4, num_hidden_layers=3,
        intermediate_size=128, max_position_embeddings=98, type_vocab_size=1,
        num_labels=len(four_labels.LABELS), pad_token_id=1,
    )  # fmt: skip
    return tokenizer, transformers.RobertaForSequenceClassification(config)


def minilm(_: Rows, __: Path) -> tuple[Any, Any]:
    """Take the base encoder of the shipped model, with a new classification head."""
    from training.__main__ import packaged_encoder

    base = packaged_encoder()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(GENRES)
    )
    return transformers.AutoTokenizer.from_pretrained(base), model


def genres(data: Path) -> Rows:
    """Read sentences of four genres from EWT, the same number for each genre."""
    found: dict[str, list[str]] = {genre: [] for genre in GENRES}
    genre = ""
    for path in sorted((data / "ewt").glob("*.conllu.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                if line.startswith("# sent_id = "):
                    genre = line.removeprefix("# sent_id = ").partition("-")[0]
                elif line.startswith("# text = ") and genre in found:
                    found[genre].append(line.removeprefix("# text = ").strip())
    rows = [
        (text, at)
        for at, name in enumerate(GENRES)
        for text in random.Random(1).sample(sorted(set(found[name])), TEXTS_EACH)
    ]
    random.Random(3).shuffle(rows)
    return rows


if __name__ == "__main__":
    raise SystemExit(main())

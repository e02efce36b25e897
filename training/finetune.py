"""The training loop: a classifier and examples in, the classifier fitted to them out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from training.corpora import LABELS, Example
from training.figures import matthews
from training.recipe import Stage

TRAINED_TOKENS = 64


def load(folder: Path) -> PreTrainedModel:
    """The classifier saved in `folder`; an encoder without a head gets a fresh one."""
    torch.manual_seed(0)
    names = dict(enumerate(LABELS))
    return AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(LABELS), id2label=names, label2id={name: number for number, name in names.items()}
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The encoder's tokenizer; training does not change it."""
    return AutoTokenizer.from_pretrained(folder)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    stage: Stage,
    *,
    seed: int,
    selection: list[Example] | None = None,
) -> None:
    """Train in place: AdamW 0.01, 10 % warm-up, linear decay, gradients clipped at 1, batches of like length.

    With a `selection`, what stays is the epoch with the highest Matthews correlation on it.
    """
    torch.manual_seed(seed)  # a stage is the same whether those before it ran now or were loaded
    batches = -(-len(examples) // stage.batch)
    steps = stage.epochs * batches
    run = stage.stop_after * batches
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / (0.1 * steps), (steps - step) / (0.9 * steps)))
    encoded = tokenizer([example.sentence for example in examples], truncation=True, max_length=TRAINED_TOKENS)["input_ids"]
    best, kept = -1.0, None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task(stage.name, total=run)
        for epoch in range(stage.stop_after):
            model.train()
            for chosen in _batches([len(ids) for ids in encoded], stage.batch, seed + epoch):
                inputs = tokenizer.pad({"input_ids": [encoded[at] for at in chosen]}, return_tensors="pt")
                labels = torch.tensor([examples[at].label for at in chosen])
                loss = cross_entropy(model(**inputs).logits, labels)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                progress.advance(bar)
                done = int(progress.tasks[bar].completed)
                if not progress.console.is_terminal and done % max(1, run // 10) == 0:
                    progress.print(f"{stage.name}: {done} of {run} steps")
            if selection:
                found = agreement(model, tokenizer, selection)
                progress.print(f"{stage.name}: Matthews correlation {found:.3f} on the selection split after epoch {epoch + 1}")
                if found > best:
                    best, kept = found, {name: value.clone() for name, value in model.state_dict().items()}
    if kept:
        model.load_state_dict(kept)


def agreement(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, examples: list[Example]) -> float:
    """Matthews correlation of the classifier with the examples' labels."""
    rows = logits(model, tokenizer, [example.sentence for example in examples])
    return matthews([example.label for example in examples], [int(row[1] > row[0]) for row in rows])


@torch.inference_mode()
def logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, sentences: list[str]) -> list[list[float]]:
    """The classifier's two logits for each sentence, in order."""
    model.eval()
    encoded = tokenizer(sentences, truncation=True, max_length=TRAINED_TOKENS)["input_ids"]
    order = sorted(range(len(sentences)), key=lambda at: len(encoded[at]))
    rows: dict[int, list[float]] = {}
    starts = range(0, len(order), 64)
    shown = track(starts, "judging", console=Console(stderr=True)) if len(order) > 5000 else starts
    for start in shown:
        chosen = order[start : start + 64]
        inputs = tokenizer.pad({"input_ids": [encoded[at] for at in chosen]}, return_tensors="pt")
        rows |= zip(chosen, model(**inputs).logits.tolist(), strict=True)
    return [rows[at] for at in range(len(sentences))]


def _batches(lengths: list[int], size: int, seed: int) -> Iterator[list[int]]:
    """Shuffled batches of indices, made within windows of 50 batches sorted by length: little padding, still random."""
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), 50 * size):
        window = sorted(order[start : start + 50 * size], key=lengths.__getitem__)
        batches += [window[at : at + size] for at in range(0, len(window), size)]
    chance.shuffle(batches)
    return iter(batches)

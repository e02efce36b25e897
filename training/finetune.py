"""The training loop, which fits a classifier to examples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from training.corpora import LABELS, Example
from training.corrupt import different
from training.figures import matthews
from training.recipe import Stage

TRAINED_TOKENS = 64
WRONG_WEIGHT = 3.0  # because wrong tokens are much rarer than right ones


def load(folder: Path) -> PreTrainedModel:
    """Load the classifier in `folder`. An encoder without a head gets a new head."""
    torch.manual_seed(0)
    names = dict(enumerate(LABELS))
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(LABELS),
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load the encoder's tokenizer, which training does not change."""
    return AutoTokenizer.from_pretrained(folder)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: list[Example],
    stage: Stage,
    *,
    selection: list[Example] | None = None,
) -> None:
    """Train the model in place.

    Training uses AdamW with weight decay 0.01, warm-up, linear decay, gradients clipped at 1, and
    batches of similar length. The word embeddings are not trained. With a `selection`, the model
    gets the weights of the epoch with the highest Matthews correlation on these examples.
    """
    # Each stage sets the seed. So the stage has the same result, whether the earlier stages run now
    # or their results are loaded from files.
    torch.manual_seed(stage.seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = stage.dropout
    model.bert.embeddings.word_embeddings.weight.requires_grad = False
    # The spotter learns to mark the wrong tokens of a sentence. It is used only in training.
    spotter = torch.nn.Linear(model.config.hidden_size, 1) if stage.spotting else None
    weights = [weight for weight in model.parameters() if weight.requires_grad] + (
        list(spotter.parameters()) if spotter else []
    )
    encoded = tokenizer(
        [example.sentence for example in examples], truncation=True, max_length=TRAINED_TOKENS
    )["input_ids"]
    marked = _marked(tokenizer, examples, encoded) if spotter else []
    steps = stage.epochs * -(-len(examples) // stage.batch)
    optimizer = torch.optim.AdamW(weights, lr=stage.learning_rate, weight_decay=0.01, fused=True)
    rising = stage.warm_up * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / rising, (steps - step) / (steps - rising))
    )
    best, kept = -1.0, None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task(stage.name, total=steps)
        for epoch in range(stage.epochs):
            model.train()
            for chosen in _batches([len(ids) for ids in encoded], stage.batch, stage.seed + epoch):
                inputs = tokenizer.pad(
                    {"input_ids": [encoded[at] for at in chosen]}, return_tensors="pt"
                )
                labels = torch.tensor([examples[at].label for at in chosen])
                found = model.bert(**inputs)
                logits = model.classifier(model.dropout(found.pooler_output))
                loss = cross_entropy(logits, labels, label_smoothing=stage.smoothing)
                if spotter:
                    loss = loss + stage.spotting * _spotted(
                        spotter(found.last_hidden_state).squeeze(-1), [marked[at] for at in chosen]
                    )
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                progress.advance(bar)
                done = int(progress.tasks[bar].completed)
                if not progress.console.is_terminal and done % max(1, steps // 10) == 0:
                    progress.print(f"{stage.name}: {done} of {steps} steps")
            if selection:
                agreed = agreement(model, tokenizer, selection)
                progress.print(
                    f"{stage.name}: Matthews correlation {agreed:.3f} on the selection split "
                    f"after epoch {epoch + 1}"
                )
                if agreed > best:
                    best, kept = (
                        agreed,
                        {name: value.clone() for name, value in model.state_dict().items()},
                    )
    if kept:
        model.load_state_dict(kept)


def _marked(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example], encoded: list[list[int]]
) -> list[list[int] | None]:
    """Return a mark for each token of each example: 1 for a wrong token, 0 for a right one.

    An example gets None if its right sentence is not known.
    """
    known = [at for at, example in enumerate(examples) if example.right is not None]
    right = tokenizer(
        [examples[at].right for at in known], truncation=True, max_length=TRAINED_TOKENS
    )["input_ids"]
    found: list[list[int] | None] = [None] * len(examples)
    for at, ids in zip(known, right, strict=True):
        found[at] = different(ids, encoded[at])
    return found


def _spotted(logits: torch.Tensor, marks: list[list[int] | None]) -> torch.Tensor:
    """Return the binary cross-entropy over all tokens that have a mark.

    Wrong tokens count three times. `logits` has the shape (batch, tokens).
    """
    targets = torch.full(logits.shape, -1.0)
    for row, mark in enumerate(marks):
        if mark is not None:
            targets[row, : len(mark)] = torch.tensor(mark, dtype=torch.float)
    known = targets >= 0
    if not known.any():
        return torch.zeros(())
    return binary_cross_entropy_with_logits(
        logits[known], targets[known], pos_weight=torch.tensor(WRONG_WEIGHT)
    )


def agreement(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, examples: list[Example]
) -> float:
    """Return the Matthews correlation of the classifier with the examples' labels."""
    rows = logits(model, tokenizer, [example.sentence for example in examples])
    return matthews([example.label for example in examples], [int(row[1] > row[0]) for row in rows])


@torch.inference_mode()
def logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, sentences: list[str]
) -> list[list[float]]:
    """Return the classifier's two logits for each sentence, in the order of the sentences."""
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
    """Return shuffled batches of indices.

    A batch of sentences of similar length needs little padding. So the shuffled indices are cut
    into blocks of 50 * `size` indices. Each block is sorted by length, and then cut into batches.
    """
    chance = random.Random(seed)
    order = list(range(len(lengths)))
    chance.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), 50 * size):
        window = sorted(order[start : start + 50 * size], key=lengths.__getitem__)
        batches += [window[at : at + size] for at in range(0, len(window), size)]
    chance.shuffle(batches)
    return iter(batches)

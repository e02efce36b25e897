"""Reads a checkpoint of transformers, and checks whether it can become a model folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.errors import UserError

# The largest length of a text, in word pieces. Most encoders accept no text above this length, and
# the time for a text grows with the square of its length.
LONGEST: Final = 512
PICKLED: Final = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
# In these architectures, positions begin at the padding token's id + 1, and not at 0.
FROM_PADDING: Final = {
    "roberta",
    "xlm-roberta",
    "camembert",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
    "data2vec-text",
    "mpnet",
    "longformer",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that can become a model folder.

    `labels` are in the order of the logits. `unknown` is the tokenizer's token for unknown text, or
    None if the tokenizer has no such token.
    """

    folder: Path
    labels: list[str]
    max_tokens: int
    unknown: str | None
    architecture: str


def read(folder: Path, max_tokens: int | None = None) -> Checkpoint:
    """Read the checkpoint in `folder` without running any of its code.

    Raises `UserError` with the reason if the checkpoint cannot be used.
    """
    config = _json(folder / "config.json", "give the folder that save_pretrained wrote")
    tokenizer = _json(
        folder / "tokenizer.json",
        "save the fast tokenizer: AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)",
    )
    _refuse_code_and_pickles(folder, config)
    architecture = str((config.get("architectures") or ["unknown"])[0])
    _refuse_other_tasks(folder, config, architecture)
    return Checkpoint(
        folder,
        _labels(folder, config),
        _max_tokens(folder, config, max_tokens),
        _unknown(tokenizer),
        architecture,
    )


def _json(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"{path} is not there: {otherwise}.") from None
    except ValueError:
        raise UserError(f"{path} is not JSON: {otherwise}.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a JSON object: {otherwise}.")
    return found


def _refuse_code_and_pickles(folder: Path, config: dict[str, Any]) -> None:
    code = sorted(path.name for path in folder.glob("*.py"))
    if config.get("auto_map") or code:
        raise UserError(
            f"{folder} has code of its own ({code[0] if code else 'auto_map in config.json'}), "
            "which would run on this machine: only architectures that the library transformers "
            "contains are accepted."
        )
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        raise UserError(
            f"{folder} holds pickled weights only ({pickled[0]}), and reading a pickle can run "
            "code: save the model again with model.save_pretrained(FOLDER), which writes "
            "model.safetensors."
            if pickled
            else f"{folder} holds no model.safetensors: give the folder that save_pretrained wrote."
        )


def _refuse_other_tasks(folder: Path, config: dict[str, Any], architecture: str) -> None:
    kind = config.get("problem_type")
    count = len(config.get("id2label") or {}) or int(config.get("num_labels", 2))
    if architecture.endswith("ForTokenClassification"):
        raise UserError(
            f"{folder} gives a label to each token ({architecture}): only classifiers of a whole "
            "text are accepted."
        )
    if not architecture.endswith("ForSequenceClassification"):
        raise UserError(
            f"{folder} is not a text classifier ({architecture}): train a classifier with "
            "AutoModelForSequenceClassification."
        )
    if kind == "regression" or count == 1:
        raise UserError(
            f"{folder} gives one number instead of labels (regression): only classifiers with two "
            "or more labels are accepted."
        )
    if kind == "multi_label_classification":
        raise UserError(
            f"{folder} gives any number of labels to a text (multi-label): only classifiers that "
            "choose one label are accepted."
        )


def _labels(folder: Path, config: dict[str, Any]) -> list[str]:
    found = config.get("id2label") or {
        str(at): f"LABEL_{at}" for at in range(int(config.get("num_labels", 2)))
    }
    labels = [found.get(str(at)) for at in range(len(found))]
    if not all(isinstance(label, str) and label.strip() for label in labels) or len(
        set(labels)
    ) < len(labels):
        raise UserError(
            f"{folder}/config.json: id2label must give each number from 0 to {len(found) - 1} "
            "a different name."
        )
    return [str(label) for label in labels]


def _max_tokens(folder: Path, config: dict[str, Any], wanted: int | None) -> int:
    positions = int(config.get("max_position_embeddings") or LONGEST)
    if config.get("model_type") in FROM_PADDING:
        positions -= int(config.get("pad_token_id") or 0) + 1
    most = min(positions, LONGEST)
    if wanted is not None and not 3 <= wanted <= most:
        raise UserError(
            f"max tokens must be between 3 and {most} (the limit of {folder}), not {wanted}."
        )
    own = (
        _json(folder / "tokenizer_config.json", "").get("model_max_length")
        if (folder / "tokenizer_config.json").is_file()
        else None
    )
    return wanted or min(most, own if isinstance(own, int) and own > 2 else most)


def _unknown(tokenizer: dict[str, Any]) -> str | None:
    """Return the token for unknown text, as tokenizer.json states it.

    WordPiece, BPE and WordLevel state the token itself. Unigram states its index.
    """
    model = tokenizer.get("model", {})
    if isinstance(model.get("unk_id"), int):
        return str(model["vocab"][model["unk_id"]][0])
    mark = model.get("unk_token")
    return mark if isinstance(mark, str) and mark in model.get("vocab", {}) else None

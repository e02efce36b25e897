"""Predictions of the shipped model as columns of numbers, which are computed once and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.monitor.texts import Sentence, every
from inference.classifier import Classifier
from inference.label_fields import field_names
from inference.record import prediction_record
from tools.root import ROOT

MODEL: Final = ROOT / "functions" / "inference" / "model"
FIELDS: Final = (
    "prediction.score", "input.words", "input.tokens_per_word", "input.unk_share",
    "input.non_letter_share", "input.novelty", "input.surprisal",
    *(f"input.sig.s{at}" for at in range(8)),
)  # fmt: skip
CARD: Final = json.loads((MODEL / "card.json").read_text(encoding="utf-8"))
# A number in `Rows.label` is the position of the label in this tuple.
LABELS: Final[tuple[str, str]] = (CARD["labels"][1], CARD["labels"][0])
PROBABILITY: Final = f"prediction.probability.{field_names(LABELS)[LABELS[0]]}"


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of equal length, with one value for each prediction.

    - `columns` has the numbers of the records, as 32-bit floats.
    - `label` is the index of the label in `LABELS`.
    - `flags` has a bit for each of `FLAGS`.
    - `text` is a number made from the text's hash, so that equal texts have equal numbers.
    - `document` and `genre` are numbered from 0 in the order of the corpus.

    `genres` has the names of the genres, in the order of their numbers.
    """

    columns: dict[str, NDArray[np.float32]]
    label: NDArray[np.int64]
    flags: NDArray[np.int64]
    text: NDArray[np.int64]
    document: NDArray[np.int64]
    genre: NDArray[np.int64]
    genres: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)


FLAGS: Final = ("truncated", "mostly_unknown", "mostly_non_letter", "other_script")


def predicted(data: Path, cache: Path, tick: Callable[[str], None]) -> dict[str, Rows]:
    """Return the predictions of the shipped model for every set of `texts.every`.

    Sets that the folder `cache` already holds are read from it. Raises `CorpusMissing`.
    """
    found: dict[str, Rows] = {}
    for name, sentences in every(data):
        tick(name)
        found[name] = rows_of(name, sentences, cache)
    return found


def rows_of(name: str, sentences: list[Sentence], cache: Path) -> Rows:
    """Return the predictions for a set of sentences. They are computed once and kept in `cache`."""
    digest = sha256("\n".join(s.text for s in sentences).encode()).hexdigest()[:12]
    path = cache / f"{name.replace(' ', '-')}-{CARD['version']}-{digest}.npz"
    if not path.exists():
        _keep(path, sentences)
    return _read(path)


def _keep(path: Path, sentences: list[Sentence]) -> None:
    # The model is loaded in a separate process, which frees its memory when it ends.
    with ProcessPoolExecutor(1, initializer=_load) as pool:
        records = list(pool.map(_record, [s.text for s in sentences], chunksize=256))
    genres = list(dict.fromkeys(s.genre for s in sentences))
    documents = {d: at for at, d in enumerate(dict.fromkeys(s.document for s in sentences))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(
        partial,
        numbers=np.array([r[0] for r in records], dtype=np.float32),
        codes=np.array([r[1:] for r in records], dtype=np.int64),
        document=np.array([documents[s.document] for s in sentences]),
        genre=np.array([genres.index(s.genre) for s in sentences]),
        genres=np.array(genres),
    )
    partial.rename(path)


def _read(path: Path) -> Rows:
    with np.load(path) as kept:
        numbers, codes = kept["numbers"], kept["codes"]
        names = (PROBABILITY, *FIELDS)
        return Rows(
            {name: numbers[:, at] for at, name in enumerate(names)},
            codes[:, 0],
            codes[:, 1],
            codes[:, 2],
            kept["document"],
            kept["genre"],
            tuple(str(g) for g in kept["genres"]),
        )


_model: list[Classifier] = []


def _load() -> None:
    _model.append(Classifier(MODEL))


def _record(text: str) -> tuple[list[float], int, int, int]:
    """Return the numbers of a text's prediction, and the codes of label, flags and text."""
    prediction = _model[0].predict(text)
    settings: dict[str, Any] = {
        "prediction_id": "",
        "model": {},
        "traffic": "live",
        "key": b"bench",
        "log_text": False,
    }
    record = prediction_record(
        text, prediction, **settings, log_signals=True, usual=_model[0].usual
    )
    numbers = [prediction.probability[LABELS[0]], *(float(_at(record, field)) for field in FIELDS)]
    flags = sum(1 << at for at, flag in enumerate(FLAGS) if flag in record["input"]["flags"])
    return numbers, LABELS.index(prediction.label), flags, int(record["input"]["hash"][:15], 16)


def _at(record: dict[str, Any], path: str) -> Any:
    value: Any = record
    for key in path.split("."):
        value = value[key]
    return value

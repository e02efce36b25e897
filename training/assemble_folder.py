"""Makes a model folder without torch, from an ONNX graph, a tokenizer and a sample of texts.

The graph takes one sentence at a time. Either all files are written, or none.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference.classifier import Classifier, feed, softmax
from inference.description import version
from inference.descriptors import Usual, describe
from inference.model_folder import INPUTS, OUTPUTS
from tools.errors import UserError
from training import figures, golden, graph, optimise_graph, signature
from training.checkpoint import Checkpoint
from training.modelcard import markdown
from training.profile import profile
from training.sample import Sample

# the largest allowed share of texts to which graph and checkpoint give different labels
MOST_FLIPS: Final = 0.02
# in bytes: AWS's quota for an unzipped package, minus the size of the function and its packages
ROOM: Final = 262_144_000 - 105_000_000
RARE: Final = 0.01  # a value is unusual if its share of the sample's texts is below this
BATCHES: Final = (1, 2, 5)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of a model folder.

    `name` is the model's name. `golden` are the golden sentences: test sentences with known answers
    (by default, chosen from the sample). `trained_on` are texts for the table of surprisal (by
    default, texts of the sample). With `large`, a folder that does not fit into a zip package is
    written too. `about` has further fields of the card.
    """

    name: str
    golden: list[dict[str, str]] | None = None
    trained_on: list[str] | None = None
    large: bool = False
    about: dict[str, Any] = field(default_factory=dict)


def assemble(
    plain: Path,
    own: list[list[float]],
    *,
    checkpoint: Checkpoint,
    sample: Sample,
    wish: Wish,
    out: Path,
    say: Say,
) -> dict[str, Any]:
    """Write the model folder `out` and return its card.

    `plain` is the 32-bit graph for one sentence, with the input `ids` and the outputs
    `sentence_logits` and `pooled`. `own` are the checkpoint's own logits for `sample.rows`. If a
    check fails, raises `UserError` with the reason and writes nothing.
    """
    with tempfile.TemporaryDirectory(prefix="model-") as temporary:
        folder, made = Path(temporary), Path(temporary) / "made"
        made.mkdir()
        _tokenizer(checkpoint.folder / "tokenizer.json", made / "tokenizer.json")
        card = _card(checkpoint, wish)
        _write(card, made / "card.json")
        encode = _encoder(made / "tokenizer.json", checkpoint.max_tokens)
        ids = [encode(row.text) for row in sample.rows]
        small, card["kernels"] = _narrowest(plain, folder, ids, own, say)

        say("fitting signature, surprisal and temperature")
        fitted = signature.fit(_outputs(small, ids[: len(sample.fit)])[1])
        table = (
            [encode(text) for text in wish.trained_on]
            if wish.trained_on
            else ids[: len(sample.fit)]
        )
        onnx.save(
            graph.whole(onnx.load(small), fitted, signature.bigram_bits(table)), made / "model.onnx"
        )
        card["usual"] = usual(made / "tokenizer.json", checkpoint, sample)
        _write(card, made / "card.json")

        say("checking that a sentence gets the same answer alone and in a batch")
        _check_batches(made, ids)
        logits = _logits(made, [row.text for row in sample.rows])
        _calibrate(card, sample, logits, own)
        card["version"] = version(made, card["temperature"])
        _write(card, made / "card.json")
        _check_size(made, wish)

        say(f"making the profile from {len(sample.rest)} texts")
        classifier = Classifier(made)
        reference = profile(
            classifier,
            sample,
            fitted,
            wish.golden or golden.choose(classifier, [row.text for row in sample.rest]),
        )
        card["profile"] = reference["id"]
        _write(card, made / "card.json")
        _write(reference, made / "profile.json")
        (made / "README.md").write_text(markdown(card, reference), encoding="utf-8")
        out.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made, out, dirs_exist_ok=True)
    return card


def usual(tokenizer: Path, checkpoint: Checkpoint, sample: Sample) -> dict[str, Any]:
    """Return the usual scripts (writing systems) of the sample, and two limits.

    A script is usual if at least 1 % of the texts have it. The limits are for the share of unknown
    word pieces, and for the share of non-letters. A text that reaches a limit is unusual. `_rare`
    chooses each limit.
    """
    encode, unknown = _encoder(tokenizer, 1 << 30), None
    if checkpoint.unknown is not None:
        unknown = Tokenizer.from_file(str(tokenizer)).token_to_id(checkpoint.unknown)
    found = []
    for row in sample.rows:
        ids = encode(row.text)
        nothing = Usual(frozenset(), 1, 1)
        found.append(
            describe(
                row.text,
                tokens=len(ids),
                unknown=0 if unknown is None else ids.count(unknown),
                truncated=False,
                key=b"-",
                usual=nothing,
            )
        )
    scripts = Counter(each["script"] for each in found)
    return {
        "scripts": sorted(
            {script for script, count in scripts.items() if count >= RARE * len(found)} | {"none"}
        ),
        "mostly_unknown": _rare([each["unk_share"] for each in found]),
        "mostly_non_letter": _rare([each["non_letter_share"] for each in found]),
    }


def _rare(shares: list[float]) -> float:
    """Return the limit that makes a share unusual.

    The limits .5, .55, ..., 1 are tried in this order. A limit fits if at most 1 % of the texts
    have a share at or above it. The first limit that fits is returned. If none fits, 1 is returned.
    """
    steps = [step / 20 for step in range(10, 21)]
    return next(
        (step for step in steps if sum(share >= step for share in shares) <= RARE * len(shares)),
        1.0,
    )


def _card(checkpoint: Checkpoint, wish: Wish) -> dict[str, Any]:
    return {
        "name": wish.name,
        "version": "",
        "profile": "",
        "labels": checkpoint.labels,
        "calibrated": False,
        "temperature": 1.0,
        "max_tokens": checkpoint.max_tokens,
        "unknown": checkpoint.unknown,
        "usual": {"scripts": [], "mostly_unknown": 1, "mostly_non_letter": 1},
        "architecture": checkpoint.architecture,
        **wish.about,
    }


def _tokenizer(source: Path, target: Path) -> None:
    """Write the tokenizer without padding and truncation.

    The inference function cuts texts itself, so that it knows their whole length.
    """
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(target))


def _encoder(path: Path, max_tokens: int) -> Callable[[str], list[int]]:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    tokenizer.enable_truncation(max_tokens)
    return lambda text: list(tokenizer.encode(text).ids)


def _narrowest(
    plain: Path, folder: Path, ids: list[list[int]], own: list[list[float]], say: Say
) -> tuple[Path, dict[str, Any]]:
    """Return the fastest graph that is close to the checkpoint, and figures of the comparison.

    A graph is close if at least 98 % of its labels are those of the checkpoint.
    `optimise_graph.WIDTHS` begins with the fastest graph, so the first close graph is returned.
    """
    flips = 0
    for name, make in optimise_graph.WIDTHS.items():
        say(f"{name}: comparing {len(ids)} texts with the checkpoint's own answers")
        path = folder / "small.onnx"
        make(plain, path)
        started = time.perf_counter()
        logits = _outputs(path, ids)[0]
        milliseconds = (time.perf_counter() - started) * 1000 / len(ids)
        flips = sum(
            figures.chosen(one) != figures.chosen(other)
            for one, other in zip(logits.tolist(), own, strict=True)
        )
        largest = max(
            _difference(one, other) for one, other in zip(logits.tolist(), own, strict=True)
        )
        say(
            f"{name}: {flips} of {len(ids)} labels differ ({flips / len(ids):.1%}), "
            f"largest difference of a probability {largest:.3f}, "
            f"{milliseconds:.2f} ms per text, {path.stat().st_size / 1e6:.1f} MB"
        )
        if flips <= MOST_FLIPS * len(ids):
            return path, {
                "form": name,
                "texts": len(ids),
                "labels_changed": flips,
                "largest_difference": round(largest, 4),
            }
    raise UserError(
        f"even in 32 bits, {flips} of {len(ids)} texts get another label from the exported graph "
        "than from the checkpoint: the export does not support this architecture, or "
        "tokenizer.json belongs to another model."
    )


def _difference(one: list[float], other: list[float]) -> float:
    return float(np.abs(np.array(softmax(one, 1.0)) - np.array(softmax(other, 1.0))).max())


def _outputs(
    path: Path, sentences: list[list[int]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the logits and the means of the middle layer.

    Shapes: (sentences, labels) and (sentences, width).
    """
    session = _session(path)
    found = [
        session.run(["sentence_logits", "pooled"], {"ids": np.array([ids])}) for ids in sentences
    ]
    return np.array([each[0] for each in found]), np.array([each[1] for each in found])


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _check_batches(folder: Path, ids: list[list[int]]) -> None:
    """Check that a sentence gets bit-identical outputs alone and in batches of 1, 2 and 5."""
    session = _session(folder / "model.onnx")
    names = [each.name for each in session.get_inputs()]
    by_length = sorted(ids, key=len)
    for size in BATCHES:
        rows = [by_length[at] for at in np.linspace(0, len(by_length) - 1, size).astype(int)]
        longest = max(map(len, rows))
        padded = {
            INPUTS[0]: np.array([[*row, *[0] * (longest - len(row))] for row in rows]),
            INPUTS[1]: np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        }
        together = session.run(OUTPUTS, padded)
        for at, row in enumerate(rows):
            alone = session.run(OUTPUTS, feed(names, row))
            for name, one, other in zip(OUTPUTS, together, alone, strict=True):
                if one[at].tobytes() != other[0].tobytes():
                    raise UserError(
                        f"the output {name} of a sentence changes in a batch of {size}: "
                        "the exported graph mixes sentences."
                    )


def _logits(folder: Path, texts: list[str]) -> list[list[float]]:
    """Return the logits that the inference function's own code computes."""
    classifier = Classifier(folder)
    return [classifier.logits(text) for text in texts]


def _calibrate(
    card: dict[str, Any], sample: Sample, logits: list[list[float]], own: list[list[float]]
) -> None:
    """Write the temperature and the figures into the card.

    The temperature is fitted on `sample.fit`, and the figures are measured on `sample.rest`.
    Without labels, neither is possible.
    """
    at = len(sample.fit)
    labels = [row.label for row in sample.rest if row.label is not None]
    if not labels:
        card["figures"] = {"sample": sample.name, "texts": len(sample.rest)}
        return
    card["temperature"] = figures.fit_temperature(
        [row.label for row in sample.fit if row.label is not None], logits[:at]
    )
    card["calibrated"] = True
    card["calibrated_on"] = {"corpus": sample.name, "sentences": at}
    rest = logits[at:]
    predicted = list(map(figures.chosen, rest))
    share = figures.accuracy(labels, predicted)
    card["figures"] = {
        "sample": sample.name,
        "texts": len(labels),
        "accuracy": round(share, 4),
        "accuracy_interval": [round(each, 4) for each in figures.interval(share, len(labels))],
        "matthews": round(figures.matthews(labels, predicted), 4),
        "matthews_of_the_checkpoint": round(
            figures.matthews(labels, list(map(figures.chosen, own[at:]))), 4
        ),
        "calibration_error": round(figures.calibration_error(labels, rest, card["temperature"]), 4),
    }


def _check_size(folder: Path, wish: Wish) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > ROOM and not wish.large:
        raise UserError(
            f"the folder has {size / 1e6:.0f} MB, but a zip package of Lambda has room for a "
            f"model of {ROOM / 1e6:.0f} MB: give --large to write the folder nevertheless. "
            "docs/model.md says how a function takes a large model from S3 or a container image."
        )


def _write(content: dict[str, Any], path: Path) -> None:
    """Write a JSON file in which each list of numbers is on one line."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(
        re.sub(r"\[[^\[\]{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), text) + "\n",
        encoding="utf-8",
    )

"""`python -m bench.models --against COMMIT` compares the shipped model file with another one.

It measures only onnxruntime's run of the model, on one thread and with one text at a time. The time
to split the text into word pieces is not counted. The figures are processor times. Each figure is
the median of many short rounds. So it hardly changes if other work disturbs a few rounds.

In a deployed function, the weights of its only model stay in the processor's cache. Here, each
model displaces the other model's weights. So each model is called a few times before each
measurement.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from bench.inference import text
from bench.interleave import Contender, interleaved, ratio
from bench.machine import machine
from bench.table import Row, Target, console, progress, table
from tools.errors import UserError
from tools.root import ROOT

MODEL: Final = ROOT / "functions" / "inference" / "model"
FILES: Final = ("model.onnx", "tokenizer.json")
# The targets for the ratio: the time of the model of `--against`, divided by the time of the model
# of `--model`. Each key is a number of word pieces.
TARGETS: Final = {
    12: Target("≥", 1.8), 30: Target("≥", 1.9), 128: Target("≥", 1.9),
}  # fmt: skip
ROUNDS: Final = 51
WARM_UP: Final = 5  # calls before each measurement


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table. Returns exit code 2 if a model cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__)
    parser.add_argument("--against", required=True, help="a commit, or the folder of a model")
    parser.add_argument("--model", type=Path, default=MODEL, help="default: the shipped model")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    page = console()
    try:
        ours, other = files(str(given.model)), files(given.against)
        with progress(page) as start:
            tick = start("both models in turn", len(TARGETS) * given.rounds)
            rows = list(measured(ours, other, given.against, given.rounds, tick))
    except UserError as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    page.print(table(rows, targets=True, processor=machine()["cpu"]))
    return 0


def files(place: str) -> tuple[bytes, str]:
    """Return the model file and the tokenizer of a folder, or of the model shipped at a commit.

    Raises `UserError` if `place` is neither.
    """
    if Path(place).is_dir():
        try:
            found = [(Path(place) / name).read_bytes() for name in FILES]
        except OSError as problem:
            raise UserError(f"{place} is not the folder of a model: {problem}") from None
    else:
        paths = [f"{place}:{(MODEL / name).relative_to(ROOT)}" for name in FILES]
        shown = [
            subprocess.run(["git", "show", path], cwd=ROOT, capture_output=True, check=False)
            for path in paths
        ]
        if any(one.returncode for one in shown):
            raise UserError(f"{place} is neither a folder nor a commit of this repository")
        found = [one.stdout for one in shown]
    return found[0], found[1].decode()


def measured(
    ours: tuple[bytes, str],
    other: tuple[bytes, str],
    name: str,
    rounds: int,
    tick: Callable[[], None],
) -> Iterator[Row]:
    """Yield a row for each text length. Times are in microseconds of processor time."""
    sessions = [session(model) for model, _ in (ours, other)]
    readers = [reader(tokenizer) for _, tokenizer in (ours, other)]
    for size, target in TARGETS.items():
        this, other_one = (
            contender(found, read.encode(text(size)).ids)
            for found, read in zip(sessions, readers, strict=True)
        )
        times = interleaved({"this": this, "other": other_one}, 1, rounds, tick, warm_up=WARM_UP)
        own, others = times["this"].cpu, times["other"].cpu
        yield Row(
            f"one run of the model, {size} tokens: --against / --model",
            median(own) * 1e6, "µs", name, median(others) * 1e6, ratio(others, own), target,
        )  # fmt: skip


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Return an onnxruntime session on one thread, as in the inference function."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reader(tokenizer: str) -> Tokenizer:
    """Return the tokenizer without the padding that its file may ask for."""
    found = Tokenizer.from_str(tokenizer)
    found.no_padding()
    return found


def contender(found: onnxruntime.InferenceSession, ids: list[int]) -> Contender:
    """Return a function that runs the session on one text, given by the ids of its word pieces.

    The function returns 1, the number of texts.
    """
    tokens = np.array([ids], dtype=np.int64)
    values = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    inputs = {one.name: values.get(one.name, np.zeros_like(tokens)) for one in found.get_inputs()}

    def run() -> int:
        return len(found.run(None, inputs)[0])

    return run


if __name__ == "__main__":
    sys.exit(main())

"""Compares the built inference function with a transformers pipeline of the same weights.

The figures are speed, memory and size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer

from bench.interleave import ratio
from bench.table import Row, Target
from tools.root import ROOT

PACKAGE: Final = ROOT / ".aws-sam" / "build" / "InferenceFunction"
TRAINING: Final = ROOT / ".venv-train"
PIPELINE: Final = "transformers pipeline, the same weights"
# The tokenizer makes exactly one token of each of these words.
WORDS: Final = (
    "the old man told his friends that the small boat had left before they came to the house"
    " on the hill and that he would wait"
)
SIZES: Final = (5, 12, 30, 128)  # tokens, including the marks of start and end
BATCH: Final = 32
TARGET_SIZE: Final = 12

# Shows the progress of a measurement. The arguments are the title and the number of steps. The
# returned function must be called after each step.
Start = Callable[[str, int], Callable[[], None]]


class Unit(NamedTuple):
    """A unit's name, and the factor that converts seconds or bytes to the unit."""

    name: str
    factor: float


MILLISECONDS: Final = Unit("ms", 1e3)
MEBIBYTES: Final = Unit("MiB", 1 / 1024**2)


class Rounds(NamedTuple):
    """The size of a run: rounds, predictions in a round, and processes that load the model."""

    rounds: int
    predictions: int
    starts: int


FULL: Final = Rounds(15, 40, 7)
QUICK: Final = Rounds(2, 3, 2)


class Predictor(NamedTuple):
    """A process that predicts: its time to load in seconds, and a function that sends it texts."""

    loaded: float
    ask: Callable[[str, list[str]], dict[str, Any]]


def inference(scale: Rounds, start: Start, *, rival: bool) -> Iterator[Row]:
    """Measure the inference function on one thread.

    With `rival`, the transformers pipeline is measured too. The rows are:

    - the time to load the model
    - the time to predict one text, for several lengths
    - the time to answer an invocation, with the model's time and without it
    - the time to predict a batch
    - the peak memory
    - the size of the package
    """
    with TemporaryDirectory() as folder, ExitStack() as stack:
        names = ["ours", *(["pipeline"] if rival else [])]
        commands = {
            "ours": _ours(),
            "pipeline": _pipeline(Path(folder) / "restored") if rival else ([], {}),
        }
        loaded: dict[str, list[float]] = {name: [] for name in names}
        tick = start("load the model", scale.starts)
        for _ in range(scale.starts):
            for name in names:
                with predictor(*commands[name]) as found:
                    loaded[name].append(found.loaded)
            tick()
        yield _row(
            "time until the model is loaded: pipeline / ours",
            loaded,
            median,
            MILLISECONDS,
            Target("≤", 500, "value"),
        )

        predictors = {name: stack.enter_context(predictor(*commands[name])) for name in names}
        peaks = dict.fromkeys(names, 0)

        def seconds(title: str, way: str, texts: list[str]) -> dict[str, list[list[float]]]:
            tick = start(title, scale.rounds)
            times: dict[str, list[list[float]]] = {name: [] for name in names}
            for number in range(-1, scale.rounds):
                for name in names if number % 2 else names[::-1]:
                    answer = predictors[name].ask(way, texts)
                    peaks[name] = answer["peak"]
                    if number >= 0:
                        times[name].append(answer["seconds"])
                if number >= 0:
                    tick()
            return times

        for size in SIZES:
            title = f"one prediction, {size} tokens"
            times = seconds(title, "one", [text(size)] * scale.predictions)
            middle = {name: [median(one) for one in rounds] for name, rounds in times.items()}
            yield _row(
                f"{title}: pipeline / ours",
                middle,
                median,
                MILLISECONDS,
                Target("≥", 8) if size == TARGET_SIZE else None,
            )
            if size == TARGET_SIZE:
                yield Row(
                    f"{title}, p50",
                    median(middle["ours"]) * MILLISECONDS.factor,
                    MILLISECONDS.name,
                    target=Target("≤", 3, "value"),
                )
            every = {
                name: [one for figures in rounds for one in figures]
                for name, rounds in times.items()
            }
            yield _row(
                f"{title}, p99: pipeline / ours",
                every,
                lambda figures: quantiles(figures, n=100)[98],
                MILLISECONDS,
                pairs=False,
            )
        times = seconds("an invocation", "handler", [text(TARGET_SIZE)] * scale.predictions)
        middle = {name: [median(one) for one in rounds] for name, rounds in times.items()}
        yield _row(
            "an invocation, from the request to the log line: pipeline / ours",
            middle,
            median,
            MILLISECONDS,
        )
        yield _outside_the_model(scale, start, predictors["ours"])
        times = seconds(
            f"a batch of {BATCH}", "batch", [text(5 + number % 20) for number in range(BATCH)]
        )
        whole = {name: [one / BATCH for (one,) in rounds] for name, rounds in times.items()}
        yield _row(
            f"a sentence in a batch of {BATCH}: pipeline / ours",
            whole,
            median,
            MILLISECONDS,
            Target("≥", 3),
        )
        yield _row(
            "peak memory: pipeline / ours",
            {name: [float(peak)] for name, peak in peaks.items()},
            median,
            MEBIBYTES,
        )
    yield from _descriptors(scale, start)
    sizes = {
        "ours": [float(_size(PACKAGE))],
        **({"pipeline": [float(_size(TRAINING))]} if rival else {}),
    }
    yield _row(
        "inference package: pipeline's environment / ours",
        sizes,
        median,
        MEBIBYTES,
        Target("≤", 110, "value"),
    )


def _outside_the_model(scale: Rounds, start: Start, ours: Predictor) -> Row:
    """Measure the part of an invocation's time that is not spent in the model.

    For this, a cache gives the model's answer, so that the model takes no time.
    """
    title = f"an invocation of {TARGET_SIZE} tokens, without the model"
    tick = start(title, scale.rounds)
    middle = []
    for number in range(-1, scale.rounds):
        answer = ours.ask("outside", [text(TARGET_SIZE)] * scale.predictions)
        if number >= 0:
            middle.append(median(answer["seconds"]))
            tick()
    return Row(title, median(middle) * MILLISECONDS.factor, MILLISECONDS.name)


def _descriptors(scale: Rounds, start: Start) -> Iterator[Row]:
    """Measure the time that three outputs of the model file add to a prediction.

    The outputs are called `signature`, `novelty` and `surprisal`. They describe the text for the
    monitor. Predictions alternate between the model file and a copy without these outputs.
    """
    shipped = onnx.load(PACKAGE / "model" / "model.onnx")
    tokenizer = Tokenizer.from_file(str(PACKAGE / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    ids = np.array([tokenizer.encode(text(TARGET_SIZE)).ids])
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        for model in (shipped, logits_only(shipped))
    ]
    rounds: list[tuple[float, float]] = []
    tick = start("signature, novelty, surprisal", scale.rounds)
    for _ in range(scale.rounds):
        times: list[list[float]] = [[], []]
        for _ in range(scale.predictions):
            for session, seconds in zip(sessions, times, strict=True):
                before = time.perf_counter()
                session.run(None, feed)
                seconds.append(time.perf_counter() - before)
        rounds.append((median(times[0]), median(times[1])))
        tick()
    added = median(whole - bare for whole, bare in rounds[1:] or rounds) * MILLISECONDS.factor
    title = f"signature, novelty, surprisal of {TARGET_SIZE} tokens"
    yield Row(title, max(added, 0.0), MILLISECONDS.name, target=Target("≤", 0.3, "value"))


def logits_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model whose only output is the logits.

    onnxruntime then leaves out the operations that only the other outputs need.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    (loop,) = [node for node in bare.graph.node if node.op_type == "Loop"]
    del loop.output[1:], bare.graph.output[1:]
    (body,) = [attribute.g for attribute in loop.attribute if attribute.name == "body"]
    del body.output[2:]  # keeps the loop's condition and the logits
    return bare


def text(tokens: int) -> str:
    """Return a text of this many tokens, including the marks of start and end."""
    return " ".join(islice(cycle(WORDS.split()), tokens - 2))


@contextmanager
def predictor(command: list[str], environment: dict[str, str]) -> Iterator[Predictor]:
    """Start the process, yield it, and end it afterwards."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        into, out = process.stdin, process.stdout

        def ask(way: str, texts: list[str]) -> dict[str, Any]:
            into.write(json.dumps({"way": way, "texts": texts}) + "\n")
            into.flush()
            answer: dict[str, Any] = json.loads(out.readline())
            return answer

        yield Predictor(json.loads(out.readline())["loaded"], ask)
        into.close()


def _ours() -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment variables of the process with the built package.

    With -S and -P, Python imports modules only from the package, and none from the virtual
    environment of the benchmark.
    """
    command = [sys.executable, "-S", "-P", "-B", str(ROOT / "bench" / "predictor.py"), "ours"]
    return command, {"PATH": os.defpath, "PYTHONPATH": str(PACKAGE), "HASH_KEY": "bench"}


def _pipeline(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment variables of the pipeline's process.

    The process runs in the training environment, with the weights of the package's model file.
    """
    python = str(TRAINING / "bin" / "python")
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder.parent),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    restore = [
        python,
        "-m",
        "training.restored",
        "--model",
        str(PACKAGE / "model"),
        "--out",
        str(folder),
    ]
    subprocess.run(
        restore,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return [
        python,
        "-B",
        str(ROOT / "bench" / "predictor.py"),
        "pipeline",
        str(folder),
    ], environment


def _row(
    name: str,
    figures: dict[str, list[float]],
    of: Callable[[list[float]], float],
    unit: Unit,
    target: Target | None = None,
    *,
    pairs: bool = True,
) -> Row:
    """Return the row of one figure, with a comparison if the pipeline was measured too.

    With `pairs`, the ratio is the median of the ratios of all rounds. Otherwise it is the ratio of
    the two figures.
    """
    mine = of(figures["ours"]) * unit.factor
    if "pipeline" not in figures:
        return Row(
            name.partition(": ")[0],
            mine,
            unit.name,
            target=target if target and target.of == "value" else None,
        )
    other = of(figures["pipeline"]) * unit.factor
    return Row(
        name,
        mine,
        unit.name,
        PIPELINE,
        other,
        ratio(figures["pipeline"], figures["ours"]) if pairs else other / mine,
        target,
    )


def _size(folder: Path) -> int:
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )

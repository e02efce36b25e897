"""A process that predicts on request.

`predictor.py ours` predicts with the built package, and `predictor.py pipeline FOLDER` with
transformers. Both use one thread.

The process reports when it is ready. Then it answers each line of standard input, `{"texts": [...],
"way": ...}`, with times in seconds. The ways `one`, `handler` and `outside` give one time for each
text, and `batch` gives one time for all texts. `one` measures only the prediction. `handler`
measures the whole Lambda handler. `outside` is `handler` with a cache of the model's answers, so it
measures the time that is not spent in the model.
"""

from __future__ import annotations

import time

started = time.perf_counter()

import json  # noqa: E402  the time of every import counts
import os  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

Predictors = dict[str, Callable[[Any], Any]]


def ours() -> Predictors:
    """Load the built package, as Lambda imports it."""
    from inference import handler  # noqa: PLC0415

    class Context:
        function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = (
            "bench",
            "1024",
            "arn",
            "request",
        )

    def through_handler(text: str) -> None:
        event = {
            "version": "2.0",
            "requestContext": {"requestId": "r"},
            "body": json.dumps({"sentence": text}),
            "isBase64Encoded": False,
        }
        assert handler.handler(event, Context())["statusCode"] == 200  # type: ignore[arg-type]

    model = handler.classifier
    predict = model.predict

    class Remembering:
        """A model with a cache, so that the model takes no time."""

        predict = staticmethod(cache(model.predict))

    def outside_model(text: str) -> None:
        handler.classifier = Remembering  # type: ignore[assignment]
        try:
            through_handler(text)
        finally:
            handler.classifier = model

    return {
        "one": predict,
        "handler": through_handler,
        "outside": outside_model,
        "batch": lambda texts: [predict(text) for text in texts],
    }


def pipeline(folder: str) -> Predictors:
    """Load the transformers pipeline with the weights in `folder`."""
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    torch.set_num_threads(1)
    classify = transformers.pipeline("text-classification", model=folder, device="cpu")
    return {
        "one": classify,
        "handler": classify,
        "batch": lambda texts: classify(texts, batch_size=32),
    }


def main(name: str, *arguments: str) -> None:
    """Load the model, report that it is ready, and answer until standard input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discards the log of the handler
    predictors = pipeline(*arguments) if name == "pipeline" else ours()
    loaded = time.perf_counter() - started
    predictors["one"]("The first prediction is slower.")
    _say(out, {"loaded": loaded, "first": time.perf_counter() - started - loaded})
    for line in sys.stdin:
        order = json.loads(line)
        predict, seconds = predictors[order["way"]], []
        for work in [order["texts"]] if order["way"] == "batch" else order["texts"]:
            before = time.perf_counter()
            predict(work)
            seconds.append(time.perf_counter() - before)
        _say(out, {"seconds": seconds, "peak": _peak()})


def _peak() -> int:
    found = re.search(
        r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE
    )
    assert found
    return int(found[1]) * 1024


def _say(out: Any, content: dict[str, Any]) -> None:
    out.write(json.dumps(content) + "\n")
    out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

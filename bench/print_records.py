"""Runs the project's own inference function on sentences.

`python -m bench.print_records` reads a JSON list of sentences from standard input. The function
writes its log to standard output. The command is a separate process, so that nothing else is in the
log. It needs functions/inference on PYTHONPATH, and the environment variable HASH_KEY.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from bench.lambda_context import Context


def main(sentences: Iterable[str]) -> None:
    """Invoke the function once for each sentence, as the HTTP API does."""
    from inference.handler import handler  # noqa: PLC0415  loads the model

    for sentence in sentences:
        event = {
            "version": "2.0",
            "requestContext": {"requestId": uuid4().hex[:15] + "="},
            "body": json.dumps({"sentence": sentence}),
            "isBase64Encoded": False,
        }
        context: Any = Context(
            "prediction-monitor-InferenceFunction", str(uuid4()), memory_limit_in_mb="1024"
        )
        handler(event, context)


if __name__ == "__main__":
    main(json.load(sys.stdin))

"""Measures one contender in its own process: `python -P -m bench.measure_contender NAME URL`.

The contenders are the shipper's handler, the same handler with signed requests, and the floor,
which is a program that only forwards the payload.

The process reads one task per line from standard input, and answers each task with one line. The
handler comes from the first source tree in `PYTHONPATH`, which may be the tree of another version.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO
from uuid import uuid4

from bench.lambda_context import Context
from bench.lines import GROUP

Call = Callable[[Any], int]

STACK: Final = "prediction-monitor"
FUNCTION: Final = f"{STACK}-ShipperFunction"
ENVIRONMENT: Final = {
    "STACK": STACK,
    "RECORD_LOG_GROUPS": GROUP,
    "AWS_LAMBDA_FUNCTION_NAME": FUNCTION,
}
STDOUT: Final = 1


def main() -> None:
    """Answer each task `{"event": file, "calls": n, "log": bool}` from standard input.

    The answer has the times, or the number of log bytes if `log` is true. It also has the number of
    indexed documents of each call.
    """
    name, url = sys.argv[1:]
    with _answering() as answers:
        make = {"handler": _handler, "signed handler": _signed, "floor": _floor}[name]
        call = make(url)
        events: dict[str, Any] = {}
        for line in sys.stdin:
            task = json.loads(line)
            file = task["event"]
            if file not in events:
                events[file] = json.loads(Path(file).read_text(encoding="utf-8"))
            found = (
                _log_bytes(call, events[file])
                if task["log"]
                else _cost(call, events[file], task["calls"])
            )
            print(json.dumps(found), file=answers, flush=True)


def _cost(call: Call, event: Any, calls: int) -> dict[str, Any]:
    """Measure the wall time, and the processor time of all threads, in seconds.

    Garbage of earlier calls is collected before the measurement.
    """
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    counts = [call(event) for _ in range(calls)]
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "counts": counts}


def _log_bytes(call: Call, event: Any) -> dict[str, Any]:
    """Count the bytes that one call writes to standard output."""
    null = os.dup(STDOUT)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDOUT)
        counts = [call(event)]
        sys.stdout.flush()
        os.dup2(null, STDOUT)
        os.close(null)
        return {"bytes": os.fstat(file.fileno()).st_size, "counts": counts}


@contextmanager
def _answering() -> Iterator[TextIO]:
    """Yield the real standard output.

    The handler's own output is discarded. It is still flushed after each line, as under Lambda, so
    that the measured time contains the time for flushing.
    """
    with os.fdopen(os.dup(STDOUT), "w", encoding="utf-8") as answers:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, STDOUT)
        os.close(null)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        yield answers


def _handler(url: str) -> Call:
    return _called(_loaded(url))


def _signed(url: str) -> Call:
    """Return a handler that signs its requests, as an Amazon domain requires.

    The server of the bench does not check the signature, but signing costs time.
    """
    # imported only for signing, as in the shipper
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415

    module = _loaded(url)
    module.connection.session.auth = AWS4Auth(
        "AKIDEXAMPLE",
        "secret",
        "us-east-1",
        "es",
        session_token="token",  # noqa: S106
    )
    return _called(module)


def _loaded(url: str) -> Any:
    os.environ |= ENVIRONMENT | {"OPENSEARCH_URL": url}
    return importlib.import_module("shipper.handler")


def _called(module: Any) -> Call:
    def call(event: Any) -> int:
        counts: dict[str, int] = module.handler(event, Context(FUNCTION, str(uuid4())))
        return counts["indexed"]

    return call


def _floor(url: str) -> Call:
    # imported only for the floor, because `bodies` uses modules of the shipper
    from bench.rivals import ZLIB, bodies, floor, plain_connection  # noqa: PLC0415

    connection = plain_connection(url)
    ready: dict[int, list[bytes]] = {}

    def call(event: Any) -> int:
        if id(event) not in ready:
            ready[id(event)] = bodies(event)
        return floor(event, ready[id(event)], connection, ZLIB)

    return call


if __name__ == "__main__":
    main()

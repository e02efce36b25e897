"""Runs each contender (a function to measure) in a process of its own.

A single process could not import the shippers of two commits, or a function in another language.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.interleave import Sample
from tools.root import ROOT

SHIPPER: Final = Path("functions", "shipper")


class Payload(NamedTuple):
    """A file with a Lambda event, and the number of log lines in it."""

    file: Path
    lines: int


class Contender:
    """A contender's process, which measures samples on request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def sample(self, payload: Payload, calls: int) -> Sample:
        """Measure the mean cost of a call, over `calls` calls with a payload."""
        found = self._ask(payload, calls, log=False)
        return Sample(found["cpu"] / calls, found["wall"] / calls, found["counts"])

    def log_bytes(self, payload: Payload) -> int:
        """Return the number of bytes that one call writes to the log."""
        return int(self._ask(payload, 1, log=True)["bytes"])

    def _ask(self, payload: Payload, calls: int, *, log: bool) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        task = {"event": str(payload.file), "lines": payload.lines, "calls": calls, "log": log}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} has ended: see its standard error")
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def contender(name: str, url: str, tree: Path = ROOT) -> Iterator[Contender]:
    """Start the contender with this name.

    - `handler`: the shipper's handler from the source tree `tree`.
    - `signed handler`: the same handler, which also signs its requests.
    - `floor`: a function that forwards the payload with the least possible work (bench.rivals).
    """
    paths = os.pathsep.join(map(str, (tree / SHIPPER, ROOT)))
    command = (sys.executable, "-P", "-m", "bench.measure_contender", name, url)
    with _running(
        command, os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    ) as found:
        yield found


@contextmanager
def console_function(file: Path, url: str) -> Iterator[Contender]:
    """Start the function that the CloudWatch console generates. Its code is in `file`."""
    with _running(
        ("node", str(ROOT / "bench" / "measure_contender.cjs"), str(file), url), dict(os.environ)
    ) as found:
        yield found


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str]) -> Iterator[Contender]:
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with process:
        try:
            yield Contender(process)
        finally:
            assert process.stdin
            process.stdin.close()  # closing its standard input makes the process exit

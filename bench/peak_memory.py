"""Measures the peak memory that one large payload needs.

Each measurement has its own process: `python -m bench.peak_memory WAY URL FILE`. WAY is `usual` for
the usual way of shipping, with opensearch-py's bulk helper (bench/rivals.py). WAY is `ours:SECONDS`
for the shipper, with SECONDS seconds until its deadline. FILE holds the Lambda event as JSON.
"""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from opensearchpy import OpenSearch

from bench.rivals import usual
from bench.shipper_forms import ours
from shipper.client import connect
from tools.root import ROOT

KIBIBYTE: Final = 1024


class Peak(NamedTuple):
    """The growth of memory, and the numbers of documents that were created and that failed.

    `grown` is the memory at the peak minus the memory after the imports, in bytes.
    """

    grown: int
    created: int
    failed: int


def peak(way: str, url: str, file: Path) -> Peak:
    """Measure the peak memory of one way to ship the event in a file."""
    command = [sys.executable, "-m", "bench.peak_memory", way, url, str(file)]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Peak(**json.loads(result.stdout))


def main(way: str, url: str, file: str) -> None:
    """Ship the event once, and print the memory that it took."""
    run = _usual(url) if way == "usual" else _ours(url, float(way.removeprefix("ours:")))
    gc.collect()
    _forget_peak()
    before = _status("VmRSS")
    created, failed = run(json.loads(Path(file).read_text(encoding="utf-8")))
    print(json.dumps(Peak(_status("VmHWM") - before, created, failed)._asdict()))


def _usual(url: str) -> Callable[[Any], tuple[int, int]]:
    client = OpenSearch(url)
    return lambda event: (usual(event, client), 0)


def _ours(url: str, seconds: float) -> Callable[[Any], tuple[int, int]]:
    connection = connect(url, {})

    def run(event: Any) -> tuple[int, int]:
        outcome = ours(event, connection, seconds)
        return outcome.indexed, outcome.failed

    return run


def _forget_peak() -> None:
    """Reset the peak, if the system permits it.

    Without a reset, the peak during the imports counts too. This peak is hardly above the memory
    after the imports.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _status(name: str) -> int:
    """Return a memory figure of this process, in bytes."""
    match = re.search(
        rf"^{name}:\s+(\d+) kB$",
        Path("/proc/self/status").read_text(encoding="ascii"),
        re.MULTILINE,
    )
    assert match
    return int(match[1]) * KIBIBYTE


if __name__ == "__main__":
    main(*sys.argv[1:])

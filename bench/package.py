"""Measures the package that `make build` makes: the time to import it, and its size."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.root import ROOT

PACKAGE: Final = ROOT / ".aws-sam" / "build" / "ShipperFunction"
# Processor time is measured, because a busy machine disturbs it less than wall time. An import
# never waits, so both are equal on an idle machine.
PROGRAM: Final = (
    "import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
)
ENVIRONMENT: Final = {
    # an Amazon address, so that signing is imported; no request is sent
    "OPENSEARCH_URL": "https://search-x-abc.us-east-1.es.amazonaws.com",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


class PackageMissing(Exception):
    """There is no built package to measure."""


def ensure_built(package: Path = PACKAGE) -> None:
    """Raise `PackageMissing` if the package is not built."""
    if not (package / "shipper" / "handler.py").is_file():
        raise PackageMissing(
            f"{package} is missing: run `make build` first,"
            " or leave the package out with --no-package"
        )


def import_seconds(
    modules: tuple[str, ...], rounds: int, tick: Callable[[], None]
) -> dict[str, list[float]]:
    """Measure the time, in seconds, in which a fresh process imports each module of the package.

    The modules take turns. The first round is not counted. After each counted round, `tick` is
    called.
    """
    times: dict[str, list[float]] = {module: [] for module in modules}
    for number in range(-1, rounds):
        for module in modules:
            seconds = _import(module)
            if number >= 0:
                times[module].append(seconds)
        if number >= 0:
            tick()
    return times


def _import(module: str) -> float:
    """Import a module in a fresh process, and return the time in seconds.

    With -S and -P, Python imports modules only from the package, and none from the virtual
    environment of the benchmark.
    """
    command = [sys.executable, "-S", "-P", "-B", "-c", PROGRAM.format(module=module)]
    environment = {"PATH": os.defpath, "PYTHONPATH": str(PACKAGE), **ENVIRONMENT}
    return float(
        subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    )


def size() -> int:
    """Return the sum of the package's file sizes, in bytes."""
    return sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file())

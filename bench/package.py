"""The package that is deployed, as `make build` leaves it: how long it takes to import, and how large it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.root import ROOT

PACKAGE: Final = ROOT / ".aws-sam" / "build" / "ShipperFunction"
# Processor time: an import waits for nothing, and a busy machine disturbs this less than the
# clock's.
PROGRAM: Final = (
    "import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
)
ENVIRONMENT: Final = {
    # Amazon's, so that signing is imported; nothing is sent
    "OPENSEARCH_URL": "https://search-x-abc.us-east-1.es.amazonaws.com",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


class PackageMissing(Exception):
    """There is no built package to measure."""


def ensure_built(package: Path = PACKAGE) -> None:
    """Raise `PackageMissing` where the package is not built."""
    if not (package / "shipper" / "handler.py").is_file():
        raise PackageMissing(
            f"{package} is missing: run `make build` first, or leave the package out with --no-package"
        )


def import_seconds(
    modules: tuple[str, ...], rounds: int, tick: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds that a fresh process takes to import each module from the package, in turn.

    One round before is not counted.
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
    """-S and -P: only the package's modules can be imported, none of this environment."""
    command = [sys.executable, "-S", "-P", "-B", "-c", PROGRAM.format(module=module)]
    environment = {"PATH": os.defpath, "PYTHONPATH": str(PACKAGE), **ENVIRONMENT}
    return float(
        subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    )


def size() -> int:
    """The sum of the package's file sizes, in bytes."""
    return sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file())

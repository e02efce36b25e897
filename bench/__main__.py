"""`make bench`: the cost of shipping and predicting beside their rivals, in one run.

The shipper's processor time is that of this process; OpenSearch is played by a process of its own
on 127.0.0.1 that keeps nothing. A missed target does not fail the run: the machine may be slow, or
busy.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import inference, package
from bench import payloads as payload_rows
from bench.lines import printed
from bench.machine import machine
from bench.payloads import CONSOLE, payloads
from bench.shipper import FULL, QUICK, cost, deployed, memory
from bench.sink import sink
from bench.table import Row, console, progress, table, write
from tools.errors import UserError
from tools.root import ROOT

RESULTS: Final = ROOT / "bench" / "results.json"


def main() -> int:
    """Measure, show, write. Exit code 2 where there is no package to measure."""
    options = _options()
    if not (options.no_package or options.against):
        try:
            package.ensure_built()
        except package.PackageMissing as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 2
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # nothing leaves this machine
    scale = QUICK if options.quick else FULL
    page = console()
    rows: list[Row] = []
    with progress(page) as start, sink() as url:
        tick = start("the inference function's log", 1)
        log = printed(scale.sentences)
        tick()
        try:
            rows += payloads(log, url, _rounds(options), start, options.console, options.against)
        except UserError as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 2
        if not options.console:
            page.print(
                f"{CONSOLE}: NOT RUN, no copy of it was given (make bench CONSOLE=function.js)"
            )
        if not options.against:
            rows += cost(log, url, scale, start)
            rows += memory(log, url, scale, start)
        if not (options.no_package or options.against):
            rows += deployed(scale, start)
            rival = (inference.TRAINING / "bin" / "python").exists()
            if not rival:
                page.print(
                    f"{inference.PIPELINE}: left out, {inference.TRAINING.name} is not installed (make bench without QUICK does)"
                )
            rows += inference.inference(
                inference.QUICK if options.quick else inference.FULL, start, rival=rival
            )
    page.print(table(rows, targets=scale.full, processor=machine()["cpu"]))
    out = destination(options.out, quick=options.quick or bool(options.against))
    if out:
        write(out, machine(), datetime.now(UTC).isoformat(timespec="seconds"), rows)
        page.print(f"written to {out}", markup=False, highlight=False)
    return 0


def _rounds(options: argparse.Namespace) -> dict[int, int]:
    return (
        payload_rows.QUICK
        if options.quick
        else payload_rows.ROUNDS_AGAINST
        if options.against
        else payload_rows.ROUNDS
    )


def destination(asked: Path | None, *, quick: bool) -> Path | None:
    """The file for the figures; quick ones say little, and take the place of the others only where a file is asked for."""
    return asked or (None if quick else RESULTS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What shipping and predicting cost beside their rivals, in one run.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small payloads and few rounds: shows that it works, its figures say little",
    )
    parser.add_argument(
        "--no-package",
        action="store_true",
        help="leave out the built package (import, size): no `make build` needed",
    )
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="only the shipper's invocations: of this tree and of COMMIT, in turn",
    )
    parser.add_argument(
        "--console",
        type=Path,
        metavar="FILE",
        help="a copy of the function that the CloudWatch console generates",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: bench/results.json; with --quick or --against none",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

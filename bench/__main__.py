"""`make bench` measures the cost of shipping and predicting, for the project and for rivals.

A rival is a program with which the project is compared. The cost of shipping is the processor time
of the process that ships. OpenSearch is replaced by a separate process on 127.0.0.1 that stores
nothing. A missed target does not fail the run, because the machine may be slow or busy.
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
from bench.bulk_server import sink
from bench.lines import printed
from bench.machine import machine
from bench.payloads import CONSOLE, payloads
from bench.shipper import FULL, QUICK, cost, deployed, memory
from bench.table import Row, console, progress, table, write
from tools.errors import UserError
from tools.root import ROOT

RESULTS: Final = ROOT / "bench" / "results.json"


def main() -> int:
    """Measure, show the figures, and write them to a file.

    Returns exit code 2 if the built package is missing, or the commit of --against is unknown.
    """
    options = _options()
    if not (options.no_package or options.against):
        try:
            package.ensure_built()
        except package.PackageMissing as problem:
            print(f"bench: {problem}", file=sys.stderr)
            return 2
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # no request may leave this machine
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
                f"{CONSOLE}: NOT RUN, because no copy of the function was given"
                " (make bench CONSOLE=function.js)"
            )
        if not options.against:
            rows += cost(log, url, scale, start)
            rows += memory(log, url, scale, start)
        if not (options.no_package or options.against):
            rows += deployed(scale, start)
            rival = (inference.TRAINING / "bin" / "python").exists()
            if not rival:
                page.print(
                    f"{inference.PIPELINE}: left out, because {inference.TRAINING.name} is not"
                    " installed (make bench without QUICK installs it)"
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
    """Return the file to which the figures are written, or None for no file.

    The figures of a quick run are not reliable, so they are written only if a file is asked for.
    """
    return asked or (None if quick else RESULTS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures the cost of shipping and predicting, compared with other programs.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="measure small payloads in few rounds, to test the bench: figures are not reliable",
    )
    parser.add_argument(
        "--no-package",
        action="store_true",
        help="leave out the figures of the built package, which need `make build`",
    )
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="measure only the shipper, and compare it with the shipper of this commit",
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
        help="file for the figures (default: bench/results.json; none with --quick or --against)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

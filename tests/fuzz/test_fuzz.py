"""Runs the fuzzer of the shipper (shipper.py) briefly, or for `FUZZ_SECONDS` if it is set."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("shipper.py")
RUNS = 8000  # they take ten to fifteen seconds
PATIENCE = 300.0  # the test waits this many further seconds, because the machine may be busy


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="atheris has wheels only for Linux on x86_64",
)
def test_the_fuzzer_finds_no_input_that_breaks_a_check(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    seconds = int(os.environ.get("FUZZ_SECONDS") or 0)
    limits = [f"-max_total_time={seconds}"] if seconds else [f"-runs={RUNS}", "-seed=1"]
    command = [sys.executable, str(SCRIPT), *limits, "-print_final_stats=1", str(corpus)]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + PATIENCE,
        check=False,
    )
    assert run.returncode == 0, (
        f"{run.stdout[-1000:]}\n{run.stderr[-4000:]}\nthe input is in {tmp_path}"
    )
    done = re.search(r"^Done (\d+) runs in (\d+) second", run.stderr, re.MULTILINE)
    assert done, run.stderr[-2000:]
    assert int(done[1]) >= (1 if seconds else RUNS)
    kept = [path for path in corpus.iterdir() if not path.name.startswith("seed-")]
    assert kept, "the fuzzer kept no input that reaches new code: is the shipper instrumented?"
    print(f"{done[1]} runs in {done[2]} s, {len(kept)} inputs kept")

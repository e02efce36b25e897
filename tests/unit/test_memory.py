"""The share of its memory that a function holds; inference and shipper have the same file, since functions share no code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import inference.memory
import shipper.memory
from local.template import ROOT

FILES = [ROOT / "functions" / name / name / "memory.py" for name in ("inference", "shipper")]


def test_both_functions_have_the_same_file() -> None:
    first, second = (path.read_text(encoding="utf-8") for path in FILES)
    assert first == second


@pytest.mark.parametrize("module", [inference.memory, shipper.memory], ids=lambda module: module.__name__)
def test_what_is_held_is_counted_in_percent_of_what_there_is(module: object) -> None:
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    utilization = getattr(module, "memory_utilization")  # noqa: B009  both have it
    assert utilization(100) == pytest.approx(int(peak) / 1024, rel=0.02)  # of 100 MB
    assert utilization("400") == pytest.approx(utilization(100) / 4, rel=0.02)  # the runtime's context has it as text

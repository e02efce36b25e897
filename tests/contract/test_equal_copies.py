"""Tests that copies of a module are identical.

Functions share no code with each other or with the commands. If several of them need a small
module, each has a copy of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import inference.memory_use
import shipper.memory_use
from tools.root import ROOT

TWINS = [
    ("functions/inference/inference/memory_use.py", "functions/shipper/shipper/memory_use.py"),
    ("functions/inference/inference/characters.py", "functions/shipper/shipper/characters.py"),
    ("functions/inference/inference/label_fields.py", "functions/shipper/shipper/label_fields.py"),
    ("tools/arguments.py", "functions/installer/installer/arguments.py"),
    ("tools/printable.py", "functions/installer/installer/printable.py"),
    ("functions/inference/inference/memory_use.py", "functions/monitor/monitor/memory_use.py"),
    ("tools/arguments.py", "functions/monitor/monitor/arguments.py"),
    ("tools/printable.py", "functions/monitor/monitor/printable.py"),
    ("functions/shipper/shipper/address.py", "functions/installer/installer/address.py"),
    ("functions/shipper/shipper/address.py", "functions/monitor/monitor/address.py"),
    ("functions/shipper/shipper/client.py", "functions/monitor/monitor/client.py"),
    ("functions/shipper/shipper/index_prefix.py", "functions/installer/installer/index_prefix.py"),
    ("functions/shipper/shipper/index_prefix.py", "functions/monitor/monitor/index_prefix.py"),
    ("functions/shipper/shipper/timed_exchange.py", "functions/monitor/monitor/timed_exchange.py"),
    (
        "functions/inference/inference/logging_variables.py",
        "functions/monitor/monitor/logging_variables.py",
    ),
]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_copies_are_identical(one: str, other: str) -> None:
    assert (ROOT / one).read_bytes() == (ROOT / other).read_bytes()


@pytest.mark.parametrize(
    "module", [inference.memory_use, shipper.memory_use], ids=lambda module: module.__name__
)
def test_used_memory_is_counted_in_percent_of_the_available_memory(module: object) -> None:
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    utilization = getattr(module, "memory_utilization")  # noqa: B009  for mypy
    # With 100 MB of memory, the percentage equals the number of used megabytes.
    assert utilization(100) == pytest.approx(int(peak) / 1024, rel=0.02)
    # Lambda's context gives the size of the memory as a text.
    assert utilization("400") == pytest.approx(utilization(100) / 4, rel=0.02)

"""Describes the machine on which figures were measured.

The description names the processor, and the versions of Python and of the packages on which the
figures depend.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "aws-lambda-powertools",
    "isal",
    "msgspec",
    "numpy",
    "onnxruntime",
    "opensearch-py",
    "requests",
    "tokenizers",
    "urllib3",
)


def machine() -> dict[str, Any]:
    """Return the description of this machine, for the file of results."""
    return {
        "cpu": _processor(),
        "cores": os.process_cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = [
        line.partition(":")[2].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or "unknown"

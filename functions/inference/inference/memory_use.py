"""Measures a function's peak memory."""

from __future__ import annotations

import resource
from typing import Final

# ru_maxrss is in KiB (getrusage(2)). In Lambda, 1 MB is 1,024 KiB.
KIBIBYTES: Final = 1024


def memory_utilization(limit_mb: int | str) -> float:
    """Return this process's peak memory in percent of `limit_mb`, the function's memory in MB."""
    return 100 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES / int(limit_mb)

"""Measures a function's peak memory."""

from __future__ import annotations

import resource
from typing import Final

KIBIBYTES: Final = 1024  # in one of Lambda's MB; the unit of ru_maxrss is KiB (getrusage(2))


def memory_utilization(limit_mb: int | str) -> float:
    """Return this process's peak memory in percent of `limit_mb`, the function's memory in MB."""
    return 100 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES / int(limit_mb)

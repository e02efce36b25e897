"""A function's peak memory."""

from __future__ import annotations

import resource
from typing import Final

KIBIBYTES: Final = 1024  # of ru_maxrss, to a MB as Lambda counts it (getrusage(2))


def memory_utilization(limit_mb: int | str) -> float:
    """The most that this process has held, in percent of the `limit_mb` MB that the function has."""
    return 100 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES / int(limit_mb)

"""Reads a length of time, such as 30m, 24h or 7d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

UNITS: Final = {"m": 60, "h": 3600, "d": 86400}
SINCE: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
LONGEST: Final = timedelta(days=400)


def length(text: str) -> timedelta:
    """Read a length of time such as 30m, 24h or 7d. Raises `ValueError`."""
    found = SINCE.fullmatch(text)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 60 <= seconds <= LONGEST.total_seconds():
        raise ValueError(f"{text!r} must be a time such as 30m, 24h or 7d, up to {LONGEST.days}d")
    return timedelta(seconds=seconds)

"""Values from the text of an option or a setting."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def positive(text: str) -> float:
    """A number above 0. Raises `ValueError` for anything else."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise ValueError(f"a number above 0, not {text[:100]!r}")
    return found


def moment(text: str) -> datetime:
    """A moment in ISO 8601; without a zone it is UTC. Raises `ValueError` for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"a time in ISO 8601, such as 2026-11-23T14:00+01:00, not {text[:100]!r}"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""Converts the text of an option or a setting to a value."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def positive(text: str) -> float:
    """Convert text to a number above 0. Raises `ValueError` for any other text."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise ValueError(f"a number above 0, not {text[:100]!r}")
    return found


def moment(text: str) -> datetime:
    """Convert a time in ISO 8601. A time without a time zone is in UTC.

    Raises `ValueError` for any other text.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"a time in ISO 8601, such as 2026-11-23T14:00+01:00, not {text[:100]!r}"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

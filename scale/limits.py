"""Reads the limits from limits.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tools.errors import UserError
from tools.root import ROOT

LIMITS: Final = ROOT / "scale" / "limits.toml"
PRICES: Final = ROOT / "scale" / "prices.toml"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, with the source of its value.

    `seen` is the day on which the source was read. `can_be_raised` is true if AWS raises the limit
    of an account on request.
    """

    value: int
    unit: str
    source: str
    seen: date
    can_be_raised: bool = False


def read(path: Path = LIMITS) -> dict[str, Limit]:
    """Read all limits by name.

    Raises `UserError` if a limit lacks a field, or has an unknown field.
    """
    try:
        return {
            name: Limit(**entry)
            for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items()
        }
    except (tomllib.TOMLDecodeError, TypeError) as problem:
        raise UserError(
            f"{path.name}: {problem}: each limit has value, unit, source and seen, and may have "
            "can_be_raised"
        ) from problem

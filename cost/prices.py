"""Reads the prices from prices.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tools.errors import UserError
from tools.root import ROOT

PRICES: Final = ROOT / "cost" / "prices.toml"


@dataclass(frozen=True, slots=True)
class Price:
    """A price in US dollars for a unit, with the source of the price.

    `seen` is the date of the source. If the source has no date, `seen` is the day on which somebody
    read it. `up_to` is the largest number of units for which the price is known. None means any
    number.
    """

    usd: float
    unit: str
    source: str
    seen: date
    up_to: int | None = None

    def cost(self, quantity: float) -> float:
        """Return the dollars for a number of units.

        Raises `UserError` if the price for this number of units is not known.
        """
        if self.up_to is not None and quantity > self.up_to:
            raise UserError(
                f"{quantity:,.0f} units of {self.unit!r}:"
                f" prices.toml has the price only for up to {self.up_to:,}"
            )
        return self.usd * quantity


def read(path: Path = PRICES) -> dict[str, Price]:
    """Read all prices by name.

    Raises `UserError` if a price lacks a field, or has an unknown field.
    """
    try:
        return {
            name: Price(**entry)
            for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items()
        }
    except (tomllib.TOMLDecodeError, TypeError) as problem:
        raise UserError(
            f"{path.name}: {problem}: each price has usd, unit, source and seen, and may have up_to"
        ) from problem

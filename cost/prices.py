"""The prices of prices.toml."""

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
    """US dollars for a unit, from whom, seen when; `up_to` is how many units the price is known for."""

    usd: float
    unit: str
    source: str
    seen: date
    up_to: int | None = None

    def cost(self, quantity: float) -> float:
        """The dollars of so many. Raises `UserError` where the price holds for less."""
        if self.up_to is not None and quantity > self.up_to:
            raise UserError(
                f"{quantity:,.0f} of {self.unit!r}: prices.toml knows the price of {self.up_to:,} only"
            )
        return self.usd * quantity


def read(path: Path = PRICES) -> dict[str, Price]:
    """All prices by name. Raises `UserError` for one that lacks something."""
    try:
        return {
            name: Price(**entry)
            for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items()
        }
    except (tomllib.TOMLDecodeError, TypeError) as problem:
        raise UserError(
            f"{path.name}: {problem}: each price has usd, unit, source and seen, and may have up_to"
        ) from problem

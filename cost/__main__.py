"""`make cost`: the stack's monthly cost in three sizes, as tables for the terminal or one table for docs/deploy.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from cost import estimate, prices
from cost.estimate import Line, Size
from cost.prices import Price
from tools.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0 with the tables, 1 if the prices cannot be read or do not reach so far."""
    parser = argparse.ArgumentParser(
        prog="python -m cost", description="The stack's monthly cost in us-east-1, in US dollars."
    )
    parser.add_argument(
        "--markdown", action="store_true", help="one table of all sizes, as docs/deploy.md has it"
    )
    parser.add_argument(
        "--prices", action="store_true", help="the prices themselves: unit, day, source"
    )
    own = parser.add_argument_group("a size of your own, in place of the three")
    own.add_argument("--predictions", type=int, metavar="N", help="predictions a day")
    own.add_argument(
        "--instance", default="t3.small.search", help="of the domain (default: %(default)s)"
    )
    own.add_argument(
        "--instances", type=int, default=1, metavar="N", help="how many (default: %(default)s)"
    )
    own.add_argument(
        "--volume", type=int, default=10, metavar="GIB", help="disk of each (default: %(default)s)"
    )
    own.add_argument(
        "--lines",
        type=int,
        default=1,
        metavar="N",
        help="that CloudWatch hands over at once (default: %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    try:
        known = prices.read()
        sizes = estimate.SIZES if chosen.predictions is None else (_own(chosen, known),)
        bills = [(size, estimate.bill(size, known)) for size in sizes]
    except UserError as problem:
        print(f"python -m cost: {problem}", file=sys.stderr)
        return 1
    console = Console(highlight=False)
    if chosen.prices:
        for name, price in known.items():
            usd = f"{price.usd:.10f}".rstrip("0")
            console.print(
                f"{name}: {usd} USD for each {price.unit}; seen {price.seen}; {price.source}",
                soft_wrap=True,
                markup=False,
            )
    elif chosen.markdown:
        print(f"{markdown(bills)}\n\n{in_vpc(known)}")
    else:
        for size, lines in bills:
            console.print(table(size, lines))
            console.print(
                f"The index needs at least {estimate.least_volume_gib(size):,.0f} GiB a node.",
                soft_wrap=True,
                markup=False,
            )
        console.print(in_vpc(known), soft_wrap=True, markup=False)
        console.print(
            "No free tier is subtracted. Assumptions and measurements: docs/deploy.md, What it costs. Prices: --prices"
        )
    return 0


def _own(chosen: argparse.Namespace, known: dict[str, Price]) -> Size:
    """The size from the command line. Raises `UserError` for one that cannot be."""
    if chosen.instance not in known:
        types = ", ".join(name for name in known if name.endswith(".search"))
        raise UserError(f"there is no price of {chosen.instance}; of these there is: {types}")
    if min(chosen.predictions, chosen.instances, chosen.volume, chosen.lines) < 1:
        raise UserError("predictions, instances, volume and lines must be at least 1")
    return Size(
        "own", chosen.predictions, chosen.instance, chosen.instances, chosen.volume, chosen.lines
    )


def dollars(usd: float) -> str:
    """Whole dollars; `< 1` for less than one."""
    return "< 1" if 0 < usd < 1 else f"{usd:,.0f}"


def total(lines: list[Line]) -> float:
    """The sum, of lines that are not rounded."""
    return sum(line.usd for line in lines)


def table(size: Size, lines: list[Line]) -> Table:
    """A size for the terminal."""
    grid = Table(
        title=f"{size.name}: {size.predictions_a_day:,} predictions a day",
        title_justify="left",
        show_footer=True,
    )
    grid.add_column("a month", "sum")
    grid.add_column("how much")
    grid.add_column("USD", dollars(total(lines)), justify="right")
    for line in lines:
        grid.add_row(line.what, line.how, dollars(line.usd))
    return grid


def markdown(bills: list[tuple[Size, list[Line]]]) -> str:
    """All sizes, side by side."""
    sizes = [size for size, _ in bills]
    rows = [
        [
            "USD a month",
            *(f"{size.name}: {size.predictions_a_day:,} predictions a day" for size in sizes),
        ],
        ["---", *("---:" for _ in sizes)],
        [
            "domain",
            *(
                f"{size.instances} x `{size.instance}`, {size.volume_gib:,} GiB each"
                for size in sizes
            ),
        ],
    ]
    rows += [
        [same[0].what, *(dollars(line.usd) for line in same)]
        for same in zip(*(lines for _, lines in bills), strict=True)
    ]
    rows.append(["**sum**", *(f"**{dollars(total(lines))}**" for _, lines in bills)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_vpc(known: dict[str, Price]) -> str:
    """The extra cost of `Network=vpc`, since the tables assume `public`."""
    one, two = (dollars(estimate.endpoint(zones, known)) for zones in (1, 2))
    return f"`Network=vpc` adds {one} for the interface endpoint of Secrets Manager in one zone, {two} in two, or the price of a NAT."


if __name__ == "__main__":
    sys.exit(main())

"""`make cost`: the monthly cost of the stack in three sizes.

It prints a table for each size, or one table of all sizes for docs/deploy.md.
"""

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

LABELS = 1_000_000  # the number of feedback labels whose cost is printed


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and return the exit code.

    The code is 1 if the prices cannot be read, if a size from the command line is not possible, or
    if a quantity is so large that no price for it is known. Otherwise it is 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m cost", description="The stack's monthly cost in us-east-1, in US dollars."
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print one table of all sizes, for docs/deploy.md"
    )
    parser.add_argument(
        "--prices", action="store_true", help="print the prices, with unit, date and source"
    )
    own = parser.add_argument_group("your own size, in place of the three sizes")
    own.add_argument("--predictions", type=int, metavar="N", help="number of predictions a day")
    own.add_argument(
        "--instance",
        default="t3.small.search",
        help="instance type of the domain (default: %(default)s)",
    )
    own.add_argument(
        "--instances",
        type=int,
        default=1,
        metavar="N",
        help="number of instances (default: %(default)s)",
    )
    own.add_argument(
        "--volume",
        type=int,
        default=10,
        metavar="GIB",
        help="GiB of disk of each instance (default: %(default)s)",
    )
    own.add_argument(
        "--lines",
        type=int,
        default=1,
        metavar="N",
        help="log lines that CloudWatch delivers in one payload (default: %(default)s)",
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
        added = f"{with_report(known)} {streamed(sizes, known)} {with_feedback(known)}"
        print(f"{markdown(bills)}\n\n{in_vpc(known)} {added}")
    else:
        for size, lines in bills:
            console.print(table(size, lines))
            console.print(
                f"Each node needs a disk of at least {estimate.least_volume_gib(size):,.0f} GiB.",
                soft_wrap=True,
                markup=False,
            )
        console.print(in_vpc(known), soft_wrap=True, markup=False)
        console.print(with_report(known), soft_wrap=True, markup=False)
        console.print(streamed(sizes, known), soft_wrap=True, markup=False)
        console.print(with_feedback(known), soft_wrap=True, markup=False)
        console.print(
            "No free tier is subtracted. Assumptions and measurements: docs/deploy.md,"
            ' section "What it costs". Prices: --prices'
        )
    return 0


def _own(chosen: argparse.Namespace, known: dict[str, Price]) -> Size:
    """Return the size from the command line.

    Raises `UserError` if the size is not possible.
    """
    if chosen.instance not in known:
        types = ", ".join(name for name in known if name.endswith(".search"))
        raise UserError(f"there is no price for {chosen.instance}; there are prices for {types}")
    if min(chosen.predictions, chosen.instances, chosen.volume, chosen.lines) < 1:
        raise UserError("predictions, instances, volume and lines must be at least 1")
    return Size(
        "own", chosen.predictions, chosen.instance, chosen.instances, chosen.volume, chosen.lines
    )


def dollars(usd: float) -> str:
    """Return whole dollars as text, or `< 1` for less than one."""
    return "< 1" if 0 < usd < 1 else f"{usd:,.0f}"


def total(lines: list[Line]) -> float:
    """Return the sum of the lines, without rounding."""
    return sum(line.usd for line in lines)


def table(size: Size, lines: list[Line]) -> Table:
    """Return the table of one size for the terminal."""
    grid = Table(
        title=f"{size.name}: {size.predictions_a_day:,} predictions a day",
        title_justify="left",
        show_footer=True,
    )
    grid.add_column("cost a month", "sum")
    grid.add_column("quantity")
    grid.add_column("USD", dollars(total(lines)), justify="right")
    for line in lines:
        grid.add_row(line.what, line.how, dollars(line.usd))
    return grid


def markdown(bills: list[tuple[Size, list[Line]]]) -> str:
    """Return one table in Markdown with a column for each size."""
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
    """Return the extra cost of `Network=vpc` in sentences. The tables assume `Network=public`."""
    one, two = (dollars(estimate.endpoint(zones, known)) for zones in (1, 2))
    return (
        f"`Network=vpc` adds {one} USD a month for the interface endpoint of Secrets Manager in"
        f" one zone, {two} USD in two zones. If a NAT replaces the endpoint, `Network=vpc` adds the"
        " price of the NAT."
    )


def with_feedback(known: dict[str, Price]) -> str:
    """Return the cost of a million labels in one sentence."""
    usd = dollars(estimate.feedback(LABELS, known).usd)
    return f"{LABELS:,} labels by `POST /feedback`, one in each request, cost {usd} USD."


def with_report(known: dict[str, Price]) -> str:
    """Return the extra cost of `Report=true` in one sentence. The tables assume `Report=false`."""
    usd = dollars(estimate.report(known).usd)
    return f"`Report=true` adds {usd} USD a month for function, bucket and alarm."


def streamed(sizes: Sequence[Size], known: dict[str, Price]) -> str:
    """Return the extra cost of `Delivery=kinesis` in sentences.

    The tables assume `Delivery=direct`.
    """
    each = [
        f"{dollars(estimate.stream(size, known).usd)} USD in the {size.name} size" for size in sizes
    ]
    return (
        f"`Delivery=kinesis` adds, each month, {', '.join(each)}. Its stream keeps lines for"
        " 24 hours."
    )


if __name__ == "__main__":
    sys.exit(main())

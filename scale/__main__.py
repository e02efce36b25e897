"""`make scale`: the resources that a rate of events needs, and the rates that reach the limits.

It prints the tables of docs/scale.md, or tables for other rates.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Final

from cost import prices as cost_prices
from cost.__main__ import dollars
from scale import limits as scale_limits
from scale import needs
from scale.needs import Met, Way
from tools.arguments import Parser
from tools.errors import UserError
from tools.root import ROOT

RATES: Final = (10, 100, 1_000, 2_000, 5_000, 10_000)
LINES: Final = (1, 20)  # log lines in a payload
HEAD: Final = (
    "events a second",
    "direct: executions at once",
    "direct: executions in an outage of a minute",
    "direct: USD",
    "Kinesis: shards",
    "Kinesis: executions at once",
    "Kinesis: USD",
    "domain",
    "domain: USD",
)
COMPUTED: Final = (f"| {HEAD[0]} |", "| limit |")  # each computed table begins with one of these
PAGE: Final = ROOT / "docs" / "scale.md"
Rows = list[Sequence[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and return the exit code.

    The code is 1 if limits or prices cannot be read, or if no domain is large enough for a rate,
    and otherwise 0.
    """
    parser = Parser(prog="python -m scale", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--rates", type=_positive, nargs="+", default=RATES, help="events a second", metavar="N"
    )
    parser.add_argument(
        "--lines", type=_positive, nargs="+", default=LINES, help="lines in a payload", metavar="N"
    )
    parser.add_argument(
        "--days",
        type=_positive,
        default=Way().days,
        help="days for which documents are kept (%(default)s)",
    )
    parser.add_argument(
        "--write", action="store_true", help="also write the tables into docs/scale.md"
    )
    parser.add_argument("--limits", action="store_true", help="print the limits with their sources")
    chosen = parser.parse_args(arguments)
    try:
        limits = scale_limits.read()
        prices = {**cost_prices.read(), **cost_prices.read(scale_limits.PRICES)}
        if chosen.limits:
            for name, limit in limits.items():
                raised = "; can be raised" if limit.can_be_raised else ""
                print(f"{name}: {limit.value:,} {limit.unit}{raised}; {limit.seen}; {limit.source}")
            return 0
        ways = [Way(lines, chosen.days) for lines in chosen.lines]
        tables = []
        for way in ways:
            rows: Rows = [_row(rate, way, prices, limits) for rate in chosen.rates]
            tables.append(f"{_lines(way)} in a payload:\n\n{markdown(HEAD, rows)}")
        tables.append(markdown(*_met(ways, limits)))
    except UserError as problem:
        print(f"python -m scale: {problem}", file=sys.stderr)
        return 1
    if chosen.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    print("\n\n".join(tables))
    return 0


def written(page: str, tables: Sequence[str]) -> str:
    """Return the page with its computed tables replaced by the new tables, in their order."""
    blocks = page.split("\n\n")
    places = [number for number, block in enumerate(blocks) if block.startswith(COMPUTED)]
    new = [block for table in tables for block in table.split("\n\n") if block.startswith(COMPUTED)]
    for place, block in zip(places, new, strict=True):
        blocks[place] = block
    return "\n\n".join(blocks)


def _row(
    rate: float,
    way: Way,
    prices: dict[str, cost_prices.Price],
    limits: dict[str, scale_limits.Limit],
) -> Sequence[str]:
    direct = needs.direct(rate, way, prices)
    kinesis = needs.kinesis(rate, way, prices, limits)
    domain = needs.domain(rate, way, prices)
    return (
        f"{rate:,.0f}",
        number(direct.concurrency),
        number(direct.concurrency_in_outage),
        dollars(direct.usd),
        f"{kinesis.shards:,}",
        number(kinesis.concurrency),
        dollars(kinesis.usd),
        f"{domain.nodes} x `{domain.instance}`, {domain.gib:,} GiB"
        + ("" if domain.by_template else " *"),
        dollars(domain.usd),
    )


def _met(ways: Sequence[Way], limits: dict[str, scale_limits.Limit]) -> tuple[Sequence[str], Rows]:
    """Return the head and the rows of the table of limits.

    A row is about one limit. For each number of lines in a payload, it has two rates: the lowest
    rate that reaches the limit without Kinesis, and the lowest rate that reaches it with Kinesis.
    The limit with the lowest rate comes first.
    """
    by_limit = [{one.limit: one for one in needs.met(way, limits)} for way in ways]
    head = (
        "limit",
        *(f"direct, {_lines(way)}" for way in ways),
        *(f"Kinesis, {_lines(way)}" for way in ways),
        "remedy",
    )
    rows: Rows = [
        (
            name,
            *(number(found[name].direct) for found in by_limit),
            *(number(found[name].kinesis) for found in by_limit),
            one.remedy,
        )
        for name, one in sorted(by_limit[0].items(), key=lambda item: _lowest(by_limit, item[0]))
    ]
    return head, rows


def _lowest(by_limit: Sequence[dict[str, Met]], name: str) -> float:
    return min(
        rate
        for found in by_limit
        for rate in (found[name].direct, found[name].kinesis, math.inf)
        if rate is not None
    )


def number(value: float | None) -> str:
    """Return a rate or a count as text with three significant digits, or a dash for None."""
    if value is None:
        return "-"
    if value < 1:
        return "< 1"
    return f"{float(f'{value:.3g}'):,.0f}"


def markdown(head: Sequence[str], rows: Rows) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _lines(way: Way) -> str:
    return "1 line" if way.lines == 1 else f"{way.lines:,} lines"


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text[:20]!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

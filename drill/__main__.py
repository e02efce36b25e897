"""`python -m drill`: plays a story, shows it on the stack's page, and prints a table of results.

A story is a series of situations, such as a drift (story.py). The exit code is 0 if every situation
ended as expected. It is 1 if a situation ended in another way, or if there was an error. It is 130
after Ctrl-C. An error is printed as one sentence on standard error.
"""

from __future__ import annotations

import os
import random
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

from rich.table import Table

from drill import texts
from drill.play_story import Clock, Play, filter_name, first_day, predicted
from drill.story import BASELINE_DAYS, STORY, Seen, Situation, fulfilled, table
from local import template, terminal_view
from local.opensearch import PATTERN
from local.page import Page, serve_page
from local.processes import end_once_when_told
from local.stack import Settings, stack
from local.template import STACK
from monitor.baselines.shipped_profile import shipped_golden
from monitor.client import connect
from monitor.messages.evidence import Sight
from monitor.opensearch_problem import ServerProblem
from monitor.settings import own_index
from monitor.summaries.store import Store
from tools.arguments import Parser
from tools.errors import UserError
from tools.printable import plain

HEAD: Final = ("situation", "lasts", "expected", "result", "the page says", "as expected")
SEED: Final = 23


def main(arguments: list[str] | None = None) -> int:
    """Play the story, and return the exit code."""
    parser = Parser(prog="python -m drill", description="Plays a story into the local stack.")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with usual.txt (one text a line), and optionally customer.txt, headlines.txt "
        "and launch.txt",
    )
    parser.add_argument("--hold", action="store_true", help="serve the page until Ctrl-C")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the traffic (%(default)s)")
    options = parser.parse_args(arguments)
    end_once_when_told()
    try:
        return play(options.data, options.seed, hold=options.hold)
    except (UserError, ServerProblem) as problem:
        print(f"make drill: {plain(problem)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def refuse(settings: Settings, data: Path | None) -> None:
    """Raise `UserError` for settings of `make serve` that the drill does not allow."""
    for name, value in (("OPENSEARCH_URL", settings.opensearch_url), ("KEEP", settings.keep)):
        if value:
            raise UserError(
                f"unset {name}: the drill writes two weeks of invented predictions, which must not "
                "be kept among yours"
            )
    if data and settings.log_text == "false":
        raise UserError(
            "unset LOG_TEXT, or leave out DATA: the drill would log the texts of DATA, which "
            "LOG_TEXT=false forbids"
        )


def play(data: Path | None, seed: int, *, hold: bool) -> int:
    """Start the stack and the page, and play every situation."""
    shown = terminal_view.console()
    settings = Settings.of(dict(os.environ))
    refuse(settings, data)
    chance = random.Random(seed)  # noqa: S311  traffic, not a secret
    read = partial(texts.read, data) if data else texts.made
    hours = sum(one.hours for one in STORY)
    clock = Clock(first_day(BASELINE_DAYS + 1 + hours // 24))
    with stack(settings, partial(terminal_view.step, shown)) as running:
        connection = connect(running.opensearch_url, {})
        store = Store(connection, own_index(STACK), STACK)
        page = Page(running.answer, STACK, now=clock.moment, default_span="24h")
        at = serve_page(page, settings.page_port, settings.api_port + 1)
        shown.print(f"Page  {at}", highlight=False)
        rows: list[tuple[Situation, Seen]] = []
        with predicted(
            template.read(), shown.print, lambda kind, number: read(kind, number, chance)
        ) as (pools, model):
            sight = Sight(connection, store, PATTERN, golden=shipped_golden())
            played = Play(running, store, sight, pools, model, clock, chance, filter_name())
            shown.print(f"a baseline of {BASELINE_DAYS} days: {played.baseline(BASELINE_DAYS)}")
            for one in STORY:
                rows.append((one, played.situation(one)))
                shown.print("  ".join(table(rows[-1:])[0]), highlight=False, soft_wrap=True)
        drawn = Table(*HEAD)
        for row in table(rows):
            drawn.add_row(*row)
        shown.print(drawn)
        while hold:
            time.sleep(1)
    return 0 if all(fulfilled(one.expected, seen) for one, seen in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())

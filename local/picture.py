"""Draw docs/terminal_view.svg, which shows a terminal with `make serve`.

`python -m local.picture` draws the recorded view in docs/terminal_view.json. With `--record URL` it
first records a new view from the OpenSearch at that address.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from datetime import UTC, datetime
from typing import Any, Final

import requests
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from local import charts, terminal_view
from local.__main__ import newest
from local.opensearch import PATTERN
from tools.root import ROOT

VIEW: Final = ROOT / "docs" / "terminal_view.json"
PICTURE: Final = ROOT / "docs" / "terminal_view.svg"
WIDTH: Final = 100
PREDICTIONS: Final = 8
# Rich's own format, without the fonts that it loads from the network.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def record(url: str) -> dict[str, Any]:
    """Record the newest documents at `url`, and the answers to the searches of the panels."""
    answers: list[dict[str, Any]] = []

    def search(query: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(f"{url}/{PATTERN}/_search", json=query, timeout=10)
        answer.raise_for_status()
        answers.append(
            {name: part for name, part in answer.json().items() if name in {"hits", "aggregations"}}
        )
        return answers[-1]

    now = datetime.now(UTC)
    search(newest(PREDICTIONS))
    charts.panels(search, now)
    return {"time": now.isoformat(), "answers": answers}


def draw(view: dict[str, Any]) -> str:
    """Draw a recorded view as SVG. The same view always gives the same text."""
    terminal_view.forget_colours()
    page = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    documents, *panels = view["answers"]
    remaining = iter(panels)
    now = datetime.fromisoformat(view["time"])
    page.print(
        terminal_view.documents(documents["hits"]["hits"], "The newest predictions", WIDTH, now), ""
    )
    page.print(charts.panels(lambda _: next(remaining), now))
    drawn = page.export_svg(
        title="make serve", theme=DIMMED_MONOKAI, code_format=FORMAT, unique_id="view"
    )
    return "\n".join(line.rstrip() for line in drawn.splitlines() if line.strip()) + "\n"


def main() -> None:
    """Record the view if `--record` is given, then draw it."""
    parser = argparse.ArgumentParser(
        prog="python -m local.picture",
        description="Draw docs/terminal_view.svg from docs/terminal_view.json.",
    )
    parser.add_argument(
        "--record",
        metavar="URL",
        help="first record docs/terminal_view.json from this OpenSearch, such as http://127.0.0.1:9200",
    )
    chosen = parser.parse_args()
    if chosen.record:
        VIEW.write_text(
            json.dumps(record(chosen.record), ensure_ascii=False, separators=(",", ":")) + "\n",
            encoding="utf-8",
        )
    PICTURE.write_text(draw(json.loads(VIEW.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The commands of `python -m local`.

`make run` calls `run`, and `make serve` calls `serve`. `ship` and `test-pattern` read your own log
lines.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NoReturn

import requests
from rich.console import Console, Group, RenderableType
from rich.live import Live

from local import charts, opensearch, ship_lines, terminal_view
from local.messages import Messages
from local.processes import end_once_when_told
from local.runtime import FunctionFailed
from local.stack import Settings, Stack, stack, without_password
from local.template import STACK
from tools.errors import UserError
from tools.printable import plain
from tools.root import ROOT

FIND_SECONDS: Final = 30
REFRESH_SECONDS: Final = 5  # the dashboard's refresh interval
ANSWER_SHOWN: Final = 300  # characters of a server's answer
SETTINGS: Final = (
    "environment variables: API_PORT (default: 3000), PAGE_PORT (default: the next free port), "
    "OPENSEARCH_PORT (default: 9200, at most 9299), OPENSEARCH_URL (address of your own server), "
    "LOG_TEXT (default: true; false keeps raw text out of the log), MODEL (folder of your "
    "own model), KEEP (folder in which documents survive a restart)"
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Return 0 on success, or 1 after an error message of one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Prediction Monitor on this machine, without AWS."
    )
    parser.epilog = SETTINGS
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "run", help="send the sample requests and show the documents that arrive in OpenSearch"
    )
    commands.add_parser("serve", help="keep the stack running until Ctrl-C, with a live view")
    tried = commands.add_parser(
        "test-pattern",
        help="show which lines a filter pattern matches, and why it does not match other lines",
    )
    tried.add_argument("pattern", metavar="PATTERN")
    shipped = commands.add_parser(
        "ship", help='ship your own log lines into the OpenSearch of a running "make serve"'
    )
    shipped.add_argument(
        "--follow", action="store_true", help="also ship lines that are added later, until Ctrl-C"
    )
    shipped.add_argument(
        "--log-group",
        default=ship_lines.GROUP,
        metavar="NAME",
        help="the name of the log group in the documents (default: %(default)s)",
    )
    shipped.add_argument(
        "--field-map",
        default="",
        metavar="MAP",
        help="your names for a prediction's fields, such as "
        "prediction.label=label,prediction.score=confidence,text=input",
    )
    shipped.add_argument(
        "--pattern",
        help=f"the filter pattern (default: {ship_lines.PATTERN}; "
        "with --field-map the default is '', which matches every line)",
    )
    for files in (tried, shipped):
        files.add_argument(
            "files",
            nargs="+",
            metavar="FILE",
            help="log lines, or the output of aws logs or sam logs; - is standard input",
        )
    chosen = parser.parse_args(arguments)
    command = chosen.command
    end_once_when_told()
    _reach_this_machine_directly()
    if command in {"ship", "test-pattern"}:
        return with_lines(chosen)
    page = terminal_view.console()
    try:
        settings = Settings.of(dict(os.environ))
        with stack(
            settings, partial(terminal_view.step, page), partial(complain, command)
        ) as running:
            if command == "run":
                return run(running, page)
            serve(running, page, settings.page_port, settings.model)
    except UserError as problem:
        complain(command, str(problem))
        return 1
    except KeyboardInterrupt:
        page.print("ended")
        return 0 if command == "serve" else 130
    except requests.RequestException as problem:
        part = (
            without_password(problem.request.url or "")
            if problem.request
            else "a part of the stack"
        )
        if problem.response is None:
            complain(
                command,
                f"{part} stopped answering ({type(problem).__name__}): run make {command} again",
            )
        else:
            complain(
                command,
                f"{part} answered {problem.response.status_code}: "
                f"{problem.response.text[:ANSWER_SHOWN]}",
            )
        return 1


def complain(command: str, sentence: str) -> None:
    """Print a sentence on standard error, after the command's name."""
    print(f"make {command}: {plain(sentence)}", file=sys.stderr)


def with_lines(chosen: argparse.Namespace) -> int:
    """Run `ship` or `test-pattern`. Return 0 on success, or 1 after an error message."""

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        if chosen.command == "test-pattern":
            ship_lines.try_pattern(chosen.pattern, chosen.files, say)
            return 0
        settings = Settings.of(dict(os.environ))
        url = settings.opensearch_url or f"http://127.0.0.1:{settings.opensearch_port}"
        _ensure_there(url)
        pattern = (
            ("" if chosen.field_map else ship_lines.PATTERN)
            if chosen.pattern is None
            else chosen.pattern
        )
        ship_lines.ship(
            chosen.files,
            url,
            chosen.log_group,
            pattern,
            follow=chosen.follow,
            say=say,
            names=chosen.field_map,
            progress=lambda far: print(far, file=sys.stderr, flush=True),
        )
    except (UserError, FunctionFailed) as problem:
        print(f"python -m local {chosen.command}: {plain(problem)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if chosen.follow else 130
    except BrokenPipeError:
        return 1
    return 0


def _ensure_there(url: str) -> None:
    reason = opensearch.unusable(url)
    if reason:
        raise UserError(
            f"no OpenSearch can be used at {without_password(url)} ({reason}): "
            "run make serve first, or set OPENSEARCH_URL"
        )


def run(running: Stack, page: Console) -> int:
    """Send the requests of events/requests.json, and find every prediction in OpenSearch."""
    bodies = json.loads((ROOT / "events" / "requests.json").read_text(encoding="utf-8"))
    page.print(f"sending {len(bodies)} requests to {running.api_url}/predict ...", highlight=False)
    answers = [answer for body in bodies for answer in predict(running, body)]
    hits, refusals = find(running, [answer["prediction_id"] for answer in answers])
    page.print(terminal_view.answers(answers, page.width), "")
    where = ", ".join(sorted({hit["_index"] for hit in hits}))
    page.print(
        terminal_view.documents(
            hits,
            f"Documents in {without_password(running.opensearch_url)}/{where}",
            page.width,
            datetime.now(UTC),
        ),
        "",
    )
    live = (source for source in map(terminal_view.source, hits) if source.get("traffic") == "live")
    page.print(terminal_view.chart(Counter(map(terminal_view.label, live))), "")
    page.print(
        terminal_view.filtered(running.subscription.counts, running.subscription.pattern),
        soft_wrap=True,
        markup=False,
    )
    page.print(f"{len(answers)} predictions, {len(hits)} documents found by their prediction_id")
    for failure in running.subscription.failures:
        complain("run", f"a shipment failed: {failure} (the shipper's log is in {running.logs})")
    for refusal in refusals:
        complain("run", f"OpenSearch accepts no documents: {refusal}")
    return 0 if len(hits) == len(answers) and not running.subscription.failures else 1


def predict(running: Stack, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the predictions for one request. Raises `UserError` if the API refuses it."""
    answer = requests.post(f"{running.api_url}/predict", json=body, timeout=60)
    if not answer.ok:
        why = "; ".join(
            running.failures[-1:]
            or [f"the API answered {answer.status_code}: {answer.text.strip()}"]
        )
        raise UserError(f"{why} (the function's log is in {running.logs})")
    result = answer.json()
    predictions: list[dict[str, Any]] = result.get("predictions", [result])
    return predictions


def find(running: Stack, prediction_ids: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the documents of these predictions, and OpenSearch's reasons to accept no documents.

    The function waits at most `FIND_SECONDS` until all documents are there. While lines wait to be
    shipped, it asks every `REFRESH_SECONDS` whether OpenSearch has a reason to accept no documents.
    Such a reason ends the wait.
    """
    query = {
        "size": len(prediction_ids),
        "sort": [{"@timestamp": "desc"}],
        "query": {"terms": {"prediction_id": prediction_ids}},
    }
    deadline, due = time.monotonic() + FIND_SECONDS, time.monotonic() + REFRESH_SECONDS
    hits: list[dict[str, Any]] = []
    refusals: list[str] = []
    while (
        time.monotonic() < deadline
        and len(hits) < len(prediction_ids)
        and not (refusals or running.subscription.failures)
    ):
        time.sleep(0.2)
        hits = running.search(query)
        if time.monotonic() >= due and running.subscription.counts.waiting:
            refusals, due = (
                opensearch.refusals(running.opensearch_url),
                time.monotonic() + REFRESH_SECONDS,
            )
    return hits, refusals


def serve(running: Stack, page: Console, port: int | None = None, model: str = "") -> NoReturn:
    """Show the newest predictions and failed requests, and the main panels, until interrupted.

    The view is in the terminal and on a page at `port`. `model` is the folder of the user's own
    model, or empty. Raises `UserError` if a function's process ends.
    """
    # imported here, because only this command needs the page
    from local.page import Page, serve_page  # noqa: PLC0415

    url = without_password(running.opensearch_url)
    messages = Messages()
    counts, pattern = running.subscription.counts, running.subscription.pattern
    drawn_page = Page(
        running.answer, STACK, messages.now, lambda: [terminal_view.filtered(counts, pattern)]
    )
    shown_at = serve_page(drawn_page, port, int(running.api_url.rpartition(":")[2]) + 1)
    page.print(
        f"API        {running.api_url}/predict\nPage       {shown_at}\nOpenSearch {url}\n"
        f"Log lines  {running.logs}\nCtrl-C ends everything. Try:",
        soft_wrap=True,
    )
    text = "your text" if model else "The boy is sitting on a bench"
    example = json.dumps({"sentence": text})
    page.print(
        f"  curl -s -X POST {running.api_url}/predict -d '{example}'",
        soft_wrap=True,
        highlight=False,
    )
    shown: set[str] = set()
    drawn: RenderableType = ""
    due = 0.0
    with Live(console=page, auto_refresh=False) as live:
        while True:
            hits = running.search(newest(max(3, page.height - charts.LINES - 6)))
            fresh = time.monotonic() >= due
            if fresh:
                due = time.monotonic() + REFRESH_SECONDS
                messages.refusals = say_refusals(running, page, messages.refusals)
            if page.is_terminal:
                title = terminal_view.filtered(counts, pattern)
                if fresh:
                    drawn = charts.panels(running.answer, datetime.now(UTC))
                live.update(
                    Group(
                        terminal_view.documents(hits, title, page.width, datetime.now(UTC)), drawn
                    ),
                    refresh=True,
                )
            else:
                for hit in reversed([hit for hit in hits if hit["_id"] not in shown]):
                    page.print(
                        terminal_view.line(terminal_view.source(hit), datetime.now(UTC)),
                        soft_wrap=True,
                        highlight=False,
                        markup=False,
                    )
                    shown.add(hit["_id"])
            say_failures(running, page, messages)
            for name, function in (("inference", running.inference), ("shipper", running.shipper)):
                if not function.alive():
                    raise UserError(
                        f"the {name} function's process has ended (its log is in {running.logs}): "
                        "run make serve again"
                    )
            time.sleep(1)


def say_refusals(running: Stack, page: Console, before: list[str]) -> list[str]:
    """While lines wait to be shipped, print OpenSearch's new reasons for accepting no documents.

    Returns all current reasons. A reason that is in `before` is not printed again.
    """
    found = (
        opensearch.refusals(running.opensearch_url) if running.subscription.counts.waiting else []
    )
    for refusal in [each for each in found if each not in before]:
        page.print(
            terminal_view.plain(f"OpenSearch accepts no documents: {refusal}", "red"),
            soft_wrap=True,
        )
    return found


def say_failures(running: Stack, page: Console, messages: Messages) -> None:
    """Print each failure of a function once, and keep the last failures for the page."""
    for what, failures in (
        ("a shipment failed", running.subscription.failures),
        ("a request failed", running.failures),
    ):
        while failures:
            said = f"{what}: {failures.pop(0)} (the functions' logs are in {running.logs})"
            page.print(terminal_view.plain(said, "red"), soft_wrap=True)
            messages.failures.append(f"{datetime.now(UTC):%H:%M:%S} UTC: {said}")


def newest(count: int) -> dict[str, Any]:
    """Return the query for the newest predictions and failed requests."""
    kinds = [{"exists": {"field": "prediction.label"}}, {"exists": {"field": "error.type"}}]
    fields = ["@timestamp", "text", "prediction", "error", "input.flags"]
    return {
        "size": count,
        "sort": [{"@timestamp": "desc"}],
        "query": {"bool": {"should": kinds}},
        "_source": fields,
    }


def _reach_this_machine_directly() -> None:
    """Send requests to 127.0.0.1 without the proxy that downloads may need."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"]))


if __name__ == "__main__":
    raise SystemExit(main())

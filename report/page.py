"""Draws the values of a view as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from report import page_words
from report.page_values import Drift, Example, Gap, Verdict, View
from report.plots import HIGH, Plot, bars, by_name, lines, others, place, spark, times
from report.read import DRIFTS, OTHERS, SHOWN, VERDICTS
from tools.printable import plain

FOLDER: Final = Path(__file__).parent
TEXT: Final = 300  # the largest number of characters of a text; a longer text is cut
NAME: Final = 60  # the largest number of characters of a label, version or flag
SPARK: Final = 60  # the small plot of a signal shows at most this many windows
STRIPE: Final = 160  # the largest number of characters of a stripe's tooltip
# The largest effect that the small plot of a signal shows, in multiples of the signal's floor. The
# floor is the smallest effect that counts.
TOP: Final = 3.0
OTHER: Final = "others"
# The page shows at most this many rows or sentences. If there are more, the page says so.
LIMITS: Final = {
    "verdicts": VERDICTS,
    "drifts": DRIFTS,
    "others": OTHERS,
    "feedback": SHOWN,
    "signals": 40,  # rows of the table of signals
    "moved": 6,  # sentences about unusual signals
    "told": 8,  # rows of the table of messages
}
STATUS: Final = {  # the CSS class of the colour of each verdict
    "canary": "bad",
    "notice": "bad",
    "silent": "odd",
    "unusual": "odd",
    "ok": "good",
    "provisional": "info",
    "insufficient": "none",
    "stale": "old",
}
# The sign before the title, and the colour of the icon in the browser's tab, for each CSS class.
SIGNS: Final = {"bad": "▲", "odd": "◆", "good": "●", "info": "○", "none": "–", "old": "–"}  # noqa: RUF001
ICONS: Final = {
    "bad": "d64545",
    "odd": "d98a1f",
    "good": "2f9e53",
    "info": "4a7fe0",
    "none": "7a828e",
    "old": "7a828e",
}
NO_SCRIPT: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class Live:
    """The parts that only a live page has.

    `spans` has the name and the link of each time span to choose from. The link of the span that is
    shown is empty. `messages` are at the top of the page, and `notes` are at its end.
    """

    spans: tuple[tuple[str, str], ...]
    messages: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stripe:
    """A window in the timeline: left edge and width in percent, CSS class, and tooltip."""

    x: float
    width: float
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class Signal:
    """A row of the table of signals.

    `path` is an SVG path with the signal's effects over time. `width` is the width of the path.
    """

    drift: Drift
    name: str
    part: str
    path: str
    width: float


def render(view: View, live: Live | None = None) -> str:
    """Return a view as a self-contained HTML page. If `live` is given, the page reloads itself."""
    colours = by_name(view.predictions.all_labels)
    answer = page_words.answer(view)
    usual = _usual(view)
    return (
        _environment()
        .get_template("page.html")
        .render(
            view=view,
            live=live,
            answer=answer,
            status=status(answer.word),
            icon=ICONS[status(answer.word)],
            moved=page_words.moved(view),
            silence=page_words.silence(view),
            colours=colours,
            plots=_plots(view, colours, usual.get("prediction.score")),
            stripes=_stripes(view),
            gaps=_gaps(view),
            signals=_signals(view),
            floor=f"{HIGH * (1 - 1 / TOP):.1f}",
            usual=usual,
            limits=LIMITS,
            policy=policy() if live else NO_SCRIPT,
            style=_file("page.css"),
            script=_file("page.js"),
        )
    )


@cache
def policy() -> str:
    """Return the live page's security policy, which allows only its own script and server."""
    digest = base64.b64encode(hashlib.sha256(_file("page.js").encode()).digest()).decode()
    return (
        f"{NO_SCRIPT}; script-src 'sha256-{digest}'; connect-src 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def status(word: str) -> str:
    """Return the CSS class of the colour of a verdict."""
    return STATUS.get(word, "none")


def _plots(view: View, colours: dict[str, str], usual_score: float | None) -> dict[str, Plot]:
    made, buckets = view.predictions, view.predictions.buckets
    names, below = times(view.span)
    on_time: Any = {"names": names, "below": below}
    labels = {
        _short(label): [one.labels.get(label, 0) for one in buckets] for label in made.all_labels
    }
    _add_others(labels, [one.predictions for one in buckets])
    colour = {OTHER: "c7"} | {_short(name): one for name, one in colours.items()}
    flags = _by_time([one.flags for one in buckets])
    versions = _by_time([one.versions for one in buckets])
    scores = {_short(name): [*made.scores.get(name, (0,) * 21)] for name in made.all_labels}
    _add_others(scores, made.all_scores)
    first = 10 if not any(any(each[:10]) for each in scores.values()) else 0
    edges = [f"{at / 20:.2f} to {(at + 1) / 20:.2f}" for at in range(20)] + ["exactly 1"]
    caller, service = "error of the caller (4xx)", "error of the service (5xx)"
    refusals = {caller: view.refusals.callers, service: view.refusals.ours}
    least = 0.5 if first else 0.0
    return {
        "counts": bars("Predictions", labels, colour, **on_time),
        "shares": bars("Label share", labels, colour, shares=True, **on_time),
        "scores": bars(
            "Scores",
            {name: each[first:] for name, each in scores.items()},
            colour,
            names=edges[first:],
            below=("0.5" if first else "0", "0.75" if first else "0.5", "1"),
            note="The last bar counts scores of exactly 1.",
        ),
        "mean": lines(
            "Mean score",
            {"mean score": [one.score for one in buckets]},
            others(["mean score"]),
            low=least,
            high=1.0,
            usual=usual_score,
            **on_time,
        ),
        "latency": lines(
            "Latency, ms",
            {f"{p} %": [one.latency[at] for one in buckets] for at, p in enumerate((50, 95))},
            others(["50 %", "95 %"]),
            **on_time,
        ),
        "refusals": bars(
            "Requests without a prediction",
            refusals,
            {caller: "c4", service: "c3"},
            **on_time,
        ),
        "flags": bars("Flagged inputs", flags, others(list(flags)), **on_time),
        "versions": bars("Model versions", versions, others(list(versions)), **on_time),
    }


def _add_others(labels: dict[str, list[int]], totals: Sequence[int]) -> None:
    """Add a series that counts the predictions whose labels are not shown."""
    shown = [sum(each) for each in zip(*labels.values(), strict=True)]
    rest = [max(0, total - each) for total, each in zip(totals, shown, strict=False)]
    if any(rest):
        own = labels.get(OTHER, [0] * len(rest))
        labels[OTHER] = [a + b for a, b in zip(own, rest, strict=True)]


def _by_time(counts: list[Any]) -> dict[str, list[int]]:
    """Return the counts over time of the most frequent names, and of all other names together."""
    totals: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            totals[name] = totals.get(name, 0) + count
    most = sorted(totals, key=lambda name: (-totals[name], name))[:7]
    found = {_short(name): [one.get(name, 0) for one in counts] for name in sorted(most)}
    if len(totals) > len(most):
        rest = [sum(one.values()) - sum(one.get(name, 0) for name in most) for one in counts]
        found[OTHER] = rest
    return found


def _stripes(view: View) -> dict[str, list[Stripe]]:
    """Return each stream's verdicts as stripes on the time axis."""
    found: dict[str, list[Stripe]] = {}
    for one in reversed(view.verdicts):
        stripes = found.setdefault(one.stream, [])
        if one.end <= view.span.start:
            continue
        left, right = place(one.start, view.span), place(one.end, view.span)
        text = f"{_from_to(one, view)}: {one.word}. {one.sentence}"
        stripes.append(
            Stripe(
                100 * left, max(0.3, 100 * (right - left)), status(one.word), _short(text, STRIPE)
            )
        )
    return found


def _from_to(one: Verdict | Gap, view: View) -> str:
    return " to ".join(page_words.clock(time, view.span.end) for time in (one.start, one.end))


def _gaps(view: View) -> list[Stripe]:
    """Return the times without predictions as stripes, which are drawn under the verdicts."""
    silent = page_words.silence(view)
    found = []
    for one in dict.fromkeys((*view.gaps, *([silent] if silent else []))):
        left, right = place(one.start, view.span), place(one.end, view.span)
        text = f"no predictions, {_from_to(one, view)}"
        found.append(Stripe(100 * left, max(0.3, 100 * (right - left)), "gap", text))
    return found


def _signals(view: View) -> list[Signal]:
    found = []
    for one in page_words.latest(view):
        course = [
            each.effect / each.floor
            for each in reversed(view.drifts)
            if each.stream == one.stream
            and each.signal == one.signal
            and each.effect is not None
            and each.floor
        ][-SPARK:]
        path, width = spark(course, TOP)
        name = page_words.SIGNALS.get(one.signal, one.signal)
        found.append(Signal(one, name, page_words.part(one.part), path, width))
    return found


def _usual(view: View) -> dict[str, float]:
    """Return the usual values that the monitor logged.

    A key is the name of a field, or `label ` followed by a label. The monitor logs a usual value
    for each stream (one model in one log group), but the page shows the mean of all streams. So if
    there are several streams, no value is returned.
    """
    found: dict[str, float] = {}
    if len({one.stream for one in view.drifts}) > 1:
        return found
    for one in reversed(view.drifts):
        if one.expected is None:
            continue
        if one.signal == "means":
            found[one.part] = one.expected
        elif one.signal == "label":
            found[f"label {one.part}"] = one.expected
    return found


def _short(text: object, limit: int = NAME) -> str:
    """Shorten a text, put it on one line, and replace its control characters."""
    shown = plain(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _input(one: Example) -> str:
    """Return the text of an input, or its length and its hash or id if the log has no text."""
    if one.text is not None:
        return _short(one.text, TEXT)
    chars = "" if one.chars is None else f"{one.chars} characters, "
    return f"{chars}hash {_short(one.hash)}" if one.hash else f"{chars}id {_short(one.id)}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "age": page_words.age,
        "clock": page_words.clock,
        "duration": page_words.duration,
        "figure": page_words.figure,
        "input": _input,
        "message": page_words.message,
        "percent": page_words.percent,
        "short": _short,
        "sign": lambda one: SIGNS[one],
        "status": status,
    }
    return made


@cache
def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")

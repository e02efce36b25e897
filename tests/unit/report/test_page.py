"""Tests the HTML page that is made from invented values."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from report import page_words
from report.page import LIMITS, Live, policy, render
from report.page_values import (
    Bucket,
    Canary,
    Drift,
    Example,
    Gap,
    Predictions,
    Refusals,
    Said,
    Shipping,
    Verdict,
    View,
)
from report.read import span

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[31m"
LIVE = Live((("15 minutes", ""), ("1 hour", "?since=1h")), (HOSTILE,), ("a note",))

NONE = (0,) * len(span(NOW, timedelta(hours=1)).times())


def view(number: int = 40, name: str = "fine", text: str | None = "A text.") -> View:
    shown = span(NOW, timedelta(hours=1))
    buckets = tuple(
        Bucket(time, 1, {name: 1}, {name: 1}, {f"{name}{at}": 1}, 0.75, (1.5, 2.5))
        for at, time in enumerate(shown.times())
    )
    example = Example(NOW, text, name, 0.75, 1.5, (name,), "0123456789abcdef", 7, "id-of-it")
    return View(
        shown,
        Predictions(
            number, (name,), {name: number}, {name: (0,) * 15 + (1,) * 6}, 0.75, (1, 2), 3, buckets
        ),
        Refusals({name: 2}, (1,) * len(buckets), (0,) * len(buckets)),
        (),
        (),
        (example,) * 12,
        (example,) * 8,
        (example,) * 8,
        Shipping({"prediction": number, name: 1}, 0, (10, 2000)),
        (Said(NOW, "canary", name, name),),
        (),
    )


def verdict(word: str, stream: str = "/group model", ago: int = 0) -> Verdict:
    end = NOW - timedelta(hours=ago)
    return Verdict(
        stream,
        end - timedelta(hours=1),
        end,
        200,
        word,
        sentence=f"The verdict is {word}.",
        in_a_row=1,
        wanted=2,
    )


class Page(HTMLParser):
    """The elements, the text, the event handlers and the references of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.said: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "action", "data", "srcset", "xlink:href"}:
                self.references.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


@pytest.mark.parametrize("live", [None, LIVE], ids=["report", "live"])
def test_markup_in_a_value_is_shown_as_text(live: Live | None) -> None:
    said = view(name=HOSTILE, text=HOSTILE)
    judged = replace(
        said,
        verdicts=(replace(verdict("notice", HOSTILE), sentence=HOSTILE),),
        drifts=(Drift(HOSTILE, NOW, "label", 1e-9, 0.4, 0.03, HOSTILE, 0.5, 0.1, unusual=True),),
    )
    html = render(judged, live)
    page = Page(html)
    assert page.elements.count("script") == (1 if live else 0)
    assert "img" not in page.elements
    assert page.handlers == []
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "<script>alert(1)</script>" in page.text  # shown as text


@pytest.mark.parametrize("live", [None, LIVE], ids=["report", "live"])
def test_the_page_loads_nothing_from_elsewhere(live: Live | None) -> None:
    page = Page(render(view(), live))
    assert [
        one for one in page.references if not one.startswith(("data:image/svg+xml,", "?"))
    ] == []
    assert "url(" not in render(view(), live)
    assert "@import" not in render(view(), live)


def test_a_report_forbids_scripts_and_the_live_page_allows_only_its_own() -> None:
    assert "default-src &#39;none&#39;" in render(view())
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'; ", policy())
    assert "unsafe-inline'; script" not in policy().replace("style-src 'unsafe-inline'", "")


def test_without_texts_an_input_is_shown_as_its_length_and_hash() -> None:
    page = Page(render(view(text=None), LIVE))
    assert "7 characters, hash 0123456789abcdef" in page.text
    assert "A text." in Page(render(view(), LIVE)).text


def test_a_full_page_is_smaller_than_a_megabyte() -> None:
    names = [f"{at:03}" + "ä" * 200 for at in range(20)]
    many = dict.fromkeys(names, 10**6)
    shown = span(NOW, timedelta(days=7))
    buckets = tuple(Bucket(time, 10**6, many, many, many, 0.5, (1, 2)) for time in shown.times())
    example = Example(NOW, "ä" * 1000, names[0], 0.5, 1, tuple(names), "0" * 64, 1000, "x" * 100)
    full = replace(
        view(),
        span=shown,
        predictions=Predictions(
            10**9,
            tuple(names),
            dict.fromkeys(names, 10**6),
            dict.fromkeys(names, (9,) * 21),
            1,
            (1, 2),
            1,
            buckets,
        ),
        refusals=Refusals(dict.fromkeys(names, 1), (9,) * len(buckets), (9,) * len(buckets)),
        verdicts=tuple(
            replace(verdict("notice", f"/{at % 20}{'x' * 200}"), sentence="ä" * 1000)
            for at in range(700)
        ),
        drifts=tuple(
            Drift(f"/{at % 20}", NOW, "means", 0.1, 0.4, 0.3, "ä" * 200, 1, 2, unusual=True)
            for at in range(4000)
        ),
        newest=(example,) * 12,
        uncertain=(example,) * 8,
        strangest=(example,) * 8,
        others=(Said(NOW, "canary", "x" * 1000, "ä" * 1000),) * 50,
        gaps=tuple(Gap(NOW, NOW, 20) for _ in range(30)),
    )
    assert len(render(full, LIVE).encode()) < 1_000_000


@pytest.mark.parametrize(
    ("verdicts", "title"),
    [
        ([], "Nothing is judged yet"),
        ([verdict("ok")], "No change from the baseline"),
        ([verdict("notice")], "The predictions have changed"),
        ([verdict("ok"), verdict("notice", ago=3)], "No change from the baseline"),
        ([verdict("ok"), verdict("notice", "/other model")], "The predictions have changed"),
        ([verdict("unusual"), verdict("ok", "/other")], "One window is unusual"),
        ([verdict("insufficient"), verdict("ok", ago=1)], "Too few predictions to judge"),
        ([verdict("new word")], "The verdict is new word"),
    ],
)
def test_the_title_follows_from_the_worst_of_the_newest_verdicts(
    verdicts: list[Verdict], title: str
) -> None:
    judged = replace(view(), verdicts=tuple(verdicts))
    page = Page(render(judged))
    assert title in page.text
    assert page_words.answer(judged).title == title


def test_a_message_is_shown_with_the_reason_why_it_was_not_sent() -> None:
    told = replace(verdict("notice"), message="Look at it", silenced="a launch, by us")
    page = Page(render(replace(view(), verdicts=(told, verdict("ok")))))
    assert "Look at it silenced: a launch, by us" in page.text


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(None, "-"), (12.34, "12.3 ms"), (2500, "2.5 s"), (90_000, "1.5 min"), (86_400_000, "1 days")],
)
def test_a_duration_is_in_a_fitting_unit(milliseconds: float | None, said: str) -> None:
    assert page_words.duration(milliseconds) == said


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("fail", "The model answers its test sentences wrongly"),
        ("pass", "No change from the baseline"),
        (None, "No change from the baseline"),
    ],
)
def test_a_failing_scheduled_canary_changes_the_title(word: str | None, title: str) -> None:
    canary = None if word is None else Canary(word, f"It is {word}.")
    others = (Said(NOW, "canary", "fail", "It failed at a deployment."),)
    page = Page(render(replace(view(), verdicts=(verdict("ok"),), others=others, canary=canary)))
    assert title in page.text
    assert ("It is fail. Compare" in page.text) == (word == "fail")


SILENT = (Gap(NOW - timedelta(minutes=30), NOW, 55.5),)


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({"gaps": SILENT, "verdicts": (verdict("ok"),)}, "No predictions come any more"),
        ({"gaps": SILENT, "verdicts": (verdict("unusual"),)}, "No predictions come any more"),
        ({"gaps": SILENT}, "No predictions come any more"),
        ({"gaps": SILENT, "verdicts": (verdict("notice"),)}, "The predictions have changed"),
        (
            {"gaps": SILENT, "canary": Canary("fail", "It failed.")},
            "The model answers its test sentences wrongly",
        ),
        # a span without predictions: the expected number follows from the verdicts
        ({"predictions": 0, "verdicts": (verdict("ok"),)}, "No predictions come any more"),
        (
            {"predictions": 0, "verdicts": (replace(verdict("ok"), rows=3),)},
            "No change from the baseline",
        ),
        ({"predictions": 0, "verdicts": (verdict("stale"),)}, "Nothing new to judge"),
        ({"predictions": 0}, "Nothing is judged yet"),
    ],
)
def test_if_no_predictions_come_the_title_says_so_unless_something_matters_more(
    changed: dict[str, Any], title: str
) -> None:
    silent = replace(view(), **{k: v for k, v in changed.items() if k != "predictions"})
    if "predictions" in changed:
        silent = replace(silent, predictions=replace(silent.predictions, number=0))
    page = Page(render(silent)).text
    assert page_words.answer(silent).title == title
    missing = title.startswith("No predictions") or "gaps" in changed
    assert page.count("No predictions since") == missing
    if title.startswith("No predictions"):
        assert "Check that requests still come in" in page


def drifts(number: int, streams: int = 1) -> tuple[Drift, ...]:
    return tuple(
        Drift(f"/{at % streams}", NOW, "means", 0.1, 0.4, 0.3, f"p{at}", 1, 2, unusual=True)
        for at in range(number)
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"drifts": drifts(LIMITS["drifts"])},
            "Only the newest 4,000 values are read, so the effects",
        ),
        ({"drifts": drifts(41)}, "Only 40 of 41 signals are shown"),
        ({"drifts": drifts(9)}, "3 more changes are in the table"),
        (
            {"verdicts": (replace(verdict("ok", "/0"), message="Look"),) * 9},
            "Only the newest 8 of 9 are shown.",
        ),
        (
            {"others": (Said(NOW, "canary", "pass", "It passed."),) * 50},
            "Only the newest 50 lines of canary",
        ),
        (
            {"others": (Said(NOW, "feedback", "a", "A."),) * 8},
            "Only the newest 8 lines of feedback",
        ),
        ({"refusals": Refusals({"one": 2}, (5, *NONE[1:]), NONE)}, "3 \u00d7 other types"),
    ],
)
def test_the_page_says_what_it_does_not_show(more: dict[str, Any], said: str) -> None:
    base = {"verdicts": (verdict("notice", "/0"),), "refusals": Refusals({}, NONE, NONE)}
    assert said in Page(render(replace(view(), **base | more))).text  # type: ignore[arg-type]
    assert said not in Page(render(replace(view(), **base))).text  # type: ignore[arg-type]


def test_the_page_says_in_words_what_moved() -> None:
    drifts = (
        Drift("/g m", NOW, "means", 1e-9, 0.68, 0.3, "input.sig.s3", 5.1, -0.4, unusual=True),
        Drift("/g m", NOW, "label", 1e-9, 0.2, 0.03, "ham", 0.9, 0.7, unusual=True),
        Drift("/g m", NOW, "flags", 0.5, 0.0, 0.005, "truncated", 0.1, 0.1, unusual=False),
        Drift(
            "/g m",
            NOW - timedelta(hours=1),
            "strange",
            0,
            1,
            0.005,
            "input.novelty",
            1,
            0,
            unusual=True,
        ),
    )
    judged = replace(view(), drifts=drifts, verdicts=(verdict("notice", "/g m"),))
    assert page_words.moved(judged) == (
        "The mean of signature 3 (a number for the kind of text) is 5.1; usual is -0.4.",
        "The share of the label ham is 0.9; usual is 0.7.",
    )


def test_signals_of_an_older_window_are_not_shown_with_a_new_verdict() -> None:
    an_hour_ago = NOW - timedelta(hours=1)
    old = Drift("/g m", an_hour_ago, "label", 0, 0.2, 0.03, "ham", 0.9, 0.7, unusual=True)
    verdicts = (verdict("insufficient", "/g m"), verdict("notice", "/g m", ago=1))
    judged = replace(view(), drifts=(old,), verdicts=verdicts)
    assert page_words.latest(judged) == ()
    assert page_words.latest(replace(judged, verdicts=verdicts[1:])) == (old,)


@pytest.mark.parametrize("streams", [1, 2])
def test_the_usual_score_is_shown_only_if_there_is_one_stream(streams: int) -> None:
    drifts = tuple(
        Drift(f"/g {at}", NOW, "means", 1, 0, 0.3, "prediction.score", 0.7, 0.7, unusual=False)
        for at in range(streams)
    )
    page = Page(render(replace(view(), drifts=drifts)))
    assert ("usual 0.7" in page.text) == (streams == 1)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (
            {"refusals": Refusals({}, NONE, (3, *NONE[1:]))},
            "3 requests failed with an error of the service (5xx).",
        ),
        ({"refusals": Refusals({}, (41, *NONE[1:]), NONE)}, "41 requests were refused (4xx)"),
        ({"shipping": Shipping({}, 2, (None, None))}, "2 documents lost fields"),
        (
            {"gaps": (Gap(NOW - timedelta(hours=13), NOW - timedelta(hours=1), 55.5),)},
            "No predictions from 2026-11-22 23:34 until 11:34, although about 56 were expected.",
        ),
    ],
)
def test_trouble_is_shown_with_the_verdict(trouble: dict[str, object], sentence: str) -> None:
    troubled = replace(view(), **trouble)  # type: ignore[arg-type]
    assert sentence not in Page(render(view())).text
    assert sentence in Page(render(troubled)).text


def test_a_page_without_any_document_says_so() -> None:
    shown = span(NOW, timedelta(hours=1))
    nothing = View(
        shown,
        Predictions(0, (), {}, {}, None, (None, None), 0, ()),
        Refusals({}, (0,) * len(shown.times()), (0,) * len(shown.times())),
        *((),) * 5,
        Shipping({}, 0, (None, None)),
        (),
        (),
    )
    assert "None in this time." in Page(render(nothing, LIVE)).text


def text(**changed: Any) -> str:
    return Page(render(replace(view(), **changed))).text


FAULTS = ("39 of 40 have another label", "b", "c", "d")
SINCE = NOW - timedelta(hours=2)


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        (
            Canary("fail", "It.", FAULTS[:2], SINCE, passed_before=True, versions=("v1", "7")),
            (
                "since 10:34 UTC. Faults of version v1 (function version 7): "
                "39 of 40 have another label; b."
            ),
        ),
        (
            Canary("fail", "It.", FAULTS, SINCE, versions=("v1", "")),
            (
                "at least since 10:34 UTC. Faults of version v1: 39 of 40 have another label; "
                "b; c; and 1 more fault."
            ),
        ),
        (
            Canary("fail", "The canary fails: an error.", (), SINCE, passed_before=True),
            "since 10:34 UTC: an error.",
        ),
    ],
)
def test_a_failing_canary_is_shown_with_its_beginning_and_version(
    canary: Canary, said: str
) -> None:
    signal = Drift("/group model", NOW, "label", 0.5, 0.4, 0.03, "ham", 0.5, 0.1, unusual=False)
    page = text(canary=canary, verdicts=(verdict("ok"),), drifts=(signal,))
    assert f"The canary has failed {said}" in page
    assert 'failed: do not rely on the verdict "ok".' in page
    assert "failed: do not rely on a green signal." in page
    healthy = text(verdicts=(verdict("ok"),), drifts=(signal,))
    assert "A verdict compares the traffic with the baseline." in healthy
    assert "do not rely" not in healthy


LOOK = "look at what moved, and at the newest and the strangest inputs."


@pytest.mark.parametrize(
    ("word", "change", "action", "said"),
    [
        ("notice", "begins", "wait until morning", f"this can wait until morning. Then: {LOOK}"),
        ("notice", "spreads", "roll back", f"should roll back. Also: {LOOK}"),
        # A message about a recovery belongs to an older notice.
        ("notice", "recovers", "nothing", LOOK.capitalize()),
        ("stale", "stale", "look now", "says that you should look now: check that requests"),
        ("stale", "stale", "wait until morning", "says that this can wait until morning"),
        ("ok", "begins", "wait until morning", "No change from the baseline"),
    ],
)
def test_the_banner_has_the_advice_of_the_message(
    word: str, change: str, action: str, said: str
) -> None:
    told = replace(verdict(word), message="A message", change=change, action=action)
    page = text(verdicts=(told,))
    assert said in page
    assert ("The message of 12:34 says" in page) == (change in page_words.ABOUT.get(word, ()))


def test_a_message_that_asks_for_nothing_says_so() -> None:
    told = replace(verdict("ok"), message="Recovered: nothing - local minilm-cola")
    assert "Recovered: nothing to do - local minilm-cola" in text(verdicts=(told,))


def test_signals_older_than_the_last_prediction_are_shown_with_their_age() -> None:
    signal = Drift(
        "/group model", NOW - timedelta(hours=7), "label", 0.5, 0.4, 0.03, "ham", 0.5, 0.1,
        unusual=False, limit=0.00025,
    )  # fmt: skip
    judged = {"verdicts": (verdict("ok", ago=7),), "drifts": (signal,)}
    silent = text(**judged, gaps=SILENT)
    assert "05:34 UTC, 7 hours ago; no prediction has come since 12:04, so these signals" in silent
    assert "prediction; lines may be missing since 12:04" in silent
    assert "no predictions, 12:04 to 12:34" in silent  # in the timeline
    assert "0.00025" in silent
    fine = text(**judged)
    assert "05:34 UTC, 7 hours ago. The dashed line is the floor" in fine
    assert "lines may be missing" not in fine
    assert "no predictions" not in fine


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, "0 minutes"),
        (1, "1 minute"),
        (119, "119 minutes"),
        (120, "2 hours"),
        (2879, "47 hours"),
        (2880, "2 days"),
    ],
)
def test_an_age_is_in_whole_units(minutes: int, said: str) -> None:
    assert page_words.age(NOW - timedelta(minutes=minutes), NOW) == f"{said} ago"


def test_each_colour_of_the_timeline_is_in_its_legend_once() -> None:
    html = render(replace(view(), verdicts=(verdict("ok"),), gaps=SILENT))
    legend = re.search(r'</svg>\s*<ul class="legend">(.*?)</ul>\s*<table>', html, re.DOTALL)
    assert legend
    shown = re.findall(r'<i class="(\w+)"></i>([\w ]+)</li>', legend[1])
    assert {"not judged", "no predictions", "stale", "insufficient"} <= {name for _, name in shown}
    assert len({colour for colour, _ in shown}) == len(shown)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((), "A verdict needs the monitor and a baseline. Wait until there are three whole days"),
        ((verdict("provisional"),), "No baseline is accepted. Wait until there are three whole"),
        (
            (verdict("provisional"), verdict("ok", "/other")),
            "No baseline is accepted for /group model. Wait until",
        ),
    ],
)
def test_without_a_baseline_the_page_says_when_to_accept_one(
    verdicts: tuple[Verdict, ...], said: str
) -> None:
    page = text(verdicts=verdicts)
    assert said in page
    assert f"accept them: {page_words.COMMAND} " in page


def test_with_a_baseline_that_is_too_small_the_page_asks_for_nothing() -> None:
    page = text(verdicts=(replace(verdict("provisional"), baseline="1"),))
    assert "The verdict is provisional. No notice is given until the baseline has enough" in page
    assert page_words.COMMAND not in page


def test_the_page_says_that_the_usual_score_is_unknown() -> None:
    assert "usual value not known" in text()
    known = Drift("/g", NOW, "means", 1, 0, 0.3, "prediction.score", 0.7, 0.7, unusual=False)
    assert "usual value not known" not in text(drifts=(known,))

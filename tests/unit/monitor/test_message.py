"""Tests that a message says what to do and shows the evidence, in at most 15 printable lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.dashboards_api import Dashboards
from installer.prefix_and_stack import Scope
from installer.saved_objects import rendered, saved_objects
from installer.server import Server, anonymous
from monitor.accuracy import accuracy_message
from monitor.accuracy.intervals import Estimate, Interval, Tally
from monitor.baselines import shipped_profile
from monitor.canary.golden_sentences import shipped_model
from monitor.messages.message import (
    LINES,
    LONGEST,
    SUBJECT,
    Action,
    Arrived,
    Canary,
    Deployment,
    Facts,
    Moved,
    Share,
    Source,
    advice,
    compose,
    links,
    report_link,
)
from monitor.messages.transitions import Change, Transition
from monitor.settings import settings
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY, HOUR
from tests.models import SHIPPED

NOON = 1_795_176_000  # 2026-11-20 12:00 UTC
STREAM = Stream("prediction-monitor", "/aws/lambda/classifier", "minilm-cola")
LABEL = Moved(
    "label", "share of ham", "more answers are ham", "fewer answers are ham",
    0.31, 0.72, 0.66, share=True,
)  # fmt: skip
WORDS = Moved(
    "input.words", "median number of words", "texts are longer", "texts are shorter", 18, 9, 11
)
VERSION = Source("function version", "8", 1.0, 1.0, new=True)
CUSTOMER = Source("customer", "acme", 0.3, 0.94, new=True)
DEPLOYED = Deployment("function version", "8", NOON - 3 * HOUR + 900, "7")
ESTIMATE = Estimate(0.84, Interval(0.8, 0.88), 812)
# The changes that `compose` writes about. accuracy_message.py writes about known accuracy.
COMPOSED = [change for change in Change if change not in accuracy_message.SUBJECTS]


def facts(change: Change = Change.BEGINS, **given: Any) -> Facts:
    transition = Transition(change, "label", NOON - 3 * HOUR, NOON)
    known = {"in_a_row": 3, "baseline": 2, "promised": 379.0}
    return Facts(STREAM, transition, NOON - HOUR, NOON, 812, **known | given)


def test_the_whole_message_about_a_bad_deployment() -> None:
    found = compose(
        facts(
            moved=(LABEL,), sources=(VERSION,), deployment=DEPLOYED, estimate=ESTIMATE,
            labels=(Share("ham", 0.31, 0.72), Share("spam", 0.69, 0.28)),
            score=(0.84, 0.83), hourly=(812, 790), links={"Dashboard": "https://a"},
            canary=Canary(passed=True, at=NOON - 600),
        )
    )  # fmt: skip
    assert found.action is Action.ROLL_BACK
    assert found.subject == "Notice: roll back - prediction-monitor minilm-cola"
    assert found.text == (
        "NOTICE: the predictions of minilm-cola in /aws/lambda/classifier changed. 3 windows in a "
        "row are unusual. The last one: 2026-11-20 11:00 to 12:00 UTC, 812 predictions.\n"
        "WHAT TO DO NOW: ROLL BACK. The change began with function version 8, and the texts "
        "did not change.\n"
        "Since: 2026-11-20 09:00 UTC (3 hours).\n"
        "What moved: fewer answers are ham (share of ham: 31 %, usually 72 %, never "
        "below 66 % in the 30 days before).\n"
        "Where: 100 % of the change and 100 % of the predictions come from function version 8 "
        "(new).\n"
        "Key figures: ham 31 % (usually 72 %); spam 69 % (usually 28 %); estimated "
        "accuracy 0.84, interval 0.80 to 0.88 (usually 0.83); exchanged labels would not show in "
        "this estimate; canary passed at 11:50; 812 predictions an hour (usually 790).\n"
        "Last deployment: function version 8, first seen 2026-11-20 09:15 UTC; the version before "
        "it was 7.\n"
        "To roll back: aws lambda update-alias --function-name classifier --name live "
        "--function-version 7 (then see docs/release.md, Going back).\n"
        "Dashboard: https://a\n"
        "To mute: sam remote invoke MonitorFunction --stack-name prediction-monitor --event "
        '\'{"command": "mute --until 2026-11-21T12:00 --reason WHY --by YOU"}\'\n'
    )


def test_known_accuracy_is_shown_also_for_a_window_without_estimated_accuracy() -> None:
    known = "known accuracy 0.62 (0.56 to 0.68) of 240 labels"
    unseen = "exchanged labels would not show in this estimate"
    found = compose(facts(score=(0.84, 0.83), estimate=ESTIMATE, known=Tally(240, 150)))
    assert f"(usually 0.83); {unseen}; {known}." in found.text
    found = compose(facts(score=(0.84, 0.83), unlike=True, known=Tally(240, 150)))
    assert "mean score 0.84 (usually 0.83); accuracy cannot be estimated, because" in found.text
    assert known in found.text


def test_the_mean_score_of_a_model_that_is_not_calibrated_is_not_called_accuracy() -> None:
    found = compose(facts(moved=(LABEL,), score=(0.84, 0.83)))
    assert "Key figures: mean score 0.84 (usually 0.83).\n" in found.text
    assert "accuracy" not in found.text


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_card_without_calibration_is_not_used(
    calibrated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("card.json", "profile.json"):
        content = json.loads((SHIPPED / name).read_text(encoding="utf-8"))
        content |= {"calibrated": calibrated} if name == "card.json" else {}
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    built = shipped_model((tmp_path,))
    monkeypatch.setattr(shipped_profile, "shipped_model", lambda: built)
    assert (shipped_profile.shipped_golden().card is not None) is calibrated


FAILS = Canary(passed=False, at=NOON)
SILENT = Canary(passed=False, at=NOON, compared=False)
CLIENT = Source("client_version", "2.1", 0.3, 0.94)
EARLIER = replace(DEPLOYED, first=NOON - 3 * DAY)


@pytest.mark.parametrize(
    ("known", "action", "said"),
    [
        ({"moved": (LABEL,), "deployment": DEPLOYED}, "roll back", "function version 8"),
        ({"moved": (LABEL,), "deployment": EARLIER}, "wait until morning", "No version changed"),
        ({"moved": (LABEL,)}, "wait until morning", "No version changed"),
        ({"moved": (WORDS,)}, "wait until morning", "The texts themselves changed"),
        (
            {"moved": (WORDS, LABEL), "deployment": DEPLOYED},
            "wait until morning",
            "began at that time",
        ),
        ({"moved": (LABEL,), "sources": (CUSTOMER,)}, "wait until morning", "customer acme"),
        (
            {"moved": (LABEL,), "sources": (VERSION, CUSTOMER), "deployment": DEPLOYED},
            "wait until morning",
            "ask who sends",
        ),
        (
            {"moved": (LABEL,), "sources": (replace(CUSTOMER, new=False),), "deployment": DEPLOYED},
            "roll back",
            "version 8",
        ),
        (
            {"moved": (WORDS,), "sources": (replace(CUSTOMER, new=False),)},
            "wait until morning",
            "The change is in customer acme.",
        ),
        ({"moved": (WORDS,), "canary": FAILS}, "roll back", "The canary fails"),
        ({"moved": (LABEL,), "canary": SILENT}, "wait until morning", "No version changed"),
        (
            {"moved": (LABEL,), "canary": SILENT, "deployment": DEPLOYED},
            "roll back",
            "The change began with function version 8",
        ),
        (
            {"moved": (LABEL,), "unread": {"deployment": "status 503"}},
            "wait until morning",
            "The last deployment could not be read",
        ),
        (
            {"moved": (WORDS,), "unread": {"deployment": "status 503"}},
            "wait until morning",
            "The last deployment could not be read",
        ),
        (
            {"deployment": DEPLOYED, "unread": {"moved": "status 503"}},
            "wait until morning",
            "The numbers that moved could not be read",
        ),
        ({"canary": FAILS, "unread": {"moved": "status 503"}}, "roll back", "The canary fails"),
        (
            {"moved": (WORDS,), "sources": (CLIENT,)},
            "wait until morning",
            "The change is in client_version 2.1",
        ),
        (
            {"moved": (WORDS,), "sources": (replace(CLIENT, attribute="model.version"),)},
            "wait until morning",
            "The texts themselves changed",
        ),
        ({}, "wait until morning", "No version"),
    ],
)  # fmt: skip
def test_the_advice_in_a_notice_follows_from_the_evidence(
    known: dict[str, Any], action: str, said: str
) -> None:
    for change in (Change.BEGINS, Change.SPREADS):
        found, reason = advice(facts(change, **known))
        assert found == action
        assert said in reason


@pytest.mark.parametrize(
    ("known", "action", "said"),
    [
        ({"moved": (LABEL,), "beside": True}, "roll back", "than version 1 on the same traffic"),
        ({"moved": (LABEL,)}, "roll back", "on texts that did not change. If this is intended"),
        ({"moved": (WORDS,), "beside": True}, "wait until morning", "get different texts"),
        ({"moved": (WORDS,)}, "wait until morning", "changed since the baseline of version 1"),
        ({"moved": (WORDS,), "canary": FAILS}, "roll back", "The canary fails"),
        ({"unread": {"moved": "status 503"}}, "wait until morning", "could not be read"),
    ],
)
def test_the_advice_about_two_versions_follows_from_the_evidence(
    known: dict[str, Any], action: str, said: str
) -> None:
    found = facts(Change.DIFFERS, newer="2", older="1", **known)
    assert advice(found)[0] == action
    assert said in advice(found)[1]
    first = compose(found).text.splitlines()[0]
    assert first.startswith("VERSION DIFFERS: version 2 of minilm-cola in /aws/lambda/classifier ")


@pytest.mark.parametrize(
    ("arrived", "action", "said"),
    [
        (Arrived(0, None, 2880, 120), "look now", "had no prediction in"),
        (Arrived(0), "wait until morning", "No requests come, or"),
        (Arrived(50, NOON, 2880, 120), "look now", "had 50 predictions, too few for"),
        (Arrived(50, NOON, 60, 2), "nothing", "About 60 predictions are usual in a time of this"),
        (Arrived(50, NOON), "nothing", "no usual number is known"),
        (None, "wait until morning", "had too few predictions in"),
    ],
)
def test_the_advice_about_too_few_predictions_depends_on_the_usual_traffic(
    arrived: Arrived | None, action: str, said: str
) -> None:
    found = compose(facts(Change.STALE, arrived=arrived))
    assert found.action == action
    assert said in found.text
    usual = "2,880 are usual in a time of this length; 120 an hour are usual at 12:00 UTC."
    assert (usual in found.text) is bool(arrived and arrived.usual == 2880)


@pytest.mark.parametrize(
    ("group", "deployed", "said"),
    [
        (
            "/aws/lambda/a-b_1",
            DEPLOYED,
            "aws lambda update-alias --function-name a-b_1 --name live --function-version 7 (then",
        ),
        ("/aws/lambda/a;b", DEPLOYED, "deploy function version 7 again (docs/release.md"),
        ("/ecs/classifier", DEPLOYED, "deploy function version 7 again (docs/release.md"),
        ("/aws/lambda/a", replace(DEPLOYED, before="7 &"), "deploy function version 7 & again ("),
        (
            "/aws/lambda/a",
            replace(DEPLOYED, of="model version"),
            "deploy model version 7 again (docs/release.md",
        ),
        ("/aws/lambda/a", replace(DEPLOYED, before=""), "docs/release.md, Going back."),
    ],
)
def test_the_line_about_a_rollback_has_the_command_or_the_version(
    group: str, deployed: Deployment, said: str
) -> None:
    found = facts(moved=(LABEL,), deployment=deployed)
    text = compose(replace(found, stream=replace(STREAM, log_group=group))).text
    assert f"\nTo roll back: {said}" in text


@pytest.mark.parametrize("part", ["strange input.non_letter_share", "mostly_non_letter"])
def test_fewer_letters_count_as_a_change_of_the_texts(part: str) -> None:
    signs = replace(LABEL, field=part)
    action, reason = advice(facts(moved=(signs,), deployment=DEPLOYED))
    assert action is Action.WAIT
    assert "The texts themselves changed" in reason


def test_a_canary_without_an_answer_is_no_failure_of_the_model() -> None:
    found = compose(facts(moved=(LABEL,), canary=SILENT))
    assert "the canary got no comparable answer at 12:00" in found.text
    assert "FAILED" not in found.text


@pytest.mark.parametrize(
    ("unread", "line"), [("sources", "Where: "), ("deployment", "Last deployment: ")]
)
def test_a_line_whose_search_failed_is_left_out(unread: str, line: str) -> None:
    assert f"\n{line}" in compose(facts(moved=(LABEL,))).text
    found = compose(facts(moved=(LABEL,), unread={unread: "status 503"}))
    assert f"\n{line}" not in found.text
    assert "Some facts could not be read: status 503." in found.text


ADVISED = {"begins", "spreads", "stale", "differs"}


@pytest.mark.parametrize("change", [c for c in COMPOSED if c not in ADVISED])
def test_a_message_about_any_other_change_advises_to_do_nothing(change: Change) -> None:
    found = compose(facts(change))
    assert found.action is Action.NOTHING
    assert found.text.splitlines()[1].startswith("WHAT TO DO NOW: NOTHING. ")


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (
            WORDS,
            ("texts are longer (median number of words: 18, usually 9, never above 11 in the 30 "
            "days before)"),
        ),
        (
            replace(WORDS, now=5, extreme=7, days=12),
            ("texts are shorter (median number of words: 5, usually 9, never below 7 in the 12 "
            "days before)"),
        ),
        (
            replace(WORDS, now=5, extreme=4),
            ("texts are shorter (median number of words: 5, usually 9, but down to 4 in the 30 "
            "days before)"),
        ),
        (
            replace(LABEL, usual=0.12, extreme=None, older="1"),
            "more answers are ham (share of ham: 31 %, 12 % with version 1)",
        ),
        (replace(WORDS, usual=None, extreme=None), "texts are longer (median number of words: 18)"),
        (
            replace(LABEL, usual=0.0, extreme=None, now=0.1234),
            "more answers are ham (share of ham: 12.3 %, usually 0 %)",
        ),
    ],
)  # fmt: skip
def test_the_sentence_about_a_number_has_its_usual_and_its_extreme_value(
    moved: Moved, said: str
) -> None:
    assert moved.sentence() == said


anything = st.text(max_size=400)


@given(st.sampled_from(COMPOSED), st.booleans(), anything, anything, anything)
def test_a_message_has_short_plain_lines_for_any_records(
    change: Change, passed: bool, model: str, value: str, words: str
) -> None:
    everything = facts(
        change,
        moved=(replace(LABEL, name=words), WORDS, replace(WORDS, name=value)),
        sources=(Source("customer", value, 0.5, 0.5, new=True), VERSION),
        towards=(words, value), words=(value, words), labels=(Share(value, 0.1, 0.2),),
        score=(0.5, None), hourly=(1, 1),
        deployment=Deployment("model version", value, NOON, words),
        canary=replace(FAILS, passed=passed), unread={"moved": words}, digest=(words,) * 9,
        newer=value, older=words, beside=passed, arrived=Arrived(3, NOON, 9.0, 2.0),
        links={"These predictions": "https://a", "Dashboard": "https://b", "Report": "https://c"},
    )  # fmt: skip
    found = compose(replace(everything, stream=replace(STREAM, model=model, log_group=value)))
    lines = found.text.removesuffix("\n").split("\n")
    assert 2 <= len(lines) <= LINES
    assert all(line.isprintable() and len(line) <= LONGEST for line in lines)
    assert 0 < len(found.subject) <= SUBJECT
    assert found.subject.isascii()
    assert found.subject.isprintable()


FRESH = (
    "https://domain/_dashboards/app/dashboards#/view/prediction-monitor-predictions.prod"
    "?_g=(refreshInterval:(pause:!f,value:5000),time:(from:now-24h,to:now))"
)


def test_links_are_valid_for_any_name_of_a_stream() -> None:
    made = links(FRESH, replace(STREAM, model="a'b\"c &#d"), NOON, NOON + 60)
    assert all(" " not in link and '"' not in link and "&#" not in link for link in made.values())
    assert "from:'2026-11-20T12:00:00.000Z'" in made["These predictions"]
    assert links("", STREAM, NOON, NOON) == {}


@pytest.mark.parametrize("mark", ["", ".prod"])
@pytest.mark.parametrize("tenant", ["", "?security_tenant=team"])
def test_links_lead_to_the_objects_that_the_installer_made(mark: str, tenant: str) -> None:
    view = f"{tenant}#/view/prediction-monitor-predictions{mark}"
    made = links(f"https://domain/_dashboards/app/dashboards{view}?_g=()", STREAM, NOON, NOON + 60)
    dashboard, discover = made["Dashboard"], made["These predictions"]
    assert dashboard.startswith(f"https://domain/_dashboards/app/dashboards{view}?_g=(time:")
    assert discover.startswith(f"https://domain/_dashboards/app/discover{tenant}#/?_g=(time:")
    assert f"index:prediction-monitor-cwl{mark}," in discover


def test_a_link_leads_to_the_report_of_the_day_of_the_window() -> None:
    reports = "https://eu-west-1.console.aws.amazon.com/s3/object/b?region=eu-west-1&prefix="
    start = {"OPENSEARCH_URL": "https://domain", "STACK": "prod"}
    given = settings(start | {"REPORT_URL": reports}).reports
    assert report_link(given, NOON) == {"Report": f"{reports}2026-11-20.html"}
    assert report_link(settings(start).reports, NOON) == {}
    with pytest.raises(ValueError, match="REPORT_URL must be an address that ends with / or ="):
        settings(start | {"REPORT_URL": "https://a b"})


def test_links_begin_with_the_address_from_the_installer() -> None:
    scope = Scope(stack="prod", former=False)
    pages = Dashboards(Server("Dashboards", "https://domain/_dashboards", anonymous), "team")
    given = pages.links(rendered(saved_objects(), scope))
    (address,) = (link for title, link in given.items() if "Predictions" in title)
    start = {"OPENSEARCH_URL": "https://domain", "STACK": "prod", "DASHBOARD_URL": address}
    made = links(settings(start).dashboard, STREAM, NOON, NOON + 60)
    assert "security_tenant=team#/view/prediction-monitor-predictions.prod?" in made["Dashboard"]

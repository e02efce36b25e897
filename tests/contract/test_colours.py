"""Tests that a label has the same colour on every panel of the dashboards and in the report."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installer import settings
from installer.label_colours import PALETTE, coloured, colours, labels
from installer.saved_objects import saved_objects
from report.page import render
from report.plots import by_name
from report.read import read, span
from tests.models.four_labels import LABELS as FOUR
from tools.root import ROOT

CSS = (ROOT / "report" / "page.css").read_text(encoding="utf-8")
LIGHT = dict(re.findall(r"--(c\d): (#[0-9a-f]{6});", CSS.partition("@media")[0]))
CARD = ROOT / "functions" / "inference" / "model" / "card.json"
PANELS = {
    f"prediction-monitor-{name}" for name in ("label-counts", "label-share", "score-histogram")
}


def test_dashboards_and_report_have_the_same_palette() -> None:
    assert tuple(LIGHT.values()) == PALETTE
    assert len(set(PALETTE)) == len(PALETTE)


@pytest.mark.parametrize("names", [FOUR, FOUR[::-1], tuple(f"label {at}" for at in range(12))])
def test_a_label_has_one_colour_everywhere(names: tuple[str, ...]) -> None:
    page = {name: LIGHT[place] for name, place in by_name(names).items()}
    assert page == colours(names)
    assert len({page[name] for name in names}) == min(len(names), len(PALETTE))
    before = {one.id: one for one in saved_objects()}
    after = {name: coloured(one, names) for name, one in before.items()}
    assert {name for name, one in after.items() if one != before[name]} == PANELS
    for name in PANELS:
        assert after[name].attributes["uiStateJSON"]["vis"]["colors"] == page


def test_the_report_draws_four_labels_in_their_colours() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    counted: list[dict[str, Any]] = [
        {"key": name, "doc_count": 5, "scores": {"buckets": []}} for name in FOUR
    ]
    times = [
        {
            "key": (now - timedelta(minutes=10)).timestamp() * 1000,
            "doc_count": 20,
            "labels": {"buckets": counted},
        }
    ]
    answer = {
        "hits": {"total": {"value": 20}, "hits": []},
        "aggregations": {"labels": {"buckets": counted}, "time": {"buckets": times}},
    }
    html = render(read(lambda _: answer, span(now, timedelta(minutes=15))))
    for name, place in by_name(FOUR).items():
        # The first element is in the page's list of labels, the second is in a plot's legend.
        assert f'<i class="{place}"></i><span>{name}</span>' in html
        assert f'<li><i class="{place}"></i>{name} <b>' in html


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("good,bad", ("good", "bad")),
        ("a label, e.mail", ("a label", "e.mail")),
        (str(CARD), tuple(json.loads(CARD.read_text())["labels"])),
    ],
)
def test_the_setting_of_labels_is_a_list_of_names_or_the_card_of_a_model(
    text: str, found: tuple[str, ...]
) -> None:
    variables = {"OPENSEARCH_URL": "https://domain", "STACK": "monitor", "LABELS": text}
    assert settings.read(variables).labels == found


def test_the_deployed_installer_reads_the_card_in_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("installer.label_colours.CARD", tmp_path / "card.json")
    (tmp_path / "card.json").write_text(json.dumps({"labels": list(FOUR)}))
    variables = {"OPENSEARCH_URL": "https://domain", "STACK": "monitor", "LABELS": "*"}
    assert settings.read(variables).labels == FOUR


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,,b", "must be different names of labels, separated by commas"),
        ("a,a", "must be different names of labels, separated by commas"),
        ("no/such/card.json", "cannot be read as a model's card"),
        (str(ROOT / "kibana" / "retention.json"), "cannot be read as a model's card"),
    ],
)
def test_a_wrong_setting_of_labels_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        labels(text)

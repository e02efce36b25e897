from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.installer.conftest import Run, attributes, retitled
from tests.unit.installer.domain import Domain


def test_a_newer_file_replaces_an_object_that_nobody_changed(
    domain: Domain, run: Run, folder: Path
) -> None:
    run("install")
    path = folder / "search" / "datatable.json"
    path.write_text(path.read_text().replace('["text"]', '["text", "prediction.label"]'))
    domain.writes.clear()
    code, output, _ = run("install")
    assert code == 0
    assert output.splitlines()[1:3] == [
        "search datatable: replaced",
        "already up to date: 7 things",
    ]
    assert domain.writes == ["POST /_dashboards/api/saved_objects/_import"]
    assert attributes(domain, "search", "datatable")["columns"] == ["text", "prediction.label"]
    assert run("status")[0] == 0


def described(found: dict[str, Any]) -> None:
    found["description"] = "mine"


def broken(found: dict[str, Any]) -> None:
    found["visState"] = "{"


def scripted(found: dict[str, Any]) -> None:
    found["fields"] = json.dumps([*json.loads(found["fields"]), {"name": "mine", "scripted": True}])


@pytest.mark.parametrize(
    ("kind", "identifier", "change"),
    [
        ("search", "datatable", retitled),
        ("visualization", "labels", described),
        ("visualization", "labels", broken),
        ("dashboard", "predictions", retitled),
        ("index-pattern", "cwl", retitled),
        ("index-pattern", "cwl", scripted),
    ],
)
def test_an_object_changed_by_hand_is_kept_and_named_unless_overwrite_is_given(
    domain: Domain, run: Run, kind: str, identifier: str, change: Callable[[dict[str, Any]], None]
) -> None:
    run("install")
    changed = attributes(domain, kind, identifier)
    change(changed)
    before = dict(changed)
    if change is described:
        changed["title"] = before["title"] = "mine"
    code, output, errors = run("install")
    assert code == 1
    assert f"{kind} {identifier}: changed by hand, kept" in output.splitlines()
    assert f"changed by hand, and kept: {kind} {identifier} (--overwrite replaces it)" in errors
    assert attributes(domain, kind, identifier) == before
    code, output, _ = run("install", "--overwrite")
    assert code == 0
    assert f"{kind} {identifier}: replaced, though changed by hand" in output.splitlines()
    assert run("status")[0] == 0


def test_an_index_pattern_is_replaced_only_if_a_field_of_ours_is_missing(
    domain: Domain, run: Run
) -> None:
    run("install")
    pattern = attributes(domain, "index-pattern", "cwl")
    entries = json.loads(pattern["fields"])
    pattern |= {
        "fields": json.dumps([*entries, {"name": "later"}]),
        "fieldFormatMap": "{}",
        "typeMeta": "{}",
    }
    assert run("status")[0] == 0
    pattern["fields"] = json.dumps(entries[1:])
    assert "index-pattern cwl: changed\n" in run("status")[1]
    run("install")
    assert json.loads(attributes(domain, "index-pattern", "cwl")["fields"]) == entries


def test_install_adds_the_missing_digest_of_an_unchanged_object_that_was_imported_by_hand(
    domain: Domain, run: Run
) -> None:
    run("install")
    attributes(domain, "index-pattern", "cwl")["predictionMonitor"]["digests"].pop(
        "search datatable"
    )
    assert "search datatable: changed\n" in run("status")[1]
    assert run("install")[0] == 0
    assert run("status")[0] == 0


def test_a_default_index_pattern_chosen_by_somebody_is_kept(domain: Domain, run: Run) -> None:
    domain.settings = {"defaultIndex": {"userValue": "theirs"}}
    code, output, _ = run("install")
    assert code == 0
    assert "default index pattern (theirs, chosen by somebody): left alone" in output
    run("remove")
    assert domain.settings == {"defaultIndex": {"userValue": "theirs"}}


def saved_by_kibana(domain: Domain) -> None:
    """Add the attributes that Kibana 7.10 and Dashboards 2.8 add when somebody saves an object."""
    bars = attributes(domain, "visualization", "labels")
    state = json.loads(bars["visState"])
    for aggregation in state["aggs"]:
        if aggregation["type"] == "date_histogram":
            aggregation["params"] |= {
                "timeRange": {"from": "now-15m", "to": "now"},
                "useNormalizedOpenSearchInterval": True, "scaleMetricValues": False,
                "drop_partials": False, "extended_bounds": {},
            }  # fmt: skip
        if aggregation["type"] == "terms":
            aggregation["params"] |= {
                "otherBucket": False,
                "otherBucketLabel": "Other",
                "missingBucket": False,
            }
            aggregation["params"]["missingBucketLabel"] = "Missing"
    bars["visState"] = json.dumps(state, indent=1)
    dashboard = domain.objects["global", "dashboard", "predictions"]
    panels = [
        panel | {"version": "2.8.0"} for panel in json.loads(dashboard["attributes"]["panelsJSON"])
    ]
    dashboard["attributes"] |= {
        "panelsJSON": json.dumps(panels),
        "hits": 0,
        "version": 1,
        "optionsJSON": '{"useMargins":true}',
    }
    search = attributes(domain, "search", "datatable")
    source = json.loads(search["kibanaSavedObjectMeta"]["searchSourceJSON"]) | {
        "highlightAll": True,
        "version": True,
        "filter": [],
    }
    search |= {
        "hits": 0,
        "version": 1,
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }


def test_an_object_that_somebody_saved_unchanged_does_not_count_as_changed_by_hand(
    domain: Domain, run: Run, folder: Path
) -> None:
    path = folder / "visualization" / "labels.json"
    content = json.loads(path.read_text())
    content["attributes"]["visState"]["aggs"] = [
        {
            "id": "1",
            "type": "date_histogram",
            "schema": "segment",
            "params": {"field": "@timestamp", "interval": "auto"},
        },
        {"id": "2", "type": "terms", "schema": "group", "params": {"field": "traffic"}},
    ]
    path.write_text(json.dumps(content))
    run("install")
    saved_by_kibana(domain)
    domain.writes.clear()
    assert run("install")[0] == 0
    assert domain.writes == []
    content["attributes"]["title"] = "Newer"
    path.write_text(json.dumps(content))
    code, output, _ = run("install")
    assert code == 0
    assert "visualization labels: replaced" in output
    state = json.loads(attributes(domain, "visualization", "labels")["visState"])
    state["aggs"][0]["params"]["drop_partials"] = True
    attributes(domain, "visualization", "labels")["visState"] = json.dumps(state)
    assert "visualization labels: changed by hand\n" in run("status")[1]

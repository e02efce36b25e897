"""Test that the saved objects keep the rules of the import API, of Kibana and of Dashboards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installer.evaluate_panel import interval, request, rows, searches
from installer.index_pattern_fields import META, fields
from installer.index_template import index_template
from installer.prefix_and_stack import Scope
from installer.saved_objects import (
    FOLDER,
    STRINGS,
    TYPES,
    SavedObject,
    ndjson,
    packed,
    rendered,
    saved_objects,
    unpacked,
)
from monitor.judgement.judge_windows import SIGNALS
from monitor.judgement.verdict import Verdict
from tools.root import ROOT

OBJECTS = {one.id: one for one in saved_objects()}
FIELDS = {entry["name"]: entry for entry in fields(index_template())}
# the highest versions that all servers accept
MIGRATION_VERSIONS = {
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
    "dashboard": "7.9.3",
}
SHIPPING = {
    f"prediction-monitor-{name}"
    for name in ("kinds", "delay", "rescued", "rescued-documents", "failures")
}
CONTRACT = json.loads((ROOT / "events" / "prediction.json").read_text(encoding="utf-8"))["query"]
LIVE, PREDICTION = CONTRACT["live"], f"{CONTRACT['live']} AND {CONTRACT['prediction']}"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUARTER = (NOON - timedelta(minutes=15), NOON)


def of(*kinds: str) -> list[SavedObject]:
    return [one for one in OBJECTS.values() if one.type in kinds]


def asking(*kinds: str) -> pytest.MarkDecorator:
    asked = [one for one in of(*kinds) if searches(one)]
    return pytest.mark.parametrize("one", asked, ids=lambda one: one.id)


def each(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("one", of(*kinds), ids=lambda one: one.id)


def source(one: SavedObject) -> dict[str, Any]:
    found: dict[str, Any] = one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]
    return found


def query(one: SavedObject) -> str:
    found: str = source(one)["query"]["query"]
    return found


def named(value: Any) -> Iterator[str]:
    """Yield the names of the references in an object's attributes."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith("RefName"):
                yield inner
            else:
                yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)


def used(one: SavedObject) -> Iterator[str]:
    """Yield the fields that a panel queries."""
    yield from fields_of(query(one))
    if one.type == "search":
        yield from one.attributes["columns"]
        yield from (field for field, _ in one.attributes["sort"])
    else:
        for aggregation in aggregations(one):
            params = aggregation["params"]
            yield from (params[name] for name in ("field", "sortField") if name in params)
            for each in params.get("filters", []):
                yield from fields_of(each["input"]["query"])


def fields_of(text: str) -> Iterator[str]:
    """Yield the fields of a Lucene query."""
    yield from re.findall(r"_exists_:([@\w.]+)", text)
    yield from (
        field for field in re.findall(r"([@\w.*]+):", text) if field not in {"_exists_", "*"}
    )


def aggregations(one: SavedObject) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = one.attributes["visState"]["aggs"]
    return found


def test_every_file_of_saved_objects_is_read_as_one_object() -> None:
    assert {f"{one.type}/{one.id}.json" for one in OBJECTS.values()} == {
        str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.*")
    }
    assert {one.type for one in OBJECTS.values()} == set(TYPES)
    assert all(re.fullmatch(r"prediction-monitor-[a-z-]+", each) for each in OBJECTS)


def test_every_object_has_a_title_and_a_description_of_its_own() -> None:
    for name in ("title", "description"):
        values = [one.attributes[name] for one in of("search", "visualization", "dashboard")]
        assert all(values)
        assert len(set(values)) == len(values), name
    assert {one.attributes["title"] for one in of("dashboard")} == {
        f"Prediction Monitor: {name}" for name in ("Predictions", "Drift", "Pipeline")
    }


@each(*TYPES)
def test_the_migration_version_is_one_that_both_products_accept(one: SavedObject) -> None:
    assert one.migration == {one.type: MIGRATION_VERSIONS[one.type]}


@each(*TYPES)
def test_references_exist_and_equal_the_names_in_the_attributes(one: SavedObject) -> None:
    names = [reference["name"] for reference in one.references]
    assert sorted(names) == sorted(named(one.attributes))
    assert len(set(names)) == len(names)
    for reference in one.references:
        assert OBJECTS[reference["id"]].type == reference["type"]


@each(*TYPES)
def test_attributes_that_the_api_wants_as_strings_are_packed_and_unpacked(
    one: SavedObject,
) -> None:
    def strings(value: Any) -> Iterator[tuple[str, Any]]:
        for name, inner in value.items() if isinstance(value, dict) else ():
            if name in STRINGS:
                yield name, inner
            else:
                yield from strings(inner)

    wire = one.wire()["attributes"]
    assert unpacked(wire) == one.attributes
    assert packed(unpacked(wire)) == wire
    assert [name for name, _ in strings(wire)] == [name for name, _ in strings(one.attributes)]
    assert list(strings(wire))
    for _, value in strings(wire):
        assert isinstance(json.loads(value), dict | list)


def test_the_import_has_a_line_per_object_and_referenced_objects_come_first() -> None:
    lines = [json.loads(line) for line in ndjson(saved_objects()).decode().splitlines()]
    assert [line["id"] for line in lines] == list(OBJECTS)
    seen: set[str] = set()
    for line in lines:
        assert line.keys() == {"type", "id", "attributes", "references", "migrationVersion"}
        assert {reference["id"] for reference in line["references"]} <= seen
        seen.add(line["id"])


def test_the_text_of_a_changed_file_is_read_and_imported(tmp_path: Path) -> None:
    for one in of("search"):
        (tmp_path / "search").mkdir(exist_ok=True)
        content = json.loads((FOLDER / "search" / f"{one.id}.json").read_text())
        content["attributes"]["title"] = "Änderung"
        (tmp_path / "search" / f"{one.id}.json").write_text(json.dumps(content))
    assert saved_objects(tmp_path) == [
        replace(one, attributes=one.attributes | {"title": "Änderung"}) for one in of("search")
    ]
    assert "Änderung" in ndjson(saved_objects(tmp_path)).decode()


@asking("search", "visualization")
def test_every_field_that_a_panel_uses_is_in_the_index_template(one: SavedObject) -> None:
    names = list(used(one))
    assert names
    assert not [name for name in names if name not in FIELDS]
    sorted_by = [field for field, _ in one.attributes.get("sort", [])]
    counted = (
        [
            aggregation["params"]["field"]
            for aggregation in aggregations(one)
            if aggregation["type"] not in {"count", "filters", "top_hits"}
        ]
        if not sorted_by
        else []
    )
    assert all(FIELDS[field]["aggregatable"] for field in (*sorted_by, *counted))


@asking("search", "visualization")
def test_every_query_selects_live_traffic_and_the_right_documents(one: SavedObject) -> None:
    """Panels about the shipper (`SHIPPING`) select all kinds of documents.

    Their descriptions say that documents without the field `traffic` are included.
    """
    assert source(one)["query"]["language"] == "lucene"
    assert query(one).startswith(LIVE)
    kinds = re.compile(
        r"\((@kind:\w+ OR )+\((\*:\*|message\.keyword:\w+) AND NOT _exists_:@kind\)\)"
        r"|\(\(@kind:verdict AND monitor\.reference:baseline\) OR @kind:canary\)"
        r"|@kind:(verdict|drift) AND monitor\.reference:baseline|@kind:canary"
        r"|@kind:verdict AND _exists_:monitor\.message\.id"
        r"|@kind:verdict AND monitor\.reference:(labels|profile)"
    )
    assert " OR " not in kinds.sub("", query(one).removeprefix(LIVE))
    # this panel uses the query of a saved search
    based = one.id == "prediction-monitor-label-counts"
    assert bool(kinds.search(query(one))) is not (one.id in SHIPPING or based)
    assert ("documents without the field traffic" in one.attributes["description"]) == (
        one.id in SHIPPING
    )


@asking("visualization")
def test_a_visualization_uses_only_features_of_kibana_7_10_and_dashboards_3(
    one: SavedObject,
) -> None:
    state = one.attributes["visState"]
    assert state["title"] == one.attributes["title"]
    assert {aggregation["type"] for aggregation in state["aggs"]} <= {
        "avg",
        "cardinality",
        "count",
        "date_histogram",
        "filters",
        "max",
        "percentiles",
        "terms",
        "top_hits",
    }
    schemas = {"table": {"bucket"}, "metric": {"group"}}.get(state["type"], {"segment", "group"})
    assert {aggregation["schema"] for aggregation in state["aggs"]} <= {"metric", *schemas}
    ids = [aggregation["id"] for aggregation in state["aggs"]]
    assert len(set(ids)) == len(ids)


@each("visualization")
def test_a_chart_has_a_series_for_each_metric_and_a_title_for_each_axis(one: SavedObject) -> None:
    state = one.attributes["visState"]
    if state["type"] in {"table", "metric", "markdown"}:
        return
    assert state["type"] == state["params"]["type"] in {"histogram", "line"}
    metrics = [
        aggregation["id"] for aggregation in state["aggs"] if aggregation["schema"] == "metric"
    ]
    assert [series["data"]["id"] for series in state["params"]["seriesParams"]] == metrics
    axes = [*state["params"]["categoryAxes"], *state["params"]["valueAxes"]]
    assert all(axis["title"]["text"] for axis in axes)
    assert {axis["labels"]["rotate"] for axis in axes} == {0}


TIMES = {"predictions": "now-24h", "drift": "now-7d", "pipeline": "now-15m"}


@each("dashboard")
def test_a_dashboard_opens_with_its_time_range_and_refreshes(one: SavedObject) -> None:
    attributes = one.attributes
    assert (attributes["timeRestore"], attributes["timeFrom"], attributes["timeTo"]) == (
        True,
        TIMES[one.id.removeprefix("prediction-monitor-")],
        "now",
    )
    assert attributes["refreshInterval"] == {"pause": False, "value": 5000}


@each("dashboard")
def test_a_dashboard_begins_with_links_to_the_others(one: SavedObject) -> None:
    text = OBJECTS[one.references[0]["id"]].attributes["visState"]["params"]["markdown"]
    others = {each.id for each in of("dashboard")} - {one.id}
    assert set(re.findall(r"\(#/view/([^)]+)\)", text)) == others


def test_the_links_of_a_stack_lead_to_its_own_dashboards() -> None:
    made = rendered(of("visualization"), Scope(stack="second", former=False))
    texts = [one.attributes["visState"]["params"].get("markdown", "") for one in made]
    links = [link for text in texts for link in re.findall(r"\(#/view/([^)]+)\)", text)]
    assert sorted(set(links)) == sorted(f"{one.id}.second" for one in of("dashboard"))


@each("dashboard")
def test_panels_fill_the_grid_without_overlap(one: SavedObject) -> None:
    panels = one.attributes["panelsJSON"]
    assert (
        [panel["panelIndex"] for panel in panels]
        == [panel["gridData"]["i"] for panel in panels]
        == [str(n + 1) for n in range(len(panels))]
    )
    assert {panel["version"] for panel in panels} == {"7.10.2"}
    cells = [
        (x, y)
        for grid in (panel["gridData"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells) == 48 * (1 + max(y for _, y in cells))
    assert max(x for x, _ in cells) == 47


# The number of searches in one refresh of each dashboard. docs/kibana.md states these numbers.
REFRESH = {"predictions": 17, "drift": 15, "pipeline": 8}


@each("dashboard")
def test_a_panel_sends_at_most_one_search_which_filters_by_time(one: SavedObject) -> None:
    """A panel must not use a feature of Kibana that needs a second search.

    A histogram of numbers first searches for the least and the greatest value, without a filter by
    time. The bucket "Other" needs a search for its contents. Controls need a search for their
    choices.
    """
    panels = [OBJECTS[reference["id"]] for reference in one.references]
    asked = [panel for panel in panels if searches(panel)]
    assert len(asked) == REFRESH[one.id.removeprefix("prediction-monitor-")]
    for panel in asked:
        filters = request(panel, OBJECTS.values(), QUARTER)["query"]["bool"]["filter"]
        assert [list(each["range"]) for each in filters] == [["@timestamp"]]
        if panel.type == "search":
            continue
        assert panel.attributes["visState"]["type"] in {"histogram", "line", "metric", "table"}
        for aggregation in aggregations(panel):
            assert aggregation["type"] != "histogram", panel.id
            assert not aggregation["params"].get("otherBucket"), panel.id
    document = (ROOT / "docs/kibana.md").read_text(encoding="utf-8")
    name = one.attributes["title"].removeprefix("Prediction Monitor: ")
    assert f"{len(asked)} (*{name}*)" in document


def test_every_panel_but_one_is_on_exactly_one_dashboard() -> None:
    shown = [reference["id"] for one in of("dashboard") for reference in one.references]
    # The saved search *Strangest inputs* is on no dashboard, but the table *Strangest texts* is.
    alone = "prediction-monitor-strangest"
    assert sorted([*shown, alone]) == sorted(one.id for one in of("search", "visualization"))


def test_panels_of_accuracy_say_that_the_model_must_be_calibrated() -> None:
    titles = [one for one in OBJECTS.values() if "accuracy" in one.attributes["title"].lower()]
    assert titles
    for one in titles:
        assert "if the model is calibrated" in one.attributes["description"], one.id


def test_a_name_has_one_colour_on_every_panel_and_labels_have_no_fixed_colour() -> None:
    """Without fixed colours, Kibana colours the labels in the order of their names."""
    colours: dict[str, str] = {}
    for one in of("visualization"):
        for name, colour in one.attributes["uiStateJSON"].get("vis", {}).get("colors", {}).items():
            assert colours.setdefault(name, colour) == colour
    card = json.loads((ROOT / "functions/inference/model/card.json").read_text(encoding="utf-8"))
    assert not colours.keys() & set(card["labels"])
    assert set(SIGNALS) | {str(word) for word in Verdict} <= colours.keys()
    for one in of("dashboard"):
        assert all(panel["embeddableConfig"] == {} for panel in one.attributes["panelsJSON"])
    by_label = [
        aggregation["params"]
        for one in of("visualization")
        for aggregation in aggregations(one)
        if aggregation["params"].get("field") == "prediction.label.keyword"
        and aggregation["type"] == "terms"
    ]
    assert len(by_label) == 4
    assert {(each["orderBy"], each["order"], each["size"]) for each in by_label} == {
        ("_key", "asc", 20)
    }


def test_the_saved_objects_of_the_tutorial_exist() -> None:
    table, bars = (
        OBJECTS["prediction-monitor-datatable"],
        OBJECTS["prediction-monitor-label-counts"],
    )
    assert table.attributes["title"] == "MLOps Datatable"
    assert table.attributes["columns"] == ["text", "prediction.label", "prediction.score"]
    assert table.attributes["sort"] == [["@timestamp", "desc"], ["@position", "desc"]]
    assert bars.references == [{"name": "search_0", "type": "search", "id": table.id}]
    pattern = OBJECTS["prediction-monitor-cwl"]
    assert (pattern.attributes["title"], pattern.attributes["timeFieldName"]) == (
        "cwl-*",
        "@timestamp",
    )
    assert pattern.attributes["fields"] == fields(index_template())


def test_the_list_of_fields_has_the_fields_of_the_template_and_the_metadata_fields() -> None:
    def leaves(properties: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
        for name, mapping in properties.items():
            if "type" in mapping:
                yield path + name, mapping["type"]
            yield from leaves(
                mapping.get("properties", {}) | mapping.get("fields", {}), f"{path}{name}."
            )

    mapped = dict(leaves(index_template()["template"]["mappings"]["properties"]))
    assert {name: entry.get("esTypes") for name, entry in FIELDS.items() if name not in META} == {
        name: [kind] for name, kind in mapped.items()
    }
    assert FIELDS.keys() == mapped.keys() | {"_id", "_index", "_score", "_source"}
    assert list(FIELDS) == sorted(FIELDS)
    for name, kind in mapped.items():
        assert FIELDS[name]["searchable"]
        assert FIELDS[name]["aggregatable"] == FIELDS[name]["readFromDocValues"] == (kind != "text")


@pytest.mark.parametrize("name", ["message", "text", "prediction.label"])
def test_the_entry_of_a_subfield_names_its_parent_field(name: str) -> None:
    assert FIELDS[f"{name}.keyword"]["subType"] == {"multi": {"parent": name}}
    assert "subType" not in FIELDS[name]


@pytest.mark.parametrize(
    ("shown", "bar"),
    [
        (timedelta(minutes=1), timedelta(seconds=1)),
        (timedelta(minutes=5), timedelta(seconds=5)),
        (timedelta(minutes=15), timedelta(seconds=30)),
        (timedelta(minutes=30), timedelta(seconds=30)),
        (timedelta(hours=1), timedelta(minutes=1)),
        (timedelta(hours=24), timedelta(minutes=30)),
        (timedelta(days=7), timedelta(hours=3)),
        (timedelta(days=30), timedelta(hours=12)),
        (timedelta(days=90), timedelta(days=1)),
    ],
)
def test_a_bar_of_a_time_axis_is_as_long_as_in_kibana(shown: timedelta, bar: timedelta) -> None:
    assert interval((NOON - shown, NOON)) == bar


BY_LABEL = {"field": "prediction.label.keyword", "size": 20, "order": {"_key": "asc"}}


def test_a_panel_based_on_a_saved_search_combines_both_queries() -> None:
    asked = request(OBJECTS["prediction-monitor-label-counts"], OBJECTS.values(), QUARTER)
    assert asked == {
        "track_total_hits": True,
        "query": {
            "bool": {
                "must": [
                    {"query_string": {"query": LIVE, "analyze_wildcard": True}},
                    {"query_string": {"query": PREDICTION, "analyze_wildcard": True}},
                ],
                "filter": [
                    {
                        "range": {
                            "@timestamp": {
                                "gte": "2026-11-23T11:45:00+00:00",
                                "lte": "2026-11-23T12:00:00+00:00",
                            }
                        }
                    }
                ],
            }
        },
        "size": 0,
        "aggs": {
            "2": {
                "terms": BY_LABEL,
                "aggs": {"3": {"terms": BY_LABEL}},
            }
        },
    }


def test_buckets_are_nested_in_their_order_with_the_metrics_innermost() -> None:
    asked = request(
        changed(
            "duplicates",
            {"id": "9", "type": "terms", "schema": "group", "params": terms("input.script")},
        ),
        OBJECTS.values(),
        QUARTER,
    )
    assert asked["aggs"] == {
        "2": {
            "date_histogram": {"field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 1},
            "aggs": {
                "9": {
                    "terms": {"field": "input.script", "size": 5, "order": {"_key": "desc"}},
                    "aggs": {"3": {"cardinality": {"field": "input.hash"}}},
                }
            },
        }
    }


def test_an_aggregation_that_is_switched_off_is_not_asked_for() -> None:
    off = {
        "id": "9",
        "enabled": False,
        "type": "terms",
        "schema": "group",
        "params": terms("input.script"),
    }
    assert request(changed("duplicates", off), OBJECTS.values(), QUARTER) == request(
        changed("duplicates"), OBJECTS.values(), QUARTER
    )


@pytest.mark.parametrize("schema", ["metric", "segment"])
def test_the_error_names_the_unknown_aggregation(schema: str) -> None:
    with pytest.raises(ValueError, match=r"the (metric|bucket) geohash_grid is not supported"):
        request(
            changed(
                "latency",
                {"id": "9", "type": "geohash_grid", "schema": schema, "params": {"field": "place"}},
            ),
            OBJECTS.values(),
            QUARTER,
        )


def test_a_panel_without_buckets_has_one_row_if_there_is_an_index() -> None:
    panel = OBJECTS["prediction-monitor-duplicates"]
    state = panel.attributes["visState"]
    metrics = [aggregation for aggregation in state["aggs"] if aggregation["schema"] == "metric"]
    panel = replace(panel, attributes=panel.attributes | {"visState": state | {"aggs": metrics}})
    hits = {"total": {"value": 7, "relation": "eq"}, "hits": []}
    assert rows(panel, {"hits": hits, "aggregations": {"3": {"value": 5}}}) == [(7, 5)]
    assert rows(panel, {"hits": hits}) == rows(panel, {}) == []


@pytest.mark.parametrize(
    ("start", "shown"), [(0, [0, 30]), (1, [30]), (-30, [-30, 0, 30]), (31, [])]
)
def test_bars_that_are_not_wholly_in_the_time_range_are_left_out(
    start: int, shown: list[int]
) -> None:
    span = (NOON + timedelta(seconds=start), NOON + timedelta(seconds=start, minutes=15))
    end = span[1] - timedelta(seconds=29)  # the time step of this bar has not ended
    panel = OBJECTS["prediction-monitor-label-share"]
    moments = [*(NOON + timedelta(seconds=each) for each in (-30, 0, 30)), end]
    times = [
        {"key": each.timestamp() * 1000, "3": {"buckets": [{"key": "a", "doc_count": 1}]}}
        for each in moments
    ]
    answer = {"hits": {"total": {"value": 4}}, "aggregations": {"2": {"buckets": times}}}
    assert len(rows(panel, answer)) == 4
    assert [(row[0] - NOON).total_seconds() for row in rows(panel, answer, span)] == shown


def changed(name: str, *more: dict[str, Any]) -> SavedObject:
    """Return a visualization with further aggregations."""
    panel = OBJECTS[f"prediction-monitor-{name}"]
    state = panel.attributes["visState"]
    aggs = [*state["aggs"], *({"enabled": True} | one for one in more)]
    return replace(panel, attributes=panel.attributes | {"visState": state | {"aggs": aggs}})


def terms(field: str) -> dict[str, Any]:
    return {"field": field, "size": 5, "orderBy": "_key", "order": "desc"}

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from local import charts, terminal_view
from local.cloudwatch import Counts as Filtered

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def shown(part: RenderableType, width: int = 200) -> str:
    page = Console(width=width, file=io.StringIO())
    page.print(part)
    assert isinstance(page.file, io.StringIO)
    return page.file.getvalue()


@pytest.mark.parametrize("text", ["see [1] and [/]", "a [bold]word[/bold]", "[red]"])
def test_brackets_in_a_text_are_not_read_as_markup(text: str) -> None:
    prediction = {"label": "first", "score": 0.5}
    assert text in shown(
        terminal_view.answers(
            [{"text": text, "prediction": prediction, "prediction_id": "[/x]"}], 200
        )
    )
    assert text in shown(
        terminal_view.documents(
            [{"_index": "cwl-1", "_source": {"text": text, "prediction": prediction}}],
            title=text,
            width=200,
            now=NOON,
        )
    )
    assert text in terminal_view.line({"text": text, "prediction": prediction}, NOON)


def test_a_text_cannot_control_the_terminal() -> None:
    text = "clear\x1b[2J and\x9b31m red"
    assert terminal_view.line({"text": text}, NOON).endswith(
        "clear\N{REPLACEMENT CHARACTER}[2J and\N{REPLACEMENT CHARACTER}31m red"
    )


@pytest.mark.parametrize(
    "source",
    [{}, {"prediction": {"label": "fine"}}, {"prediction": {"label": "fine", "score": "high"}}],
)
def test_a_document_with_missing_fields_is_shown_with_its_known_fields(
    source: dict[str, Any],
) -> None:
    assert (
        len(
            shown(
                terminal_view.documents(
                    [{"_index": "cwl-1", "_source": source}], title="documents", width=200, now=NOON
                )
            ).splitlines()
        )
        == 6
    )


def test_a_refused_request_is_shown_with_its_reason() -> None:
    source = {
        "@timestamp": "2026-11-23T12:00:00.123Z",
        "error": {"type": "field-invalid", "status": 422, "field": "sentence"},
    }
    assert terminal_view.line(source, NOON) == "12:00:00  field-invalid  422  -"


@pytest.mark.parametrize(
    ("moment", "time"),
    [
        ("2026-11-23T00:00:00.000Z", "00:00:00"),
        ("2026-11-22T23:59:59.999Z", "2026-11-22 23:59"),
        ("2025-11-23T12:00:00.123Z", "2025-11-23 12:00"),
    ],
)
def test_a_time_of_another_day_is_shown_with_its_date(moment: str, time: str) -> None:
    assert terminal_view.line({"@timestamp": moment}, NOON).split("  ")[0] == time
    assert f" {time} " in shown(
        terminal_view.documents(
            [{"_source": {"@timestamp": moment}}], title="t", width=80, now=NOON
        ),
        80,
    )


SHAPES: list[Any] = [
    {"text": "hf", "prediction": [{"label": "negative", "score": 0.98}]},
    {"text": None, "input": {"flags": None}, "prediction": None},
    {"text": 17, "prediction": {"label": ["a"], "score": 10**400}, "@timestamp": 1795435200123},
    {"text": ["a", {"b": 1}], "prediction": {"label": {"a": 1}, "score": [1]}, "input": ["flags"]},
    {"text": {"a": 1}, "prediction": "none", "input": "none", "@timestamp": ["a"]},
    {"error": ["a", 1]},
    {"error": "connection refused"},
    {"error": None},
    {"error": [{"type": {"a": 1}, "status": [5]}]},
    {"input": {"flags": [None, 1, ["a"], {"b": 2}]}},
    {"input": {"flags": {"a": 1}}},
    {"prediction": [], "error": []},
    {"prediction": [[{"label": "deep"}]]},
    [],
    None,
    "text",
]


@pytest.mark.parametrize("found", SHAPES, ids=str)
def test_a_document_with_unexpected_types_is_shown(found: Any) -> None:
    hit = {"_index": "cwl-1", "_source": found}
    assert (
        len(
            shown(
                terminal_view.documents([hit], title="documents", width=80, now=NOON), 80
            ).splitlines()
        )
        == 6
    )
    assert "\n" not in terminal_view.line(terminal_view.source(hit), NOON)
    assert len(shown(terminal_view.answers([found], 80), 80).splitlines()) == 6
    shown(terminal_view.chart(Counter([terminal_view.label(terminal_view.source(hit))])))


def test_a_hit_without_its_document_is_shown() -> None:
    assert (
        len(
            shown(
                terminal_view.documents(
                    [{"_index": "cwl-1"}], title="documents", width=80, now=NOON
                )
            ).splitlines()
        )
        == 6
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "score", "type", "status", "flags"]), inner)
    ),
    max_leaves=8,
)
names = st.sampled_from(["@timestamp", "text", "prediction", "error", "input", "prediction_id"])


@given(st.dictionaries(names, json_values), st.integers(10, 200))
def test_no_document_controls_the_terminal_or_ends_the_view(
    found: dict[str, Any], width: int
) -> None:
    hit = {"_source": found}
    for page in (
        shown(terminal_view.documents([hit], title="t", width=width, now=NOON)),
        shown(terminal_view.answers([found], width)),
        terminal_view.line(found, NOON),
    ):
        assert all(each.isprintable() or each == "\n" for each in page)


def test_control_characters_are_removed_from_every_field() -> None:
    evil = "\x1b[2J\x9b31m\r\u202e\ud800"
    found = {
        "@timestamp": f"T{evil}",
        "text": evil,
        "prediction": {"label": evil},
        "input": {"flags": [evil]},
        "prediction_id": evil,
    }
    for each in (found, {"error": {"type": evil, "status": evil}}, {"error": evil}):
        page = (
            shown(terminal_view.documents([{"_source": each}], title=evil, width=120, now=NOON))
            + shown(terminal_view.answers([each], 120))
            + terminal_view.line(each, NOON)
        )
        assert all(character.isprintable() or character == "\n" for character in page)


@pytest.mark.parametrize(
    ("now", "time"),
    [(NOON, "12:00:00"), (NOON + timedelta(days=1), "2026-11-23 12:00")],
    ids=["today", "later"],
)
@pytest.mark.parametrize(
    "text",
    ["x" * 500, "word " * 200, "\u4e2d" * 300, "😀" * 300],
    ids=["long", "words", "wide", "emoji"],
)
def test_the_score_is_visible_at_80_columns_with_any_text(
    text: str, now: datetime, time: str
) -> None:
    found: dict[str, Any] = {
        "@timestamp": "2026-11-23T12:00:00.123Z",
        "text": text,
        "prediction": {"label": "a label of a model of somebody's own", "score": 0.98765},
        "prediction_id": "0123456789abcdef" * 2,
        "input": {"flags": ["truncated", "mostly_unknown", "mostly_non_letter", "other_script"]},
    }
    for page in (
        shown(terminal_view.documents([{"_source": found}], title="t", width=80, now=now), 80),
        shown(terminal_view.answers([found], 80), 80),
    ):
        assert len(page.splitlines()) == 6
        assert "0.988" in page
        assert "a label of a mode" in page
    assert time in shown(
        terminal_view.documents([{"_source": found}], title="t", width=80, now=now), 80
    )
    assert found["prediction_id"] in shown(terminal_view.answers([found], 80), 80)


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_text_stays_on_its_line(width: int) -> None:
    source = {
        "@timestamp": "2026-11-23T12:00:00.123Z",
        "text": "The boy sat\n" * 700,
        "prediction": {"label": "second", "score": 0.98},
        "input": {"flags": ["mostly_non_letter"]},
    }
    lines = shown(
        terminal_view.documents(
            [{"_index": "cwl-1", "_source": source}], title="documents", width=width, now=NOON
        ),
        width,
    ).splitlines()
    assert len(lines) == 6
    assert "The boy sat The boy" in lines[4]
    assert "second" in lines[4]


def test_the_bars_of_the_chart_are_in_proportion_to_the_counts() -> None:
    bars = [
        line.count("\u2588")
        for line in shown(terminal_view.chart({"first": 8, "second": 2})).splitlines()
    ]
    assert bars == [0, terminal_view.BAR, terminal_view.BAR // 4]
    assert shown(terminal_view.chart({})).strip() == "Live predictions by label"


def test_the_counts_of_the_filter_are_one_sentence() -> None:
    assert (
        terminal_view.filtered(Filtered(seen=5, passed=2), "{ $.a = 1 }")
        == "log lines: 5 seen, 2 passed, 3 dropped by { $.a = 1 }"
    )


SLOT = int(NOON.timestamp() * 1000) - 60_000  # in the third column from the end


def hostile(body: dict[str, Any]) -> dict[str, Any]:
    """Answer a panel's search. Labels and flags contain markup and an escape sequence."""

    def answered(aggs: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, asked in aggs.items():
            if "percentiles" in asked:
                found[name] = {
                    "values": [
                        {"key": percent, "value": None}
                        for percent in asked["percentiles"]["percents"]
                    ]
                }
            elif "filters" in asked:
                buckets = {key: {"doc_count": 3} for key in asked["filters"]["filters"]}
                found[name] = {"buckets": buckets}
            else:
                key = SLOT if "date_histogram" in asked else "[red]of\x1b[2J[/]"
                found[name] = {
                    "buckets": [{"key": key, "doc_count": 3} | answered(asked.get("aggs", {}))]
                }
        return found

    return {"hits": {"total": {"value": 3}}, "aggregations": answered(body["aggs"])}


@pytest.mark.parametrize(
    "answer",
    [{}, {"hits": {"total": {"value": 0}, "hits": []}}],
    ids=["index not ready", "no index"],
)
def test_a_panel_without_documents_is_shown_as_a_dash(answer: dict[str, Any]) -> None:
    lines = shown(charts.panels(lambda _: answer, NOON)).splitlines()
    assert lines[0] == "Live traffic of the last 15 minutes, 30 s a column"
    assert [line.rstrip()[-1] for line in lines[1:]] == ["-"] * len(charts.DRAWN)


def test_panels_show_names_as_plain_text_and_a_missing_value_as_a_dash() -> None:
    lines = shown(charts.panels(hostile, NOON)).splitlines()
    counts, shares, scores, flags, latency = lines[1:]
    assert all("[red]of\N{REPLACEMENT CHARACTER}[2J[/]" in line for line in (counts, shares, flags))
    assert ("█" * charts.BAR in counts, counts.split()[-1]) == (True, "3")
    assert shares.split()[-2:] == ["█", "100%"]
    assert scores.split()[-1] == "█" * 12
    assert latency.split()[-1] == "-"


def test_a_dash_is_shown_if_the_last_records_have_no_latency() -> None:
    span = (NOON - charts.SHOWN, NOON)
    before, last = NOON - timedelta(minutes=2), NOON - timedelta(minutes=1)
    assert charts.DRAWN["latency"]([(last, None, None, None)], span) == []
    lines = charts.DRAWN["latency"]([(before, 1.0, 2.0, 4.0), (last, None, None, None)], span)
    assert [figure for _, _, figure in lines] == ["-"] * 3
    lines = charts.DRAWN["latency"]([(before, 1.0, 2.0, 4.0), (last, 0.0, 2.0, 4.0)], span)
    assert [figure for _, _, figure in lines] == ["0.0", "2.0", "4.0"]


def test_every_panel_searches_the_last_quarter_of_an_hour() -> None:
    asked: list[dict[str, Any]] = []

    def search(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        return {}

    charts.panels(search, NOON)
    spans = [body["query"]["bool"]["filter"] for body in asked]
    begin = (NOON - timedelta(minutes=15)).isoformat()
    assert spans == [[{"range": {"@timestamp": {"gte": begin, "lte": NOON.isoformat()}}}]] * len(
        charts.DRAWN
    )


@pytest.mark.parametrize(
    ("values", "highest", "drawn"),
    [
        ([0, 1, 4, 8], 8, " ▁▄█"),
        ([0.001, 1000], 1000, "▁█"),
        ([0, 0], 1, "  "),
        ([9], 8, "█"),
        ([], 1, ""),
    ],
)
def test_columns_are_in_proportion_and_only_zero_is_blank(
    values: list[float], highest: float, drawn: str
) -> None:
    assert charts.spark(values, highest) == drawn

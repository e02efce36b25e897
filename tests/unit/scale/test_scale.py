"""Tests the resources that a rate of log lines needs, and the rates that reach a limit.

Resources are concurrency, shards, nodes and cost. The expected figures were calculated by hand.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cost import estimate
from cost import prices as cost_prices
from local.template import load
from scale import __main__ as command
from scale import figures, needs
from scale import limits as scale_limits
from scale.backlog import backlog
from scale.limits import Limit
from scale.needs import Way
from tools.errors import UserError
from tools.root import ROOT

LIMITS = scale_limits.read()
PRICES = {**cost_prices.read(), **cost_prices.read(scale_limits.PRICES)}
RESOURCES = load()["Resources"]
PARAMETERS = load()["Parameters"]
PAGE = (ROOT / "docs" / "scale.md").read_text()
# The processor time of an invocation in microseconds, by its number of lines. A function of 1,024
# MB has 0.5789 of a processor, so 1 ms of processor time takes 1.727 ms. The domain answers after
# 50 ms, plus 0.276 ms for each line. So an invocation with 1 line lasts 1.727 + 50 + 0.276 ms =
# 52.00 ms, and an invocation with 20 lines lasts 3.455 + 50 + 5.52 ms = 58.97 ms.
PROCESSOR = {1: 1_000.0, 20: 2_000.0}
ONE, TWENTY = Way(1, processor=PROCESSOR), Way(20, processor=PROCESSOR)


@pytest.mark.parametrize(
    ("way", "seconds"), [(ONE, 0.05200), (TWENTY, 0.05897)], ids=["1 line", "20 lines"]
)
def test_an_invocation_lasts_as_long_as_calculated_by_hand(way: Way, seconds: float) -> None:
    assert way.invocation(way.lines) == pytest.approx(seconds, rel=1e-3)


@pytest.mark.parametrize(("at", "value"), [(1, 10), (3, 20), (5, 30), (10, 30), (15, 30), (0, 5)])
def test_a_value_between_or_beyond_the_measured_points_is_estimated_from_them(
    at: float, value: float
) -> None:
    assert figures.between({1: 10, 5: 30, 10: 30}, at) == pytest.approx(value)


def test_the_processor_times_are_those_of_the_bench() -> None:
    found = figures.processor_microseconds()
    rows = {row["name"]: row["value"] for row in json.loads(figures.RESULTS.read_text())["rows"]}
    assert found[1] == rows["an invocation, 1 record: handler / floor"]
    assert found[20] == 20 * rows["an invocation, 20 records: handler / floor"]
    assert sorted(found) == sorted(figures.PAYLOAD_BYTES)


@pytest.mark.parametrize(
    ("rate", "way", "usual", "in_outage"),
    [
        (1_000, ONE, 52.0, 60_000),
        (1_000, TWENTY, 2.95, 3_000),
        # an invocation waits for at most 120 s, its time limit
        (1_000, replace(TWENTY, outage=3_600), 2.95, 6_000),
        (1_000, replace(TWENTY, outage=0), 2.95, 2.95),
    ],
)
def test_the_concurrency_equals_the_calculation_by_hand(
    rate: float, way: Way, usual: float, in_outage: float
) -> None:
    found = needs.direct(rate, way, PRICES)
    assert found.concurrency == pytest.approx(usual, rel=0.01)
    assert found.concurrency_in_outage == pytest.approx(in_outage, rel=0.01)


def test_the_cost_of_invocations_equals_the_calculation_by_hand() -> None:
    # 100 requests a second for 2,628,000 s are 262.8 million requests, which cost 52.56 USD. Each
    # takes 0.0520 s with 1 GB. Together these are 13.666 million GB-seconds, which cost 227.76 USD.
    assert needs.direct(100, ONE, PRICES).usd == pytest.approx(280.3, rel=0.002)


@pytest.mark.parametrize(
    ("rate", "way", "shards"),
    [
        (10, ONE, 4),  # a new stream has four
        (4_000, ONE, 4),
        (4_001, ONE, 5),  # a shard accepts 1,000 records a second
        (17_700, TWENTY, 4),
        (18_000, TWENTY, 5),  # 20 lines are 4,505 bytes, so a shard accepts 4,440 lines a second
    ],
)
def test_the_shards_equal_the_calculation_by_hand(rate: float, way: Way, shards: int) -> None:
    assert needs.kinesis(rate, way, PRICES, LIMITS).shards == shards


def test_the_cost_of_the_stream_equals_the_calculation_by_hand() -> None:
    # The stream costs 29.20 USD. Writing 100 x 1,024 bytes x 2,628,000 s = 269.1 GB into it costs
    # 21.53 USD, and reading 188.7 GB costs 7.55 USD. 4 invocations a second with 25 lines each are
    # 10.512 million invocations, which cost 2.10 USD. Each takes 61 ms. Together these are 0.639
    # million GB-seconds, which cost 10.6 USD.
    assert needs.kinesis(100, ONE, PRICES, LIMITS).usd == pytest.approx(71.0, rel=0.01)


@pytest.mark.parametrize(
    ("rate", "instance", "nodes", "by_template"),
    [(10, "t3.small.search", 1, True), (1_000, "r8g.xlarge.search", 4, True)],
)
def test_the_domain_holds_the_documents(
    rate: float, instance: str, nodes: int, *, by_template: bool
) -> None:
    found = needs.domain(rate, ONE, PRICES)
    assert (found.instance, found.nodes, found.by_template) == (instance, nodes, by_template)
    data = rate * 86_400 * 31 * 1_686 * (1 if nodes == 1 else 2) / nodes / 2**30
    assert found.gib == estimate.volume_gib(data)


def test_a_disk_of_exactly_the_largest_size_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = needs.domain(10, ONE, PRICES)
    processors, _ = figures.INSTANCES[found.instance]
    exact = {**figures.INSTANCES, found.instance: (processors, found.gib)}
    monkeypatch.setattr(figures, "INSTANCES", exact)
    assert needs.domain(10, ONE, PRICES) == found


def test_a_domain_that_the_template_cannot_make_is_marked() -> None:
    assert not needs.domain(10_000, ONE, PRICES).by_template
    with pytest.raises(UserError, match="large enough for 1,000,000/s"):
        needs.domain(1_000_000, ONE, PRICES)


def test_shorter_retention_does_not_reduce_the_processors() -> None:
    # Each of 10,000 events a second is indexed twice, and takes 276 us each time. So 5.52
    # processors are busy. Only half of a domain's processors may be busy, so it needs 11.04.
    found = needs.domain(10_000, replace(ONE, days=1), PRICES)
    assert figures.INSTANCES[found.instance][0] * found.nodes >= 11.04


@pytest.mark.parametrize(
    ("limit", "direct", "kinesis"),
    [
        ("10 executions at once (a new account), in an outage of the domain", 1 / 6, None),
        ("1,000 executions at once (the usual quota), while the domain answers", 19_231, None),
        ("the write rate of a new on-demand stream", None, 4_000),
        ("50 GiB in the index of a day", 368.6, 368.6),  # 53.69 GB / (86,400 s x 1,686 bytes)
        ("documents in a shard (Lucene)", 24_855, 24_855),
        ("one invocation at a time for each shard", None, None),
    ],
)
def test_the_rate_that_reaches_a_limit_equals_the_calculation_by_hand(
    limit: str, direct: float | None, kinesis: float | None
) -> None:
    [found] = [one for one in needs.met(ONE, LIMITS) if one.limit == limit]
    assert found.direct == (direct and pytest.approx(direct, rel=0.001))
    assert found.kinesis == (kinesis and pytest.approx(kinesis, rel=0.001))


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_has_a_unit_a_source_and_a_date_and_changes_a_figure(name: str) -> None:
    limit = LIMITS[name]
    assert limit.value > 0
    assert limit.unit
    assert limit.source.startswith("https://")
    assert limit.seen >= date(2026, 1, 1)
    other = {**LIMITS, name: replace(limit, value=limit.value * 2)}
    assert _said(LIMITS) != _said(other), "no figure depends on this limit"


def _said(limits: dict[str, Limit]) -> list[Any]:
    return [
        [needs.met(way, limits), needs.kinesis(50_000, way, PRICES, limits)]
        for way in (ONE, TWENTY)
    ]


@pytest.mark.parametrize("name", cost_prices.read(scale_limits.PRICES))
def test_every_price_has_a_source_and_is_needed(name: str) -> None:
    price = PRICES[name]
    assert price.usd > 0
    assert price.source
    assert price.seen >= date(2026, 1, 1)
    dearer = {**PRICES, name: replace(price, usd=price.usd * 2)}
    bills = [
        [
            (needs.kinesis(rate, ONE, known, LIMITS).usd, needs.domain(rate, ONE, known).usd)
            for rate in command.RATES
        ]
        for known in (PRICES, dearer)
    ]
    assert bills[0] != bills[1]


def test_figures_that_come_from_the_template_equal_the_template() -> None:
    assert tuple(PARAMETERS["DomainInstanceCount"]["AllowedValues"]) == needs.NODES
    assert PARAMETERS["DomainVolumeGiB"]["MaxValue"] == needs.LARGEST_GIB
    _, _, direct = RESOURCES["ShipperFunction"]["Properties"]["Timeout"]["Fn::If"]
    assert direct == needs.SHIPPER_SECONDS
    settings = json.loads((ROOT / "kibana/index_template.json").read_text())["template"]["settings"]
    assert settings["index.number_of_shards"] == 1
    mapping = RESOURCES["StreamMapping"]["Properties"]
    assert mapping["BatchSize"] == needs.BATCH_RECORDS
    assert mapping["MaximumBatchingWindowInSeconds"] == needs.WINDOW_SECONDS
    assert "ParallelizationFactor" not in mapping


@pytest.mark.parametrize(
    ("given", "events", "seconds"),
    [
        ((2_000, 60, 6_000, 0), 120_000, 30),
        ((2_000, 60, 6_000, 20), 160_000, 60),
        ((100, 0, 200, 0), 0, 0),
    ],
)
def test_a_backlog_equals_the_calculation_by_hand(
    given: tuple[float, float, float, float], events: float, seconds: float
) -> None:
    assert backlog(*given) == pytest.approx((events, seconds))


def test_a_backlog_that_would_never_be_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="2,000 events a second come, and only 1,500"):
        backlog(2_000, 60, 1_500)


def test_the_page_has_the_tables_that_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main([]) == 0
    for table in capsys.readouterr().out.strip().split("\n\n"):
        assert table in PAGE


def test_the_option_write_replaces_changed_tables_in_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "scale.md"
    page.write_text(PAGE.replace("| 10,000 |", "| 9,999 |").replace("| 4,000 |", "| 3,999 |"))
    monkeypatch.setattr(command, "PAGE", page)
    assert command.main(["--write"]) == 0
    assert page.read_text() == PAGE


def test_the_page_states_the_assumptions_of_the_command() -> None:
    text = " ".join(PAGE.split())
    for said in (
        f"three times: {figures.DOMAIN_MS} ms for the domain's answer",
        f"and {figures.INDEX_MICROSECONDS} µs of the domain's processor time for each line",
        f"A document takes {estimate.DOCUMENT_BYTES:,} bytes",
        f"{figures.PAYLOAD_BYTES[1]:,} bytes for 1 line",
        f"{figures.PAYLOAD_BYTES[20]:,} bytes for 20",
        f"at most {needs.BATCH_RECORDS} records",
        f"Documents stay for {estimate.INDEX_RETENTION_DAYS} days",
        f"up to its time limit of {needs.SHIPPER_SECONDS} s",
    ):
        assert said in text


def test_the_command_shows_every_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--limits"]) == 0
    shown = capsys.readouterr().out
    assert all(limit.source in shown for limit in LIMITS.values())


@pytest.mark.parametrize("given", [["--rates", "0"], ["--lines", "x"], ["--days", "-3"]])
def test_a_number_that_is_not_positive_is_refused(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(given)
    assert ended.value.code == 2
    assert "must be a whole number above 0" in capsys.readouterr().err


def test_a_rate_that_is_too_high_for_every_domain_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--rates", "200000", "--lines", "20"]) == 1
    assert "large enough for 200,000/s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["[a]\nvalue = 1\nunit = 'x'\nseen = 2026-01-01", "[a]\nnothing = 1", "a = ["]
)
def test_a_limit_without_its_source_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="each limit has value, unit, source and seen"):
        scale_limits.read(path)

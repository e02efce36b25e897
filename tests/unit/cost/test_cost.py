"""Tests the cost of the stack.

Each line of the bill is compared with a figure that was calculated by hand. The counts are compared
with template.yaml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cost import __main__ as command
from cost import estimate, prices
from cost.estimate import SIZES, Line, Size
from cost.prices import Price
from inference.metrics import UNITS
from local.template import load
from monitor.judgement.verdict import Verdict
from shipper import report
from tools.errors import UserError
from tools.root import ROOT

KNOWN = prices.read()
SMALL, MEDIUM, LARGE = SIZES
RESOURCES = load()["Resources"]
PARAMETERS = load()["Parameters"]
NAMES = [size.name for size in SIZES]

# Each entry has a size, a line of the bill, and the dollars of this line, calculated by hand for a
# month of 365 / 12 days. The comment beside or above an entry shows the calculation. A number after
# a colon gives the dollars for the quantity before the colon.
BY_HAND: list[tuple[Size, str, float]] = [
    (SMALL, "OpenSearch: instances", 26.28),  # 0.036 x 730
    (SMALL, "OpenSearch: disk", 1.22),  # 0.122 x 10
    (MEDIUM, "OpenSearch: instances", 286.16),  # 0.196 x 2 x 730
    (MEDIUM, "OpenSearch: disk", 24.40),  # 0.122 x 200
    (LARGE, "OpenSearch: instances", 572.32),  # 0.196 x 4 x 730
    (LARGE, "OpenSearch: disk", 366.00),  # 0.122 x 3,000
    (SMALL, "Lambda: inference", 0.162),  # 304,167 requests: 0.0608; 6,083 GB-s: 0.1014
    (MEDIUM, "Lambda: inference", 16.22),
    (LARGE, "Lambda: inference", 324.44),
    # 304,167 requests: 0.0608; 304,167 x 51 ms x 1 GB = 15,512.5 GB-s: 0.2585
    (SMALL, "Lambda: shipper", 0.319),
    # 6,083,333 requests: 1.2167; 6,083,333 x 55 ms x 1 GB = 334,583 GB-s: 5.5764
    (MEDIUM, "Lambda: shipper", 6.793),
    # 30,416,667 requests: 6.0833; 30,416,667 x 70 ms x 1 GB = 2,129,167 GB-s: 35.486
    (LARGE, "Lambda: shipper", 41.57),
    # 2,920 requests: 0.0006; 2,920 x 2 s x 2 GB = 11,680 GB-s: 0.1947
    (SMALL, "Lambda: replay", 0.1952),
    # 2,920 requests: 0.0006; 2,920 x 3 s x 1 GB = 8,760 GB-s: 0.1460
    (SMALL, "Lambda: monitor", 0.1466),
    # Canary: 2,920 requests: 0.0006; 2,920 x 3 s x .5 GB = 4,380 GB-s: 0.0730
    # Inference: 5,840 requests: 0.0012; 116,800 predictions x 20 ms x 1 GB = 2,336 GB-s: 0.0389
    # Log lines: 116,800 predictions x (844 + 26) bytes = 0.1016 GB: 0.0508
    (SMALL, "Lambda: canary", 0.1645),
    # 2,920 requests: 0.0006; 2,920 x 1.5 s x .25 GB = 1,095 GB-s: 0.0182
    (SMALL, "Lambda: messenger", 0.0188),
    (SMALL, "API Gateway", 0.304),
    (MEDIUM, "API Gateway", 30.42),
    (LARGE, "API Gateway", 577.50),  # 300 million: 300; 308.33 million x 0.90: 277.50
    # The bytes of each line are in estimate.py.
    # 304,167 x (1,493 + 5 x 26 + 290 + 26 + 1,008 + 4 x 26) = 0.9280 GB
    (
        SMALL,
        "CloudWatch: log lines",
        0.4640,
    ),
    (MEDIUM, "CloudWatch: log lines", 32.87),  # 30,416,667 x 1,939 + 6,083,333 x 1,112 = 65.743 GB
    # 608,333,333 x 1,939 + 30,416,667 x 1,112 = 1,213.38 GB
    (
        LARGE,
        "CloudWatch: log lines",
        606.69,
    ),
    (LARGE, "CloudWatch: log kept", 2.5132),  # 1,213.38 / 30.4167 x 14 x 0.15 = 83.77 GB
    # 36 metrics x 0.30; 33 metrics of alarms x 0.10; a dashboard: 3
    (SMALL, "CloudWatch: metrics, alarms", 17.10),
    (SMALL, "Secrets Manager", 0.80),
    (LARGE, "Answers to the internet", 27.375),  # 608,333,333 x 500 = 304.17 GB
    (SMALL, "S3 and SNS", 0.0312),  # 5,840 LIST requests x 0.000005 + 100 mails x 0.00002
]


def line(size: Size, what: str, known: dict[str, Price] = KNOWN) -> Line:
    (found,) = [each for each in estimate.bill(size, known) if each.what == what]
    return found


@pytest.mark.parametrize(
    ("size", "what", "usd"), BY_HAND, ids=[f"{size.name}: {what}" for size, what, _ in BY_HAND]
)
def test_a_line_equals_the_calculation_by_hand(size: Size, what: str, usd: float) -> None:
    assert line(size, what).usd == pytest.approx(usd, rel=0.002)


def test_every_line_is_calculated_by_hand() -> None:
    assert {what for _, what, _ in BY_HAND} == {each.what for each in estimate.bill(LARGE, KNOWN)}


@pytest.mark.parametrize(
    ("size", "usd"), [(SMALL, 47.25), (MEDIUM, 417.1), (LARGE, 2537.1)], ids=NAMES
)
def test_the_sum_equals_the_calculation_by_hand(size: Size, usd: float) -> None:
    assert command.total(estimate.bill(size, KNOWN)) == pytest.approx(usd, rel=0.002)


def test_the_cost_of_the_report_equals_the_calculation_by_hand() -> None:
    # 2,920 requests: 0.0006; x 4 s x .5 GB = 5,840 GB-s: 0.0973; 2,920 PUTs: 0.0146; an alarm: 0.10
    assert estimate.report(KNOWN).usd == pytest.approx(0.2125, rel=0.002)
    said = "`Report=true` adds < 1 USD a month for function, bucket and alarm."
    assert command.with_report(KNOWN) == said


@pytest.mark.parametrize(
    ("size", "usd"),
    [
        # 730 hours: 29.20; an alarm: 0.10; 304,167 x 1,024 bytes = 0.311 GB x 0.12: 0.04
        (SMALL, 29.34),
        (MEDIUM, 30.80),  # 6,083,333 x 2,048 bytes = 12.46 GB
        (LARGE, 47.99),  # 30,416,667 x 5,120 bytes = 155.73 GB
    ],
    ids=NAMES,
)
def test_the_cost_of_a_stream_equals_the_calculation_by_hand(size: Size, usd: float) -> None:
    assert estimate.stream(size, KNOWN).usd == pytest.approx(usd, rel=0.002)


def test_the_cost_of_feedback_equals_the_calculation_by_hand() -> None:
    # 1,000,000 requests: 1.00; invocations: 0.20; x 7 ms x 1 GB: 0.1167; x 1,228 bytes: 0.614
    assert estimate.feedback(1_000_000, KNOWN).usd == pytest.approx(1.931, rel=0.002)
    said = "1,000,000 labels by `POST /feedback`, one in each request, cost 2 USD."
    assert command.with_feedback(KNOWN) == said


@pytest.mark.parametrize("name", KNOWN)
def test_every_price_has_a_unit_a_source_and_a_day(name: str) -> None:
    price = KNOWN[name]
    assert price.usd > 0
    assert price.unit.strip()
    assert price.source.strip()
    assert price.seen >= date(2026, 1, 1)


@pytest.mark.parametrize("name", KNOWN)
def test_a_higher_price_changes_a_sum(name: str) -> None:
    dearer = {**KNOWN, name: replace(KNOWN[name], usd=KNOWN[name].usd * 2)}
    sums = [
        [command.total(estimate.bill(size, known)) for size in SIZES]
        + [estimate.endpoint(1, known), estimate.stream(LARGE, known).usd]
        for known in (KNOWN, dearer)
    ]
    assert sums[0] != sums[1]


def test_a_quantity_for_which_no_price_is_known_is_an_error() -> None:
    with pytest.raises(UserError, match="has the price only for up to 10,240"):
        estimate.log(replace(LARGE, predictions_a_day=200_000_000), KNOWN)


@pytest.mark.parametrize(
    "text",
    ["[a]\nusd = 1.0\nunit = 'x'\nseen = 2026-01-01", "[a]\nnothing = 1", "a = ["],
    ids=["no source", "unknown key", "no TOML"],
)
def test_an_invalid_file_of_prices_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="each price has usd, unit, source and seen"):
        prices.read(path)


def of_type(kind: str) -> list[dict[str, Any]]:
    return [resource["Properties"] for resource in RESOURCES.values() if resource["Type"] == kind]


def metrics_of_alarms() -> int:
    """Count the metrics of all alarms that every stack has.

    An alarm has one metric, or several if it watches the result of a calculation. A query counts as
    one metric. The conditions in `extra` belong to alarms that not every stack has.
    """
    extra = {"HasLogGroups", "MakesReports", "AlarmsOfAccuracy", "HasStream"}
    found = [each for each in RESOURCES.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    alarms = [each["Properties"] for each in found if each.get("Condition") not in extra]
    return sum(
        sum(1 for part in alarm["Metrics"] if "MetricStat" in part or "SELECT" in str(part))
        if "Metrics" in alarm
        else 1
        for alarm in alarms
    )


def custom_metrics() -> int:
    """Count the different metrics of all functions, found in their code by name."""
    canary = (ROOT / "functions/monitor/monitor/canary_handler.py").read_text()
    names = {("canary", name) for name in re.findall(r'add_metric\(\s*"(\w+)"', canary)}
    names |= {("inference", name) for name in UNITS}
    names |= {("shipper", name) for name in report.METRICS}
    replay = (ROOT / "functions/shipper/shipper/replay.py").read_text()
    counted = re.search(r"COUNTED: Final = \((.*)\)", replay)
    assert counted
    names |= {("replay", name) for name in re.findall(r'"(\w+)"', counted[1])}
    names |= {("replay", name) for name in re.findall(r'metrics\["(\w+)"\]', replay)}
    monitor = (ROOT / "functions/monitor/monitor/handler.py").read_text()
    names |= {("monitor", name) for name in re.findall(r'add_metric\(\s*"(\w+)"', monitor)}
    assert re.search(r'for word in Verdict:\s+metrics\.add_metric\(\s*f"Streams\{', monitor)
    names |= {("monitor", word) for word in Verdict}
    return len(names)


@pytest.mark.parametrize(
    ("counted", "figure"),
    [
        (metrics_of_alarms, estimate.ALARM_METRICS),
        (custom_metrics, estimate.CUSTOM_METRICS),
        (lambda: len(of_type("AWS::CloudWatch::Dashboard")), estimate.DASHBOARDS),
        (lambda: len(of_type("AWS::SecretsManager::Secret")), estimate.SECRETS),
        (lambda: PARAMETERS["LogRetentionDays"]["Default"], estimate.LOG_RETENTION_DAYS),
        (
            lambda: int(re.findall(r"(\d+)d", (ROOT / "kibana/retention.json").read_text())[0]),
            estimate.INDEX_RETENTION_DAYS,
        ),
    ],
    ids=["alarms", "custom metrics", "dashboards", "secrets", "log retention", "index retention"],
)
def test_a_figure_equals_its_source_in_the_repository(
    counted: Callable[[], int], figure: int
) -> None:
    assert counted() == figure


def test_memory_and_schedule_equal_the_template() -> None:
    for name, memory in estimate.MEMORY_GB.items():
        assert (
            RESOURCES[f"{name.capitalize()}Function"]["Properties"]["MemorySize"] == memory * 1024
        )
    assert (
        RESOURCES["MonitorFunction"]["Properties"]["Events"]["Judge"]["Properties"]["Schedule"]
        == "rate(15 minutes)"
    )
    assert (
        PARAMETERS["ReplaySchedule"]["Default"] == f"rate({60 // estimate.REPLAYS_AN_HOUR} minutes)"
    )


def test_a_line_of_the_access_log_is_as_long_as_assumed() -> None:
    filled = {
        "requestId": "JKJaXmPLvHcESHA=",
        "requestTime": "24/Nov/2026:12:00:00 +0000",
        "httpMethod": "POST",
        "path": "/predict",
        "status": "200",
        "responseLatency": "38",
        "responseLength": "248",
        "identity.sourceIp": "192.0.2.123",
        "identity.userArn": "arn:aws:sts::000000000000:assumed-role/"
        "the-role-of-a-caller/its-session-0123456789",
        "error.message": "-",
    }
    written = re.sub(
        r"\$context\.([\w.]+)",
        lambda found: filled[found[1]],
        RESOURCES["ApiStage"]["Properties"]["AccessLogSettings"]["Format"],
    )
    assert len(json.loads(written)) == len(filled)
    assert len(written) == pytest.approx(estimate.API_LOG_BYTES, rel=0.05)


def test_the_sample_record_has_50_to_70_percent_of_the_logged_bytes_of_a_request() -> None:
    record = json.loads((ROOT / "events/record.prediction.json").read_text())
    assert 0.5 < len(json.dumps(record, separators=(",", ":"))) / estimate.INFERENCE_LOG_BYTES < 0.7


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_template_accepts_each_size_and_each_disk_is_large_enough(size: Size) -> None:
    assert size.instance in KNOWN
    assert re.fullmatch(PARAMETERS["DomainInstanceType"]["AllowedPattern"], size.instance)
    assert size.instances in PARAMETERS["DomainInstanceCount"]["AllowedValues"]
    assert (
        PARAMETERS["DomainVolumeGiB"]["MinValue"]
        <= size.volume_gib
        <= PARAMETERS["DomainVolumeGiB"]["MaxValue"]
    )
    assert estimate.least_volume_gib(size) <= size.volume_gib


@pytest.mark.parametrize(
    ("instances", "a_day", "gib", "least"),
    [
        # 1,000,000 documents a day x 31 days x 1,686 bytes = 48.68 GiB. Half of a disk is usable,
        # because Linux takes 5 % and AWS 20 %, and 25 % must stay free.
        (1, 1_000_000, 48.68, 98),
        (2, 1_000_000, 48.68, 98),  # each document is stored twice, on two nodes
        (4, 20_000_000, 486.8, 724),  # on large disks AWS takes only 20 GiB: (486.8 + 20) / 0.7
    ],
)
def test_the_disk_equals_the_calculation_by_hand(
    instances: int, a_day: int, gib: float, least: int
) -> None:
    size = replace(LARGE, instances=instances, predictions_a_day=a_day)
    assert estimate.index_gib(size) == pytest.approx(gib, rel=0.001)
    assert estimate.least_volume_gib(size) == least


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0, "0"), (0.01, "< 1"), (0.99, "< 1"), (1, "1"), (1.49, "1"), (1.51, "2"), (2687.6, "2,688")],
)
def test_dollars_are_shown_without_cents(usd: float, shown: str) -> None:
    assert command.dollars(usd) == shown


def test_the_command_shows_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    assert all(
        f"{size.name}: {size.predictions_a_day:,} predictions a day" in shown for size in SIZES
    )
    assert command.main(["--prices"]) == 0
    assert all(
        price.source in shown for shown in [capsys.readouterr().out] for price in KNOWN.values()
    )


def test_a_size_that_a_user_gives_is_calculated_like_the_three_sizes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    medium = SIZES[1]
    given = [
        "--instance",
        medium.instance,
        "--instances",
        "2",
        "--volume",
        str(medium.volume_gib),
        "--lines",
        str(medium.lines_a_payload),
    ]
    assert command.main(["--predictions", str(medium.predictions_a_day), *given]) == 0
    shown = capsys.readouterr().out
    assert "own: 1,000,000 predictions a day" in shown
    assert command.dollars(command.total(estimate.bill(medium, KNOWN))) in shown
    assert f"needs a disk of at least {estimate.least_volume_gib(medium)} GiB" in shown


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--predictions", "0"], "must be at least 1"),
        (
            ["--predictions", "5", "--instance", "m1.huge.search"],
            "there is no price for m1.huge.search; there are prices for t3.small.search",
        ),
    ],
)
def test_an_invalid_size_is_refused(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(given) == 1
    assert sentence in capsys.readouterr().err


def test_unreadable_prices_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> dict[str, Price]:
        raise UserError("prices.toml: a reason")

    monkeypatch.setattr(prices, "read", nothing)
    assert command.main([]) == 1
    assert capsys.readouterr().err == "python -m cost: prices.toml: a reason\n"


def test_the_deployment_page_has_the_table_that_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["--markdown"]) == 0
    assert capsys.readouterr().out in (ROOT / "docs/deploy.md").read_text()

"""Tests that the runbook has an entry for each alarm, and no other entries."""

from __future__ import annotations

import re
from typing import Any

import pytest

from local.template import load
from tools.root import ROOT

TEMPLATE = load()["Resources"]
ALARMS = {
    name: resource["Properties"]
    for name, resource in TEMPLATE.items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}
SECTIONS = dict(
    re.findall(
        r"^## (.+)\n((?:(?!## ).*\n)*)", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE
    )
)
ENTRIES = {name: text for name, text in SECTIONS.items() if name.endswith("Alarm")}
COMMAND = re.compile(r"`(?:logs|aws|curl|\.venv/bin/\S+) [^`]+`|Discover `[^`]+`")


def metrics(alarm: dict[str, Any]) -> set[str]:
    """Return the names of all metrics of an alarm.

    An alarm has a metric, an expression of several metrics, or a query.
    """
    if "MetricName" in alarm:
        return {alarm["MetricName"]}
    found: set[str] = set()
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            found.add(query["MetricStat"]["Metric"]["MetricName"])
        found |= set(re.findall(r"SELECT \w+\((\w+)\)", str(query.get("Expression", ""))))
    return found


def test_the_runbook_has_every_alarm_in_the_order_of_the_template() -> None:
    assert list(ENTRIES) == list(ALARMS)


@pytest.mark.parametrize("name", ALARMS)
def test_an_entry_names_its_metric_and_a_command(name: str) -> None:
    entry = ENTRIES[name]
    watched = metrics(ALARMS[name])
    assert watched
    assert [metric for metric in watched if f"`{metric}`" not in entry] == []
    assert COMMAND.search(entry)
    assert len(entry.strip().splitlines()) >= 3


@pytest.mark.parametrize("name", ALARMS)
def test_an_entry_says_whether_its_alarm_rolls_a_deployment_back(name: str) -> None:
    (preference,) = (
        resource["Properties"]["DeploymentPreference"]
        for resource in TEMPLATE.values()
        if "DeploymentPreference" in resource.get("Properties", {})
    )
    _, gradual, _ = preference["Alarms"]["Fn::If"]
    back = {"Ref": name} in gradual
    entry = " ".join(ENTRIES[name].split())
    assert ("**Rolls back a deployment**" in entry, "Rolls back no deployment." in entry) == (
        back,
        not back,
    )


@pytest.mark.parametrize("name", ALARMS)
def test_an_entry_of_a_conditional_alarm_says_when_the_alarm_exists(name: str) -> None:
    said = {
        "CreatesDomain": "Exists only for the stack's own domain.",
        "ExpectsPredictions": "Does not exist if `NoPredictionsMinutes` is 0.",
        "HasInference": "Does not exist with `Inference=false`.",
        "HasLogGroups": "Exists only with `LogGroups`.",
        "HasStream": "Exists only with a stream (`Delivery`).",
        "Monitors": "Exists only with the monitor.",
        "AlarmsOfAccuracy": "Exists only with the monitor and `AccuracyAlarm=true`.",
        "MakesReports": "Exists only with `Report=true`.",
        "HasCanary": "Does not exist with `Canary=false`.",
        "AsksOften": "Exists only with a canary that asks every 15 minutes.",
    }
    condition = TEMPLATE[name].get("Condition")
    assert [words for key, words in said.items() if words in ENTRIES[name]] == (
        [said[condition]] if condition else []
    )


def test_resources_in_commands_exist_in_the_template() -> None:
    text = "".join(SECTIONS.values())
    named = set(re.findall(r"\$\(name (\w+)\)|`logs (\w+) ", text))
    assert named
    assert [name for pair in named for name in pair if name and name not in TEMPLATE] == []


def test_every_alarm_in_the_text_of_the_runbook_exists() -> None:
    assert set(re.findall(r"`(\w+Alarm)`", (ROOT / "docs/runbook.md").read_text())) <= set(ALARMS)

"""Find the metrics that the template's alarms and dashboard use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.template.cloudformation import Resource, Resources, of_type, text

QUERY = re.compile(r"SELECT SUM\((\w+)\) FROM \"([\w/]+)\" (?:WHERE (.+?))? ?(?:GROUP BY (.+))?")


class Metric(NamedTuple):
    """A metric. `dimensions` are names with their values in the template."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


def alarms(resources: Resources) -> dict[str, Resource]:
    """Return the alarms; the keys are their names in the template."""
    return dict(of_type(resources, "AWS::CloudWatch::Alarm"))


def watched(alarm: Resource) -> list[Metric]:
    """Return the metrics of an alarm. An alarm has a metric, an expression or a query."""
    if "Metrics" not in alarm:
        return [_metric(alarm)]
    found = []
    for each in alarm["Metrics"]:
        if "MetricStat" in each:
            found.append(_metric(each["MetricStat"]["Metric"]))
        elif query := queried(text(each["Expression"])):
            found.append(query)
    return found


def queried(expression: str) -> Metric | None:
    """Return the metric and labels of a Metrics Insights query, or None for arithmetic."""
    if not (query := QUERY.fullmatch(expression)):
        return None
    name, namespace, where, grouped = query.groups()
    labels = dict.fromkeys(grouped.split(", "), "each") if grouped else {}
    for condition in where.split(" AND ") if where else []:
        found = re.fullmatch(r"(\w+) = '(.+)'", condition)
        assert found, condition
        labels[found[1]] = found[2]
    return Metric(namespace, name, tuple(sorted(labels.items())))


def dashboard(resources: Resources) -> dict[str, Any]:
    """Return the dashboard's body, with resource names in place of physical ids."""
    body, given = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, value in given.items():
        body = body.replace(f"${{{name}}}", text(value))
    found: dict[str, Any] = json.loads(re.sub(r"\$\{([\w:.]+)\}", r"\1", body))
    return found


def shown(body: dict[str, Any]) -> Iterator[Metric]:
    """Yield the metrics of the dashboard's widgets, with CloudWatch's short forms written out."""
    for widget in body["widgets"]:
        before: list[str] = []
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                query = queried(row[0]["expression"])
                assert query, row
                yield query
                continue
            before = _written_out([each for each in row if isinstance(each, str)], before)
            namespace, name, *rest = before
            yield Metric(namespace, name, tuple(sorted(zip(rest[::2], rest[1::2], strict=True))))


def _written_out(row: list[str], before: list[str]) -> list[str]:
    """Replace the short forms in `row` by parts of `before`, the row above it.

    `...` stands for the first parts of `before`. `.` stands for the part of `before` at the same
    place.
    """
    if row[0] == "...":
        row = before[: len(before) - len(row) + 1] + row[1:]
    return [before[place] if each == "." else each for place, each in enumerate(row)]


def _metric(given: Resource) -> Metric:
    dimensions = sorted((each["Name"], text(each["Value"])) for each in given["Dimensions"])
    return Metric(given["Namespace"], given["MetricName"], tuple(dimensions))

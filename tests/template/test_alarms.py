"""Test the alarms and the dashboard.

Their metrics must exist, every alarm must notify somebody, and every alarm must be described.
tests/integration/test_metrics.py compares our own metrics with those that the built functions
write.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from local.template import load
from tests.template.cloudformation import Resources, deployed
from tests.template.metrics import Metric, alarms, dashboard, shown, watched
from tests.template.stacks import SHAPES

DAY: Final = 86_400  # seconds; CloudWatch accepts no alarm that covers more time

# AWS's own metrics. The values are the sets of dimensions with which AWS publishes a metric.
DOCUMENTED: Final[dict[tuple[str, str], list[set[str]]]] = {
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    **{
        ("AWS/Lambda", name): [{"FunctionName"}, {"FunctionName", "Resource"}]
        for name in ("Errors", "Throttles", "Duration", "DestinationDeliveryFailures")
    },
    ("AWS/Lambda", "IteratorAge"): [{"FunctionName"}, {"FunctionName", "Resource"}],
    **{
        ("AWS/Lambda", name): [{"FunctionName"}] for name in ("AsyncEventAge", "AsyncEventsDropped")
    },
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    **{
        ("AWS/ApiGateway", name): [{"ApiId"}, {"ApiId", "Stage"}]
        for name in ("4xx", "5xx", "Count", "Latency")
    },
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    **{
        ("AWS/Logs", name): [{"LogGroupName", "FilterName", "DestinationType"}]
        for name in ("DeliveryErrors", "DeliveryThrottling")
    },
    # https://docs.aws.amazon.com/opensearch-service/latest/developerguide/managedomains-cloudwatchmetrics.html
    **{
        ("AWS/ES", name): [{"DomainName", "ClientId"}]
        for name in (
            "ClusterStatus.red",
            "FreeStorageSpace",
            "JVMMemoryPressure",
            "ClusterIndexWritesBlocked",
            "CPUUtilization",
        )
    },
}
OWN: Final = "PredictionMonitor"


@pytest.fixture(scope="module", params=SHAPES)
def resources(request: pytest.FixtureRequest) -> Resources:
    """Return the resources of the stack in one of its shapes, which are sets of parameters."""
    return deployed(SHAPES[request.param])


def unknown(metrics: list[Metric]) -> list[Metric]:
    """Return the metrics with a name, or with dimensions, that AWS does not document.

    A query (of AWS/Logs) may leave dimensions out.
    """
    return [each for each in metrics if each.namespace != OWN and not _documented(each)]


def _documented(metric: Metric) -> bool:
    names = {name for name, _ in metric.dimensions}
    sets = DOCUMENTED.get((metric.namespace, metric.name), [])
    return any(names <= each if metric.namespace == "AWS/Logs" else names == each for each in sets)


def test_every_metric_of_aws_that_is_used_is_documented_by_aws(resources: Resources) -> None:
    metrics = [metric for alarm in alarms(resources).values() for metric in watched(alarm)]
    assert {each.namespace for each in metrics} >= {"AWS/Lambda", "AWS/Logs", OWN}
    assert ("AWS/ApiGateway" in {each.namespace for each in metrics}) == ("Api" in resources)
    assert unknown(metrics) == []
    assert unknown(list(shown(dashboard(resources)))) == []


@pytest.mark.parametrize(
    "metric",
    [
        Metric("AWS/Lambda", "Error", (("FunctionName", "x"),)),
        Metric("AWS/ApiGateway", "5XXError", (("ApiId", "x"),)),
        Metric("AWS/ES", "ClusterStatus.red", (("DomainName", "x"),)),
    ],
    ids=str,
)
def test_a_metric_that_is_not_documented_is_noticed(metric: Metric) -> None:
    assert unknown([metric]) == [metric]


def test_every_alarm_has_a_metric_and_a_description(resources: Resources) -> None:
    for name, alarm in alarms(resources).items():
        assert name.endswith("Alarm")
        assert watched(alarm)
        assert len(alarm["AlarmDescription"]) > 25
        assert alarm["AlarmDescription"].endswith(".")


def test_every_alarm_notifies_the_topic_when_it_begins_and_ends(resources: Resources) -> None:
    topic = {"Ref": "AlarmTopic"} if "AlarmTopic" in resources else {"Ref": "AlarmTopicArn"}
    for alarm in alarms(resources).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]
        assert alarm.get("ActionsEnabled", True) is True
    if "AlarmSubscription" in resources:
        subscription = resources["AlarmSubscription"]["Properties"]
        assert (subscription["TopicArn"], subscription["Protocol"]) == (topic, "email")


def test_no_alarm_covers_more_time_than_cloudwatch_accepts(resources: Resources) -> None:
    longest = load()["Parameters"]["NoPredictionsMinutes"]["MaxValue"]
    for alarm in alarms(resources).values():
        periods = (
            longest
            if alarm["EvaluationPeriods"] == {"Ref": "NoPredictionsMinutes"}
            else alarm["EvaluationPeriods"]
        )
        (length,) = {alarm.get("Period"), *(_period(each) for each in alarm.get("Metrics", []))} - {
            None
        }
        assert length * periods <= DAY
        assert 1 <= alarm.get("DatapointsToAlarm", 1) <= periods


def _period(metric: dict[str, Any]) -> int | None:
    found: int | None = metric.get("MetricStat", metric).get("Period")
    return found


@pytest.mark.parametrize(
    ("alarm", "function"),
    [("InferenceDurationAlarm", "InferenceFunction"), ("ShipperDurationAlarm", "ShipperFunction")],
)
def test_a_duration_alarm_rings_at_four_fifths_of_the_time_limit(alarm: str, function: str) -> None:
    for shape in ("existing", "existing, opened"):
        resources = deployed(SHAPES[shape])
        timeout = resources[function]["Properties"]["Timeout"]
        assert alarms(resources)[alarm]["Threshold"] == pytest.approx(0.8 * timeout * 1000)


@pytest.mark.parametrize("alarm", ["ShipperDurationAlarm", "StreamAgeAlarm"])
@pytest.mark.parametrize("delivery", ["kinesis", "drain"])
def test_an_alarm_keeps_ringing_while_batches_of_a_stream_wait(alarm: str, delivery: str) -> None:
    """While the server cannot be reached, a batch takes the whole time limit of the shipper.

    AWS publishes the metrics of these alarms once for each batch. A period without a value would
    end the alarm.
    """
    resources = deployed(SHAPES["existing"] | {"Delivery": delivery})
    timeout = resources["ShipperFunction"]["Properties"]["Timeout"]
    found = alarms(resources)[alarm]
    assert found["Period"] >= 2 * timeout
    assert found["EvaluationPeriods"] == 1


def test_the_alarm_for_missing_predictions_can_be_switched_off() -> None:
    assert "NoPredictionsAlarm" in deployed(SHAPES["existing"])
    assert "NoPredictionsAlarm" not in deployed(SHAPES["existing, opened"])
    alarm = alarms(deployed(SHAPES["existing"]))["NoPredictionsAlarm"]
    assert (alarm["ComparisonOperator"], alarm["Threshold"], alarm["TreatMissingData"]) == (
        "LessThanThreshold",
        1,
        "breaching",
    )
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, {"Ref": "NoPredictionsMinutes"})


def test_low_accuracy_has_an_alarm_only_with_the_parameter_accuracy_alarm() -> None:
    assert "AccuracyTooLowAlarm" not in deployed(SHAPES["own"])
    alarm = alarms(deployed(SHAPES["existing, opened"]))["AccuracyTooLowAlarm"]
    assert (alarm["MetricName"], alarm["Statistic"]) == ("StreamsInaccurate", "Maximum")
    assert alarm["TreatMissingData"] == "ignore"  # the result of the last run stays valid


@pytest.mark.parametrize("name", ["MonitorSilentAlarm", "CanarySilentAlarm"])
def test_an_alarm_rings_while_monitor_or_canary_is_silent(name: str) -> None:
    alarm = alarms(deployed(SHAPES["own"]))[name]
    assert (alarm["ComparisonOperator"], alarm["Threshold"], alarm["TreatMissingData"]) == (
        "LessThanThreshold",
        1,
        "breaching",
    )
    assert alarm["Period"] >= 4 * 900  # an hour has four runs, and one of them may fail


def test_the_alarm_of_a_failing_canary_rings_until_a_run_passes() -> None:
    alarm = alarms(deployed(SHAPES["own function"]))["CanaryFailingAlarm"]
    assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == (
        "Maximum",
        1,
        "GreaterThanOrEqualToThreshold",
    )
    assert alarm["TreatMissingData"] == "ignore"


def test_a_canary_that_asks_once_a_day_has_no_alarm_for_silent_hours() -> None:
    assert "CanarySilentAlarm" not in deployed(SHAPES["own function"])
    often = SHAPES["own function"] | {"CanaryTraffic": "true"}
    assert "CanarySilentAlarm" in deployed(often)


def test_the_subscription_alarms_watch_only_our_own_filter() -> None:
    """The alarms must ignore filters of other teams on the same log group."""
    resources = deployed(SHAPES["own in a VPC"])
    for name in ("SubscriptionErrorsAlarm", "SubscriptionThrottlingAlarm"):
        (metric,) = watched(resources[name]["Properties"])
        assert dict(metric.dimensions) == {
            "LogGroupName": "${InferenceLogGroup}",
            "FilterName": "${ShipperFunctionPredictions}",
        }
    assert resources["ShipperFunctionPredictions"]["Type"] == "AWS::Logs::SubscriptionFilter"


def test_a_percentile_is_evaluated_with_few_requests_too() -> None:
    """A setting of the alarm could make CloudWatch ignore percentiles of few requests.

    The alarm would then need a thousand requests in each five minutes.
    """
    assert (
        "EvaluateLowSampleCountPercentile"
        not in deployed(SHAPES["existing"])["ApiLatencyAlarm"]["Properties"]
    )


def test_the_dashboard_shows_every_alarm_and_every_namespace_that_alarms_watch(
    resources: Resources,
) -> None:
    body = dashboard(resources)
    (widget,) = [each for each in body["widgets"] if each["type"] == "alarm"]
    listed = [each.removesuffix(".Arn") for each in widget["properties"]["alarms"]]
    assert sorted(listed) == sorted(alarms(resources))
    assert {metric.namespace for metric in shown(body)} == {
        metric.namespace for a in alarms(resources).values() for metric in watched(a)
    }


def test_the_widgets_of_the_dashboard_do_not_overlap(resources: Resources) -> None:
    places = set[tuple[int, int]]()
    for each in dashboard(resources)["widgets"]:
        here = {
            (x, y)
            for x in range(each["x"], each["x"] + each["width"])
            for y in range(each["y"], each["y"] + each["height"])
        }
        assert not places & here
        places |= here
    assert max(x for x, _ in places) == 23


def test_an_alarm_can_publish_to_the_topic() -> None:
    """An alarm cannot publish to a topic that has AWS's own key for SNS."""
    resources = deployed(SHAPES["existing"])
    assert resources["AlarmTopicPolicy"]["Properties"]["Topics"] == [{"Ref": "AlarmTopic"}]
    assert "KmsMasterKeyId" not in resources["AlarmTopic"]["Properties"]


def test_short_forms_of_metrics_are_read_as_in_cloudwatch() -> None:
    row = ["N", "A", "d", "1", "e", "2"]
    body = {
        "widgets": [
            {
                "properties": {
                    "metrics": [
                        row,
                        [".", "B", ".", ".", ".", "3"],
                        ["...", "4"],
                        ["...", {"stat": "p99"}],
                    ]
                }
            }
        ]
    }
    assert [(each.name, dict(each.dimensions)) for each in shown(body)] == [
        ("A", {"d": "1", "e": "2"}),
        ("B", {"d": "1", "e": "3"}),
        ("B", {"d": "1", "e": "4"}),
        ("B", {"d": "1", "e": "4"}),
    ]


def test_every_alarm_on_a_function_names_a_function_of_the_stack(resources: Resources) -> None:
    names = {
        value.removesuffix(":live").strip("${}")
        for alarm in alarms(resources).values()
        for metric in watched(alarm)
        for dimension, value in metric.dimensions
        if dimension in {"FunctionName", "Resource", "function_name"}
    }
    assert names == {
        "InferenceFunction",
        "ShipperFunction",
        "ReplayFunction",
        "MonitorFunction",
        "CanaryFunction",
        "MessengerFunction",
        "ReportFunction",
    } & set(resources)


def test_missing_predictions_are_counted_by_the_shipper() -> None:
    """The alarm must also work for users' own functions, which do not write our metrics."""
    for shape in ("existing", "own function"):
        (metric,) = watched(alarms(deployed(SHAPES[shape]))["NoPredictionsAlarm"])
        assert (metric.name, dict(metric.dimensions)) == (
            "PredictionsShipped",
            {"service": "shipper", "function_name": "ShipperFunction"},
        )


def test_one_alarm_names_the_log_group_whose_lines_are_not_delivered() -> None:
    """CloudWatch evaluates the query for each log group.

    The query names our own filter, so it ignores filters of other teams.
    """
    resources = deployed(SHAPES["own function"])
    (metric,) = watched(alarms(resources)["LogGroupsErrorsAlarm"])
    assert dict(metric.dimensions) == {
        "FilterName": resources["LogGroup1"]["Properties"]["FilterName"],
        "LogGroupName": "each",
    }
    assert "LogGroupsErrorsAlarm" not in deployed(SHAPES["existing"])

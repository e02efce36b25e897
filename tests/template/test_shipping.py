"""Test that no line is lost: subscriptions, dead letters, and the order of creation."""

from __future__ import annotations

import json
import re

import pytest

from local import kinesis
from local.template import load
from shipper.provenance import RECORD_FILTER
from tests.template.check import GONE, check
from tests.template.cloudformation import (
    Resource,
    Resources,
    compared,
    defaults,
    deployed,
    of_type,
    text,
    transformed,
)
from tests.template.stacks import (
    ALL,
    EXISTING,
    INSTALLED,
    WITH_LOG_GROUPS,
    WITH_STREAM,
    Stack,
    before,
    selected,
)
from tools.root import ROOT

TO_SHIPPER = {
    "DestinationArn": {"Fn::GetAtt": ["ShipperFunction", "Arn"]},
    "RoleArn": None,
    "Distribution": None,
}
TO_STREAM = {
    "DestinationArn": {"Fn::GetAtt": ["Stream", "Arn"]},
    "RoleArn": {"Fn::GetAtt": ["StreamRole", "Arn"]},
    "Distribution": "Random",
}
# The seconds that shipper.handler reserves for its log line. The constant cannot be imported here,
# because importing the handler requires the address of a server.
REPORT_SECONDS = 4
KINDS = ("prediction", "prediction_error", "feedback")
RECORDS = f"{{ {' || '.join(f'($.message = "{kind}")' for kind in KINDS)} }}"


@check(
    ALL,
    ("ShipperFunctionEventInvokeConfig.Properties.DestinationConfig.OnFailure", GONE),
    ("ShipperFunctionEventInvokeConfig.Properties.Qualifier", "live"),
    ("ShipperFunctionEventInvokeConfig.Properties.MaximumEventAgeInSeconds", 60),
    ("ReplayFunctionEventInvokeConfig.Properties.MaximumRetryAttempts", 2),
)
def test_a_failed_payload_becomes_a_dead_letter(stack: Stack) -> None:
    configs = {
        text(config["FunctionName"]): config
        for config in stack.of_type("AWS::Lambda::EventInvokeConfig").values()
    }
    assert set(configs) == {
        "ShipperFunction",
        "ReplayFunction",
        *(["MonitorFunction", "MessengerFunction"] if stack.monitors else []),
        *(["CanaryFunction"] if stack.asks else []),
        *(["ReportFunction"] if stack.reports else []),
    }
    assert {config["Qualifier"] for config in configs.values()} == {"$LATEST"}
    if stack.monitors:
        assert configs["MonitorFunction"]["MaximumRetryAttempts"] == 0
        assert not configs["MonitorFunction"].get("DestinationConfig")
        assert configs["MessengerFunction"]["MaximumRetryAttempts"] == 2
        # The replay puts dead letters into the index, so an unsent message must not become one.
        assert not configs["MessengerFunction"].get("DestinationConfig")
    if stack.reports:
        assert configs["ReportFunction"]["MaximumRetryAttempts"] == 0
    if stack.asks:  # no retry, because CodeDeploy would get the result twice
        assert configs["CanaryFunction"]["MaximumRetryAttempts"] == 0
    shipper, replay = configs["ShipperFunction"], configs["ReplayFunction"]
    assert shipper["DestinationConfig"]["OnFailure"] == {
        "Destination": {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}
    }
    assert shipper["MaximumRetryAttempts"] == 2
    assert "MaximumEventAgeInSeconds" not in shipper  # the default is six hours
    # The next scheduled run is the retry. A dead letter of the replay would contain no payload.
    assert replay["MaximumRetryAttempts"] == 0
    assert not replay.get("DestinationConfig")


@check(
    ALL,
    ("ShipperFunctionPredictions.Properties.FilterPattern", ""),
    ("ShipperFunctionPredictions.Properties.LogGroupName.Ref", "ShipperLogGroup"),
    ("MoreLogs1.Properties.LogGroupName", {"Ref": "ShipperLogGroup"}),
    ("MonitorRecords.Properties.FilterName", "verdicts"),
    ("MonitorRecords.Properties.FilterPattern", ""),
    ("CanaryRecords.Properties.FilterPattern", ""),
    ("MoreLogs2.Properties.DestinationArn", {"Ref": "InferenceFunctionAliaslive"}),
    ("ShipperFunctionPredictions.Properties.DestinationArn", {"Ref": "ShipperFunctionAliaslive"}),
    ("ShipperFunctionPredictions.Properties.FilterName", "prediction-monitor-records"),
)
def test_only_records_and_named_log_groups_are_subscribed(stack: Stack) -> None:
    """Only log groups with records, and groups given in a parameter, are subscribed.

    If the shipper got its own lines, or those of the replay, it would write more lines about them
    without end.
    """
    subscriptions = stack.of_type("AWS::Logs::SubscriptionFilter")
    if stack.monitors:
        messages = subscriptions.pop("Messages")
        assert messages["LogGroupName"] == {"Ref": "MonitorLogGroup"}
        assert messages["DestinationArn"] == {"Fn::GetAtt": ["MessengerFunction", "Arn"]}
        assert messages["FilterName"] != RECORD_FILTER
        pattern = '{ ($.message = "verdict") && ($.monitor.message.id = *) }'
        assert messages["FilterPattern"] == pattern
    for each in subscriptions.values():
        # Only invocations of the function itself, and not of its versions, leave dead letters.
        to = {name: each.get(name) for name in ("DestinationArn", "RoleArn", "Distribution")}
        assert to == (TO_STREAM if stack.given.get("Delivery") == "kinesis" else TO_SHIPPER)
    if stack.has_inference:
        predictions = subscriptions.pop("ShipperFunctionPredictions")
        assert predictions["LogGroupName"] == {"Ref": "InferenceLogGroup"}
        assert predictions["FilterPattern"] == RECORDS
        # CloudFormation chose the name. A name in the template would replace the existing filter.
        assert "FilterName" not in predictions
    if stack.monitors:
        records = subscriptions.pop("MonitorRecords")
        assert records["LogGroupName"] == {"Ref": "MonitorLogGroup"}
        # The shipper accepts lines from a filter with this name as records.
        assert records["FilterName"] == RECORD_FILTER
        assert records["FilterPattern"] == '{ ($.message = "drift") || ($.message = "verdict") }'
    if stack.asks:
        records = subscriptions.pop("CanaryRecords")
        assert records["LogGroupName"] == {"Ref": "CanaryLogGroup"}
        assert records["FilterName"] == RECORD_FILTER
        assert records["FilterPattern"] == '{ $.message = "canary" }'
    for name in stack.log_groups:
        del subscriptions[name]
    assert [
        (selected(each["LogGroupName"], stack), each["FilterPattern"])
        for each in subscriptions.values()
    ] == [(name, "") for name in stack.more_logs]


@check(
    WITH_LOG_GROUPS,
    ("LogGroup2.Properties.FilterName", "mine"),
    ("LogGroup3.Properties.FilterPattern", ""),
    ("LogGroup1.Properties.LogGroupName", {"Ref": "ShipperLogGroup"}),
    ("LogGroup7.DependsOn", GONE),
)
def test_each_name_in_the_parameter_log_groups_has_a_filter_with_the_trusted_name(
    stack: Stack,
) -> None:
    """Similar names have different filters, and an empty name has no filter."""
    record_filter = json.loads((ROOT / "events/envelope.json").read_text(encoding="utf-8"))[
        "kinds"
    ]["record_filter"]
    for name, group in stack.log_groups.items():
        properties = stack.properties(name)
        assert selected(properties["LogGroupName"], stack) == group
        assert (properties["FilterName"], properties["FilterPattern"]) == (
            record_filter,
            {"Ref": "LogFilterPattern"},
        )
        assert stack.resources[name]["DependsOn"] == "LogGroupsPermission"
    source = load()
    places = [name for name in source["Resources"] if re.fullmatch(r"LogGroup\d+", name)]
    assert len(places) == 60
    assert all(source["Resources"][name]["Condition"] == f"Has{name}" for name in places)


@pytest.mark.parametrize("names", [60, 61])
def test_sixty_log_groups_are_accepted_and_more_are_refused(names: int) -> None:
    given = ",".join(f"fn{number}" for number in range(names))
    pattern = load()["Parameters"]["LogGroups"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, given)) == (names == 60)
    found = deployed(EXISTING | {"LogGroups": given})
    groups = [
        compared(each["LogGroupName"], {"LogGroups": given})
        for name, each in found_subscriptions(found)
    ]
    assert groups == [f"fn{number}" for number in range(60)]


def found_subscriptions(resources: Resources) -> list[tuple[str, Resource]]:
    """Return the subscriptions of LogGroups, in the list's order."""
    return [
        (name, each)
        for name, each in of_type(resources, "AWS::Logs::SubscriptionFilter")
        if name.startswith("LogGroup")
    ]


def test_the_subscription_equals_the_one_that_sam_makes_from_an_event() -> None:
    """Older versions of the template declared the subscription as an event of the shipper.

    An upgrade from such a version must replace nothing. So names and properties are those that SAM
    gives to the resources of an event.
    """
    source = load()
    for name in ("ShipperFunctionPredictions", "ShipperFunctionPredictionsPermission"):
        del source["Resources"][name]
    event = {
        "Type": "CloudWatchLogs",
        "Properties": {
            "LogGroupName": {"Ref": "InferenceLogGroup"},
            "FilterPattern": RECORDS,
        },
    }
    source["Resources"]["ShipperFunction"]["Properties"]["Events"] = {"Predictions": event}
    sams, ours = transformed(source, defaults(source) | EXISTING), deployed(EXISTING)
    arn = "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:${InferenceLogGroup}:*"
    for name in ("ShipperFunctionPredictions", "ShipperFunctionPredictionsPermission"):
        wanted, found = sams[name]["Properties"], dict(ours[name]["Properties"])
        if "SourceArn" in found:
            assert (
                text(wanted["SourceArn"])
                == text(found["SourceArn"]).replace("${AWS::Partition}", "aws")
                == arn
            )
            found["SourceArn"] = wanted["SourceArn"]
        assert found == wanted


@check(
    ALL,
    ("MoreLogs2.DependsOn", "MoreLogs1Permission"),
    ("PredictRoute.DependsOn", GONE),
    ("FeedbackRoute.DependsOn", GONE),
    ("ShipperFunctionPredictions.DependsOn", GONE),
)
def test_the_filter_is_made_after_the_permission(stack: Stack) -> None:
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        permission = "LogGroupsPermission" if name in stack.log_groups else f"{name}Permission"
        assert permission in before(stack, name)
    if not stack.has_inference:
        return
    for route in ("Predict", "Feedback"):
        needed = {f"{route}Permission", "InferenceFunctionAliaslive"}
        assert needed <= before(stack, f"{route}Route")


@check(
    INSTALLED,
    (
        "ShipperFunction.Properties.Environment.Variables.OPENSEARCH_URL",
        {"Fn::Sub": "https://${Domain.DomainEndpoint}"},
    ),
    ("Kibana.Properties.ServiceTimeout", 60),
)
def test_the_domain_is_made_first_then_the_installer_then_the_filter(stack: Stack) -> None:
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        assert "Kibana" in before(stack, name)
    assert "Kibana" in before(stack, "ReplayFunction")
    assert ("Domain" in before(stack, "Kibana")) == ("Domain" in stack.resources)
    assert (
        stack.properties("Kibana")["ServiceTimeout"] > stack.properties("KibanaFunction")["Timeout"]
    )


@check(
    INSTALLED,
    ("Kibana.Properties.ShipperRoleArns.+", "arn:aws:iam::123456789012:role/other"),
    ("Kibana.Properties.SecretArn", {"Ref": "HashKey"}),
    ("Kibana.Properties.AuditLog", GONE),
    ("Kibana.Properties.MonitorRoleArns.+", "arn:aws:iam::123456789012:role/other"),
)
def test_the_installer_maps_the_roles_that_write_and_read(stack: Stack) -> None:
    kibana = stack.properties("Kibana")
    assert kibana["ShipperRoleArns"] == [
        {"Fn::GetAtt": ["ShipperRole", "Arn"]},
        {"Fn::GetAtt": ["ReplayRole", "Arn"]},
    ]
    assert kibana["SecretArn"] == {
        "Ref": "MasterUser" if "Domain" in stack.resources else "KibanaSecretArn"
    }
    own = [{"Fn::GetAtt": ["MonitorRole", "Arn"]}] if stack.monitors else []
    own += [{"Fn::GetAtt": ["ReportRole", "Arn"]}] if stack.reports else []
    assert kibana["MonitorRoleArns"] == own + (
        [{"Ref": "MonitorRoleArn"}] if "MonitorRoleArn" in stack.given else []
    )
    assert kibana.get("AuditLog") == ("true" if "Domain" in stack.resources else None)


# --- the stream


@check(
    WITH_STREAM,
    ("StreamMapping.Properties.StartingPosition", "LATEST"),
    ("StreamMapping.Properties.FunctionResponseTypes", []),
    ("StreamMapping.Properties.BisectBatchOnFunctionError", False),
    ("StreamMapping.Properties.DestinationConfig", GONE),
    ("StreamMapping.Properties.TumblingWindowInSeconds", 60),
    ("StreamMapping.Properties.MaximumRetryAttempts", 2),
    ("StreamMapping.Properties.FunctionName", {"Ref": "ShipperFunctionAliaslive"}),
    ("Stream.Properties.StreamModeDetails.StreamMode", "PROVISIONED"),
    ("ShipperFunction.Properties.Timeout", 120),
)
def test_the_mapping_reads_all_of_the_stream_and_keeps_failed_batches(stack: Stack) -> None:
    assert stack.properties("Stream")["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    mapping = stack.properties("StreamMapping")
    hours = {"Ref": "StreamRetentionHours"}
    assert stack.properties("Stream")["RetentionPeriodHours"] == hours
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["Stream", "Arn"]}
    assert mapping["FunctionName"] == {"Fn::GetAtt": ["ShipperFunction", "Arn"]}
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    bucket = {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": bucket}}
    assert "TumblingWindowInSeconds" not in mapping
    assert mapping["MaximumRetryAttempts"] == {"Fn::FindInMap": ["StreamLimits", hours, "Retries"]}
    age = {"Fn::FindInMap": ["StreamLimits", hours, "MaximumAge"]}
    assert mapping["MaximumRecordAgeInSeconds"] == age
    assert stack.properties("ShipperFunction")["Timeout"] == 900


def test_the_maximum_age_is_reached_before_the_retention_and_the_retries_end() -> None:
    """An outage that is shorter than the maximum age must put nothing into the bucket.

    While the server cannot be reached, each try lasts as long as the shipper may run, minus
    `REPORT_SECONDS`. Lambda accepts at most 10,000 retries and 604,800 seconds.
    """
    template = load()
    given = EXISTING | {"Delivery": "kinesis"}
    timeout = deployed(given)["ShipperFunction"]["Properties"]["Timeout"]
    limits = template["Mappings"]["StreamLimits"]
    choices = template["Parameters"]["StreamRetentionHours"]["AllowedValues"]
    assert list(limits) == [str(hours) for hours in choices]
    for hours, limit in limits.items():
        seconds = int(hours) * 3600
        assert seconds - 2 * 3600 < limit["MaximumAge"] <= seconds - 3600
        tries = limit["MaximumAge"] / (timeout - REPORT_SECONDS)
        assert tries < limit["Retries"] < 1.2 * tries
        assert limit["MaximumAge"] <= 604_800
        assert limit["Retries"] <= 10_000


@check(
    WITH_STREAM,
    ("StreamRole.DependsOn", GONE),
    ("StreamRole.DependsOn", "Stream"),
)
def test_the_mapping_is_made_before_a_subscription_writes_into_the_stream(stack: Stack) -> None:
    assert "StreamMapping" in before(stack, "StreamRole")
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        if name != "Messages" and stack.given["Delivery"] == "kinesis":
            assert {"StreamMapping", "Stream"} <= before(stack, name)


@pytest.mark.parametrize(
    ("delivery", "written", "read"),
    [("direct", False, False), ("kinesis", True, True), ("drain", False, True)],
)
def test_a_stream_that_was_in_use_stays_until_it_is_empty(
    delivery: str, *, written: bool, read: bool
) -> None:
    resources = deployed(EXISTING | {"Delivery": delivery})
    names = {"Stream", "StreamMapping", "StreamRole", "StreamAgeAlarm"}
    assert names & resources.keys() == (names if read else set())
    predictions = resources["ShipperFunctionPredictions"]["Properties"]
    assert (predictions["DestinationArn"] == {"Fn::GetAtt": ["Stream", "Arn"]}) is written
    assert resources["ShipperFunction"]["Properties"]["Timeout"] == (900 if read else 120)
    # CloudWatch may still invoke the shipper with payloads from the time before the change.
    assert "ShipperFunctionPredictionsPermission" in resources


def test_the_local_mapping_has_the_settings_of_the_template() -> None:
    found = kinesis.policy(48)
    assert (found.batch_size, found.window, found.retries, found.age) == (500, 1, 200, 169_200)
    assert found.bisect
    assert found.reports

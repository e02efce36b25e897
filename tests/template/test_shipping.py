"""That no line is lost on its way: subscriptions, dead letters, and what is made before what."""

from __future__ import annotations

from tests.template.check import GONE, check
from tests.template.cloudformation import text
from tests.template.stacks import (
    ALL,
    INSTALLED,
    Stack,
    before,
    selected,
)


@check(
    ALL,
    ("ShipperFunctionEventInvokeConfig.Properties.DestinationConfig.OnFailure", GONE),
    ("ShipperFunctionEventInvokeConfig.Properties.Qualifier", "live"),
    ("ShipperFunctionEventInvokeConfig.Properties.MaximumEventAgeInSeconds", 60),
    ("ReplayFunctionEventInvokeConfig.Properties.MaximumRetryAttempts", 2),
)
def test_what_fails_reaches_the_dead_letters(stack: Stack) -> None:
    configs = {text(config["FunctionName"]): config for config in stack.of_type("AWS::Lambda::EventInvokeConfig").values()}
    assert set(configs) == {"ShipperFunction", "ReplayFunction"}
    assert {config["Qualifier"] for config in configs.values()} == {"$LATEST"}
    shipper, replay = configs["ShipperFunction"], configs["ReplayFunction"]
    assert shipper["DestinationConfig"]["OnFailure"] == {"Destination": {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}}
    assert shipper["MaximumRetryAttempts"] == 2
    assert "MaximumEventAgeInSeconds" not in shipper  # six hours
    assert replay["MaximumRetryAttempts"] == 0  # its next schedule is its retry, and a letter of it would be no payload
    assert not replay.get("DestinationConfig")


@check(
    ALL,
    ("ShipperFunctionPredictions.Properties.FilterPattern", ""),
    ("ShipperFunctionPredictions.Properties.LogGroupName.Ref", "ShipperLogGroup"),
    ("MoreLogs1.Properties.LogGroupName", {"Ref": "ShipperLogGroup"}),
    ("MoreLogs2.Properties.DestinationArn", {"Ref": "InferenceFunctionAliaslive"}),
    ("ShipperFunctionPredictions.Properties.DestinationArn", {"Ref": "ShipperFunctionAliaslive"}),
)
def test_nothing_but_the_predictions_is_subscribed(stack: Stack) -> None:
    """What the shipper and the replay write themselves would come back to the shipper, which would write of it.

    And what a parameter names beside them.
    """
    subscriptions = stack.of_type("AWS::Logs::SubscriptionFilter")
    predictions = subscriptions.pop("ShipperFunctionPredictions")
    assert predictions["LogGroupName"] == {"Ref": "InferenceLogGroup"}
    assert predictions["FilterPattern"] == '{ ($.message = "prediction") || ($.message = "prediction_error") }'
    assert [(selected(each["LogGroupName"], stack), each["FilterPattern"]) for each in subscriptions.values()] == [
        (name, "") for name in stack.more_logs
    ]
    for each in (predictions, *subscriptions.values()):
        assert each["DestinationArn"] == {"Fn::GetAtt": ["ShipperFunction", "Arn"]}  # where the dead letters are configured


@check(
    ALL,
    ("MoreLogs2.DependsOn", "MoreLogs1Permission"),
    ("PredictRoute.DependsOn", GONE),
    ("ShipperFunctionPredictions.DependsOn", GONE),
)
def test_the_filter_comes_after_the_permission(stack: Stack) -> None:
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        assert f"{name}Permission" in before(stack, name)
    assert {"PredictPermission", "InferenceFunctionAliaslive"} <= before(stack, "PredictRoute")


@check(
    INSTALLED,
    ("ShipperFunction.Properties.Environment.Variables.OPENSEARCH_URL", {"Fn::Sub": "https://${Domain.DomainEndpoint}"}),
    ("Kibana.Properties.ServiceTimeout", 60),
)
def test_the_filter_comes_after_the_installer_and_that_after_the_domain(stack: Stack) -> None:
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        assert "Kibana" in before(stack, name)
    assert "Kibana" in before(stack, "ReplayFunction")
    assert ("Domain" in before(stack, "Kibana")) == ("Domain" in stack.resources)
    assert stack.properties("Kibana")["ServiceTimeout"] > stack.properties("KibanaFunction")["Timeout"]


@check(
    INSTALLED,
    ("Kibana.Properties.ShipperRoleArns.+", "arn:aws:iam::123456789012:role/other"),
    ("Kibana.Properties.SecretArn", {"Ref": "HashKey"}),
    ("Kibana.Properties.AuditLog", GONE),
)
def test_the_installer_maps_who_writes(stack: Stack) -> None:
    kibana = stack.properties("Kibana")
    assert kibana["ShipperRoleArns"] == [{"Fn::GetAtt": ["ShipperRole", "Arn"]}, {"Fn::GetAtt": ["ReplayRole", "Arn"]}]
    assert kibana["SecretArn"] == {"Ref": "MasterUser" if "Domain" in stack.resources else "KibanaSecretArn"}
    assert kibana.get("MonitorRoleArns") == ([{"Ref": "MonitorRoleArn"}] if "MonitorRoleArn" in stack.given else None)
    assert kibana.get("AuditLog") == ("true" if "Domain" in stack.resources else None)

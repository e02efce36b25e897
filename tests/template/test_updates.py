"""Tests the versions of the functions, the alias `live`, and the rollback of a deployment."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from local.template import load
from tests.template.check import GONE, check
from tests.template.cloudformation import defaults, of_type, text, transformed
from tests.template.stacks import ALL, WITH_INFERENCE, Stack, before


@check(
    WITH_INFERENCE,
    ("PredictPermission.Properties.FunctionName", "x"),
    ("FeedbackPermission.Properties.FunctionName", "x"),
    (
        "PredictIntegration.Properties.IntegrationUri",
        {"Fn::Sub": "arn:aws:apigateway:x/functions/${InferenceFunction.Arn}/invocations"},
    ),
    ("PredictRoute.Properties.Target", {"Fn::Sub": "integrations/${Other}"}),
    ("FeedbackRoute.Properties.Target", {"Fn::Sub": "integrations/${Other}"}),
    ("ShipperFunctionAliaslive", {"Type": "AWS::Lambda::Alias"}),
    ("Kibana.Properties.ServiceToken", {"Ref": "KibanaFunctionAliaslive"}),
)
def test_only_the_inference_function_is_called_through_an_alias(stack: Stack) -> None:
    for route in ("Predict", "Feedback"):
        assert stack.properties(f"{route}Route")["Target"] == {
            "Fn::Sub": "integrations/${PredictIntegration}"
        }
        assert stack.properties(f"{route}Permission")["FunctionName"] == {
            "Ref": "InferenceFunctionAliaslive"
        }
    integration = stack.properties("PredictIntegration")
    assert text(integration["IntegrationUri"]).endswith(
        ":lambda:path/2015-03-31/functions/${InferenceFunction.Arn}:live/invocations"
    )
    assert stack.properties("InferenceFunctionAliaslive")["Name"] == "live"
    # The installer's alias only gives the version to the custom resource. Nobody calls the alias.
    aliases = set(stack.of_type("AWS::Lambda::Alias")) - {"KibanaFunctionAliaslive"}
    assert aliases == {"InferenceFunctionAliaslive"}
    if "Kibana" in stack.resources:
        assert stack.properties("Kibana")["ServiceToken"] == {
            "Fn::GetAtt": ["KibanaFunction", "Arn"]
        }


@check(
    WITH_INFERENCE,
    ("InferenceFunction.Properties.Environment.Variables.MORE", {"Ref": "Exclude"}),
    ("InferenceFunction.Properties.Environment.Variables.MORE", {"Fn::Sub": "${Exclude}"}),
)
def test_a_changed_parameter_of_the_function_makes_a_new_version(stack: Stack) -> None:
    """SAM makes a new version for new code, but not for a new value of a parameter.

    So the version's description contains the values. CloudFormation cannot change the description
    of a version, and makes a new version instead.
    """
    (version,) = [
        each
        for name, each in stack.of_type("AWS::Lambda::Version").items()
        if name.startswith("Inference")
    ]
    apart = {
        "Role",
        "Code",
        "ReservedConcurrentExecutions",  # applies to all versions of the function at once
    }
    properties = {
        name: value
        for name, value in stack.properties("InferenceFunction").items()
        if name not in apart
    }
    found = {
        name
        for pair in re.findall(r"'Ref': '(\w+)'|\$\{(\w+)", str(properties))
        for name in pair
        if name
    }
    assert found - set(stack.resources) == set(
        re.findall(r"\$\{(\w+)\}", text(version["Description"]))
    )


@check(
    ALL,
    *(
        (f"{name}Function.Properties.LoggingConfig.LogFormat", "JSON")
        for name in ("Inference", "Shipper", "Replay", "Kibana")
    ),
    ("ShipperFunction.Properties.LoggingConfig.LogFormat", GONE),
)
def test_lambda_itself_filters_no_line(stack: Stack) -> None:
    """With JSON as log format, Lambda would drop records and metrics below the log level."""
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogFormat"] == "Text"
        assert "ApplicationLogLevel" not in function["LoggingConfig"]


@check(
    WITH_INFERENCE,
    ("InferenceFunctionAliaslive.UpdatePolicy.CodeDeployLambdaAliasUpdate", {}),
    ("CanaryFunction.Properties.Environment.Variables.DEPLOYED_VERSION", "x"),
    (
        "CanaryFunction.Properties.Environment.Variables.CANARY_FUNCTION",
        {"Ref": "InferenceFunctionAliaslive"},
    ),
)
def test_the_canary_checks_a_new_version_before_the_version_gets_requests(stack: Stack) -> None:
    """The canary is a function that sends sentences with known answers to the model.

    The alias depends on the canary, because CodeDeploy invokes the canary. So the canary must not
    depend on the alias. Its settings have the alias's name instead of a reference.
    """
    alias = stack.resources["InferenceFunctionAliaslive"]
    policy = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    if not stack.asks:
        assert "BeforeAllowTrafficHook" not in policy
        return
    assert policy["BeforeAllowTrafficHook"] == {"Ref": "CanaryFunction"}
    variables = stack.properties("CanaryFunction")["Environment"]["Variables"]
    version, _ = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"]
    assert variables["DEPLOYED_VERSION"] == {"Ref": version}
    made = before(stack, "CanaryFunction")
    assert not made & {"InferenceFunctionAliaslive", "InferenceFunctionDeploymentGroup"}


@check(
    ("existing", "own"),
    ("InferenceFunctionDeploymentGroup.Properties.AlarmConfiguration.Enabled", False),
    ("InferenceFunctionDeploymentGroup.Properties.AutoRollbackConfiguration.Events", []),
    ("InferenceFunctionAliaslive.UpdatePolicy", {}),
    ("InferenceErrorsAlarm.Properties.Threshold", 1000),
    ("PredictionFailuresAlarm.Properties.MetricName", "PredictionFailure"),
    ("PredictionFailuresAlarm.Properties.Dimensions", [{"Name": "service", "Value": "inference"}]),
    (
        "InferenceFunctionDeploymentGroup.Properties.DeploymentConfigName.Fn::Sub.1.ConfigName",
        "Linear10PercentEvery10Minutes",
    ),
)
def test_an_alarm_rolls_a_deployment_back(stack: Stack) -> None:
    (group,) = stack.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    # With AllAtOnce, no alarm is set, for two reasons. The deployment ends before an alarm can
    # ring. And if an alarm rings already, this alarm would block the deployment.
    if stack.given.get("GradualDeployment", "AllAtOnce") == "AllAtOnce":
        assert group["AlarmConfiguration"] == {}
        return
    assert group["AlarmConfiguration"]["Enabled"] is True
    alarms = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
    assert alarms == {"InferenceErrorsAlarm", "PredictionFailuresAlarm"}
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert group["DeploymentConfigName"]["Fn::Sub"][1] == {
        "ConfigName": stack.given.get("GradualDeployment", "AllAtOnce")
    }
    for name, namespace, metric, dimensions in (
        (
            "InferenceErrorsAlarm",
            "AWS/Lambda",
            "Errors",
            {"FunctionName": "InferenceFunction", "Resource": "${InferenceFunction}:live"},
        ),
        (
            "PredictionFailuresAlarm",
            "PredictionMonitor",
            "PredictionFailures",
            {"service": "inference", "function_name": "InferenceFunction"},
        ),
    ):
        alarm = stack.properties(name)
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == (
            namespace,
            metric,
            "Sum",
        )
        assert {each["Name"]: text(each["Value"]) for each in alarm["Dimensions"]} == dimensions
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (
            1,
            "GreaterThanOrEqualToThreshold",
        )
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (
            60,
            1,
            "notBreaching",
        )
    assert (
        "CodeDeployLambdaAliasUpdate"
        in stack.resources["InferenceFunctionAliaslive"]["UpdatePolicy"]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("MemorySize", 2048), ("Timeout", 20), ("Environment", {"Variables": {"MORE": "1"}})],
)
def test_a_changed_property_of_the_function_makes_a_new_version(name: str, value: Any) -> None:
    source, changed = load(), load()
    changed["Resources"]["InferenceFunction"]["Properties"][name] = value
    first, second = (
        {
            each
            for each, _ in of_type(
                transformed(template, defaults(template)), "AWS::Lambda::Version"
            )
            if each.startswith("Inference")
        }
        for template in (source, changed)
    )
    assert first
    assert not first & second


def test_the_description_of_a_version_cannot_be_changed_in_place() -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::Lambda::Version").schema
    assert "/properties/Description" in schema["createOnlyProperties"]

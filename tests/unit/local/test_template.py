from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from local.template import Function, load, read
from tools.root import ROOT

SMALL = """
Resources:
  Log:
    Type: AWS::Logs::LogGroup
  Answer:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code/answer/
      Handler: answer.main
      MemorySize: 256
      Timeout: 5
      Role: !GetAtt Role.Arn
      Events:
        Daily: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      IntegrationUri: !Sub
        "arn:aws:apigateway:x:lambda:path/2015-03-31/functions/${Answer.Arn}:live/invocations"
  Get:
    Type: AWS::ApiGatewayV2::Route
    Properties: {RouteKey: GET /answer, Target: !Sub "integrations/${Integration}"}
  Put:
    Type: AWS::ApiGatewayV2::Route
    Properties: {RouteKey: PUT /answer, Target: !Sub "integrations/${Integration}"}
  Store:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: store
      Handler: store.main
      MemorySize: 128
      Timeout: 60
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig: {OnFailure: {Type: S3Bucket, Destination: !GetAtt Lost.Arn}}
      Events:
        Lines:
          Type: CloudWatchLogs
          Properties: {LogGroupName: !Ref Log, FilterPattern: '{ $.a = 1 }'}
  Log:
    Type: AWS::Logs::LogGroup
  Written:
    Type: AWS::Logs::SubscriptionFilter
    Properties: {LogGroupName: !Ref Log, FilterPattern: term, DestinationArn: !GetAtt Store.Arn}
  OfAParameter:
    Type: AWS::Logs::SubscriptionFilter
    Properties:
      LogGroupName: !Select [0, !Ref Names]
      FilterPattern: ""
      DestinationArn: !GetAtt Store.Arn
  Idle:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: idle, Handler: idle.main, MemorySize: 128, Timeout: 1}
"""


def test_functions_routes_and_subscriptions_are_read_from_our_template() -> None:
    shipping = {
        "STACK": "local",
        "RECORD_LOG_GROUPS": "InferenceLogGroup",
        "EXCLUDE": "",
        "REDACT_FIELDS": "",
        "REDACT_PATTERNS": "",
    }
    found = read()
    given = {name: function.environment for name, function in found.functions.items()}
    assert given["InferenceFunction"]["LOG_TEXT"] == "true"
    assert given["ShipperFunction"].items() >= shipping.items()
    assert given["ReplayFunction"].items() >= shipping.items()
    assert found.routes == dict.fromkeys(
        (("POST", "/predict"), ("POST", "/feedback")), "InferenceFunction"
    )
    assert {
        name: replace(function, environment={}) for name, function in found.functions.items()
    } == {
        "InferenceFunction": Function(
            "InferenceFunction", ROOT / "functions/inference", "inference.handler.handler", 1024, 25
        ),
        "ShipperFunction": Function(
            "ShipperFunction",
            ROOT / "functions/shipper",
            "shipper.handler.handler",
            1024,
            120,
            2,
            "DeadLetterBucket",
        ),
        "ReplayFunction": Function(
            "ReplayFunction", ROOT / "functions/shipper", "shipper.replay.handler", 2048, 900, 0
        ),
        "KibanaFunction": Function(
            "KibanaFunction",
            ROOT / "functions/installer",
            "installer.custom_resource.handler",
            256,
            300,
        ),
        "MonitorFunction": Function(
            "MonitorFunction", ROOT / "functions/monitor", "monitor.handler.handler", 1024, 300, 0
        ),
        "CanaryFunction": Function(
            "CanaryFunction",
            ROOT / "functions/monitor",
            "monitor.canary_handler.handler",
            512,
            240,
            0,
        ),
        "MessengerFunction": Function(
            "MessengerFunction", ROOT / "functions/monitor", "monitor.messenger.handler", 256, 120
        ),
        "ReportFunction": Function(
            "ReportFunction", ROOT / "functions/reporter", "reporter.handler.handler", 512, 240, 0
        ),
    }
    kinds = ("prediction", "prediction_error", "feedback")
    pattern = f"{{ {' || '.join(f'($.message = "{kind}")' for kind in kinds)} }}"
    assert found.subscriptions == [("InferenceLogGroup", pattern, "ShipperFunction")]


@pytest.mark.parametrize("name", ["InferenceFunction", "ShipperFunction", "ReplayFunction"])
def test_the_handler_of_each_function_in_the_template_exists(name: str) -> None:
    function = read().functions[name]
    module, _, attribute = function.handler.rpartition(".")
    assert f"def {attribute}(" in (function.code / Path(*module.split("."))).with_suffix(
        ".py"
    ).read_text(encoding="utf-8")


def test_functions_routes_and_subscriptions_are_read_from_another_template(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(SMALL, encoding="utf-8")
    found = read(path)
    assert found.routes == {("GET", "/answer"): "Answer", ("PUT", "/answer"): "Answer"}
    assert found.subscriptions == [("Log", "{ $.a = 1 }", "Store"), ("Log", "term", "Store")]
    assert list(found.functions) == ["Answer", "Store", "Idle"]
    assert found.functions["Answer"] == Function(
        "Answer", tmp_path / "code/answer", "answer.main", 256, 5, 2, None
    )
    assert (found.functions["Store"].retries, found.functions["Store"].dead_letters) == (1, "Lost")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Log", {"Ref": "Log"}),
        ("!GetAtt Role.Arn", {"Fn::GetAtt": ["Role", "Arn"]}),
        ("!GetAtt Nested.Outputs.Arn", {"Fn::GetAtt": ["Nested", "Outputs.Arn"]}),
        ('!Sub "a-${B}"', {"Fn::Sub": "a-${B}"}),
        ('!Join ["-", [a, !Ref B]]', {"Fn::Join": ["-", ["a", {"Ref": "B"}]]}),
        (
            "!Transform {Name: A, Parameters: {B: !Ref C}}",
            {"Fn::Transform": {"Name": "A", "Parameters": {"B": {"Ref": "C"}}}},
        ),
    ],
)
def test_short_tags_are_read_as_their_long_form(tmp_path: Path, text: str, value: object) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(f"a: {text}\n", encoding="utf-8")
    assert load(path) == {"a": value}

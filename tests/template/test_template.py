"""template.yaml as SAM transforms it: who may do what, what is kept how long, what is closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from local.template import ROOT, load

Resource = dict[str, Any]

ALLOWED = {
    "InferenceRole": {
        ("logs:CreateLogStream", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${InferenceLogGroup}:*"),
        ("logs:PutLogEvents", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${InferenceLogGroup}:*"),
    },
    "ShipperRole": {
        ("logs:CreateLogStream", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${ShipperLogGroup}:*"),
        ("logs:PutLogEvents", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${ShipperLogGroup}:*"),
        ("es:ESHttpPost", "${OpenSearchDomainArn}/_bulk"),
        ("s3:PutObject", "${DeadLetterBucket.Arn}/aws/lambda/async/*"),
        ("s3:ListBucket", "DeadLetterBucket.Arn"),
    },
}


@pytest.fixture(scope="module")
def resources() -> dict[str, Resource]:
    """The resources as CloudFormation gets them."""
    source = load()
    for function in ("InferenceFunction", "ShipperFunction"):
        source["Resources"][function]["Properties"]["CodeUri"] = "s3://bucket/key"
    parameters = {name: parameter.get("Default", "") for name, parameter in source["Parameters"].items()}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        transformed = Translator({}, Parser()).translate(source, parameters)
    found: dict[str, Resource] = transformed["Resources"]
    return found


def of_type(resources: dict[str, Resource], kind: str) -> Iterator[tuple[str, Resource]]:
    return ((name, resource["Properties"]) for name, resource in resources.items() if resource["Type"] == kind)


def test_roles_allow_what_is_listed_and_nothing_else(resources: dict[str, Resource]) -> None:
    found = {}
    for name, role in of_type(resources, "AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role
        statements = [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]
        assert {statement["Effect"] for statement in statements} == {"Allow"}
        found[name] = {(action, _text(statement["Resource"])) for statement in statements for action in _list(statement["Action"])}
    assert found == ALLOWED


def test_the_bucket_that_is_written_to_is_our_own(resources: dict[str, Resource]) -> None:
    (policy,) = [one for one in resources["ShipperRole"]["Properties"]["Policies"] if one["PolicyName"] == "keep-what-failed"]
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_api_waits_longer_than_the_function_may_take(resources: dict[str, Resource]) -> None:
    assert resources["InferenceFunction"]["Properties"]["Timeout"] < 30


def test_no_action_is_a_wildcard(resources: dict[str, Resource]) -> None:
    for _, role in of_type(resources, "AWS::IAM::Role"):
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert not [action for action in _list(statement["Action"]) if "*" in action]
                assert _text(statement["Resource"]) != "*"


def test_every_function_has_its_own_role_and_log_group_with_retention(resources: dict[str, Resource]) -> None:
    groups = dict(of_type(resources, "AWS::Logs::LogGroup"))
    used = []
    for name, function in of_type(resources, "AWS::Lambda::Function"):
        assert function["Runtime"] == "python3.13"
        assert function["Role"] == {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}
        used.append(function["LoggingConfig"]["LogGroup"]["Ref"])
        assert function["LoggingConfig"].get("LogFormat", "Text") == "Text"
    assert sorted(used) == sorted(groups) == ["InferenceLogGroup", "ShipperLogGroup"]
    for group in groups.values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_only_this_log_group_may_invoke_the_shipper(resources: dict[str, Resource]) -> None:
    permissions = dict(of_type(resources, "AWS::Lambda::Permission"))
    (shipper,) = [permission for permission in permissions.values() if "Shipper" in str(permission["FunctionName"])]
    assert shipper["Principal"] == "logs.amazonaws.com"
    assert "log-group:${__LogGroupName__}:*" in str(shipper["SourceArn"])
    assert "InferenceLogGroup" in str(shipper["SourceArn"])


def test_the_filter_waits_for_the_permission_and_never_reads_the_shippers_own_log(resources: dict[str, Resource]) -> None:
    ((name, subscription),) = of_type(resources, "AWS::Logs::SubscriptionFilter")
    assert subscription["LogGroupName"] == {"Ref": "InferenceLogGroup"}
    assert subscription["FilterPattern"] == '{ ($.message = "prediction") || ($.message = "prediction_error") }'
    assert any("Permission" in needed for needed in _list(resources[name]["DependsOn"]))


def test_what_fails_goes_to_the_bucket(resources: dict[str, Resource]) -> None:
    ((_, config),) = of_type(resources, "AWS::Lambda::EventInvokeConfig")
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}
    assert config["MaximumRetryAttempts"] == 2
    assert config["Qualifier"] == "$LATEST"


def test_the_bucket_is_encrypted_private_and_expires(resources: dict[str, Resource]) -> None:
    bucket = resources["DeadLetterBucket"]["Properties"]
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == {"Ref": "DeadLetterRetentionDays"}
    statement = resources["DeadLetterBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_api_is_throttled_and_asks_for_a_signature(resources: dict[str, Resource]) -> None:
    ((_, stage),) = of_type(resources, "AWS::ApiGatewayV2::Stage")
    assert set(stage["DefaultRouteSettings"]) == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
    ((_, api),) = of_type(resources, "AWS::ApiGatewayV2::Api")
    methods = {(path, verb): operation for path, verbs in api["Body"]["paths"].items() for verb, operation in verbs.items()}
    assert set(methods) == {("/predict", "post")}
    assert methods["/predict", "post"]["security"] == [{"AWS_IAM": []}]


def test_every_parameter_is_used_and_described() -> None:
    source = load()
    text = (ROOT / "template.yaml").read_text()
    for name, parameter in source["Parameters"].items():
        assert parameter["Description"]
        assert f"!Ref {name}" in text or f"${{{name}}}" in text


def test_nothing_points_nowhere_by_default() -> None:
    parameters = load()["Parameters"]
    assert "Default" not in parameters["OpenSearchEndpoint"]
    assert "Default" not in parameters["OpenSearchDomainArn"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """A resource as written: the string, what Sub holds, or the name that GetAtt takes."""
    found = value.get("Fn::Sub") or value.get("Fn::GetAtt") if isinstance(value, dict) else value
    return ".".join(found) if isinstance(found, list) else str(found)

"""Tests encryption and retention, and that the template contains no secret."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.template.check import GONE, check
from tests.template.cloudformation import text
from tests.template.stacks import (
    ALL,
    OWN,
    SECRET,
    UNDER_RULES,
    WITH_INFERENCE,
    WITH_STREAM,
    Stack,
)

DOMAIN_LOGS: Final = {
    "ES_APPLICATION_LOGS": "DomainErrorLogGroup",
    "INDEX_SLOW_LOGS": "DomainSlowLogGroup",
    "SEARCH_SLOW_LOGS": "DomainSlowLogGroup",
    "AUDIT_LOGS": "DomainAuditLogGroup",
}
OUTLASTING: Final = {"HashKey", "DeadLetterBucket", "ReportBucket"}
OUTLASTING_OWN: Final = {"Domain", "MasterUser", "DomainLogPolicy", *DOMAIN_LOGS.values()}


@check(
    OWN,
    ("Domain.Properties.EncryptionAtRestOptions.Enabled", False),
    ("Domain.Properties.NodeToNodeEncryptionOptions.Enabled", False),
    ("Domain.Properties.DomainEndpointOptions.EnforceHTTPS", False),
    ("Domain.Properties.DomainEndpointOptions.TLSSecurityPolicy", "Policy-Min-TLS-1-0-2019-07"),
    ("Domain.Properties.EBSOptions.VolumeType", "gp2"),
)
def test_the_domain_is_encrypted_at_rest_and_in_transit(stack: Stack) -> None:
    domain = stack.properties("Domain")
    assert domain["EncryptionAtRestOptions"]["Enabled"] is True
    assert domain["NodeToNodeEncryptionOptions"]["Enabled"] is True
    assert domain["DomainEndpointOptions"] == {
        "EnforceHTTPS": True,
        "TLSSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10",
    }
    assert domain["EBSOptions"]["VolumeType"] == "gp3"


@check(
    ALL,
    ("DeadLetterBucket.Properties.BucketEncryption", GONE),
    ("DeadLetterBucketPolicy.Properties.PolicyDocument.Statement.0.Condition", {}),
    ("ReportBucket.Properties.BucketEncryption", GONE),
    ("ReportBucketPolicy", GONE),
)
def test_the_buckets_are_encrypted_at_rest_and_in_transit(stack: Stack) -> None:
    own = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    yours = {
        "ServerSideEncryptionByDefault": {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": {"Ref": "KmsKeyArn"},
        },
        "BucketKeyEnabled": True,
    }
    wanted = yours if "KmsKeyArn" in stack.given else own
    for name in stack.buckets:
        assert stack.properties(name)["BucketEncryption"] == {
            "ServerSideEncryptionConfiguration": [wanted]
        }
        policy = stack.properties(f"{name}Policy")
        assert policy["Bucket"] == {"Ref": name}
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
            "Deny",
            "*",
            "s3:*",
        )
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert set(map(text, statement["Resource"])) == {f"{name}.Arn", f"${{{name}.Arn}}/*"}


@check(
    WITH_STREAM,
    ("Stream.Properties.StreamEncryption", GONE),
    ("Stream.Properties.StreamEncryption.KeyId", "alias/somebody"),
)
def test_the_stream_is_encrypted(stack: Stack) -> None:
    key = {"Ref": "KmsKeyArn"} if "KmsKeyArn" in stack.given else "alias/aws/kinesis"
    assert stack.properties("Stream").get("StreamEncryption") == {
        "EncryptionType": "KMS",
        "KeyId": key,
    }


@check(
    UNDER_RULES,
    ("ApiLogGroup.Properties.KmsKeyId", GONE),
    ("HashKey.Properties.KmsKeyId", GONE),
    ("ReplayFunction.Properties.KmsKeyArn", GONE),
)
def test_a_given_key_encrypts_log_groups_secrets_and_functions(stack: Stack) -> None:
    """Without the parameter KmsKeyArn, AWS's keys are used."""
    found = {
        name: resource["Properties"].get(
            "KmsKeyArn" if resource["Type"] == "AWS::Lambda::Function" else "KmsKeyId"
        )
        for name, resource in stack.resources.items()
        if resource["Type"]
        in {"AWS::Lambda::Function", "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"}
    }
    assert set(map(str, found.values())) == {
        str({"Ref": "KmsKeyArn"} if "KmsKeyArn" in stack.given else None)
    }


@check(
    ALL,
    ("InferenceFunction.Properties.Environment.Variables.HASH_KEY", "a key"),
    (
        "Domain.Properties.AdvancedSecurityOptions.MasterUserOptions.MasterUserPassword",
        {"Ref": "Password"},
    ),
    ("HashKey.Properties.SecretString", "a key"),
    ("HashKey.Properties.GenerateSecretString.PasswordLength", 8),
)
def test_no_secret_is_written_down(stack: Stack) -> None:
    """Every secret is generated, and the template refers to it by name."""
    for secret in stack.of_type("AWS::SecretsManager::Secret").values():
        assert "SecretString" not in secret
        assert secret["GenerateSecretString"]["PasswordLength"] >= 40
    found = dict(_named(stack.resources, re.compile(r"(?i)(password|_key|(?<!service)token)$")))
    assert all(value.startswith(SECRET) for value in found.values()), found
    assert ("HASH_KEY" in found) == stack.has_inference
    assert "REDACT_KEY" in found


@check(
    ALL,
    ("ShipperLogGroup.Properties.RetentionInDays", GONE),
    ("InferenceLogGroup.Properties.LogGroupClass", "INFREQUENT_ACCESS"),
    ("ReplayFunction.Properties.LoggingConfig.LogGroup.Ref", "ShipperLogGroup"),
)
def test_logs_are_kept_for_the_days_of_the_parameter(stack: Stack) -> None:
    groups = stack.of_type("AWS::Logs::LogGroup")
    assert {json.dumps(group.get("RetentionInDays")) for group in groups.values()} == {
        '{"Ref": "LogRetentionDays"}'
    }
    # Only log groups of the standard class, which is the default, can have subscriptions.
    assert not [group for group in groups.values() if "LogGroupClass" in group]
    used = [
        function["LoggingConfig"]["LogGroup"]["Ref"]
        for function in stack.of_type("AWS::Lambda::Function").values()
    ]
    assert sorted(used) == sorted(
        group for group in groups if not group.startswith(("Api", "Domain"))
    )


@check(
    WITH_INFERENCE,
    ("ApiStage.Properties.AccessLogSettings", GONE),
    ("ApiStage.Properties.AccessLogSettings.Format", '{"body":"$request.body"}'),
)
def test_the_access_log_names_the_caller_and_no_text(stack: Stack) -> None:
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["AccessLogSettings"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogGroup", "Arn"]}
    logged = json.loads(stage["AccessLogSettings"]["Format"])
    assert {"$context.requestId", "$context.status", "$context.identity.userArn"} <= set(
        logged.values()
    )
    assert all(value.startswith("$context.") for value in logged.values())


@check(
    ALL,
    ("DeadLetterBucket.Properties.LifecycleConfiguration.Rules.0.Status", "Disabled"),
    ("DeadLetterBucket.Properties.LifecycleConfiguration.Rules.0.Prefix", "poison/"),
)
def test_dead_letters_are_kept_for_the_days_of_the_parameter(stack: Stack) -> None:
    (rule,) = stack.properties("DeadLetterBucket")["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == (
        "Enabled",
        {"Ref": "DeadLetterRetentionDays"},
    )
    assert "Prefix" not in rule


@check(
    ("existing, opened", "own in a VPC"),
    ("ReportBucket.Properties.LifecycleConfiguration.Rules.0.Status", "Disabled"),
    ("ReportBucket.Properties.LifecycleConfiguration.Rules.0.ExpirationInDays", 30),
)
def test_reports_are_kept_as_long_as_the_index(stack: Stack) -> None:
    (rule,) = stack.properties("ReportBucket")["LifecycleConfiguration"]["Rules"]
    given = "IndexRetentionDays" in stack.given
    days = {"Ref": "IndexRetentionDays"} if given else 30
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", days)
    assert "Prefix" not in rule


@check(
    OWN,
    ("Domain.Properties.LogPublishingOptions.AUDIT_LOGS", GONE),
    ("Domain.Properties.LogPublishingOptions.SEARCH_SLOW_LOGS.Enabled", False),
    ("Domain.DependsOn", "MasterUser"),
)
def test_the_domain_writes_its_logs(stack: Stack) -> None:
    published = stack.properties("Domain")["LogPublishingOptions"]
    assert {kind: options["Enabled"] for kind, options in published.items()} == dict.fromkeys(
        DOMAIN_LOGS, True
    )
    assert {
        kind: options["CloudWatchLogsLogGroupArn"]["Fn::GetAtt"][0]
        for kind, options in published.items()
    } == DOMAIN_LOGS
    assert stack.resources["Domain"]["DependsOn"] == "DomainLogPolicy"
    (statement,) = json.loads(text(stack.properties("DomainLogPolicy")["PolicyDocument"]))[
        "Statement"
    ]
    assert statement["Principal"] == {"Service": "es.amazonaws.com"}
    assert statement["Action"] == ["logs:PutLogEvents", "logs:CreateLogStream"]
    assert statement["Resource"] == [
        f"${{{group}.Arn}}" for group in dict.fromkeys(DOMAIN_LOGS.values())
    ]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "${AWS::AccountId}"}
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"].endswith(
        ":${AWS::AccountId}:domain/*"
    )
    names = [text(stack.properties(group)["LogGroupName"]) for group in DOMAIN_LOGS.values()]
    # The number and size of a region's resource policies are limited. AWS recommends this prefix,
    # because log groups with this prefix do not make these policies longer.
    assert all(name.startswith("/aws/vendedlogs/") for name in names)


@check(
    ALL,
    *(
        (f"{name}.{policy}", "Delete")
        for name in sorted(OUTLASTING | OUTLASTING_OWN)
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
    ),
    ("ShipperLogGroup.UpdateReplacePolicy", "Delete"),
    ("DomainSecurityGroup.DeletionPolicy", GONE),
)
def test_valuable_resources_stay_when_the_stack_is_deleted(stack: Stack) -> None:
    wanted = OUTLASTING & stack.resources.keys()
    wanted |= OUTLASTING_OWN if "Domain" in stack.resources else set()
    # A security group that a domain uses cannot be deleted.
    wanted |= {"DomainSecurityGroup"} & set(stack.resources)
    kept = {
        name
        for name, resource in stack.resources.items()
        if (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        == ("RetainExceptOnCreate", "Retain")
    }
    assert kept == wanted
    for group in stack.of_type("AWS::Logs::LogGroup"):
        assert stack.resources[group]["UpdateReplacePolicy"] == "Retain"


@check(
    OWN,
    ("Domain.UpdatePolicy", {"EnableVersionUpgrade": False}),
    ("Domain.Properties.DomainName", "predictions"),
)
def test_an_update_never_replaces_the_domain(stack: Stack) -> None:
    assert stack.resources["Domain"]["UpdatePolicy"] == {"EnableVersionUpgrade": True}
    # A change of one of these properties replaces the domain.
    assert not {"DomainName", "EngineMode"} & set(stack.properties("Domain"))


def _named(value: Any, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return the name and text of each entry, at any depth, if its name matches the pattern."""
    if isinstance(value, list):
        return [found for each in value for found in _named(each, pattern)]
    if not isinstance(value, dict):
        return []
    here = [(name, text(each)) for name, each in value.items() if pattern.search(name)]
    return here + [found for each in value.values() for found in _named(each, pattern)]

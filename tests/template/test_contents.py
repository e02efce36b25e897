"""A stack's resources in each of its shapes, and its functions' environment variables: the whole lists."""

from __future__ import annotations

import re
from typing import Final

from tests.template.check import GONE, check
from tests.template.cloudformation import text
from tests.template.stacks import (
    ALL,
    Stack,
)

# All that there is: what is added opens something, or costs something.
ALWAYS: Final = """
Dashboard AWS::CloudWatch::Dashboard
DeadLetterBucket AWS::S3::Bucket
DeadLetterBucketPolicy AWS::S3::BucketPolicy
HashKey AWS::SecretsManager::Secret
ReplayFunction AWS::Lambda::Function
ReplayFunctionAgain AWS::Events::Rule
ReplayFunctionAgainPermission AWS::Lambda::Permission
ReplayFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
ReplayLogGroup AWS::Logs::LogGroup
ReplayRole AWS::IAM::Role
ShipperFunction AWS::Lambda::Function
ShipperFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
ShipperLogGroup AWS::Logs::LogGroup
ShipperRole AWS::IAM::Role
"""
WITH_INFERENCE: Final = """
Api AWS::ApiGatewayV2::Api
ApiLogGroup AWS::Logs::LogGroup
ApiStage AWS::ApiGatewayV2::Stage
DeploymentRole AWS::IAM::Role
InferenceFunction AWS::Lambda::Function
InferenceFunctionAliaslive AWS::Lambda::Alias
InferenceFunctionDeploymentGroup AWS::CodeDeploy::DeploymentGroup
InferenceFunctionVersion AWS::Lambda::Version
InferenceLogGroup AWS::Logs::LogGroup
InferenceRole AWS::IAM::Role
PredictIntegration AWS::ApiGatewayV2::Integration
PredictPermission AWS::Lambda::Permission
PredictRoute AWS::ApiGatewayV2::Route
ServerlessDeploymentApplication AWS::CodeDeploy::Application
ShipperFunctionPredictions AWS::Logs::SubscriptionFilter
ShipperFunctionPredictionsPermission AWS::Lambda::Permission
"""
WITH_INSTALLER: Final = """
Kibana Custom::PredictionMonitorKibana
KibanaFunction AWS::Lambda::Function
KibanaFunctionAliaslive AWS::Lambda::Alias
KibanaFunctionVersion AWS::Lambda::Version
KibanaLogGroup AWS::Logs::LogGroup
KibanaRole AWS::IAM::Role
"""
WITH_MONITOR: Final = """
MonitorFunction AWS::Lambda::Function
MonitorFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
MonitorFunctionJudge AWS::Events::Rule
MonitorFunctionJudgePermission AWS::Lambda::Permission
MonitorLogGroup AWS::Logs::LogGroup
MonitorRecords AWS::Logs::SubscriptionFilter
MonitorRecordsPermission AWS::Lambda::Permission
MonitorRole AWS::IAM::Role
"""
WITH_DOMAIN: Final = """
Domain AWS::OpenSearchService::Domain
DomainAuditLogGroup AWS::Logs::LogGroup
DomainErrorLogGroup AWS::Logs::LogGroup
DomainLogPolicy AWS::Logs::ResourcePolicy
DomainSlowLogGroup AWS::Logs::LogGroup
MasterUser AWS::SecretsManager::Secret
"""
WITH_NETWORK: Final = """
FunctionsSecurityGroup AWS::EC2::SecurityGroup
"""
WITH_TOPIC: Final = """
AlarmTopic AWS::SNS::Topic
AlarmTopicPolicy AWS::SNS::TopicPolicy
"""
WITH_EMAIL: Final = """
AlarmSubscription AWS::SNS::Subscription
"""
WITH_MORE_LOGS: Final = """
MoreLogs1 AWS::Logs::SubscriptionFilter
MoreLogs1Permission AWS::Lambda::Permission
MoreLogs2 AWS::Logs::SubscriptionFilter
MoreLogs2Permission AWS::Lambda::Permission
"""
WITH_BOTH: Final = """
DomainIngress AWS::EC2::SecurityGroupIngress
DomainSecurityGroup AWS::EC2::SecurityGroup
"""
HASHED: Final = "{{resolve:secretsmanager:${HashKey}}}"
SHIPPING: Final = {
    "STACK": "AWS::StackName",
    "INDEX_PREFIX": "IndexPrefix",
    "FIELD_MAP": "FieldMap",
    "EXCLUDE": "Exclude",
    "REDACT_FIELDS": "RedactFields",
    "REDACT_PATTERNS": "RedactPatterns",
    "REDACT_KEY": HASHED,
}


@check(
    ALL,
    *(
        ("More", {"Type": kind})
        for kind in ("AWS::IAM::RolePolicy", "AWS::Lambda::Url", "AWS::EC2::SecurityGroupIngress", "AWS::Lambda::EventSourceMapping")
    ),
    ("DeadLetterBucketPolicy", GONE),
)
def test_there_is_what_is_listed_and_nothing_else(stack: Stack) -> None:
    wanted = ALWAYS + (WITH_INFERENCE if stack.has_inference else "")
    wanted += WITH_INSTALLER if {"CreateDomain", "InstallKibana"} & set(stack.given) else ""
    wanted += WITH_MONITOR if stack.monitors else ""
    wanted += WITH_DOMAIN if "CreateDomain" in stack.given else ""
    wanted += WITH_NETWORK if "Network" in stack.given and "FunctionsSecurityGroupId" not in stack.given else ""
    wanted += WITH_BOTH if {"CreateDomain", "Network"} <= set(stack.given) else ""
    wanted += "" if "AlarmTopicArn" in stack.given else WITH_TOPIC
    wanted += WITH_EMAIL if "AlarmEmail" in stack.given else ""
    wanted += "\nLogGroupsPermission AWS::Lambda::Permission\n" if stack.log_groups else ""
    wanted += "\n".join(f"{name} AWS::Logs::SubscriptionFilter" for name in stack.log_groups) + "\n"
    wanted += WITH_MORE_LOGS if "MoreLogGroups" in stack.given else ""
    found = [
        f"{re.sub('Version[0-9a-f]{10}$', 'Version', name)} {resource['Type']}"
        for name, resource in stack.resources.items()
        if resource["Type"] != "AWS::CloudWatch::Alarm"  # whose list is docs/runbook.md
    ]
    assert sorted(found) == sorted(filter(None, wanted.split("\n")))


@check(
    ALL,
    ("ShipperFunction.Properties.Environment.Variables.OPENSEARCH_AUTH", "Basic YWRtaW46YWRtaW4="),
    ("InferenceFunction.Properties.Environment.Variables.LOG_TEXT", "true"),
)
def test_functions_are_told_what_is_listed_and_nothing_else(stack: Stack) -> None:
    """A secret in a variable of whatever name is noticed here."""
    address = "Kibana.OpenSearchUrl" if "Kibana" in stack.resources else "OpenSearchEndpoint"
    found = {
        name: {variable: text(value) for variable, value in function.get("Environment", {}).get("Variables", {}).items()}
        for name, function in stack.of_type("AWS::Lambda::Function").items()
    }
    believed = {"RECORD_LOG_GROUPS": "InferenceLogGroup" if stack.has_inference else ""}
    replay = {"DEAD_LETTER_BUCKET": "DeadLetterBucket", "EVENTS_PER_SECOND": "ReplayEventsPerSecond"}
    wanted = {
        "InferenceFunction": {"LOG_TEXT": "LogText", "LOG_SIGNALS": "LogSignals", "HASH_KEY": HASHED},
        "ShipperFunction": {"OPENSEARCH_URL": address, **SHIPPING, **believed},
        "ReplayFunction": {"OPENSEARCH_URL": address, **SHIPPING, **believed, **replay},
        "KibanaFunction": installing(stack),
        "MonitorFunction": {
            "OPENSEARCH_URL": address,
            "STACK": "AWS::StackName",
            "INDEX_PREFIX": "IndexPrefix",
            "FALSE_ALARM_DAYS": "FalseAlarmDays",
        },
    }
    assert found == {name: variables for name, variables in wanted.items() if name in stack.resources}


def installing(stack: Stack) -> dict[str, str]:
    """The installer's targets and parts, which no event can change."""
    own = "Domain" in stack.resources
    secret = "MasterUser" if own else "KibanaSecretArn" if "KibanaSecretArn" in stack.given else ""
    return {
        "OPENSEARCH_URL": "https://${Domain.DomainEndpoint}" if own else "OpenSearchEndpoint",
        "SECRET_ARN": secret,
        "STACK": "AWS::StackName",
        "STACK_ID": "AWS::StackId",
        "URL_SUFFIX": "AWS::URLSuffix",
        "INDEX_PREFIX": "IndexPrefix",
        "LOG_GROUPS": ("${InferenceLogGroup}," if stack.has_inference else "") + "${LogGroups},${MoreLogGroups}",
        "SHIPPER_ROLE_ARNS": "${ShipperRole.Arn},${ReplayRole.Arn}",
        "MONITOR_ROLE_ARNS": ",".join(
            [*(["MonitorRole.Arn"] if stack.monitors else []), *(["MonitorRoleArn"] if "MonitorRoleArn" in stack.given else [])]
        ),
        "RETENTION_DAYS": "IndexRetentionDays",
        "RETENTION_DAYS_OF_A_NEW_POLICY": "30" if own else "",
        "ADOPT_INDICES": "AdoptIndices",
        "AUDIT_LOG": "true" if own else "false",
    }

"""Test the complete lists of a stack's resources and of its functions' environment variables.

Some resources and variables exist only in some shapes of the stack (stacks.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tests.template.check import GONE, check
from tests.template.cloudformation import text
from tests.template.stacks import ALL, Stack

# Each pair has a function and a list of resources. The stacks for which the function returns True
# have these resources. The lists must be complete, because a new resource may open access or cost
# money.
PARTS: Final[tuple[tuple[Callable[[Stack], bool], str], ...]] = (
    (
        lambda _: True,
        """
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
        """,
    ),
    (
        lambda stack: stack.has_inference,
        """
            Api AWS::ApiGatewayV2::Api
            ApiLogGroup AWS::Logs::LogGroup
            ApiStage AWS::ApiGatewayV2::Stage
            DeploymentRole AWS::IAM::Role
            FeedbackPermission AWS::Lambda::Permission
            FeedbackRoute AWS::ApiGatewayV2::Route
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
        """,
    ),
    (
        lambda stack: bool({"CreateDomain", "InstallKibana"} & stack.given.keys()),
        """
            Kibana Custom::PredictionMonitorKibana
            KibanaFunction AWS::Lambda::Function
            KibanaFunctionAliaslive AWS::Lambda::Alias
            KibanaFunctionVersion AWS::Lambda::Version
            KibanaLogGroup AWS::Logs::LogGroup
            KibanaRole AWS::IAM::Role
        """,
    ),
    (
        lambda stack: stack.monitors,
        """
            MonitorFunction AWS::Lambda::Function
            MonitorFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
            MonitorFunctionJudge AWS::Events::Rule
            MonitorFunctionJudgePermission AWS::Lambda::Permission
            MonitorLogGroup AWS::Logs::LogGroup
            MonitorRecords AWS::Logs::SubscriptionFilter
            MonitorRecordsPermission AWS::Lambda::Permission
            MonitorRole AWS::IAM::Role
            Messages AWS::Logs::SubscriptionFilter
            MessagesPermission AWS::Lambda::Permission
            MessengerFunction AWS::Lambda::Function
            MessengerFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
            MessengerFunctionWaiting AWS::Events::Rule
            MessengerFunctionWaitingPermission AWS::Lambda::Permission
            MessengerLogGroup AWS::Logs::LogGroup
            MessengerRole AWS::IAM::Role
        """,
    ),
    (
        lambda stack: stack.monitors and "DriftTopicArn" not in stack.given,
        """
            DriftTopic AWS::SNS::Topic
        """,
    ),
    (
        lambda stack: "DriftEmail" in stack.given and stack.monitors,
        """
            DriftSubscription AWS::SNS::Subscription
        """,
    ),
    (
        lambda stack: stack.streams,
        """
            Stream AWS::Kinesis::Stream
            StreamMapping AWS::Lambda::EventSourceMapping
            StreamRole AWS::IAM::Role
        """,
    ),
    (
        lambda stack: stack.reports,
        """
            ReportBucket AWS::S3::Bucket
            ReportBucketPolicy AWS::S3::BucketPolicy
            ReportFunction AWS::Lambda::Function
            ReportFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
            ReportFunctionMake AWS::Events::Rule
            ReportFunctionMakePermission AWS::Lambda::Permission
            ReportLogGroup AWS::Logs::LogGroup
            ReportRole AWS::IAM::Role
        """,
    ),
    (
        lambda stack: stack.asks,
        """
            CanaryFunction AWS::Lambda::Function
            CanaryFunctionAsk AWS::Events::Rule
            CanaryFunctionAskPermission AWS::Lambda::Permission
            CanaryFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
            CanaryLogGroup AWS::Logs::LogGroup
            CanaryRecords AWS::Logs::SubscriptionFilter
            CanaryRecordsPermission AWS::Lambda::Permission
            CanaryRole AWS::IAM::Role
        """,
    ),
    (
        lambda stack: "CreateDomain" in stack.given,
        """
            Domain AWS::OpenSearchService::Domain
            DomainAuditLogGroup AWS::Logs::LogGroup
            DomainErrorLogGroup AWS::Logs::LogGroup
            DomainLogPolicy AWS::Logs::ResourcePolicy
            DomainSlowLogGroup AWS::Logs::LogGroup
            MasterUser AWS::SecretsManager::Secret
        """,
    ),
    (
        lambda stack: "Network" in stack.given and "FunctionsSecurityGroupId" not in stack.given,
        """
            FunctionsSecurityGroup AWS::EC2::SecurityGroup
        """,
    ),
    (
        lambda stack: {"CreateDomain", "Network"} <= stack.given.keys(),
        """
            DomainIngress AWS::EC2::SecurityGroupIngress
            DomainSecurityGroup AWS::EC2::SecurityGroup
        """,
    ),
    (
        lambda stack: "AlarmTopicArn" not in stack.given,
        """
            AlarmTopic AWS::SNS::Topic
            AlarmTopicPolicy AWS::SNS::TopicPolicy
        """,
    ),
    (
        lambda stack: "AlarmEmail" in stack.given,
        """
            AlarmSubscription AWS::SNS::Subscription
        """,
    ),
    (
        lambda stack: bool(stack.log_groups),
        """
            LogGroupsPermission AWS::Lambda::Permission
        """,
    ),
    (
        lambda stack: "MoreLogGroups" in stack.given,
        """
            MoreLogs1 AWS::Logs::SubscriptionFilter
            MoreLogs1Permission AWS::Lambda::Permission
            MoreLogs2 AWS::Logs::SubscriptionFilter
            MoreLogs2Permission AWS::Lambda::Permission
        """,
    ),
)
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
        for kind in (
            "AWS::IAM::RolePolicy",
            "AWS::Lambda::Url",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::Lambda::EventSourceMapping",
        )
    ),
    ("DeadLetterBucketPolicy", GONE),
)
def test_the_stack_has_exactly_the_listed_resources(stack: Stack) -> None:
    wanted = [
        line.strip()
        for there, lines in PARTS
        if there(stack)
        for line in lines.strip().splitlines()
    ]
    wanted += [f"{name} AWS::Logs::SubscriptionFilter" for name in stack.log_groups]
    found = [
        f"{re.sub('Version[0-9a-f]{10}$', 'Version', name)} {resource['Type']}"
        for name, resource in stack.resources.items()
        if resource["Type"] != "AWS::CloudWatch::Alarm"  # docs/runbook.md lists the alarms
    ]
    assert sorted(found) == sorted(wanted)


@check(
    ALL,
    ("ShipperFunction.Properties.Environment.Variables.OPENSEARCH_AUTH", "Basic YWRtaW46YWRtaW4="),
    ("InferenceFunction.Properties.Environment.Variables.LOG_TEXT", "true"),
)
def test_functions_have_exactly_the_listed_variables(stack: Stack) -> None:
    """The lists are complete, so a secret in a variable with a new name is found too."""
    address = "Kibana.OpenSearchUrl" if "Kibana" in stack.resources else "OpenSearchEndpoint"
    found = {
        name: {
            variable: re.sub("Version[0-9a-f]{10}$", "Version", text(value))
            for variable, value in function.get("Environment", {}).get("Variables", {}).items()
        }
        for name, function in stack.of_type("AWS::Lambda::Function").items()
    }
    trusted = {"RECORD_LOG_GROUPS": "InferenceLogGroup" if stack.has_inference else ""}
    replay = {
        "DEAD_LETTER_BUCKET": "DeadLetterBucket",
        "EVENTS_PER_SECOND": "ReplayEventsPerSecond",
    }
    wanted = {
        "InferenceFunction": {
            "LOG_TEXT": "LogText",
            "LOG_SIGNALS": "LogSignals",
            "HASH_KEY": HASHED,
        },
        "ShipperFunction": {"OPENSEARCH_URL": address, **SHIPPING, **trusted},
        "ReplayFunction": {"OPENSEARCH_URL": address, **SHIPPING, **trusted, **replay},
        "KibanaFunction": installing(stack),
        "MonitorFunction": {
            "OPENSEARCH_URL": address,
            "STACK": "AWS::StackName",
            "INDEX_PREFIX": "IndexPrefix",
            "FALSE_ALARM_DAYS": "FalseAlarmDays",
            "MONITOR_BY": "MonitorBy",
            "MESSAGE_WORDS": "MessageWords",
            "DASHBOARD_URL": "Kibana.PredictionsUrl" if "Kibana" in stack.resources else "",
            "REPORT_URL": "https://${AWS::Region}.console.aws.amazon.com/s3/object/${ReportBucket}"
            "?region=${AWS::Region}&prefix="
            if stack.reports
            else "",
        },
        "ReportFunction": {
            "OPENSEARCH_URL": address,
            "STACK": "AWS::StackName",
            "INDEX_PREFIX": "IndexPrefix",
            "REPORT_BUCKET": "ReportBucket",
        },
        "MessengerFunction": {
            "TOPIC_ARN": "DriftTopicArn" if "DriftTopicArn" in stack.given else "DriftTopic",
            "CLAIMS_BUCKET": "DeadLetterBucket",
            "STACK": "AWS::StackName",
        },
        "CanaryFunction": {
            "CANARY_FUNCTION": "${InferenceFunction}:live",
            "DEPLOYED_VERSION": "InferenceFunctionVersion",
        }
        if stack.has_inference
        else {"CANARY_FUNCTION": "CanaryTargetArn", "DEPLOYED_VERSION": ""},
    }
    assert found == {
        name: variables for name, variables in wanted.items() if name in stack.resources
    }


def installing(stack: Stack) -> dict[str, str]:
    """Return the variables of the installer. No event can change these settings."""
    own = "Domain" in stack.resources
    secret = "MasterUser" if own else "KibanaSecretArn" if "KibanaSecretArn" in stack.given else ""
    return {
        "OPENSEARCH_URL": "https://${Domain.DomainEndpoint}" if own else "OpenSearchEndpoint",
        "SECRET_ARN": secret,
        "STACK": "AWS::StackName",
        "STACK_ID": "AWS::StackId",
        "URL_SUFFIX": "AWS::URLSuffix",
        "INDEX_PREFIX": "IndexPrefix",
        "LOG_GROUPS": ("${InferenceLogGroup}," if stack.has_inference else "")
        + "${LogGroups},${MoreLogGroups}",
        "SHIPPER_ROLE_ARNS": "${ShipperRole.Arn},${ReplayRole.Arn}",
        "MONITOR_ROLE_ARNS": ",".join(
            [
                *(["MonitorRole.Arn"] if stack.monitors else []),
                *(["ReportRole.Arn"] if stack.reports else []),
                *(["MonitorRoleArn"] if "MonitorRoleArn" in stack.given else []),
            ]
        ),
        "RETENTION_DAYS": "IndexRetentionDays",
        "RETENTION_DAYS_OF_A_NEW_POLICY": "30" if own else "",
        "ADOPT_INDICES": "AdoptIndices",
        "LABELS": "Labels" if "Labels" in stack.given else "*" if stack.has_inference else "",
        "AUDIT_LOG": "true" if own else "false",
    }

"""What a security reviewer asks of the stack, in each shape that it can have; and that each answer fails on a stack with a flaw."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from copy import deepcopy
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Final, NamedTuple

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from installer.custom_resource import outcome
from local.template import load
from shipper.dead_letters import POISON, PREFIX
from tests.template.cloudformation import Resource, Resources, defaults, deployed, listed, of_type, statements, text, transformed
from tests.unit.installer.domain import Domain, Reply, Request, listening
from tools.root import ROOT

EXISTING: Final = {"OpenSearchEndpoint": "https://x.eu-west-1.es.amazonaws.com", "OpenSearchDomainArn": "arn"}
VPC: Final = {"Network": "vpc", "VpcId": "vpc-1", "VpcSubnetId": "subnet-1", "VpcSecondSubnetId": "subnet-2", "DomainInstanceCount": "2"}
GRADUAL: Final = {"GradualDeployment": "Canary10Percent5Minutes", "SnapStart": "PublishedVersions"}
OPENED: Final = {
    "ApiAuthorization": "NONE",
    "MoreLogGroups": "/aws/lambda/other,/more",
    "AlarmTopicArn": "arn",
    "NoPredictionsMinutes": "0",
    "InferenceConcurrency": "20",
    "ShipperConcurrency": "0",
}
SHAPES: Final[dict[str, dict[str, str]]] = {
    "existing": EXISTING | {"AlarmEmail": "who@example.com"},
    "existing, opened": EXISTING | OPENED,
    "installed": EXISTING | {"InstallKibana": "true"},
    "installed with a secret": EXISTING | {"InstallKibana": "true", "KibanaSecretArn": "arn", "MonitorRoleArn": "arn"},
    "installed in a VPC": EXISTING | {"InstallKibana": "true"} | VPC,
    "own": {"CreateDomain": "true"} | GRADUAL,
    "own in a VPC": {"CreateDomain": "true", "MoreLogGroups": "/aws/lambda/other,/more"} | VPC,
}
ALL: Final = tuple(SHAPES)
OWN: Final = ("own", "own in a VPC")
IN_VPC: Final = ("installed in a VPC", "own in a VPC")
OWN_IN_VPC: Final = ("own in a VPC",)
INSTALLED: Final = ALL[2:]

SECRET: Final = "{{resolve:secretsmanager:"
BUCKET: Final = "${DeadLetterBucket.Arn}/"
INTERFACES: Final = {
    f"ec2:{action}"
    for action in (
        *("CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets"),
        *("DeleteNetworkInterface", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
    )
}
REACHED: Final = (
    "_index_template/prediction-monitor*",
    "_plugins/_ism/policies/prediction-monitor*",
    *(f"_plugins/_ism/{verb}/${{IndexPrefix}}*" for verb in ("explain", "add", "change_policy")),
    *(f"_plugins/_security/api/{path}/prediction-monitor-*" for path in ("roles", "rolesmapping")),
    *(f"_dashboards/api/{path}" for path in ("saved_objects/*", "opensearch-dashboards/settings", "kibana/settings")),
)
READ: Final = ("_cluster/settings", "${IndexPrefix}*/_search", "${IndexPrefix}*/_settings/index.creation_date")
DOMAIN_LOGS: Final = {
    "ES_APPLICATION_LOGS": "DomainErrorLogGroup",
    "INDEX_SLOW_LOGS": "DomainSlowLogGroup",
    "SEARCH_SLOW_LOGS": "DomainSlowLogGroup",
    "AUDIT_LOGS": "DomainAuditLogGroup",
}
OUTLASTING: Final = {"HashKey", "DeadLetterBucket"}
OUTLASTING_OWN: Final = {"Domain", "MasterUser", "DomainLogPolicy", *DOMAIN_LOGS.values()}

# All that there is: what is added opens something, or costs something.
ALWAYS: Final = """
Api AWS::ApiGatewayV2::Api
ApiLogGroup AWS::Logs::LogGroup
ApiStage AWS::ApiGatewayV2::Stage
Dashboard AWS::CloudWatch::Dashboard
DeadLetterBucket AWS::S3::Bucket
DeadLetterBucketPolicy AWS::S3::BucketPolicy
DeploymentRole AWS::IAM::Role
HashKey AWS::SecretsManager::Secret
InferenceFunction AWS::Lambda::Function
InferenceFunctionAliaslive AWS::Lambda::Alias
InferenceFunctionDeploymentGroup AWS::CodeDeploy::DeploymentGroup
InferenceFunctionVersion AWS::Lambda::Version
InferenceLogGroup AWS::Logs::LogGroup
InferenceRole AWS::IAM::Role
PredictIntegration AWS::ApiGatewayV2::Integration
PredictPermission AWS::Lambda::Permission
PredictRoute AWS::ApiGatewayV2::Route
ReplayFunction AWS::Lambda::Function
ReplayFunctionAgain AWS::Events::Rule
ReplayFunctionAgainPermission AWS::Lambda::Permission
ReplayFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
ReplayLogGroup AWS::Logs::LogGroup
ReplayRole AWS::IAM::Role
ServerlessDeploymentApplication AWS::CodeDeploy::Application
ShipperFunction AWS::Lambda::Function
ShipperFunctionEventInvokeConfig AWS::Lambda::EventInvokeConfig
ShipperFunctionPredictions AWS::Logs::SubscriptionFilter
ShipperFunctionPredictionsPermission AWS::Lambda::Permission
ShipperLogGroup AWS::Logs::LogGroup
ShipperRole AWS::IAM::Role
"""
WITH_INSTALLER: Final = """
Kibana Custom::PredictionMonitorKibana
KibanaFunction AWS::Lambda::Function
KibanaFunctionAliaslive AWS::Lambda::Alias
KibanaFunctionVersion AWS::Lambda::Version
KibanaLogGroup AWS::Logs::LogGroup
KibanaRole AWS::IAM::Role
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
    "RECORD_LOG_GROUPS": "InferenceLogGroup",
    "EXCLUDE": "Exclude",
    "REDACT_FIELDS": "RedactFields",
    "REDACT_PATTERNS": "RedactPatterns",
    "REDACT_KEY": HASHED,
}


class Stack(NamedTuple):
    """What there is, and the parameters that it was made with."""

    resources: Resources
    given: dict[str, str]

    @property
    def more_logs(self) -> list[str]:
        """The log groups that the parameter names."""
        return [name for name in self.given.get("MoreLogGroups", "").split(",") if name]

    def properties(self, name: str) -> Resource:
        """A resource's properties."""
        found: Resource = self.resources[name]["Properties"]
        return found

    def of_type(self, kind: str) -> dict[str, Resource]:
        """Name and properties of each resource of a type."""
        return dict(of_type(self.resources, kind))


type Check = Callable[[Stack], None]
type Permission = tuple[str, str]


@cache
def _stack(shape: str) -> Stack:
    return Stack(deployed(SHAPES[shape]), SHAPES[shape])


# --- who may do what -----------------------------------------------------------------------------------------------------


def allowed(stack: Stack) -> dict[str, set[Permission]]:
    """Every role's actions, each with the resource that it is for: the whole list."""
    domain = "${Domain.Arn}" if "Domain" in stack.resources else "${OpenSearchDomainArn}"

    def log(name: str) -> set[Permission]:
        group = f"arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:${{{name}LogGroup}}:*"
        return {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)}

    network = {(action, "*") for action in INTERFACES} if "Network" in stack.given else set()
    found = {
        "InferenceRole": log("Inference"),
        "ShipperRole": {
            *(log("Shipper") | network),
            ("es:ESHttpPost", f"{domain}/_bulk"),
            ("es:ESHttpPost", f"{domain}/cwl-*/_count"),
            ("s3:PutObject", f"{BUCKET}{PREFIX}*"),
            ("s3:ListBucket", "DeadLetterBucket.Arn"),
        },
        "ReplayRole": {
            *(log("Replay") | network),
            ("es:ESHttpPost", f"{domain}/_bulk"),
            ("es:ESHttpPost", f"{domain}/cwl-*/_count"),
            ("s3:ListBucket", "DeadLetterBucket.Arn"),
            *((f"s3:{action}Object", f"{BUCKET}{PREFIX}*") for action in ("Get", "Delete")),
            *((f"s3:{action}Object", f"{BUCKET}{POISON}*") for action in ("Get", "Put", "Delete")),
        },
        "DeploymentRole": {
            ("cloudwatch:DescribeAlarms", "*"),
            *(
                (f"lambda:{action}", function)
                for action in ("GetAlias", "UpdateAlias", "GetProvisionedConcurrencyConfig")
                for function in ("InferenceFunction.Arn", "${InferenceFunction.Arn}:live")
            ),
        },
    }
    signed = {(f"es:ESHttp{method}", f"{domain}/{path}") for method in ("Get", "Put", "Post", "Delete") for path in REACHED}
    signed |= {(f"es:ESHttp{'Post' if path.endswith('_search') else 'Get'}", f"{domain}/{path}") for path in READ}
    own = {*log("Kibana"), ("cloudformation:DescribeStacks", "AWS::StackId")}
    if "CreateDomain" in stack.given:
        found["KibanaRole"] = {*own, *network, ("secretsmanager:GetSecretValue", "MasterUser")}
    elif "KibanaSecretArn" in stack.given:
        found["KibanaRole"] = {*own, *network, ("secretsmanager:GetSecretValue", "KibanaSecretArn")}
    elif "InstallKibana" in stack.given:
        found["KibanaRole"] = own | network | signed
    return found


def roles_allow_what_is_listed_and_nothing_else(stack: Stack) -> None:
    found = {}
    for name, role in stack.of_type("AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role
        granted = [statement for statement in statements(role) if statement["Effect"] == "Allow"]
        assert not [statement for statement in granted if {"NotAction", "NotResource"} & set(statement)]
        found[name] = {
            (action, text(each))
            for statement in granted
            for action in listed(statement["Action"])
            for each in listed(statement["Resource"])
        }
    assert found == allowed(stack)


def there_is_what_is_listed_and_nothing_else(stack: Stack) -> None:
    wanted = ALWAYS
    wanted += WITH_INSTALLER if {"CreateDomain", "InstallKibana"} & set(stack.given) else ""
    wanted += WITH_DOMAIN if "CreateDomain" in stack.given else ""
    wanted += WITH_NETWORK if "Network" in stack.given else ""
    wanted += WITH_BOTH if {"CreateDomain", "Network"} <= set(stack.given) else ""
    wanted += "" if "AlarmTopicArn" in stack.given else WITH_TOPIC
    wanted += WITH_EMAIL if "AlarmEmail" in stack.given else ""
    wanted += WITH_MORE_LOGS if "MoreLogGroups" in stack.given else ""
    found = [
        f"{re.sub('Version[0-9a-f]{10}$', 'Version', name)} {resource['Type']}"
        for name, resource in stack.resources.items()
        if resource["Type"] != "AWS::CloudWatch::Alarm"  # whose list is docs/runbook.md
    ]
    assert sorted(found) == sorted(filter(None, wanted.split("\n")))


def functions_are_told_what_is_listed_and_nothing_else(stack: Stack) -> None:
    """A secret in a variable of whatever name is noticed here."""
    address = "Kibana.OpenSearchUrl" if "Kibana" in stack.resources else "OpenSearchEndpoint"
    found = {
        name: {variable: text(value) for variable, value in function.get("Environment", {}).get("Variables", {}).items()}
        for name, function in stack.of_type("AWS::Lambda::Function").items()
    }
    replay = {"DEAD_LETTER_BUCKET": "DeadLetterBucket", "EVENTS_PER_SECOND": "ReplayEventsPerSecond"}
    wanted = {
        "InferenceFunction": {"LOG_TEXT": "LogText", "LOG_SIGNALS": "LogSignals", "HASH_KEY": HASHED},
        "ShipperFunction": {"OPENSEARCH_URL": address, **SHIPPING},
        "ReplayFunction": {"OPENSEARCH_URL": address, **SHIPPING, **replay},
        "KibanaFunction": installing(stack),
    }
    assert found == {name: variables for name, variables in wanted.items() if name in stack.resources}


def installing(stack: Stack) -> dict[str, str]:
    """What the installer may reach and what it installs: no event says it."""
    own = "Domain" in stack.resources
    secret = "MasterUser" if own else "KibanaSecretArn" if "KibanaSecretArn" in stack.given else ""
    return {
        "OPENSEARCH_URL": "https://${Domain.DomainEndpoint}" if own else "OpenSearchEndpoint",
        "SECRET_ARN": secret,
        "STACK": "AWS::StackName",
        "STACK_ID": "AWS::StackId",
        "URL_SUFFIX": "AWS::URLSuffix",
        "INDEX_PREFIX": "IndexPrefix",
        "LOG_GROUPS": "${InferenceLogGroup},${MoreLogGroups}",
        "SHIPPER_ROLE_ARNS": "${ShipperRole.Arn},${ReplayRole.Arn}",
        "MONITOR_ROLE_ARNS": "MonitorRoleArn",
        "RETENTION_DAYS": "IndexRetentionDays",
        "RETENTION_DAYS_OF_A_NEW_POLICY": "30" if own else "",
        "ADOPT_INDICES": "AdoptIndices",
        "AUDIT_LOG": "true" if own else "false",
    }


def what_the_installer_is_told_makes_it_run_again(stack: Stack) -> None:
    """Every value of its environment that a parameter can change is a property of the resource as well."""
    told = stack.properties("KibanaFunction")["Environment"]["Variables"]
    repeated = {json.dumps(value) for value in stack.properties("Kibana").values()}
    elsewhere = {"STACK", "STACK_ID", "URL_SUFFIX", "AUDIT_LOG"}  # the stack's for ever
    elsewhere |= {"SHIPPER_ROLE_ARNS", "MONITOR_ROLE_ARNS"}  # lists there
    elsewhere |= set() if told["SECRET_ARN"] else {"SECRET_ARN"}
    assert {name for name, value in told.items() if json.dumps(value) not in repeated} <= elsewhere


def a_service_alone_takes_a_role(stack: Stack) -> None:
    for name, role in stack.of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = "codedeploy" if name == "DeploymentRole" else "lambda"
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}


def every_function_has_a_role_of_its_own(stack: Stack) -> None:
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        assert function["Role"] == {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}


def the_bucket_is_this_accounts(stack: Stack) -> None:
    """A bucket that was deleted could be made again by somebody else, under the same name."""
    granted = [statement for role in stack.of_type("AWS::IAM::Role").values() for statement in statements(role)]
    on_buckets = [statement for statement in granted if str(listed(statement["Action"])[0]).startswith("s3:")]
    assert on_buckets
    assert {json.dumps(statement.get("Condition")) for statement in on_buckets} == {
        json.dumps({"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}})
    }


def the_code_in_a_vpc_cannot_touch_the_network(stack: Stack) -> None:
    for name in ("ShipperRole", "ReplayRole", "KibanaRole"):
        (refused,) = [statement for statement in statements(stack.properties(name)) if statement["Effect"] == "Deny"]
        assert set(refused["Action"]) == INTERFACES
        assert refused["Resource"] == "*"
        assert list(refused["Condition"]) == ["ArnLike"]
        assert list(refused["Condition"]["ArnLike"]) == ["lambda:SourceFunctionArn"]
        assert text(refused["Condition"]["ArnLike"]["lambda:SourceFunctionArn"]).endswith(":function:*")


# --- who gets in ---------------------------------------------------------------------------------------------------------


def nobody_is_let_in_but_where_it_says_so(stack: Stack) -> None:
    """Every policy that lets everybody in: the domain's own, behind its security plugin. And who may call which function."""
    open_to_all = set()
    for name, resource in stack.resources.items():
        properties = resource.get("Properties", {})
        policies = [properties.get(kind) for kind in ("AccessPolicies", "PolicyDocument", "AssumeRolePolicyDocument")]
        for policy in filter(None, policies):
            document = policy if "Statement" in policy else json.loads(text(policy))
            granted = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
            open_to_all |= {name for statement in granted if "*" in json.dumps(statement["Principal"])}
    assert open_to_all <= {"Domain"}
    callers = {
        (text(each["FunctionName"]), each["Principal"], selected(each["SourceArn"], stack))
        for each in stack.of_type("AWS::Lambda::Permission").values()
    }
    api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/POST/predict"
    logs = "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:${InferenceLogGroup}:*"
    more = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Name}:*"
    assert callers == {
        ("InferenceFunctionAliaslive", "apigateway.amazonaws.com", api),
        ("ShipperFunction", "logs.amazonaws.com", logs),
        ("ReplayFunction", "events.amazonaws.com", "ReplayFunctionAgain.Arn"),
        *(("ShipperFunction.Arn", "logs.amazonaws.com", more.replace("${Name}", name)) for name in stack.more_logs),
    }
    if "AlarmTopicPolicy" in stack.resources:
        (statement,) = stack.properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]
        assert (statement["Principal"], statement["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert text(statement["Condition"]["ArnLike"]["aws:SourceArn"]).endswith(":${AWS::AccountId}:alarm:*")


def the_open_domain_asks_who_one_is(stack: Stack) -> None:
    domain = stack.properties("Domain")
    # none of the actions that change the domain itself
    (statement,) = domain["AccessPolicies"]["Statement"]
    assert statement == {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "es:ESHttp*", "Resource": "*"}
    security = dict(domain["AdvancedSecurityOptions"])
    user = {name: text(value) for name, value in security.pop("MasterUserOptions").items()}
    assert security == {"Enabled": True, "InternalUserDatabaseEnabled": True, "AnonymousAuthEnabled": False}
    generated = SECRET + "${MasterUser}:SecretString:"
    assert user == {"MasterUserName": generated + "username}}", "MasterUserPassword": generated + "password}}"}


def the_api_asks_for_a_signature_and_is_throttled(stack: Stack) -> None:
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {name: {"Ref": "RequestsPerSecond"} for name in ("ThrottlingRateLimit", "ThrottlingBurstLimit")}
    assert "RouteSettings" not in stage  # which would come before these
    (api,) = stack.of_type("AWS::ApiGatewayV2::Api").values()
    assert not {"Body", "BodyS3Location", "Target", "CorsConfiguration"} & set(api)  # ways to routes that are not written here
    (route,) = stack.of_type("AWS::ApiGatewayV2::Route").values()
    assert (route["RouteKey"], route["AuthorizationType"]) == ("POST /predict", {"Ref": "ApiAuthorization"})
    parameter = load()["Parameters"]["ApiAuthorization"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("AWS_IAM", ["AWS_IAM", "NONE"])


def the_replay_runs_on_its_schedule(stack: Stack) -> None:
    (properties,) = stack.of_type("AWS::Events::Rule").values()
    assert properties["ScheduleExpression"] == {"Ref": "ReplaySchedule"}
    assert properties.get("State", "ENABLED") == "ENABLED"
    (target,) = properties["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["ReplayFunction", "Arn"]}
    assert "Input" not in target  # its own event narrows nothing


def the_bucket_is_private(stack: Stack) -> None:
    bucket = stack.properties("DeadLetterBucket")
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def the_network_lets_in_the_functions_alone(stack: Stack) -> None:
    ingress, domain = stack.properties("DomainIngress"), stack.properties("DomainSecurityGroup")
    assert (ingress["GroupId"], ingress["SourceSecurityGroupId"]) == ({"Ref": "DomainSecurityGroup"}, {"Ref": "FunctionsSecurityGroup"})
    assert (ingress["IpProtocol"], ingress["FromPort"], ingress["ToPort"]) == ("tcp", 443, 443)
    assert not {"CidrIp", "CidrIpv6"} & set(ingress)
    assert "SecurityGroupIngress" not in domain
    assert [each["CidrIp"] for each in domain["SecurityGroupEgress"]] == ["127.0.0.1/32"]
    assert "DomainIngress" in before(stack, "Kibana")


def the_functions_in_a_vpc_are_called_by_nobody_and_call_https(stack: Stack) -> None:
    functions = stack.properties("FunctionsSecurityGroup")
    assert "SecurityGroupIngress" not in functions
    assert [(each["IpProtocol"], each["FromPort"], each["ToPort"]) for each in functions["SecurityGroupEgress"]] == [("tcp", 443, 443)]


def all_that_talks_to_the_domain_is_in_the_vpc(stack: Stack) -> None:
    subnets = [{"Ref": "VpcSubnetId"}, {"Ref": "VpcSecondSubnetId"}]
    if "Domain" in stack.resources:
        assert stack.properties("Domain")["VPCOptions"] == {"SecurityGroupIds": [{"Ref": "DomainSecurityGroup"}], "SubnetIds": subnets}
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        inside = {"SecurityGroupIds": [{"Ref": "FunctionsSecurityGroup"}], "SubnetIds": subnets}
        assert function.get("VpcConfig") == (None if name == "InferenceFunction" else inside)


# --- what is hidden, and what is kept ------------------------------------------------------------------------------------


def the_domain_is_encrypted_on_every_way(stack: Stack) -> None:
    domain = stack.properties("Domain")
    assert domain["EncryptionAtRestOptions"]["Enabled"] is True
    assert domain["NodeToNodeEncryptionOptions"]["Enabled"] is True
    assert domain["DomainEndpointOptions"] == {"EnforceHTTPS": True, "TLSSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10"}
    assert domain["EBSOptions"]["VolumeType"] == "gp3"


def the_bucket_is_encrypted_on_every_way(stack: Stack) -> None:
    assert stack.properties("DeadLetterBucket")["BucketEncryption"] == {
        "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    }
    (statement,) = stack.properties("DeadLetterBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(map(text, statement["Resource"])) == {"DeadLetterBucket.Arn", f"{BUCKET}*"}


def no_secret_is_written_down(stack: Stack) -> None:
    """Each is generated, and referred to by its name."""
    for secret in stack.of_type("AWS::SecretsManager::Secret").values():
        assert "SecretString" not in secret
        assert secret["GenerateSecretString"]["PasswordLength"] >= 40
    found = dict(_named(stack.resources, re.compile(r"(?i)(password|_key|(?<!service)token)$")))
    assert all(value.startswith(SECRET) for value in found.values()), found
    assert "HASH_KEY" in found


def logs_are_kept_as_long_as_it_says(stack: Stack) -> None:
    groups = stack.of_type("AWS::Logs::LogGroup")
    assert {json.dumps(group.get("RetentionInDays")) for group in groups.values()} == {'{"Ref": "LogRetentionDays"}'}
    assert not [group for group in groups.values() if "LogGroupClass" in group]  # another than the standard one has no subscriptions
    used = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in stack.of_type("AWS::Lambda::Function").values()]
    assert sorted(used) == sorted(group for group in groups if not group.startswith(("Api", "Domain")))


def who_called_is_logged_and_not_what_was_said(stack: Stack) -> None:
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["AccessLogSettings"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogGroup", "Arn"]}
    logged = json.loads(stage["AccessLogSettings"]["Format"])
    assert {"$context.requestId", "$context.status", "$context.identity.userArn"} <= set(logged.values())
    assert all(value.startswith("$context.") for value in logged.values())


def dead_letters_are_kept_as_long_as_it_says(stack: Stack) -> None:
    (rule,) = stack.properties("DeadLetterBucket")["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", {"Ref": "DeadLetterRetentionDays"})
    assert "Prefix" not in rule


def the_domain_writes_its_logs(stack: Stack) -> None:
    published = stack.properties("Domain")["LogPublishingOptions"]
    assert {kind: options["Enabled"] for kind, options in published.items()} == dict.fromkeys(DOMAIN_LOGS, True)
    assert {kind: options["CloudWatchLogsLogGroupArn"]["Fn::GetAtt"][0] for kind, options in published.items()} == DOMAIN_LOGS
    assert stack.resources["Domain"]["DependsOn"] == "DomainLogPolicy"
    (statement,) = json.loads(text(stack.properties("DomainLogPolicy")["PolicyDocument"]))["Statement"]
    assert statement["Principal"] == {"Service": "es.amazonaws.com"}
    assert statement["Action"] == ["logs:PutLogEvents", "logs:CreateLogStream"]
    assert statement["Resource"] == [f"${{{group}.Arn}}" for group in dict.fromkeys(DOMAIN_LOGS.values())]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "${AWS::AccountId}"}
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"].endswith(":${AWS::AccountId}:domain/*")
    names = [text(stack.properties(group)["LogGroupName"]) for group in DOMAIN_LOGS.values()]
    assert all(name.startswith("/aws/vendedlogs/") for name in names)  # others may use up a policy of ten in a region


def what_is_worth_keeping_outlasts_the_stack(stack: Stack) -> None:
    wanted = OUTLASTING | (OUTLASTING_OWN if "Domain" in stack.resources else set())
    wanted |= {"DomainSecurityGroup"} & set(stack.resources)  # a group that a domain is in cannot be deleted
    kept = {
        name
        for name, resource in stack.resources.items()
        if (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")) == ("RetainExceptOnCreate", "Retain")
    }
    assert kept == wanted
    for group in stack.of_type("AWS::Logs::LogGroup"):
        assert stack.resources[group]["UpdateReplacePolicy"] == "Retain"


def an_update_of_the_domain_is_never_a_new_one(stack: Stack) -> None:
    assert stack.resources["Domain"]["UpdatePolicy"] == {"EnableVersionUpgrade": True}
    assert not {"DomainName", "EngineMode"} & set(stack.properties("Domain"))  # a change of these replaces it


# --- that nothing is lost ------------------------------------------------------------------------------------------------


def what_fails_reaches_the_dead_letters(stack: Stack) -> None:
    configs = {text(config["FunctionName"]): config for config in stack.of_type("AWS::Lambda::EventInvokeConfig").values()}
    assert set(configs) == {"ShipperFunction", "ReplayFunction"}
    assert {config["Qualifier"] for config in configs.values()} == {"$LATEST"}
    shipper, replay = configs["ShipperFunction"], configs["ReplayFunction"]
    assert shipper["DestinationConfig"]["OnFailure"] == {"Destination": {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}}
    assert shipper["MaximumRetryAttempts"] == 2
    assert "MaximumEventAgeInSeconds" not in shipper  # six hours
    assert replay["MaximumRetryAttempts"] == 0  # its next schedule is its retry, and a letter of it would be no payload
    assert not replay.get("DestinationConfig")


def nothing_but_the_predictions_is_subscribed(stack: Stack) -> None:
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


def the_filter_comes_after_the_permission(stack: Stack) -> None:
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        assert f"{name}Permission" in before(stack, name)
    assert {"PredictPermission", "InferenceFunctionAliaslive"} <= before(stack, "PredictRoute")


def the_filter_comes_after_the_installer_and_that_after_the_domain(stack: Stack) -> None:
    for name in stack.of_type("AWS::Logs::SubscriptionFilter"):
        assert "Kibana" in before(stack, name)
    assert "Kibana" in before(stack, "ReplayFunction")
    assert ("Domain" in before(stack, "Kibana")) == ("Domain" in stack.resources)
    assert stack.properties("Kibana")["ServiceTimeout"] > stack.properties("KibanaFunction")["Timeout"]


def the_installer_maps_who_writes(stack: Stack) -> None:
    kibana = stack.properties("Kibana")
    assert kibana["ShipperRoleArns"] == [{"Fn::GetAtt": ["ShipperRole", "Arn"]}, {"Fn::GetAtt": ["ReplayRole", "Arn"]}]
    assert kibana["SecretArn"] == {"Ref": "MasterUser" if "Domain" in stack.resources else "KibanaSecretArn"}
    assert kibana.get("MonitorRoleArns") == ([{"Ref": "MonitorRoleArn"}] if "MonitorRoleArn" in stack.given else None)
    assert kibana.get("AuditLog") == ("true" if "Domain" in stack.resources else None)


# --- that a change arrives -----------------------------------------------------------------------------------------------


def callers_use_the_alias_of_inference_and_of_nothing_else(stack: Stack) -> None:
    assert stack.properties("PredictRoute")["Target"] == {"Fn::Sub": "integrations/${PredictIntegration}"}
    integration = stack.properties("PredictIntegration")
    assert text(integration["IntegrationUri"]).endswith(":lambda:path/2015-03-31/functions/${InferenceFunction.Arn}:live/invocations")
    assert stack.properties("InferenceFunctionAliaslive")["Name"] == "live"
    assert stack.properties("PredictPermission")["FunctionName"] == {"Ref": "InferenceFunctionAliaslive"}
    aliases = set(stack.of_type("AWS::Lambda::Alias")) - {"KibanaFunctionAliaslive"}  # whose version tells of new code, and is not called
    assert aliases == {"InferenceFunctionAliaslive"}
    if "Kibana" in stack.resources:
        assert stack.properties("Kibana")["ServiceToken"] == {"Fn::GetAtt": ["KibanaFunction", "Arn"]}


def a_version_is_made_of_every_change_of_a_setting(stack: Stack) -> None:
    """New code makes a version by itself; a setting only by the description, which CloudFormation cannot change in place."""
    (version,) = [each for name, each in stack.of_type("AWS::Lambda::Version").items() if name.startswith("Inference")]
    apart = {"Role", "Code", "ReservedConcurrentExecutions"}  # the last is the function's, in force at once for every version
    properties = {name: value for name, value in stack.properties("InferenceFunction").items() if name not in apart}
    found = {name for pair in re.findall(r"'Ref': '(\w+)'|\$\{(\w+)", str(properties)) for name in pair if name}
    assert found - set(stack.resources) == set(re.findall(r"\$\{(\w+)\}", text(version["Description"])))


def records_are_lines_that_lambda_itself_does_not_filter(stack: Stack) -> None:
    """With JSON as log format the service drops what lies below its application log level, whatever the function writes."""
    logging = stack.properties("InferenceFunction")["LoggingConfig"]
    assert logging["LogFormat"] == "Text"
    assert "ApplicationLogLevel" not in logging


def a_deployment_goes_back_on_an_alarm(stack: Stack) -> None:
    (group,) = stack.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    if stack.given.get("GradualDeployment", "AllAtOnce") == "AllAtOnce":  # an alarm cannot help, and one that rings already would block
        assert group["AlarmConfiguration"] == {}
        return
    assert group["AlarmConfiguration"]["Enabled"] is True
    alarms = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
    assert alarms == {"InferenceErrorsAlarm", "PredictionFailuresAlarm"}
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": stack.given.get("GradualDeployment", "AllAtOnce")}
    for name, namespace, metric, dimensions in (
        ("InferenceErrorsAlarm", "AWS/Lambda", "Errors", {"FunctionName": "InferenceFunction", "Resource": "${InferenceFunction}:live"}),
        (
            "PredictionFailuresAlarm",
            "PredictionMonitor",
            "PredictionFailures",
            {"service": "inference", "function_name": "InferenceFunction"},
        ),
    ):
        alarm = stack.properties(name)
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == (namespace, metric, "Sum")
        assert {each["Name"]: text(each["Value"]) for each in alarm["Dimensions"]} == dimensions
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (60, 1, "notBreaching")
    assert "CodeDeployLambdaAliasUpdate" in stack.resources["InferenceFunctionAliaslive"]["UpdatePolicy"]


def selected(value: Any, stack: Stack) -> str:
    """As `text`, where a Select takes one of the names in the parameter of further log groups."""
    if isinstance(value, dict) and "Fn::Select" in value:
        place, names = value["Fn::Select"]
        assert names["Fn::Split"][1]["Fn::Join"][1][0] == {"Ref": "MoreLogGroups"}
        return stack.more_logs[int(place)]
    if isinstance(value, dict) and "Fn::Select" in str(value):
        written, given = value["Fn::Sub"]
        return str(written).replace("${Name}", selected(given["Name"], stack))
    return text(value)


def before(stack: Stack, name: str) -> set[str]:
    """All that CloudFormation makes before a resource."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        resource = stack.resources[waiting.pop()]
        written = json.dumps(resource.get("Properties", {}))
        names = {*re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', written), *re.findall(r"\$\{(\w+)[.}]", written)}
        new = ({*names, *listed(resource.get("DependsOn", []))} & set(stack.resources)) - found
        found |= new
        waiting += new
    return found


def _named(value: Any, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Each text below a name like that."""
    if isinstance(value, list):
        return [found for each in value for found in _named(each, pattern)]
    if not isinstance(value, dict):
        return []
    here = [(name, text(each)) for name, each in value.items() if pattern.search(name)]
    return here + [found for each in value.values() for found in _named(each, pattern)]


CHECKS: Final[dict[Check, tuple[str, ...]]] = {
    there_is_what_is_listed_and_nothing_else: ALL,
    functions_are_told_what_is_listed_and_nothing_else: ALL,
    roles_allow_what_is_listed_and_nothing_else: ALL,
    a_service_alone_takes_a_role: ALL,
    every_function_has_a_role_of_its_own: ALL,
    the_bucket_is_this_accounts: ALL,
    the_code_in_a_vpc_cannot_touch_the_network: IN_VPC,
    nobody_is_let_in_but_where_it_says_so: ALL,
    the_open_domain_asks_who_one_is: OWN,
    the_api_asks_for_a_signature_and_is_throttled: ALL,
    the_replay_runs_on_its_schedule: ALL,
    the_bucket_is_private: ALL,
    the_network_lets_in_the_functions_alone: OWN_IN_VPC,
    the_functions_in_a_vpc_are_called_by_nobody_and_call_https: IN_VPC,
    all_that_talks_to_the_domain_is_in_the_vpc: IN_VPC,
    the_domain_is_encrypted_on_every_way: OWN,
    the_bucket_is_encrypted_on_every_way: ALL,
    no_secret_is_written_down: ALL,
    logs_are_kept_as_long_as_it_says: ALL,
    who_called_is_logged_and_not_what_was_said: ALL,
    dead_letters_are_kept_as_long_as_it_says: ALL,
    the_domain_writes_its_logs: OWN,
    what_is_worth_keeping_outlasts_the_stack: ALL,
    an_update_of_the_domain_is_never_a_new_one: OWN,
    what_fails_reaches_the_dead_letters: ALL,
    nothing_but_the_predictions_is_subscribed: ALL,
    the_filter_comes_after_the_permission: ALL,
    the_filter_comes_after_the_installer_and_that_after_the_domain: INSTALLED,
    the_installer_maps_who_writes: INSTALLED,
    what_the_installer_is_told_makes_it_run_again: INSTALLED,
    callers_use_the_alias_of_inference_and_of_nothing_else: ALL,
    a_version_is_made_of_every_change_of_a_setting: ALL,
    records_are_lines_that_lambda_itself_does_not_filter: ALL,
    a_deployment_goes_back_on_an_alarm: ("existing", "own"),
}


@pytest.mark.parametrize(("check", "shape"), [pytest.param(c, s, id=f"{c.__name__}-{s}") for c, shapes in CHECKS.items() for s in shapes])
def test_it_holds(check: Check, shape: str) -> None:
    check(_stack(shape))


# --- that each would notice ----------------------------------------------------------------------------------------------

GONE: Final = object()
ANYBODY: Final = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}


def role(name: str, policy: int, statement: int = 0) -> str:
    return f"{name}.Properties.Policies.{policy}.PolicyDocument.Statement.{statement}"


FLAWS: Final[dict[Check, list[tuple[str, Any]]]] = {
    there_is_what_is_listed_and_nothing_else: [
        *(
            ("More", {"Type": kind})
            for kind in ("AWS::IAM::RolePolicy", "AWS::Lambda::Url", "AWS::EC2::SecurityGroupIngress", "AWS::Lambda::EventSourceMapping")
        ),
        ("DeadLetterBucketPolicy", GONE),
    ],
    functions_are_told_what_is_listed_and_nothing_else: [
        ("ShipperFunction.Properties.Environment.Variables.OPENSEARCH_AUTH", "Basic YWRtaW46YWRtaW4="),
        ("InferenceFunction.Properties.Environment.Variables.LOG_TEXT", "true"),
    ],
    roles_allow_what_is_listed_and_nothing_else: [
        *(
            (f"{role(name, 0)}.Action.+", "logs:DeleteLogGroup")
            for name in ("InferenceRole", "ShipperRole", "ReplayRole", "KibanaRole", "DeploymentRole")
        ),
        (f"{role('ShipperRole', 1)}.Action", "es:ESHttp*"),
        (f"{role('ShipperRole', 1)}.Resource", "*"),
        (f"{role('KibanaRole', 1)}.Resource", "*"),
        ("InferenceRole.Properties.ManagedPolicyArns", ["AWSLambdaBasicExecutionRole"]),
        (f"{role('InferenceRole', 0)}.NotResource", "arn"),
        (f"{role('ShipperRole', 2, 1)}.Action", "s3:GetBucketLocation"),
    ],
    a_service_alone_takes_a_role: [
        ("ShipperRole.Properties.AssumeRolePolicyDocument.Statement.0.Principal", {"AWS": "*"}),
        ("DeploymentRole.Properties.AssumeRolePolicyDocument.Statement.+", ANYBODY),
    ],
    every_function_has_a_role_of_its_own: [
        ("ReplayFunction.Properties.Role", {"Fn::GetAtt": ["ShipperRole", "Arn"]}),
    ],
    the_bucket_is_this_accounts: [
        (f"{role('ShipperRole', 2)}.Condition", GONE),
    ],
    the_code_in_a_vpc_cannot_touch_the_network: [
        (f"{role('ReplayRole', 3, 1)}.Action", ["ec2:CreateNetworkInterface"]),
        (f"{role('ShipperRole', 3, 1)}.Condition.Bool", {"aws:ViaAWSService": "true"}),
    ],
    nobody_is_let_in_but_where_it_says_so: [
        ("DeadLetterBucketPolicy.Properties.PolicyDocument.Statement.+", ANYBODY),
        ("ReplayFunctionAgainPermission.Properties.Principal", "*"),
        ("ReplayFunctionAgainPermission.Properties.SourceArn", GONE),
        ("PredictPermission.Properties.SourceArn", "*"),
        ("AlarmTopicPolicy.Properties.PolicyDocument.Statement.0.Principal", "*"),
        ("AlarmTopicPolicy.Properties.PolicyDocument.Statement.0.Condition", {}),
        ("ShipperFunctionPredictionsPermission.Properties.SourceArn", "arn:aws:logs:*:*:*"),
        ("MoreLogs2Permission.Properties.SourceArn", {"Fn::Sub": "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:*"}),
    ],
    the_open_domain_asks_who_one_is: [
        ("Domain.Properties.AdvancedSecurityOptions.Enabled", False),
        ("Domain.Properties.AdvancedSecurityOptions.AnonymousAuthEnabled", True),
        ("Domain.Properties.AccessPolicies.Statement.0.Action", "es:*"),
        ("Domain.Properties.AccessPolicies.Statement.0.Effect", "Deny"),
        ("Domain.Properties.AdvancedSecurityOptions.JWTOptions", {"Enabled": True}),
    ],
    the_api_asks_for_a_signature_and_is_throttled: [
        ("PredictRoute.Properties.AuthorizationType", "NONE"),
        ("PredictRoute.Properties.RouteKey", "$default"),
        ("More", {"Type": "AWS::ApiGatewayV2::Route", "Properties": {"RouteKey": "GET /predict", "AuthorizationType": "NONE"}}),
        ("Api.Properties.Target", "arn"),
        ("ApiStage.Properties.DefaultRouteSettings.ThrottlingRateLimit", GONE),
        ("ApiStage.Properties.RouteSettings", {"POST /predict": {"ThrottlingRateLimit": 10000}}),
    ],
    the_replay_runs_on_its_schedule: [
        ("ReplayFunctionAgain.Properties.State", "DISABLED"),
        ("ReplayFunctionAgain.Properties.Targets.0.Input", "{}"),
    ],
    the_bucket_is_private: [
        ("DeadLetterBucket.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy", False),
        ("DeadLetterBucket.Properties.OwnershipControls", GONE),
    ],
    the_network_lets_in_the_functions_alone: [
        ("DomainSecurityGroup.Properties.SecurityGroupIngress", [{"CidrIp": "0.0.0.0/0"}]),
        ("DomainSecurityGroup.Properties.SecurityGroupEgress.0.CidrIp", "0.0.0.0/0"),
        ("DomainIngress.Properties.CidrIp", "0.0.0.0/0"),
        ("DomainIngress.Properties.FromPort", 0),
        ("Kibana.Properties.After", GONE),
    ],
    the_functions_in_a_vpc_are_called_by_nobody_and_call_https: [
        ("FunctionsSecurityGroup.Properties.SecurityGroupIngress", [{"CidrIp": "0.0.0.0/0"}]),
        ("FunctionsSecurityGroup.Properties.SecurityGroupEgress.0.ToPort", 65535),
    ],
    all_that_talks_to_the_domain_is_in_the_vpc: [
        ("Domain.Properties.VPCOptions", GONE),
        ("ReplayFunction.Properties.VpcConfig", GONE),
    ],
    the_domain_is_encrypted_on_every_way: [
        ("Domain.Properties.EncryptionAtRestOptions.Enabled", False),
        ("Domain.Properties.NodeToNodeEncryptionOptions.Enabled", False),
        ("Domain.Properties.DomainEndpointOptions.EnforceHTTPS", False),
        ("Domain.Properties.DomainEndpointOptions.TLSSecurityPolicy", "Policy-Min-TLS-1-0-2019-07"),
        ("Domain.Properties.EBSOptions.VolumeType", "gp2"),
    ],
    the_bucket_is_encrypted_on_every_way: [
        ("DeadLetterBucket.Properties.BucketEncryption", GONE),
        ("DeadLetterBucketPolicy.Properties.PolicyDocument.Statement.0.Condition", {}),
    ],
    no_secret_is_written_down: [
        ("InferenceFunction.Properties.Environment.Variables.HASH_KEY", "a key"),
        ("Domain.Properties.AdvancedSecurityOptions.MasterUserOptions.MasterUserPassword", {"Ref": "Password"}),
        ("HashKey.Properties.SecretString", "a key"),
        ("HashKey.Properties.GenerateSecretString.PasswordLength", 8),
    ],
    logs_are_kept_as_long_as_it_says: [
        ("ShipperLogGroup.Properties.RetentionInDays", GONE),
        ("InferenceLogGroup.Properties.LogGroupClass", "INFREQUENT_ACCESS"),
        ("ReplayFunction.Properties.LoggingConfig.LogGroup.Ref", "ShipperLogGroup"),
    ],
    who_called_is_logged_and_not_what_was_said: [
        ("ApiStage.Properties.AccessLogSettings", GONE),
        ("ApiStage.Properties.AccessLogSettings.Format", '{"body":"$request.body"}'),
    ],
    dead_letters_are_kept_as_long_as_it_says: [
        ("DeadLetterBucket.Properties.LifecycleConfiguration.Rules.0.Status", "Disabled"),
        ("DeadLetterBucket.Properties.LifecycleConfiguration.Rules.0.Prefix", "poison/"),
    ],
    the_domain_writes_its_logs: [
        ("Domain.Properties.LogPublishingOptions.AUDIT_LOGS", GONE),
        ("Domain.Properties.LogPublishingOptions.SEARCH_SLOW_LOGS.Enabled", False),
        ("Domain.DependsOn", "MasterUser"),
    ],
    what_is_worth_keeping_outlasts_the_stack: [
        *(
            (f"{name}.{policy}", "Delete")
            for name in sorted(OUTLASTING | OUTLASTING_OWN)
            for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        ),
        ("ShipperLogGroup.UpdateReplacePolicy", "Delete"),
        ("DomainSecurityGroup.DeletionPolicy", GONE),
    ],
    an_update_of_the_domain_is_never_a_new_one: [
        ("Domain.UpdatePolicy", {"EnableVersionUpgrade": False}),
        ("Domain.Properties.DomainName", "predictions"),
    ],
    what_fails_reaches_the_dead_letters: [
        ("ShipperFunctionEventInvokeConfig.Properties.DestinationConfig.OnFailure", GONE),
        ("ShipperFunctionEventInvokeConfig.Properties.Qualifier", "live"),
        ("ShipperFunctionEventInvokeConfig.Properties.MaximumEventAgeInSeconds", 60),
        ("ReplayFunctionEventInvokeConfig.Properties.MaximumRetryAttempts", 2),
    ],
    nothing_but_the_predictions_is_subscribed: [
        ("ShipperFunctionPredictions.Properties.FilterPattern", ""),
        ("ShipperFunctionPredictions.Properties.LogGroupName.Ref", "ShipperLogGroup"),
        ("MoreLogs1.Properties.LogGroupName", {"Ref": "ShipperLogGroup"}),
        ("MoreLogs2.Properties.DestinationArn", {"Ref": "InferenceFunctionAliaslive"}),
        ("ShipperFunctionPredictions.Properties.DestinationArn", {"Ref": "ShipperFunctionAliaslive"}),
    ],
    the_filter_comes_after_the_permission: [
        ("MoreLogs2.DependsOn", "MoreLogs1Permission"),
        ("PredictRoute.DependsOn", GONE),
        ("ShipperFunctionPredictions.DependsOn", GONE),
    ],
    the_filter_comes_after_the_installer_and_that_after_the_domain: [
        ("ShipperFunction.Properties.Environment.Variables.OPENSEARCH_URL", {"Fn::Sub": "https://${Domain.DomainEndpoint}"}),
        ("Kibana.Properties.ServiceTimeout", 60),
    ],
    the_installer_maps_who_writes: [
        ("Kibana.Properties.ShipperRoleArns.+", "arn:aws:iam::123456789012:role/other"),
        ("Kibana.Properties.SecretArn", {"Ref": "HashKey"}),
        ("Kibana.Properties.AuditLog", GONE),
    ],
    what_the_installer_is_told_makes_it_run_again: [
        *((f"Kibana.Properties.{name}", GONE) for name in ("IndexPrefix", "LogGroups", "AdoptIndices", "SecretArn")),
        ("KibanaFunction.Properties.Environment.Variables.MORE", {"Ref": "Exclude"}),
    ],
    callers_use_the_alias_of_inference_and_of_nothing_else: [
        ("PredictPermission.Properties.FunctionName", "x"),
        (
            "PredictIntegration.Properties.IntegrationUri",
            {"Fn::Sub": "arn:aws:apigateway:x/functions/${InferenceFunction.Arn}/invocations"},
        ),
        ("PredictRoute.Properties.Target", {"Fn::Sub": "integrations/${Other}"}),
        ("ShipperFunctionAliaslive", {"Type": "AWS::Lambda::Alias"}),
        ("Kibana.Properties.ServiceToken", {"Ref": "KibanaFunctionAliaslive"}),
    ],
    a_version_is_made_of_every_change_of_a_setting: [
        ("InferenceFunction.Properties.Environment.Variables.MORE", {"Ref": "Exclude"}),
        ("InferenceFunction.Properties.Environment.Variables.MORE", {"Fn::Sub": "${Exclude}"}),
    ],
    records_are_lines_that_lambda_itself_does_not_filter: [
        ("InferenceFunction.Properties.LoggingConfig.LogFormat", "JSON"),
        ("InferenceFunction.Properties.LoggingConfig.LogFormat", GONE),
    ],
    a_deployment_goes_back_on_an_alarm: [
        ("InferenceFunctionDeploymentGroup.Properties.AlarmConfiguration.Enabled", False),
        ("InferenceFunctionDeploymentGroup.Properties.AutoRollbackConfiguration.Events", []),
        ("InferenceFunctionAliaslive.UpdatePolicy", {}),
        ("InferenceErrorsAlarm.Properties.Threshold", 1000),
        ("PredictionFailuresAlarm.Properties.MetricName", "PredictionFailure"),
        ("PredictionFailuresAlarm.Properties.Dimensions", [{"Name": "service", "Value": "inference"}]),
        ("InferenceFunctionDeploymentGroup.Properties.DeploymentConfigName.Fn::Sub.1.ConfigName", "Linear10PercentEvery10Minutes"),
    ],
}


def spoiled(stack: Stack, path: str, value: Any) -> Stack:
    """The stack with another value at a path of names and places; `+` at its end adds to a list."""
    resources = deepcopy(stack.resources)
    *way, last = path.split(".")
    place: Any = resources
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if last == "+":
        place.append(value)
    elif value is GONE:
        del place[last]
    else:
        place[last] = value
    return stack._replace(resources=resources)


@pytest.mark.parametrize(
    ("check", "path", "value"), [pytest.param(c, *flaw, id=f"{c.__name__}-{flaw[0]}") for c, flaws in FLAWS.items() for flaw in flaws]
)
def test_a_flaw_is_noticed(check: Check, path: str, value: Any) -> None:
    stack = _stack(CHECKS[check][-1])
    check(stack)
    with pytest.raises((AssertionError, LookupError, ValueError)):
        check(spoiled(stack, path, value))


def test_every_check_is_shown_to_fail() -> None:
    assert set(CHECKS) == set(FLAWS)


def test_the_installer_may_ask_for_all_that_it_asks_for_and_hardly_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    domain, asked = Domain(), set[str]()

    def noted(request: Request) -> Reply:
        asked.add(request.path)
        return domain.answer(request)

    monkeypatch.setattr("installer.custom_resource.stack_status", lambda _: "DELETE_IN_PROGRESS")
    domain.indices = {"cwl-2026.11.22": (None, None), "cwl-2026.11.23": (None, None)}
    arn = "arn:aws:iam::123456789012:role/shipper"
    with listening(noted) as url:
        told = {"OPENSEARCH_URL": url, "DASHBOARDS_URL": f"{url}/_dashboards", "SHIPPER_ROLE_ARNS": arn, "STACK": "monitor"}
        told |= {"STACK_ID": "arn", "ADOPT_INDICES": "true"}
        for kind, days in (("Create", "30"), ("Update", "40"), ("Delete", "40")):
            assert outcome({"RequestType": kind}, told | {"RETENTION_DAYS": days}, time.monotonic() + 60).status == "SUCCESS"
    reached = [pattern.replace("${IndexPrefix}", "cwl-") for pattern in (*REACHED, *READ)]
    assert not domain.wrong
    assert [path for path in asked if not any(fnmatchcase(path, f"/{pattern}") for pattern in reached)] == []
    unused = [pattern for pattern in reached if not any(fnmatchcase(path, f"/{pattern}") for path in asked)]
    assert unused == ["_dashboards/api/kibana/settings"]  # Kibana's name for the same


@pytest.mark.parametrize(("name", "value"), [("MemorySize", 2048), ("Timeout", 20), ("Environment", {"Variables": {"MORE": "1"}})])
def test_a_change_of_a_property_makes_a_version_too(name: str, value: Any) -> None:
    source, changed = load(), load()
    changed["Resources"]["InferenceFunction"]["Properties"][name] = value
    first, second = (
        {each for each, _ in of_type(transformed(template, defaults(template)), "AWS::Lambda::Version") if each.startswith("Inference")}
        for template in (source, changed)
    )
    assert first
    assert not first & second


def test_the_description_of_a_version_cannot_be_changed_in_place() -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::Lambda::Version").schema
    assert "/properties/Description" in schema["createOnlyProperties"]


def test_each_wildcard_has_its_reason_beside_it() -> None:
    lines = (ROOT / "template.yaml").read_text(encoding="utf-8").splitlines()
    wild = [line for line in lines if re.search(r'Resource: "\*"', line)]
    assert wild
    assert [line for line in wild if not re.search(r'"\*"  # \w.{6,}', line)] == []

"""The permissions of each role in the stack."""

from __future__ import annotations

import json
import re
import time
from fnmatch import fnmatchcase
from typing import Final

import pytest

from installer.custom_resource import outcome
from shipper.dead_letters import POISON, PREFIX
from tests.template.check import GONE, check, statement_of
from tests.template.cloudformation import listed, statements, text
from tests.template.stacks import ALL, ANYBODY, BUCKET, IN_VPC, INSTALLED, UNDER_RULES, Stack
from tests.unit.installer.domain import Domain, Reply, Request, listening
from tools.root import ROOT

READING: Final = (
    "DescribeStream",
    "DescribeStreamSummary",
    "GetRecords",
    "GetShardIterator",
    "ListShards",
)
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
    *(
        f"_dashboards/api/{path}"
        for path in ("saved_objects/*", "opensearch-dashboards/settings", "kibana/settings")
    ),
)
READ: Final = (
    "_cluster/settings",
    "${IndexPrefix}*/_search",
    "${IndexPrefix}*/_settings/index.creation_date",
)
GROUPS: Final = (
    "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}"
    ":deploymentgroup:${ServerlessDeploymentApplication}/*"
)
type Permission = tuple[str, str]


def allowed(stack: Stack) -> dict[str, set[Permission]]:
    """Return the permitted actions of each role, with their resources."""
    domain = "${Domain.Arn}" if "Domain" in stack.resources else "${OpenSearchDomainArn}"

    def log(name: str) -> set[Permission]:
        account = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}"
        group = f"{account}:log-group:${{{name}LogGroup}}:*"
        return {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)}

    network = {(action, "*") for action in INTERFACES} if "Network" in stack.given else set()
    found = {
        "InferenceRole": log("Inference"),
        "ShipperRole": {
            *(log("Shipper") | network),
            ("es:ESHttpPost", f"{domain}/_bulk"),
            ("es:ESHttpPost", f"{domain}/${{IndexPrefix}}*/_count"),
            ("s3:PutObject", f"{BUCKET}{PREFIX}*"),
            ("s3:ListBucket", "DeadLetterBucket.Arn"),
            *reading(stack),
        },
        "ReplayRole": {
            *(log("Replay") | network),
            ("es:ESHttpPost", f"{domain}/_bulk"),
            ("es:ESHttpPost", f"{domain}/${{IndexPrefix}}*/_count"),
            ("s3:ListBucket", "DeadLetterBucket.Arn"),
            *((f"s3:{action}Object", f"{BUCKET}{PREFIX}*") for action in ("Get", "Delete")),
            *((f"s3:{action}Object", f"{BUCKET}{POISON}*") for action in ("Get", "Put", "Delete")),
        },
        "ReportRole": {
            *(log("Report") | network),
            ("es:ESHttpPost", f"{domain}/${{IndexPrefix}}*/_search"),
            ("s3:PutObject", "${ReportBucket.Arn}/*.html"),
        },
        "StreamRole": {("kinesis:PutRecord", "Stream.Arn")},
        "DeploymentRole": {
            ("cloudwatch:DescribeAlarms", "*"),
            *(
                (f"lambda:{action}", function)
                for action in ("GetAlias", "UpdateAlias", "GetProvisionedConcurrencyConfig")
                for function in ("InferenceFunction.Arn", "${InferenceFunction.Arn}:live")
            ),
        },
    }
    if stack.monitors:
        found["MonitorRole"] = {
            *(log("Monitor") | network),
            ("es:ESHttpPost", f"{domain}/${{IndexPrefix}}*/_search"),
            ("es:ESHttpPost", f"{domain}/monitor.*/_*"),
            ("es:ESHttpPut", f"{domain}/monitor.*"),
        }
        topic = "DriftTopicArn" if "DriftTopicArn" in stack.given else "DriftTopic"
        bus = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
        found["MessengerRole"] = {
            *log("Messenger"),
            ("sns:Publish", topic),
            ("events:PutEvents", bus),
            ("s3:ListBucket", "DeadLetterBucket.Arn"),
            *((f"s3:{action}Object", f"{BUCKET}messages/*") for action in ("Get", "Put", "Delete")),
        }
    if stack.asks:
        found["CanaryRole"] = log("Canary") | asking(stack)
        found["DeploymentRole"].add(("lambda:InvokeFunction", "CanaryFunction.Arn"))
    signed = {
        (f"es:ESHttp{method}", f"{domain}/{path}")
        for method in ("Get", "Put", "Post", "Delete")
        for path in REACHED
    }
    signed |= {
        (f"es:ESHttp{'Post' if path.endswith('_search') else 'Get'}", f"{domain}/{path}")
        for path in READ
    }
    own = {*log("Kibana"), ("cloudformation:DescribeStacks", "AWS::StackId")}
    if "CreateDomain" in stack.given:
        found["KibanaRole"] = {*own, *network, ("secretsmanager:GetSecretValue", "MasterUser")}
    elif "KibanaSecretArn" in stack.given:
        found["KibanaRole"] = {*own, *network, ("secretsmanager:GetSecretValue", "KibanaSecretArn")}
    elif "InstallKibana" in stack.given:
        found["KibanaRole"] = own | network | signed
    if "KmsKeyArn" in stack.given:
        for name in found.keys() - {"DeploymentRole", "StreamRole"}:
            found[name] = found[name] | {("kms:Decrypt", "KmsKeyArn")}
        # These roles write encrypted objects into a bucket, or into the stream.
        writers = {"ShipperRole", "ReplayRole", "MessengerRole", "ReportRole", "StreamRole"}
        for name in writers & found.keys():
            found[name] = found[name] | {("kms:GenerateDataKey", "KmsKeyArn")}
    absent = set() if stack.has_inference else {"InferenceRole", "DeploymentRole"}
    absent |= set() if stack.reports else {"ReportRole"}
    absent |= set() if stack.streams else {"StreamRole"}
    return {name: permissions for name, permissions in found.items() if name not in absent}


def reading(stack: Stack) -> set[Permission]:
    """Return the permissions to read the stream, if there is one."""
    return {(f"kinesis:{action}", "Stream.Arn") for action in READING if stack.streams}


def asking(stack: Stack) -> set[Permission]:
    """Return the permissions to invoke the function, and to report results to CodeDeploy."""
    if stack.has_inference:
        return {
            ("lambda:InvokeFunction", "${InferenceFunction.Arn}:*"),
            ("codedeploy:PutLifecycleEventHookExecutionStatus", GROUPS),
        }
    return {("lambda:InvokeFunction", "CanaryTargetArn")}


@check(
    ALL,
    *(
        (f"{statement_of(name, 0)}.Action.+", "logs:DeleteLogGroup")
        for name in ("InferenceRole", "ShipperRole", "ReplayRole", "KibanaRole", "DeploymentRole")
    ),
    (f"{statement_of('ShipperRole', 1)}.Action", "es:ESHttp*"),
    (f"{statement_of('ShipperRole', 1)}.Resource", "*"),
    (f"{statement_of('MonitorRole', 1)}.Resource", "*"),
    (f"{statement_of('MessengerRole', 1)}.Resource", "*"),
    (f"{statement_of('MessengerRole', 1, 1)}.Resource", "*"),
    (f"{statement_of('MessengerRole', 2)}.Resource", {"Fn::Sub": "${DeadLetterBucket.Arn}/*"}),
    (f"{statement_of('ReportRole', 1)}.Action", "es:ESHttp*"),
    (f"{statement_of('ReportRole', 2)}.Action", ["s3:PutObject", "s3:GetObject"]),
    (f"{statement_of('KibanaRole', 1)}.Resource", "*"),
    (f"{statement_of('CanaryRole', 1)}.Resource", "*"),
    (f"{statement_of('CanaryRole', 1, 1)}.Action", "codedeploy:*"),
    (f"{statement_of('CanaryRole', 1)}.Action", "lambda:*"),
    ("InferenceRole.Properties.ManagedPolicyArns", ["AWSLambdaBasicExecutionRole"]),
    (f"{statement_of('InferenceRole', 0)}.NotResource", "arn"),
    (f"{statement_of('ShipperRole', 2, 1)}.Action", "s3:GetBucketLocation"),
    (f"{statement_of('ShipperRole', 3)}.Action", "kinesis:*"),
    (f"{statement_of('StreamRole', 0)}.Resource", "*"),
)
def test_roles_permit_exactly_the_listed_actions(stack: Stack) -> None:
    found = {}
    for name, role in stack.of_type("AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role
        granted = [statement for statement in statements(role) if statement["Effect"] == "Allow"]
        assert not [
            statement for statement in granted if {"NotAction", "NotResource"} & set(statement)
        ]
        found[name] = {
            (action, text(each))
            for statement in granted
            for action in listed(statement["Action"])
            for each in listed(statement["Resource"])
        }
    assert found == allowed(stack)


@check(
    INSTALLED,
    *(
        (f"Kibana.Properties.{name}", GONE)
        for name in ("IndexPrefix", "LogGroups", "AdoptIndices", "SecretArn")
    ),
    ("KibanaFunction.Properties.Environment.Variables.MORE", {"Ref": "Exclude"}),
)
def test_a_changed_variable_makes_the_installer_run_again(stack: Stack) -> None:
    """CloudFormation runs the installer again only if a property of the custom resource changes.

    So if a parameter can change a variable of the installer, the custom resource must have a
    property with the variable's value.
    """
    told = stack.properties("KibanaFunction")["Environment"]["Variables"]
    repeated = {json.dumps(value) for value in stack.properties("Kibana").values()}
    elsewhere = {"STACK", "STACK_ID", "URL_SUFFIX", "AUDIT_LOG"}  # these never change in a stack
    elsewhere |= {"SHIPPER_ROLE_ARNS", "MONITOR_ROLE_ARNS"}  # texts here, lists in the resource
    elsewhere |= set() if told["SECRET_ARN"] else {"SECRET_ARN"}
    assert {name for name, value in told.items() if json.dumps(value) not in repeated} <= elsewhere


@check(
    ALL,
    ("ShipperRole.Properties.AssumeRolePolicyDocument.Statement.0.Principal", {"AWS": "*"}),
    ("DeploymentRole.Properties.AssumeRolePolicyDocument.Statement.+", ANYBODY),
    ("StreamRole.Properties.AssumeRolePolicyDocument.Statement.0.Condition", GONE),
)
def test_only_a_service_may_assume_a_role(stack: Stack) -> None:
    for name, role in stack.of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = {"DeploymentRole": "codedeploy", "StreamRole": "logs"}.get(name, "lambda")
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
        if service == "logs":  # only for log groups of this account
            source = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*"
            assert statement["Condition"] == {"StringLike": {"aws:SourceArn": {"Fn::Sub": source}}}


@check(
    UNDER_RULES,
    *(
        (f"{name}.Properties.{rule}", GONE)
        for name in ("DeploymentRole", "ReplayRole")
        for rule in ("PermissionsBoundary", "Path")
    ),
)
def test_every_role_has_the_given_permissions_boundary_and_path(stack: Stack) -> None:
    """Without these parameters, a role must have no path.

    With the path `/`, CloudFormation would replace the existing role.
    """
    for role in stack.of_type("AWS::IAM::Role").values():
        for rule, parameter in (
            ("PermissionsBoundary", "PermissionsBoundaryArn"),
            ("Path", "RolePath"),
        ):
            assert role.get(rule) == ({"Ref": parameter} if parameter in stack.given else None)


@check(
    ALL,
    ("ReplayFunction.Properties.Role", {"Fn::GetAtt": ["ShipperRole", "Arn"]}),
)
def test_every_function_has_a_role_of_its_own(stack: Stack) -> None:
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        assert function["Role"] == {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}


@check(
    ALL,
    (f"{statement_of('ShipperRole', 2)}.Condition", GONE),
    (f"{statement_of('ReportRole', 2)}.Condition", GONE),
)
def test_roles_use_only_a_bucket_of_this_account(stack: Stack) -> None:
    """If the bucket is deleted, another account can create a bucket with the same name."""
    granted = [
        statement
        for role in stack.of_type("AWS::IAM::Role").values()
        for statement in statements(role)
    ]
    on_buckets = [
        statement for statement in granted if str(listed(statement["Action"])[0]).startswith("s3:")
    ]
    assert on_buckets
    assert {json.dumps(statement.get("Condition")) for statement in on_buckets} == {
        json.dumps({"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}})
    }


@check(
    IN_VPC,
    (f"{statement_of('ReplayRole', 3, 1)}.Action", ["ec2:CreateNetworkInterface"]),
    (f"{statement_of('ShipperRole', 3, 1)}.Condition.Bool", {"aws:ViaAWSService": "true"}),
)
def test_vpc_permissions_are_denied_to_the_code_of_a_function(stack: Stack) -> None:
    roles = ("ShipperRole", "ReplayRole", "MonitorRole", "KibanaRole", "ReportRole")
    for name in {*roles} & stack.resources.keys():
        (refused,) = [
            statement
            for statement in statements(stack.properties(name))
            if statement["Effect"] == "Deny"
        ]
        assert set(refused["Action"]) == INTERFACES
        assert refused["Resource"] == "*"
        assert list(refused["Condition"]) == ["ArnLike"]
        assert list(refused["Condition"]["ArnLike"]) == ["lambda:SourceFunctionArn"]
        assert text(refused["Condition"]["ArnLike"]["lambda:SourceFunctionArn"]).endswith(
            ":function:*"
        )


def test_the_role_of_the_installer_permits_the_sent_requests_and_hardly_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
        told = {
            "OPENSEARCH_URL": url,
            "DASHBOARDS_URL": f"{url}/_dashboards",
            "SHIPPER_ROLE_ARNS": arn,
            "STACK": "monitor",
        }
        told |= {"STACK_ID": "arn", "ADOPT_INDICES": "true"}
        for kind, days in (("Create", "30"), ("Update", "40"), ("Delete", "40")):
            assert (
                outcome(
                    {"RequestType": kind}, told | {"RETENTION_DAYS": days}, time.monotonic() + 60
                ).status
                == "SUCCESS"
            )
    reached = [pattern.replace("${IndexPrefix}", "cwl-") for pattern in (*REACHED, *READ)]
    assert not domain.wrong
    assert [
        path for path in asked if not any(fnmatchcase(path, f"/{pattern}") for pattern in reached)
    ] == []
    unused = [
        pattern
        for pattern in reached
        if not any(fnmatchcase(path, f"/{pattern}") for path in asked)
    ]
    assert unused == ["_dashboards/api/kibana/settings"]  # Kibana's name for the settings


def test_each_wildcard_has_a_comment_with_its_reason() -> None:
    lines = (ROOT / "template.yaml").read_text(encoding="utf-8").splitlines()
    wild = [line for line in lines if re.search(r'Resource: "\*"', line)]
    assert wild
    assert [line for line in wild if not re.search(r'"\*"  # \w.{6,}', line)] == []

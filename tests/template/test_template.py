"""template.yaml as SAM transforms it: who may do what, what is kept how long, what is closed."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from kibana.custom_resource import outcome
from kibana.security import API as SECURITY
from kibana.security import ROLES
from kibana.template import PATH as TEMPLATE
from local.template import ROOT, load
from shipper.dead_letters import POISON, PREFIX
from tests.unit.domain import Domain, Reply, Request, listening

Resource = dict[str, Any]

REACHED = (
    TEMPLATE,
    *(f"/_plugins/_ism/{path}" for path in ("policies/prediction-monitor", "explain/cwl-*", "add/cwl-*", "change_policy/cwl-*")),
    *(f"{SECURITY}/{path}/prediction-monitor-*" for path in ("roles", "rolesmapping")),
    *(f"/_dashboards/api/{path}" for path in ("saved_objects/*", "opensearch-dashboards/settings", "kibana/settings")),
)
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
    "ReplayRole": {
        ("logs:CreateLogStream", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${ReplayLogGroup}:*"),
        ("logs:PutLogEvents", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${ReplayLogGroup}:*"),
        ("es:ESHttpPost", "${OpenSearchDomainArn}/_bulk"),
        ("s3:ListBucket", "DeadLetterBucket.Arn"),
        *((f"s3:{action}Object", "${DeadLetterBucket.Arn}/aws/lambda/async/*") for action in ("Get", "Delete")),
        *((f"s3:{action}Object", "${DeadLetterBucket.Arn}/poison/*") for action in ("Get", "Put", "Delete")),
    },
    "KibanaRole": {
        ("logs:CreateLogStream", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${KibanaLogGroup}:*"),
        ("logs:PutLogEvents", "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${KibanaLogGroup}:*"),
        *((f"es:ESHttp{method}", f"${{OpenSearchDomainArn}}{path}") for method in ("Get", "Put", "Post", "Delete") for path in REACHED),
    },
}
FUNCTIONS = ("InferenceFunction", "ShipperFunction", "ReplayFunction", "KibanaFunction")
GROUPS = ("InferenceLogGroup", "ShipperLogGroup", "ReplayLogGroup", "KibanaLogGroup")


@pytest.fixture(scope="module")
def resources() -> dict[str, Resource]:
    """The resources as CloudFormation gets them."""
    return transformed(load())


def transformed(source: dict[str, Any]) -> dict[str, Resource]:
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    parameters = {name: parameter.get("Default", "") for name, parameter in source["Parameters"].items()}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        found: dict[str, Resource] = Translator({}, Parser()).translate(source, parameters)["Resources"]
    return found


def of_type(resources: dict[str, Resource], kind: str) -> Iterator[tuple[str, Resource]]:
    return ((name, resource["Properties"]) for name, resource in resources.items() if resource["Type"] == kind)


def test_roles_allow_what_is_listed_and_nothing_else(resources: dict[str, Resource]) -> None:
    found = {}
    for name, role in of_type(resources, "AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role
        statements = [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]
        assert {statement["Effect"] for statement in statements} == {"Allow"}
        found[name] = {
            (action, _text(each))
            for statement in statements
            for action in _list(statement["Action"])
            for each in _list(statement["Resource"])
        }
    assert found == ALLOWED


def test_the_installer_may_ask_for_all_that_it_asks_for_and_hardly_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    domain, asked = Domain(), set[str]()

    def noted(request: Request) -> Reply:
        asked.add(request.path)
        return domain.answer(request)

    domain.indices = {"cwl-2026.11.22": (None, None), "cwl-2026.11.23": (None, None)}
    arn = "arn:aws:iam::123456789012:role/shipper"
    with listening(noted) as url:
        properties = {"OpenSearchUrl": url, "DashboardsUrl": f"{url}/_dashboards", "ShipperRoleArns": [arn]}
        for kind, days in (("Create", "30"), ("Update", "40"), ("Delete", "40")):
            event = {"RequestType": kind, "ResourceProperties": properties | {"RetentionDays": days}}
            assert outcome(event, time.monotonic() + 60).status == "SUCCESS"
    assert not domain.wrong
    assert [path for path in asked if not any(fnmatchcase(path, pattern) for pattern in REACHED)] == []
    unused = [pattern for pattern in REACHED if not any(fnmatchcase(path, pattern) for path in asked)]
    assert unused == ["/_dashboards/api/kibana/settings"]  # Kibana's name for the same


def test_the_installer_reads_the_secret_that_it_signs_in_with_and_no_other(resources: dict[str, Resource]) -> None:
    ((_, policy),) = of_type(resources, "AWS::IAM::RolePolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert policy["RoleName"] == {"Ref": "KibanaRole"}
    assert (statement["Action"], statement["Resource"]) == ("secretsmanager:GetSecretValue", {"Ref": "KibanaSecretArn"})


def test_the_installer_is_told_what_it_knows_and_runs_again_with_new_code(resources: dict[str, Resource]) -> None:
    kibana = resources["Kibana"]["Properties"]
    source = (ROOT / "kibana" / "kibana" / "custom_resource.py").read_text(encoding="utf-8")
    known = set(re.findall(r"`(\w+)`", source.split('"""')[1])) | {f"{kind.capitalize()}RoleArns" for kind in ROLES}
    assert set(kibana) - {"ServiceToken", "ServiceTimeout", "Code", "After"} <= known
    (version,) = (name for name, _ in of_type(resources, "AWS::Lambda::Version"))
    assert kibana["Code"] == {"Ref": version}
    assert kibana["ServiceTimeout"] > resources["KibanaFunction"]["Properties"]["Timeout"]
    assert kibana["ShipperRoleArns"] == [{"Fn::GetAtt": ["ShipperRole", "Arn"]}, {"Fn::GetAtt": ["ReplayRole", "Arn"]}]
    assert {resource.get("Condition") for name, resource in resources.items() if name.startswith("Kibana")} == {
        "InstallsKibana",
        "HasKibanaSecret",
    }


def test_the_bucket_of_the_dead_letters_is_our_own(resources: dict[str, Resource]) -> None:
    conditions = [
        statement.get("Condition")
        for _, role in of_type(resources, "AWS::IAM::Role")
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("s3:") for action in _list(statement["Action"]))
    ]
    assert conditions == [{"StringEquals": {"aws:ResourceAccount": {"Ref": "AWS::AccountId"}}}] * 5


def test_roles_reach_as_far_as_the_code(resources: dict[str, Resource]) -> None:
    """What the replay reads, sets aside and removes: where the code has it."""
    bucket = "${DeadLetterBucket.Arn}/"
    reached = {
        action: {path.removeprefix(bucket) for each, path in ALLOWED["ReplayRole"] if each == action} for action, _ in ALLOWED["ReplayRole"]
    }
    assert reached["s3:GetObject"] == reached["s3:DeleteObject"] == {f"{PREFIX}*", f"{POISON}*"}
    assert reached["s3:PutObject"] == {f"{POISON}*"}
    assert resources["ReplayFunction"]["Properties"]["Role"] == {"Fn::GetAtt": ["ReplayRole", "Arn"]}


@pytest.mark.parametrize("role", ["InferenceRole", "ShipperRole", "ReplayRole", "KibanaRole"])
def test_only_lambda_takes_the_role(resources: dict[str, Resource], role: str) -> None:
    (statement,) = resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")


def test_the_api_waits_longer_than_the_function_may_take(resources: dict[str, Resource]) -> None:
    assert resources["InferenceFunction"]["Properties"]["Timeout"] < 30


def test_no_action_is_a_wildcard(resources: dict[str, Resource]) -> None:
    for _, role in of_type(resources, "AWS::IAM::Role"):
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert not [action for action in _list(statement["Action"]) if "*" in action]
                assert "*" not in map(_text, _list(statement["Resource"]))


def test_every_function_has_its_own_role_and_log_group_with_retention(resources: dict[str, Resource]) -> None:
    groups = dict(of_type(resources, "AWS::Logs::LogGroup"))
    used = []
    for name, function in of_type(resources, "AWS::Lambda::Function"):
        assert function["Runtime"] == "python3.13"
        assert function["Role"] == {"Fn::GetAtt": [name.replace("Function", "Role"), "Arn"]}
        used.append(function["LoggingConfig"]["LogGroup"]["Ref"])
        assert function["LoggingConfig"].get("LogFormat", "Text") == "Text"
    assert sorted(used) == sorted(groups) == sorted(GROUPS)
    for group in groups.values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_handler_is_a_function_of_the_source(name: str) -> None:
    properties = load()["Resources"][name]["Properties"]
    *package, module, function = properties["Handler"].split(".")
    source = ROOT.joinpath(properties["CodeUri"], *package, f"{module}.py")
    (found,) = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if getattr(node, "name", "") == function]
    assert isinstance(found, ast.FunctionDef)
    assert [argument.arg for argument in found.args.args] == ["event", "context"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_built_by_its_makefile(name: str) -> None:
    resource = load()["Resources"][name]
    assert resource["Metadata"] == {"BuildMethod": "makefile"}
    makefile = (ROOT / resource["Properties"]["CodeUri"] / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^(\S+ )*build-{name}( \S+)*:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_variable_is_read_by_the_function(resources: dict[str, Resource], name: str) -> None:
    code = load()["Resources"][name]["Properties"]["CodeUri"]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / code).rglob("*.py"))
    variables = resources[name]["Properties"].get("Environment", {}).get("Variables", {})
    assert [variable for variable in variables if f'"{variable}"' not in source] == []


def test_a_replay_does_with_a_line_what_the_shipper_does(resources: dict[str, Resource]) -> None:
    """Otherwise what is redacted or left out the first time would go into the index the second time."""
    shipper, replay = (resources[name]["Properties"]["Environment"]["Variables"] for name in ("ShipperFunction", "ReplayFunction"))
    own = {"DEAD_LETTER_BUCKET": {"Ref": "DeadLetterBucket"}, "EVENTS_PER_SECOND": {"Ref": "ReplayEventsPerSecond"}}
    assert replay == shipper | own
    assert {name: shipper[name] for name in ("OPENSEARCH_URL", "EXCLUDE", "REDACT_FIELDS", "REDACT_PATTERNS")} == {
        "OPENSEARCH_URL": {"Ref": "OpenSearchEndpoint"},
        "EXCLUDE": {"Ref": "Exclude"},
        "REDACT_FIELDS": {"Ref": "RedactFields"},
        "REDACT_PATTERNS": {"Ref": "RedactPatterns"},
    }
    assert shipper["REDACT_KEY"] == {"Fn::Sub": "{{resolve:secretsmanager:${HashKey}}}"}
    first, second = (resources[name]["Properties"]["MemorySize"] for name in ("ShipperFunction", "ReplayFunction"))
    assert second >= 2 * first  # what the first could not hold comes here


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        pytest.param(
            "Exclude", ["", "platform", "text,object", "platform,metrics,object,text"], ["platfrom", "text,", "text, object"], id="kinds"
        ),
        pytest.param(
            "RedactFields", ["", "text=hash", "text=hash,user.email=drop"], ["text", "text=mask", "=drop", "a=drop,"], id="fields"
        ),
        pytest.param("RedactPatterns", ["", "email", "email,number"], ["phone", "email,", "email number"], id="patterns"),
        pytest.param("ReplaySchedule", ["rate(15 minutes)", "cron(0 * * * ? *)"], ["", "15 minutes", "rate()"], id="schedule"),
    ],
)
def test_parameters_take_what_the_code_takes(name: str, accepted: list[str], refused: list[str]) -> None:
    """And not what would only be an error at the function's start."""
    parameter = load()["Parameters"][name]
    assert [value for value in [parameter["Default"], *accepted] if not re.fullmatch(parameter["AllowedPattern"], value)] == []
    assert [value for value in refused if re.fullmatch(parameter["AllowedPattern"], value)] == []


def test_only_this_log_group_may_invoke_the_shipper(resources: dict[str, Resource]) -> None:
    permissions = dict(of_type(resources, "AWS::Lambda::Permission"))
    (shipper,) = [permission for permission in permissions.values() if "Shipper" in str(permission["FunctionName"])]
    assert shipper["Principal"] == "logs.amazonaws.com"
    assert "log-group:${__LogGroupName__}:*" in str(shipper["SourceArn"])
    assert "InferenceLogGroup" in str(shipper["SourceArn"])


def test_the_replay_runs_on_its_schedule_and_at_nobodys_else_call(resources: dict[str, Resource]) -> None:
    ((rule, properties),) = of_type(resources, "AWS::Events::Rule")
    assert properties["ScheduleExpression"] == {"Ref": "ReplaySchedule"}
    assert properties.get("State", "ENABLED") == "ENABLED"
    (target,) = properties["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["ReplayFunction", "Arn"]}
    assert "Input" not in target  # its own event narrows nothing
    (permission,) = [each for _, each in of_type(resources, "AWS::Lambda::Permission") if "Replay" in str(each["FunctionName"])]
    assert (permission["Principal"], permission["SourceArn"]) == ("events.amazonaws.com", {"Fn::GetAtt": [rule, "Arn"]})


def test_the_replay_has_time_for_more_than_what_it_keeps_back(resources: dict[str, Resource]) -> None:
    source = (ROOT / "functions/shipper/shipper/replay.py").read_text(encoding="utf-8")
    (reserve,) = re.findall(r"^RESERVE_SECONDS: Final = (\d+)", source, re.MULTILINE)  # to import it would be to start it
    assert 2 * int(reserve) < resources["ReplayFunction"]["Properties"]["Timeout"] <= 900


def subscribed(resources: dict[str, Resource]) -> set[str]:
    """The log groups that have a subscription filter."""
    return {_text(filter_["LogGroupName"]) for _, filter_ in of_type(resources, "AWS::Logs::SubscriptionFilter")}


def test_the_filter_waits_for_the_permission(resources: dict[str, Resource]) -> None:
    ((name, subscription),) = of_type(resources, "AWS::Logs::SubscriptionFilter")
    assert subscription["FilterPattern"] == '{ ($.message = "prediction") || ($.message = "prediction_error") }'
    assert any("Permission" in needed for needed in _list(resources[name]["DependsOn"]))


def test_nothing_but_the_predictions_is_subscribed(resources: dict[str, Resource]) -> None:
    """What the shipper and the replay write themselves would come back to the shipper, which would write of it."""
    assert subscribed(resources) == {"InferenceLogGroup"}


@pytest.mark.parametrize("function", ["ShipperFunction", "ReplayFunction"])
@pytest.mark.parametrize("group", ["ShipperLogGroup", "ReplayLogGroup"])
def test_another_subscription_would_be_noticed(function: str, group: str) -> None:
    source = deepcopy(load())
    events = source["Resources"][function]["Properties"]["Events"]
    events["Own"] = {"Type": "CloudWatchLogs", "Properties": {"LogGroupName": {"Ref": group}, "FilterPattern": ""}}
    assert subscribed(transformed(source)) == {"InferenceLogGroup", group}


def test_what_fails_goes_to_the_bucket(resources: dict[str, Resource]) -> None:
    configs = dict(of_type(resources, "AWS::Lambda::EventInvokeConfig"))
    (shipper,) = [config for config in configs.values() if "Shipper" in str(config["FunctionName"])]
    assert shipper["DestinationConfig"]["OnFailure"] == {"Destination": {"Fn::GetAtt": ["DeadLetterBucket", "Arn"]}}
    assert shipper["MaximumRetryAttempts"] == 2
    assert {config["Qualifier"] for config in configs.values()} == {"$LATEST"}


def test_a_replay_that_fails_leaves_no_letter_of_its_own(resources: dict[str, Resource]) -> None:
    """The next schedule is its retry; a letter of it would be no payload."""
    (replay,) = [config for _, config in of_type(resources, "AWS::Lambda::EventInvokeConfig") if "Replay" in str(config["FunctionName"])]
    assert replay["MaximumRetryAttempts"] == 0
    assert not replay.get("DestinationConfig")


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
    """A resource as written: the string, what Sub holds, or the name that GetAtt or Ref takes."""
    found = value.get("Fn::Sub") or value.get("Fn::GetAtt") or value.get("Ref") if isinstance(value, dict) else value
    return ".".join(found) if isinstance(found, list) else str(found)

"""Tests access to the stack: callers, the API, the buckets, the domain and its network.

Each `@check` has two parts. The first part lists the stacks that must pass the test. The second
part lists flaws. If a stack gets one of the flaws, the test must fail.
"""

from __future__ import annotations

import json

from local.template import load
from tests.template.check import GONE, check
from tests.template.cloudformation import text
from tests.template.stacks import (
    ALL,
    ANYBODY,
    IN_VPC,
    OWN,
    OWN_IN_VPC,
    SECRET,
    WITH_INFERENCE,
    Stack,
    before,
    selected,
)


@check(
    ALL,
    ("DeadLetterBucketPolicy.Properties.PolicyDocument.Statement.+", ANYBODY),
    ("ReplayFunctionAgainPermission.Properties.Principal", "*"),
    ("ReplayFunctionAgainPermission.Properties.SourceArn", GONE),
    ("PredictPermission.Properties.SourceArn", "*"),
    ("FeedbackPermission.Properties.SourceArn", "*"),
    ("AlarmTopicPolicy.Properties.PolicyDocument.Statement.0.Principal", "*"),
    ("AlarmTopicPolicy.Properties.PolicyDocument.Statement.0.Condition", {}),
    ("ShipperFunctionPredictionsPermission.Properties.SourceArn", "arn:aws:logs:*:*:*"),
    ("PredictPermission.Properties.Principal", "logs.amazonaws.com"),
    (
        "MoreLogs2Permission.Properties.SourceArn",
        {"Fn::Sub": "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:*"},
    ),
)
def test_each_resource_admits_only_the_listed_callers(stack: Stack) -> None:
    """Each function has only the listed callers. Only the domain's policy admits everybody.

    The domain's security plugin refuses callers without a user.
    """
    open_to_all = set()
    for name, resource in stack.resources.items():
        properties = resource.get("Properties", {})
        policies = [
            properties.get(kind)
            for kind in ("AccessPolicies", "PolicyDocument", "AssumeRolePolicyDocument")
        ]
        for policy in filter(None, policies):
            document = policy if "Statement" in policy else json.loads(text(policy))
            granted = [
                statement for statement in document["Statement"] if statement["Effect"] == "Allow"
            ]
            open_to_all |= {
                name for statement in granted if "*" in json.dumps(statement["Principal"])
            }
    assert open_to_all <= {"Domain"}
    callers = {
        (text(each["FunctionName"]), each["Principal"], selected(each["SourceArn"], stack))
        for each in stack.of_type("AWS::Lambda::Permission").values()
    }
    api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/POST/"
    account = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*"
    more = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Name}:*"
    logs = more.replace("${Name}", "${InferenceLogGroup}")
    inference = {
        *(
            ("InferenceFunctionAliaslive", "apigateway.amazonaws.com", api + route)
            for route in ("predict", "feedback")
        ),
        ("ShipperFunction", "logs.amazonaws.com", logs),
    }
    judging = (
        ("MonitorFunction", "events.amazonaws.com", "MonitorFunctionJudge.Arn"),
        (
            "ShipperFunction.Arn",
            "logs.amazonaws.com",
            more.replace("${Name}", "${MonitorLogGroup}"),
        ),
        ("MessengerFunction", "events.amazonaws.com", "MessengerFunctionWaiting.Arn"),
        (
            "MessengerFunction.Arn",
            "logs.amazonaws.com",
            more.replace("${Name}", "${MonitorLogGroup}"),
        ),
    )
    reporting = (("ReportFunction", "events.amazonaws.com", "ReportFunctionMake.Arn"),)
    asking = (
        ("CanaryFunction", "events.amazonaws.com", "CanaryFunctionAsk.Arn"),
        ("ShipperFunction.Arn", "logs.amazonaws.com", more.replace("${Name}", "${CanaryLogGroup}")),
    )
    assert callers == {
        *(inference if stack.has_inference else ()),
        *([("ShipperFunction.Arn", "logs.amazonaws.com", account)] if stack.log_groups else ()),
        ("ReplayFunction", "events.amazonaws.com", "ReplayFunctionAgain.Arn"),
        *(
            ("ShipperFunction.Arn", "logs.amazonaws.com", more.replace("${Name}", name))
            for name in stack.more_logs
        ),
        *(judging if stack.monitors else ()),
        *(asking if stack.asks else ()),
        *(reporting if stack.reports else ()),
    }
    if "AlarmTopicPolicy" in stack.resources:
        (statement,) = stack.properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]
        assert (statement["Principal"], statement["Action"]) == (
            {"Service": "cloudwatch.amazonaws.com"},
            "sns:Publish",
        )
        assert statement["Condition"]["StringEquals"] == {
            "aws:SourceAccount": {"Ref": "AWS::AccountId"}
        }
        assert text(statement["Condition"]["ArnLike"]["aws:SourceArn"]).endswith(
            ":${AWS::AccountId}:alarm:*"
        )


@check(
    OWN,
    ("Domain.Properties.AdvancedSecurityOptions.Enabled", False),
    ("Domain.Properties.AdvancedSecurityOptions.AnonymousAuthEnabled", True),
    ("Domain.Properties.AccessPolicies.Statement.0.Action", "es:*"),
    ("Domain.Properties.AccessPolicies.Statement.0.Effect", "Deny"),
    ("Domain.Properties.AdvancedSecurityOptions.JWTOptions", {"Enabled": True}),
)
def test_a_domain_with_an_internet_address_requires_a_user(stack: Stack) -> None:
    domain = stack.properties("Domain")
    # es:ESHttp* contains no action that changes the domain itself
    (statement,) = domain["AccessPolicies"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "es:ESHttp*",
        "Resource": "*",
    }
    security = dict(domain["AdvancedSecurityOptions"])
    user = {name: text(value) for name, value in security.pop("MasterUserOptions").items()}
    assert security == {
        "Enabled": True,
        "InternalUserDatabaseEnabled": True,
        "AnonymousAuthEnabled": False,
    }
    generated = SECRET + "${MasterUser}:SecretString:"
    assert user == {
        "MasterUserName": generated + "username}}",
        "MasterUserPassword": generated + "password}}",
    }


@check(
    WITH_INFERENCE,
    ("PredictRoute.Properties.AuthorizationType", "NONE"),
    ("PredictRoute.Properties.RouteKey", "$default"),
    ("FeedbackRoute.Properties.AuthorizationType", "NONE"),
    (
        "More",
        {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {"RouteKey": "GET /predict", "AuthorizationType": "NONE"},
        },
    ),
    ("Api.Properties.Target", "arn"),
    ("ApiStage.Properties.DefaultRouteSettings.ThrottlingRateLimit", GONE),
    ("ApiStage.Properties.RouteSettings", {"POST /predict": {"ThrottlingRateLimit": 10000}}),
)
def test_the_api_requires_a_signature_and_is_throttled(stack: Stack) -> None:
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {
        name: {"Ref": "RequestsPerSecond"}
        for name in ("ThrottlingRateLimit", "ThrottlingBurstLimit")
    }
    assert "RouteSettings" not in stage  # they would override the default settings
    (api,) = stack.of_type("AWS::ApiGatewayV2::Api").values()
    # these properties could add routes that the template does not show
    assert not {"Body", "BodyS3Location", "Target", "CorsConfiguration"} & set(api)
    routes = stack.of_type("AWS::ApiGatewayV2::Route").values()
    assert sorted(route["RouteKey"] for route in routes) == ["POST /feedback", "POST /predict"]
    for route in routes:
        assert route["AuthorizationType"] == {"Ref": "ApiAuthorization"}
    parameter = load()["Parameters"]["ApiAuthorization"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("AWS_IAM", ["AWS_IAM", "NONE"])


@check(
    ALL,
    ("ReplayFunctionAgain.Properties.State", "DISABLED"),
    ("ReplayFunctionAgain.Properties.Targets.0.Input", "{}"),
    ("MonitorFunctionJudge.Properties.ScheduleExpression", "rate(1 day)"),
    ("CanaryFunctionAsk.Properties.ScheduleExpression", "rate(1 day)"),
    ("ReportFunctionMake.Properties.State", "DISABLED"),
)
def test_each_scheduled_function_runs_on_its_schedule(stack: Stack) -> None:
    rules = stack.of_type("AWS::Events::Rule")
    schedules: dict[str, tuple[object, str]] = {
        "ReplayFunctionAgain": ({"Ref": "ReplaySchedule"}, "ReplayFunction")
    }
    if stack.monitors:
        schedules["MonitorFunctionJudge"] = ("rate(15 minutes)", "MonitorFunction")
        schedules["MessengerFunctionWaiting"] = ("rate(15 minutes)", "MessengerFunction")
    if stack.reports:
        schedules["ReportFunctionMake"] = ("rate(15 minutes)", "ReportFunction")
    if stack.asks:
        # only once a day, because a user's own function may log the questions as live predictions
        often = "rate(15 minutes)" if stack.has_inference else "rate(1 day)"
        schedules["CanaryFunctionAsk"] = (often, "CanaryFunction")
    assert set(rules) == set(schedules)
    for name, (expression, function) in schedules.items():
        assert rules[name]["ScheduleExpression"] == expression
        assert rules[name].get("State", "ENABLED") == "ENABLED"
        (target,) = rules[name]["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": [function, "Arn"]}
        assert "Input" not in target  # an input could limit the work of the function


@check(
    ALL,
    ("DeadLetterBucket.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy", False),
    ("DeadLetterBucket.Properties.OwnershipControls", GONE),
    ("ReportBucket.Properties.PublicAccessBlockConfiguration.RestrictPublicBuckets", False),
    ("ReportBucket.Properties.WebsiteConfiguration", {"IndexDocument": "index.html"}),
)
def test_the_buckets_are_private(stack: Stack) -> None:
    assert sorted(stack.of_type("AWS::S3::Bucket")) == sorted(stack.buckets)
    for bucket in stack.of_type("AWS::S3::Bucket").values():
        assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"),
            True,
        )
        assert bucket["OwnershipControls"] == {
            "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
        }
        assert not {"AccessControl", "WebsiteConfiguration"} & bucket.keys()


@check(
    OWN_IN_VPC,
    ("DomainSecurityGroup.Properties.SecurityGroupIngress", [{"CidrIp": "0.0.0.0/0"}]),
    ("DomainSecurityGroup.Properties.SecurityGroupEgress.0.CidrIp", "0.0.0.0/0"),
    ("DomainIngress.Properties.CidrIp", "0.0.0.0/0"),
    ("DomainIngress.Properties.FromPort", 0),
    ("Kibana.Properties.After", GONE),
)
def test_only_the_functions_may_reach_the_domain_in_a_vpc(stack: Stack) -> None:
    ingress, domain = stack.properties("DomainIngress"), stack.properties("DomainSecurityGroup")
    assert (ingress["GroupId"], ingress["SourceSecurityGroupId"]) == (
        {"Ref": "DomainSecurityGroup"},
        {"Ref": "FunctionsSecurityGroup"},
    )
    assert (ingress["IpProtocol"], ingress["FromPort"], ingress["ToPort"]) == ("tcp", 443, 443)
    assert not {"CidrIp", "CidrIpv6"} & set(ingress)
    assert "SecurityGroupIngress" not in domain
    assert [each["CidrIp"] for each in domain["SecurityGroupEgress"]] == ["127.0.0.1/32"]
    assert "DomainIngress" in before(stack, "Kibana")


@check(
    IN_VPC,
    ("FunctionsSecurityGroup.Properties.SecurityGroupIngress", [{"CidrIp": "0.0.0.0/0"}]),
    ("FunctionsSecurityGroup.Properties.SecurityGroupEgress.0.ToPort", 65535),
)
def test_functions_in_a_vpc_accept_no_connections_and_use_https(stack: Stack) -> None:
    functions = stack.properties("FunctionsSecurityGroup")
    assert "SecurityGroupIngress" not in functions
    assert [
        (each["IpProtocol"], each["FromPort"], each["ToPort"])
        for each in functions["SecurityGroupEgress"]
    ] == [("tcp", 443, 443)]


# These functions send requests to AWS services only, and none to the domain.
OUTSIDE = {"InferenceFunction", "CanaryFunction", "MessengerFunction"}


@check(
    ("installed in a VPC with the user's security group", *IN_VPC),
    ("Domain.Properties.VPCOptions", GONE),
    ("ReplayFunction.Properties.VpcConfig", GONE),
    ("MonitorFunction.Properties.VpcConfig", GONE),
    ("ReportFunction.Properties.VpcConfig", GONE),
)
def test_every_function_that_calls_the_domain_is_in_the_vpc(stack: Stack) -> None:
    subnets = [{"Ref": "VpcSubnetId"}, {"Ref": "VpcSecondSubnetId"}]
    if "Domain" in stack.resources:
        assert stack.properties("Domain")["VPCOptions"] == {
            "SecurityGroupIds": [{"Ref": "DomainSecurityGroup"}],
            "SubnetIds": subnets,
        }
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        group = (
            "FunctionsSecurityGroupId"
            if "FunctionsSecurityGroupId" in stack.given
            else "FunctionsSecurityGroup"
        )
        inside = {"SecurityGroupIds": [{"Ref": group}], "SubnetIds": subnets}
        assert function.get("VpcConfig") == (None if name in OUTSIDE else inside)

"""Checks the connections between the resources of a stack, as the services' APIs report them.

The stack is in fakecloud, a local stand-in for AWS. If fakecloud cannot do something, the report
lists it as not checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from local.template import read
from tests.deploy.cloud import REGION, Stack, client
from tests.deploy.report import Report

LIVE_FUNCTION = "InferenceFunction"
FROM_THE_INSTALLER = "the installer returns these values, and no function runs in fakecloud"


def made(
    stack: Stack, report: Report, *, absent: set[str], status: str = "CREATE_COMPLETE"
) -> None:
    """Check that every resource and output of the template exists.

    Resources and outputs whose condition is in `absent` must not exist.
    """
    template = stack.source()
    report.equal("status", stack.status(), status)
    named = set(template["Resources"])
    wanted = {name for name in named if template["Resources"][name].get("Condition") not in absent}
    report.equal("resources of the template", named & set(stack.resources()), wanted)
    outputs = {
        name: each["Value"]
        for name, each in template["Outputs"].items()
        if each.get("Condition") not in absent
    }
    report.equal("outputs", set(stack.outputs()), set(outputs))
    ids = stack.resources()
    refs = {name: value["Ref"] for name, value in outputs.items() if value.get("Ref") in ids}
    seen = [name for name, ref in refs.items() if stack.outputs()[name] == ids[ref]]
    report.equal("outputs that are the id of a resource", seen, list(refs))


def subscription(stack: Stack, report: Report) -> None:
    """Check that matching lines of each subscribed log group are sent to the shipper.

    These log groups must have the permission to invoke the shipper.
    """
    ids = stack.resources()
    subscribed = [each for each in read(stack.template).subscriptions if each[0] in ids]
    for group, pattern, function in subscribed:
        (found,) = client("logs").describe_subscription_filters(
            logGroupName=group_name(ids[group])
        )["subscriptionFilters"]
        report.equal(f"pattern of the subscription of {group}", found["filterPattern"], pattern)
        report.equal(
            f"destination of {group}", function_name(found["destinationArn"]), ids[function]
        )
    statements = permissions(ids["ShipperFunction"])
    callers = {
        (each["Principal"]["Service"], group_name(each["Condition"]["ArnLike"]["AWS:SourceArn"]))
        for each in statements
    }
    # a stack without the dashboards has no monitor, and a stack without inference has no canary
    further = {"MonitorLogGroup", "CanaryLogGroup"} & ids.keys()
    groups = {group for group, _, _ in subscribed} | further
    expected = {("logs.amazonaws.com", group_name(ids[group])) for group in groups}
    report.equal("who may invoke the shipper", callers, expected)


def delivery(stack: Stack, report: Report, *, by_stream: bool) -> None:
    """Check that log lines of predictions are sent to the stream, or to the shipper directly."""
    ids = stack.resources()
    (found,) = client("logs").describe_subscription_filters(
        logGroupName=group_name(ids["InferenceLogGroup"])
    )["subscriptionFilters"]
    destination = found["destinationArn"]
    expected = ids["Stream"] if by_stream else ids["ShipperFunction"]
    name = destination.rpartition("/")[2] if by_stream else function_name(destination)
    report.equal("destination of the log lines of predictions", name, expected)


def stream(stack: Stack, report: Report) -> None:
    """Check the stream, and the mapping through which the shipper gets its records."""
    ids = stack.resources()
    described = client("kinesis").describe_stream_summary(StreamName=ids["Stream"])
    summary = described["StreamDescriptionSummary"]
    report.equal("encryption of the stream", summary.get("EncryptionType"), "KMS")
    mapping = client("lambda").get_event_source_mapping(UUID=ids["StreamMapping"])
    report.equal("stream that the mapping reads", mapping["EventSourceArn"], summary["StreamARN"])
    report.equal(
        "function that the mapping invokes",
        function_name(mapping["FunctionArn"]),
        ids["ShipperFunction"],
    )
    expected = {
        "StartingPosition": "TRIM_HORIZON",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": True,
    }
    report.equal(
        "settings of the mapping", {name: mapping.get(name) for name in expected}, expected
    )


def dead_letters(stack: Stack, report: Report, *, days: int) -> None:
    """Check that a payload that failed three times is kept in the bucket, and replayed from it.

    The bucket must have no public access.
    """
    ids = stack.resources()
    config = client("lambda").get_function_event_invoke_config(FunctionName=ids["ShipperFunction"])
    bucket = ids["DeadLetterBucket"]
    report.equal(
        "destination of the shipper's failed payloads",
        config["DestinationConfig"]["OnFailure"]["Destination"],
        f"arn:aws:s3:::{bucket}",
    )
    report.equal("retries of the shipper", config["MaximumRetryAttempts"], 2)
    replay = client("lambda").get_function_event_invoke_config(FunctionName=ids["ReplayFunction"])
    report.equal("retries of the replay", replay["MaximumRetryAttempts"], 0)
    s3 = client("s3")
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    report.equal(
        "days that the bucket keeps payloads",
        (rule["Status"], rule["Expiration"]["Days"]),
        ("Enabled", days),
    )
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    report.equal("blocked public access of the bucket", closed, dict.fromkeys(closed, True))
    (encryption,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    report.equal(
        "encryption of the bucket",
        encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "AES256",
    )
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    report.equal(
        "policy of the bucket",
        (statement["Effect"], statement["Condition"]),
        ("Deny", {"Bool": {"aws:SecureTransport": "false"}}),
    )
    events = client("events")
    rule = events.describe_rule(Name=ids["ReplayFunctionAgain"])
    (target,) = events.list_targets_by_rule(Rule=ids["ReplayFunctionAgain"])["Targets"]
    report.equal(
        "schedule of the replay",
        (rule["ScheduleExpression"], function_name(target["Arn"])),
        ("rate(15 minutes)", ids["ReplayFunction"]),
    )
    environment = configuration(ids["ReplayFunction"])["Environment"]["Variables"]
    report.equal("bucket that the replay reads", environment["DEAD_LETTER_BUCKET"], bucket)


def retention(stack: Stack, report: Report, *, days: int) -> None:
    """Check that log groups keep lines for this number of days.

    Every function must write to its own log group.
    """
    ids = stack.resources()
    groups = sorted(name for name in ids if name.endswith("LogGroup"))
    report.equal(
        f"retention of {', '.join(groups)}",
        [_retention(ids[name]) for name in groups],
        [days] * len(groups),
    )
    functions = sorted(name for name in ids if name.endswith("Function"))
    written = [
        group_name(configuration(ids[name])["LoggingConfig"]["LogGroup"]) for name in functions
    ]
    report.equal(
        f"log groups of {', '.join(functions)}",
        written,
        [group_name(ids[name.replace("Function", "LogGroup")]) for name in functions],
    )
    report.leave_out(
        "that the functions' roles may write only to their log groups",
        "Ref of a log group is an ARN in fakecloud, and a name in AWS",
    )


def api(stack: Stack, report: Report, *, authorization: str) -> None:
    """Check that both routes reach the alias `live` of the inference function.

    The alias must name a published version.
    """
    ids = stack.resources()
    gateway = client("apigatewayv2")
    routes = sorted(
        gateway.get_routes(ApiId=ids["Api"])["Items"], key=lambda each: each["RouteKey"]
    )
    report.equal(
        "routes and their authorization",
        [(route["RouteKey"], route["AuthorizationType"]) for route in routes],
        [("POST /feedback", authorization), ("POST /predict", authorization)],
    )
    (target,) = {route["Target"] for route in routes}
    report.leave_out("that an unsigned request is refused", "fakecloud accepts any request")
    integration = gateway.get_integration(ApiId=ids["Api"], IntegrationId=target.rpartition("/")[2])
    report.equal(
        "function of the routes",
        _qualified(integration["IntegrationUri"]),
        f"{ids[LIVE_FUNCTION]}:live",
    )
    (stage,) = gateway.get_stages(ApiId=ids["Api"])["Items"]
    settings = stage["DefaultRouteSettings"]
    report.equal(
        "limits of requests: per second, and in a burst",
        (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]),
        (50, 50),
    )
    report.equal(
        "log group of the API",
        group_name(stage["AccessLogSettings"]["DestinationArn"]),
        group_name(ids["ApiLogGroup"]),
    )
    report.equal(
        "PredictUrl",
        stack.outputs()["PredictUrl"],
        f"https://{ids['Api']}.execute-api.{REGION}.amazonaws.com/predict",
    )
    report.equal(
        "FeedbackUrl",
        stack.outputs()["FeedbackUrl"],
        f"https://{ids['Api']}.execute-api.{REGION}.amazonaws.com/feedback",
    )
    report.equal("InferenceAlias", stack.outputs()["InferenceAlias"], live(stack)["AliasArn"])
    report.equal("version of the alias", live(stack)["FunctionVersion"], "1")


def alarms(stack: Stack, report: Report, *, absent: set[str]) -> None:
    """Check that every alarm exists, notifies the topic, and is on the dashboard."""
    ids, template = stack.resources(), stack.source()["Resources"]
    wanted = {
        name
        for name, each in template.items()
        if each["Type"].endswith("::Alarm") and each.get("Condition") not in absent
    }
    found = client("cloudwatch").describe_alarms(
        AlarmNames=[ids[name] for name in sorted(wanted)], MaxRecords=100
    )["MetricAlarms"]
    report.equal("number of alarms", len(found), len(wanted))
    report.equal(
        "topic that the alarms notify",
        {action for each in found for action in each["AlarmActions"]},
        {ids["AlarmTopic"]},
    )
    body = json.loads(
        client("cloudwatch").get_dashboard(DashboardName=ids["Dashboard"])["DashboardBody"]
    )
    shown = {each.rpartition(":")[2] for each in body["widgets"][0]["properties"]["alarms"]}
    differing = shown ^ {ids[name].rpartition(":")[2] for name in wanted}
    report.equal("alarms that only the dashboard or only the template has", differing, set())


def tags(stack: Stack, report: Report) -> None:
    """Check that the stack's tags are on its resources."""
    ids = stack.resources()
    found = client("lambda").list_tags(
        Resource=configuration(ids["ShipperFunction"])["FunctionArn"]
    )["Tags"]
    if "Application" in found:
        report.equal("tag of the shipper", found["Application"], "prediction-monitor")
    else:
        report.leave_out(
            "that the stack's tags are on its resources", "fakecloud does not copy them"
        )


def more_logs(stack: Stack, report: Report, *, groups: list[str]) -> None:
    """Check that every line of further log groups is sent to the shipper.

    These log groups must have the permission to invoke the shipper.
    """
    ids = stack.resources()
    for group in groups:
        (found,) = client("logs").describe_subscription_filters(logGroupName=group)[
            "subscriptionFilters"
        ]
        seen = (found.get("filterPattern", ""), function_name(found["destinationArn"]))
        report.equal(f"pattern and destination of {group}", seen, ("", ids["ShipperFunction"]))
    named = {
        group_name(each["Condition"]["ArnLike"]["AWS:SourceArn"])
        for each in permissions(ids["ShipperFunction"])
    }
    own = {
        group_name(ids[name])
        for name in ("InferenceLogGroup", "MonitorLogGroup", "CanaryLogGroup")
        if name in ids
    }
    report.equal("who may invoke the shipper", named, own | {*groups})


def log_groups(stack: Stack, report: Report, *, groups: dict[int, str], pattern: str) -> None:
    """Check the subscriptions of the log groups in the parameter `LogGroups`.

    The keys of `groups` are the places of the log groups in the list. All filters have the same
    name, and one permission is for all log groups.
    """
    ids = stack.resources()
    for place, group in groups.items():
        (found,) = client("logs").describe_subscription_filters(logGroupName=group)[
            "subscriptionFilters"
        ]
        seen = (
            found["filterName"],
            found.get("filterPattern", ""),
            function_name(found["destinationArn"]),
        )
        report.equal(
            f"name, pattern and destination of {group}",
            seen,
            ("prediction-monitor-records", pattern, ids["ShipperFunction"]),
        )
        report.equal(f"LogGroup{place} exists", f"LogGroup{place}" in ids, True)  # noqa: FBT003
    callers = [
        each["Condition"]["ArnLike"]["AWS:SourceArn"].rpartition(":log-group:")[2]
        for each in permissions(ids["ShipperFunction"])
    ]
    own = [
        f"{group_name(ids[name])}:*:*"
        for name in ("MonitorLogGroup", "CanaryLogGroup")
        if name in ids
    ]
    report.equal("who may invoke the shipper", sorted(callers), sorted(["*", *own]))
    variables = configuration(ids["ShipperFunction"])["Environment"]["Variables"]
    report.equal(
        "log groups that the shipper's environment variables name (none is expected)",
        [each for each in groups.values() if each in str(variables)],
        [],
    )


def not_subscribed(stack: Stack, report: Report, *, group: str) -> None:
    """Check that a log group that was removed from `LogGroups` has no filter."""
    report.equal(
        f"filters of {group}",
        client("logs").describe_subscription_filters(logGroupName=group)["subscriptionFilters"],
        [],
    )


def concurrency(stack: Stack, report: Report, *, reserved: int) -> None:
    """Check the reserved concurrency of the shipper, and that the inference function has none."""
    for name, wanted in (("ShipperFunction", reserved), (LIVE_FUNCTION, None)):
        found = client("lambda").get_function_concurrency(FunctionName=stack.resources()[name])
        report.equal(f"concurrency of {name}", found.get("ReservedConcurrentExecutions"), wanted)


def written_to(stack: Stack, report: Report, *, address: str) -> None:
    """Check the address that the topic of alarms notifies."""
    found = client("sns").list_subscriptions_by_topic(TopicArn=stack.resources()["AlarmTopic"])[
        "Subscriptions"
    ]
    report.equal(
        "who gets the messages of the topic",
        [(each["Protocol"], each["Endpoint"]) for each in found],
        [("email", address)],
    )


def permissions(function: str) -> list[dict[str, Any]]:
    """Return the statements that permit a principal to invoke a function."""
    found: list[dict[str, Any]] = json.loads(
        client("lambda").get_policy(FunctionName=function)["Policy"]
    )["Statement"]
    return found


def environment(stack: Stack, report: Report, *, log_text: str) -> None:
    """Check two settings of the inference function: whether it logs text, and its hash key."""
    ids = stack.resources()
    variables = configuration(ids[LIVE_FUNCTION])["Environment"]["Variables"]
    report.equal("LOG_TEXT of the inference function", variables["LOG_TEXT"], log_text)
    report.equal(
        "secret of HASH_KEY",
        variables["HASH_KEY"],
        f"{{{{resolve:secretsmanager:{ids['HashKey']}}}}}",
    )
    report.leave_out(
        "that HASH_KEY is the secret's value", "fakecloud does not resolve dynamic references"
    )


def gradual_deployment(stack: Stack, report: Report) -> None:
    """Check how requests move to a new version, and which alarms roll it back."""
    ids = stack.resources()
    # in fakecloud, `Ref` gives the name of the application and then the name of the group
    _, _, name = ids["InferenceFunctionDeploymentGroup"].rpartition("/")
    codedeploy = client("codedeploy")
    group = codedeploy.get_deployment_group(
        applicationName=ids["ServerlessDeploymentApplication"], deploymentGroupName=name
    )["deploymentGroupInfo"]
    report.equal(
        "how requests move to a new version",
        group["deploymentConfigName"],
        "CodeDeployDefault.LambdaAllAtOnce",
    )
    alarms = {alarm["name"] for alarm in group.get("alarmConfiguration", {}).get("alarms", [])}
    report.equal("alarms that stop a deployment", alarms, set())
    report.equal(
        "role of the deployment",
        role_name(group["serviceRoleArn"]),
        role_name(ids["DeploymentRole"]),
    )
    report.leave_out(
        "that requests move gradually, and move back after an alarm",
        "fakecloud moves an alias at once",
    )


def domain_of_its_own(stack: Stack, report: Report) -> None:
    """Check the domain's encryption, HTTPS, access control and logs.

    The functions must write to this domain and to no other.
    """
    ids = stack.resources()
    domain = described_domain(ids["Domain"])
    report.equal("encryption at rest", domain["EncryptionAtRestOptions"], {"Enabled": True})
    report.equal(
        "encryption between nodes", domain["NodeToNodeEncryptionOptions"], {"Enabled": True}
    )
    endpoint = domain["DomainEndpointOptions"]
    report.equal(
        "HTTPS only",
        (endpoint["EnforceHTTPS"], endpoint["TLSSecurityPolicy"]),
        (True, "Policy-Min-TLS-1-2-PFS-2023-10"),
    )
    security = domain["AdvancedSecurityOptions"]
    names = ("Enabled", "InternalUserDatabaseEnabled", "AnonymousAuthEnabled")
    report.equal(
        "fine-grained access control", [security[name] for name in names], [True, True, False]
    )
    secret = client("secretsmanager").get_secret_value(SecretId=ids["MasterUser"])["SecretString"]
    user = json.loads(secret)
    report.equal(
        "the administrator", (user["username"], len(user["password"])), ("administrator", 40)
    )
    report.leave_out(
        "that the administrator is the domain's first user",
        "neither AWS nor fakecloud shows this user",
    )
    logs = {
        kind: group_name(each["CloudWatchLogsLogGroupArn"])
        for kind, each in domain["LogPublishingOptions"].items()
        if each["Enabled"]
    }
    kinds = {
        "ES_APPLICATION_LOGS": "Error",
        "INDEX_SLOW_LOGS": "Slow",
        "SEARCH_SLOW_LOGS": "Slow",
        "AUDIT_LOGS": "Audit",
    }
    report.equal(
        "log groups of the domain",
        logs,
        {kind: group_name(ids[f"Domain{name}LogGroup"]) for kind, name in kinds.items()},
    )
    report.equal(
        "that the names of the domain's log groups begin as AWS recommends",
        {
            name.startswith(f"/aws/vendedlogs/OpenSearchService/{stack.name}-")
            for name in logs.values()
        },
        {True},
    )
    (policy,) = client("logs").describe_resource_policies()["resourcePolicies"]
    (statement,) = json.loads(policy["policyDocument"])["Statement"]
    report.equal(
        "log groups to which OpenSearch Service may write",
        {group_name(each) for each in statement["Resource"]},
        set(logs.values()),
    )
    report.equal("Domain", stack.outputs()["Domain"], f"https://{domain['Endpoint']}")
    writes(stack, report, domain["ARN"])


def volume(stack: Stack, report: Report, *, gibibytes: str) -> None:
    """Check the disk of the domain's nodes."""
    size = described_domain(stack.resources()["Domain"])["EBSOptions"]["VolumeSize"]
    report.equal("disk of the domain's nodes", str(size), gibibytes)


def writes(stack: Stack, report: Report, arn: str) -> None:
    """Check that shipper and replay may send only `_bulk` and `_count` requests.

    They may send them only to this domain.
    """
    ids = stack.resources()
    for role in ("ShipperRole", "ReplayRole"):
        (statement,) = _statements(ids[role], "index")
        expected = ("es:ESHttpPost", [f"{arn}/_bulk", f"{arn}/cwl-*/_count"])
        report.equal(
            f"permissions of {role}", (statement["Action"], statement["Resource"]), expected
        )


def installer(stack: Stack, report: Report) -> None:
    """Check that the installer's function exists and may read the secret with which it signs in."""
    ids = stack.resources()
    (statement,) = _statements(ids["KibanaRole"], "sign-in")
    report.equal(
        "secret that the installer may read",
        (statement["Action"], statement["Resource"]),
        ("secretsmanager:GetSecretValue", ids["MasterUser"]),
    )
    version = client("lambda").get_alias(FunctionName=ids["KibanaFunction"], Name="live")[
        "FunctionVersion"
    ]
    report.equal("version of the installer", version, "1")
    report.leave_out(
        "the properties that the installer gets, and their effect",
        "no function runs, and a custom resource keeps no properties",
    )
    report.leave_out(
        "OPENSEARCH_URL of shipper and replay, and the links to the dashboards", FROM_THE_INSTALLER
    )


def signs(stack: Stack, report: Report, *, arn: str) -> None:
    """Check that an installer without a secret may send signed requests only to this domain."""
    found = [one["Resource"] for one in _statements(stack.resources()["KibanaRole"], "install")]
    resources = [each for one in found for each in (one if isinstance(one, list) else [one])]
    report.equal(
        "domain to which the installer may send requests",
        {each.partition("/")[0] + "/" + each.split("/")[1] for each in resources},
        {arn},
    )


def existing_domain(stack: Stack, report: Report, *, endpoint: str, arn: str) -> None:
    """Check that shipper and replay have the domain's address, which a parameter gives.

    They must have the permissions to write to this domain.
    """
    ids = stack.resources()
    for function in ("ShipperFunction", "ReplayFunction"):
        report.equal(
            f"OPENSEARCH_URL of {function}",
            configuration(ids[function])["Environment"]["Variables"]["OPENSEARCH_URL"],
            endpoint,
        )
    writes(stack, report, arn)


def network(stack: Stack, report: Report, *, subnets: list[str]) -> None:
    """Check that domain, shipper, replay and installer are in the VPC.

    Their security groups must allow HTTPS and nothing else.
    """
    ids = stack.resources()
    for function in ("ShipperFunction", "ReplayFunction", "KibanaFunction"):
        found = configuration(ids[function]).get("VpcConfig", {})
        seen = (found.get("SubnetIds"), found.get("SecurityGroupIds"))
        report.equal(f"network of {function}", seen, (subnets, [ids["FunctionsSecurityGroup"]]))
    report.equal(
        f"network of {LIVE_FUNCTION}",
        configuration(ids[LIVE_FUNCTION]).get("VpcConfig", {}).get("SubnetIds", []),
        [],
    )
    options = described_domain(ids["Domain"])["VPCOptions"]
    report.equal(
        "network of the domain",
        (options["SubnetIds"], options["SecurityGroupIds"]),
        (subnets, [ids["DomainSecurityGroup"]]),
    )
    groups = client("ec2").describe_security_groups(
        GroupIds=[ids["FunctionsSecurityGroup"], ids["DomainSecurityGroup"]]
    )["SecurityGroups"]
    by_id = {group["GroupId"]: group for group in groups}
    functions, domain = by_id[ids["FunctionsSecurityGroup"]], by_id[ids["DomainSecurityGroup"]]
    report.equal("who may call the functions", functions["IpPermissions"], [])
    report.equal(
        "ports and addresses that the functions may call",
        _ports(functions["IpPermissionsEgress"]),
        [(443, ["0.0.0.0/0"], [])],
    )
    report.equal(
        "who may call the domain",
        _ports(domain["IpPermissions"]),
        [(443, [], [functions["GroupId"]])],
    )
    report.equal(
        "addresses that the domain may call",
        [ranges for _, ranges, _ in _ports(domain["IpPermissionsEgress"])],
        [["127.0.0.1/32"]],
    )


def live(stack: Stack) -> dict[str, Any]:
    alias: dict[str, Any] = client("lambda").get_alias(
        FunctionName=stack.resources()[LIVE_FUNCTION], Name="live"
    )
    return _without_request(alias)


def described_domain(name: str) -> dict[str, Any]:
    domain: dict[str, Any] = client("opensearch").describe_domain(DomainName=name)["DomainStatus"]
    return domain


def _without_request(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def group_name(reference: str) -> str:
    """Return a log group's name.

    `Ref` gives the name in AWS, but an ARN in fakecloud. If the template puts such a `Ref` into an
    ARN, that ARN contains another ARN in fakecloud.
    """
    return reference.rpartition(":log-group:")[2].rstrip(":*")


def role_name(reference: str) -> str:
    """Return a role's name. `Ref` gives the name in AWS, but the ARN in fakecloud."""
    return reference.rpartition("/")[2]


def function_name(arn: str) -> str:
    return arn.partition(":function:")[2]


def _qualified(uri: str) -> str:
    """Return `function:alias` from an integration's address.

    The address is `arn:...:lambda:path/.../functions/ARN/invocations` or only the ARN.
    """
    return function_name(uri).removesuffix("/invocations")


def configuration(function: str) -> dict[str, Any]:
    found: dict[str, Any] = client("lambda").get_function_configuration(FunctionName=function)
    return _without_request(found)


def _statements(role: str, policy: str) -> list[dict[str, Any]]:
    document = client("iam").get_role_policy(RoleName=role_name(role), PolicyName=policy)[
        "PolicyDocument"
    ]
    statements: list[dict[str, Any]] = (
        json.loads(unquote(document)) if isinstance(document, str) else document
    )["Statement"]
    return statements


def _retention(group: str) -> int | None:
    name = group_name(group)
    groups = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next(
        (each.get("retentionInDays") for each in groups if each["logGroupName"] == name), None
    )


def _ports(permissions: Iterable[dict[str, Any]]) -> list[tuple[int | None, list[str], list[str]]]:
    return [
        (
            each.get("FromPort"),
            [ip["CidrIp"] for ip in each.get("IpRanges", [])],
            [pair["GroupId"] for pair in each.get("UserIdGroupPairs", [])],
        )
        for each in permissions
    ]

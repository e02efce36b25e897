"""Checks the changes of a stack: the same deploy again, an update, an upgrade and a delete."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import ClientError

from tests.deploy.cloud import Stack, client
from tests.deploy.report import Report
from tests.deploy.wiring import (
    LIVE_FUNCTION,
    configuration,
    described_domain,
    group_name,
    live,
    role_name,
)

KEPT: Final = {
    "DeadLetterBucket",
    "Domain",
    "DomainAuditLogGroup",
    "DomainErrorLogGroup",
    "DomainLogPolicy",
    "DomainSecurityGroup",
    "DomainSlowLogGroup",
    "HashKey",
    "MasterUser",
}
# SAM adds the version, the alias, CodeDeploy's resources and the schedule. Their names begin with
# these.
MADE_BY_SAM: Final = ("InferenceFunction", "ServerlessDeploymentApplication", "CanaryFunction")
VERSION: Final = re.compile(r"\w+FunctionVersion[0-9a-f]{10}")
PROBES: Final[dict[str, Callable[[str], Any]]] = {
    "AWS::ApiGatewayV2::Api": lambda name: client("apigatewayv2").get_api(ApiId=name),
    "AWS::CloudWatch::Alarm": lambda name: client("cloudwatch").describe_alarms(AlarmNames=[name])[
        "MetricAlarms"
    ],
    "AWS::CodeDeploy::Application": lambda name: client("codedeploy").get_application(
        applicationName=name
    ),
    "AWS::EC2::SecurityGroup": lambda name: client("ec2").describe_security_groups(GroupIds=[name]),
    "AWS::CloudWatch::Dashboard": lambda name: client("cloudwatch").get_dashboard(
        DashboardName=name
    ),
    "AWS::SNS::Topic": lambda name: client("sns").get_topic_attributes(TopicArn=name),
    "AWS::Events::Rule": lambda name: client("events").describe_rule(Name=name),
    "AWS::IAM::Role": lambda name: client("iam").get_role(RoleName=role_name(name)),
    "AWS::Lambda::Function": lambda name: client("lambda").get_function(FunctionName=name),
    "AWS::Logs::LogGroup": lambda name: client("logs").describe_log_groups(
        logGroupNamePrefix=group_name(name)
    )["logGroups"],
    "AWS::Logs::ResourcePolicy": lambda name: [
        each
        for each in client("logs").describe_resource_policies()["resourcePolicies"]
        if each["policyName"] == name
    ],
    "AWS::OpenSearchService::Domain": lambda name: client("opensearch").describe_domain(
        DomainName=name
    ),
    "AWS::S3::Bucket": lambda name: client("s3").head_bucket(Bucket=name),
    "AWS::SecretsManager::Secret": lambda name: client("secretsmanager").get_secret_value(
        SecretId=name
    ),
}


def unchanged(stack: Stack, report: Report, *, parameters: dict[str, str]) -> None:
    """Check that the same deploy again changes nothing."""
    before = _state(stack)
    stack.deploy(**parameters)
    report.equal(f"changes in {', '.join(before)}", _differing(before, _state(stack)), [])
    report.leave_out(
        "that sam deploy finds nothing to do",
        "fakecloud lists every resource in a change set, and executes it",
    )


def updated(stack: Stack, report: Report, *, parameters: dict[str, str]) -> None:
    """Check that an update replaces nothing, and keeps all data."""
    before = _state(stack)
    stack.deploy(**parameters)
    after = _state(stack)
    report.equal("status", stack.status(), "UPDATE_COMPLETE")
    report.equal("resources made anew", _differing(before["resources"], after["resources"]), [])
    report.equal("secrets with another value", _differing(before["secrets"], after["secrets"]), [])


def upgraded(stack: Stack, report: Report, *, former: Stack, parameters: dict[str, str]) -> None:
    """Check that an upgrade keeps the resources of the earlier template.

    Only the functions' versions may be replaced.
    """
    before = former.resources()
    subscribed = _subscription(before)
    stack.deploy(**parameters)
    after = stack.resources()
    report.equal("status", stack.status(), "UPDATE_COMPLETE")
    report.equal(
        "what went",
        sorted(name for name in before if name not in after and not VERSION.fullmatch(name)),
        [],
    )
    report.equal("made anew", _made_anew(stack, before, after), [])
    report.leave_out(
        "that the installer's resource keeps its id",
        "it is the installer's answer, in whose place fakecloud invents one",
    )
    # The pattern may become wider, and CloudWatch updates it in place.
    report.equal(
        "the subscription of the inference function, without its pattern",
        _without_pattern(_subscription(after)),
        _without_pattern(subscribed),
    )


def without_inference(stack: Stack, report: Report, *, parameters: dict[str, str]) -> None:
    """`Inference=false` removes API, inference function and canary, and nothing else."""
    before, kinds = stack.resources(), stack.kinds()
    wanted = {
        name
        for name, each in stack.source()["Resources"].items()
        if each.get("Condition") in {"HasInference", "HasCanary", "AsksOften"}
    }
    stack.deploy(**parameters)
    after = stack.resources()
    gone = sorted(set(before) - set(after))
    report.equal(
        "what went and was not the classifier's",
        [name for name in gone if name not in wanted and not name.startswith(MADE_BY_SAM)],
        [],
    )
    report.equal("what is left of the classifier", sorted(wanted & set(after)), [])
    report.equal("made anew", _made_anew(stack, before, after), [])
    probed = [name for name in gone if kinds[name] in PROBES and name not in KEPT]
    report.equal(
        "what is left of it in AWS",
        [name for name in probed if _exists(kinds[name], before[name])],
        [],
    )


def new_version(stack: Stack, report: Report) -> None:
    """Check that a changed setting of the inference function is in a new version.

    The alias must name that version.
    """
    version = live(stack)["FunctionVersion"]
    if version == "1":
        why = (
            "fakecloud keeps a version whose description changed, where AWS publishes another; "
            "live stays at 1"
        )
        report.leave_out("that a change of LogText publishes a new version", why)
    else:
        report.equal("version behind the alias live", version, "2")
        published = configuration(f"{stack.resources()[LIVE_FUNCTION]}:{version}")
        report.equal("its LOG_TEXT", published["Environment"]["Variables"]["LOG_TEXT"], "false")


def deleted(stack: Stack, report: Report) -> None:
    """Check that deleting the stack keeps the data.

    The resources with data and the key to them stay, and everything else goes.
    """
    ids, kinds = stack.resources(), stack.kinds()
    probed = sorted(name for name in ids if kinds[name] in PROBES)
    report.equal(
        "missing before", [name for name in probed if not _exists(kinds[name], ids[name])], []
    )
    stack.delete()
    left = {name for name in probed if _exists(kinds[name], ids[name])}
    kept = KEPT & set(probed)
    report.equal("what survives", left & kept, kept)
    report.equal(f"what is left of {len(probed) - len(kept)} others", left - kept, set())


def _state(stack: Stack) -> dict[str, Any]:
    """Return the resources that a deployment without changes must not touch."""
    ids, kinds = stack.resources(), stack.kinds()
    secrets = {name: ids[name] for name in ids if kinds[name] == "AWS::SecretsManager::Secret"}
    functions = [ids[name] for name in sorted(ids) if kinds[name] == "AWS::Lambda::Function"]
    return {
        "resources": ids,
        "outputs": stack.outputs(),
        "functions": [configuration(name) for name in functions],
        "alias": live(stack),
        "secrets": {
            name: client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
            for name, arn in secrets.items()
        },
        "domain": described_domain(ids["Domain"]),
        "subscription": _subscription(ids),
    }


def _subscription(ids: dict[str, str]) -> Any:
    return client("logs").describe_subscription_filters(
        logGroupName=group_name(ids["InferenceLogGroup"])
    )["subscriptionFilters"]


def _without_pattern(filters: Any) -> list[dict[str, Any]]:
    changing = {"filterPattern", "creationTime"}
    return [
        {name: value for name, value in each.items() if name not in changing} for each in filters
    ]


def _made_anew(stack: Stack, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the resources that have another physical id than before.

    A custom resource is left out, because its function chooses the id.
    """
    kinds = stack.kinds()
    return _differing(
        {
            name: each
            for name, each in before.items()
            if name in after and not kinds[name].startswith("Custom::")
        },
        after,
    )


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(name for name in before if after.get(name) != before[name])


def _exists(kind: str, name: str) -> bool:
    try:
        return bool(PROBES[kind](name))
    except ClientError:
        return False

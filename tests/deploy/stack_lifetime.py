"""Checks changes of a stack: a deployment without changes, an update, an upgrade, a deletion."""

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

# The resources that a deletion of the stack keeps: in the template, their deletion policy is
# `RetainExceptOnCreate`.
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
# these words.
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
    """Check that a second deployment with the same parameters changes nothing."""
    before = _state(stack)
    stack.deploy(**parameters)
    report.equal(f"changes in {', '.join(before)}", _differing(before, _state(stack)), [])
    report.leave_out(
        "that sam deploy reports an empty change set",
        "fakecloud puts every resource into the change set",
    )


def updated(stack: Stack, report: Report, *, parameters: dict[str, str]) -> None:
    """Check that an update replaces nothing, and keeps all data."""
    before = _state(stack)
    stack.deploy(**parameters)
    after = _state(stack)
    report.equal("status", stack.status(), "UPDATE_COMPLETE")
    report.equal("replaced resources", _differing(before["resources"], after["resources"]), [])
    report.equal("secrets with a new value", _differing(before["secrets"], after["secrets"]), [])


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
        "deleted resources",
        sorted(name for name in before if name not in after and not VERSION.fullmatch(name)),
        [],
    )
    report.equal("replaced resources", _replaced(stack, before, after), [])
    report.leave_out(
        "that the installer's resource keeps its id",
        "the installer chooses the id, but fakecloud invents an id instead",
    )
    # A newer version may have another filter pattern. An update changes the pattern, and does not
    # replace the subscription.
    report.equal(
        "the subscription of the inference function, without its pattern",
        _without_pattern(_subscription(after)),
        _without_pattern(subscribed),
    )


def without_inference(stack: Stack, report: Report, *, parameters: dict[str, str]) -> None:
    """Check that `Inference=false` removes only API, inference function and canary."""
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
        "deleted resources that do not belong to the classifier",
        [name for name in gone if name not in wanted and not name.startswith(MADE_BY_SAM)],
        [],
    )
    report.equal("remaining resources of the classifier", sorted(wanted & set(after)), [])
    report.equal("replaced resources", _replaced(stack, before, after), [])
    probed = [name for name in gone if kinds[name] in PROBES and name not in KEPT]
    report.equal(
        "remaining resources of the classifier in AWS",
        [name for name in probed if _exists(kinds[name], before[name])],
        [],
    )


def new_version(stack: Stack, report: Report) -> None:
    """Check that a changed setting of the inference function publishes a new version.

    The alias must point to this version.
    """
    version = live(stack)["FunctionVersion"]
    if version == "1":
        why = (
            "fakecloud keeps the version if only its description changed, but AWS publishes "
            "another version"
        )
        report.leave_out("that a change of LogText publishes a new version", why)
    else:
        report.equal("version behind the alias live", version, "2")
        published = configuration(f"{stack.resources()[LIVE_FUNCTION]}:{version}")
        report.equal(
            "LOG_TEXT of this version", published["Environment"]["Variables"]["LOG_TEXT"], "false"
        )


def deleted(stack: Stack, report: Report) -> None:
    """Check that a deletion keeps the resources in `KEPT`, and deletes all others."""
    ids, kinds = stack.resources(), stack.kinds()
    probed = sorted(name for name in ids if kinds[name] in PROBES)
    report.equal(
        "resources that are missing before the deletion",
        [name for name in probed if not _exists(kinds[name], ids[name])],
        [],
    )
    stack.delete()
    left = {name for name in probed if _exists(kinds[name], ids[name])}
    kept = KEPT & set(probed)
    report.equal("kept resources", left & kept, kept)
    report.equal(f"other resources that remain (of {len(probed) - len(kept)})", left - kept, set())


def _state(stack: Stack) -> dict[str, Any]:
    """Return everything that a deployment without changes must not change."""
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


def _replaced(stack: Stack, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the resources that were replaced: their physical id has changed.

    Custom resources are left out, because their functions choose the ids.
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

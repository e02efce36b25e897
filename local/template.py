"""Read functions, routes and subscriptions from template.yaml, for the local stack."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.root import ROOT

STACK = "local"  # the value of AWS::StackName
HAS_INFERENCE = "HasInference"  # a condition that is true in the local stack
HAS_STREAM = "HasStream"  # a condition that is false in the local stack
USES_STREAM = "UsesStream"  # a condition that is false in the local stack
RETRIES = 2  # Lambda's default


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the template.

    `name` is its logical id, and `code` its folder. `memory` is in MB, and `timeout` in seconds.
    `retries` is the number of retries of a failed asynchronous invocation. `dead_letters` is the
    logical id of the bucket that keeps the event when no retry is left. `environment` has the
    variables whose values are known locally. A reference to a parameter is replaced by the
    parameter's default, and a reference to a resource by the resource's logical id.
    """

    name: str
    code: Path
    handler: str
    memory: int
    timeout: int
    retries: int = RETRIES
    dead_letters: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of the template that the local stack runs."""

    functions: dict[str, Function]
    routes: dict[tuple[str, str], str]
    subscriptions: list[tuple[str, str, str]]


class _Loader(yaml.SafeLoader):
    """A YAML loader that reads CloudFormation's short tags as their long form."""


def _tag(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = "Ref" if tag == "Ref" else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        text = str(loader.construct_scalar(node))
        return {name: text.split(".", 1) if tag == "GetAtt" else text}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


yaml.add_multi_constructor("!", _tag, Loader=_Loader)


def load(path: Path = ROOT / "template.yaml") -> dict[str, Any]:
    """Load the template as plain data."""
    # This is safe, because _Loader is a SafeLoader.
    data: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    return data


def read(path: Path = ROOT / "template.yaml") -> Template:
    """Read functions, routes and subscriptions from the template.

    The key of a route is `(method, path)`, and the value is the name of a function. A subscription
    is `(log group, pattern, function)`.
    """
    functions: dict[str, Function] = {}
    subscriptions: list[tuple[str, str, str]] = []
    data = load(path)
    resources = data["Resources"]
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = resource["Properties"]
        config = properties.get("EventInvokeConfig", {})
        failure = config.get("DestinationConfig", {}).get("OnFailure")
        functions[name] = Function(
            name,
            path.parent / properties["CodeUri"],
            properties["Handler"],
            properties["MemorySize"],
            _without_stream(properties["Timeout"]),
            config.get("MaximumRetryAttempts", RETRIES),
            failure and failure["Destination"]["Fn::GetAtt"][0],
            _environment(properties, data.get("Parameters", {})),
        )
        for event in properties.get("Events", {}).values():
            details = event["Properties"]
            if event["Type"] == "CloudWatchLogs":
                subscriptions.append(
                    (details["LogGroupName"]["Ref"], details["FilterPattern"], name)
                )
    return Template(
        functions, _routes(resources), subscriptions + _written_subscriptions(resources)
    )


def _written_subscriptions(resources: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the subscription filters of the template's own log groups.

    Two kinds are left out: filters of log groups that are given in a parameter, and the monitor's
    filter, because the local stack has no monitor.
    """
    found = []
    for resource in resources.values():
        if resource["Type"] == "AWS::Logs::SubscriptionFilter" and resource.get("Condition") in {
            None,
            HAS_INFERENCE,
        }:
            details = resource["Properties"]
            if (group := details["LogGroupName"].get("Ref")) in resources:
                function = _without_stream(details["DestinationArn"])["Fn::GetAtt"][0]
                found.append((group, details["FilterPattern"], function))
    return found


def _without_stream(value: Any) -> Any:
    """Return the value that a property has in a stack without a stream."""
    if isinstance(value, dict) and value.get("Fn::If", [""])[0] in {HAS_STREAM, USES_STREAM}:
        return value["Fn::If"][2]
    return value


def _environment(properties: dict[str, Any], parameters: dict[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in properties.get("Environment", {}).get("Variables", {}).items():
        if isinstance(value, dict) and value.get("Fn::If", [""])[0] == HAS_INFERENCE:
            value = value["Fn::If"][1]  # noqa: PLW2901
        if isinstance(value, dict) and set(value) == {"Ref"}:
            to = value["Ref"]
            value = STACK if to == "AWS::StackName" else parameters.get(to, {}).get("Default", to)  # noqa: PLW2901
        if not isinstance(value, dict):
            found[name] = str(value)
    return found


def _routes(resources: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the routes of the HTTP API.

    A route has an integration. The integration's address contains the function's ARN.
    """
    routes = {}
    for resource in resources.values():
        if resource["Type"] == "AWS::ApiGatewayV2::Route":
            method, _, route = resource["Properties"]["RouteKey"].partition(" ")
            integration = (
                resource["Properties"]["Target"]["Fn::Sub"]
                .removeprefix("integrations/")
                .strip("${}")
            )
            (function,) = re.findall(
                r"/functions/\$\{(\w+)\.Arn\}",
                resources[integration]["Properties"]["IntegrationUri"]["Fn::Sub"],
            )
            routes[method, route] = function
    return routes

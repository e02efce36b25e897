"""Functions, routes and subscription of template.yaml, for the local stack."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.root import ROOT

STACK = "local"  # the stack's name here
HAS_INFERENCE = "HasInference"  # the condition of the classifier, which is always played
RETRIES = 2  # Lambda's own, where nothing is said


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the template: `name` its logical id, `code` its folder, memory in MB, timeout in seconds.

    For asynchronous invocations: how often one that failed is tried again, and the logical id of
    the bucket that the event is kept in when no try is left. `environment` are the settings that
    the template gives it, where they can be known here: a parameter's default, a resource's logical
    id instead of its name, and text.
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
    """The parts of the template that the local stack plays."""

    functions: dict[str, Function]
    routes: dict[tuple[str, str], str]
    subscriptions: list[tuple[str, str, str]]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags read as their long form."""


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
    """The template as plain data."""
    # a SafeLoader with tags
    data: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    return data


def read(path: Path = ROOT / "template.yaml") -> Template:
    """Functions, HTTP routes `(method, path) -> function`, and subscriptions `(log group, pattern, function)`."""
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
            properties["Timeout"],
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
    """The subscriptions that are resources of their own, of the template's log groups; a parameter's log groups are not here.

    Nor is the monitor's: where nothing is installed it is not in the stack by itself.
    """
    found = []
    for resource in resources.values():
        if resource["Type"] == "AWS::Logs::SubscriptionFilter" and resource.get("Condition") in {
            None,
            HAS_INFERENCE,
        }:
            details = resource["Properties"]
            if (group := details["LogGroupName"].get("Ref")) in resources:
                found.append(
                    (group, details["FilterPattern"], details["DestinationArn"]["Fn::GetAtt"][0])
                )
    return found


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
    """The routes of the HTTP API: through its integration, whose address has the function's ARN in it."""
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

"""Evaluates template.yaml as CloudFormation does.

SAM's own translator transforms the template. This module evaluates its conditions and rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from local.template import load

Resource = dict[str, Any]
Resources = dict[str, Resource]
Values = Mapping[str, Any]

NOTHING = {"Ref": "AWS::NoValue"}


def transformed(template: dict[str, Any], values: Values) -> Resources:
    """Return the resources after SAM's transform. Conditions are not evaluated yet."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        found: Resources = Translator({}, Parser()).translate(template, dict(values))["Resources"]
    return found


def deployed(given: Values) -> Resources:
    """Return the resources of a stack with these parameters.

    Conditions and `Fn::If` are evaluated; other functions of the template stay unchanged.
    """
    template = load()
    values = defaults(template) | dict(given)
    holds = partial(_holds, values=values, conditions=template["Conditions"])
    resources = transformed(template, values)
    return {
        name: _resolved(resource, holds)
        for name, resource in resources.items()
        if holds(resource.get("Condition", True))
    }


def defaults(template: dict[str, Any]) -> dict[str, Any]:
    """Return the default of each parameter, or an empty string if it has none."""
    return {
        name: parameter.get("Default", "") for name, parameter in template["Parameters"].items()
    }


def refusals(given: Values) -> list[str]:
    """Return the sentences with which the template's rules refuse these parameters."""
    template = load()
    holds = partial(_holds, values=defaults(template) | dict(given), conditions={})
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if holds(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not holds(assertion["Assert"])
    ]


def of_type(resources: Resources, kind: str) -> Iterator[tuple[str, Resource]]:
    """Return the name and properties of each resource of a type."""
    return (
        (name, resource.get("Properties", {}))
        for name, resource in resources.items()
        if resource["Type"] == kind
    )


def statements(role: Resource) -> list[dict[str, Any]]:
    """Return all statements of a role's own policies."""
    return [
        statement
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def listed(value: Any) -> list[Any]:
    """Return a list unchanged, and any other value as the only item of a list."""
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """Return a value of a resource as text.

    A string is unchanged. A `Sub` gets the values of its own variables. `GetAtt` and `Ref` become
    the name that they refer to.
    """
    if not isinstance(value, dict):
        return str(value)
    ((kind, content),) = value.items()
    if kind == "Fn::Sub" and isinstance(content, list):
        written: str = content[0]
        for name, replacement in content[1].items():
            written = written.replace(f"${{{name}}}", f"${{{text(replacement)}}}")
        return written
    if kind == "Fn::Join":
        return str(content[0]).join(map(text, content[1]))
    return ".".join(content) if kind == "Fn::GetAtt" else str(content)


def compared(expression: Any, values: Values) -> str:
    """Return the text that a condition compares: a literal, a parameter, or a computed value.

    Raise `KeyError` for anything else.
    """
    if not isinstance(expression, dict):
        return str(expression)
    ((function, arguments),) = expression.items()
    if function == "Fn::Select":
        place, parts = arguments
        return _parts(parts, values)[int(place)]
    if function == "Fn::Join":
        separator, parts = arguments
        return str(separator).join(_parts(parts, values))
    if function != "Ref":
        raise KeyError(function)
    return str(values[arguments])


def _parts(expression: Any, values: Values) -> list[str]:
    if isinstance(expression, list):
        return [compared(part, values) for part in expression]
    separator, whole = expression["Fn::Split"]
    return compared(whole, values).split(separator)


def _holds(condition: Any, *, values: Values, conditions: Values) -> bool:
    """Return whether a condition of the template, or of a rule, is true with these parameters."""
    again = partial(_holds, values=values, conditions=conditions)
    if isinstance(condition, bool):
        return condition
    if isinstance(condition, str):
        return again(conditions[condition])
    ((function, arguments),) = condition.items()
    if function in {"Condition", "Fn::Condition"}:
        return again(conditions[arguments])
    if function == "Fn::Equals":
        left, right = (compared(each, values) for each in arguments)
        return left == right
    if function == "Fn::Not":
        return not again(arguments[0])
    return {"Fn::And": all, "Fn::Or": any}[function](map(again, arguments))


def _resolved(value: Any, holds: Any) -> Any:
    """Return a value with `Fn::If` evaluated, and without `AWS::NoValue`."""
    if isinstance(value, dict):
        if "Fn::If" in value:
            condition, yes, no = value["Fn::If"]
            return _resolved(yes if holds(condition) else no, holds)
        found = {name: _resolved(each, holds) for name, each in value.items()}
        return {name: each for name, each in found.items() if each != NOTHING}
    if isinstance(value, list):
        return [each for each in (_resolved(each, holds) for each in value) if each != NOTHING]
    return value

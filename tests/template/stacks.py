"""The shapes of the stack, and their resources.

A shape is a set of parameters with a name. The beginning of the name has a meaning:

- *existing*: the stack uses an existing domain.
- *installed*: the stack also installs the dashboards in the existing domain.
- *own function*: the stack uses an existing domain, and the user's own function in place of ours.
- *own*, if the next word is not *function*: the stack has its own domain.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final, NamedTuple

from tests.template.cloudformation import (
    Resource,
    Resources,
    compared,
    deployed,
    listed,
    of_type,
    text,
)

EXISTING: Final = {
    "OpenSearchEndpoint": "https://x.eu-west-1.es.amazonaws.com",
    "OpenSearchDomainArn": "arn",
}
VPC: Final = {
    "Network": "vpc",
    "VpcId": "vpc-1",
    "VpcSubnetId": "subnet-1",
    "VpcSecondSubnetId": "subnet-2",
    "DomainInstanceCount": "2",
}
GRADUAL: Final = {"GradualDeployment": "Canary10Percent5Minutes", "SnapStart": "PublishedVersions"}
OPENED: Final = {
    "ApiAuthorization": "NONE",
    "MoreLogGroups": "/aws/lambda/other,/more",
    "LogGroups": "my-fn,,myfn",
    "PermissionsBoundaryArn": "arn",
    "RolePath": "/delivery/",
    "KmsKeyArn": "arn",
    "AlarmTopicArn": "arn",
    "NoPredictionsMinutes": "0",
    "InferenceConcurrency": "20",
    "ShipperConcurrency": "0",
    "Monitor": "true",
    "DriftTopicArn": "arn",
    "Report": "true",
    "AccuracyAlarm": "true",
    "Delivery": "kinesis",
    "StreamRetentionHours": "72",
}
OWN_FUNCTION: Final = {
    "Inference": "false",
    "LogGroups": ",".join(f"/aws/lambda/my-fn-{number}" for number in range(1, 8)),
    "CanaryTargetArn": "arn",
    "Labels": "good,bad",
}
SHAPES: Final[dict[str, dict[str, str]]] = {
    "existing": EXISTING | {"AlarmEmail": "who@example.com"},
    "existing, opened": EXISTING | OPENED,
    "installed": EXISTING | {"InstallKibana": "true", "DriftEmail": "who@example.com"},
    "installed with a secret": EXISTING
    | {
        "InstallKibana": "true",
        "KibanaSecretArn": "arn",
        "MonitorRoleArn": "arn",
        "Monitor": "false",
        "Canary": "false",
    },
    "installed in a VPC": EXISTING | {"InstallKibana": "true"} | VPC,
    "installed in a VPC with the user's security group": EXISTING
    | {"InstallKibana": "true", "FunctionsSecurityGroupId": "sg-1"}
    | VPC,
    "own function": EXISTING | {"InstallKibana": "true"} | OWN_FUNCTION,
    "own": {"CreateDomain": "true"} | GRADUAL,
    "own in a VPC": {
        "CreateDomain": "true",
        "MoreLogGroups": "/aws/lambda/other,/more",
        "Report": "true",
        "IndexRetentionDays": "90",
        "Delivery": "drain",
    }
    | VPC,
}
ALL: Final = tuple(SHAPES)
WITH_INFERENCE: Final = tuple(
    shape for shape, given in SHAPES.items() if given.get("Inference") != "false"
)
WITH_LOG_GROUPS: Final = ("existing, opened", "own function")
OWN: Final = ("own", "own in a VPC")
# Shapes for tests of the parameters `PermissionsBoundaryArn`, `RolePath` and `KmsKeyArn`. Only the
# last shape has these parameters.
UNDER_RULES: Final = (
    "existing",
    "existing, opened",
)
WITH_STREAM: Final = ("existing, opened", "own in a VPC")
IN_VPC: Final = ("installed in a VPC", "own in a VPC")
OWN_IN_VPC: Final = ("own in a VPC",)
INSTALLED: Final = ALL[2:]  # the stack installs the dashboards
SECRET: Final = "{{resolve:secretsmanager:"
BUCKET: Final = "${DeadLetterBucket.Arn}/"
ANYBODY: Final = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}


class Stack(NamedTuple):
    """The resources of a stack, and its given parameters."""

    resources: Resources
    given: dict[str, str]

    @property
    def more_logs(self) -> list[str]:
        """Return the log groups of the parameter MoreLogGroups."""
        return [name for name in self.given.get("MoreLogGroups", "").split(",") if name]

    @property
    def log_groups(self) -> dict[str, str]:
        """Return the log groups of the parameter LogGroups; the keys are their subscriptions.

        The name of a subscription has the log group's position in the parameter's list.
        """
        places = enumerate(self.given.get("LogGroups", "").split(","), start=1)
        return {f"LogGroup{place}": name for place, name in places if name}

    @property
    def has_inference(self) -> bool:
        """Return whether the stack has a classifier."""
        return self.given.get("Inference") != "false"

    @property
    def monitors(self) -> bool:
        """Return whether the stack has the monitor.

        With `auto`, a stack that installs the dashboards has the monitor.
        """
        said = self.given.get("Monitor", "auto")
        return said == "true" or (
            said == "auto" and bool({"CreateDomain", "InstallKibana"} & set(self.given))
        )

    @property
    def reports(self) -> bool:
        """Return whether the stack writes reports into a bucket."""
        return self.given.get("Report") == "true"

    @property
    def streams(self) -> bool:
        """Return whether the stack has a stream between the subscriptions and the shipper."""
        return self.given.get("Delivery", "direct") != "direct"

    @property
    def buckets(self) -> list[str]:
        """Return the names of the stack's buckets."""
        return ["DeadLetterBucket", *(["ReportBucket"] if self.reports else [])]

    @property
    def asks(self) -> bool:
        """Return whether the stack has the canary.

        The canary sends requests to the stack's own function, or to the user's function that
        `CanaryTargetArn` gives.
        """
        return self.given.get("Canary") != "false" and (
            self.has_inference or "CanaryTargetArn" in self.given
        )

    def properties(self, name: str) -> Resource:
        """Return a resource's properties."""
        found: Resource = self.resources[name]["Properties"]
        return found

    def of_type(self, kind: str) -> dict[str, Resource]:
        """Return the name and properties of each resource of a type."""
        return dict(of_type(self.resources, kind))


@cache
def stack_of(shape: str) -> Stack:
    """Return the stack with the parameters of a shape."""
    return Stack(deployed(SHAPES[shape]), SHAPES[shape])


def selected(value: Any, stack: Stack) -> str:
    """Return a value as text. `Fn::Select` becomes the log group that it selects."""
    if isinstance(value, dict) and "Fn::Select" in value:
        return compared(value, stack.given)
    if isinstance(value, dict) and "Fn::Select" in str(value):
        written, given = value["Fn::Sub"]
        return str(written).replace("${Name}", selected(given["Name"], stack))
    return text(value)


def before(stack: Stack, name: str) -> set[str]:
    """Return the names of all resources that CloudFormation makes before a resource."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        resource = stack.resources[waiting.pop()]
        written = json.dumps(resource.get("Properties", {}))
        names = {
            *re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', written),
            *re.findall(r"\$\{(\w+)[.}]", written),
        }
        new = ({*names, *listed(resource.get("DependsOn", []))} & set(stack.resources)) - found
        found |= new
        waiting += new
    return found

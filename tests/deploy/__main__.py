"""`make deploy-test` deploys the whole template into fakecloud, a local AWS, on 127.0.0.1.

The test reads the resources of each stack back, then updates and deletes the stack. It proves only
that the resources are connected as they should be. No function runs, because there is no container
engine, and fakecloud reports every custom resource as complete.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from local.processes import end_once_when_told
from tests.deploy import stack_lifetime, wiring
from tests.deploy.cloud import INSTALL, Stack, client, earlier, find, packaged, started
from tests.deploy.report import Report
from tools.errors import UserError

EARLIER: Final = "0bcfc45"  # the last version without the parameter LogGroups
ENDPOINT: Final = "https://search-existing-abc123.us-east-1.es.amazonaws.com"
ARN: Final = "arn:aws:es:us-east-1:123456789012:domain/existing"
EXISTING: Final = {"OpenSearchEndpoint": ENDPOINT, "OpenSearchDomainArn": ARN}
CHANGED: Final = {
    "LogText": "false",
    "LogRetentionDays": "30",
    "DeadLetterRetentionDays": "60",
    "DomainVolumeGiB": "20",
}
IN_VPC: Final = {"IsInVpc", "MakesFunctionsGroup", "CreatesDomainInVpc"}
# Conditions that are true if the stack installs the dashboards. It then also has the monitor.
INSTALLING: Final = {"InstallsKibana", "Monitors", "MakesDriftTopic"}
# Conditions that are true if the stack has the inference function, which the canary asks.
WITH_INFERENCE: Final = {"HasInference", "HasCanary", "AsksOften"}
WITH_DOMAIN: Final = {"CreatesDomain", "HasKibanaSecret", *INSTALLING}
PLACES: Final = {f"HasLogGroup{place}" for place in range(1, 61)}
# Conditions that are false by default.
WANTED: Final = {
    "HasAlarmEmail",
    "HasDriftEmail",
    "MakesReports",
    "HasStream",
    "AlarmsOfAccuracy",
    "HasIndexRetention",
    "HasLabels",
    *(f"HasMoreLogs{number}" for number in range(1, 6)),
    "HasLogGroups",
    *PLACES,
}
SEVEN: Final = tuple(f"/aws/lambda/my-fn-{number}" for number in range(1, 8))
MORE: Final = {
    "MoreLogGroups": "/aws/lambda/other,/more",
    "ApiAuthorization": "NONE",
    "AlarmEmail": "who@example.com",
    "ShipperConcurrency": "5",
    "NoPredictionsMinutes": "0",
}


def main() -> int:
    """Return 0 if every check passed, 1 if a check failed, 2 if nothing was checked."""
    binary = find(os.environ.get("FAKECLOUD"))
    if binary is None:
        named = os.environ.get("FAKECLOUD")
        missing = f"FAKECLOUD={named} is not a program" if named else "fakecloud is not on PATH"
        print(
            f"NOT RUN: {missing}. Get it with `{INSTALL}`, or give FAKECLOUD=/path/to/fakecloud.",
            file=sys.stderr,
        )
        return 2
    end_once_when_told()
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    report = Report()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="deploy-test-") as folder,
            started(binary, Path(folder) / "fakecloud.log"),
        ):
            template = packaged(Path(folder))
            own_domain(Stack("own", template), report)
            existing_domain(Stack("existing", template), report)
            in_a_vpc(Stack("vpc", template), report)
            own_function(Stack("own-function", template), report)
            through_a_stream(Stack("stream", template), report)
            upgraded(Stack("upgrade", template), report)
            left_out(report)
    except UserError as problem:
        report.stopped(problem)
    except KeyboardInterrupt:
        print("ended")
        return 130
    print(f"\n{report.closing()}")
    return 1 if report.failed else 0


def own_domain(stack: Stack, report: Report) -> None:
    """Test a stack with its own domain: create, deploy unchanged, change, delete."""
    report.chapter("create, CreateDomain=true")
    stack.deploy(CreateDomain="true")
    report.read_back(wiring.made, stack, absent=IN_VPC | WANTED)
    report.read_back(wiring.subscription, stack)
    report.read_back(wiring.dead_letters, stack, days=30)
    report.read_back(wiring.retention, stack, days=14)
    report.read_back(wiring.api, stack, authorization="AWS_IAM")
    report.read_back(wiring.alarms, stack, absent=WANTED)
    report.read_back(wiring.tags, stack)
    report.read_back(wiring.environment, stack, log_text="true")
    report.read_back(wiring.gradual_deployment, stack)
    report.read_back(wiring.domain_of_its_own, stack)
    report.read_back(wiring.installer, stack)
    report.chapter("deploy the same again")
    report.read_back(stack_lifetime.unchanged, stack, parameters={"CreateDomain": "true"})
    report.chapter(f"update, {' '.join(f'{name}={value}' for name, value in CHANGED.items())}")
    report.read_back(stack_lifetime.updated, stack, parameters={"CreateDomain": "true"} | CHANGED)
    report.read_back(wiring.environment, stack, log_text="false")
    report.read_back(wiring.retention, stack, days=30)
    report.read_back(wiring.dead_letters, stack, days=60)
    report.read_back(wiring.volume, stack, gibibytes="20")
    report.read_back(stack_lifetime.new_version, stack)
    report.chapter("delete")
    report.read_back(stack_lifetime.deleted, stack)


def existing_domain(stack: Stack, report: Report) -> None:
    """Test a stack for an existing domain: first without the installer, then with it."""
    report.chapter("create, with OpenSearchEndpoint and OpenSearchDomainArn")
    stack.deploy(**EXISTING)
    report.read_back(wiring.made, stack, absent=IN_VPC | WITH_DOMAIN | WANTED)
    report.read_back(wiring.subscription, stack)
    report.read_back(wiring.existing_domain, stack, endpoint=ENDPOINT, arn=ARN)
    report.chapter("update, InstallKibana=true")
    stack.deploy(**EXISTING, InstallKibana="true")
    report.read_back(
        wiring.made,
        stack,
        absent=(IN_VPC | WITH_DOMAIN | WANTED) - INSTALLING,
        status="UPDATE_COMPLETE",
    )
    report.read_back(wiring.signs, stack, arn=ARN)
    report.chapter(f"update, {' '.join(f'{name}={value}' for name, value in MORE.items())}")
    for name in MORE["MoreLogGroups"].split(","):
        client("logs").create_log_group(logGroupName=name)
    stack.deploy(**EXISTING, InstallKibana="true", **MORE)
    report.read_back(wiring.api, stack, authorization="NONE")
    report.read_back(wiring.alarms, stack, absent=WANTED | {"CreatesDomain", "ExpectsPredictions"})
    report.read_back(wiring.more_logs, stack, groups=MORE["MoreLogGroups"].split(","))
    report.read_back(wiring.concurrency, stack, reserved=5)
    report.read_back(wiring.written_to, stack, address=MORE["AlarmEmail"])
    report.chapter("delete")
    report.read_back(stack_lifetime.deleted, stack)


def in_a_vpc(stack: Stack, report: Report) -> None:
    """Test a stack whose domain and functions are in a VPC."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"us-east-1{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    report.chapter("create, CreateDomain=true Network=vpc DomainInstanceCount=2")
    parameters = {
        "CreateDomain": "true",
        "Network": "vpc",
        "VpcId": vpc,
        "DomainInstanceCount": "2",
    }
    stack.deploy(**parameters, VpcSubnetId=subnets[0], VpcSecondSubnetId=subnets[1])
    report.read_back(wiring.made, stack, absent=WANTED)
    report.read_back(wiring.network, stack, subnets=subnets)
    report.chapter("delete")
    report.read_back(stack_lifetime.deleted, stack)


def own_function(stack: Stack, report: Report) -> None:
    """Test a stack without the classifier, for seven functions.

    The test creates the stack, changes it, adds the classifier, removes it again, and deletes the
    stack.
    """
    for group in (*SEVEN, "/aws/lambda/eighth"):
        client("logs").create_log_group(logGroupName=group)
    parameters = EXISTING | {"InstallKibana": "true", "Inference": "false"}
    used = {f"HasLogGroup{place}" for place in range(1, 8)} | {"HasLogGroups"}
    absent = (IN_VPC | WITH_DOMAIN | WANTED | WITH_INFERENCE) - INSTALLING - used
    report.chapter("create, Inference=false with seven names in LogGroups")
    stack.deploy(**parameters, LogGroups=",".join(SEVEN))
    report.read_back(wiring.made, stack, absent=absent)
    report.read_back(
        wiring.log_groups, stack, groups=dict(enumerate(SEVEN, start=1)), pattern="prediction"
    )
    report.read_back(wiring.alarms, stack, absent=absent | {"CreatesDomain"})
    report.chapter("update, with one name removed, one added, and another pattern")
    changed = (*SEVEN[:2], "", *SEVEN[3:], "/aws/lambda/eighth")
    groups = {place: group for place, group in enumerate(changed, start=1) if group}
    stack.deploy(**parameters, LogGroups=",".join(changed), LogFilterPattern="{ $.label = * }")
    report.read_back(wiring.log_groups, stack, groups=groups, pattern="{ $.label = * }")
    report.read_back(wiring.not_subscribed, stack, group=SEVEN[2])
    report.chapter("update, Inference=true, then Inference=false again")
    stack.deploy(
        **(parameters | {"Inference": "true"}),
        LogGroups=",".join(changed),
        LogFilterPattern="{ $.label = * }",
    )
    report.read_back(wiring.api, stack, authorization="AWS_IAM")
    report.read_back(
        stack_lifetime.without_inference,
        stack,
        parameters=parameters | {"LogGroups": ",".join(changed)},
    )
    report.chapter("delete")
    report.read_back(stack_lifetime.deleted, stack)


def through_a_stream(stack: Stack, report: Report) -> None:
    """Test a stack with a Kinesis stream, and then without it.

    With `Delivery=drain`, log lines are sent to the shipper directly again. The stream and its
    mapping stay, so that the last records of the stream are delivered.
    """
    absent = IN_VPC | WITH_DOMAIN | WANTED
    for delivery, status in (
        ("kinesis", "CREATE_COMPLETE"),
        ("drain", "UPDATE_COMPLETE"),
        ("direct", "UPDATE_COMPLETE"),
    ):
        report.chapter(f"{'create' if delivery == 'kinesis' else 'update'}, Delivery={delivery}")
        stack.deploy(**EXISTING, Delivery=delivery)
        stream = set() if delivery == "direct" else {"HasStream"}
        report.read_back(wiring.made, stack, absent=absent - stream, status=status)
        report.read_back(wiring.delivery, stack, by_stream=delivery == "kinesis")
        if stream:
            report.read_back(wiring.stream, stack)
    report.chapter("delete")
    report.read_back(stack_lifetime.deleted, stack)


def upgraded(stack: Stack, report: Report) -> None:
    """Upgrade a stack of an earlier version that has `MoreLogGroups`.

    No resource may be replaced or deleted.
    """
    report.chapter(f"upgrade from {EARLIER}, with MoreLogGroups")
    former = earlier(stack, EARLIER)
    if former is None:
        report.leave_out(
            f"the upgrade from {EARLIER}", "this copy of the repository does not have that version"
        )
        return
    groups = {"MoreLogGroups": "/upgraded/first,/upgraded/second"}
    for name in groups["MoreLogGroups"].split(","):
        client("logs").create_log_group(logGroupName=name)
    parameters = EXISTING | {"InstallKibana": "true"} | groups
    former.deploy(**parameters)
    report.read_back(stack_lifetime.upgraded, stack, former=former, parameters=parameters)
    report.chapter("delete")
    report.read_back(stack_lifetime.deleted, stack)


def left_out(report: Report) -> None:
    """Report the properties that this test cannot check."""
    report.chapter("not checked here")
    report.leave_out(
        "that contradicting parameters are refused",
        "fakecloud ignores Rules (see the tests in tests/template)",
    )
    report.leave_out(
        "that the list of log groups is split into names",
        "fakecloud cannot split the list, so this test gave it the separate names",
    )
    report.leave_out("that a parameter has an allowed value", "fakecloud accepts any value")
    report.leave_out(
        "that a failed create leaves no resource, not even a retained one",
        "fakecloud reports ROLLBACK_COMPLETE, but keeps everything that it created",
    )


if __name__ == "__main__":
    sys.exit(main())

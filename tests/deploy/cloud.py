"""Runs fakecloud, a program that replaces AWS locally, and the commands that deploy into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import requests
from botocore.session import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from local.processes import running
from local.template import load
from tests.template.cloudformation import compared
from tools.errors import UserError
from tools.ports import free_port
from tools.root import ROOT

REGION: Final = "us-east-1"
INSTALL: Final = "cargo install fakecloud --version 0.51.0 --locked"
START_SECONDS: Final = 60
SAM_SECONDS: Final = 300
POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Stack:
    """A stack that exists, or can be deployed: its name, and the path of its packaged template."""

    name: str
    template: Path

    def deploy(self, **parameters: str) -> None:
        """Run `sam deploy` with these parameters. Raise `UserError` if it fails."""
        path = self.template.with_name(f"{self.name}.json")
        path.write_text(json.dumps(_transformed(self.source(), parameters)), encoding="utf-8")
        options = [
            "--resolve-s3",
            "--no-confirm-changeset",
            "--no-progressbar",
            "--capabilities",
            "CAPABILITY_IAM",
        ]
        # Values are quoted, because sam splits at spaces.
        overrides = [
            "--parameter-overrides",
            *(f'{name}="{value}"' for name, value in parameters.items()),
        ]
        tags = ["--tags", "Application=prediction-monitor"]
        _sam(
            "deploy",
            "--template-file",
            str(path),
            "--stack-name",
            self.name,
            *options,
            *tags,
            *overrides,
        )

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        formation = client("cloudformation")
        formation.delete_stack(StackName=self.name)
        formation.get_waiter("stack_delete_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def source(self) -> dict[str, Any]:
        """Return the built template."""
        return load(self.template)

    def status(self) -> str:
        status: str = self._described()["StackStatus"]
        return status

    def outputs(self) -> dict[str, str]:
        return {
            output["OutputKey"]: output["OutputValue"]
            for output in self._described().get("Outputs", [])
        }

    def resources(self) -> dict[str, str]:
        """Return the physical id of each resource, by logical id."""
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in self._summaries()}

    def kinds(self) -> dict[str, str]:
        """Return the type of each resource, by logical id."""
        return {each["LogicalResourceId"]: each["ResourceType"] for each in self._summaries()}

    def _summaries(self) -> list[dict[str, str]]:
        pages = (
            client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=self.name)
        )
        return [each for page in pages for each in page["StackResourceSummaries"]]

    def _described(self) -> dict[str, Any]:
        (stack,) = client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        described: dict[str, Any] = stack
        return described


@cache
def client(service: str) -> Any:
    """Return a boto3 client of the running fakecloud."""
    return Session().create_client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def packaged(folder: Path) -> Path:
    """Upload the built packages to fakecloud's S3, and write a template with their addresses.

    Returns the path of the template, which is in `folder`.
    """
    path = folder / "packaged.yaml"
    _sam("package", "--resolve-s3", "--no-progressbar", "--output-template-file", str(path))
    return path


def earlier(stack: Stack, version: str) -> Stack | None:
    """Return a stack with the present packages, and with the template of an earlier version.

    Returns None if git does not have that version.
    """
    shown = subprocess.run(
        ["git", "show", f"{version}:template.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        return None
    path = stack.template.with_name(f"{version}.yaml")
    path.write_text(shown.stdout, encoding="utf-8")
    template = load(path)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = stack.source()["Resources"][name]["Properties"][
                "CodeUri"
            ]
    # `load` returns `!Condition` as Fn::Condition
    path.write_text(
        json.dumps(template).replace('"Fn::Condition"', '"Condition"'), encoding="utf-8"
    )
    return Stack(stack.name, path)


def find(setting: str | None) -> str | None:
    """Return the path of fakecloud's binary, from FAKECLOUD or PATH."""
    return shutil.which(setting or "fakecloud")


@contextmanager
def started(binary: str, output: Path) -> Iterator[None]:
    """Run fakecloud on a free port of 127.0.0.1, and let this process use it instead of AWS.

    Child processes use fakecloud too. The output of fakecloud is written to the file `output`.
    fakecloud uses no container engine, so that the results are the same on all machines.
    """
    address = f"127.0.0.1:{free_port()}"
    _reach_nothing_but(f"http://{address}")
    environment = dict(os.environ) | {"FAKECLOUD_CONTAINER_CLI": "false"}
    with (
        output.open("wb") as written,
        running(
            [binary, "--addr", address], environment=environment, folder=ROOT, output=written
        ) as process,
    ):
        _wait_until_it_answers(f"http://{address}", process, output)
        yield


def _reach_nothing_but(url: str) -> None:
    """Send all requests of this process for AWS to this address.

    The process does not use the profile, token or proxy of the user.
    """
    for name in list(os.environ):
        if name.startswith(("AWS_", "FAKECLOUD_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "SAM_CLI_TELEMETRY": "0",
    }


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/_fakecloud/health", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(POLL_SECONDS)
    raise UserError(
        f"fakecloud does not answer on {url}; it said:\n"
        f"{output.read_text(errors='replace')[-2000:]}"
    )


def _sam(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("sam")), *arguments]
    try:
        subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SAM_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{' '.join(['sam', *arguments])} took more than {SAM_SECONDS} s") from None
    except subprocess.CalledProcessError as problem:
        raise UserError(
            f"{' '.join(['sam', *arguments])} failed:\n"
            f"{problem.stdout[-2000:]}{problem.stderr[-2000:]}"
        ) from None


def _transformed(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Transform the template with the same SAM translator as AWS.

    fakecloud's own transform loses `EventInvokeConfig` and the conditions of functions. It does not
    accept a parameter as the type of a `DeploymentPreference`. fakecloud also does not
    split comma-separated lists. So values that depend only on parameters are computed here.
    """
    values = {
        name: parameter["Default"] for name, parameter in template["Parameters"].items()
    } | parameters
    made: dict[str, Any] = Translator({}, Parser()).translate(template, values)
    return {part: _computed(content, values) for part, content in made.items()}


def _computed(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_computed(each, values) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) <= {"Fn::Select", "Fn::Join"} and len(value) == 1:
        with suppress(KeyError):  # the value is not known before AWS creates the resource
            return compared(value, values)
    return {name: _computed(each, values) for name, each in value.items()}

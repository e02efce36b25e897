"""Fixtures of the integration tests.

One stack runs for the whole session: a real OpenSearch, and the functions inference and shipper,
which run from source under the real Lambda runtime. Other fixtures help to run the built packages:
the environment variables in the template, the Lambda runtime's own packages, imitations of AWS's
APIs (moto), and an OpenSearch with access control.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from moto.server import ThreadedMotoServer

from local.runtime import Runtime, find_package
from local.runtime import running as start
from local.stack import Settings, Stack, stack
from local.template import Template, load, read
from tests.integration.secured import secured
from tests.models import SHIPPED, TESTED
from tools.ports import free_port
from tools.root import ROOT

# On AWS, Lambda sets these variables, with the credentials of the function's role.
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


def environment(function: str, *, opensearch: str = "", bucket: str = "") -> dict[str, str]:
    """Return exactly the environment variables that the template gives a function.

    Every parameter of the template has its default.
    """
    variables = {
        # the values that AWS would compute when it creates the stack
        "OPENSEARCH_URL": opensearch,
        "DEAD_LETTER_BUCKET": bucket,
        "CANARY_FUNCTION": "predict:live",
        "DASHBOARD_URL": "",
        "REPORT_URL": "",
        "REPORT_BUCKET": bucket,
        "HASH_KEY": "a secret",
        "REDACT_KEY": "a secret",
    }
    template = load()
    given = (
        template["Resources"][function]["Properties"].get("Environment", {}).get("Variables", {})
    )
    known = read().functions[function].environment
    return {name: variables[name] if name in variables else known[name] for name in given}


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    opensearch_port = free_port(random.sample(range(9210, 9299), 89))
    model = "" if TESTED == SHIPPED else str(TESTED)
    with stack(Settings(free_port(), opensearch_port, model=model)) as started:
        yield started


@pytest.fixture(scope="session")
def template() -> Template:
    return read()


@pytest.fixture(scope="session")
def built() -> Path:
    folder = ROOT / ".aws-sam" / "build"
    assert (folder / "template.yaml").exists(), (
        "no built packages: run `make build` (`make test` does)"
    )
    return folder


@pytest.fixture(scope="session")
def runtime_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with only the packages of the Lambda runtime itself.

    If the folder had other packages, a built function that lacks a dependency might work by
    accident.
    """
    folder = tmp_path_factory.mktemp("runtime")
    packages = find_package("awslambdaric").parent
    for pattern in ("awslambdaric", "runtime_client*.so", "simplejson", "snapshot_restore_py"):
        for found in packages.glob(pattern):
            (folder / found.name).symlink_to(found)
    return folder


@pytest.fixture(scope="session")
def replay_packages(runtime_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runtime's packages with boto3, for the replay function."""
    folder = tmp_path_factory.mktemp("runtime-with-boto3")
    for found in (
        *runtime_packages.iterdir(),
        *(find_package(name) for name in ("boto3", "botocore", "s3transfer")),
    ):
        (folder / found.name).symlink_to(found)
    return folder


@pytest.fixture(scope="session")
def installer_packages(replay_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the runtime's packages with boto3 and all that boto3 imports, for the installer."""
    folder = tmp_path_factory.mktemp("runtime-with-boto3-and-its-imports")
    for found in (
        *replay_packages.iterdir(),
        *(find_package(name) for name in ("dateutil", "jmespath")),
    ):
        (folder / found.name).symlink_to(found)
    return folder


@pytest.fixture(scope="session")
def guarded() -> Iterator[str]:
    """Yield the address of an OpenSearch with access control.

    A test must undo its changes to this server.
    """
    with secured(free_port(random.sample(range(9210, 9299), 89))) as url:
        yield url


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """Yield the address of moto, which imitates AWS's services."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3(aws: str) -> Any:
    """Return a client of moto's S3."""
    return client("s3", aws)


@pytest.fixture(scope="session")
def secrets(aws: str) -> Any:
    """Return a client of moto's Secrets Manager."""
    return client("secretsmanager", aws)


def client(service: Literal["s3", "secretsmanager"], url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture(scope="module")
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """Create a dead-letter bucket for the test module."""
    name: str = request.module.__name__.rpartition(".")[2].replace("_", "-")
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def replaying(
    template: Template, built: Path, replay_packages: Path, s3: Any, bucket: str
) -> Callable[..., AbstractContextManager[Runtime]]:
    """Return a function that starts the built replay function, for the OpenSearch at `url`.

    Each log line of the replay function is given to `write`.
    """

    def replay(
        url: str, write: Callable[[str], None] = lambda _line: None
    ) -> AbstractContextManager[Runtime]:
        given = environment("ReplayFunction", opensearch=url, bucket=bucket)
        settings = {
            **given,
            "EVENTS_PER_SECOND": "1000000",
            "AWS_ENDPOINT_URL_S3": s3.meta.endpoint_url,
            **KEYS,
        }
        code = built / "ReplayFunction"
        return start(
            template.functions["ReplayFunction"],
            settings,
            write,
            code=code,
            packages=replay_packages,
        )

    return replay

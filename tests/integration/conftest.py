"""One running stack for the whole session: real OpenSearch, both functions under the real runtime, from source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.runtime import find_package
from local.stack import Settings, Stack, stack
from local.template import ROOT, Template, read
from local.trouble import free_port


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    with stack(Settings(free_port(), free_port(range(9210, 9299)), None)) as started:
        yield started


@pytest.fixture(scope="session")
def template() -> Template:
    return read()


@pytest.fixture(scope="session")
def built() -> Path:
    folder = ROOT / ".aws-sam" / "build"
    assert (folder / "template.yaml").exists(), "no built packages: run `make build` (`make test` does)"
    return folder


@pytest.fixture(scope="session")
def runtime_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Lambda runtime itself brings, and nothing else: a package that lacks a dependency then fails here."""
    folder = tmp_path_factory.mktemp("runtime")
    packages = find_package("awslambdaric").parent
    for pattern in ("awslambdaric", "runtime_client*.so", "simplejson", "snapshot_restore_py"):
        for found in packages.glob(pattern):
            (folder / found.name).symlink_to(found)
    return folder

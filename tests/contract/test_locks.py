"""Tests that the lock files agree with each other and with the files from which they are made.

`make lock` makes lock files that agree. A pull request from Renovate may change only one of them.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from audit.vulnerabilities import locks
from tools.root import ROOT

DEVELOPMENT = ROOT / "requirements" / "dev.txt"
DEPLOYED = [path for path in locks() if path.with_suffix(".in").exists()]
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9][\w.-]*)==(\S+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def asked(lines: list[str]) -> dict[str, Requirement]:
    wanted = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]
    return {canonicalize_name(each.name): each for each in wanted}


@pytest.mark.parametrize(
    "path",
    [path for path in locks() if path != DEVELOPMENT],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_package_has_the_same_version_in_every_lock(path: Path) -> None:
    development = pins(DEVELOPMENT)
    assert {
        name: version
        for name, version in pins(path).items()
        if development.get(name, version) != version
    } == {}


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_lock_of_a_function_has_all_packages_of_its_source_file_and_no_others(
    path: Path,
) -> None:
    assert pins(path).keys() == asked(path.with_suffix(".in").read_text().splitlines()).keys()


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_lock_of_a_function_has_the_versions_of_the_development_lock(path: Path) -> None:
    assert pins(path).items() <= pins(DEVELOPMENT).items()


@pytest.mark.parametrize("group", GROUPS)
def test_pinned_versions_are_within_the_bounds_of_pyproject(group: str) -> None:
    pinned = pins(ROOT / "requirements" / f"{group}.txt")
    for name, requirement in asked(
        [line for line in GROUPS[group] if isinstance(line, str)]
    ).items():
        assert requirement.specifier.contains(pinned[name]), name


def test_every_function_has_a_lock() -> None:
    assert {path.parent for path in DEPLOYED} == {
        path for path in (ROOT / "functions").iterdir() if path.is_dir()
    }

"""Find known vulnerabilities in the pinned packages with pip-audit.

This module adds three features that pip-audit lacks:

- A finding can be accepted. The exception for it has a reason and a last day.
- The audit fails if an exception no longer matches a finding.
- The audit has an exit code of its own if some packages could not be audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from tools.errors import UserError
from tools.root import ROOT

ACCEPTED: Final = ROOT / "audit" / "accepted.toml"
# No package is resolved or downloaded: pip-audit looks up only the pinned versions.
#
# `--strict` is left out. With `--strict`, pip-audit would stop at the first package that the
# vulnerability service does not know, and its exit code would be that of a found vulnerability.
# Without `--strict`, the answer lists such packages, and they count as not audited.
COMMAND: Final = (
    *(sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip"),
    *("--format", "json", "--aliases", "on", "--desc", "off", "--progress-spinner", "off"),
)
ELSEWHERE: Final = (
    "Run `make audit` on a machine that reaches the package index and its vulnerability data. If "
    "the machine reaches only osv.dev, set PIP_AUDIT_VULNERABILITY_SERVICE=osv."
)
LONGEST: Final = 200  # only this many characters of pip-audit's message are shown


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted finding. `until` is the last day on which it is accepted."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(slots=True)
class Finding:
    """A known vulnerability of a package's version.

    `ids` are all names of the vulnerability. The name that the service uses comes first.
    """

    package: str
    version: str
    ids: tuple[str, ...]
    fixed: tuple[str, ...]
    locks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        names = f"{self.ids[0]} ({', '.join(self.ids[1:])})" if self.ids[1:] else self.ids[0]
        fixed = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version fixes it"
        return f"{self.package} {self.version}: {names}, {fixed}; pinned in {', '.join(self.locks)}"


@dataclass(slots=True)
class Answer:
    """The answers of pip-audit for some lock files.

    - `pins` are pairs of package and version.
    - The keys of `findings` are package, version and name of the vulnerability.
    - `unknown` has the reasons why something could not be audited, and for each reason the first
      lock file to which it applies.
    """

    pins: set[tuple[str, str]] = field(default_factory=set)
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


def locks() -> list[Path]:
    """Return the lock files of the deployed packages and of the developers' tools."""
    return [
        *sorted((ROOT / "functions").glob("*/requirements.txt")),
        *sorted((ROOT / "requirements").glob("*.txt")),
    ]


def check(paths: Iterable[Path], accepted: Path) -> int:
    """Audit the pins of the lock files, and report the findings.

    Returns the exit code: 1 if a finding is not accepted or an exception is no longer valid.
    Otherwise it is 2 if some pinned packages could not be audited, and 0 if all were audited.
    """
    exceptions = read(accepted)
    answer = Answer()
    for path in paths:
        ask(path, answer)
    return verdict(answer, exceptions)


def verdict(answer: Answer, exceptions: list[Accepted]) -> int:
    """Print an answer's findings, and return the exit code."""
    failures = list(_failures(answer, exceptions, datetime.now(UTC).date()))
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    if answer.unknown:
        (reason, lock), *others = answer.unknown.items()
        which = f"The first of {1 + len(others)} reasons" if others else "The reason"
        print(
            f"NOT RUN: some packages could not be audited. {which}, for {lock}: {reason}. "
            f"{ELSEWHERE}",
            file=sys.stderr,
        )
    if failures:
        return 1
    if answer.unknown:
        return 2
    kind = "unaccepted vulnerability" if answer.findings else "vulnerability"
    print(f"{len(answer.pins)} pinned packages: no {kind} is known")
    return 0


def read(path: Path) -> list[Accepted]:
    """Read the exceptions from a file. Raises `UserError` for an incomplete exception."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", [])
        exceptions = [Accepted(**entry) for entry in entries]
    except (tomllib.TOMLDecodeError, TypeError) as problem:
        raise UserError(
            f"{path.name}: {problem}: "
            "each [[accepted]] has id, package, reason and until, and nothing else"
        ) from problem
    for each in exceptions:
        if type(each.until) is not date or not str(each.reason).strip():
            raise UserError(
                f"{path.name}: {each.id} of {each.package} needs a reason, "
                "and until must be a date such as 2026-12-31"
            )
    return exceptions


def ask(path: Path, answer: Answer) -> None:
    """Add pip-audit's findings for a lock file to the answer."""
    done = subprocess.run(
        [*COMMAND, "--requirement", str(path)], capture_output=True, text=True, check=False
    )
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):  # pip-audit ended before it had looked up all packages
        answer.unknown.setdefault(
            (done.stderr.strip() or "pip-audit said nothing").splitlines()[-1][:LONGEST], name
        )
        return
    for dependency in dependencies:
        if "skip_reason" in dependency:
            answer.unknown.setdefault(dependency["skip_reason"], name)
            continue
        package, version = dependency["name"], dependency["version"]
        answer.pins.add((package, version))
        for found in dependency["vulns"]:
            ids, fixed = (found["id"], *found["aliases"]), tuple(found["fix_versions"])
            answer.findings.setdefault(
                (package, version, ids[0]), Finding(package, version, ids, fixed)
            ).locks.append(name)


def _failures(answer: Answer, exceptions: list[Accepted], today: date) -> Iterator[str]:
    """Yield findings that are not accepted, and exceptions that are too old or match no finding."""
    valid = [each for each in exceptions if each.until >= today]
    for finding in answer.findings.values():
        matching = [each for each in valid if _matches(each, finding)]
        if not matching:
            yield str(finding)
        for each in matching:
            print(f"accepted until {each.until}: {finding}: {each.reason}")
    for each in exceptions:
        if each not in valid:
            yield (
                f"the exception for {each.id} of {each.package} was valid until {each.until}: "
                "update the package, or give a new reason and date"
            )
        elif not answer.unknown and not any(
            _matches(each, finding) for finding in answer.findings.values()
        ):
            yield (
                f"the exception for {each.id} of {each.package} matches no finding any more: "
                "remove the exception from audit/accepted.toml"
            )


def _matches(exception: Accepted, finding: Finding) -> bool:
    return exception.package == finding.package and exception.id in finding.ids

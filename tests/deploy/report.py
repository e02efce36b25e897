"""Prints the result of each check as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.deploy.cloud import Stack

LONGEST = 150


@dataclass
class Report:
    """Counts the checks, and prints a line for each."""

    passed: int = 0
    failed: int = 0
    left_out: set[str] = field(default_factory=set)

    def chapter(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def equal(self, what: str, seen: object, expected: object) -> None:
        """Check that the seen value equals the expected value."""
        if seen == expected:
            self.passed += 1
            print(f"  ok           {what}: {_short(seen)}", flush=True)
        else:
            self.failed += 1
            print(
                f"  FAILED       {what}: {_plain(seen)} was seen where {_plain(expected)} was "
                "expected",
                flush=True,
            )

    def read_back(self, check: Callable[..., None], stack: Stack, **wanted: Any) -> None:
        """Run the checks of one resource.

        If the resource cannot be read, this counts as a failed check, and the run continues.
        """
        try:
            check(stack, self, **wanted)
        except (BotoCoreError, ClientError, LookupError, TypeError, ValueError) as problem:
            self.failed += 1
            print(
                f"  FAILED       {check.__name__}: cannot be read "
                f"({type(problem).__name__}: {problem})",
                flush=True,
            )

    def stopped(self, problem: Exception) -> None:
        """Report the reason why the run ended early."""
        self.failed += 1
        print(f"  FAILED       {problem}", flush=True)

    def leave_out(self, what: str, why: str) -> None:
        """Report that something is not checked. Later calls about the same thing print nothing."""
        if what in self.left_out:
            return
        self.left_out.add(what)
        print(f"  not checked: {what}: {why}", flush=True)

    def closing(self) -> str:
        """Return the last line of the report."""
        counts = (
            f"{self.passed + self.failed} checks, {self.failed} failed, {len(self.left_out)} "
            "not checked."
        )
        return (
            f"{counts} This proves only that the resources are connected: no function ran, and "
            "fakecloud reports every custom resource as complete."
        )


def _plain(seen: object) -> str:
    if seen in ([], set()):
        return "none"
    return ", ".join(map(str, sorted(seen))) if isinstance(seen, set) else str(seen)


def _short(seen: object) -> str:
    text = _plain(seen)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

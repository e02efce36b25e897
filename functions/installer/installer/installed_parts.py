"""The parts to install and their states: data shared by install, status and removal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The state of a part on the server."""

    INSTALLED = "installed"
    MISSING = "missing"
    DIFFERENT = "changed"  # the part differs from its file; replacing it loses no manual work
    BY_HAND = "changed by hand"
    # The server has no feature for parts of this kind, or the installer must not change the part.
    LEFT = "left alone"


@dataclass(frozen=True, slots=True)
class Part:
    """The name, the state and a remark of one part to install, such as a dashboard."""

    name: str
    state: State
    remark: str = ""
    needs: tuple[str, ...] = ()  # names of parts without which this part does not work

    def __str__(self) -> str:
        return f"{self.name} ({self.remark})" if self.remark else self.name


@dataclass(frozen=True, slots=True)
class Step:
    """Parts that are installed or removed together.

    `install` and `remove` take the names of the chosen parts, and can raise `UserError`. `before`
    is a message that is printed before the step is done.
    """

    parts: list[Part]
    install: Callable[[Collection[str]], None]
    remove: Callable[[Collection[str]], None]
    before: str = ""


def nothing(_: Collection[str]) -> None:
    """Install or remove nothing."""


def found_as(found: object, *, right: bool) -> State:
    """Return the state of a part that nobody is expected to change by hand.

    `found` is the part on the server, or None. `right` is true if the part on the server
    equals the desired part.
    """
    return State.MISSING if found is None else State.INSTALLED if right else State.DIFFERENT


def contains(found: Any, wanted: Any) -> bool:
    """Return whether `found` equals `wanted`, apart from members that a server adds to objects."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and contains(found[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(map(contains, found, wanted))
        )
    return bool(found == wanted)

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
    DIFFERENT = "changed"  # not as its file says, and nobody's work would be lost
    BY_HAND = "changed by hand"
    LEFT = "left alone"  # not to be had on this server, or not ours to change


@dataclass(frozen=True, slots=True)
class Part:
    """A part by name, its state, and a remark."""

    name: str
    state: State
    remark: str = ""
    needs: tuple[str, ...] = ()  # names of parts that it does not work without

    def __str__(self) -> str:
        return f"{self.name} ({self.remark})" if self.remark else self.name


@dataclass(frozen=True, slots=True)
class Step:
    """Parts that are installed or removed together.

    `install` and `remove` take the names of the chosen parts, and raise `UserError`. `before` is
    said before anything is done.
    """

    parts: list[Part]
    install: Callable[[Collection[str]], None]
    remove: Callable[[Collection[str]], None]
    before: str = ""


def nothing(_: Collection[str]) -> None:
    """Installs or removes nothing."""


def found_as(found: object, *, right: bool) -> State:
    """The state of something that nobody is expected to change by hand."""
    return State.MISSING if found is None else State.INSTALLED if right else State.DIFFERENT


def contains(found: Any, wanted: Any) -> bool:
    """Whether `found` equals `wanted`, apart from members that a server adds to objects."""
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

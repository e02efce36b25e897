"""The scope of installed parts: a prefix's (index template, retention) or a stack's (roles, saved objects)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NAME: Final = "prediction-monitor"
PREFIX: Final = "cwl-"
STACK: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")  # as CloudFormation takes it
INDEX: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,49}-")  # as the shipper takes it


@dataclass(frozen=True, slots=True)
class Scope:
    """A prefix of daily indices, and a stack. The stack's name is empty if none is given.

    `former`: the stack's roles and saved objects have the names of the time when a domain had one
    stack.
    """

    prefix: str = PREFIX
    stack: str = ""
    former: bool = True

    @property
    def pattern(self) -> str:
        """The pattern of the prefix's indices."""
        return f"{self.prefix}*"

    @property
    def shared(self) -> str:
        """The name of the prefix's index template and retention policy."""
        return NAME if self.prefix == PREFIX else f"{NAME}-{self.prefix}"

    def own(self, name: str) -> str:
        """The name of a role or the id of a saved object.

        A stack's name has no dot, so no two stacks share one.
        """
        return name if self.former or not self.stack else f"{name}.{self.stack}"

    @property
    def mark(self) -> str:
        """The end of a saved object's title, where the title names the stack."""
        return "" if self.former or not self.stack else f" ({self.stack})"


def index_prefix(text: str) -> str:
    """A prefix of indices. Raises `ValueError`."""
    if not INDEX.fullmatch(text):
        raise ValueError(
            f"{text!r} is no prefix of indices: give small letters, digits and dashes, and end it with a dash, such as dev-cwl-"
        )
    return text


def stack_name(text: str) -> str:
    """The name of a stack. Raises `ValueError`."""
    if not STACK.fullmatch(text):
        raise ValueError(
            f"{text!r} is no name of a stack: give letters, digits and -, a letter first"
        )
    return text


def overlapping(prefix: str, others: Iterable[str]) -> list[str]:
    """The other prefixes that would match this one's indices, or that this one's pattern would match."""
    return [
        one
        for one in others
        if one != prefix and (one.startswith(prefix) or prefix.startswith(one))
    ]

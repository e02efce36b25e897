"""The scope of installed parts: a prefix of indices, and a stack.

Index template and retention policy belong to the prefix. Roles and saved objects belong to the
stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from installer.index_prefix import PREFIX

NAME: Final = "prediction-monitor"
PATTERN: Final = f"{PREFIX}*"  # the pattern that is written in the files in kibana/
STACK: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")  # the names that CloudFormation accepts


@dataclass(frozen=True, slots=True)
class Scope:
    """A prefix of daily indices, and the name of a stack, which may be empty.

    Earlier releases allowed one stack in a domain, so the names of roles and saved objects did not
    include the stack's name. If `former` is true, the stack uses these former names.
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
        """Return the name of a role, or the id of a saved object, with the stack's name at its end.

        If `former` is true, or if the scope has no stack, the name is returned unchanged. A stack's
        name has no dot, so roles and saved objects of two stacks never have the same name or id.
        """
        return name if self.former or not self.stack else f"{name}.{self.stack}"

    @property
    def mark(self) -> str:
        """The stack's name, for the end of a saved object's title.

        Empty if `former` is true, or if the scope has no stack.
        """
        return "" if self.former or not self.stack else f" ({self.stack})"


def stack_name(text: str) -> str:
    """Return a valid name of a stack. Raises `ValueError` for any other text."""
    if not STACK.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a name of a stack: give a letter, then letters, digits and -"
        )
    return text


def overlapping(prefix: str, others: Iterable[str]) -> list[str]:
    """Return the other prefixes that share indices with `prefix`."""
    return [
        one
        for one in others
        if one != prefix and (one.startswith(prefix) or prefix.startswith(one))
    ]

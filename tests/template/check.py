"""A decorator that makes a test from a check of the stack.

The arguments of the decorator are stacks (*shapes*, see stacks.py) and flaws. Every stack must pass
the check. A stack with one of the flaws must fail the check.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

import pytest

from tests.template.stacks import Stack, stack_of

type Check = Callable[[Stack], None]
type Flaw = tuple[str, Any]  # a path in the resources, and a wrong value for this path

GONE: Final = object()


def check(
    shapes: tuple[str, ...], *flaws: Flaw
) -> Callable[[Check], Callable[[str, Flaw | None], None]]:
    """Make a test from a check.

    Every shape must pass the check. With each of the flaws, the last shape must fail the check.
    """
    assert flaws, "a check needs at least one flaw that it must report"
    cases = [
        *(pytest.param(shape, None, id=shape) for shape in shapes),
        *(pytest.param(shapes[-1], flaw, id=flaw[0]) for flaw in flaws),
    ]

    def made(holds: Check) -> Callable[[str, Flaw | None], None]:
        @pytest.mark.parametrize(("shape", "flaw"), cases)
        def test(shape: str, flaw: Flaw | None) -> None:
            stack = stack_of(shape)
            holds(stack)
            if flaw:
                with pytest.raises((AssertionError, LookupError, ValueError)):
                    holds(spoiled(stack, *flaw))

        test.__name__, test.__doc__ = holds.__name__, holds.__doc__
        return test

    return made


def statement_of(name: str, policy: int, statement: int = 0) -> str:
    """Return the path of a statement in a policy of a role."""
    return f"{name}.Properties.Policies.{policy}.PolicyDocument.Statement.{statement}"


def spoiled(stack: Stack, path: str, value: Any) -> Stack:
    """Return a copy of the stack with another value at a path.

    The path consists of names and list positions. If it ends with `+`, the value is added to the
    list.
    """
    resources = deepcopy(stack.resources)
    *way, last = path.split(".")
    place: Any = resources
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if last == "+":
        place.append(value)
    elif value is GONE:
        del place[last]
    else:
        place[last] = value
    return stack._replace(resources=resources)

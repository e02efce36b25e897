"""Install, status and removal of everything in this folder: read first, then decide, then write what is not as it should be."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from installer import audit, retention, security, template
from installer.dashboards import GLOBAL, Dashboards, address, headers
from installer.objects import SavedObject
from installer.plan import Part, State, Step
from installer.server import Server, Trouble, sign_in
from installer.stamp import merged, stamped, state

LEFT_OUT: Final = "left out, because no address of {} is given"
WORDS: Final = {State.MISSING: "installed", State.DIFFERENT: "replaced", State.BY_HAND: "replaced, though changed by hand"}

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be where. A half without its server is left out; without `days` a retention policy keeps its own.

    With `audit_log` OpenSearch's own is switched on as well.
    """

    objects: Sequence[SavedObject]
    opensearch: Server | None = None
    dashboards: Dashboards | None = None
    days: int | None = None
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    audit_log: bool = False


def wish(
    objects: Sequence[SavedObject],
    *,
    opensearch: str | None = None,
    dashboards: str | None = None,
    base_path: str | None = None,
    tenant: str = GLOBAL,
    user: str | None = None,
    password: str | None = None,
    days: int | None = None,
    roles: Mapping[str, Sequence[str]] | None = None,
    audit_log: bool = False,
    wait: float = 0.0,
    ends: float = math.inf,
    say: Say = print,
) -> Wish:
    """A wish from addresses. Raises `Trouble` for those that cannot be used."""

    def server(name: str, url: str, extra: Mapping[str, str] | None = None) -> Server:
        return Server(name, url.rstrip("/"), sign_in(url, user, password), headers=extra, wait=wait, ends=ends, say=say)

    where = address(opensearch, dashboards, base_path)
    return Wish(
        objects,
        server("OpenSearch", opensearch) if opensearch else None,
        Dashboards(server("Dashboards", where, headers(tenant)), tenant) if where else None,
        days,
        roles or {},
        audit_log,
    )


def install(asked: Wish, *, overwrite: bool = False, dry_run: bool = False, say: Say = print) -> list[str]:
    """Install what is missing or changed. Returns what was changed by hand and kept, which with `overwrite` is nothing.

    Nothing is written before every server has answered. Raises `Trouble`, and has then said what is installed.
    """
    kept: list[str] = []
    right = 0
    _say_left_out(asked, say)
    for step in plan(asked):
        wanted = _chosen(step, {State.MISSING, State.DIFFERENT}, overwrite=overwrite)
        if wanted and not dry_run:
            with _failure_told(asked, say):
                step.install(wanted)
        for part in step.parts:
            if part.state is State.INSTALLED:
                right += 1
            elif part.name in wanted:
                say(f"{part}: {'would be ' if dry_run else ''}{WORDS[part.state]}")
            else:
                say(f"{part}: {_kept(part)}")
        kept += _by_hand(step, wanted)
    if right:
        say(f"as it should be already: {right} {'thing' if right == 1 else 'things'}")
    return kept


def status(asked: Wish, *, say: Say = print) -> bool:
    """Say how everything is found, and whether it is all as it should be. Raises `Trouble`."""
    _say_left_out(asked, say)
    parts = [part for step in plan(asked) for part in step.parts]
    for part in parts:
        say(f"{part}: {part.state}")
    return all(part.state in {State.INSTALLED, State.LEFT} for part in parts)


def remove(asked: Wish, *, overwrite: bool = False, dry_run: bool = False, say: Say = print) -> list[str]:
    """Remove what is ours; never an index or a document. Returns what was changed by hand and kept. Raises `Trouble`."""
    kept: list[str] = []
    _say_left_out(asked, say)
    for step in reversed(plan(asked)):
        wanted = _chosen(step, {State.INSTALLED, State.DIFFERENT}, overwrite=overwrite)
        needed = _needed(step.parts, _by_hand(step, wanted))
        wanted -= needed
        if wanted and not dry_run:
            with _failure_told(asked, say):
                step.remove(wanted)
        for part in step.parts:
            removed = "would be removed" if dry_run else "removed"
            refused = "kept for what refers to it" if part.name in needed else _kept(part)
            say(f"{part.name}: {removed if part.name in wanted else refused}")
        kept += _by_hand(step, wanted)
    return kept


def plan(asked: Wish) -> list[Step]:
    """Everything, in the order in which one needs the other. Raises `Trouble`."""
    steps: list[Step] = []
    if asked.opensearch:
        steps += [template.plan(asked.opensearch), retention.plan(asked.opensearch, asked.days)]
        steps += security.plan(asked.opensearch, asked.roles)
        steps += [audit.plan(asked.opensearch)] if asked.audit_log else []
    if asked.dashboards:
        asked.dashboards.check()
        steps += [_objects(asked.dashboards, asked.objects), _default_index(asked.dashboards, asked.objects)]
    return steps


def _objects(dashboards: Dashboards, objects: Sequence[SavedObject]) -> Step:
    there = dashboards.find(objects)
    named = {f"{one.type} {one.id}": one for one in objects}

    def put(names: Collection[str]) -> None:
        dashboards.put([stamped(merged(one, there.get((one.type, one.id)))) for name, one in named.items() if name in names])

    def delete(names: Collection[str]) -> None:
        for name, one in reversed(named.items()):
            if name in names:
                dashboards.delete(one)

    parts = [
        Part(name, state(one, there.get((one.type, one.id))), needs=tuple(f"{each['type']} {each['id']}" for each in one.references))
        for name, one in named.items()
    ]
    return Step(parts, put, delete)


def _default_index(dashboards: Dashboards, objects: Sequence[SavedObject]) -> Step:
    """The index pattern that Discover opens with, where nobody has chosen another."""
    chosen = dashboards.default_index()
    ours = next((one.id for one in objects if one.type == "index-pattern"), None)
    found = State.INSTALLED if chosen == ours else State.LEFT if chosen else State.MISSING
    part = Part("default index pattern", found, f"{chosen}, chosen by somebody" if found is State.LEFT else str(ours))
    return Step([part], lambda _: dashboards.set_default_index(ours), lambda _: dashboards.set_default_index(None))


def _chosen(step: Step, states: Collection[State], *, overwrite: bool) -> set[str]:
    return {part.name for part in step.parts if part.state in states or (overwrite and part.state is State.BY_HAND)}


def _needed(parts: Sequence[Part], names: Collection[str]) -> set[str]:
    """What parts of these names refer to, and what that refers to."""
    needed = {name for part in parts if part.name in names for name in part.needs}
    return needed | _needed(parts, needed) if needed else needed


def _by_hand(step: Step, wanted: Collection[str]) -> list[str]:
    return [part.name for part in step.parts if part.state is State.BY_HAND and part.name not in wanted]


def _kept(part: Part) -> str:
    match part.state:
        case State.BY_HAND:
            return "changed by hand, kept"
        case State.MISSING:
            return "not there"
        case _:
            return "left alone"


def _say_left_out(asked: Wish, say: Say) -> None:
    if not asked.opensearch:
        say(f"index template, retention and roles: {LEFT_OUT.format('OpenSearch')}")
    if not asked.dashboards:
        say(f"saved objects: {LEFT_OUT.format('Dashboards')}")


@contextmanager
def _failure_told(asked: Wish, say: Say) -> Iterator[None]:
    """Say after a failure what is installed by now and what is not, as the servers see it."""
    try:
        yield
    except Trouble:
        say("broken off, and now:")
        try:
            status(asked, say=say)
        except Trouble:
            say("what is installed cannot be seen: ask with status when the servers answer again")
        raise

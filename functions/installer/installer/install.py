"""Install, report and remove the parts: index template, retention policy, roles, saved objects.

Each command reads the state of the domain, compares it with the desired state, and writes the
differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from installer import audit, index_template, retention, security, unknown_log_groups
from installer.address import Address
from installer.dashboards_api import GLOBAL, Dashboards, headers, place
from installer.installed_parts import Part, State, Step
from installer.object_state import ATTRIBUTE, Manifest, digest, manifest, merged, state
from installer.prefix_and_stack import Scope
from installer.retention import Keep
from installer.saved_objects import SavedObject, index_pattern, ndjson, rendered, unpacked
from installer.server import PeopleOnly, Server, UserError, server_address, sign_in

WORDS: Final = {
    State.MISSING: "installed",
    State.DIFFERENT: "replaced",
    State.BY_HAND: "replaced, though changed by hand",
}
DEFAULT_INDEX: Final = "default index pattern"
NEEDED: Final = "kept, because the indices with this prefix need it"

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The desired state of a domain.

    Without `opensearch` or without `dashboards`, the parts on that server are left out. Without
    `keep`, retention is left out. `objects` are rendered for `scope`. `groups` are the log groups
    that the stack names. `stacks` has the stacks of this tenant that use the prefix: the keys are
    their names, and the values are their manifests (installer.object_state). `links` maps the
    titles of dashboards and searches to links. `deployed` is true if the stack was installed
    before. With `audit_log`, OpenSearch's audit log is switched on.
    """

    objects: Sequence[SavedObject]
    scope: Scope = field(default_factory=Scope)
    opensearch: Server | None = None
    dashboards: Dashboards | None = None
    keep: Keep | None = None
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    groups: Sequence[str] = ()
    stacks: Mapping[str, Manifest] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    deployed: bool = False
    audit_log: bool = False


class Kept(NamedTuple):
    """The names of the parts that a removal kept.

    `by_hand` are the parts that somebody changed by hand. `reasons` has the reason for each of the
    other kept parts.
    """

    by_hand: Sequence[str]
    reasons: Mapping[str, str]


def desired_state(
    objects: Sequence[SavedObject],
    *,
    opensearch: str | None = None,
    dashboards: str | None = None,
    base_path: str | None = None,
    tenant: str = GLOBAL,
    user: str | None = None,
    password: str | None = None,
    region: str | None = None,
    without_dashboards: bool = False,
    scope: Scope | None = None,
    keep: Keep | None = None,
    roles: Mapping[str, Sequence[str]] | None = None,
    groups: Sequence[str] = (),
    deployed: bool = False,
    audit_log: bool = False,
    wait: float = 0.0,
    ends: float = math.inf,
    say: Say = print,
) -> DesiredState:
    """Build the desired state from addresses, which may contain a name and a password.

    If the host's name is not one of Amazon's, requests are signed only if `region` is given.

    If `scope.former` is true, this stack may use the former names, which do not include the stack's
    name. The manifest in Dashboards tells whether the stack uses these names.

    Raises `UserError` for addresses that cannot be used, and if Dashboards does not answer. If
    people sign in to Dashboards on a web page, Dashboards is left out, and a message says so.
    """
    first = server_address(opensearch, "--opensearch", user, password) if opensearch else None
    second = server_address(dashboards, "--dashboards", user, password) if dashboards else None
    where = None if without_dashboards else place(first, second, base_path)
    # The login in one of the addresses is used for both servers.
    login = next((one.login for one in (first, second) if one and one.login), None)

    def server(name: str, at: Address, extra: Mapping[str, str] | None = None) -> Server:
        auth = sign_in(at._replace(login=at.login or login), region)
        return Server(name, at.url, auth, headers=extra, wait=wait, ends=ends, say=say)

    found = server("OpenSearch", first) if first else None
    shown = Dashboards(server("Dashboards", where, headers(tenant)), tenant) if where else None
    scope = scope or Scope()
    stacks: Mapping[str, Manifest] = {}
    links: Mapping[str, str] = {}
    if shown:
        pages = shown
        try:
            shown.check()
            scope, stacks = _installed(shown, objects, scope)
        except PeopleOnly as problem:
            say(str(problem))
            shown = None
        links = pages.links(rendered(objects, scope))
    return DesiredState(
        rendered(objects, scope),
        scope,
        found,
        shown,
        keep,
        roles or {},
        groups,
        stacks,
        links,
        deployed=deployed,
        audit_log=audit_log,
    )


def install(
    asked: DesiredState, *, overwrite: bool = False, dry_run: bool = False, say: Say = print
) -> list[str]:
    """Install missing or changed parts.

    Returns the names of the parts that are kept because somebody changed them by hand. With
    `overwrite`, such parts are replaced.

    Nothing is written before every server has answered. After a failure the state of each part is
    reported. Raises `UserError`.
    """
    kept: list[str] = []
    right = 0
    for step in plan(asked, _checked(asked, say)):
        wanted = _chosen(step, {State.MISSING, State.DIFFERENT}, overwrite=overwrite)
        if step.before:
            say(step.before)
        if wanted and not dry_run:
            with _status_after_failure(asked, say):
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
        say(f"already up to date: {right} {'thing' if right == 1 else 'things'}")
    return kept


def export(objects: Sequence[SavedObject], scope: Scope, groups: Sequence[str] = ()) -> bytes:
    """Return the saved objects of a stack as a file that a person can import in Dashboards.

    The file has a manifest, so a later installation recognizes the imported objects.
    """
    shown = rendered(objects, scope)
    digests = {one.name: digest(one) for one in shown if one.type != "index-pattern"}
    attribute = {ATTRIBUTE: Manifest(scope.stack, groups, digests).attribute()}
    return ndjson(
        replace(one, attributes=one.attributes | attribute) if one.type == "index-pattern" else one
        for one in shown
    )


def status(asked: DesiredState, *, say: Say = print) -> bool:
    """Report the state of each part.

    Returns whether every part is installed or left alone. Raises `UserError`.
    """
    parts = [part for step in plan(asked) for part in step.parts]
    for part in parts:
        say(f"{part}: {part.state}")
    return all(part.state in {State.INSTALLED, State.LEFT} for part in parts)


def remove(
    asked: DesiredState,
    *,
    overwrite: bool = False,
    force: bool = False,
    shared: bool = True,
    dry_run: bool = False,
    say: Say = print,
) -> Kept:
    """Remove the installed parts, but never an index or a document. Raises `UserError`.

    Without `overwrite`, an object stays if somebody changed it by hand. Without `force`, an object
    stays if another dashboard shows it. Index template and retention policy stay if `shared` is
    false, or if another stack uses the prefix. If this stack owned them, the next stack that is
    installed with this prefix will own them.
    """
    steps = plan(asked)
    parts = [part for step in steps for part in step.parts]
    wanted = {
        name
        for step in steps
        for name in _chosen(step, {State.INSTALLED, State.DIFFERENT}, overwrite=overwrite)
    }
    by_hand = [
        part.name for part in parts if part.state is State.BY_HAND and part.name not in wanted
    ]
    reasons = _of_the_prefix(asked, shared=shared) | ({} if force else _shown(asked))
    reasons = {name: reason for name, reason in reasons.items() if name in wanted}
    needed = _needed(parts, {*by_hand, *reasons})
    reasons |= {
        name: "kept for the objects that refer to it"
        for name in needed
        if name in wanted and name not in reasons
    }
    pattern = index_pattern(asked.objects)
    if pattern and pattern.name in {*by_hand, *reasons} and DEFAULT_INDEX in wanted:
        reasons[DEFAULT_INDEX] = "kept, because the index pattern is kept"
    for step in reversed(steps):
        going = {part.name for part in step.parts} & wanted - reasons.keys()
        if going and not dry_run:
            with _status_after_failure(asked, say):
                step.remove(going)
        for part in step.parts:
            removed = "would be removed" if dry_run else "removed"
            kept = reasons.get(part.name) or _kept(part)
            say(f"{part.name}: {removed if part.name in going else kept}")
    if not dry_run and any(reason.startswith(NEEDED) for reason in reasons.values()):
        _release(asked, say)
    return Kept(by_hand, reasons)


def plan(asked: DesiredState, left: str = "") -> list[Step]:
    """Return all steps, each after the steps that it needs. Raises `UserError`.

    If template and policy must be left as they are, `left` is the reason. Otherwise `left` is
    empty.
    """
    steps: list[Step] = []
    if asked.opensearch:
        templates = index_template.installed(asked.opensearch)
        owner = index_template.owner(templates, asked.scope)
        if owner and owner != asked.scope.stack:
            left = f"the stack {owner} owns it"
        steps += [index_template.plan(asked.opensearch, asked.scope, templates, left)]
        steps += (
            [retention.plan(asked.opensearch, asked.scope, asked.keep, left)] if asked.keep else []
        )
        steps += security.plan(asked.opensearch, asked.scope, asked.roles)
        steps += [audit.plan(asked.opensearch)] if asked.audit_log else []
    if asked.dashboards:
        steps += [
            _objects(asked.dashboards, asked),
            _default_index(asked.dashboards, asked.objects),
        ]
    return steps


def _installed(
    dashboards: Dashboards, objects: Sequence[SavedObject], scope: Scope
) -> tuple[Scope, Mapping[str, Manifest]]:
    """Return the scope, and the manifests of all stacks that use the prefix.

    The keys of the manifests are the names of the stacks.

    In the returned scope, `former` is true if this stack uses the former names, which do not
    include a stack's name. The manifest in the index pattern with the former name tells which stack
    uses these names. A manifest without a stack has one of two causes: no stack was given to the
    installer, or an earlier version of the installer made the index pattern.
    """
    patterns = dashboards.patterns()
    ours = index_pattern(objects)
    holder = manifest(patterns[ours.id]).stack if ours and ours.id in patterns else ""
    if holder and not scope.stack:
        raise UserError(
            "the dashboards and roles with the former names (without a stack's name) "
            f"belong to the stack {holder}: give --stack {holder}, or the name of your own stack"
        )
    former = not scope.stack or holder == scope.stack or (scope.former and not holder)
    stacks = {
        found.stack: found
        for one in patterns.values()
        if (found := manifest(one)).stack and one["attributes"].get("title") == scope.pattern
    }
    return replace(scope, former=former), stacks


def _checked(asked: DesiredState, say: Say) -> str:
    """Check that this prefix overlaps with no other prefix, and find foreign log groups.

    Foreign log groups write to the prefix's indices, but no installed stack names them. If there
    are any, the result is a reason to leave template and retention policy as they are. Otherwise
    it is an empty text.

    Raises `UserError`, before anything is written, if there are foreign log groups and this is a
    first installation.
    """
    if not asked.opensearch:
        return ""
    templates = index_template.installed(asked.opensearch)
    index_template.ensure_apart(asked.scope, templates)
    first = not asked.deployed and (
        asked.scope.shared not in templates
        or (bool(asked.scope.stack) and asked.scope.stack not in asked.stacks)
    )
    if not (first or asked.scope.stack):
        return ""
    groups = {*asked.groups, *(group for one in asked.stacks.values() for group in one.groups)}
    foreign = unknown_log_groups.foreign_groups(
        asked.opensearch, asked.scope, {*asked.stacks, asked.scope.stack}, sorted(groups)
    )
    if not foreign:
        return ""
    sentence = unknown_log_groups.sentence(asked.scope, foreign)
    if first:
        raise UserError(sentence)
    say(sentence)
    return "left as it is, because others write to these indices too"


def _of_the_prefix(asked: DesiredState, *, shared: bool) -> dict[str, str]:
    """Return the reason to keep each part that all stacks of the prefix share.

    The key is the name of the part.
    """
    others = [name for name in asked.stacks if name != asked.scope.stack]
    if shared and not others:
        return {}
    users = f", and so do other stacks ({', '.join(sorted(others))})" if others else ""
    reason = f"{NEEDED}{users}; no stack owns it now"
    return {
        f"{kind} {asked.scope.shared}": reason for kind in ("index template", "retention policy")
    } | {retention.INDICES: NEEDED}


def _release(asked: DesiredState, say: Say) -> None:
    if asked.opensearch and asked.scope.stack:
        templates = index_template.installed(asked.opensearch)
        if index_template.owner(templates, asked.scope) == asked.scope.stack:
            index_template.release(asked.opensearch, asked.scope, templates)
            say(
                f"index template {asked.scope.shared}: {asked.scope.stack} no longer owns it; "
                "the next stack that installs will own it"
            )


def _shown(asked: DesiredState) -> dict[str, str]:
    """Return the reason to keep each object that another dashboard shows.

    The key is the name of the object.
    """
    if not asked.dashboards:
        return {}
    ours = {(one.type, one.id) for one in asked.objects}
    reasons: dict[str, str] = {}
    for one in asked.dashboards.referrers():
        if (one["type"], one["id"]) not in ours:
            for each in one.get("references", []):
                if (each["type"], each["id"]) in ours:
                    title = one["attributes"].get("title", one["id"])
                    reasons[f"{each['type']} {each['id']}"] = (
                        f"kept, because the {one['type']} {title!r} shows it"
                    )
    return reasons


def _objects(dashboards: Dashboards, asked: DesiredState) -> Step:
    objects = asked.objects
    there = dashboards.find(objects)
    named = {one.name: one for one in objects}
    pattern = index_pattern(objects)
    theirs = there.get((pattern.type, pattern.id)) if pattern else None
    known = manifest(theirs)
    groups = list(asked.groups) or list(known.groups)

    def put(names: Collection[str]) -> None:
        digests = {
            **known.digests,
            **{
                name: digest(one)
                for name, one in named.items()
                if name in names and one is not pattern
            },
        }
        attribute = {ATTRIBUTE: Manifest(asked.scope.stack, groups, digests).attribute()}
        sent = [
            merged(one, there.get((one.type, one.id)))
            for name, one in named.items()
            if name in names
        ]
        if pattern and theirs and pattern.name not in names:
            sent = [replace(pattern, attributes=unpacked(theirs["attributes"])), *sent]
        dashboards.put(
            [
                replace(one, attributes=one.attributes | attribute)
                if one.type == "index-pattern"
                else one
                for one in sent
            ]
        )

    def delete(names: Collection[str]) -> None:
        for name, one in reversed(named.items()):
            if name in names:
                dashboards.delete(one)

    def found(name: str, one: SavedObject) -> State:
        how = state(one, there.get((one.type, one.id)), known.digests.get(name))
        told = (known.stack, list(known.groups)) == (asked.scope.stack, groups)
        return State.DIFFERENT if one is pattern and how is State.INSTALLED and not told else how

    parts = [
        Part(
            name,
            found(name, one),
            needs=tuple(f"{each['type']} {each['id']}" for each in one.references),
        )
        for name, one in named.items()
    ]
    return Step(parts, put, delete)


def _default_index(dashboards: Dashboards, objects: Sequence[SavedObject]) -> Step:
    """Plan to make our index pattern the default, unless somebody has chosen another pattern."""
    chosen = dashboards.default_index()
    pattern = index_pattern(objects)
    ours = pattern.id if pattern else None
    found = State.INSTALLED if chosen == ours else State.LEFT if chosen else State.MISSING
    part = Part(
        DEFAULT_INDEX, found, f"{chosen}, chosen by somebody" if found is State.LEFT else str(ours)
    )
    return Step(
        [part],
        lambda _: dashboards.set_default_index(ours),
        lambda _: dashboards.set_default_index(None),
    )


def _chosen(step: Step, states: Collection[State], *, overwrite: bool) -> set[str]:
    return {
        part.name
        for part in step.parts
        if part.state in states or (overwrite and part.state is State.BY_HAND)
    }


def _needed(parts: Sequence[Part], names: Collection[str]) -> set[str]:
    """Return the parts that the named parts refer to, directly and indirectly."""
    needed = {name for part in parts if part.name in names for name in part.needs}
    return needed | _needed(parts, needed) if needed else needed


def _by_hand(step: Step, wanted: Collection[str]) -> list[str]:
    return [
        part.name for part in step.parts if part.state is State.BY_HAND and part.name not in wanted
    ]


def _kept(part: Part) -> str:
    match part.state:
        case State.BY_HAND:
            return "changed by hand, kept"
        case State.MISSING:
            return "not there"
        case _:
            return "left alone"


@contextmanager
def _status_after_failure(asked: DesiredState, say: Say) -> Iterator[None]:
    """Read and report the state of each part after a failure."""
    try:
        yield
    except UserError:
        say("stopped after a failure; the state now:")
        try:
            status(asked, say=say)
        except UserError:
            say("the installed parts cannot be read: run status when the servers answer again")
        raise

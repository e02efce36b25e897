"""Retention: the policy of index state management (ISM) that deletes `cwl-*` indices after some days."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from itertools import batched
from typing import Any, Final

from installer.files import FOLDER
from installer.plan import Part, State, Step, contains, found_as, nothing
from installer.server import Answer, Server, Trouble

NAME: Final = "prediction-monitor"
FILE: Final = FOLDER / "retention.json"
ISM: Final = "/_plugins/_ism"
PATH: Final = f"{ISM}/policies/{NAME}"
POLICY: Final = f"retention policy {NAME}"
INDICES: Final = "retention of existing indices"
BATCH: Final = 100  # names in one path, which may have 4 KB
SETTING: Final = "index.plugins.index_state_management.policy_id"
WAYS: Final = [("kept", ["deleted"]), ("deleted", [])]  # the policy's states, and where each leads
WITHOUT: Final = "the server has no index state management: old cwl-* indices are yours to delete"


def days(text: str) -> int:
    """A number of days. Raises `ValueError`."""
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"{text!r} is no number of days: give a whole number from 1")
    return int(text)


def policy(age: str | None = None) -> dict[str, Any]:
    """The policy as ISM takes it, with the age that its file names or another."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    if age:
        _condition(content)["min_index_age"] = age
    return content


def plan(server: Server, keep: int | None) -> Step:
    """The policy, and the indices that are to follow it. Raises `Trouble`.

    Without days to `keep` them a policy that is there keeps its own: nobody's documents are deleted because an option was left out.
    """
    found = server.ask("GET", PATH, also={400, 404, 405})
    if not _has_ism(found):
        return Step([Part(POLICY, State.LEFT, WITHOUT)], nothing, nothing)
    there: dict[str, Any] | None = found.body if found.status == 200 else None
    age = f"{keep}d" if keep else _age(there)
    wanted = policy(age)
    if there and _age(there) is None:
        state = State.BY_HAND
    else:
        state = found_as(there, right=there is not None and contains(there["policy"], wanted["policy"]))
    following = _following(server)
    ours = [name for name, (identifier, _) in following.items() if identifier == NAME]
    free = [name for name, (identifier, _) in following.items() if identifier is None]
    # An index keeps the policy as it was when it began to follow it.
    stale = [name for name in ours if following[name][1] not in {None, there["_seq_no"] if there else None}]
    late = ours if state in {State.MISSING, State.DIFFERENT} else stale
    others = len(following) - len(ours) - len(free)

    def install(names: Collection[str]) -> None:
        if POLICY in names:
            version = {"if_seq_no": there["_seq_no"], "if_primary_term": there["_primary_term"]} if there else {}
            server.ask("PUT", PATH, params=version, json=wanted)
        _tell(server, "add", free)
        _tell(server, "change_policy", ours if POLICY in names else stale)

    def remove(_: Collection[str]) -> None:
        _tell(server, "remove", ours)
        server.ask("DELETE", PATH, also={404})

    if state is State.BY_HAND:  # whoever built it has the say over its indices too
        return Step([Part(POLICY, state)], install, remove)
    count = f"{len(following)} cwl-* {'index' if len(following) == 1 else 'indices'}, {len(free) + len(late)} not yet"
    foreign = f", {others} with a policy of another name, left alone" if others else ""
    follows = State.MISSING if free else State.DIFFERENT if late else State.INSTALLED
    return Step([Part(POLICY, state, f"deletes after {_age(wanted)}"), Part(INDICES, follows, count + foreign)], install, remove)


def _has_ism(answer: Answer) -> bool:
    """A policy that is missing is told in an object, a path that is missing in words."""
    return answer.status == 200 or (answer.status == 404 and isinstance(answer.body.get("error"), dict))


def _condition(content: dict[str, Any]) -> dict[str, Any]:
    condition: dict[str, Any] = content["policy"]["states"][0]["transitions"][0]["conditions"]
    return condition


def _age(content: dict[str, Any] | None) -> str | None:
    """The age at which a policy deletes; None where it is not built as ours is, so that no other age is taken for this one."""
    states = content["policy"].get("states", []) if content else []
    ways = [(state["name"], [way["state_name"] for way in state.get("transitions", [])]) for state in states]
    return content["policy"]["states"][0]["transitions"][0].get("conditions", {}).get("min_index_age") if content and ways == WAYS else None


def _following(server: Server) -> dict[str, tuple[str | None, int | None]]:
    """Each index with the policy that it follows and that policy's version, as far as ISM has begun with it."""
    found = server.ask("GET", f"{ISM}/explain/cwl-*", also={404})
    entries = found.body.items() if found.status == 200 else ()
    return {
        name: (entry.get("policy_id") or entry.get(SETTING), entry.get("policy_seq_no"))
        for name, entry in entries
        if isinstance(entry, dict)
    }


def _tell(server: Server, verb: str, names: Iterable[str]) -> None:
    """Tell ISM about indices. A 200 can carry failures.

    An index that is just on its way to another state takes no other policy: it counts as not yet following, until a later run.
    """
    for some in batched(names, BATCH, strict=False):
        body = None if verb == "remove" else {"policy_id": NAME}
        answer = server.ask("POST", f"{ISM}/{verb}/{','.join(some)}", json=body).body
        if answer.get("failures") and verb != "change_policy":
            reasons = ", ".join(f"{one['index_name']}: {one['reason']}" for one in answer.get("failed_indices", [])[:3])
            raise Trouble(f"{server.name} left the retention of some indices as it was ({reasons}): run this again")

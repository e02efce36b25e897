"""Install the retention policy for the indices of one prefix, such as `cwl-*`.

The policy is for index state management (ISM), and deletes these indices after some days.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Final, NamedTuple

from installer import files
from installer.installed_parts import Part, State, Step, contains, found_as, nothing
from installer.prefix_and_stack import PATTERN, Scope
from installer.server import Answer, Server, UserError

FILE: Final = files.FOLDER / "retention.json"
ISM: Final = ("/_plugins/_ism", "/_opendistro/_ism")  # the second path is for Elasticsearch 7.10
BATCH: Final = 100  # index names in one path; the limit of a path is 4 KB
SETTINGS: Final = tuple(
    f"index.{product}.index_state_management.policy_id" for product in ("plugins", "opendistro")
)
CREATED: Final = "index.creation_date"
# The policy's states, each with the states that can follow it.
WAYS: Final = [("kept", ["deleted"]), ("deleted", [])]
WITHOUT: Final = "the server has no index state management: delete old {} indices yourself"
INDICES: Final = "retention of existing indices"
UNASKED: Final = "no days are given, so no index is deleted"


@dataclass(frozen=True, slots=True)
class Keep:
    """The time for which indices are kept.

    If `days` is None, the days of an existing policy apply. If there is no policy either, the
    number of days in `new` applies. If `new` is None too, indices are kept for ever. With `adopt`,
    the policy also applies to existing indices that follow no policy.
    """

    days: int | None = None
    new: int | None = None
    adopt: bool = False


class Following(NamedTuple):
    """The policy that an index follows, and the version of that policy.

    `version` is None until ISM has begun to apply the policy to the index.
    """

    policy: str | None
    version: int | None


def days(text: str) -> int:
    """Return a number of days from its text. Raises `ValueError`."""
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"{text!r} is not a number of days: give a whole number, 1 or more")
    return int(text)


def policy(age: str, scope: Scope) -> dict[str, Any]:
    """Return the policy in the form of ISM's API. An index is deleted at the `age`, such as 30d."""
    content: dict[str, Any] = json.loads(
        FILE.read_text(encoding="utf-8").replace(PATTERN, scope.pattern)
    )
    content["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = age
    return content


def plan(server: Server, scope: Scope, keep: Keep, left: str = "") -> Step:
    """Plan the policy, and the indices that will follow it. Raises `UserError`.

    If policy and indices must be left as they are, `left` is the reason. Otherwise `left` is empty.
    """
    name = f"retention policy {scope.shared}"
    base, found = _base(server, scope)
    if base is None:
        return Step([Part(name, State.LEFT, WITHOUT.format(scope.pattern))], nothing, nothing)
    there: dict[str, Any] | None = found.body if found.status == 200 else None
    if left:
        return Step(
            [Part(name, State.LEFT, f"deletes after {_age(there)}; {left}" if there else left)],
            nothing,
            nothing,
        )
    chosen = keep.days or (None if there else keep.new)
    age = f"{chosen}d" if chosen else _age(there)
    if not (there or age):
        return Step([Part(name, State.LEFT, UNASKED)], nothing, nothing)
    path = f"{base}/policies/{scope.shared}"
    wanted = policy(age or "", scope)
    if base != ISM[0]:
        # Open Distro requires an object instead of a list.
        wanted["policy"]["ism_template"] = wanted["policy"]["ism_template"][0]
    by_hand = there is not None and _age(there) is None
    right = there is not None and contains(there["policy"], wanted["policy"])
    state = State.BY_HAND if by_hand else found_as(there, right=right)
    following = _following(server, base, scope)
    ours = [index for index, followed in following.items() if followed.policy == scope.shared]
    free = [index for index, followed in following.items() if followed.policy is None]
    # When ISM begins to apply the policy to an index, the index gets the policy's current version.
    # The index keeps this version until the policy is set for the index again.
    newest = there["_seq_no"] if there else None
    stale = [index for index in ours if following[index].version not in {None, newest}]
    late = ours if state in {State.MISSING, State.DIFFERENT} else stale
    taken = free if keep.adopt else []

    def install(names: Collection[str]) -> None:
        if name in names:
            if not age:
                raise UserError(
                    f"somebody changed the states of the {name}: "
                    "give --retention-days to replace it"
                )
            version = (
                {"if_seq_no": there["_seq_no"], "if_primary_term": there["_primary_term"]}
                if there
                else {}
            )
            server.ask("PUT", path, params=version, json=wanted)
        _set_policy(server, base, scope, "add", taken)
        _set_policy(server, base, scope, "change_policy", ours if name in names else stale)

    def remove(_: Collection[str]) -> None:
        _set_policy(server, base, scope, "remove", ours)
        server.ask("DELETE", path, also={404})

    if by_hand:  # somebody changed the policy, so the indices that follow it are left alone too
        return Step([Part(name, state)], install, remove)
    count = (
        f"{_counted(len(following), scope)}; before this command, {len(taken) + len(late)} had no "
        "policy or an older version of this policy"
    )
    others = len(following) - len(ours) - len(free)
    notes = [
        count,
        f"{others} {'keeps' if others == 1 else 'keep'} a policy of another name" if others else "",
        f"{len(free)} with no policy, kept for ever unless you give --adopt (AdoptIndices)"
        if free and not keep.adopt
        else "",
    ]
    follows = State.MISSING if taken else State.DIFFERENT if late else State.INSTALLED
    parts = [
        Part(name, state, f"deletes after {age}"),
        Part(INDICES, follows, ", ".join(filter(None, notes))),
    ]
    return Step(
        parts, install, remove, _coming_deletions(server, scope, age or "", [*ours, *taken])
    )


def _coming_deletions(server: Server, scope: Scope, age: str, names: Collection[str]) -> str:
    """Say how many indices will be deleted, and from which day on."""
    if not names:
        return (
            f"retention: no {scope.pattern} index follows the policy yet; "
            f"a new index is deleted {age} after it was made"
        )
    first = (
        f"retention: {_counted(len(names), scope)} {'is' if len(names) == 1 else 'are'} "
        f"deleted {age} after being made"
    )
    known = server.ask(
        "GET", f"/{scope.pattern}/_settings/{CREATED}?flat_settings=true", also={403, 404}
    )
    made = [
        datetime.fromtimestamp(int(one["settings"][CREATED]) / 1000, UTC)
        for name, one in known.body.items()
        if known.status == 200 and name in names and CREATED in one.get("settings", {})
    ]
    if not (made and age.endswith("d") and age[:-1].isdecimal()):
        return first
    ends = [moment + timedelta(days=int(age[:-1])) for moment in made]
    now = datetime.now(UTC)
    due = [moment for moment in ends if moment <= now]
    later = [moment for moment in ends if moment > now]
    return "".join(
        [
            first,
            f", {len(due)} of them today" if due else "",
            f", the {'next' if due else 'first'} on {min(later):%Y-%m-%d}" if later else "",
        ]
    )


def _counted(number: int, scope: Scope) -> str:
    return f"{number} {scope.pattern} {'index' if number == 1 else 'indices'}"


def _base(server: Server, scope: Scope) -> tuple[str | None, Answer]:
    """Return the path of ISM's API, and its answer about the policy."""
    answers = (
        (base, server.ask("GET", f"{base}/policies/{scope.shared}", also={400, 404, 405}))
        for base in ISM
    )
    return next((found for found in answers if _has_ism(found[1])), (None, Answer(404, {})))


def _has_ism(answer: Answer) -> bool:
    """Return whether an answer comes from ISM.

    Both a missing policy and a missing ISM lead to the status 404. If only the policy is missing,
    the answer's member `error` is an object; if ISM is missing, it is a text.
    """
    return answer.status == 200 or (
        answer.status == 404 and isinstance(answer.body.get("error"), dict)
    )


def _age(content: dict[str, Any] | None) -> str | None:
    """Return the age at which a policy deletes indices.

    Returns None if the policy's states or transitions are not ours, because the age in such a
    policy may mean something else.
    """
    states = content["policy"].get("states", []) if content else []
    ways = [
        (state["name"], [way["state_name"] for way in state.get("transitions", [])])
        for state in states
    ]
    if ways != WAYS:
        return None
    found: str | None = states[0]["transitions"][0].get("conditions", {}).get("min_index_age")
    return found


def _following(server: Server, base: str, scope: Scope) -> Mapping[str, Following]:
    """Return each index of the prefix with the policy that it follows."""
    found = server.ask("GET", f"{base}/explain/{scope.pattern}", also={404})
    entries = found.body.items() if found.status == 200 else ()
    return {
        name: Following(
            entry.get("policy_id") or _policy_setting(entry), entry.get("policy_seq_no")
        )
        for name, entry in entries
        if isinstance(entry, dict)
    }


def _policy_setting(entry: Mapping[str, Any]) -> str | None:
    return next((entry[name] for name in SETTINGS if entry.get(name)), None)


def _set_policy(server: Server, base: str, scope: Scope, verb: str, names: Iterable[str]) -> None:
    """Add, change or remove the policy of indices.

    ISM reports failures in an answer with status 200. Raises `UserError` for such failures.

    While an index moves to another state, its policy cannot be changed. This is not a failure,
    because a later run changes the policy.
    """
    for some in batched(names, BATCH, strict=False):
        body = None if verb == "remove" else {"policy_id": scope.shared}
        answer = server.ask("POST", f"{base}/{verb}/{','.join(some)}", json=body).body
        if answer.get("failures") and verb != "change_policy":
            reasons = ", ".join(
                f"{one['index_name']}: {one['reason']}"
                for one in answer.get("failed_indices", [])[:3]
            )
            raise UserError(
                f"{server.name} left the retention of some indices as it was ({reasons}): "
                "run this again"
            )

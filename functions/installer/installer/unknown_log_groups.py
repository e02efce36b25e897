"""Find foreign log groups. They write to the indices of a stack, but no installed stack names them.

The stack's index template and retention policy would also apply to the lines of these log groups.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from installer.prefix_and_stack import Scope
from installer.server import Server

DAYS: Final = 7  # longer than a weekend, on which a log group may write nothing
NAMED: Final = 5  # the largest number of log groups that a message names
UNKNOWN: Final = "a group without a name"


def foreign_groups(
    server: Server, scope: Scope, stacks: Collection[str], groups: Collection[str]
) -> list[str]:
    """Return at most `NAMED` foreign log groups. Raises `UserError`.

    A log group is foreign if it is not in `groups`, and if it wrote a foreign document in the last
    `DAYS` days. A document is foreign if its field `@stack` is missing or is not in `stacks`.

    Each search finds one more log group. An aggregation would find all groups at once, but it fails
    if somebody else's index maps the field as text.
    """
    found: list[str] = []
    while len(found) < NAMED:
        body = {
            "size": 1,
            "_source": ["@log_group"],
            "query": {
                "bool": {
                    "filter": [{"range": {"@timestamp": {"gte": f"now-{DAYS}d"}}}],
                    "must_not": [
                        *_one_of("@stack", [name for name in stacks if name]),
                        *_one_of("@log_group", [*groups, *found]),
                    ],
                }
            },
        }
        path = f"/{scope.pattern}/_search?ignore_unavailable=true&allow_no_indices=true"
        hits = server.ask("POST", path, json=body, also={404}).body.get("hits", {}).get("hits", [])
        if not hits:
            break
        group = hits[0].get("_source", {}).get("@log_group")
        if not isinstance(group, str) or group in found:
            return [*found, UNKNOWN]
        found.append(group)
    return found


def sentence(scope: Scope, groups: Collection[str]) -> str:
    """Return advice on foreign log groups."""
    return (
        f"{scope.pattern} has documents of the last {DAYS} days from log groups that belong to "
        f"no installed stack: {', '.join(groups)}. Template and retention would apply to them too. "
        "Give an IndexPrefix (--index-prefix) of your own, "
        "or, if these lines are yours, name their groups (MoreLogGroups, --log-group)"
    )


def _one_of(name: str, values: list[str]) -> list[dict[str, Any]]:
    """Return queries for documents in which the field `name` has one of `values`.

    The field is of type keyword, or it is a text with a subfield of type keyword.
    """
    return [{"terms": {field: values}} for field in (name, f"{name}.keyword")] if values else []

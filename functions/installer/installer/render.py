"""Every body that an installation into an empty domain sends, as files: to be reviewed, or applied by somebody else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from installer import audit, index_template, retention, security
from installer.dashboards import AMAZON_PATH, IMPORT, SETTINGS
from installer.install import export
from installer.objects import SavedObject, index_pattern, rendered
from installer.scope import NAME, Scope
from installer.server import UserError

INDEX: Final = "requests.json"


class Request(NamedTuple):
    """One request in the order of sending: `file` holds `body`, which is JSON, or a file to import (.ndjson)."""

    method: str
    path: str
    file: str
    body: bytes


def requests(
    objects: Sequence[SavedObject],
    scope: Scope,
    *,
    days: int | None,
    roles: Mapping[str, Sequence[str]],
    groups: Sequence[str],
    audit_log: bool,
) -> Iterator[Request]:
    """The requests of a first installation into a domain without Standby.

    `days` None: no retention. `roles` are ARNs by kind.
    """
    yield _json(
        "PUT",
        f"{index_template.PATH}/{scope.shared}",
        "index-template",
        index_template.rendered(scope, scope.stack),
    )
    if days:
        yield _json(
            "PUT",
            f"{retention.ISM[0]}/policies/{scope.shared}",
            "retention-policy",
            retention.policy(f"{days}d", scope),
        )
    for kind, arns in roles.items():
        name = scope.own(f"{NAME}-{kind}")
        yield _json(
            "PUT",
            f"{security.API}/roles/{name}",
            f"role-{kind}",
            security.rendered(security.ROLES[kind], scope),
        )
        yield _json(
            "PUT",
            f"{security.API}/rolesmapping/{name}",
            f"role-mapping-{kind}",
            {"backend_roles": list(arns)},
        )
    if audit_log:
        yield _json("PATCH", audit.PATH, "audit-log", audit.PATCH)
    yield Request(
        "POST", AMAZON_PATH + IMPORT, "saved-objects.ndjson", export(objects, scope, groups)
    )
    pattern = index_pattern(rendered(objects, scope))
    if pattern:
        yield _json(
            "POST",
            AMAZON_PATH + SETTINGS[0],
            "default-index",
            {"changes": {"defaultIndex": pattern.id}},
        )


def write(found: Sequence[Request], folder: Path) -> list[str]:
    """Write each body and `requests.json`, which says where each goes.

    Returns the names. Raises `UserError`.

    A folder that holds anything is refused, so that no file of yours is written over and no former
    one stays.
    """
    listed = [{"method": one.method, "path": one.path, "file": one.file} for one in found]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: give a new folder")
        for one in found:
            (folder / one.file).write_bytes(one.body)
        (folder / INDEX).write_bytes(_text(listed))
    except OSError as problem:
        raise UserError(
            f"{folder} cannot be written ({problem.strerror}): give another folder"
        ) from None
    return [*(one.file for one in found), INDEX]


def _json(method: str, path: str, name: str, body: Any) -> Request:
    return Request(method, path, f"{name}.json", _text(body))


def _text(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

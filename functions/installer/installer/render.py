"""Write files with the request bodies that an installation would send to an empty domain.

An administrator can review the files, or apply them without the installer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from installer import audit, index_template, retention, security
from installer.dashboards_api import AMAZON_PATH, IMPORT, SETTINGS
from installer.install import export
from installer.prefix_and_stack import NAME, Scope
from installer.saved_objects import SavedObject, index_pattern, rendered
from installer.server import UserError

INDEX: Final = "requests.json"


class Request(NamedTuple):
    """One request: `file` is the name of the file that holds `body`.

    The body is JSON, or a file to import (.ndjson).
    """

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
    """Yield the requests of a first installation, in the order of sending.

    The index template does not fit a domain with the setting "Multi-AZ with Standby", which needs
    another number of copies. If `days` is None, there is no retention policy. `roles` has a list of
    ARNs for each kind of role.
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
    """Write each body into a file, and the method and path of each request into `requests.json`.

    Returns the names of the files. Raises `UserError`.

    A folder that is not empty is refused. So no file of the user is overwritten, and the folder has
    no files of an earlier run.
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

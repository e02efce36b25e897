"""Call the HTTP API of OpenSearch Dashboards or Kibana.

The API reads and writes saved objects and the default index pattern. The module also makes links
to pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from installer.address import Address
from installer.saved_objects import SavedObject, ndjson
from installer.server import Answer, Server, UserError, is_amazon

# Kibana requires the first header, and Dashboards requires the second. Any value is accepted.
XSRF: Final = {"kbn-xsrf": "true", "osd-xsrf": "true"}
IMPORT: Final = "/api/saved_objects/_import?overwrite=true"
SETTINGS: Final = ("/api/opensearch-dashboards/settings", "/api/kibana/settings")
AMAZON_PATH: Final = "/_dashboards"  # the base path of Dashboards on an Amazon domain
GLOBAL: Final = "global"
TENANTS: Final = {GLOBAL, "global_tenant", "private", "__user__"}  # tenants that always exist
STATE: Final = "_g=(refreshInterval:(pause:!f,value:5000),time:(from:{since},to:now))"
SINCE: Final = "now-15m"  # the time range in a link, if the object itself stores none
FIRST: Final = "prediction-monitor-predictions"  # the object that the first link opens
PAGE: Final = 1000  # the number of objects in one answer
PAGES_AT_MOST: Final = 10  # Kibana's search returns at most 10,000 objects
# A type of saved object, the app that opens it, and the prefix of the link's title.
PAGES: Final = (("dashboard", "dashboards", ""), ("search", "discover", "Discover: "))


def place(
    opensearch: Address | None, dashboards: Address | None, base_path: str | None
) -> Address | None:
    """Return the address of Dashboards, with its base path.

    If `dashboards` is not given and the domain is Amazon's, Dashboards is on the domain's host. If
    `dashboards` is not given for another domain, the address is unknown, and None is returned.
    """
    if dashboards:
        return _below(dashboards, base_path or "")
    if opensearch and is_amazon(opensearch):
        return _below(opensearch, base_path or AMAZON_PATH)
    return None


def _below(where: Address, base_path: str) -> Address:
    return where._replace(path="/".join(filter(None, (where.path, base_path.strip("/")))))


def headers(tenant: str) -> dict[str, str]:
    """Return the headers of every request."""
    return {**XSRF, "securitytenant": tenant}


class Dashboards:
    """One tenant of OpenSearch Dashboards or Kibana. Every method raises `UserError`."""

    def __init__(self, server: Server, tenant: str = GLOBAL) -> None:
        self._server = server
        self._tenant = tenant

    def check(self) -> None:
        """Wait for the server, and check that the tenant exists.

        For a tenant that does not exist, the server silently uses another tenant.
        """
        self._settings()
        if self._tenant in TENANTS:
            return
        answer = self._server.ask("GET", "/api/v1/configuration/account", also={404})
        if answer.status == 404:
            raise UserError(
                f"{self._server.name} at {self._server.url} has no tenants: leave --tenant out"
            )
        found = answer.body.get("data", {}).get("tenants", {})
        if self._tenant not in found:
            raise UserError(
                f"you have no tenant {self._tenant!r} "
                f"(your tenants: {', '.join(sorted(found)) or 'none'}): "
                "create this tenant, or give another one"
            )

    def find(self, objects: Sequence[SavedObject]) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the installed objects among `objects`, by type and id."""
        if not objects:
            return {}
        asked = [{"type": one.type, "id": one.id} for one in objects]
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for one in self._server.ask("POST", "/api/saved_objects/_bulk_get", json=asked).body[
            "saved_objects"
        ]:
            error = one.get("error")
            if not error:
                found[one["type"], one["id"]] = one
            elif error.get("statusCode") != 404:
                raise UserError(
                    f"{self._server.name} does not show {one['type']} {one['id']} "
                    f"({error.get('message')}): check its log"
                )
        return found

    def patterns(self) -> dict[str, dict[str, Any]]:
        """Return the tenant's index patterns by id, with the title of each.

        A pattern of a stack also has a manifest, the list of installed objects (object_state.py).
        """
        return {
            one["id"]: one
            for one in self._search(("index-pattern",), ("title", "predictionMonitor"))
        }

    def referrers(self) -> list[dict[str, Any]]:
        """Return every object of the tenant that can show another object.

        Each object has its type, id, title and references.
        """
        return self._search(("dashboard", "visualization", "search"), ("title",))

    def _search(self, types: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        asked = urlencode(
            [
                ("per_page", PAGE),
                *(("type", one) for one in types),
                *(("fields", one) for one in fields),
            ]
        )
        for page in range(1, PAGES_AT_MOST + 1):
            answer = self._server.ask("GET", f"/api/saved_objects/_find?{asked}&page={page}").body
            found += answer.get("saved_objects", [])
            if len(found) >= answer.get("total", 0):
                break
        return found

    def put(self, objects: Sequence[SavedObject]) -> None:
        """Import objects in one file, and overwrite existing objects with the same id."""
        file = {"file": ("prediction-monitor.ndjson", ndjson(objects), "application/ndjson")}
        answer = self._server.ask("POST", IMPORT, also={422}, files=file)
        if answer.status == 422:
            raise UserError(
                f"{self._server.name} at {self._server.url} is too old for these files "
                f"({answer.body.get('message')}): "
                "they need Kibana 7.10, or any OpenSearch Dashboards"
            )
        # An answer with status 200 can contain errors, or fewer objects than were sent.
        if not answer.body.get("success") or answer.body.get("successCount") != len(objects):
            raise UserError(
                f"{self._server.name} did not accept {_errors(answer) or 'all objects'}: "
                "check its version and the files in saved/"
            )

    def delete(self, one: SavedObject) -> None:
        """Delete an object, if it exists."""
        self._server.ask("DELETE", f"/api/saved_objects/{one.type}/{one.id}", also={404})

    def default_index(self) -> str | None:
        """Return the id of the index pattern that Discover opens with."""
        _, answer = self._settings()
        value: str | None = answer.body.get("settings", {}).get("defaultIndex", {}).get("userValue")
        return value

    def set_default_index(self, identifier: str | None) -> None:
        """Make Discover open with this index pattern. None removes the setting."""
        path, _ = self._settings()
        self._server.ask("POST", path, json={"changes": {"defaultIndex": identifier}})

    def links(self, objects: Sequence[SavedObject]) -> dict[str, str]:
        """Return a link to each dashboard and each saved search, by title.

        A link to a dashboard shows the time range that the dashboard stores. A link to a search
        shows the last 15 minutes. Both pages refresh every 5 seconds.
        """
        return {title: self._server.url + page for title, page in self._pages(objects)}

    def short_links(self, objects: Sequence[SavedObject]) -> dict[str, str]:
        """Return short links to the pages of `links`, if the server makes short links.

        A page always gets the same short link.
        """
        made: dict[str, str] = {}
        for title, page in self._pages(objects):
            answer = self._server.ask(
                "POST", "/api/shorten_url", also={400, 403, 404, 405}, json={"url": page}
            )
            if answer.status == 200:
                made[title] = f"{self._server.url}/goto/{answer.body['urlId']}"
        return made

    def _pages(self, objects: Sequence[SavedObject]) -> list[tuple[str, str]]:
        """Return the title of each page, and its address below the base path.

        The page of the object `FIRST` comes first.
        """
        tenant = (
            "" if self._tenant == GLOBAL else "?" + urlencode({"security_tenant": self._tenant})
        )
        return [
            (
                prefix + one.attributes["title"],
                f"/app/{app}{tenant}#/view/{one.id}?"
                + STATE.format(since=one.attributes.get("timeFrom", SINCE)),
            )
            for kind, app, prefix in PAGES
            for one in sorted(objects, key=lambda one: not one.id.startswith(FIRST))
            if one.type == kind
        ]

    def _settings(self) -> tuple[str, Answer]:
        """Return the settings and their path. Kibana and Dashboards have different paths."""
        for path in SETTINGS:
            answer = self._server.ask("GET", path, also={400, 404, 405})
            if "settings" in answer.body:
                return path, answer
        raise UserError(
            f"neither Dashboards nor Kibana is at {self._server.url}: "
            "check --dashboards and --base-path "
            "(/_dashboards on an Amazon OpenSearch domain, /_plugin/kibana on an Elasticsearch one)"
        )


def _errors(answer: Answer) -> str:
    errors: list[Mapping[str, Any]] = answer.body.get("errors", [])
    return ", ".join(
        f"{one['type']} {one['id']} ({one['error']['type']}{_missing(one['error'])})"
        for one in errors
    )


def _missing(error: Mapping[str, Any]) -> str:
    return "".join(f" {one['type']} {one['id']}" for one in error.get("references", []))

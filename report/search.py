"""Searches an index pattern of OpenSearch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Protocol

from opensearchpy.exceptions import NotFoundError

SECONDS: Final = 60  # default time limit of one search


class Connection(Protocol):
    """The part of `opensearchpy.RequestsHttpConnection` that the report uses."""

    def perform_request(
        self, method: str, url: str, *args: Any, **kwargs: Any
    ) -> tuple[int, Any, str]:
        """Send a request, and return the status, the headers and the body of the answer."""
        ...


def searching(
    connection: Connection, index: str, seconds: int = SECONDS
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that searches an index pattern.

    If there is no index, the function returns {}. It raises the connection's exceptions.
    """
    path = f"/{index}/_search?ignore_unavailable=true&allow_partial_search_results=false"

    def search(body: dict[str, Any]) -> dict[str, Any]:
        try:
            _, _, text = connection.perform_request(
                "POST", path, body=json.dumps(body).encode(), timeout=seconds
            )
        except NotFoundError:
            return {}
        answer: dict[str, Any] = json.loads(text)
        return answer

    return search

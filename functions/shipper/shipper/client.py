"""The OpenSearch client: signed when the endpoint is Amazon's, plain otherwise."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from opensearchpy import OpenSearch, RequestsHttpConnection

TIMEOUT_SECONDS: Final = 30
AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".on.aws")


def client(endpoint: str, region: str) -> OpenSearch:
    """A client of `endpoint` (`https://...` or `http://...`). Raises `ValueError` for anything else.

    It never retries by itself: who delivers decides, document by document.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"OPENSEARCH_URL must be an http(s) address, not {endpoint!r}")
    return OpenSearch(
        hosts=[endpoint.rstrip("/")],
        http_auth=_signature(parts.hostname, region) if parts.hostname.endswith(AMAZON) else None,
        connection_class=RequestsHttpConnection,
        verify_certs=True,
        timeout=TIMEOUT_SECONDS,
        max_retries=0,
    )


def _signature(hostname: str, region: str) -> Any:
    """SigV4 by credentials that renew themselves; botocore is imported where it is needed (it costs 100 ms)."""
    from botocore.session import Session  # noqa: PLC0415
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415

    service = "aoss" if ".aoss." in hostname else "es"
    return AWS4Auth(region=region, service=service, refreshable_credentials=Session().get_credentials())

"""The OpenSearch client: signed when the endpoint is Amazon's; otherwise plain, or with the address's user and password."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from opensearchpy import OpenSearch, RequestsHttpConnection

TIMEOUT_SECONDS: Final = 30
REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:es|aoss|on)\.")  # the domain's, which need not be the function's
AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".on.aws")


def client(endpoint: str, region: str) -> OpenSearch:
    """A client of `endpoint` (`https://...` or `http://...`). Raises `ValueError` for anything else.

    It never retries by itself: who delivers decides, document by document.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"OPENSEARCH_URL must be an http(s) address, not {endpoint!r}")
    secure = parts.scheme == "https"
    return OpenSearch(
        hosts=[{"host": parts.hostname, "port": parts.port or (443 if secure else 80), "url_prefix": parts.path.strip("/")}],
        http_auth=_signature(parts.hostname, region) if parts.hostname.endswith(AMAZON) else _basic(parts),
        connection_class=RequestsHttpConnection,
        use_ssl=secure,
        verify_certs=secure,
        timeout=TIMEOUT_SECONDS,
        max_retries=0,
    )


def _basic(parts: SplitResult) -> tuple[str, str] | None:
    return (unquote(parts.username), unquote(parts.password)) if parts.username and parts.password else None


def _signature(hostname: str, region: str) -> Any:
    """SigV4 by credentials that renew themselves; botocore is imported where it is needed (it costs 100 ms)."""
    from botocore.session import Session  # noqa: PLC0415
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415

    credentials = Session().get_credentials()
    if credentials is None:
        raise ValueError(f"no AWS credentials to sign requests to {hostname} with")
    found = REGION.search(hostname)
    return AWS4Auth(
        region=found.group(1) if found else region, service="aoss" if ".aoss." in hostname else "es", refreshable_credentials=credentials
    )

"""The connection to OpenSearch: with the address's user and password, or signed when the endpoint is Amazon's, or plain."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from opensearchpy import RequestsHttpConnection

REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:es|aoss|on)\.")  # the domain's, which need not be the function's
AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".on.aws")

# It warns of every failed request, with a traceback; what failed and why is in the outcome.
logging.getLogger("opensearch").setLevel(logging.ERROR)


class Keys(NamedTuple):
    """AWS credentials, as botocore names their parts."""

    access_key: str
    secret_key: str
    token: str | None

    def get_frozen_credentials(self) -> Keys:
        """Themselves: they do not change while they last."""
        return self


def connect(endpoint: str, environment: Mapping[str, str]) -> RequestsHttpConnection:
    """A connection to `endpoint` (`https://...` or `http://...`), signed with what `environment` says where it is Amazon's.

    A user and password in the address come before a signature: a domain with users of its own takes either, and never both.
    Raises `ValueError` for another address, and where there is nothing to sign with. It never retries by itself: who
    delivers decides, document by document.
    """
    parts, hostname, port = _address(endpoint)
    secure = parts.scheme == "https"
    user = _basic(parts)
    signed = hostname.endswith(AMAZON) and not user
    return RequestsHttpConnection(
        host=hostname,
        port=port or (443 if secure else 80),
        url_prefix=parts.path.strip("/"),
        http_auth=_signature(hostname, environment) if signed else user,
        use_ssl=secure,
        verify_certs=secure,
    )


def _address(endpoint: str) -> tuple[SplitResult, str, int | None]:
    with suppress(ValueError):  # a bracket that is not closed, a port that is no number
        parts = urlsplit(endpoint)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return parts, parts.hostname, parts.port
    shown = endpoint.rpartition("@")[2]  # without a password
    raise ValueError(f"OPENSEARCH_URL must be an http(s) address, not {shown!r}")


def _basic(parts: SplitResult) -> tuple[str, str] | None:
    return (unquote(parts.username), unquote(parts.password)) if parts.username and parts.password else None


def _signature(hostname: str, environment: Mapping[str, str]) -> Any:
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415  only where something is signed

    found = REGION.search(hostname)
    region = found.group(1) if found else environment.get("AWS_REGION")
    if not region:
        raise ValueError(f"OPENSEARCH_URL names no region to sign for: {hostname}")
    return AWS4Auth(
        region=region,
        service="aoss" if ".aoss." in hostname else "es",
        refreshable_credentials=_credentials(hostname, environment),
    )


def _credentials(hostname: str, environment: Mapping[str, str]) -> Any:
    """The keys that Lambda puts into the environment, which outlast the instance that they are put into; elsewhere botocore's.

    botocore would take the same keys first, and its import costs as much as half of opensearch-py's.
    """
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Keys(key, secret, environment.get("AWS_SESSION_TOKEN"))
    from botocore.session import Session  # noqa: PLC0415

    credentials = Session().get_credentials()
    if credentials is None:
        raise ValueError(f"no AWS credentials to sign requests to {hostname} with")
    return credentials

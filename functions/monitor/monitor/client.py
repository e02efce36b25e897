"""The connection to OpenSearch: with the address's user and password, or signed when the endpoint is Amazon's, or plain."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from opensearchpy import RequestsHttpConnection

from .address import PASSWORD, address
from .exchange import Connection

REGION: Final = re.compile(
    r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:es|on)\."
)  # the domain's, which need not be the function's
LONGEST_ANSWER: Final = 64 * 1024 * 1024  # bytes: many times what the answer to a whole chunk has
AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".on.aws")

# It warns of every failed request, with a traceback. The outcome already holds each failure and its
# reason.
logging.getLogger("opensearch").setLevel(logging.ERROR)


class Keys(NamedTuple):
    """AWS credentials, as botocore names their parts."""

    access_key: str
    secret_key: str
    token: str | None

    def get_frozen_credentials(self) -> Keys:
        """Return these keys: they do not change while they are valid."""
        return self


def connect(
    endpoint: str, environment: Mapping[str, str], user: str | None = None
) -> RequestsHttpConnection:
    """A connection to `endpoint`, signed with the keys of `environment` where it is Amazon's.

    With a login nothing is signed, because a domain with users of its own accepts a login or a
    signature, but never both. A login is in the address, or it is `user` with `OPENSEARCH_PASSWORD`
    of `environment`. Raises `ValueError` for an address that cannot be used, and where no
    credentials are found. The connection never retries by itself: the caller decides.
    """
    found = address(endpoint, user=user, password=environment.get(PASSWORD))
    secure = found.scheme == "https"
    signed = found.host.endswith(AMAZON) and not found.login
    connection = Connection(
        LONGEST_ANSWER,
        host=found.host,
        port=found.port,
        url_prefix=found.path,
        http_auth=_signature(found.host, environment)
        if signed
        else found.login and found.login.encoded(),
        use_ssl=secure,
        verify_certs=secure,
    )
    if not connection.session.auth:
        connection.session.auth = _anonymous
    return connection


def _anonymous(request: Any) -> Any:
    """Adds no login. Without it requests would send a password from ~/.netrc."""
    return request


def _signature(hostname: str, environment: Mapping[str, str]) -> Any:
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415  only where something is signed

    found = REGION.search(hostname)
    region = found.group(1) if found else environment.get("AWS_REGION")
    if not region:
        raise ValueError(f"OPENSEARCH_URL names no region to sign for: {hostname}")
    return AWS4Auth(
        region=region,
        service="es",
        refreshable_credentials=_credentials(hostname, environment),
    )


def _credentials(hostname: str, environment: Mapping[str, str]) -> Any:
    """The keys in Lambda's environment variables, which stay valid as long as the instance runs; elsewhere those of botocore.

    botocore would take the same keys first, but its import takes half as long as that of
    opensearch-py.
    """
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Keys(key, secret, environment.get("AWS_SESSION_TOKEN"))
    from botocore.session import Session  # noqa: PLC0415

    credentials = Session().get_credentials()
    if credentials is None:
        raise ValueError(f"no AWS credentials to sign requests to {hostname} with")
    return credentials

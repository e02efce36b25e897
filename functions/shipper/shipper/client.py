"""Makes the connection to OpenSearch.

If there are a user and a password, the connection sends them. Otherwise it signs requests to an
endpoint of Amazon, and sends all other requests without a login.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from opensearchpy import RequestsHttpConnection

from .address import PASSWORD, address
from .timed_exchange import Connection

# The region in a domain's address. It may differ from the function's region.
REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:es|on)\.")
# The size limit of an answer, in bytes. The answer to the largest request is many times shorter.
LONGEST_ANSWER: Final = 64 * 1024 * 1024
AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".on.aws")

# opensearch-py logs a warning with a traceback for each failed request. The warning is not needed:
# the caller gets and reports the reason of each failure.
logging.getLogger("opensearch").setLevel(logging.ERROR)


class Keys(NamedTuple):
    """AWS credentials. The fields have the names that botocore uses."""

    access_key: str
    secret_key: str
    token: str | None

    def get_frozen_credentials(self) -> Keys:
        """Return these keys. requests-aws4auth calls this method before it signs a request."""
        return self


def connect(
    endpoint: str, environment: Mapping[str, str], user: str | None = None
) -> RequestsHttpConnection:
    """Return a connection to `endpoint`. It sends each request once: the caller decides on retries.

    - Login: the user and the password are those in the address. If the address lacks them, the user
      is `user`, and the password is `OPENSEARCH_PASSWORD` of `environment`.
    - Signature: requests to Amazon are signed with the AWS keys in `environment`, but only if there
      is no login. A domain with its own users accepts a login or a signature, but never both.

    Raises `ValueError` if the address cannot be used, or if AWS keys are needed but not found.
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
    """Add no login to the request.

    Without this function, the requests library would send a password from ~/.netrc.
    """
    return request


def _signature(hostname: str, environment: Mapping[str, str]) -> Any:
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415  needed only if requests are signed

    found = REGION.search(hostname)
    region = found.group(1) if found else environment.get("AWS_REGION")
    if not region:
        raise ValueError(f"OPENSEARCH_URL names no AWS region for the signature: {hostname}")
    return AWS4Auth(
        region=region,
        service="es",
        refreshable_credentials=_credentials(hostname, environment),
    )


def _credentials(hostname: str, environment: Mapping[str, str]) -> Any:
    """Return the AWS keys in `environment`, or, if there are none, the keys that botocore finds.

    Lambda sets the variables of the keys, and the keys stay valid as long as the instance runs.
    botocore would find the same keys, but importing botocore costs time: half as much as importing
    opensearch-py.
    """
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Keys(key, secret, environment.get("AWS_SESSION_TOKEN"))
    from botocore.session import Session  # noqa: PLC0415

    credentials = Session().get_credentials()
    if credentials is None:
        raise ValueError(f"there are no AWS credentials to sign requests to {hostname}")
    return credentials

"""Send requests to a server with a JSON API.

The module signs in, waits for a server that is starting, and turns each refusal into a sentence.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, NamedTuple

import requests
from urllib3.exceptions import NameResolutionError

from installer.address import PASSWORD, Address, address

AMAZON: Final = (".es.amazonaws.com", ".es.amazonaws.com.cn", ".on.aws")
REGION: Final = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.(?:es|on)\.")
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
# Statuses of a server that is starting: "Kibana server is not ready yet", "OpenSearch Security not
# initialized", or an answer of a proxy in front of the server.
STARTING: Final = {502, 503}
PAUSE_SECONDS: Final = 1.0
REASON_CHARACTERS: Final = 300
BY_HAND: Final = (
    "write the saved objects into a file with python -m installer export, "
    "and import the file in Dashboards (Management)"
)

type Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class UserError(Exception):
    """The reason to stop a command, in one sentence that says what to do."""


class PeopleOnly(UserError):
    """The server signs people in on a web page, which no command can use."""


class Answer(NamedTuple):
    """The status and the JSON object of an answer."""

    status: int
    body: dict[str, Any]


class Server:
    """A server at an address.

    `wait` is the time in seconds to wait for a server that is starting. `ends` is the time on the
    monotonic clock by which the command must have ended.
    """

    def __init__(
        self,
        name: str,
        url: str,
        auth: Auth,
        *,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
        ends: float = math.inf,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.url = url
        self._session = requests.Session()
        self._session.auth = auth
        self._session.headers.update(headers or {})
        self._patience = min(time.monotonic() + wait, ends)
        self._ends = ends
        self._say = say

    def ask(self, method: str, path: str, *, also: Container[int] = (), **content: Any) -> Answer:
        """Send a request, and return the answer. A server that is starting is asked again.

        Raises `UserError` if no answer comes, and for every error status that is not in
        `also`.
        """
        what = f"{method} {path.partition('?')[0]}"
        while True:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise UserError(
                    f"time ran out before {self.name} was asked for {what}: run this again"
                )
            timeout = min(CONNECT_SECONDS, left), min(ANSWER_SECONDS, left)
            patient = time.monotonic() + PAUSE_SECONDS < self._patience
            try:
                # A redirect could send the password to somebody else.
                response = self._session.request(
                    method, self.url + path, timeout=timeout, allow_redirects=False, **content
                )
            except requests.RequestException as problem:
                if not (patient and _may_be_starting(problem)):
                    raise UserError(self._unreachable(problem)) from problem
            else:
                if not (patient and response.status_code in STARTING):
                    return self._answer(response, what, also)
            self._say(f"waiting for {self.name} at {self.url}")
            self._say = lambda _: None  # the message is printed once
            time.sleep(PAUSE_SECONDS)

    def _unreachable(self, problem: requests.RequestException) -> str:
        where = f"{self.name} at {self.url}"
        if isinstance(problem, requests.exceptions.SSLError):
            return (
                f"the certificate of {where} is not trusted here: "
                "set REQUESTS_CA_BUNDLE to a file with the certificate of the authority that "
                "signed it"
            )
        if isinstance(problem, requests.Timeout):
            return (
                f"{where} does not answer: check the address and the network, "
                "and whether the server permits requests from this machine"
            )
        return f"{where} cannot be reached: check the address, and that the server runs"

    def _sent_on(self, target: str, what: str) -> UserError:
        if "amazoncognito.com" in target:
            return PeopleOnly(
                f"people sign in to {self.name} at {self.url} on a page of Cognito, "
                f"which no command can use: {BY_HAND}"
            )
        return UserError(
            f"{self.name} at {self.url} redirects {what} to {target or 'nowhere'}: "
            "give the address of the server itself"
        )

    def _not_permitted(self, status: int, what: str, reason: str) -> UserError:
        where = f"{self.name} at {self.url}"
        if status == 401:
            return UserError(
                f"{where} does not accept the user (401: {reason}): check name and password "
                f"(--user with {PASSWORD}, NAME:PASSWORD@ in the address, or the stack's secret)"
            )
        if "User: anonymous" in reason:
            return UserError(
                f"{where} asks for a signature or a user (403: {reason}): give --user, "
                "or --sign REGION for an Amazon domain with a custom endpoint"
            )
        return UserError(
            f"{self.name} does not permit {what} (403: {reason}): sign in as an administrator, "
            "or ask an administrator to map your user or IAM role to a security role that permits "
            "this, such as all_access (a stack's installer uses the IAM role in the stack's output "
            "InstallerRole)"
        )

    def _answer(self, response: requests.Response, what: str, also: Container[int]) -> Answer:
        status = response.status_code
        if 300 <= status < 400:
            raise self._sent_on(response.headers.get("location", "").partition("?")[0], what)
        try:
            body = response.json()
        except ValueError:
            body = None
        why = reason(body if body is not None else response.text)
        if status in {401, 403} and why.endswith("is not allowed.") and 404 in also:
            return Answer(404, {})  # an Amazon domain's answer for a path that it does not serve
        if status == 401 or (status == 403 and status not in also):
            raise self._not_permitted(status, what, why)
        if status in STARTING:
            raise UserError(
                f"{self.name} at {self.url} is not ready ({status}: {why}): "
                "look at the server, or give --wait more seconds"
            )
        if not isinstance(body, dict):  # every expected answer is an object
            raise UserError(
                f"{self.name} at {self.url} answers {what} with {status} and no JSON object "
                f"({why}): check address and base path"
            )
        if status >= 400 and status not in also:
            raise UserError(
                f"{self.name} at {self.url} refuses {what} ({status}: {why}): "
                "check its version and its log"
            )
        return Answer(status, body)


def server_address(
    text: str, name: str, user: str | None = None, password: str | None = None
) -> Address:
    """Return the address in `text`. If `text` has no login, `user` and `password` are used.

    Raises `UserError`.
    """
    try:
        return address(text, name, user, password)
    except ValueError as problem:
        raise UserError(str(problem)) from None


def sign_in(where: Address, region: str | None = None) -> Auth:
    """Return a function that adds the login to each request to a server.

    - If the address has a login, this login is used.
    - If the address has no login, and `region` is given or the host is Amazon's, requests are
      signed with AWS credentials. Raises `UserError` if the credentials or the region are missing.
    - Otherwise requests have no login.
    """
    if where.login:
        return requests.auth.HTTPBasicAuth(*where.login.encoded())
    return _signature(where.host, region) if region or is_amazon(where) else anonymous


def is_amazon(where: Address) -> bool:
    """Return whether an address is the default endpoint of an Amazon OpenSearch domain."""
    return where.host.endswith(AMAZON)


def anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no login to a request.

    Without this function, the library requests would take a password from ~/.netrc.
    """
    return request


def _signature(hostname: str, given: str | None) -> Auth:
    # imported here, because only signing needs these packages
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415

    found = REGION.search(hostname)
    region = given or (found.group(1) if found else os.environ.get("AWS_REGION"))
    if not region:
        raise UserError(f"{hostname} names no AWS region, which a signature needs: set AWS_REGION")
    try:
        credentials = Session().get_credentials()
        if credentials:
            # An expired login is noticed here, before any request.
            credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError) as problem:
        raise UserError(
            f"AWS credentials cannot be read ({' '.join(str(problem).split())}): "
            "sign in to AWS, or set AWS_PROFILE"
        ) from problem
    if credentials is None:
        raise UserError(
            f"there are no AWS credentials to sign requests to {hostname}: "
            "set AWS_PROFILE, or give --user"
        )
    auth: Auth = AWS4Auth(region=region, service="es", refreshable_credentials=credentials)
    return auth


def _may_be_starting(problem: requests.RequestException) -> bool:
    """Return whether the server may be starting, so that waiting can help.

    Waiting does not help if the host name is unknown or the certificate is wrong.
    """
    if isinstance(problem, requests.exceptions.SSLError) or not isinstance(
        problem, requests.ConnectionError | requests.Timeout
    ):
        return False
    cause = problem.args[0] if problem.args else None
    return not isinstance(getattr(cause, "reason", None), NameResolutionError)


def reason(body: Any) -> str:
    """Return the message in an answer.

    The message's place differs between OpenSearch, Dashboards, their security plugins and Amazon.
    """
    if isinstance(body, dict):
        error = body.get("error")
        found = (
            error.get("reason")
            if isinstance(error, dict)
            else body.get("message") or body.get("Message") or error or body
        )
    else:
        found = body
    words = " ".join(str(found).split()) or "no message"
    return words if len(words) <= REASON_CHARACTERS else f"{words[:REASON_CHARACTERS]}..."

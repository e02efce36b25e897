"""Reads the address of a server: `https://[NAME:PASSWORD@]HOST[:PORT][/PATH]`.

The shipper, the installer and the monitor each have a copy of this file. A test checks that the
copies are equal. No error message of this module quotes an address, because an address may contain
a password. Cutting out the password is not safe, because the end of a wrongly escaped password is
not known.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

PASSWORD: Final = "OPENSEARCH_PASSWORD"  # noqa: S105  the name of an environment variable
GRAMMAR: Final = "https://HOST, https://HOST:PORT/PATH or https://NAME:PASSWORD@HOST"
ESCAPES: Final = (
    "a password's special characters must be escaped: "
    "/ as %2F, ? as %3F, # as %23, @ as %40, % as %25"
)


class Login(NamedTuple):
    """A user's name and password."""

    name: str
    password: str

    def encoded(self) -> tuple[bytes, bytes]:
        """Return name and password as UTF-8 bytes.

        The requests library sends bytes unchanged, but encodes text as Latin-1.
        """
        return self.name.encode(), self.password.encode()


class Address(NamedTuple):
    """The parts of a server's address.

    `path` has no slash at its beginning or end. `login` is None if neither the address nor the
    caller names a user.
    """

    scheme: str
    host: str
    port: int
    path: str
    login: Login | None

    @property
    def url(self) -> str:
        """The address without name and password, so that it can be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _port(self.scheme)
        port = "" if usual else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path and '/'}{self.path}"


def address(
    text: str, name: str = "OPENSEARCH_URL", user: str | None = None, password: str | None = None
) -> Address:
    """Read an address.

    `user` and `password` are the login if the address does not contain one. `name` is the option or
    environment variable to mention in error messages. Spaces around the address are ignored. Raises
    `ValueError` with one sentence that does not quote the address.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:  # for instance because a bracket is not closed, or the port is not a number
        raise ValueError(f"{name} must be an http(s) address: {GRAMMAR}; {ESCAPES}") from None
    if (
        parts.scheme not in {"http", "https"}
        or not host
        or port == 0
        or any(map(str.isspace, host))
    ):
        raise ValueError(f"{name} must be an http(s) address: {GRAMMAR}")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(f"{name} has an @ after its host; {ESCAPES}")
    if parts.query or parts.fragment:
        raise ValueError(f"{name} must end with the path: it cannot hold a ? or a #")
    if ".aoss." in host:
        raise ValueError(
            f"{name} is a collection of OpenSearch Serverless, which is not supported: "
            "use an OpenSearch domain"
        )
    login = _login(
        unquote(parts.username or ""), unquote(parts.password or ""), name, user, password
    )
    return Address(
        parts.scheme,
        host,
        _port(parts.scheme) if port is None else port,
        parts.path.strip("/"),
        login,
    )


def _login(
    named: str, secret: str, name: str, user: str | None, password: str | None
) -> Login | None:
    """Return the login, or None if no user is named.

    `named` and `secret` are the user and the password in the address. An empty `named` is replaced
    by `user`, and an empty `secret` by `password`.
    """
    if secret and not named:
        raise ValueError(
            f"{name} has a password without a name: write NAME:PASSWORD@ before the host"
        )
    if user and named and user != named:
        raise ValueError(f"the user in {name} differs from --user: give one of them")
    who = named or user
    if not who:
        return None
    found = secret or password
    if not found:
        raise ValueError(
            f"the user {who} needs a password: set the environment variable {PASSWORD}"
        )
    return Login(who, found)


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80

"""Tests how an address is split into its parts. Messages must not show a password."""

from __future__ import annotations

import re
import traceback

import pytest

from shipper.address import Address, Login, address

SECRET = "quokka"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org", Address("https", "example.org", 443, "", None)),
        ("http://example.org", Address("http", "example.org", 80, "", None)),
        (" https://example.org/\n", Address("https", "example.org", 443, "", None)),
        ("https://EXAMPLE.org:9200/a/b/", Address("https", "example.org", 9200, "a/b", None)),
        ("http://[::1]:9200", Address("http", "::1", 9200, "", None)),
        ("https://me:it@example.org", Address("https", "example.org", 443, "", Login("me", "it"))),
        ("https://me:p%40%2F%3A@h", Address("https", "h", 443, "", Login("me", "p@/:"))),
        ("https://me:p@ss:word@h", Address("https", "h", 443, "", Login("me", "p@ss:word"))),
        ("https://a%20b:%E2%82%AC@h", Address("https", "h", 443, "", Login("a b", "€"))),
    ],
)
def test_an_address_is_read(text: str, expected: Address) -> None:
    assert address(text) == expected


@pytest.mark.parametrize(
    ("text", "user", "password", "login"),
    [
        ("https://h", None, None, None),
        ("https://h", None, SECRET, None),
        ("https://h", "me", SECRET, Login("me", SECRET)),
        ("https://me@h", None, SECRET, Login("me", SECRET)),
        ("https://me@h", "me", SECRET, Login("me", SECRET)),
        ("https://me:own@h", None, SECRET, Login("me", "own")),
        ("https://me:own@h", "me", SECRET, Login("me", "own")),
    ],
)
def test_a_login_is_read_from_the_address_or_the_arguments(
    text: str, user: str | None, password: str | None, login: Login | None
) -> None:
    assert address(text, user=user, password=password).login == login


@pytest.mark.parametrize(
    ("text", "user", "said"),
    [
        (
            "https://me@h",
            None,
            "the user me needs a password: set the environment variable OPENSEARCH_PASSWORD",
        ),
        (
            "https://h",
            "me",
            "the user me needs a password: set the environment variable OPENSEARCH_PASSWORD",
        ),
        (f"https://:{SECRET}@h", None, "NAME has a password without a name"),
        (f"https://you:{SECRET}@h", "me", "the user in NAME differs from --user"),
        ("https://h?pretty", None, "NAME must end with the path"),
        ("https://h/#top", None, "NAME must end with the path"),
        (
            "https://abc.eu-central-1.aoss.amazonaws.com",
            None,
            "NAME is a collection of OpenSearch Serverless, which is not supported",
        ),
        ("https://h:0", None, "NAME must be an http(s) address"),
        ("https://a b", None, "NAME must be an http(s) address"),
    ],
)
def test_the_message_about_an_unusable_address_is_one_sentence(
    text: str, user: str | None, said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as raised:
        address(text, "NAME", user=user)
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "1",
        "12/",
        "a/",
        "a?",
        "a#",
        "a[",
        "a]",
        "a%",
        "a\\",
        "a@b/",
        "[",
        " ",
        "1/2?",
        "\t",
        "é/",
    ],
)
@pytest.mark.parametrize(
    "around", ["https://me:{}@example.org", "https:/me:{}@h", "me:{}@h", "https://me:{}@h:x"]
)
def test_a_password_is_never_shown_and_never_read_as_a_host(around: str, before: str) -> None:
    """If a password is escaped wrongly, the password is still found, or the address is refused.

    The error message does not show the password.
    """
    try:
        found = address(around.format(before + SECRET))
    except ValueError as problem:
        said = "".join(traceback.format_exception(problem))
    else:
        said = found.url
        assert (found.host, found.login and found.login.password[-len(SECRET) :]) == (
            "example.org",
            SECRET,
        )
    assert SECRET not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://me:{SECRET}@example.org:443/a/", "https://example.org/a"),
        (f"http://me:{SECRET}@[::1]:9200", "http://[::1]:9200"),
    ],
)
def test_an_address_is_shown_without_its_login(text: str, shown: str) -> None:
    assert address(text).url == shown

"""Tests how requests are signed, and that no secret is logged when a request fails."""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from opensearchpy import RequestsHttpConnection

from shipper.bulk import Verdict, body, send
from shipper.client import connect
from tests.unit.conftest import CLOSE, TEXT, UNPARSED, Answer, Bulk, Request, as_json, made, problem
from tools.root import ROOT

SHIPPER = ROOT / "functions" / "shipper"
SCOPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/(\w+)/aws4_request, "
    r"SignedHeaders=([\w;-]+), Signature=(\w{64})"
)
KEYS = {
    "AWS_ACCESS_KEY_ID": "FIRSTKEY",
    "AWS_SECRET_ACCESS_KEY": "first-secret",
    "AWS_REGION": "us-east-1",
}
DOMAIN = "http://search-abc.us-east-1.es.amazonaws.com"
AMAZON = {"authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256"}

Send = Callable[[str, Mapping[str, str]], Request]


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all AWS credentials, except those that a test sets."""
    for name in (
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "SECURITY_TOKEN",
        "CREDENTIAL_EXPIRATION",
        "PROFILE",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("RELATIVE_URI", "FULL_URI"):
        monkeypatch.delenv(f"AWS_CONTAINER_CREDENTIALS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def send_to(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Return a function that sends a request to an http address and returns the request.

    The test server is the proxy, so the address need not exist.
    """
    monkeypatch.setenv("http_proxy", bulk.url)

    def send_one(endpoint: str, environment: Mapping[str, str]) -> Request:
        with closing(connect(endpoint, environment)) as found:
            send_document(found)
        return bulk.requests[-1]

    return send_one


def send_document(connection: RequestsHttpConnection) -> list[Verdict] | Verdict:
    return send(body(made("1")), 1, connection, 10.0)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://opensearch.example.org",
        "http://amazonaws.com.example.org",
        "http://search.es.amazonaws.com.example.org",
        "http://notamazonaws.com",
        "http://on.aws.example.org",
    ],
)
def test_requests_to_a_server_outside_of_amazon_are_not_signed(
    send_to: Send, endpoint: str
) -> None:
    assert not AMAZON & set(send_to(endpoint, KEYS).headers)


@pytest.mark.parametrize(
    ("end", "path"),
    [("", "/_bulk"), ("/", "/_bulk"), ("/behind/a/proxy/", "/behind/a/proxy/_bulk")],
    ids=["no path", "slash", "path"],
)
def test_an_address_may_have_a_path(bulk: Bulk, end: str, path: str) -> None:
    with closing(connect(bulk.url + end, KEYS)) as found:
        send_document(found)
    (request,) = bulk.requests
    assert not AMAZON & set(request.headers)
    assert urlsplit(request.target).path == path


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        pytest.param("writer:secret@", "writer:secret", id="user and password"),
        pytest.param("writer:p%40ss%3A%2F@", "writer:p@ss:/", id="escaped"),
        pytest.param("writer:pass%E2%82%ACword@", "writer:pass€word", id="beyond Latin-1"),
        pytest.param("", None, id="no user"),
    ],
)
def test_the_user_and_password_of_the_address_are_sent(
    bulk: Bulk, login: str, expected: str | None
) -> None:
    with closing(connect(bulk.url.replace("//", f"//{login}"), KEYS)) as found:
        send_document(found)
    (request,) = bulk.requests
    assert request.headers.get("authorization") == (
        f"Basic {b64encode(expected.encode()).decode()}" if expected else None
    )
    assert "secret" not in request.target


@pytest.mark.parametrize(
    ("host", "region", "service"),
    [
        ("search-records-abc.eu-west-1.es.amazonaws.com", "eu-west-1", "es"),
        ("SEARCH-records-abc.eu-west-1.es.AmazonAWS.com", "eu-west-1", "es"),
        ("vpc-records-abc.cn-north-1.es.amazonaws.com.cn", "cn-north-1", "es"),
        ("search-records-abc.us-gov-west-1.es.amazonaws.com", "us-gov-west-1", "es"),
        ("search-records-abc.aos.ap-southeast-2.on.aws", "ap-southeast-2", "es"),
        ("a-name-of-our-own.amazonaws.com", "us-east-1", "es"),
    ],
)
def test_requests_to_amazon_have_a_valid_signature(
    send_to: Send, host: str, region: str, service: str
) -> None:
    """The region comes from the host name, or from AWS_REGION if the host name has no region."""
    request = send_to(f"http://{host}:9200", KEYS)
    scope = SCOPE.fullmatch(request.headers["authorization"])
    assert scope
    key, day, signed_region, signed_service, names, signature = scope.groups()
    assert (key, signed_region, signed_service) == ("FIRSTKEY", region, service)
    assert day == request.headers["x-amz-date"][:8]
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names.split(";"))
    assert request.headers["x-amz-content-sha256"] == hashlib.sha256(request.raw).hexdigest()
    assert signature == signature_by_botocore(request, names.split(";"), region, service)


@pytest.mark.parametrize(
    "login", [None, "writer:secret@"], ids=["no user", "a user in the address"]
)
def test_a_password_file_is_never_read(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str | None
) -> None:
    """The library `requests` takes a password from ~/.netrc if that file lists the host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with closing(connect(bulk.url.replace("//", f"//{login or ''}"), KEYS)) as found:
        send_document(found)
    (request,) = bulk.requests
    expected = f"Basic {b64encode(b'writer:secret').decode()}" if login else None
    assert request.headers.get("authorization") == expected


def test_a_request_to_amazon_with_a_user_and_password_is_not_signed(
    send_to: Send,
) -> None:
    """A domain that has users with passwords does not accept signatures."""
    request = send_to("http://writer:secret@search-abc.us-east-1.es.amazonaws.com:9200", {})
    assert request.headers["authorization"] == f"Basic {b64encode(b'writer:secret').decode()}"
    assert (AMAZON & set(request.headers)) == {"authorization"}


def signature_by_botocore(request: Request, names: list[str], region: str, service: str) -> str:
    target = urlsplit(request.target)
    query = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in sorted(parse_qsl(target.query))
    )
    headers = {name: request.headers[name] for name in names}
    witness = AWSRequest(
        request.method,
        f"http://{request.headers['host']}{target.path}?{query}",
        headers=headers,
        data=request.raw,
    )
    witness.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials("FIRSTKEY", "first-secret"), service, region)
    return str(
        signer.signature(signer.string_to_sign(witness, signer.canonical_request(witness)), witness)
    )


@pytest.mark.parametrize("token", [None, "a-token"], ids=["no token", "a token"])
def test_the_session_token_is_sent(send_to: Send, token: str | None) -> None:
    headers = send_to(DOMAIN, KEYS | ({"AWS_SESSION_TOKEN": token} if token else {})).headers
    assert headers.get("x-amz-security-token") == token
    assert ("x-amz-security-token" in headers["authorization"]) == bool(token)


def test_every_request_is_signed_anew(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", bulk.url)
    with closing(connect(DOMAIN, KEYS | {"AWS_SESSION_TOKEN": "a-token"})) as found:
        send(body(made("1")), 1, found, 10.0)
        send(body(made("2")), 1, found, 10.0)
    assert len({request.headers["authorization"] for request in bulk.requests}) == 2
    assert {request.headers["x-amz-security-token"] for request in bulk.requests} == {"a-token"}
    assert bulk.ids == ["1", "2"]


# --- the keys


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="none"),
        pytest.param({"AWS_ACCESS_KEY_ID": "FIRSTKEY"}, id="no secret"),
        pytest.param({"AWS_SECRET_ACCESS_KEY": "first-secret"}, id="no key"),
        pytest.param({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, id="empty"),
    ],
)
def test_botocore_finds_the_keys_if_the_environment_has_none(
    send_to: Send, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str]
) -> None:
    profile = tmp_path / "credentials"
    profile.write_text(
        "[default]\naws_access_key_id=PROFILEKEY\naws_secret_access_key=s\naws_session_token=profile-token\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    headers = send_to(DOMAIN, environment).headers
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=PROFILEKEY/")
    assert headers["x-amz-security-token"] == "profile-token"
    assert (
        send_to(DOMAIN, KEYS)
        .headers["authorization"]
        .startswith("AWS4-HMAC-SHA256 Credential=FIRSTKEY/")
    )


def test_keys_from_botocore_are_renewed(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", bulk.url)
    soon = datetime.now(UTC) + timedelta(minutes=5)  # botocore renews keys that expire soon
    for name, value in (
        KEYS | {"AWS_CREDENTIAL_EXPIRATION": soon.isoformat(), "AWS_SESSION_TOKEN": "first-token"}
    ).items():
        monkeypatch.setenv(name, value)
    with closing(connect(DOMAIN, {})) as found:
        send_document(found)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SECONDKEY")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "second-token")
        send_document(found)
    used = [
        (request.headers["authorization"].split("/")[0], request.headers["x-amz-security-token"])
        for request in bulk.requests
    ]
    assert used == [
        ("AWS4-HMAC-SHA256 Credential=FIRSTKEY", "first-token"),
        ("AWS4-HMAC-SHA256 Credential=SECONDKEY", "second-token"),
    ]


def test_missing_keys_are_an_error_at_the_start() -> None:
    with pytest.raises(
        ValueError,
        match=r"there are no AWS credentials to sign requests to "
        r"search-abc\.us-east-1\.es\.amazonaws\.com",
    ):
        connect(DOMAIN, {})


@pytest.mark.parametrize(
    ("endpoint", "absent"),
    [
        (DOMAIN, ["botocore", "boto3", "grpc"]),
        ("http://127.0.0.1:9200", ["botocore", "boto3", "requests_aws4auth", "grpc"]),
    ],
    ids=["signed", "plain"],
)
def test_a_connection_imports_no_more_than_it_needs(endpoint: str, absent: list[str]) -> None:
    program = (
        "import sys; from shipper.client import connect; "
        f"connect({endpoint!r}, {KEYS!r}).close(); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=SHIPPER, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "requests" in loaded
    assert [name for name in absent if name in loaded] == []


# --- the address


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:9200",
        "search.es.amazonaws.com",
        "ftp://example.org",
        "file:///etc/passwd",
        "//example.org",
        "https://",
        "https://:9200",
        "https://example.org:port",
        "https://example.org:99999",
        "https://[::1",
        "",
    ],
)
def test_the_error_about_a_wrong_address_names_the_variable(endpoint: str) -> None:
    with pytest.raises(ValueError, match=re.escape("OPENSEARCH_URL must be an http(s) address")):
        connect(endpoint, KEYS)


@pytest.mark.parametrize(
    "endpoint",
    [
        "htps://writer:secret@example.org",
        "https://writer:secret@example.org:port",
        "writer:secret@",
    ],
)
def test_the_error_about_a_wrong_address_does_not_show_the_password(endpoint: str) -> None:
    with pytest.raises(ValueError, match="OPENSEARCH_URL must be an http") as raised:
        connect(endpoint, KEYS)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("scheme", "port", "verified"), [("http", 80, False), ("https", 443, True)]
)
def test_the_scheme_decides_the_port_and_whether_certificates_are_checked(
    scheme: str, port: int, *, verified: bool
) -> None:
    with closing(connect(f"{scheme}://example.org", {})) as found:
        assert found.host == f"{scheme}://example.org:{port}"
        assert bool(found.session.verify) is verified


# --- nothing is logged


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(CLOSE, id="closed"),
        pytest.param(Answer(200, "text/html", f"<html>{TEXT}".encode()), id="HTML"),
        pytest.param(Answer(503, "text/html", f"<html>{TEXT}".encode()), id="503"),
        pytest.param(as_json(400, problem("parse_exception", TEXT)), id="400"),
        pytest.param(as_json(413, {"Message": TEXT}), id="413"),
        pytest.param(
            Answer(307, "text/plain", TEXT.encode(), (("location", "/elsewhere"),)), id="redirect"
        ),
        pytest.param(None, id="a refused document"),
    ],
)
def test_failures_are_not_logged_by_the_library(
    bulk: Bulk, caplog: pytest.LogCaptureFixture, answer: Answer | None
) -> None:
    """The library would log each failure with a traceback, and at level DEBUG also the body."""
    bulk.refuse["1"] = UNPARSED
    bulk.answers.append(answer)
    with (
        caplog.at_level(logging.DEBUG),
        closing(connect(bulk.url.replace("//", "//writer:secret@"), {})) as found,
    ):
        send_document(found)
    # Records of the logger opensearchpy.trace are left out, because only pytest reads this logger.
    said = [record for record in caplog.records if record.name != "opensearchpy.trace"]
    assert {record.name for record in said} <= {"urllib3.connectionpool"}
    assert [
        record for record in said if TEXT in record.getMessage() or "secret" in record.getMessage()
    ] == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(503, "text/plain", b""),
        Answer(429, "text/plain", b""),
        Answer(502, "text/plain", b""),
        CLOSE,
    ],
    ids=["503", "429", "502", "closed"],
)
def test_a_connection_never_retries_by_itself(bulk: Bulk, answer: Answer) -> None:
    bulk.always = answer
    with closing(connect(bulk.url, {})) as found:
        send_document(found)
    assert len(bulk.requests) == 1

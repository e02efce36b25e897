from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from shipper import deliver
from shipper.client import client
from shipper.document import Document
from tests.unit.conftest import CLOSE, Answer, Bulk, Request

DOCUMENT = Document("1", "cwl-2026.11.23", b'{"n":1}')
SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/(\w+)/aws4_request, SignedHeaders=([\w;-]+), Signature=(\w{64})")

Send = Callable[[str, str], Request]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FIRSTKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "first-secret")


@pytest.fixture
def send(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> Send:
    """What a client of any http address sends: the server is the proxy, so that the address need not exist."""
    monkeypatch.setenv("http_proxy", bulk.url)

    def send_one(endpoint: str, region: str) -> Request:
        with closing(client(endpoint, region)) as found:
            deliver.bulk([DOCUMENT], found)
        return bulk.requests[-1]

    return send_one


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://opensearch.example.org",
        "http://amazonaws.com.example.org",
        "http://search.es.amazonaws.com.example.org",
        "http://notamazonaws.com",
    ],
)
def test_plain_endpoint_gets_no_signature(send: Send, endpoint: str) -> None:
    headers = send(endpoint, "us-east-1").headers
    assert not {"authorization", "x-amz-security-token", "x-amz-date"} & set(headers)


@pytest.mark.parametrize("end", ["", "/"])
def test_local_endpoint_gets_no_signature(bulk: Bulk, end: str) -> None:
    with closing(client(bulk.url + end, "us-east-1")) as found:
        deliver.bulk([DOCUMENT], found)
    [request] = bulk.requests
    assert "authorization" not in request.headers
    assert urlsplit(request.target).path == "/_bulk"


@pytest.mark.parametrize(
    ("host", "region", "service"),
    [
        ("search-records-abc.eu-west-1.es.amazonaws.com", "eu-west-1", "es"),
        ("SEARCH-records-abc.eu-west-1.es.AmazonAWS.com", "eu-west-1", "es"),
        ("vpc-records-abc.cn-north-1.es.amazonaws.com.cn", "cn-north-1", "es"),
        ("search-records-abc.aos.us-east-1.on.aws", "us-east-1", "es"),
        ("abc.us-east-1.aoss.amazonaws.com", "us-east-1", "aoss"),
    ],
)
def test_amazon_endpoint_gets_a_signature_that_holds(send: Send, host: str, region: str, service: str) -> None:
    request = send(f"http://{host}:9200", region)
    scope = SCOPE.fullmatch(request.headers["authorization"])
    assert scope
    key, day, signed_region, signed_service, names, signature = scope.groups()
    assert (key, signed_region, signed_service) == ("FIRSTKEY", region, service)
    assert day == request.headers["x-amz-date"][:8]
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names.split(";"))
    assert request.headers["x-amz-content-sha256"] == hashlib.sha256(request.raw).hexdigest()
    assert signature == botocores_signature(request, names.split(";"), region, service)


def botocores_signature(request: Request, names: list[str], region: str, service: str) -> str:
    target = urlsplit(request.target)
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(parse_qsl(target.query)))
    headers = {name: request.headers[name] for name in names}
    witness = AWSRequest(request.method, f"http://{request.headers['host']}{target.path}?{query}", headers=headers, data=request.raw)
    witness.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials("FIRSTKEY", "first-secret"), service, region)
    return str(signer.signature(signer.string_to_sign(witness, signer.canonical_request(witness)), witness))


@pytest.mark.parametrize("token", [None, "a-token"])
def test_session_token_travels(send: Send, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    headers = send("http://search-abc.us-east-1.es.amazonaws.com", "us-east-1").headers
    assert headers.get("x-amz-security-token") == token
    assert ("x-amz-security-token" in headers["authorization"]) == bool(token)


def test_renewed_credentials_are_used(bulk: Bulk, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5)  # botocore renews what ends within ten minutes
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", soon.isoformat())
    monkeypatch.setenv("AWS_SESSION_TOKEN", "first-token")
    with closing(client("http://search-abc.us-east-1.es.amazonaws.com", "us-east-1")) as found:
        deliver.bulk([DOCUMENT], found)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "SECONDKEY")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "second-token")
        deliver.bulk([DOCUMENT], found)
    used = [(request.headers["authorization"].split("/")[0], request.headers["x-amz-security-token"]) for request in bulk.requests]
    assert used == [
        ("AWS4-HMAC-SHA256 Credential=FIRSTKEY", "first-token"),
        ("AWS4-HMAC-SHA256 Credential=SECONDKEY", "second-token"),
    ]


@pytest.mark.parametrize(
    "endpoint", ["localhost:9200", "search.es.amazonaws.com", "ftp://example.org", "file:///etc/passwd", "//example.org", "https://", ""]
)
def test_bad_endpoint_is_named(endpoint: str) -> None:
    with pytest.raises(ValueError, match=f"OPENSEARCH_URL must be an http\\(s\\) address, not {endpoint!r}"):
        client(endpoint, "us-east-1")


@pytest.mark.parametrize(
    "answer",
    [Answer(503, "text/plain", b""), Answer(429, "text/plain", b""), Answer(502, "text/plain", b""), CLOSE],
    ids=["503", "429", "502", "closed"],
)
def test_client_never_retries(bulk: Bulk, answer: Answer) -> None:
    bulk.answers.extend([answer] * 5)
    with closing(client(bulk.url, "us-east-1")) as found:
        assert deliver.deliver([DOCUMENT], found).failed == 1
    assert len(bulk.requests) == 1

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from local.gateway import MAX_BODY_BYTES, gateway, http_answer, http_event
from local.runtime import FunctionFailed

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64", "carried"),
    [
        pytest.param("application/json", b'{"a": 1}', False, '{"a": 1}', id="JSON"),
        pytest.param(
            "application/json; charset=utf-8", "ä".encode(), False, "ä", id="JSON with a charset"
        ),
        pytest.param("text/plain", b"words", False, "words", id="text"),
        pytest.param(FORM, b"a=1", True, "YT0x", id="form"),
        pytest.param("application/octet-stream", b"\xff\0", True, "/wA=", id="bytes"),
        pytest.param(None, b"a", True, "YQ==", id="no content type"),
        pytest.param("application/json", b"", False, None, id="JSON type without a body"),
        pytest.param(None, b"", False, None, id="neither content type nor body"),
    ],
)
def test_an_event_has_the_body_as_text_or_as_base64(
    content_type: str | None,
    body: bytes,
    is_base64: bool,
    carried: str | None,
) -> None:
    event = http_event(
        ("POST", "/predict"),
        "/predict",
        {"content-type": content_type} if content_type else {},
        body,
    )
    assert event["isBase64Encoded"] is is_base64
    assert event.get("body") == carried
    assert ("body" in event) == bool(body)


def test_an_event_has_payload_format_2() -> None:
    headers = {"x-trace": "Root=1", "user-agent": "curl"}
    event = http_event(("POST", "/a%20b"), "/a%20b?x=1&y=%C3%A4", headers, b"")
    assert (event["version"], event["routeKey"], event["rawPath"], event["rawQueryString"]) == (
        "2.0",
        "POST /a%20b",
        "/a b",
        "x=1&y=%C3%A4",
    )
    assert event["headers"] == {"x-trace": "Root=1", "user-agent": "curl"}
    assert (
        event["requestContext"]["http"].items()
        >= {"method": "POST", "sourceIp": "127.0.0.1", "userAgent": "curl"}.items()
    )
    assert (
        event["requestContext"]["requestId"]
        != http_event(("POST", "/"), "/", {}, b"")["requestContext"]["requestId"]
    )


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        pytest.param(
            {"label": "ä"},
            200,
            "application/json",
            b'{"label": "\\u00e4"}',
            id="object without a status",
        ),
        pytest.param("words", 200, "application/json", b'"words"', id="string"),
        pytest.param(None, 200, "application/json", b"null", id="null"),
        pytest.param([1], 200, "application/json", b"[1]", id="list"),
        pytest.param(
            {"statusCode": 204}, 204, "text/plain;charset=UTF-8", b"", id="a status without a body"
        ),
        pytest.param(
            {"statusCode": 200, "body": "ä"},
            200,
            "text/plain;charset=UTF-8",
            "ä".encode(),
            id="text",
        ),
        pytest.param(
            {"statusCode": 200, "body": "/wA=", "isBase64Encoded": True},
            200,
            "text/plain;charset=UTF-8",
            b"\xff\0",
            id="base64",
        ),
        pytest.param(
            {"statusCode": 200, "body": "/wA=", "isBase64Encoded": False},
            200,
            "text/plain;charset=UTF-8",
            b"/wA=",
            id="text that looks like base64",
        ),
        pytest.param(
            {"statusCode": 422, "headers": {"content-type": "a/b"}, "body": "{}"},
            422,
            "a/b",
            b"{}",
            id="a content type in the header",
        ),
        pytest.param(
            {"statusCode": 200, "headers": {"Content-Type": "a/b"}, "body": "x"},
            200,
            "a/b",
            b"x",
            id="content type in capitals",
        ),
        pytest.param(
            {"statusCode": 200, "body": None, "headers": None},
            200,
            "text/plain;charset=UTF-8",
            b"",
            id="null body and headers",
        ),
    ],
)
def test_the_answer_of_a_function_becomes_an_http_response(
    result: Any, status: int, content_type: str, body: bytes
) -> None:
    found_status, headers, found_body = http_answer(result)
    assert (found_status, found_body) == (status, body)
    assert [value for name, value in headers.items() if name.lower() == "content-type"] == [
        content_type
    ]


def test_a_header_in_the_answer_of_a_function_is_kept() -> None:
    assert (
        http_answer({"statusCode": 429, "headers": {"retry-after": "1"}})[1]["retry-after"] == "1"
    )


def mirror(event: dict[str, Any]) -> Any:
    return {
        "method": event["requestContext"]["http"]["method"],
        "length": len(event.get("body", "")),
    }


def fail(_event: dict[str, Any]) -> Any:
    raise FunctionFailed("ValueError", "a secret detail")


def late(_event: dict[str, Any]) -> Any:
    raise FunctionFailed("Sandbox.Timedout", "a secret detail")


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    routes = {
        ("POST", "/predict"): mirror,
        ("HEAD", "/predict"): mirror,
        ("POST", "/fail"): fail,
        ("POST", "/late"): late,
    }
    with gateway(0, routes) as server:
        # a daemon, so that a failed test does not keep the process running
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        with closing(HTTPConnection("127.0.0.1", server.server_port, timeout=5)) as found:
            yield found
        server.shutdown()
        thread.join()


def headed(connection: HTTPConnection, length: str) -> HTTPResponse:
    """Send only the head of a request, and return the answer."""
    connection.putrequest("POST", "/predict")
    connection.putheader("content-type", "text/plain")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    return connection.getresponse()


def raw(connection: HTTPConnection, text: str) -> bytes:
    """Send this text, and return everything that the server answers."""
    with socket.create_connection((connection.host, connection.port), timeout=5) as client:
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        pytest.param("POST", "/predict", 200, {"method": "POST", "length": 5}, id="route"),
        pytest.param(
            "POST", "/predict?a=1", 200, {"method": "POST", "length": 5}, id="route with a query"
        ),
        pytest.param("POST", "/", 404, {"message": "Not Found"}, id="a path without a route"),
        pytest.param(
            "POST", "/predict/", 404, {"message": "Not Found"}, id="a slash at the end of the path"
        ),
        pytest.param(
            "GET", "/predict", 404, {"message": "Not Found"}, id="a method without a route"
        ),
        pytest.param("DELETE", "/predict", 404, {"message": "Not Found"}, id="delete"),
        pytest.param(
            "POST", "/fail", 500, {"message": "Internal Server Error"}, id="function failed"
        ),
        pytest.param(
            "POST", "/late", 503, {"message": "Service Unavailable"}, id="function timed out"
        ),
    ],
)
def test_a_request_gets_the_answer_of_the_function_or_an_error(
    connection: HTTPConnection, method: str, path: str, status: int, body: Any
) -> None:
    for _ in range(2):  # the connection stays usable
        connection.request(method, path, b"words", {"content-type": "text/plain"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (status, body)
        assert response.headers.get_all("content-type") == ["application/json"]


@pytest.mark.parametrize(("path", "status"), [("/predict", 200), ("/absent", 404)])
def test_the_answer_to_a_head_request_has_no_body(
    connection: HTTPConnection, path: str, status: int
) -> None:
    answer = raw(connection, f"HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 0\r\n" not in answer


def test_a_body_of_the_largest_size_is_accepted(connection: HTTPConnection) -> None:
    connection.request("POST", "/predict", b"x" * MAX_BODY_BYTES, {"content-type": "text/plain"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["length"]) == (200, 10 * 1024 * 1024)


@pytest.mark.parametrize(
    ("length", "status", "message"),
    [
        pytest.param(
            str(MAX_BODY_BYTES + 1), 413, "Request Entity Too Large", id="one byte too many"
        ),
        pytest.param("9" * 20, 413, "Request Entity Too Large", id="20 digits"),
        pytest.param(
            "9" * 5000, 413, "Request Entity Too Large", id="more digits than Python reads"
        ),
        pytest.param("x", 400, "Bad Request", id="a letter"),
        pytest.param("-1", 400, "Bad Request", id="negative"),
        pytest.param("1.5", 400, "Bad Request", id="a fraction"),
        pytest.param("", 400, "Bad Request", id="empty"),
        pytest.param("²", 400, "Bad Request", id="a superscript digit"),
    ],
)
def test_a_body_of_a_wrong_or_too_large_length_is_refused(
    connection: HTTPConnection, length: str, status: int, message: str
) -> None:
    response = headed(connection, length)
    assert (response.status, json.loads(response.read())) == (status, {"message": message})
    connection.close()
    connection.request("POST", "/predict", b"words", {"content-type": "text/plain"})
    assert connection.getresponse().status == 200


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "x"], ids=["too large", "no number"])
def test_the_gateway_announces_that_it_closes_the_connection_after_a_refusal(
    connection: HTTPConnection, length: str
) -> None:
    assert headed(connection, length).headers["connection"] == "close"


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "x"], ids=["too large", "no number"])
def test_the_body_of_a_refused_request_is_not_read_as_the_next_request(
    connection: HTTPConnection, length: str
) -> None:
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    answer = raw(connection, f"{head}Content-Length: {length}\r\n\r\n{head}\r\n")
    assert answer.count(b"HTTP/1.1") == 1


def test_the_body_of_an_answer_is_sent_without_a_delay(connection: HTTPConnection) -> None:
    """Headers and body are two packets.

    With Nagle's algorithm, the second packet would wait about 40 ms, until the client acknowledges
    the first.
    """
    seconds = []
    for _ in range(10):
        begin = time.perf_counter()
        connection.request("POST", "/predict", b"words", {"content-type": "text/plain"})
        connection.getresponse().read()
        seconds.append(time.perf_counter() - begin)
    # A client delays its acknowledgements only after the first requests.
    assert min(seconds[2:]) < 0.03


def test_all_bytes_of_a_body_reach_the_function_in_base64(connection: HTTPConnection) -> None:
    body = bytes(range(256))
    connection.request("POST", "/predict", body)
    assert json.loads(connection.getresponse().read())["length"] == len(base64.b64encode(body))


OURS = "127.0.0.1:3000"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Host": OURS}, 200, id="a program"),
        pytest.param({"Host": "localhost:3000"}, 200, id="a program that uses the name localhost"),
        pytest.param({"Host": "LocalHost"}, 200, id="a program that gives no port"),
        pytest.param({"Host": OURS, "Origin": f"http://{OURS}"}, 200, id="a page of our own"),
        pytest.param(
            {"Host": OURS, "Origin": "https://page.example"}, 403, id="a form on a foreign page"
        ),
        pytest.param(
            {"Host": OURS, "Origin": "null"}, 403, id="a page in a sandbox, or a local file"
        ),
        pytest.param(
            {"Host": OURS, "Origin": "http://127.0.0.1:8080"},
            403,
            id="a page at another port",
        ),
        pytest.param(
            {"Host": OURS, "Origin": "http://localhost:3000"},
            403,
            id="a page at another name of this machine",
        ),
        pytest.param(
            {"Host": "page.example:3000", "Origin": "http://page.example:3000"},
            403,
            id="a foreign name that resolves to this machine",
        ),
        pytest.param({"Host": "page.example"}, 403, id="a foreign name, without an origin"),
        pytest.param(
            {"Host": "127.0.0.1.page.example"},
            403,
            id="a foreign name that begins with our address",
        ),
        pytest.param(
            {"Host": "127.0.0.1:3000@page.example"}, 403, id="a foreign name after our address"
        ),
        pytest.param({"Host": ""}, 403, id="an empty host name"),
        pytest.param({}, 403, id="no host header"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_a_request_of_a_foreign_web_page_does_not_reach_the_function(
    connection: HTTPConnection, method: str, headers: dict[str, str], status: int
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    answer = raw(
        connection,
        f"{method} /predict HTTP/1.1\r\n{head}"
        "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
    )
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"access-control" not in answer.lower()


def test_a_request_with_two_hosts_is_refused(connection: HTTPConnection) -> None:
    answer = raw(
        connection,
        f"POST /predict HTTP/1.1\r\nHost: {OURS}\r\n"
        "Host: page.example\r\nContent-Length: 0\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 403 ")

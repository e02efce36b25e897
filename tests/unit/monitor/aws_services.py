"""A local HTTP server with the two calls of Lambda and CodeDeploy that the canary makes.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_PutLifecycleEventHookExecutionStatus.html
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit


class Answer(NamedTuple):
    """The answer of Lambda to an invocation."""

    payload: bytes
    version: str = "7"
    status: int = 200
    error: str = ""  # Lambda's error code, if the status is above 299
    function_error: str = ""


@dataclass
class Services:
    """The services' address, and the bodies of the requests to CodeDeploy."""

    url: str = ""
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deploys: int = 200  # CodeDeploy's HTTP status


@contextmanager
def services(invoke: Callable[[str, Any], Answer]) -> Iterator[Services]:
    """Serve until the context ends. `invoke` gets the function's name and the event."""
    found = Services()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            target = self.headers.get("x-amz-target", "")
            if target == "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus":
                found.statuses.append(json.loads(body))
                self._answer(found.deploys, b"{}", {"content-type": "application/x-amz-json-1.1"})
                return
            _, _, kind, name, end = unquote(urlsplit(self.path).path).split("/")
            assert (kind, end) == ("functions", "invocations")
            answer = invoke(name, json.loads(body))
            headers = {"content-type": "application/json"}
            if answer.status > 299:
                headers["x-amzn-errortype"] = answer.error
            else:
                headers["x-amz-executed-version"] = answer.version
                if answer.function_error:
                    headers["x-amz-function-error"] = answer.function_error
            self._answer(answer.status, answer.payload, headers)

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            with suppress(ConnectionError):  # the client has stopped waiting
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write nothing to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""A server that answers bulk requests as OpenSearch does, and stores nothing.

It does the same small amount of work for every sender, so differences come from the senders.
"""

from __future__ import annotations

import multiprocessing
import re
import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from isal import isal_zlib

LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
# The result of one document in an answer. `FILTERED` is sent if the request has `filter_path`, and
# `WHOLE` otherwise.
FILTERED: Final = b'{"create":{"status":201}}'
WHOLE: Final = (
    b'{"create":{"_index":"cwl-2026.11.23",'
    b'"_id":"38500000000000000000000000000000000000000000000000000000","_version":1,'
    b'"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":1,'
    b'"_primary_term":1,"status":201}}'
)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := self.rfile.readline():
            head = b""
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                head += line
            match = LENGTH.search(head)
            content = self.rfile.read(int(match[1]) if match else 0)
            if b"content-encoding: gzip" in head.lower():
                content = isal_zlib.decompress(content, 31)
            answer = _answer(content.count(b"\n") // 2, filtered=b"filter_path" in request)
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\n"
                b"content-length: %d\r\n\r\n" % len(answer) + answer
            )


def _answer(count: int, *, filtered: bool) -> bytes:
    items = b",".join([FILTERED if filtered else WHOLE] * count)
    return (
        b'{"items":[%b]}' % items
        if filtered
        else b'{"took":30,"errors":false,"items":[%b]}' % items
    )


def _serve(ready: multiprocessing.SimpleQueue[int]) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        ready.put(server.server_address[1])
        server.serve_forever()


@contextmanager
def sink() -> Iterator[str]:
    """Start the server in a process of its own, and yield its address."""
    context = multiprocessing.get_context("spawn")
    ready: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
    process = context.Process(target=_serve, args=(ready,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ready.get()}"
    finally:
        process.terminate()
        process.join()

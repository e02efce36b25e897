"""Tests the programs that the bench compares with the shipper.

The program `usual` calls the bulk helper of opensearch-py. The program `floor` does only the
unavoidable work of sending the same documents.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from opensearchpy import OpenSearch

from bench import rivals
from bench.bulk_server import sink
from bench.lines import Printed, event, mixed, printed, records
from bench.shipper_forms import LIMIT, RULES, ours
from shipper.client import connect
from shipper.decode import decode
from shipper.document import documents

COUNT = 50


@pytest.fixture(scope="module")
def log() -> Printed:
    return printed(12)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, sink() as address:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield address


@pytest.mark.parametrize("make", [records, mixed])
def test_every_program_delivers_every_event(
    log: Printed, url: str, make: Callable[[int, Printed], list[str]]
) -> None:
    content = event(make(COUNT, log))
    ready = rivals.bodies(content)
    plain, packed, connection = (
        OpenSearch(url),
        OpenSearch(url, http_compress=True),
        connect(url, {}),
    )
    try:
        assert rivals.usual(content, plain) == COUNT
        assert rivals.usual(content, packed) == COUNT
        assert rivals.floor(content, ready, connection, rivals.ZLIB) == COUNT
        assert rivals.floor(content, ready, connection, rivals.ISAL) == COUNT
        assert ours(content, connection).indexed == COUNT
    finally:
        for client in (plain, packed, connection):
            client.close()


def test_the_usual_way_sends_the_same_documents_as_the_shipper(log: Printed) -> None:
    content = event(records(COUNT, log))
    actions = rivals.actions(
        json.loads(gzip.decompress(base64.b64decode(content["awslogs"]["data"])))
    )
    own = documents(decode(content, LIMIT), RULES, Counter(), now=0)
    for action, document in zip(actions, own, strict=True):
        source = json.loads(document.source)
        # Only the shipper adds these fields.
        for name in ("@delay_ms", "@position", "@kind", "@stack", "@function_version"):
            del source[name]
        assert action["_source"] == source
        assert {"create": {name: action[name] for name in ("_index", "_id")}} == json.loads(
            document.lines.split(b"\n")[0]
        )
        assert action["_op_type"] == "create"

"""The shipper's rivals: the usual way of shipping, and the floor, which is the least cost of sending the same documents.

Each takes the Lambda event and gives the number of documents that the server answered for.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from isal import isal_zlib
from opensearchpy import OpenSearch, RequestsHttpConnection
from opensearchpy.helpers import bulk

from bench.ours import RULES
from shipper.bulk import ANY_STATUS, GZIP, HEADERS, LEVEL, PARAMS, body, chunks
from shipper.decode import decode
from shipper.document import documents

Event = dict[str, Any]


class Codec(NamedTuple):
    """A way to read gzip and a way to write it."""

    inflate: Callable[[bytes], bytes]
    deflate: Callable[[bytes], bytes]


ZLIB: Final = Codec(
    lambda data: zlib.decompress(data, GZIP), lambda data: zlib.compress(data, 1, GZIP)
)
ISAL: Final = Codec(
    lambda data: isal_zlib.decompress(data, GZIP),
    lambda data: isal_zlib.compress(data, LEVEL, GZIP),
)


def usual(event: Event, client: OpenSearch) -> int:
    """The standard library and `helpers.bulk`: a dict for each line, everything else as opensearch-py has it by default."""
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    created, _ = bulk(client, actions(payload), raise_on_error=False)
    return int(created)


def actions(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents of a payload as `helpers.bulk` takes them."""
    for event in payload["logEvents"]:
        moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
        source = _fields(event["message"]) | {
            "@id": event["id"],
            "@timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "@message": event["message"],
            "@owner": payload["owner"],
            "@log_group": payload["logGroup"],
            "@log_stream": payload["logStream"],
        }
        yield {
            "_op_type": "create",
            "_index": f"cwl-{moment:%Y.%m.%d}",
            "_id": event["id"],
            "_source": source,
        }


def _fields(message: str) -> dict[str, Any]:
    """The object that the line ends with, as the function that the CloudWatch console generates finds it."""
    start = message.find("{")
    try:
        found: dict[str, Any] = json.loads(message[start:]) if start >= 0 else {}
    except ValueError:
        return {}
    return found


def bodies(event: Event) -> list[bytes]:
    """The bulk bodies that the shipper sends for an event, before compression: the floor gets them ready-made."""
    payload = decode(event, limit=2**30)
    return [body(chunk) for chunk in chunks(documents(payload, RULES, Counter(), now=0))]


def plain_connection(url: str) -> RequestsHttpConnection:
    """The floor's: opensearch-py's own."""
    address = urlsplit(url)
    return RequestsHttpConnection(host=str(address.hostname), port=address.port or 80)


def floor(
    event: Event, ready: Sequence[bytes], connection: RequestsHttpConnection, codec: Codec
) -> int:
    """The floor: base64, gunzip, then for each ready body gzip, one POST as the shipper's, its answer's JSON."""
    codec.inflate(base64.b64decode(event["awslogs"]["data"]))
    answered = 0
    for content in ready:
        _, _, text = connection.perform_request(
            "POST",
            "/_bulk",
            PARAMS,
            codec.deflate(content),
            30.0,
            allow_redirects=False,
            ignore=ANY_STATUS,
            headers=dict(HEADERS),
        )
        answered += len(json.loads(text)["items"])
    return answered

"""Two programs with which the bench compares the shipper.

One program ships in the usual way, with `helpers.bulk` of opensearch-py. The other program is
called the floor. It does only the unavoidable work of sending the same documents.
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

from bench.shipper_forms import RULES
from shipper.bulk import ANY_STATUS, GZIP, HEADERS, LEVEL, PARAMS, body, chunks
from shipper.decode import decode
from shipper.document import documents

Event = dict[str, Any]


class Codec(NamedTuple):
    """A function that decompresses gzip, and a function that compresses it."""

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
    """Ship an event in the usual way, and return the number of created documents.

    This way uses the standard library and `helpers.bulk` with the defaults of opensearch-py. It
    makes a dict for each line.
    """
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    created, _ = bulk(client, actions(payload), raise_on_error=False)
    return int(created)


def actions(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the documents of a payload in the form that `helpers.bulk` takes."""
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
    """Return the object at the end of a line.

    The function that the CloudWatch console generates finds the object in the same way.
    """
    start = message.find("{")
    try:
        found: dict[str, Any] = json.loads(message[start:]) if start >= 0 else {}
    except ValueError:
        return {}
    return found


def bodies(event: Event) -> list[bytes]:
    """Return the uncompressed bulk bodies that the shipper sends for an event.

    The floor gets these bodies, so it does not have to make them.
    """
    payload = decode(event, limit=2**30)
    return [body(chunk) for chunk in chunks(documents(payload, RULES, Counter(), now=0))]


def plain_connection(url: str) -> RequestsHttpConnection:
    """Return a connection of opensearch-py for the floor."""
    address = urlsplit(url)
    return RequestsHttpConnection(host=str(address.hostname), port=address.port or 80)


def floor(
    event: Event, ready: Sequence[bytes], connection: RequestsHttpConnection, codec: Codec
) -> int:
    """Forward an event with the least possible work. Return the number of documents in the answers.

    The event is decoded from base64 and unzipped. Then each body in `ready` is compressed with gzip
    and sent in one POST, as the shipper sends it, and the answer is parsed as JSON.
    """
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

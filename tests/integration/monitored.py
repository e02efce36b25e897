"""Helpers for several tests that put predictions and the monitor's lines into OpenSearch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from local.cloudwatch import Subscription
from local.template import load
from monitor.accuracy.joined_record import Joined
from monitor.settings import own_index


@contextmanager
def subscribed(
    log_group: str, resource: str, ship: Callable[[dict[str, Any]], object]
) -> Iterator[Subscription]:
    """Apply the subscription filter `resource` of the template to the lines of a log group."""
    given = load()["Resources"][resource]["Properties"]
    found = Subscription(log_group, given["FilterPattern"], ship, filters=(given["FilterName"],))
    with found.running(10):
        yield found


def put_predictions(url: str, documents: Iterable[dict[str, Any]]) -> None:
    """Put predictions into the index of their day, as the shipper would do.

    `@timestamp` is in milliseconds since 1970.
    """
    lines = []
    for document in documents:
        day = time.strftime("%Y.%m.%d", time.gmtime(document["@timestamp"] / 1000))
        envelope = {"@kind": "prediction", **document}
        lines += [json.dumps({"create": {"_index": f"cwl-{day}"}}), json.dumps(envelope)]
    bulk(url, lines)


def put_joined(url: str, several: Iterable[Joined]) -> None:
    """Put joined records into the monitor's own index, as the monitor would do.

    A joined record is a label together with its prediction. The index must exist.
    """
    lines = []
    for one in several:
        place = {"_index": own_index(one.stream.stack), "_id": one.key}
        lines += [json.dumps({"index": place}), json.dumps(one.document())]
    bulk(url, lines)


def bulk(url: str, lines: list[str]) -> None:
    answer = requests.post(
        f"{url}/_bulk?refresh=true",
        data=("\n".join(lines) + "\n").encode(),
        headers={"content-type": "application/x-ndjson"},
        timeout=60,
    )
    assert not answer.json()["errors"]


def forget(url: str, stack: str) -> None:
    """Delete a stack's predictions and the monitor's own index."""
    requests.delete(f"{url}/{own_index(stack)}", timeout=30)
    query = {"query": {"term": {"@stack": stack}}}
    requests.post(f"{url}/cwl-*/_delete_by_query?refresh=true", json=query, timeout=30)

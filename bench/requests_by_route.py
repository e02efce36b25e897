"""`python -m bench.requests_by_route` counts the requests that the shipper sends for 1,000 records.

The two routes are compared: CloudWatch Logs invokes the shipper directly, or through a Kinesis
stream. The table has a row for each size of payload. The load of the machine does not change these
counts.

Lambda's event source mapping reads batches from the stream. Here the batches have the size and the
limits of the template's mapping. All payloads are in the stream before the mapping starts to read.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from bench.bulk_server import sink
from bench.lambda_context import Context
from bench.lines import event, printed, records
from local.kinesis import Mapping, Stream, policy

RECORDS: Final = 1_000
SIZES: Final = (1, 5, 20, 1_000)


def table(lines: list[str], handler: Callable[[Any, Any], Any]) -> str:
    """Return the table in Markdown. `lines` are the log lines of the records."""
    rows = [
        (
            "| lines in a payload | invocations, direct | requests, direct "
            "| invocations, stream | requests, stream |"
        ),
        "|---:|---:|---:|---:|---:|",
    ]
    for size in SIZES:
        payloads = [event(lines[start : start + size]) for start in range(0, len(lines), size)]
        counts = (*direct(payloads, handler), *streamed(payloads, handler))
        rows.append(f"| {size:,} | {' | '.join(f'{count:,}' for count in counts)} |")
    return "\n".join(rows)


def direct(payloads: list[Any], handler: Callable[[Any, Any], Any]) -> tuple[int, int]:
    """Return the numbers of invocations and requests if each payload invokes the function."""
    requests = sum(_requests(handler, payload)[0] for payload in payloads)
    return len(payloads), requests


def streamed(payloads: list[Any], handler: Callable[[Any, Any], Any]) -> tuple[int, int]:
    """Return the numbers of invocations and requests if the payloads come through a stream."""
    stream, requests = Stream(), Counter[str]()
    for payload in payloads:
        stream.put(payload)

    def invoke(batch: Any) -> Any:
        count, answer = _requests(handler, batch)
        requests["all"] += count
        return answer

    mapping = Mapping(stream, invoke, policy())
    while mapping.waiting():
        mapping.step()
    return mapping.invocations, requests["all"]


def _requests(handler: Callable[[Any, Any], Any], given: Any) -> tuple[int, Any]:
    """Return the number of requests that the shipper reports, and its answer."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        answer = handler(given, Context("bench", "8f5ad1e0"))
    return sum(json.loads(line)["requests"] for line in out.getvalue().splitlines()), answer


def main() -> int:
    """Print the table."""
    lines = records(RECORDS, printed(RECORDS))
    with sink() as url:
        os.environ["OPENSEARCH_URL"] = url
        handler = importlib.import_module("shipper.handler").handler
        print(table(lines, handler))
    return 0


if __name__ == "__main__":
    sys.exit(main())

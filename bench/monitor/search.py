"""Measures the time and memory that the monitor needs to read a day from a real OpenSearch.

The monitor reads slots: a slot is the summary of a quarter of an hour.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import requests
from opensearchpy import RequestsHttpConnection

from bench.monitor.rows import FIELDS, FLAGS, LABELS, PROBABILITY
from bench.monitor.traffic import Index, Table
from local.opensearch import node
from monitor.summaries.read_summaries import read_slots
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY
from tools.ports import free_port
from tools.root import ROOT

STREAM: Final = Stream("bench", "/aws/lambda/bench", "bench")
START: Final = 1_023_062_400  # 3 June 2002
INDEX: Final = "cwl-2002.06.03"
CHUNK: Final = 5000


def search(source: Table, rows: Index) -> dict[str, float]:
    """Index these rows as documents of one day, and read the slots of the day.

    Returns the time of each step in seconds, and the peak memory of reading in MB.
    """
    with node(free_port(range(9299, 9210, -1))) as url:
        template = (ROOT / "kibana" / "index_template.json").read_bytes()
        headers = {"content-type": "application/json"}
        requests.put(
            f"{url}/_index_template/bench", data=template, headers=headers, timeout=60
        ).raise_for_status()
        started = perf_counter()
        for chunk in _chunks(source, rows):
            answer = requests.post(
                f"{url}/{INDEX}/_bulk",
                data=chunk,
                headers={"content-type": "application/x-ndjson"},
                timeout=120,
            )
            assert not answer.json()["errors"]
        requests.post(f"{url}/{INDEX}/_refresh", timeout=60).raise_for_status()
        indexed = perf_counter()
        # A new process reads, so that the peak memory does not include this process's predictions.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            count, seconds, memory = pool.submit(read, url).result()
    assert count == len(rows)
    return {
        "documents": len(rows),
        "index_seconds": round(indexed - started, 1),
        "read_seconds": round(seconds, 2),
        "memory_mb": memory,
    }


def read(url: str) -> tuple[int, float, int]:
    """Read the slots of the day.

    Returns the number of predictions, the time in seconds, and the peak memory in MB.
    """
    parts = urlsplit(url)
    connection = RequestsHttpConnection(host=parts.hostname or "", port=parts.port or 9200)
    started = perf_counter()
    slots = read_slots(connection, STREAM, START, START + DAY)
    seconds = perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return sum(s.rows for s in slots), seconds, memory


def _chunks(source: Table, rows: Index) -> Iterator[bytes]:
    times = START * 1000 + np.arange(len(rows)) * (DAY * 1000) // len(rows)
    for at in range(0, len(rows), CHUNK):
        lines = [
            _document(source, int(row), int(time))
            for row, time in zip(rows[at : at + CHUNK], times[at : at + CHUNK], strict=True)
        ]
        yield "".join(f'{{"create":{{}}}}\n{json.dumps(line)}\n' for line in lines).encode()


def _document(source: Table, row: int, time: int) -> dict[str, Any]:
    numbers = dict(zip((PROBABILITY, *FIELDS), source.numbers[row].tolist(), strict=True))
    label = LABELS[int(source.label[row])]
    score = numbers["prediction.score"]
    given = {
        name.removeprefix("input."): value
        for name, value in numbers.items()
        if name.startswith("input.") and "sig" not in name
    }
    return {
        "@timestamp": time,
        "@kind": "prediction",
        "@stack": STREAM.stack,
        "@log_group": STREAM.log_group,
        "traffic": "live",
        "model": {"name": STREAM.model, "version": "1", "profile": "1"},
        "prediction": {
            "label": label,
            "score": score,
            "probability": dict(
                zip(LABELS, (numbers[PROBABILITY], 1 - numbers[PROBABILITY]), strict=True)
            ),
        },
        "input": given
        | {
            "words": int(given["words"]),
            "script": "latin",
            "flags": [flag for bit, flag in enumerate(FLAGS) if source.flags[row] >> bit & 1],
            "hash": f"{int(source.text[row]):016x}",
            "sig": {f"s{at}": int(numbers[f"input.sig.s{at}"]) for at in range(8)},
        },
    }

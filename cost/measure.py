"""`python -m cost.measure FOLDER`: measures the bytes in log and index for each prediction.

The command uses the real functions and a real OpenSearch. FOLDER is the folder of the corpora
(training/README.md). The sentences come alternately from CoLA and from UD English EWT. Each
sentence is a separate request to the inference function under the Lambda runtime. The shipper then
ships all log lines into one index. The functions' names are as long as names that AWS generates.
The results are stated in cost/estimate.py.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from statistics import mean
from typing import Any, Final
from uuid import uuid4

import requests

from installer.install import desired_state, install
from local import opensearch, template
from local.cloudwatch import log_event, subscription_event
from local.runtime import running
from tools.ports import free_port
from tools.root import ROOT

SENTENCES: Final = 10_000
BATCH: Final = 250
FUNCTION: Final = "prediction-monitor-{}Function-AbCdEfGhIjKl"
GROUP: Final = "prediction-monitor-InferenceLogGroup-AbCdEfGhIjKl"
REQUEST_ID: Final = "AbCdEfGhIjKlMnO="


def sentences(folder: Path) -> Iterator[str]:
    """Yield sentences alternately from CoLA and from EWT."""
    cola = [
        line.split("\t")[3]
        for line in (folder / "cola" / "in_domain_train.tsv")
        .read_text(encoding="utf-8")
        .splitlines()
    ]
    with gzip.open(
        folder / "ewt" / "en_ewt_without_email.conllu.gz", "rt", encoding="utf-8"
    ) as file:
        ewt = [
            line.removeprefix("# text = ").strip() for line in file if line.startswith("# text = ")
        ]
    return chain.from_iterable(zip(cola, ewt, strict=False))


def main(folder: Path) -> None:
    """Measure, and print the mean sizes."""
    plan = template.read()
    lines: list[str] = []
    shipper_lines: list[str] = []
    texts = list(islice(sentences(folder), SENTENCES))
    names = {name: FUNCTION.format(name) for name in ("Inference", "Shipper")}
    own = {"HASH_KEY": "a key", "LOG_TEXT": "true", "AWS_LAMBDA_FUNCTION_NAME": names["Inference"]}
    with running(plan.functions["InferenceFunction"], own, lines.append) as inference:
        for text in texts:
            inference.invoke(_event(text))
    records = [line for line in lines if '"prediction_id"' in line]
    metrics = [line for line in lines if '"_aws"' in line]
    frames = [line for line in lines if line.startswith(("START", "END", "REPORT"))]
    print(f"{len(texts)} sentences of {mean(map(len, texts)):.0f} characters, {len(lines)} lines")
    for what, some in {
        "record": records,
        "metrics": metrics,
        "START, END and REPORT": frames,
    }.items():
        print(f"{what}: {_mean(some, len(texts))} bytes for each request")
    with opensearch.node(free_port(range(9210, 9299))) as url:
        install(desired_state([], opensearch=url), say=lambda _: None)
        settings = {
            "OPENSEARCH_URL": url,
            "AWS_LAMBDA_FUNCTION_NAME": names["Shipper"],
            "RECORD_LOG_GROUPS": GROUP,
            "STACK": "prediction-monitor",
        }
        batches = range(0, len(records), BATCH)
        with running(plan.functions["ShipperFunction"], settings, shipper_lines.append) as shipper:
            for start in batches:
                now = time.time_ns() // 1_000_000
                events = [log_event(line, now) for line in records[start : start + BATCH]]
                shipper.invoke(subscription_event(events, GROUP))
        requests.post(f"{url}/{opensearch.PATTERN}/_flush", timeout=60).raise_for_status()
        answer = requests.get(
            f"{url}/_cat/indices/{opensearch.PATTERN}",
            params={"bytes": "b", "format": "json"},
            timeout=60,
        ).json()
    for index in answer:
        size, documents = int(index["pri.store.size"]), int(index["docs.count"])
        print(f"{index['index']}: {documents} documents of {size / documents:.0f} bytes each")
    print(
        f"shipper: {_mean(shipper_lines, len(batches))} bytes in"
        f" {len(shipper_lines) / len(batches):.1f} lines for each invocation"
    )


def _event(text: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(
        (ROOT / "events" / "inference" / "http-api-v2-batch.json").read_text(encoding="utf-8")
    )
    event["requestContext"]["requestId"] = uuid4().hex[: len(REQUEST_ID) - 1] + "="
    return {**event, "body": json.dumps({"sentence": text})}


def _mean(lines: list[str], count: int) -> int:
    """Return the bytes of all lines divided by `count`."""
    return round(sum(len(line.encode()) for line in lines) / count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m cost.measure", description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="folder of the corpora, with cola/ and ewt/ in it (see training/README.md)",
    )
    main(parser.parse_args().folder)

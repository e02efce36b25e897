"""Tests the built report function under the real Lambda runtime.

OpenSearch is real. moto imitates the S3 bucket of the reports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
import requests

from local.runtime import FunctionFailed, Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from tests.integration.conftest import KEYS, environment
from tools.root import ROOT

PREFIX = "reported-"
TEMPLATE = json.loads((ROOT / "kibana" / "index_template.json").read_text())["template"]
RECORD = json.loads((ROOT / "events" / "record.prediction.json").read_text())
TEXT = "a sentence that is in the report"


class Starting(Protocol):
    def __call__(self, lines: list[str], **changed: str) -> AbstractContextManager[Runtime]: ...


@pytest.fixture
def starting(  # noqa: PLR0917
    running: Stack,
    template: Template,
    built: Path,
    installer_packages: Path,
    aws: str,
    bucket: str,
) -> Starting:
    """Return a helper that starts the report function.

    `changed` replaces environment variables.
    """

    @contextmanager
    def started(lines: list[str], **changed: str) -> Iterator[Runtime]:
        given = environment("ReportFunction", opensearch=running.opensearch_url, bucket=bucket)
        settings = {**given, "INDEX_PREFIX": PREFIX, "AWS_ENDPOINT_URL_S3": aws, **KEYS, **changed}
        with start(
            template.functions["ReportFunction"],
            settings,
            lines.append,
            code=built / "ReportFunction",
            packages=installer_packages,
        ) as runtime:
            yield runtime

    return started


@pytest.fixture
def predicted(running: Stack) -> Iterator[int]:
    """Put predictions of the last hours into an index that no other test searches.

    Yields the number of predictions.
    """
    now = datetime.now(UTC)
    index = f"{running.opensearch_url}/{PREFIX}2026.11.23"
    requests.put(index, json=TEMPLATE, timeout=30).raise_for_status()
    for hours in range(3):
        document = RECORD | {
            "@timestamp": (now - timedelta(hours=hours, minutes=1)).isoformat(),
            "@kind": "prediction",
            "@stack": "local",
            "text": TEXT,
        }
        requests.post(f"{index}/_doc", json=document, timeout=30).raise_for_status()
    requests.post(f"{index}/_refresh", timeout=30).raise_for_status()
    yield 3
    requests.delete(index, timeout=30).raise_for_status()


def test_the_report_of_the_day_is_in_the_bucket(
    starting: Starting, predicted: int, s3: Any, bucket: str
) -> None:
    lines: list[str] = []
    with starting(lines) as runtime:
        days = {f"{datetime.now(UTC):%Y-%m-%d}.html"}
        answers = [runtime.invoke({}) for _ in range(2)]
        days.add(f"{datetime.now(UTC):%Y-%m-%d}.html")
    assert {answer["name"] for answer in answers} <= days
    assert {answer["answer"] for answer in answers} == {"Nothing is judged yet"}
    kept = s3.get_object(Bucket=bucket, Key=answers[-1]["name"])
    assert kept["ContentType"] == "text/html; charset=utf-8"
    page = kept["Body"].read().decode()
    assert f'<p class="figure" id="predictions">{predicted}</p>' in page
    assert TEXT in page
    assert "<script" not in page
    reported = [json.loads(line) for line in lines if '"report"' in line]
    assert [one["predictions"] for one in reported] == [predicted] * 2
    # The function must log no text: if a user sets LogText to "false" later, old log lines remain.
    assert not [line for line in lines if TEXT in line]


def test_if_the_bucket_refuses_the_report_the_function_fails_with_one_sentence(
    starting: Starting, predicted: int
) -> None:
    said = r"NotMade: the bucket refuses the report \(NoSuchBucket\)"
    with (
        starting([], REPORT_BUCKET="no-such-bucket") as runtime,
        pytest.raises(FunctionFailed, match=said),
    ):
        runtime.invoke({})

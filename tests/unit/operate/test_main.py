"""Tests that each error is reported in one sentence.

The errors are wrong arguments, missing permissions, and servers that do not answer.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from operate import __main__ as module
from operate.__main__ import main
from tests.unit.conftest import CLOSE, Bulk
from tests.unit.operate.conftest import (
    ALL,
    BUCKET,
    DAY,
    REGION,
    SPAN,
    Run,
    backfilling,
    counting,
    put,
    refused,
)
from tools.root import ROOT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: command"),
        (["remove"], "invalid choice: 'remove'"),
        (["replay", "--opensearch", "http://h"], "required: --bucket"),
        (["replay", "--bucket", "b"], "required: --opensearch"),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--rate", "0"],
            "--rate: a number above 0, not '0'",
        ),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--rate", "nan"],
            "a number above 0, not 'nan'",
        ),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--rate", "fast"],
            "a number above 0, not 'fast'",
        ),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--since", "today"],
            "--since: a time in ISO 8601, such as .*, not 'today'",
        ),
        (["backfill", *SPAN, "--opensearch", "http://h"], "required: --log-group"),
        (
            ["reconcile", "--log-group", "g", *SPAN, "--opensearch", "http://h", "--every", "1w"],
            "--every: an interval is a number and a unit",
        ),
    ],
)
def test_wrong_arguments_are_reported_in_one_sentence(
    aws: None, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert re.search(
        rf"^python -m operate.*{said}.* \(see python -m operate.* --help\)\n$",
        refused(capsys, *arguments),
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        pytest.param(
            counting("--to", f"{DAY}T10:17:30"),
            {},
            "--from must be before --to, and not before 1970",
            id="empty span",
        ),
        pytest.param(
            backfilling("--to", f"{DAY}T09:00"),
            {},
            "--from must be before --to, and not before 1970",
            id="span that ends before it begins",
        ),
        pytest.param(
            backfilling("--from", "1969-12-31"),
            {},
            "--from must be before --to, and not before 1970",
            id="span before 1970",
        ),
        pytest.param(
            backfilling(),
            {"EXCLUDE": "all"},
            "EXCLUDE must be a comma-separated list of metrics, object, platform, text, "
            "but it contains 'all'",
            id="invalid setting",
        ),
        pytest.param(
            backfilling("--opensearch", "h:9200"),
            {},
            "OPENSEARCH_URL must be an http(s) address",
            id="invalid address",
        ),
        pytest.param(
            ["replay", "--bucket", BUCKET],
            {"REDACT_FIELDS": "a=hash"},
            "REDACT_KEY must be set if",
            id="hash without a key",
        ),
        pytest.param(
            ["backfill", "--log-group", "/aws/lambda/pred", *SPAN],
            {},
            f"there is no log group '/aws/lambda/pred' in {REGION}: check --log-group, "
            "--region and --profile",
            id="only the beginning of a log group's name",
        ),
        pytest.param(
            ["reconcile", "--log-group", "none", *SPAN, "--region", "us-east-1"],
            {},
            "no log group 'none' in us-east-1",
            id="missing log group in a given region",
        ),
        pytest.param(
            ["replay", "--bucket", "none"],
            {},
            "AWS: An error occurred (NoSuchBucket) when calling the ListObjectsV2",
            id="missing bucket",
        ),
        pytest.param(
            ["replay", "--bucket", "none", "--profile", "nobody"],
            {},
            "AWS: The config profile (nobody) could not be found",
            id="missing profile",
        ),
        pytest.param(
            ["replay", "--bucket", "B!"],
            {},
            "AWS: Parameter validation failed: Invalid bucket name",
            id="invalid name of a bucket",
        ),
    ],
)
def test_the_reason_why_a_command_cannot_run_is_one_sentence(
    logs: Any,
    bucket: Any,
    index: Bulk,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    arguments: list[str],
    environment: dict[str, str],
    said: str,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "")  # pytest restores the old value at the end
    monkeypatch.delenv("AWS_PROFILE")
    for name, value in ({"OPENSEARCH_URL": index.url} | environment).items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("python -m operate: ")
    assert said in written.err
    assert written.err.count("\n") == 1
    assert index.requests == []


def test_a_server_that_does_not_answer_is_reported_in_one_sentence(
    run: Run, logs: Any, index: Bulk
) -> None:
    put(logs, "a", (0, "x"))
    index.always = CLOSE
    for command in (counting, backfilling):
        code, out, err = run(*command(*ALL))
        assert code == 2
        assert (
            err == "python -m operate: OpenSearch does not answer (ConnectionError): check "
            "--opensearch and the network\n"
        )
        assert "indexed" not in out


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "OPENSEARCH_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))


def test_missing_credentials_are_reported_in_one_sentence(
    no_aws: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--bucket", "b", "--opensearch", "http://h"]) == 2
    assert capsys.readouterr().err == "python -m operate: AWS: Unable to locate credentials\n"


def test_a_missing_region_is_reported_in_one_sentence(
    no_aws: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert main([*backfilling(), "--opensearch", "http://h"]) == 2
    assert capsys.readouterr().err == "python -m operate: AWS: You must specify a region.\n"


def test_a_missing_network_is_reported_in_one_sentence(
    no_aws: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(module, "RETRIES", Config(retries={"total_max_attempts": 1}))
    assert main([*backfilling(), "--opensearch", "http://h"]) == 2
    assert (
        capsys.readouterr().err
        == f'python -m operate: AWS: Could not connect to the endpoint URL: "http://127.0.0.1:{port}/"\n'
    )


def test_requests_to_opensearch_are_signed_with_the_chosen_profile(
    logs: Any,
    index: Bulk,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "credentials").write_text(
        "[other]\naws_access_key_id = OTHER\naws_secret_access_key = secret\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "")  # pytest restores the old value at the end
    monkeypatch.setenv("AWS_SESSION_TOKEN", "testing")
    monkeypatch.setenv("HTTP_PROXY", index.url)
    put(logs, "a", (0, "x"))
    host = "http://search-x.eu-west-1.es.amazonaws.com"
    assert main([*backfilling(*ALL), "--opensearch", host, "--profile", "other"]) == 0, (
        capsys.readouterr().err
    )
    assert [request.target.split("?")[0] for request in index.requests] == [
        f"{host}:80/cwl-*/_search",
        f"{host}:80/_bulk",
    ]
    assert all(
        " Credential=OTHER/" in request.headers["authorization"] for request in index.requests
    )
    assert not any("x-amz-security-token" in request.headers for request in index.requests)


def test_the_commands_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "operate", "backfill", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "AWS does not promise that a line has the same id in the log group" in " ".join(
        done.stdout.split()
    )

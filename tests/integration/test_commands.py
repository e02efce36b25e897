"""Tests of the commands `make run` and `make serve`.

They check the output, the failures, and that no process is left.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.stack import Stack
from tools.ports import free_port
from tools.root import ROOT


@pytest.fixture
def ports() -> dict[str, str]:
    return {"API_PORT": str(free_port()), "OPENSEARCH_PORT": str(free_port(range(9210, 9299)))}


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


def local(command: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local", command],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def environment(settings: dict[str, str]) -> dict[str, str]:
    return (
        os.environ
        | {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions/installer'}", "OPENSEARCH_URL": ""}
        | settings
    )


def test_run_finds_a_document_for_every_prediction(ports: dict[str, str]) -> None:
    ended = local("run", ports)
    assert ended.returncode == 0, ended.stderr
    assert "13 predictions, 13 documents found by their prediction_id" in ended.stdout
    assert "log lines:" in ended.stdout
    assert ended.stderr == ""


def test_run_uses_the_server_of_the_variable_opensearch_url(
    running: Stack, ports: dict[str, str]
) -> None:
    ended = local("run", ports | {"OPENSEARCH_URL": running.opensearch_url + "/"})
    assert ended.returncode == 0, ended.stderr
    assert f"Documents in {running.opensearch_url}/cwl-" in ended.stdout


@pytest.mark.parametrize("setting", ["API_PORT", "OPENSEARCH_PORT"])
def test_a_taken_port_is_reported_in_one_clear_sentence(
    setting: str, ports: dict[str, str], running: Stack
) -> None:
    used = (running.api_url if setting == "API_PORT" else running.opensearch_url).rpartition(":")[2]
    ended = local("run", ports | {setting: used})
    assert_one_sentence(ended, f"127.0.0.1:{used}", setting)


def test_a_taken_page_port_is_reported_in_one_clear_sentence(
    ports: dict[str, str], taken: str, running: Stack
) -> None:
    settings = {"PAGE_PORT": taken, "OPENSEARCH_URL": running.opensearch_url}
    assert_one_sentence(local("serve", ports | settings), f"127.0.0.1:{taken}", "PAGE_PORT")


def test_a_missing_server_at_opensearch_url_is_reported_in_one_clear_sentence(
    ports: dict[str, str],
) -> None:
    ended = local("run", ports | {"OPENSEARCH_URL": f"http://127.0.0.1:{free_port()}"})
    assert_one_sentence(ended, "no OpenSearch can be used at", "OPENSEARCH_URL")


def test_a_server_that_is_no_opensearch_is_reported_in_one_clear_sentence(
    ports: dict[str, str], taken: str
) -> None:
    ended = local("run", ports | {"OPENSEARCH_URL": f"http://127.0.0.1:{taken}"})
    assert_one_sentence(ended, "no OpenSearch can be used at", "OPENSEARCH_URL")


def test_a_missing_network_at_the_first_download_is_reported_in_one_clear_sentence(
    ports: dict[str, str], tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    ended = local(
        "run", ports | {"HOME": str(tmp_path), "https_proxy": nowhere, "http_proxy": nowhere}
    )
    assert_one_sentence(ended, "Maven Central", "OPENSEARCH_URL")


@pytest.mark.parametrize(
    "endings",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP, signal.SIGINT, signal.SIGINT]],
    ids=["Ctrl-C", "kill", "several signals"],
)
def test_serve_answers_and_leaves_no_process_behind(
    endings: list[signal.Signals], ports: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "local", "serve"]
    ports = ports | {"PAGE_PORT": str(free_port())}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(ports),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serve:
        body = '{"sentence": "The boy is sitting [/] on a [bold]bench"}'
        answer = until_answered(f"http://127.0.0.1:{ports['API_PORT']}/predict", body, serve)
        assert answer.status_code == 200
        search = f"http://127.0.0.1:{ports['OPENSEARCH_PORT']}/cwl-*/_search?q=bench"
        assert until_found(search, 1)
        until_answered(f"http://127.0.0.1:{ports['API_PORT']}/predict", '{"sentence": 5}', serve)
        assert until_found(search.replace("bench", "message:prediction_error"), 1)
        time.sleep(1.5)  # the view is renewed each second
        page = f"http://127.0.0.1:{ports['PAGE_PORT']}"
        assert "The boy is sitting [/] on a [bold]bench" in requests.get(page, timeout=30).text
        family = descendants(serve.pid)
        assert len(family) >= 5, "OpenSearch, two emulators and two functions have a process each"
        for ending in endings:
            serve.send_signal(ending)
            time.sleep(0.3)
        view, errors = serve.communicate(timeout=30)
    assert "The boy is sitting [/] on a [bold]bench" in view
    assert "field-invalid  422" in view
    assert f"Page       {page}\n" in view
    assert (serve.returncode, errors) == (0, "")
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


def test_serve_ends_with_a_sentence_if_a_function_has_ended(
    running: Stack, ports: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "local", "serve"]
    settings = environment(ports | {"OPENSEARCH_URL": running.opensearch_url})
    with subprocess.Popen(
        command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serve:
        until_answered(f"http://127.0.0.1:{ports['API_PORT']}/predict", "{}", serve)
        emulator = next(
            pid
            for pid in descendants(serve.pid)
            if "aws-lambda-rie" in Path(f"/proc/{pid}/cmdline").read_text()
        )
        os.kill(emulator, signal.SIGKILL)
        _, errors = serve.communicate(timeout=30)
    assert serve.returncode == 1
    assert "function's process has ended (its log is in " in errors


def assert_one_sentence(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert ended.returncode == 1
    (sentence,) = ended.stderr.strip().splitlines()
    for part in parts:
        assert part in sentence


def until_answered(url: str, body: str, serve: subprocess.Popen[str]) -> requests.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return requests.post(url, data=body, timeout=60)
        except requests.ConnectionError:
            assert serve.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


def until_found(url: str, count: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = requests.get(url, timeout=10)
        if answer.ok and answer.json()["hits"]["total"]["value"] >= count:
            return True
        time.sleep(0.2)
    return False


def descendants(root: int) -> list[int]:
    """Return every running process that `root` started, directly or indirectly."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            continue
    found, fresh = [], [root]
    while fresh:
        fresh = [pid for pid, parent in parents.items() if parent in fresh]
        found += fresh
    return found

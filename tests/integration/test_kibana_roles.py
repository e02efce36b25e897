"""The roles of fine-grained access control against the security plugin itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import requests

from kibana.__main__ import main
from kibana.server import PASSWORD
from local.trouble import free_port
from tests.integration.secured import ADMIN, secured

SHIPPER = "arn:aws:iam::123456789012:role/shipper"
MONITOR = "arn:aws:iam::123456789012:role/monitor"
USERS = {"shipper": [SHIPPER], "monitor": [MONITOR], "nobody": []}
SECRET = "a-Long-Passphrase-7"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with secured(free_port(range(9210, 9299))) as url:
        for user, backend_roles in USERS.items():
            body = {"password": SECRET, "backend_roles": backend_roles}
            requests.put(f"{url}/_plugins/_security/api/internalusers/{user}", auth=ADMIN, json=body, timeout=60).raise_for_status()
        yield url


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(command: str, url: str, *arguments: str, user: str | None = None, password: str = SECRET) -> tuple[int, str, str]:
        monkeypatch.setenv(PASSWORD, password)
        code = main([command, "--opensearch", url, *(["--user", user] if user else []), *arguments])
        return code, *capsys.readouterr()

    return call


def bulk(url: str, user: str, index: str) -> int:
    """The status that one document gets."""
    lines = [{"create": {"_index": index}}, {"@timestamp": "2026-11-23T12:00:00Z", "text": "a", "prediction": {"label": "x", "score": 1}}]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    answer = requests.post(f"{url}/_bulk?refresh=true", auth=(user, SECRET), data=body, headers=headers, timeout=60)
    return int(answer.json()["items"][0]["create"]["status"]) if answer.ok else answer.status_code


def search(url: str, user: str, index: str) -> int:
    return requests.get(f"{url}/{index}/_search", auth=(user, SECRET), timeout=60).status_code


def test_the_roles_permit_what_shipper_and_monitor_do_and_nothing_else(guarded: str, run: Run) -> None:
    arguments = "--shipper-role", SHIPPER, "--monitor-role", MONITOR
    assert bulk(guarded, "shipper", "cwl-2026.11.23") == 403
    code, output, errors = run("install", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])
    assert (code, errors) == (0, "")
    assert output.count(": installed") == 3
    assert bulk(guarded, "shipper", "cwl-2026.11.23") == 201
    assert bulk(guarded, "shipper", "another") == 403
    assert search(guarded, "shipper", "cwl-*") == 403
    assert search(guarded, "monitor", "cwl-*") == 200
    assert search(guarded, "monitor", "cwl-2026.11.23") == 200
    assert bulk(guarded, "monitor", "cwl-2026.11.23") == 403
    for _ in range(2):
        output = run("install", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])[1]
        assert "as it should be already: 3 things" in output
    assert run("status", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])[0] == 0
    output = run("remove", guarded, *arguments, user=ADMIN[0], password=ADMIN[1])[1]
    assert output.count(": removed") == 3
    assert bulk(guarded, "shipper", "cwl-2026.11.23") == 403


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        (ADMIN[0], "wrong", "does not accept who asks (401: Unauthorized): check --user and the environment variable"),
        (None, "", "does not accept who asks (401: Unauthorized)"),
        ("nobody", SECRET, "does not permit GET /_index_template/prediction-monitor (403: no permissions for ["),
        ("shipper", SECRET, "does not permit GET /_index_template/prediction-monitor (403: no permissions for ["),
    ],
)
def test_who_may_not_install_is_told_in_one_sentence(guarded: str, run: Run, user: str | None, password: str, sentence: str) -> None:
    code, _, errors = run("install", guarded, user=user, password=password)
    assert code == 1
    assert sentence in errors
    assert errors.count("\n") == 1

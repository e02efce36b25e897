from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from installer.__main__ import main
from installer.address import PASSWORD
from tests.unit.installer.domain import Domain, listening

SHIPPER = "arn:aws:iam::123456789012:role/shipper"
MONITOR = "arn:aws:iam::123456789012:role/path/monitor"
SOMEBODY = "arn:aws:iam::123456789012:role/somebody"
NOW = int(time.time() * 1000)
INDEX = {
    "name": "kibanaSavedObjectMeta.searchSourceJSON.index",
    "type": "index-pattern",
    "id": "cwl",
}
SEARCH = {"query": {"query": "traffic:live", "language": "kuery"}, "indexRefName": INDEX["name"]}
OBJECTS: dict[str, dict[str, Any]] = {
    "index-pattern/cwl": {
        "attributes": {"title": "cwl-*", "timeFieldName": "@timestamp"},
        "migrationVersion": {"index-pattern": "7.6.0"},
    },
    "search/datatable": {
        "attributes": {
            "title": "MLOps Datatable",
            "description": "The newest predictions.",
            "columns": ["text"],
            "kibanaSavedObjectMeta": {"searchSourceJSON": SEARCH},
        },
        "references": [INDEX],
        "migrationVersion": {"search": "7.9.3"},
    },
    "visualization/labels": {
        "attributes": {
            "title": "Labels",
            "visState": {"title": "Labels", "type": "histogram", "aggs": []},
            "uiStateJSON": {},
        },
        "references": [{"name": "search_0", "type": "search", "id": "datatable"}],
        "migrationVersion": {"visualization": "7.10.0"},
    },
    "dashboard/predictions": {
        "attributes": {
            "title": "Predictions",
            "panelsJSON": [{"version": "7.10.2", "panelIndex": "1"}],
            "timeRestore": True,
        },
        "references": [{"name": "panel_0", "type": "visualization", "id": "labels"}],
        "migrationVersion": {"dashboard": "7.9.3"},
    },
}
NAMES = [name.replace("/", " ") for name in OBJECTS]
STATE = "_g=(refreshInterval:(pause:!f,value:5000),time:(from:now-15m,to:now))"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of `OBJECTS`."""
    for name, content in OBJECTS.items():
        path = tmp_path / "saved" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return tmp_path / "saved"


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("OPENSEARCH_URL", PASSWORD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("installer.server.PAUSE_SECONDS", 0.01)
    state = Domain()
    with listening(state.answer) as url:
        state.url = url
        yield state
    assert state.wrong == []


@pytest.fixture
def run(domain: Domain, folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with the addresses of OpenSearch and of the dashboards.

    This function returns exit code, standard output and standard error.
    """

    def call(
        *arguments: str,
        opensearch: str | None = domain.url,
        dashboards: str | None = domain.dashboards,
        days: str | None = "30",
    ) -> tuple[int, str, str]:
        if days and "--retention-days" not in arguments:
            arguments = *arguments, "--retention-days", days
        addresses = [
            *(["--opensearch", opensearch] if opensearch else []),
            *(["--dashboards", dashboards] if dashboards else []),
        ]
        code = main([*arguments, *addresses], folder)
        return code, *capsys.readouterr()

    return call


def attributes(domain: Domain, kind: str, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = domain.objects["global", kind, identifier]["attributes"]
    return found


def retitled(found: dict[str, Any]) -> None:
    found["title"] = "mine"

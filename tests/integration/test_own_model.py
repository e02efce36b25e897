"""Tests the stack with a user's own model: its predictions, documents and panels.

A small model with four labels is always tested. If ADOPTED names a folder of models that
`make test-full` trained, these models are tested too. Golden sentences are texts with the answers
that the model gave when it was made.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from inference.label_fields import field_names
from installer.evaluate_panel import request, rows
from installer.saved_objects import saved_objects
from local.charts import panels
from local.runtime import running
from local.stack import Settings, Stack, stack
from local.template import Template
from tests.integration.conftest import environment as variables
from tests.models import SHIPPED
from tools.ports import free_port
from tools.root import ROOT

ADOPTED = (
    [path.parent for path in sorted(Path(os.environ["ADOPTED"]).resolve().glob("*/card.json"))]
    if os.environ.get("ADOPTED")
    else []
)


@pytest.fixture(
    scope="module", params=[None, *ADOPTED], ids=lambda path: path.name if path else "four labels"
)
def folder(request: pytest.FixtureRequest, four_label_model: Path) -> Path:
    found: Path = request.param or four_label_model
    return found


@pytest.fixture(scope="module")
def own(folder: Path) -> Iterator[Stack]:
    opensearch_port = free_port(random.sample(range(9210, 9299), 89))
    with stack(Settings(free_port(), opensearch_port, model=str(folder))) as started:
        yield started


def test_the_built_package_has_the_given_model_and_the_shipped_model_is_unchanged(
    folder: Path, template: Template, runtime_packages: Path, tmp_path: Path
) -> None:
    ours = contents(SHIPPED)
    command = ["sam", "build", "InferenceFunction", "--build-dir", str(tmp_path)]
    path = f"{ROOT / '.uv' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"MODEL": str(folder), "SAM_CLI_TELEMETRY": "0", "PATH": path}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    built = tmp_path / "InferenceFunction"
    assert contents(built / "model") == contents(folder)
    assert contents(SHIPPED) == ours

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    function = template.functions["InferenceFunction"]
    settings = variables("InferenceFunction")
    with running(
        function, settings, lambda _: None, code=built, packages=runtime_packages
    ) as runtime:
        answer = runtime.invoke({"sentence": "One"})
    assert answer["model"] == {"name": card["name"], "version": card["version"]}
    assert answer["prediction"]["label"] in card["labels"]


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of each file in a folder, by the file's path."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_golden_sentences_have_the_same_labels_everywhere(folder: Path, own: Stack) -> None:
    """The answers, the documents and the panel have the same labels."""
    card, profile = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("card.json", "profile.json")
    )
    golden = profile["golden"]["sentences"]
    answer = requests.post(
        f"{own.api_url}/predict", json={"sentences": [one["text"] for one in golden]}, timeout=120
    )
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    for one, other in zip(golden, predictions, strict=True):
        assert other["model"] == {"name": card["name"], "version": card["version"]}
        if other["prediction"]["label"] == one["label"]:
            assert other["prediction"]["score"] == pytest.approx(
                one["score"], abs=profile["golden"]["tolerance"]["x86_64"]
            )
        else:
            assert max(one["score"], other["prediction"]["score"]) < 1 / len(card["labels"]) + 0.3
    given = Counter(one["prediction"]["label"] for one in predictions)
    assert set(given) <= set(card["labels"])

    documents = searched(own, [one["prediction_id"] for one in predictions])
    assert Counter(one["prediction"]["label"] for one in documents) == given
    for document in documents:
        assert set(document["prediction"]["probability"]) == set(
            field_names(tuple(card["labels"])).values()
        )
        assert sum(document["prediction"]["probability"].values()) == pytest.approx(1)
        assert document["model"] == {name: card[name] for name in ("name", "version", "profile")}
        assert "@rescued" not in document

    objects, now = saved_objects(), datetime.now(UTC)
    (panel,) = (one for one in objects if one.id == "prediction-monitor-label-counts")
    answer_of_panel = own.answer(request(panel, objects, (now - timedelta(minutes=10), now)))
    shown = {label: count for label, _colour, count in rows(panel, answer_of_panel)}
    assert shown == given
    assert panels(own.answer, now)


def searched(own: Stack, ids: list[str]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    hits: list[dict[str, Any]] = []
    while len(hits) < len(ids) and time.monotonic() < deadline:
        time.sleep(0.2)
        hits = own.search({"size": 100, "query": {"terms": {"prediction_id": ids}}})
    assert len(hits) == len(ids)
    return [hit["_source"] for hit in hits]

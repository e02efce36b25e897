"""Tests of the audit: the exit codes for pip-audit's answers, and the contents of the SBOMs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.output.json import JsonV1Dot6

from audit import sbom, vulnerabilities
from audit.vulnerabilities import Answer
from tests.unit.audit.vulnerability_service import Service, running
from tools.errors import UserError
from tools.root import ROOT

DIGEST = "a" * 64
TODAY = datetime.now(UTC).date()
TOMORROW, YESTERDAY = TODAY + timedelta(days=1), TODAY - timedelta(days=1)
KNOWN = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-1"],
    "fixed_in": ["3.20"],
    "details": "It is slow.",
    "withdrawn": None,
}
type Known = dict[tuple[str, str], list[dict[str, Any]]]
type Exceptions = dict[str, object] | None
PINS = f"idna==3.19 --hash=sha256:{DIGEST}\nsix==1.17.0 --hash=sha256:{DIGEST}\n"
CLEAN: Known = {("idna", "3.19"): [], ("six", "1.17.0"): []}
VULNERABLE = CLEAN | {("idna", "3.19"): [KNOWN]}
WITHDRAWN = KNOWN | {"withdrawn": "2026-01-01T00:00:00Z"}
WITHDRAWN_OR_NOT_MENDED: Known = CLEAN | {
    ("idna", "3.19"): [WITHDRAWN, KNOWN | {"id": "PYSEC-2026-2", "aliases": [], "fixed_in": []}]
}
FOUND = "FAILED: idna 3.19: PYSEC-2026-1 (CVE-2026-1), fixed in 3.20; pinned in requirements.txt"


def _toml(exception: dict[str, object]) -> str:
    lines = (
        f"{name} = {json.dumps(value) if isinstance(value, str) else value}"
        for name, value in exception.items()
    )
    return "\n".join(["[[accepted]]", *lines])


def exception(**changed: object) -> dict[str, object]:
    return {
        "id": "PYSEC-2026-1",
        "package": "idna",
        "reason": "not reached",
        "until": TOMORROW,
    } | changed


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with running(folder) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        patch.setenv("PIP_NO_CACHE_DIR", "1")  # a cache of pip would keep the answers
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("PIP_AUDIT_VULNERABILITY_SERVICE", raising=False)
        yield started


@pytest.fixture(scope="module")
def ask(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Known], Answer]:
    """Return a function that runs the real pip-audit (two seconds), and keeps each answer."""
    path = tmp_path_factory.mktemp("lock") / "requirements.txt"
    path.write_text(PINS)
    answers: dict[str, Answer] = {}

    def ask(known: Known) -> Answer:
        if repr(known) not in answers:
            service.known, service.asked = known, []
            answer = answers[repr(known)] = Answer()
            vulnerabilities.ask(path, answer)
            assert sorted(service.asked) == [("idna", "3.19"), ("six", "1.17.0")]
        return answers[repr(known)]

    return ask


@pytest.mark.parametrize(
    ("known", "excepted", "code", "said"),
    [
        pytest.param(CLEAN, None, 0, "2 pinned packages: no vulnerability is known\n", id="clean"),
        pytest.param(VULNERABLE, None, 1, FOUND, id="vulnerable"),
        pytest.param(
            VULNERABLE,
            exception(),
            0,
            f"accepted until {TOMORROW}: idna 3.19: PYSEC-2026-1",
            id="accepted",
        ),
        pytest.param(
            VULNERABLE,
            exception(until=TODAY),
            0,
            "no unaccepted vulnerability is known",
            id="accepted, last day",
        ),
        pytest.param(
            VULNERABLE,
            exception(id="CVE-2026-1"),
            0,
            ": not reached",
            id="accepted under the CVE number",
        ),
        pytest.param(
            VULNERABLE,
            exception(until=YESTERDAY),
            1,
            FOUND,
            id="exception expired: the finding is reported",
        ),
        pytest.param(
            VULNERABLE,
            exception(until=YESTERDAY),
            1,
            f"was valid until {YESTERDAY}",
            id="exception expired: the exception is reported",
        ),
        pytest.param(
            VULNERABLE, exception(package="six"), 1, FOUND, id="accepted for another package"
        ),
        pytest.param(
            CLEAN,
            exception(),
            1,
            "PYSEC-2026-1 of idna matches no finding any more",
            id="exception without a finding",
        ),
        pytest.param(
            CLEAN,
            exception(until=YESTERDAY),
            1,
            f"was valid until {YESTERDAY}",
            id="expired exception without a finding",
        ),
        pytest.param(
            {},
            None,
            2,
            "NOT RUN: some packages could not be audited. The first of 2 reasons, for ",
            id="packages unknown to the service",
        ),
        pytest.param(
            {},
            exception(),
            2,
            "NOT RUN",
            id="package unknown to the service, with an exception",
        ),
        pytest.param(
            {("idna", "3.19"): [KNOWN]}, None, 1, FOUND, id="one package vulnerable, one unknown"
        ),
        pytest.param(
            WITHDRAWN_OR_NOT_MENDED,
            None,
            1,
            "idna 3.19: PYSEC-2026-2, no version fixes it",
            id="no version fixes it",
        ),
        pytest.param(
            WITHDRAWN_OR_NOT_MENDED,
            exception(),
            1,
            "matches no finding any more",
            id="exception for a withdrawn vulnerability",
        ),
    ],
)
def test_the_answer_of_the_service_decides_the_exit_code(
    *,
    known: Known,
    excepted: Exceptions,
    code: int,
    said: str,
    tmp_path: Path,
    ask: Callable[[Known], Answer],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "accepted.toml").write_text(_toml(excepted) if excepted else "")
    assert (
        vulnerabilities.verdict(ask(known), vulnerabilities.read(tmp_path / "accepted.toml"))
        == code
    )
    output = "".join(capsys.readouterr())
    assert said in output
    assert ("NOT RUN" in output) == (known.keys() != CLEAN.keys())


@pytest.mark.parametrize(
    ("lock", "known", "down", "code", "said"),
    [
        pytest.param(PINS, VULNERABLE, False, 1, FOUND, id="vulnerable"),
        pytest.param(
            PINS,
            CLEAN,
            True,
            2,
            "could not be audited. The reason, for requirements.txt: ",
            id="the service is down",
        ),
        pytest.param(
            "idna==3.19\n", CLEAN, False, 2, "does not contain a hash", id="without a hash"
        ),
    ],
)
def test_a_lock_file_is_audited_or_reported_as_not_audited(
    *,
    lock: str,
    known: Known,
    down: bool,
    code: int,
    said: str,
    tmp_path: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.known = known
    (tmp_path / "requirements.txt").write_text(lock)
    (tmp_path / "accepted.toml").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "down", down)
        assert (
            vulnerabilities.check([tmp_path / "requirements.txt"], tmp_path / "accepted.toml")
            == code
        )
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        exception(reason=" "),
        exception(until="2026-12-31"),
        exception(until="tomorrow"),
        exception(note="more"),
        {name: value for name, value in exception().items() if name != "until"},
        {name: value for name, value in exception().items() if name != "reason"},
    ],
)
def test_an_exception_needs_a_reason_and_a_last_day(
    wrong: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "accepted.toml").write_text(_toml(wrong))
    with pytest.raises(UserError, match="reason"):
        vulnerabilities.read(tmp_path / "accepted.toml")


def test_every_lock_file_is_audited() -> None:
    folders = [each for each in ROOT.iterdir() if each.is_dir() and not each.name.startswith(".")]
    found = {
        path
        for folder in folders
        for path in folder.rglob("*.txt")
        if "--hash=" in path.read_text()
    }
    assert set(vulnerabilities.locks()) == found
    assert len(found) > 1


def test_the_exceptions_of_the_project_can_be_read() -> None:
    vulnerabilities.read(vulnerabilities.ACCEPTED)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        path.name.removesuffix(".cdx.json"): path.read_text()
        for path in sbom.write(tmp_path_factory.mktemp("sbom"))
    }


@pytest.fixture(scope="module")
def documents(written: dict[str, str]) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in written.items()}


@pytest.mark.parametrize("name", sbom.PACKAGES)
def test_an_sbom_lists_every_pin_with_its_hashes(name: str, documents: dict[str, Any]) -> None:
    document = documents[name]
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == (f"prediction-monitor-{name}", sbom.version())
    lock = (sbom.PACKAGES[name] / "requirements.txt").read_text()
    pins = {
        pin: set(re.findall(r"sha256:(\w{64})", rest))
        for pin, rest in re.findall(r"^(\S+==\S+)((?: \\\n\s+--hash=\S+)+)", lock, re.MULTILINE)
    }
    listed = {
        f"{each['name']}=={each['version']}": {
            digest["content"] for link in each["externalReferences"] for digest in link["hashes"]
        }
        for each in document["components"]
        if each["type"] == "library"
    }
    assert listed == pins
    (below,) = [
        each["dependsOn"] for each in document["dependencies"] if each["ref"] == root["bom-ref"]
    ]
    assert sorted(below) == sorted(each["bom-ref"] for each in document["components"])


def test_the_model_is_in_the_sbom_of_its_package_and_of_no_other(documents: dict[str, Any]) -> None:
    models = {
        name: [each for each in document["components"] if each["type"] == "machine-learning-model"]
        for name, document in documents.items()
    }
    assert (models["shipper"], models["installer"]) == ([], [])
    (model,) = models["inference"]
    folder = ROOT / "functions/inference/model"
    card = json.loads((folder / "card.json").read_text())
    assert (model["name"], model["version"]) == (card["name"], card["version"])
    files = {each["name"]: each["hashes"][0] for each in model["components"]} | {
        "model/model.onnx": model["hashes"][0]
    }
    assert files == {
        f"model/{path.name}": {
            "alg": "SHA-256",
            "content": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in folder.iterdir()
    }
    (base,) = model["pedigree"]["ancestors"]
    assert (base["name"], base["licenses"][0]["license"]["id"]) == (
        card["base_model"]["name"],
        card["base_model"]["licence"],
    )
    assert all(corpus["terms"] in model["pedigree"]["notes"] for corpus in card["corpora"])
    parameters, analysis = (
        model["modelCard"]["modelParameters"],
        model["modelCard"]["quantitativeAnalysis"],
    )
    assert parameters["task"] == "text classification"
    assert all(label in parameters["outputs"][0]["format"] for label in card["labels"])
    metrics = {each["type"]: each["value"] for each in analysis["performanceMetrics"]}
    assert metrics == {
        name: str(card["figures"][name]) for name in ("accuracy", "matthews", "calibration_error")
    }


def test_an_sbom_is_the_same_for_the_same_pins(tmp_path: Path, written: dict[str, str]) -> None:
    assert {
        path.name.removesuffix(".cdx.json"): path.read_text() for path in sbom.write(tmp_path)
    } == written


def test_an_invalid_sbom_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        JsonV1Dot6,
        "output_as_string",
        lambda *_, **__: '{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": "one"}',
    )
    with pytest.raises(UserError, match="is not valid CycloneDX"):
        list(sbom.write(tmp_path))
    assert list(tmp_path.iterdir()) == []

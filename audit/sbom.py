"""Write an SBOM (software bill of materials) of each deployed package, in CycloneDX 1.6.

An SBOM lists the pinned packages with their hashes, and the model if the package has one.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.errors import UserError
from tools.root import ROOT

# One entry for each package. Some packages have several functions, for example shipper and replay.
PACKAGES: Final = {
    name: ROOT / "functions" / name
    for name in ("inference", "installer", "monitor", "reporter", "shipper")
}
# Validation takes some seconds, so a document is validated only once, when it is complete
# (`_rendered`).
COMMAND: Final = (
    sys.executable,
    "-m",
    "cyclonedx_py",
    "requirements",
    "--spec-version",
    "1.6",
    "--output-reproducible",
    "--no-validate",
)


def write(folder: Path) -> Iterator[Path]:
    """Write an SBOM for each deployed package, and yield its path.

    The same pins and the same model always give byte-identical files.
    """
    folder.mkdir(exist_ok=True)
    for name, package in PACKAGES.items():
        path = folder / f"{name}.cdx.json"
        file = package / "model" / "card.json"
        card = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        path.write_text(_rendered(_bom(name, package), card) + "\n", encoding="utf-8")
        yield path


def summary(path: Path) -> str:
    """Return the number of packages in an SBOM and the version of its model, in one line."""
    components = json.loads(path.read_text(encoding="utf-8"))["components"]
    models = [
        component["version"]
        for component in components
        if component["type"] == "machine-learning-model"
    ]
    packages = len(components) - len(models)
    return f"{packages} packages{''.join(f', model {version}' for version in models)}"


def version() -> str:
    """Return the version in the newest heading of the changelog, or `unreleased`."""
    found = re.search(
        r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise UserError("CHANGELOG.md has no heading such as ## [1.0.0]")
    return found[1].lower()


def _bom(name: str, package: Path) -> Bom:
    """Return an SBOM of the pinned packages, and of the model if the package has one."""
    done = subprocess.run(
        [*COMMAND, str(package / "requirements.txt")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"no SBOM of {name}: {done.stderr.strip()}")
    # The library adds `from_json` by a decorator, which mypy does not see.
    bom: Bom = Bom.from_json(json.loads(done.stdout))  # type: ignore[attr-defined]
    for component in bom.components:
        component.description = None  # it would repeat the line of requirements.txt with all hashes
    card = package / "model" / "card.json"
    if card.exists():
        bom.components.add(_model(card))
    bom.metadata.component = Component(
        name=f"prediction-monitor-{name}",
        version=version(),
        type=ComponentType.APPLICATION,
        bom_ref=name,
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    # Without a random number and a time, the same input gives the same bytes.
    bom.serial_number = None  # type: ignore[assignment]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    return bom


def _model(path: Path) -> Component:
    """Return the model as a component, with its files, its sources and their licences."""
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    files = sorted(each for each in path.parent.iterdir() if each.name != "model.onnx")
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=card["name"],
        version=card["version"],
        bom_ref=f"model-{card['version']}",
        hashes=[_hash(path.with_name("model.onnx"))],
        components=[
            Component(
                type=ComponentType.FILE,
                name=f"model/{each.name}",
                bom_ref=f"model/{each.name}",
                hashes=[_hash(each)],
            )
            for each in files
        ],
        properties=[Property(name="prediction-monitor:profile", value=card["profile"])],
        pedigree=_pedigree(card),
    )


def _pedigree(card: dict[str, Any]) -> Pedigree | None:
    """Return the base model and the corpora, if the model card names any."""
    base, corpora = card.get("base_model"), card.get("corpora", [])
    ancestors = [
        Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=each["name"],
            bom_ref=each["name"],
            licenses=[DisjunctiveLicense(id=each["licence"])] if each.get("licence") else None,
        )
        for each in ([base] if base else [])
    ]
    notes = (
        "Trained on " + ", ".join(f"{corpus['name']} ({corpus['terms']})" for corpus in corpora)
        if corpora
        else None
    )
    return Pedigree(ancestors=ancestors, notes=notes) if ancestors or notes else None


def _model_card(card: dict[str, Any]) -> dict[str, Any]:
    """Return CycloneDX's `modelCard`: inputs, outputs and measured figures of the model."""
    figures = card["figures"]
    measured = figures.get("sample") or figures.get("corpus") or ""
    low, high = figures.get("accuracy_interval", (None, None))
    metrics = [
        {
            "type": name,
            "value": str(figures[name]),
            "slice": measured,
            **(
                {"confidenceInterval": {"lowerBound": str(low), "upperBound": str(high)}}
                if name == "accuracy" and low is not None
                else {}
            ),
        }
        for name in ("accuracy", "matthews", "calibration_error")
        if name in figures
    ]
    return {
        "modelParameters": {
            "task": "text classification",
            "architectureFamily": "transformer",
            **({"modelArchitecture": card["architecture"]} if "architecture" in card else {}),
            "inputs": [{"format": "text"}],
            "outputs": [{"format": f"one of {', '.join(card['labels'])}, with its probability"}],
        },
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        "considerations": {
            "technicalLimitations": [
                f"Texts of more than {card['max_tokens']} word pieces are cut.",
                *(
                    []
                    if card["calibrated"]
                    else ["Not calibrated: a score is not the probability of being right."]
                ),
            ]
        },
    }


def _hash(path: Path) -> HashType:
    return HashType(
        alg=HashAlgorithm.SHA_256, content=hashlib.sha256(path.read_bytes()).hexdigest()
    )


def _rendered(bom: Bom, card: dict[str, Any] | None) -> str:
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if card:  # the library has no class for a model card
        content = json.loads(text)
        for component in content.get("components", []):
            if component["type"] == "machine-learning-model":
                component["modelCard"] = _model_card(card)
        text = json.dumps(content, indent=2, ensure_ascii=False)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem:
        raise UserError(f"an SBOM is not valid CycloneDX 1.6: {problem}")
    return text

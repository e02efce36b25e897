"""What is in each deployed package, as a CycloneDX 1.6 document: its pins with their hashes, and the model where it carries one."""

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

# The replay function is the shipper's package under another handler.
PACKAGES: Final = {name: ROOT / "functions" / name for name in ("inference", "installer", "shipper")}
# Validated once, when the document is complete (`_rendered`): that takes some seconds.
COMMAND: Final = (sys.executable, "-m", "cyclonedx_py", "requirements", "--spec-version", "1.6", "--output-reproducible", "--no-validate")


def write(folder: Path) -> Iterator[Path]:
    """Write an SBOM for each deployed package, the same to the byte for the same pins and model."""
    folder.mkdir(exist_ok=True)
    for name, package in PACKAGES.items():
        path = folder / f"{name}.cdx.json"
        path.write_text(_rendered(_bom(name, package)) + "\n", encoding="utf-8")
        yield path


def summary(path: Path) -> str:
    """How much is in an SBOM, in a line."""
    components = json.loads(path.read_text(encoding="utf-8"))["components"]
    models = [component["version"] for component in components if component["type"] == "machine-learning-model"]
    return f"{len(components) - len(models)} packages{''.join(f', model {version}' for version in models)}"


def version() -> str:
    """The newest heading of the changelog: a version, or unreleased."""
    found = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise UserError("CHANGELOG.md has no heading such as ## [1.0.0]")
    return found[1].lower()


def _bom(name: str, package: Path) -> Bom:
    """The package's pins as cyclonedx-py sees them, below a component for the package itself."""
    done = subprocess.run([*COMMAND, str(package / "requirements.txt")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"no SBOM of {name}: {done.stderr.strip()}")
    bom: Bom = Bom.from_json(json.loads(done.stdout))  # type: ignore[attr-defined]  # made by its decorator
    for component in bom.components:
        component.description = None  # the line of requirements.txt with all its hashes once more
    card = package / "model" / "card.json"
    if card.exists():
        bom.components.add(_model(card))
    bom.metadata.component = Component(name=f"prediction-monitor-{name}", version=version(), type=ComponentType.APPLICATION, bom_ref=name)
    bom.register_dependency(bom.metadata.component, bom.components)
    # as `--output-reproducible` does: neither a random number nor a time
    bom.serial_number = None  # type: ignore[assignment]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    return bom


def _model(path: Path) -> Component:
    """The model beside its card, and what the card says of where it comes from and on which terms."""
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    files = sorted(each for each in path.parent.iterdir() if each.name != "model.onnx")
    base = card["base_model"]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=card["name"],
        version=card["version"],
        bom_ref=f"model-{card['version']}",
        hashes=[_hash(path.with_name("model.onnx"))],
        components=[
            Component(type=ComponentType.FILE, name=f"model/{each.name}", bom_ref=f"model/{each.name}", hashes=[_hash(each)])
            for each in files
        ],
        properties=[Property(name="prediction-monitor:profile", value=card["profile"])],
        pedigree=Pedigree(
            ancestors=[
                Component(
                    type=ComponentType.MACHINE_LEARNING_MODEL,
                    name=base["name"],
                    bom_ref=base["name"],
                    licenses=[DisjunctiveLicense(id=base["licence"])],
                )
            ],
            notes="Trained on " + ", ".join(f"{corpus['name']} ({corpus['terms']})" for corpus in card["corpora"]),
        ),
    )


def _hash(path: Path) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(path.read_bytes()).hexdigest())


def _rendered(bom: Bom) -> str:
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem:
        raise UserError(f"an SBOM would not be CycloneDX 1.6: {problem}")
    return text

"""Tests the built packages.

They must be small and complete. Their native code must be for the template's processor, and must
run with Lambda's version of the C library.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audit import sbom
from local.template import load
from tools.root import ROOT

MIB = 1024 * 1024
ELF_MACHINES = {"x86_64": 62, "arm64": 183}  # e_machine in the ELF header
RUNTIME_GLIBC = (2, 34)  # in Amazon Linux 2023, the system of Lambda's runtime python3.13


@pytest.fixture(scope="session")
def packages(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of packages for each processor architecture.

    `make build` has built the packages for one architecture. This fixture builds them for the
    other architecture.
    """
    native = os.environ.get("ARCHITECTURE", "x86_64")
    (other,) = ELF_MACHINES.keys() - {native}
    folder = tmp_path_factory.mktemp(other)
    sam = Path(sys.executable).with_name("sam")
    command = [
        str(sam),
        "build",
        "--build-dir",
        str(folder),
        "--parameter-overrides",
        f"Architecture={other}",
    ]
    path = f"{ROOT / '.uv' / 'bin'}:{sam.parent}:{os.environ['PATH']}"
    environment = os.environ | {"ARCHITECTURE": other, "SAM_CLI_TELEMETRY": "0", "PATH": path}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {native: built, other: folder}


@pytest.mark.parametrize(
    ("function", "limit"),
    [
        ("InferenceFunction", 110),
        ("ShipperFunction", 15),
        ("KibanaFunction", 5),
        ("MonitorFunction", 65),
        ("CanaryFunction", 65),
        ("MessengerFunction", 65),
        ("ReportFunction", 15),
    ],
)
def test_a_package_is_small(function: str, limit: int, built: Path) -> None:
    size = sum(path.stat().st_size for path in (built / function).rglob("*") if path.is_file())
    assert size < limit * MIB


@pytest.mark.parametrize("architecture", ELF_MACHINES)
@pytest.mark.parametrize(
    "function", ["InferenceFunction", "ShipperFunction", "ReplayFunction", "MonitorFunction"]
)
def test_native_code_fits_the_architecture_and_the_c_library_of_lambda(
    function: str, architecture: str, packages: dict[str, Path]
) -> None:
    libraries = [
        path for path in (packages[architecture] / function).rglob("*.so*") if path.is_file()
    ]
    needed: dict[tuple[int, ...], Path] = {}
    for library in libraries:
        content = library.read_bytes()
        magic, machine = struct.unpack_from("<4s14xH", content)
        assert (magic, machine) == (b"\x7fELF", ELF_MACHINES[architecture]), library
        # versions of the glibc symbols that the library needs
        versions = re.findall(rb"(?<=\0)GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", content)
        needed |= {tuple(map(int, version)): library for version in versions}
    assert (2, 2) < max(needed) <= RUNTIME_GLIBC, needed[max(needed)]


def test_the_default_architecture_of_the_template_is_x86_64() -> None:
    assert load()["Parameters"]["Architecture"]["Default"] == "x86_64"


@pytest.mark.parametrize(
    ("function", "module"),
    [
        ("InferenceFunction", "inference/handler"),
        ("ShipperFunction", "shipper/handler"),
        ("KibanaFunction", "installer/custom_resource"),
        ("MonitorFunction", "monitor/handler"),
        ("CanaryFunction", "monitor/canary_handler"),
        ("MessengerFunction", "monitor/messenger"),
        ("ReportFunction", "reporter/handler"),
    ],
)
def test_a_package_has_byte_code_that_is_not_checked_against_its_source(
    function: str, module: str, built: Path
) -> None:
    source = built / function / f"{module}.py"
    compiled = (source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc").read_bytes()
    # The byte code is hash-based and unchecked (PEP 552), so times in the zip file do not matter.
    assert struct.unpack_from("<I", compiled, 4)[0] == 0b01


@pytest.fixture
def shipper(tmp_path: Path) -> Path:
    """Return a copy of the shipper's folder that a test may change."""
    return shutil.copytree(ROOT / "functions" / "shipper", tmp_path / "shipper")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the shipper in `folder` with the same command as `sam build`."""
    path = f"{ROOT / '.uv' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"ARTIFACTS_DIR": str(folder.with_name("built")), "PATH": path}
    command = ["make", "--makefile", str(folder / "Makefile"), "build-ShipperFunction"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_pinned_packages_can_be_installed(shipper: Path) -> None:
    done = build(shipper)
    assert done.returncode == 0, done.stderr[-3000:]
    assert shipper.with_name("built").joinpath("idna").is_dir()


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        pytest.param(
            r"(--hash=sha256:.{63})(.)",
            lambda found: found[1] + f"{int(found[2], 16) ^ 1:x}",
            "Hash mismatch for `idna==",
            id="wrong hash",
        ),
        pytest.param(r" \\\n +--hash=\S+", lambda _: "", "idna==", id="no hash"),
    ],
)
def test_a_package_with_a_wrong_or_missing_hash_is_not_installed(
    pattern: str, replacement: Callable[[re.Match[str]], str], said: str, shipper: Path
) -> None:
    lock = shipper / "requirements.txt"
    pinned = re.search(r"^idna==\S+(?: \\\n +--hash=\S+)+", lock.read_text(), re.MULTILINE)
    assert pinned
    lock.write_text(lock.read_text().replace(pinned[0], re.sub(pattern, replacement, pinned[0])))
    done = build(shipper)
    assert done.returncode
    assert said in done.stderr
    assert not shipper.with_name("built").joinpath("idna").exists()


def test_monitor_and_canary_contain_the_card_of_the_built_model(built: Path) -> None:
    for function in ("MonitorFunction", "CanaryFunction"):
        for name in ("card.json", "profile.json"):
            found = (built / function / "monitor" / name).read_bytes()
            assert found == (built / "InferenceFunction" / "model" / name).read_bytes()


def test_monitor_and_canary_can_contain_a_model_and_questions_of_the_user() -> None:
    command = [
        "make",
        "--dry-run",
        "--makefile",
        "functions/monitor/Makefile",
        "build-CanaryFunction",
    ]
    given = os.environ | {"ARTIFACTS_DIR": "/built", "MODEL": "/mine", "CANARY": "/asked"}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True)
    assert 'cp /mine/card.json /mine/profile.json "/built/monitor"' in done.stdout
    assert 'cp "/asked" "/built/monitor/questions.jsonl"' in done.stdout


def test_the_installer_contains_the_files_that_it_installs(built: Path) -> None:
    source, packed = (root / "kibana" for root in (ROOT, built / "KibanaFunction"))
    files = {path.relative_to(source): path.read_bytes() for path in source.rglob("*.json")}
    assert files
    card = Path("card.json")  # the installer gives colours to the labels in the model's card
    files[card] = (built / "InferenceFunction" / "model" / card).read_bytes()
    assert {path.relative_to(packed): path.read_bytes() for path in packed.rglob("*.json")} == files


def test_no_package_contains_parts_of_another_package(built: Path) -> None:
    for function, absent in (("InferenceFunction", "shipper"), ("ShipperFunction", "inference")):
        assert not (built / function / absent).exists()
        assert not list((built / function).glob("**/libonnxruntime.so*"))
    assert not (built / "ReportFunction" / "numpy").exists()
    assert not (built / "ReportFunction" / "shipper" / "handler.py").exists()


@pytest.fixture(scope="module")
def sboms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.name: path for path in sbom.write(tmp_path_factory.mktemp("sbom"))}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("InferenceFunction", "inference"),
        ("ShipperFunction", "shipper"),
        ("ReplayFunction", "shipper"),
        ("KibanaFunction", "installer"),
        ("MonitorFunction", "monitor"),
        ("ReportFunction", "reporter"),
    ],
)
def test_an_sbom_lists_the_libraries_and_models_in_the_package(
    function: str, name: str, built: Path, sboms: dict[str, Path]
) -> None:
    components = json.loads(sboms[f"{name}.cdx.json"].read_text())["components"]
    carried = {
        tuple(folder.stem.lower().split("-", 1))
        for folder in (built / function).glob("*.dist-info")
    }
    assert carried
    assert {
        (each["name"].replace("-", "_"), each["version"])
        for each in components
        if each["type"] == "library"
    } == carried
    models = {
        each["hashes"][0]["content"]
        for each in components
        if each["type"] == "machine-learning-model"
    }
    assert models == {
        hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (built / function).rglob("model.onnx")
    }

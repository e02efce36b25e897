"""The built packages: small enough, complete, and of the processor that the template names."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from local.template import ROOT, load

MIB = 1024 * 1024
ELF_MACHINES = {"x86_64": 62, "arm64": 183}  # e_machine in the ELF header


@pytest.mark.parametrize(("function", "limit"), [("InferenceFunction", 110), ("ShipperFunction", 15), ("KibanaFunction", 5)])
def test_a_package_is_small(function: str, limit: int, built: Path) -> None:
    size = sum(path.stat().st_size for path in (built / function).rglob("*") if path.is_file())
    assert size < limit * MIB


@pytest.mark.parametrize("function", ["InferenceFunction", "ShipperFunction"])
def test_native_code_is_of_the_default_architecture(function: str, built: Path) -> None:
    libraries = [path for path in (built / function).rglob("*.so*") if path.is_file()]
    assert libraries
    for library in libraries:
        magic, machine = struct.unpack_from("<4s14xH", library.read_bytes())
        assert (magic, machine) == (b"\x7fELF", ELF_MACHINES[load()["Parameters"]["Architecture"]["Default"]]), library


@pytest.mark.parametrize(
    ("function", "module"),
    [("InferenceFunction", "inference/handler"), ("ShipperFunction", "shipper/handler"), ("KibanaFunction", "kibana/custom_resource")],
)
def test_byte_code_is_there_and_never_checked_against_its_source(function: str, module: str, built: Path) -> None:
    source = built / function / f"{module}.py"
    compiled = (source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc").read_bytes()
    assert struct.unpack_from("<I", compiled, 4)[0] == 0b01  # hash-based, unchecked (PEP 552): zip times do not matter


def test_the_installer_carries_what_it_installs(built: Path) -> None:
    source, packed = (root / "kibana" / "saved" for root in (ROOT / "kibana", built / "KibanaFunction"))
    files = {path.relative_to(source): path.read_bytes() for path in source.rglob("*.json")}
    assert files
    assert {path.relative_to(packed): path.read_bytes() for path in packed.rglob("*.json")} == files


def test_no_package_carries_what_is_not_its_own(built: Path) -> None:
    for function, absent in (("InferenceFunction", "shipper"), ("ShipperFunction", "inference")):
        assert not (built / function / absent).exists()
        assert not list((built / function).glob("**/libonnxruntime.so*"))

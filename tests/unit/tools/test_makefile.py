from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.root import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the Makefile, the lock files and an existing environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch(0o755)
    return tmp_path


def commands(clone: Path, target: str) -> str:
    """Return the commands that make would run for a target."""
    command = ["make", "--dry-run", "--no-print-directory", target]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("stamp", [".ready", ".run"])
@pytest.mark.parametrize(
    ("moved", "again"),
    [
        pytest.param("{clone}", False, id="not renamed"),
        pytest.param("/another/name", True, id="renamed"),
        pytest.param("", False, id="no path noted"),
    ],
)
def test_an_environment_is_set_up_again_only_if_its_folder_was_renamed(
    clone: Path,
    stamp: str,
    moved: str,
    again: bool,
) -> None:
    """The files of the environment contain its path, so after a renaming they do not work."""
    path = clone / ".venv" / stamp
    path.write_text(moved.format(clone=clone))
    found = commands(clone, f".venv/{stamp}")
    assert ("rm -rf .venv" in found, "pip sync" in found) == (again, again)

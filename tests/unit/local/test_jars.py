from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import jars, opensearch
from tools.errors import UserError
from tools.root import ROOT

NAMES = ("a.jar", "b.jar", "c.jar")


@dataclass
class Maven:
    """Stands in for jgo, the library that downloads jars.

    `counts` has a number for each call of `build`. The call returns this number of jars, and
    downloads those that are missing.
    """

    folder: Path
    counts: list[int]
    updates: list[bool] = field(default_factory=list)

    def build(self, _what: str, *, resolver: Any, update: bool = False) -> SimpleNamespace:
        self.updates.append(update)
        found = [self.folder / name for name in NAMES[: self.counts.pop(0)]]
        for path in found:
            if not path.exists():
                downloading: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = (
                    resolver.progress_callback
                )
                with downloading(f"{path.stem}.pom", 1_000) as add:
                    add(1_000)
                with downloading(path.name, 2_000_000) as add:
                    path.write_bytes(path.name.encode())
                    add(2_000_000)
        return SimpleNamespace(all_jars=found)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.write_text(
        "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in NAMES)
    )
    return path


@pytest.mark.parametrize(
    ("counts", "updates"),
    [([3], [False]), ([2, 3], [False, True])],
    ids=["no jar left out", "one jar left out"],
)
def test_jars_that_jgo_left_out_are_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    lock: Path,
    counts: list[int],
    updates: list[bool],
) -> None:
    maven, told = Maven(tmp_path, counts), list[str]()
    monkeypatch.setattr(jars, "jgo", maven)
    assert [path.name for path in jars.jars("what", lock, told.append)] == list(NAMES)
    assert maven.updates == updates
    assert told[1::2] == ["file 1 of 3, 2 MB", "file 2 of 3, 4 MB", "file 3 of 3, 6 MB"]


def test_jars_that_cannot_be_downloaded_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lock: Path
) -> None:
    monkeypatch.setattr(jars, "jgo", Maven(tmp_path, [2, 2]))
    with pytest.raises(
        UserError,
        match=r"only a part of OpenSearch was downloaded \(2 of 3 files\): check the network",
    ):
        jars.jars("what", lock, lambda _: None)


@pytest.mark.parametrize("name", NAMES)
def test_a_jar_with_another_digest_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lock: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"another")
    monkeypatch.setattr(jars, "jgo", Maven(tmp_path, [3]))
    with pytest.raises(
        UserError, match=rf"{name} is not the file that .+, so it is not run: delete every {name}"
    ):
        jars.jars("what", lock, lambda _: None)


def test_a_jar_that_is_not_in_the_lock_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lock: Path
) -> None:
    lock.write_text("".join(lock.read_text().splitlines(keepends=True)[:2]))
    monkeypatch.setattr(jars, "jgo", Maven(tmp_path, [3]))
    with pytest.raises(UserError, match=r"c\.jar is not the file"):
        jars.jars("what", lock, lambda _: None)


def test_a_lock_file_that_was_written_can_be_read(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in reversed(NAMES)]
    for path in paths:
        path.write_bytes(path.name.encode())
    (tmp_path / "lock").write_text(jars.written(paths))
    assert list(jars.read(tmp_path / "lock")) == list(NAMES)
    assert jars.checked(paths, jars.read(tmp_path / "lock")) == paths


@pytest.mark.parametrize(
    "path",
    [opensearch.LOCK, *(ROOT / "tests" / "integration").glob("*.sha256")],
    ids=lambda path: path.name,
)
def test_a_lock_file_has_a_digest_for_each_jar(path: Path) -> None:
    found = jars.read(path)
    assert len(found) > 80
    assert all(len(digest) == 64 and int(digest, 16) for digest in found.values())
    assert all(name.endswith(".jar") and "/" not in name for name in found)

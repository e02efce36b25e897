"""Jars from Maven Central: resolved and downloaded by jgo, and checked by their digests in the lock file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import jgo
from jgo.maven import PythonResolver

from tools.errors import UserError

MEGABYTE: Final = 1_000_000

Tell = Callable[[str], None]


def jars(what: str, lock: Path, tell: Tell) -> list[Path]:
    """The jars of `what` in the user's cache folder, downloaded the first time.

    `tell` receives the progress.

    Raises `UserError` without a network, and for a jar that is not the one of `lock`: it would run
    as the user.
    """
    logging.getLogger("jgo").setLevel(logging.ERROR)
    wanted = read(lock)
    resolver = PythonResolver(progress_callback=_progress(tell, wanted))
    try:
        found = jgo.build(what, resolver=resolver).all_jars
        if len(found) < len(
            wanted
        ):  # jgo silently leaves out artefacts that it could not look up, and remembers the rest
            found = jgo.build(what, update=True, resolver=resolver).all_jars
    except (FileNotFoundError, PermissionError) as problem:
        raise UserError(
            f"OpenSearch's cache folder cannot be written ({problem.filename}): make HOME a folder of yours"
        ) from problem
    except (
        Exception
    ) as problem:  # jgo passes on exceptions of its HTTP client, its parser and the file system
        raise UserError(
            f"OpenSearch could not be downloaded from Maven Central ({type(problem).__name__}): check the network and run this again, "
            "or set OPENSEARCH_URL to a server that is already there"
        ) from problem
    if len(found) < len(wanted):
        raise UserError(
            f"OpenSearch was downloaded in part only ({len(found)} of {len(wanted)} files): check the network and run this again"
        )
    return checked([Path(jar) for jar in found], wanted)


def read(lock: Path) -> dict[str, str]:
    """A lock file, as `sha256sum` writes it: the digest of each file by its name."""
    lines = (line.split(maxsplit=1) for line in lock.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in lines}


def written(files: Collection[Path]) -> str:
    """A lock file for these files."""
    return "".join(
        f"{_digest(path)}  {path.name}\n" for path in sorted(files, key=lambda path: path.name)
    )


def checked(files: list[Path], wanted: Mapping[str, str]) -> list[Path]:
    """The files, if they are those of a lock.

    Raises `UserError` that names the first one that is not.
    """
    for path in files:
        if wanted.get(path.name) != _digest(path):
            raise UserError(
                f"{path} is not the file that this version was tested with, so it is not run: delete every {path.name} below "
                f"{Path.home()}/.cache and {Path.home()}/.m2, and run this again"
            )
    return files


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _progress(
    tell: Tell, wanted: Collection[str]
) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    """The progress of jgo's downloads, as one sentence about all of them.

    Beside the wanted jars, jgo downloads Maven's descriptions of them: their bytes count, the files
    do not.
    """
    begun: set[str] = set()
    size = 0

    @contextmanager
    def downloading(name: str, _bytes: int) -> Iterator[Callable[[int], None]]:
        if name in wanted:
            begun.add(name)
        yield add

    def add(count_of_bytes: int) -> None:
        nonlocal size
        size += count_of_bytes
        tell(f"file {len(begun)} of {len(wanted)}, {size // MEGABYTE} MB")

    return downloading

"""Download jars from Maven Central with jgo.

Each jar is checked against its digest in the lock file.
"""

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
    """Return the jars of `what` in the user's cache folder, downloaded the first time.

    `what` has Maven's coordinates (group:artifact:version). `tell` is called with the progress. A
    jar runs with the user's permissions, so `UserError` is raised if its digest differs from the
    lock file. Also raises `UserError` if a jar cannot be downloaded.
    """
    logging.getLogger("jgo").setLevel(logging.ERROR)
    wanted = read(lock)
    resolver = PythonResolver(progress_callback=_progress(tell, wanted))
    try:
        found = jgo.build(what, resolver=resolver).all_jars
        # jgo silently leaves out jars that it could not look up, and caches the incomplete list
        if len(found) < len(wanted):
            found = jgo.build(what, update=True, resolver=resolver).all_jars
    except (FileNotFoundError, PermissionError) as problem:
        raise UserError(
            f"OpenSearch's cache folder cannot be written ({problem.filename}): "
            "set HOME to a folder that you own"
        ) from problem
    # jgo passes on exceptions of its HTTP client, its parser and the file system
    except Exception as problem:
        raise UserError(
            f"OpenSearch could not be downloaded from Maven Central ({type(problem).__name__}): "
            "check the network and run this again, or set OPENSEARCH_URL to a server that is "
            "already there"
        ) from problem
    if len(found) < len(wanted):
        raise UserError(
            f"only a part of OpenSearch was downloaded ({len(found)} of {len(wanted)} files): "
            "check the network and run this again"
        )
    return checked([Path(jar) for jar in found], wanted)


def read(lock: Path) -> dict[str, str]:
    """Read a lock file in the format of `sha256sum`. Returns the digest by file name."""
    lines = (line.split(maxsplit=1) for line in lock.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in lines}


def written(files: Collection[Path]) -> str:
    """Return the text of a lock file for these files."""
    return "".join(
        f"{_digest(path)}  {path.name}\n" for path in sorted(files, key=lambda path: path.name)
    )


def checked(files: list[Path], wanted: Mapping[str, str]) -> list[Path]:
    """Return the files if each file's digest is in `wanted`.

    Otherwise raises `UserError`, which names the first file with another digest.
    """
    for path in files:
        if wanted.get(path.name) != _digest(path):
            raise UserError(
                f"{path} is not the file that this version was tested with, so it is not run: "
                f"delete every {path.name} below {Path.home()}/.cache and {Path.home()}/.m2, "
                "and run this again"
            )
    return files


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _progress(
    tell: Tell, wanted: Collection[str]
) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    """Return a progress callback for jgo that reports all downloads in one sentence.

    jgo also downloads the jars' POM files. The reported bytes include POM files, but the reported
    number of files does not.
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

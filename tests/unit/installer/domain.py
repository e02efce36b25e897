"""A domain in memory that answers on a real socket.

The domain has OpenSearch's templates, index state management (ISM) and access control. It also has
OpenSearch Dashboards, at paths that begin with /_dashboards. All answers have the form of answers
from real servers. `wrong` lists every request that breaks the rules of the APIs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BASE_PATH = "/_dashboards"
# the newest version of each type of saved object that Dashboards accepts
NEWEST = {
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
    "dashboard": "7.9.3",
}
# attributes that must be strings, if a saved object has them
STRINGS = (
    "visState",
    "uiStateJSON",
    "searchSourceJSON",
    "panelsJSON",
    "optionsJSON",
    "fields",
    "fieldFormatMap",
)
# requests to paths with these ends do not count as writes
READING = ("_bulk_get", "shorten_url", "_search")


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Reply(NamedTuple):
    status: int
    body: Any
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def no_handler(request: Request, status: int = 400) -> Reply:
    return Reply(
        status,
        {"error": f"no handler found for uri [{request.path}] and method [{request.method}]"},
    )


@dataclass
class Domain:
    url: str = ""
    kibana: bool = False  # if true, the settings are at /api/kibana/settings
    ism: bool = True
    without_ism: int = 400  # the status of the answer if `ism` is false
    access_control: bool = True
    tenants: dict[str, bool] | None = None
    login: tuple[str, str] | None = None
    newest: dict[str, str] = field(default_factory=lambda: dict(NEWEST))
    # Each key is the beginning of a path. A request whose path begins with the key gets the key's
    # next reply in place of the usual answer. None stands for the usual answer.
    answers: dict[str, deque[Reply | None]] = field(default_factory=dict)
    templates: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    # the retention policy of each index, and the version of this policy
    indices: dict[str, tuple[str | None, int | None]] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)  # when an index was created, in ms
    documents: list[dict[str, Any]] = field(default_factory=list)  # recent documents
    cluster: dict[str, Any] = field(default_factory=dict)
    open_distro: bool = False  # Elasticsearch 7.10: ISM and security below _opendistro
    roles: dict[str, Any] = field(default_factory=dict)
    mappings: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(
        default_factory=lambda: {
            "enabled": False,
            "audit": {"log_request_body": True, "enable_rest": True},
        }
    )
    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    sequence: int = 7
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def dashboards(self) -> str:
        return self.url + BASE_PATH

    def answer(self, request: Request) -> Reply:
        with self.lock:
            for path, replies in self.answers.items():
                if request.path.startswith(path) and replies and (given := replies.popleft()):
                    return given
            if self.login and request.headers.get("authorization") != _basic(*self.login):
                return Reply(401, "Unauthorized", "text/plain")
            if request.method != "GET" and not request.path.endswith(READING):
                self.writes.append(f"{request.method} {request.path}")
            if request.path.startswith(BASE_PATH + "/"):
                return self._dashboards(request._replace(path=request.path.removeprefix(BASE_PATH)))
            return self._opensearch(request)

    def refuse(self, what: str, request: Request) -> Reply:
        self.wrong.append(f"{request.method} {request.path}: {what}")
        return Reply(400, {"statusCode": 400, "error": "Bad Request", "message": what})

    # Dashboards

    def _dashboards(self, request: Request) -> Reply:  # noqa: C901, PLR0911  a case per route
        if request.headers.get("osd-xsrf") != "true" or request.headers.get("kbn-xsrf") != "true":
            return self.refuse("Request must contain the kbn-xsrf and osd-xsrf headers", request)
        tenant = request.headers.get("securitytenant")
        if not tenant:
            return self.refuse("no securitytenant header", request)
        product = "kibana" if self.kibana else "opensearch-dashboards"
        match request.method, request.path.split("/")[1:]:
            case "GET", ["api", ("kibana" | "opensearch-dashboards") as asked, "settings"]:
                return Reply(200, {"settings": self.settings}) if asked == product else not_found()
            case "POST", ["api", asked, "settings"] if asked == product:
                return self._change_settings(request)
            case "GET", ["api", "v1", "configuration", "account"]:
                return (
                    not_found()
                    if self.tenants is None
                    else Reply(200, {"data": {"tenants": self.tenants}})
                )
            case "POST", ["api", "saved_objects", "_bulk_get"]:
                return Reply(
                    200, {"saved_objects": [self._get(tenant, one) for one in request.body]}
                )
            case "POST", ["api", "saved_objects", "_import"] if request.query == {
                "overwrite": ["true"]
            }:
                return self._import(tenant, request)
            case "GET", ["api", "saved_objects", "_find"]:
                return self._find(tenant, request.query)
            case "DELETE", ["api", "saved_objects", kind, identifier]:
                return (
                    Reply(200, {})
                    if self.objects.pop((tenant, kind, identifier), None)
                    else not_found()
                )
            case "POST", ["api", "shorten_url"]:
                return self._shorten(request)
        return self.refuse("unknown", request)

    def _change_settings(self, request: Request) -> Reply:
        changes = request.body["changes"]
        if request.body.keys() != {"changes"} or changes.keys() != {"defaultIndex"}:
            return self.refuse("not a change of defaultIndex", request)
        value = changes["defaultIndex"]
        self.settings = {"defaultIndex": {"userValue": value}} if value else {}
        return Reply(200, {"settings": self.settings})

    def _get(self, tenant: str, asked: dict[str, str]) -> dict[str, Any]:
        found = self.objects.get((tenant, asked["type"], asked["id"]))
        missing = {
            "statusCode": 404,
            "error": "Not Found",
            "message": f"Saved object [{asked['type']}/{asked['id']}] not found",
        }
        return found or {**asked, "error": missing}

    def _find(self, tenant: str, query: dict[str, list[str]]) -> Reply:
        if query["page"] != ["1"] or query["per_page"] != ["1000"]:
            return Reply(
                400, {"statusCode": 400, "error": "Bad Request", "message": "no such page"}
            )
        found = [
            {
                **one,
                "attributes": {
                    name: value
                    for name, value in one["attributes"].items()
                    if name in query["fields"]
                },
            }
            for (holder, kind, _), one in self.objects.items()
            if holder == tenant and kind in query["type"]
        ]
        return Reply(
            200, {"page": 1, "per_page": 1000, "total": len(found), "saved_objects": found}
        )

    def _import(self, tenant: str, request: Request) -> Reply:
        file = message_from_bytes(
            b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n" + request.raw
        )
        parts = file.get_payload()
        if not isinstance(parts, list) or len(parts) != 1:
            return self.refuse("the form must have exactly one part", request)
        part: Any = parts[0]
        if part.get_param("name", header="content-disposition") != "file" or not str(
            part.get_filename()
        ).endswith(".ndjson"):
            return self.refuse("no file whose name ends in .ndjson", request)
        sent = [json.loads(line) for line in part.get_payload(decode=True).splitlines()]
        if not sent or len({(one["type"], one["id"]) for one in sent}) < len(sent):
            return self.refuse("no object, or the same object twice", request)
        for one in sent:
            if one.keys() != {
                "type",
                "id",
                "attributes",
                "references",
                "migrationVersion",
            } or _nested(one["attributes"]):
                return self.refuse(
                    f"{one['id']} is no saved object: {_nested(one['attributes'])}", request
                )
            version = one["migrationVersion"][one["type"]]
            if _numbers(version) > _numbers(self.newest[one["type"]]):
                text = (
                    f'Document "{one["id"]}" has property "{one["type"]}" which belongs to a '
                    f"more recent version of Kibana [{version}]."
                )
                return Reply(
                    422, {"statusCode": 422, "error": "Unprocessable Entity", "message": text}
                )
        known = {
            (kind, identifier) for holder, kind, identifier in self.objects if holder == tenant
        } | {(one["type"], one["id"]) for one in sent}
        errors = [error for one in sent if (error := _unresolved(one, known))]
        good = [one for one in sent if not _unresolved(one, known)]
        if not errors:
            for one in sent:
                self.objects[tenant, one["type"], one["id"]] = {
                    **one,
                    "version": "WzEsMV0=",
                    "updated_at": "2026-11-23T12:00:00.000Z",
                }
        return Reply(
            200,
            {
                "success": not errors,
                "successCount": len(good),
                **({"errors": errors} if errors else {}),
            },
        )

    def _shorten(self, request: Request) -> Reply:
        url = request.body["url"]
        if not url.startswith("/app/"):
            return self.refuse("a URL with host or base path", request)
        return Reply(200, {"urlId": short(url)})

    # OpenSearch

    def _opensearch(self, request: Request) -> Reply:  # noqa: C901, PLR0911, PLR0912  a case per route
        way = request.path.split("/")[1:]
        if way[0] == "_opendistro":
            if not self.open_distro:
                return no_handler(request)
            way[0] = "_plugins"
        elif way[0] == "_plugins" and self.open_distro:
            return no_handler(request)
        match request.method, way:
            case "GET", ["_cluster", "settings"]:
                return Reply(200, self.cluster)
            case "POST", [pattern, "_search"] if pattern.endswith("-*"):
                return Reply(200, {"hits": {"hits": self._searched(request.body)[:1]}})
            case "GET", [pattern, "_settings", "index.creation_date"] if pattern.endswith("-*"):
                settings = {
                    name: {"settings": {"index.creation_date": str(made)}}
                    for name, made in self.made.items()
                }
                return Reply(200, settings)
            case "GET", ["_index_template", name] if name.endswith("*"):
                found = [
                    self._template("GET", each, request).body["index_templates"][0]
                    for each in self.templates
                ]
                return Reply(200, {"index_templates": found})
            case method, ["_index_template", name]:
                return self._template(method, name, request)
            case _, ["_plugins", "_ism", *_] if not self.ism:
                return no_handler(request, self.without_ism)
            case method, ["_plugins", "_ism", "policies", name]:
                return self._policy(method, name, request)
            case "GET", ["_plugins", "_ism", "explain", pattern] if pattern.endswith("-*"):
                return Reply(
                    200,
                    {
                        **{name: _explained(name, *held) for name, held in self.indices.items()},
                        "total_managed_indices": 1,
                    },
                )
            case "POST", ["_plugins", "_ism", "add" | "change_policy" | "remove" as verb, names]:
                return self._follow(verb, names.split(","), request)
            case _, ["_plugins", "_security", *_] if not self.access_control:
                return no_handler(request)
            case method, ["_plugins", "_security", "api", "roles", name]:
                return self._security(
                    self.roles, method, name, request, {"cluster_permissions", "index_permissions"}
                )
            case method, ["_plugins", "_security", "api", "rolesmapping", name]:
                return self._security(
                    self.mappings,
                    method,
                    name,
                    request,
                    {"backend_roles", "hosts", "users", "and_backend_roles"},
                )
            case "GET", ["_plugins", "_security", "api", "audit"]:
                return Reply(200, {"_readonly": [], "config": self.audit})
            case "PATCH", ["_plugins", "_security", "api", "audit"]:
                for change in request.body:
                    *way, last = change["path"].removeprefix("/config/").split("/")
                    (self.audit[way[0]] if way else self.audit)[last] = change["value"]
                return Reply(200, {"status": "OK", "message": "Resource updated."})
        return self.refuse("unknown", request)

    def _searched(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        refused = [
            (name, values)
            for each in body["query"]["bool"]["must_not"]
            for name, values in each["terms"].items()
        ]
        return [
            {"_source": document}
            for document in self.documents
            if not any(
                document.get(name.removesuffix(".keyword")) in values for name, values in refused
            )
        ]

    def _template(self, method: str, name: str, request: Request) -> Reply:
        if method == "PUT":
            self.templates[name] = request.body
        elif name not in self.templates:
            return Reply(
                404,
                {
                    "error": {
                        "type": "resource_not_found_exception",
                        "reason": f"no matching [{name}] found",
                    },
                    "status": 404,
                },
            )
        elif method == "DELETE":
            del self.templates[name]
        else:
            kept = json.loads(json.dumps(self.templates[name]))
            settings = kept["template"]["settings"]
            kept["template"]["settings"] = {
                "index": {
                    key.removeprefix("index."): str(value).lower()
                    for key, value in settings.items()
                }
            }
            return Reply(
                200,
                {
                    "index_templates": [
                        {"name": name, "index_template": {**kept, "composed_of": []}}
                    ]
                },
            )
        return Reply(200, {"acknowledged": True})

    def _policy(self, method: str, name: str, request: Request) -> Reply:
        there = self.policies.get(name)
        if method == "PUT":
            sent = {key: value[0] for key, value in request.query.items()}
            version = (
                {"if_seq_no": str(there["_seq_no"]), "if_primary_term": str(there["_primary_term"])}
                if there
                else {}
            )
            if sent != version:
                return self.refuse(f"version {sent} instead of {version}", request)
            self.sequence += 1
            policy = {
                **request.body["policy"],
                "policy_id": name,
                "last_updated_time": 1795435200123,
                "schema_version": 19,
            }
            if isinstance(policy["ism_template"], list) is self.open_distro:
                return self.refuse("an ism_template of the other product", request)
            if not self.open_distro:
                policy["ism_template"] = [
                    {**one, "last_updated_time": 1795435200123} for one in policy["ism_template"]
                ]
            policy["states"] = [
                {
                    **one,
                    "actions": [
                        {"retry": {"count": 3, "backoff": "exponential", "delay": "1m"}, **action}
                        for action in one["actions"]
                    ],
                }
                for one in policy["states"]
            ]
            self.policies[name] = {
                "_id": name,
                "_version": 1,
                "_seq_no": self.sequence,
                "_primary_term": 1,
                "policy": policy,
            }
            return Reply(201, self.policies[name])
        if not there:
            return Reply(
                404,
                {
                    "error": {"type": "status_exception", "reason": "Policy not found"},
                    "status": 404,
                },
            )
        if method == "DELETE":
            del self.policies[name]
        return Reply(200, there)

    def _follow(self, verb: str, names: list[str], request: Request) -> Reply:
        name = None if verb == "remove" else request.body["policy_id"]
        if name and (request.body.keys() != {"policy_id"} or name not in self.policies):
            return self.refuse("no policy to follow", request)
        failed = [one for one in names if (self.indices[one][0] is None) is not (verb == "add")]
        for one in set(names) - set(failed):
            self.indices[one] = name, self.policies[name]["_seq_no"] if name else None
        reasons = [
            {"index_name": one, "index_uuid": "u", "reason": "This index already has a policy"}
            for one in failed
        ]
        return Reply(
            200,
            {
                "updated_indices": len(names) - len(failed),
                "failures": bool(failed),
                "failed_indices": reasons,
            },
        )

    def _security(
        self, kept: dict[str, Any], method: str, name: str, request: Request, names: set[str]
    ) -> Reply:
        if method == "PUT":
            if not request.body.keys() <= names:
                return self.refuse(f"invalid keys {request.body.keys() - names}", request)
            status = 200 if name in kept else 201
            kept[name] = {
                **{each: [] for each in names},
                **request.body,
                "reserved": False,
                "hidden": False,
            }
            return Reply(
                status,
                {"status": "OK" if status == 200 else "CREATED", "message": f"'{name}' created."},
            )
        if name not in kept:
            return Reply(404, {"status": "NOT_FOUND", "message": f"Resource '{name}' not found."})
        if method == "DELETE":
            del kept[name]
            return Reply(200, {"status": "OK", "message": f"'{name}' deleted."})
        return Reply(200, {name: kept[name]})


@dataclass
class Address:
    """The address where CloudFormation waits for answers.

    It is like a presigned address of S3, which itself holds the signature. So it accepts only PUT
    requests that have neither a content type nor the header `Authorization`.
    """

    url: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    refusals: deque[int] = field(default_factory=deque)

    def answer(self, request: Request) -> Reply:
        if self.refusals:
            return Reply(self.refusals.popleft(), "")
        if (
            request.method != "PUT"
            or request.headers.get("content-type")
            or "authorization" in request.headers
        ):
            return Reply(
                403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml"
            )
        assert request.query == {"X-Amz-Signature": ["xyzzy"]}
        self.answers.append(request.body)
        return Reply(200, "")


def short(url: str) -> str:
    return hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()


def not_found() -> Reply:
    return Reply(404, {"statusCode": 404, "error": "Not Found", "message": "Not Found"})


def _explained(name: str, policy: str | None, version: int | None) -> dict[str, Any]:
    setting = {"index.plugins.index_state_management.policy_id": policy}
    return (
        {**setting, "index": name, "policy_id": policy, "policy_seq_no": version}
        if version is not None
        else setting
    )


def _nested(attributes: dict[str, Any]) -> list[str]:
    """Return the attributes that must be strings and are not."""
    found = [name for name in STRINGS if not isinstance(attributes.get(name, ""), str)]
    return found + [
        name for value in attributes.values() if isinstance(value, dict) for name in _nested(value)
    ]


def _unresolved(one: dict[str, Any], known: set[tuple[str, str]]) -> dict[str, Any] | None:
    missing = [
        {"type": each["type"], "id": each["id"]}
        for each in one["references"]
        if each["type"] in {"index-pattern", "search"} and (each["type"], each["id"]) not in known
    ]
    error = {"type": "missing_references", "references": missing, "blocking": []}
    return (
        {"id": one["id"], "type": one["type"], "title": one["attributes"]["title"], "error": error}
        if missing
        else None
    )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Certificate(NamedTuple):
    """The PEM files of a self-signed certificate for 127.0.0.1."""

    public: Path
    private: Path


def certified(folder: Path) -> Certificate:
    """Make a certificate that is valid for one day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    )
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(
        now + timedelta(days=1)
    )
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    made.public.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made.private.write_bytes(private)
    return made


@contextmanager
def listening(
    answer: Callable[[Request], Reply], port: int = 0, certificate: Certificate | None = None
) -> Iterator[str]:
    """Run a server on 127.0.0.1, with https if a certificate is given. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def take(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(headers.get("content-length", "0")))
            reply = answer(Request(self.command, parts.path, parse_qs(parts.query), headers, raw))
            body = (
                reply.body.encode()
                if isinstance(reply.body, str)
                else json.dumps(reply.body).encode()
            )
            self.send_response(reply.status)
            for name, value in (
                ("content-type", reply.kind),
                ("content-length", str(len(body))),
                *reply.headers,
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        # the name comes from the base class
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = take  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", port), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        # a daemon, so that a failed test does not keep the process running
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()

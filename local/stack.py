"""Run the whole stack on 127.0.0.1, with functions, routes and subscription of template.yaml."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests

from installer import server as kibana_server
from installer.install import desired_state, install
from local import opensearch, template
from local.asynchronous import Asynchronous
from local.cloudwatch import Subscription
from local.filter_pattern import parse
from local.gateway import Invoke, Route, gateway
from local.jars import Tell
from local.runtime import FunctionFailed, Runtime, running
from tools.errors import UserError
from tools.ports import ensure_free, taken

# All functions share this key for hashes (of texts and of redacted fields), as in a deployed stack.
KEY: Final = "the local stack's own"
LOGS: Final = Path.home() / ".cache" / "prediction-monitor" / "logs"
# The pauses before retries. On AWS they are minutes, but here somebody waits at the terminal.
RETRY_SECONDS: Final = (1.0, 2.0)

Step = Callable[[str], AbstractContextManager[Tell]]


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's settings of the local stack.

    `opensearch_url` is the address of an existing server. `log_text` is the value of LOG_TEXT for
    the function. `model` is the folder of a model that replaces the package's model. `keep` is the
    folder in which documents survive a restart. `page_port` is the port of the page; None means
    the first free port above the API's port.
    """

    api_port: int
    opensearch_port: int
    opensearch_url: str | None = None
    log_text: str = "true"
    model: str = ""
    keep: str = ""
    page_port: int | None = None

    @classmethod
    def of(cls, environment: dict[str, str]) -> Settings:
        """Read API_PORT, OPENSEARCH_PORT, PAGE_PORT, OPENSEARCH_URL, LOG_TEXT, MODEL and KEEP.

        Raises `UserError`.
        """
        ports = {}
        for name, default, last in (
            ("API_PORT", "3000", 65535),
            ("OPENSEARCH_PORT", "9200", opensearch.LAST_PORT),
            ("PAGE_PORT", "", 65535),
        ):
            value = environment.get(name) or default
            if not value:
                continue
            if (
                not (value.isascii() and value.isdigit() and len(value) <= 5)
                or not 1024 <= int(value) <= last
            ):
                raise UserError(
                    f"{name} must be a port between 1024 and {last}, not {value[:20]!r}"
                )
            ports[name] = int(value)
        if len(set(ports.values())) < len(ports):
            raise UserError(f"{', '.join(ports)} must be different ports")
        log_text = environment.get("LOG_TEXT") or "true"
        if log_text not in {"true", "false"}:
            raise UserError(f"LOG_TEXT must be true or false, not {log_text!r}")
        url = (environment.get("OPENSEARCH_URL") or "").rstrip("/") or None
        model = environment.get("MODEL") or ""
        if model and not (Path(model) / "card.json").is_file():
            raise UserError(
                "MODEL must be a folder that `make model` wrote, with card.json in it, "
                f"not {model!r}"
            )
        keep = environment.get("KEEP") or ""
        if keep and url:
            raise UserError(
                "KEEP is only for an OpenSearch that is started here, but OPENSEARCH_URL names "
                "your own server: unset one of the two"
            )
        if keep and Path(keep).exists() and not Path(keep).is_dir():
            raise UserError(f"KEEP must be a folder, not {keep!r}")
        model, keep = (str(Path(one).resolve()) if one else "" for one in (model, keep))
        page = ports.get("PAGE_PORT")
        return cls(ports["API_PORT"], ports["OPENSEARCH_PORT"], url, log_text, model, keep, page)


@dataclass(slots=True)
class Stack:
    """A running stack: its addresses, functions and subscription.

    `dead_letters` imitates the bucket of undelivered payloads, and maps keys to contents. The local
    stack has no replay, so dead letters are kept only in memory. `logs` is the folder of the
    functions' logs, which are kept until another stack starts at the same port. `failures` lists
    the errors of API requests whose function failed.
    """

    api_url: str
    opensearch_url: str
    inference: Runtime
    shipper: Runtime
    subscription: Subscription
    dead_letters: dict[str, bytes]
    logs: Path
    failures: list[str] = field(default_factory=list)

    def search(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the documents of `cwl-*` that `query` finds: none while there is no index."""
        hits: list[dict[str, Any]] = self.answer(query).get("hits", {}).get("hits", [])
        return hits

    def answer(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a search of `cwl-*`. It is empty until an index is ready."""
        url = f"{self.opensearch_url}/{opensearch.PATTERN}/_search"
        answer = requests.post(url, json=query, params={"ignore_unavailable": "true"}, timeout=10)
        # an index that was just created has no active shard yet
        if answer.status_code == requests.codes.unavailable:
            return {}
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def refresh(self) -> None:
        """Make every document searchable."""
        url = f"{self.opensearch_url}/{opensearch.PATTERN}/_refresh"
        requests.post(url, timeout=30).raise_for_status()


def _silently(_name: str) -> AbstractContextManager[Tell]:
    return nullcontext(lambda _: None)


@contextmanager
def stack(
    settings: Settings, step: Step = _silently, say: Tell = lambda _: None
) -> Iterator[Stack]:
    """Start all parts, beginning with OpenSearch, and end them in reverse order.

    `step` shows the progress of a slow step. If records did not arrive, `say` is called at the end
    with their number. Raises `UserError` if a part cannot start.
    """
    plan = template.read()
    if len(plan.subscriptions) != 1:
        raise UserError(
            f"the local stack runs one subscription; template.yaml has {len(plan.subscriptions)}"
        )
    ((log_group, pattern, subscriber),) = plan.subscriptions
    parse(pattern)
    ensure_free(settings.api_port, "API_PORT")
    if not settings.opensearch_url:
        ensure_free(settings.opensearch_port, "OPENSEARCH_PORT")
    with ExitStack() as parts:
        if settings.opensearch_url:
            url = _existing(settings.opensearch_url)
        else:
            folder = Path(settings.keep, "opensearch") if settings.keep else None
            with step("OpenSearch: starting (the first time it is downloaded, 75 MB)") as tell:
                url = parts.enter_context(
                    opensearch.node(settings.opensearch_port, folder, tell=tell)
                )
        with step("OpenSearch: index template"):
            _install(url, log_group)
        with step("functions: starting under the Lambda runtime"):
            logs = LOGS / str(settings.api_port)
            log = {name: parts.enter_context(_log(logs / f"{name}.log")) for name in plan.functions}
            shipper = parts.enter_context(
                running(
                    plan.functions[subscriber],
                    {"OPENSEARCH_URL": url, "REDACT_KEY": KEY},
                    log[subscriber],
                )
            )
            letters: dict[str, bytes] = {}
            asynchronous = Asynchronous(
                plan.functions[subscriber], shipper.invoke, letters.__setitem__, RETRY_SECONDS
            )
            subscription = Subscription(log_group, pattern, asynchronous)
            parts.callback(_say_missing, subscription, logs, say)
            parts.enter_context(subscription.running(10))
            own = {
                "HASH_KEY": KEY,
                "LOG_TEXT": settings.log_text,
                "MODEL_FOLDER": settings.model,
            }
            api = {
                name: parts.enter_context(
                    running(plan.functions[name], own, _both(log[name], subscription.put))
                )
                for name in set(plan.routes.values())
            }
        failures: list[str] = []
        routes = {
            route: _noting(api[name].invoke, f"{' '.join(route)}: {name}", failures)
            for route, name in plan.routes.items()
        }
        server = _gateway(settings.api_port, routes)
        parts.callback(server.server_close)
        _thread(server.serve_forever)
        parts.callback(server.shutdown)
        inference = next(iter(api.values()))
        yield Stack(
            f"http://127.0.0.1:{settings.api_port}",
            url,
            inference,
            shipper,
            subscription,
            letters,
            logs,
            failures,
        )


@contextmanager
def _log(path: Path) -> Iterator[Tell]:
    """Yield a function that writes lines to a file that only the user can read.

    Lines that cannot be written are skipped. Raises `UserError` if the file cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as problem:
        raise UserError(
            f"{path} cannot be written ({problem.strerror}): set HOME to a folder that you own"
        ) from problem
    # open() because Path.open takes no file descriptor
    with open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123

        def keep(line: str) -> None:
            with suppress(OSError, ValueError):
                file.write(f"{line}\n")

        yield keep


def _both(first: Tell, second: Tell) -> Tell:
    def tell(line: str) -> None:
        first(line)
        second(line)

    return tell


def _noting(invoke: Invoke, what: str, failures: list[str]) -> Invoke:
    """Return a function that calls `invoke`, and adds each failure to `failures`.

    The API's client gets no details of a failure, as on AWS.
    """

    def noted(event: dict[str, Any]) -> Any:
        try:
            return invoke(event)
        except FunctionFailed as problem:
            failures.append(f"{what}: {problem}")
            raise

    return noted


def _say_missing(subscription: Subscription, logs: Path, say: Tell) -> None:
    missing = subscription.counts.waiting
    if missing:
        records = "1 record" if missing == 1 else f"{missing} records"
        say(f"{records} did not arrive in OpenSearch: the lines are in {logs}")


def _gateway(port: int, routes: dict[Route, Invoke]) -> ThreadingHTTPServer:
    try:
        return gateway(port, routes)
    except OSError as problem:
        raise taken(port, "API_PORT", problem) from None


def _existing(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"OPENSEARCH_URL must begin with http:// or https://, not {url!r}")
    shown = without_password(url)
    if (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn", ".on.aws")):
        raise UserError(
            f"{shown} (OPENSEARCH_URL) accepts only signed requests, which the local stack does "
            "not send: deploy the stack instead"
        )
    reason = opensearch.unusable(url)
    if reason:
        raise UserError(
            f"no OpenSearch can be used at {shown} (OPENSEARCH_URL): {reason}; "
            "correct the address, or unset the variable to start an OpenSearch here"
        )
    return url


def without_password(url: str) -> str:
    """Return the address without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _install(url: str, log_group: str) -> None:
    """Install the index template, as `python -m installer install` does.

    No retention policy is installed, because it could delete a user's indices.
    """
    parts = urlsplit(url)
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    try:
        install(
            desired_state(
                [],
                opensearch=without_password(url),
                user=user,
                password=password,
                groups=[log_group],
            ),
            say=lambda _: None,
        )
    except kibana_server.UserError as problem:
        raise UserError(f"{problem}; or unset OPENSEARCH_URL to start an OpenSearch here") from None


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from installer.__main__ import main
from tests.unit.installer.conftest import NAMES, Run
from tests.unit.installer.domain import Domain, Reply, listening

NOT_READY = Reply(503, "Kibana server is not ready yet", "text/plain")


def test_install_waits_for_a_server_that_is_starting(domain: Domain, run: Run) -> None:
    domain.answers = {
        "/_index_template": deque([Reply(502, "bad gateway", "text/html")]),
        "/_dashboards": deque([NOT_READY] * 3),
    }
    code, _, errors = run("install")
    assert code == 0
    assert errors.count("waiting for OpenSearch at") == 1
    assert errors.count("waiting for Dashboards at") == 1


def test_install_waits_for_a_server_that_does_not_listen_yet(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    later, ended = Domain(), threading.Event()

    def serve() -> None:
        time.sleep(0.3)
        with listening(later.answer, port):
            ended.wait(30)

    thread = threading.Thread(target=serve)
    thread.start()
    code, _, errors = run("install", opensearch=f"http://127.0.0.1:{port}")
    ended.set()
    thread.join()
    assert code == 0, errors
    assert later.templates


REDIRECT = Reply(302, "", "text/html", (("location", "https://login.example.com/saml?secret=1"),))
NO_PERMISSION = Reply(
    403,
    {
        "error": {
            "type": "security_exception",
            "reason": "no permissions for [indices:admin/index_template/get] and User [name=jane]",
        }
    },
)
ANONYMOUS = Reply(403, {"Message": "User: anonymous is not authorized to perform: es:ESHttpGet"})
HTML = Reply(200, "<html>a login page</html>", "text/html")
UNSUPPORTED = {
    "success": False,
    "successCount": 3,
    "errors": [
        {
            "id": "labels",
            "type": "visualization",
            "title": "Labels",
            "error": {"type": "unsupported_type"},
        }
    ],
}
IMPORT = "/_dashboards/api/saved_objects/_import"
FIRST = "/_index_template"
BAD: list[tuple[str, dict[str, list[Reply]], list[str], str]] = [
    (
        "a redirect",
        {FIRST: [REDIRECT]},
        [],
        (
            "redirects GET /_index_template/prediction-monitor* to https://login.example.com/saml: "
            "give"
        ),
    ),
    (
        "403 from fine-grained access control",
        {FIRST: [NO_PERMISSION]},
        [],
        "no permissions for [indices:admin/index_template/get]",
    ),
    (
        "403 from a domain's policy",
        {FIRST: [ANONYMOUS]},
        [],
        "--sign REGION for an Amazon domain with a custom endpoint",
    ),
    (
        "a web page instead of JSON",
        {FIRST: [HTML]},
        [],
        "with 200 and no JSON object (<html>a login page</html>): check address and base path",
    ),
    ("a web page instead of JSON from Dashboards", {"/_dashboards": [HTML]}, [], "and no JSON"),
    (
        "a server that does not become ready",
        {"/_dashboards": [NOT_READY]},
        ["--wait", "0"],
        "(503: Kibana server is not ready yet): look",
    ),
    (
        "a list instead of an object",
        {FIRST: [Reply(200, ["a list"])]},
        [],
        "with 200 and no JSON object",
    ),
    (
        "an answer of another kind of server",
        {FIRST: [Reply(200, {"hello": "world"})]},
        [],
        "answers, but not as OpenSearch: check --opensearch",
    ),
    (
        "an answer without settings",
        {"/_dashboards": [Reply(200, {})] * 2},
        [],
        "neither Dashboards nor Kibana is at",
    ),
    (
        "an error of the server",
        {FIRST: [Reply(500, {"error": "boom"})]},
        [],
        "(500: boom): check its version and its log",
    ),
    (
        "a base path without a server",
        {},
        ["--base-path", "/x"],
        "neither Dashboards nor Kibana is at",
    ),
    (
        "an import that is too large",
        {IMPORT: [Reply(413, {"message": "Payload content length"})]},
        [],
        "(413: Payload content length)",
    ),
    (
        "errors inside an answer with status 200",
        {IMPORT: [Reply(200, UNSUPPORTED)]},
        [],
        "did not accept visualization labels (unsupported_type)",
    ),
    (
        "an answer that counts fewer imported objects than were sent",
        {IMPORT: [Reply(200, {"success": True, "successCount": 0})]},
        [],
        "did not accept all objects",
    ),
    (
        "a user without a password",
        {},
        ["--user", "jane"],
        "the user jane needs a password: set the environment variable",
    ),
    (
        "another user in the address",
        {},
        ["--dashboards", "http://jane:secret@127.0.0.1", "--user", "joe"],
        "user joe needs a password",
    ),
    (
        "a password that is not escaped",
        {},
        ["--dashboards", "http://jane:sec/ret@127.0.0.1"],
        "--dashboards must be an http(s) address",
    ),
    (
        "an invalid address",
        {},
        ["--dashboards", "127.0.0.1:5601"],
        "--dashboards must be an http(s) address: https://HOST",
    ),
    (
        "an unreachable server",
        {},
        ["--dashboards", "http://127.0.0.1:1", "--wait", "0"],
        "cannot be reached: check the address",
    ),
    (
        "an unknown host",
        {},
        ["--dashboards", "http://no.invalid"],
        "cannot be reached: check the address",
    ),
]


@pytest.mark.parametrize(
    ("answers", "arguments", "sentence"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_an_unusable_server_or_address_gives_one_sentence_and_exit_code_1(  # noqa: PLR0917
    domain: Domain,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, list[Reply]],
    arguments: list[str],
    sentence: str,
) -> None:
    domain.answers = {path: deque(replies) for path, replies in answers.items()}
    if "--base-path" in arguments:
        domain.answers["/_dashboards/x"] = deque(
            [Reply(404, {"statusCode": 404, "message": "Not Found"})] * 2
        )
    code = main(
        ["install", "--opensearch", domain.url, "--dashboards", domain.dashboards, *arguments],
        folder,
    )
    errors = capsys.readouterr().err.splitlines()
    assert code == 1
    assert sentence in errors[-1]
    assert len([line for line in errors if "waiting for" not in line]) == 1
    assert "secret" not in errors[-1]
    if IMPORT not in answers:
        assert domain.writes == []


def test_an_older_server_and_its_missing_objects_are_reported(domain: Domain, run: Run) -> None:
    domain.newest["visualization"] = "7.9.3"
    code, output, errors = run("install")
    assert code == 1
    assert 'is too old for these files (Document "labels" has property' in errors
    assert "index template prediction-monitor: installed" in output
    for name in NAMES:
        assert f"{name}: missing" in output


def test_an_object_with_a_missing_reference_is_reported(
    domain: Domain, run: Run, folder: Path
) -> None:
    (folder / "index-pattern" / "cwl.json").unlink()
    code, output, errors = run("install")
    assert code == 1
    assert "search datatable (missing_references index-pattern cwl)" in errors
    assert "dashboard predictions: missing" in output


def test_a_server_that_fails_half_way_is_reported(domain: Domain, run: Run) -> None:
    down = [None, None, Reply(500, {"error": "down"}), Reply(500, {"error": "down"})]
    domain.answers = {"/_index_template": deque(down)}
    code, output, errors = run("install")
    assert code == 1
    assert "refuses PUT /_index_template/prediction-monitor (500: down)" in errors
    assert "the installed parts cannot be read: run status" in output


ARGUMENTS = [
    ([], "nothing to do without --opensearch and --dashboards: give one of them, or both"),
    (["--retention-days", "0"], "'0' is not a number of days: give a whole number, 1 or more"),
    (["--wait", "soon"], "'soon' is not a number of seconds: give a whole number, 0 or more"),
    (
        ["--shipper-role", "arn:aws:sts::123456789012:assumed-role/a/b"],
        "is not a role: give its ARN, such as arn:aws:iam::123456789012:role/NAME",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), ARGUMENTS)
def test_wrong_arguments_give_one_sentence_and_exit_code_2(
    domain: Domain, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["install", *arguments])
    assert end.value.code == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1

"""Tests that `render` writes the bodies that `install` sends, and never overwrites a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installer.__main__ import main
from tests.unit.installer.domain import READING, Domain, Reply, Request, listening

ROLES = {kind: f"arn:aws:iam::123456789012:role/delivery/{kind}" for kind in ("shipper", "monitor")}
WANTED = [
    *(
        "--index-prefix",
        "dev-cwl-",
        "--log-group",
        "/my/group",
        "--retention-days",
        "40",
        "--audit-log",
    ),
    *("--shipper-role", ROLES["shipper"], "--monitor-role", ROLES["monitor"]),
]


def listed(folder: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((folder / "requests.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("stack", [["--stack", "monitor"], []], ids=["a stack", "no stack"])
def test_the_rendered_files_equal_the_requests_of_an_installation(
    stack: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    domain, sent = Domain(), list[Request]()

    def noted(request: Request) -> Reply:
        if request.method != "GET" and not request.path.endswith(READING):
            sent.append(request)
        return domain.answer(request)

    with listening(noted) as url:
        assert (
            main(
                [
                    "install",
                    "--opensearch",
                    url,
                    "--dashboards",
                    f"{url}/_dashboards",
                    "--wait",
                    "0",
                    *stack,
                    *WANTED,
                ]
            )
            == 0
        )
    assert not domain.wrong
    assert main(["render", "--out", str(tmp_path / "out"), *stack, *WANTED]) == 0
    assert [(one.method, one.path) for one in sent] == [
        (one["method"], one["path"].partition("?")[0]) for one in listed(tmp_path / "out")
    ]
    for request, entry in zip(sent, listed(tmp_path / "out"), strict=True):
        body = (tmp_path / "out" / entry["file"]).read_bytes()
        if entry["file"].endswith(".ndjson"):
            assert body in request.raw
        else:
            assert json.loads(body) == request.body


def test_parts_that_are_not_asked_for_are_not_rendered(tmp_path: Path) -> None:
    assert main(["render", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        *("index-template.json", "saved-objects.ndjson", "default-index.json", "requests.json")
    }


@pytest.mark.parametrize(
    ("file", "sentence"),
    [("out", "cannot be written"), ("out/mine", "is not empty: give a new folder")],
)
def test_no_existing_file_is_overwritten(
    file: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    assert main(["render", "--out", str(tmp_path / "out")]) == 1
    assert sentence in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]

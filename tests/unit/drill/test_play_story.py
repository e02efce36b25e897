"""The drill refuses settings that would keep its invented predictions, or that forbid its texts."""

from __future__ import annotations

import pytest

from drill.__main__ import main


@pytest.mark.parametrize(
    ("environment", "arguments", "named"),
    [
        ({"OPENSEARCH_URL": "http://127.0.0.1:1"}, [], "OPENSEARCH_URL"),
        ({"KEEP": "a folder that is not there"}, [], "KEEP"),
        ({"LOG_TEXT": "false"}, ["--data", "texts"], "LOG_TEXT=false"),
    ],
)
def test_a_setting_is_refused_in_one_sentence(
    environment: dict[str, str],
    arguments: list[str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("drill.__main__.stack", lambda *_: pytest.fail("the stack was started"))
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line

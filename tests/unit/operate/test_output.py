"""Tests that text from a server is printed safely."""

from __future__ import annotations

import pytest

from operate import output


def test_a_sentence_that_quotes_a_server_cannot_control_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Sentences quote ids and reasons from the server, for instance in `compare_ids`."""
    output.complain("the index has other ids: \x1b[2J\r\u202e")
    assert capsys.readouterr().err.endswith(
        "ids: \N{REPLACEMENT CHARACTER}[2J \N{REPLACEMENT CHARACTER}\n"
    )

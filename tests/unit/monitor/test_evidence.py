"""Tests that a message takes no fact from a partial answer of OpenSearch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.messages.evidence import Sight
from monitor.opensearch_problem import ServerProblem


class Server:
    """An OpenSearch that gives one answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def perform_request(self, *_: object, **__: object) -> tuple[int, object, str]:
        return 200, {}, json.dumps(self._answer)


def search(*, timed_out: bool, failed: int) -> dict[str, Any]:
    answer = {
        "timed_out": timed_out,
        "_shards": {"failed": failed},
        "aggregations": {"n": {"value": 1}},
    }
    return Sight(Server(answer), None, "cwl-*").search({})  # type: ignore[arg-type]


def test_a_complete_answer_gives_its_aggregations() -> None:
    assert search(timed_out=False, failed=0) == {"n": {"value": 1}}


@pytest.mark.parametrize(("timed_out", "failed"), [(True, 0), (False, 1)])
def test_a_partial_answer_is_refused(timed_out: bool, failed: int) -> None:
    with pytest.raises(ServerProblem, match="could not read all of"):
        search(timed_out=timed_out, failed=failed)

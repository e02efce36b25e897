"""Tests that docs/kinesis.md shows the requests that the bench counts."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from bench.bulk_server import sink
from bench.requests_by_route import RECORDS, table
from tools.root import ROOT


def test_the_page_shows_the_counted_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    lines = [json.dumps({"message": "a line", "n": number}) for number in range(RECORDS)]
    with sink() as url:
        monkeypatch.setenv("OPENSEARCH_URL", url)
        sys.modules.pop("shipper.handler", None)
        module = importlib.import_module("shipper.handler")
        try:
            found = table(lines, module.handler)
        finally:
            module.connection.close()
            sys.modules.pop("shipper.handler", None)
    assert found in (ROOT / "docs/kinesis.md").read_text()

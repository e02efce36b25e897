from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from bench.bulk_server import sink
from shipper.bulk import PARAMS

COUNT = 50
BODY = b'{"create":{"_index":"a","_id":"1"}}\n{"n":1}\n' * COUNT


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, sink() as address:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield address


@pytest.mark.parametrize("packed", [False, True])
def test_the_bulk_server_has_an_answer_for_each_document(*, url: str, packed: bool) -> None:
    headers = {
        "content-type": "application/x-ndjson",
        **({"content-encoding": "gzip"} if packed else {}),
    }
    content = gzip.compress(BODY) if packed else BODY
    with urlopen(Request(f"{url}/_bulk", content, headers), timeout=10) as answer:
        whole = json.load(answer)
    assert whole["errors"] is False
    assert [item["create"]["status"] for item in whole["items"]] == [201] * COUNT
    assert {"_index", "_id", "result", "_shards", "_seq_no"} <= whole["items"][0]["create"].keys()
    with urlopen(
        Request(f"{url}/_bulk?filter_path={PARAMS['filter_path']}", content, headers), timeout=10
    ) as answer:
        assert json.load(answer) == {"items": [{"create": {"status": 201}}] * COUNT}

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from math import isfinite
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import onnx
import onnxruntime
import pytest
from jsonschema import Draft202012Validator
from opensearchpy import OpenSearch

from bench import rivals
from bench.inference import logits_only
from bench.interleave import WrongCount, interleaved, ratio
from bench.lines import MIX, Printed, event, mixed, printed, records
from bench.ours import LIMIT, RULES, ours
from bench.package import PackageMissing, ensure_built
from bench.sink import sink
from bench.table import Row, Target, write
from shipper.bulk import PARAMS
from shipper.client import connect
from shipper.decode import decode, line
from shipper.document import documents
from shipper.read import Kind, read
from tools.root import ROOT

COUNT = 50
SCHEMA = Draft202012Validator(json.loads((ROOT / "events" / "record.schema.json").read_text(encoding="utf-8")))
BODY = b'{"create":{"_index":"a","_id":"1"}}\n{"n":1}\n' * COUNT


@pytest.fixture(scope="module")
def log() -> Printed:
    return printed(12)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, sink() as address:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield address


@pytest.mark.parametrize("packed", [False, True])
def test_sink_answers_for_each_document(*, url: str, packed: bool) -> None:
    headers = {"content-type": "application/x-ndjson", **({"content-encoding": "gzip"} if packed else {})}
    content = gzip.compress(BODY) if packed else BODY
    with urlopen(Request(f"{url}/_bulk", content, headers), timeout=10) as answer:
        whole = json.load(answer)
    assert whole["errors"] is False
    assert [item["create"]["status"] for item in whole["items"]] == [201] * COUNT
    assert {"_index", "_id", "result", "_shards", "_seq_no"} <= whole["items"][0]["create"].keys()
    with urlopen(Request(f"{url}/_bulk?filter_path={PARAMS['filter_path']}", content, headers), timeout=10) as answer:
        assert json.load(answer) == {"items": [{"create": {"status": 201}}] * COUNT}


def test_records_are_what_the_inference_function_prints(log: Printed) -> None:
    lines = records(COUNT, log)
    assert len(lines) == COUNT > len(log.records) == 12
    found = [json.loads(text) for text in lines]
    for record in found:
        SCHEMA.validate(record)
    assert {record["message"] for record in found} == {"prediction"}
    assert len({record["prediction_id"] for record in found}) == len({record["function_request_id"] for record in found}) == COUNT
    assert all(text.endswith("}\n") for text in lines)
    assert records(COUNT, log) == lines  # the same at every run


@pytest.mark.parametrize("count", [len(MIX), COUNT])
def test_mixed_log_has_lines_of_every_kind(log: Printed, count: int) -> None:
    lines = mixed(count, log)
    assert len(lines) == count
    assert mixed(count, log) == lines
    kinds = [read(text).kind for text in lines]
    assert set(kinds) == set(Kind)
    assert any(kind is Kind.TEXT and "{" in text for text, kind in zip(lines, kinds, strict=True))  # broken
    assert any(kind is Kind.OBJECT and not text.startswith("{") for text, kind in zip(lines, kinds, strict=True))  # after text
    assert any(text.startswith("{") and "prediction_id" in read(text).fields and '\\"' in text for text in lines)  # wrapped
    for word in ("START ", "END ", "REPORT "):
        assert any(text.startswith(word) for text in lines)


def test_event_carries_its_lines(log: Printed) -> None:
    lines = mixed(COUNT, log)
    payload = decode(event(lines), LIMIT)
    assert [line(found)[0] for found in payload.events] == lines
    assert len({found.id for found in payload.events}) == COUNT
    assert all(len(found.id) == 56 for found in payload.events)


@pytest.mark.parametrize("make", [records, mixed])
def test_every_contender_delivers_every_event(log: Printed, url: str, make: Callable[[int, Printed], list[str]]) -> None:
    content = event(make(COUNT, log))
    ready = rivals.bodies(content)
    plain, packed, connection = OpenSearch(url), OpenSearch(url, http_compress=True), connect(url, {})
    try:
        assert rivals.usual(content, plain) == COUNT
        assert rivals.usual(content, packed) == COUNT
        assert rivals.floor(content, ready, connection, rivals.ZLIB) == COUNT
        assert rivals.floor(content, ready, connection, rivals.ISAL) == COUNT
        assert ours(content, connection).indexed == COUNT
    finally:
        for client in (plain, packed, connection):
            client.close()


def test_usual_way_sends_the_same_documents(log: Printed) -> None:
    content = event(records(COUNT, log))
    actions = rivals.actions(json.loads(gzip.decompress(base64.b64decode(content["awslogs"]["data"]))))
    own = documents(decode(content, LIMIT), RULES, Counter(), now=0)
    for action, document in zip(actions, own, strict=True):
        source = json.loads(document.source)
        for name in ("@delay_ms", "@position", "@kind", "@stack"):  # the shipper's own
            del source[name]
        assert action["_source"] == source
        assert {"create": {name: action[name] for name in ("_index", "_id")}} == json.loads(document.lines.split(b"\n")[0])
        assert action["_op_type"] == "create"


def test_contenders_take_turns() -> None:
    calls: list[str] = []

    def contender(name: str) -> int:
        calls.append(name)
        return 1

    ticks: list[None] = []
    times = interleaved({"a": lambda: contender("a"), "b": lambda: contender("b")}, 1, 3, lambda: ticks.append(None))
    assert [len(figures) for name in times.values() for figures in name] == [3] * 4
    assert all(figure > 0 for name in times.values() for figures in name for figure in figures)
    assert len(ticks) == 3
    assert calls[:4] == ["a", "a", "b", "b"]  # to warm up
    assert "".join(name for name, _ in groupby(calls[4:])) == "abab"  # round by round ab, ba, ab


def test_contender_that_does_less_is_not_timed() -> None:
    with pytest.raises(WrongCount, match=r"lazy: \[4\] documents instead of 5"):
        interleaved({"lazy": lambda: 4}, 5, 1, lambda: None)


def test_ratio_is_the_median_of_the_rounds() -> None:
    assert ratio([2.0, 300.0, 6.0], [1.0, 3.0, 2.0]) == 3.0


@pytest.mark.parametrize(
    ("target", "value", "quotient", "met"),
    [
        (Target("≤", 1.6), 99.0, 1.6, True),
        (Target("≤", 1.6), 1.0, 1.7, False),
        (Target("≥", 4), 1.0, 4.1, True),
        (Target("≥", 4), 99.0, 3.9, False),
        (Target("≥", 40, "value"), 41.0, 0.1, True),
        (Target("≤", 15, "value"), 16.0, None, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_target_is_judged_by_what_it_is_of(target: Target | None, value: float, quotient: float | None, met: bool | None) -> None:  # noqa: FBT001
    assert Row("row", value, "unit", "rival", 1.0, quotient, target).met is met


def test_results_are_written(tmp_path: Path) -> None:
    write(tmp_path / "out.json", {"cpu": "x"}, "2026-11-23", [Row("a", 1.23456, "µs", "b", 2.0, 0.5), Row("size", 3.0, "MiB")])
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == {
        "machine": {"cpu": "x"},
        "date": "2026-11-23",
        "rows": [
            {"name": "a", "value": 1.235, "unit": "µs", "rival": "b", "rival_value": 2.0, "ratio": 0.5},
            {"name": "size", "value": 3.0, "unit": "MiB", "rival": None, "rival_value": None, "ratio": None},
        ],
    }


def test_missing_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackageMissing, match="run `make build` first"):
        ensure_built(tmp_path)


def test_quick_run_writes_its_results(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--quick", "--no-package", "--out", str(out)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found.keys() == {"machine", "date", "rows"}
    assert found["machine"].keys() == {"cpu", "cores", "system", "python", "packages"}
    assert {"msgspec", "isal", "opensearch-py"} <= found["machine"]["packages"].keys()
    names = [row["name"] for row in found["rows"]]
    assert len(set(names)) == len(names) > 15
    for row in found["rows"]:
        assert row.keys() == {"name", "value", "unit", "rival", "rival_value", "ratio"}
        assert all(isfinite(row[name]) and row[name] > 0 for name in ("value", "rival_value", "ratio"))
        # four digits rounded to two may end beside what was rounded at once
        assert any(f"{row['ratio'] + shift:.2f}"[:3] in result.stdout for shift in (0, -0.001, 0.001))
    for subject in ("shipper / floor", "handler / floor", "usual way / shipper", "events/s", "peak memory", "server away"):
        assert subject in result.stdout
    assert "target" not in result.stdout  # they hold for the full run alone


def test_the_model_without_its_descriptors_gives_the_same_logits() -> None:
    shipped = onnx.load(ROOT / "functions" / "inference" / "model" / "model.onnx")
    feed = {"input_ids": np.array([[101, 1996, 2158, 102]]), "attention_mask": np.ones((1, 4), np.int64)}
    whole, bare = (onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed) for model in (shipped, logits_only(shipped)))
    assert (len(whole), len(bare)) == (4, 1)
    assert np.array_equal(whole[0], bare[0])

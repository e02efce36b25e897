"""Tests the shipper as Lambda invokes it: its documents, its answers and its log lines."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from shipper.decode import PayloadInvalid
from shipper.deliver import NO_FORM
from shipper.outcome import NotDelivered
from shipper.read import read
from shipper.report import METRICS
from tests.unit.conftest import (
    CLOSE,
    INDEX,
    LOST,
    NOON,
    REJECTED,
    TEXT,
    UNPARSED,
    Answer,
    Bulk,
    Context,
    Refusal,
    as_json,
    problem,
)
from tools.root import ROOT

FORBIDDEN = f"403 security_exception: the user needs the permission to write {INDEX}"
EVENTS = ROOT / "events"
SAMPLES = sorted(path.stem for path in (EVENTS / "shipper").glob("*.json"))
FIRST = "38500000000000000000000000000000000000000000000000000000"
GROUP = "/aws/lambda/prediction-monitor-InferenceFunction"
LINE = "Quokkas quarrel with wombats"
KEY = "a key that nobody may see"
FATES = ("received", "indexed", "duplicate", "rescued", "excluded", "failed")
AWAY = Answer(503, "text/html", f"<html>{TEXT}".encode())

Load = Callable[..., ModuleType]


# The function reserves 4 s of this time. The rest is enough for a request on a busy machine.
SHORT = Context(5_500)


@dataclass(frozen=True)
class Written:
    """The output of one invocation."""

    summary: dict[str, Any]
    metrics: dict[str, Any]
    others: list[dict[str, Any]]

    @property
    def counts(self) -> list[int]:
        """Return the counts of events in the order of `FATES`."""
        return [self.metrics.get(f"Events{name.capitalize()}", 0) for name in FATES]


@pytest.fixture
def load(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the handler anew, as a new instance of the function does.

    The logger and the connection of an earlier test are not used again.
    """
    for name in (
        "MAX_PAYLOAD_BYTES",
        "EXCLUDE",
        "REDACT_FIELDS",
        "REDACT_PATTERNS",
        "REDACT_KEY",
        "AWS_LAMBDA_LOG_GROUP_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    loaded: list[ModuleType] = []

    def load_one(**environment: str) -> ModuleType:
        for name, value in ({"OPENSEARCH_URL": bulk.url} | environment).items():
            monkeypatch.setenv(name, value)
        forget()
        loaded.append(importlib.import_module("shipper.handler"))
        return loaded[-1]

    yield load_one
    for module in loaded:
        module.connection.close()
    forget()


def forget() -> None:
    sys.modules.pop("shipper.handler", None)


def sample(name: str) -> Any:
    return json.loads((EVENTS / "shipper" / f"{name}.json").read_text(encoding="utf-8"))


def lines_of(event: Any) -> list[str]:
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    return (
        [each["message"] for each in payload["logEvents"]]
        if payload["messageType"] == "DATA_MESSAGE"
        else []
    )


def payload(*messages: str, group: str = GROUP, timestamp: int = NOON) -> Any:
    events = [
        {"id": str(number), "timestamp": timestamp + 1000 * number, "message": message}
        for number, message in enumerate(messages)
    ]
    content = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": group,
        "logStream": "stream",
        "logEvents": events,
    }
    return {
        "awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()}
    }


def written(capsys: pytest.CaptureFixture[str]) -> Written:
    """Return the invocation's only line of counts and metrics, and all other output."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (summary,) = [line for line in lines if line["message"] == "shipment"]
    (directive,) = summary["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "PredictionMonitor"
    metrics = {metric["Name"]: summary[metric["Name"]] for metric in directive["Metrics"]}
    assert metrics.keys() == summary.keys() & set(METRICS)
    assert "EventsReceived" in metrics
    found = Written(summary, metrics, [line for line in lines if line is not summary])
    assert found.counts[0] == sum(found.counts[1:])
    return found


# --- batches of a stream


def test_a_batch_of_a_stream_gives_one_line_of_counts(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    event = json.loads((EVENTS / "kinesis" / "batch.json").read_text(encoding="utf-8"))
    assert load().handler(event, Context()) == {"batchItemFailures": []}
    assert len(bulk.requests) == 1
    found = written(capsys)
    count = len(lines_of(sample("subscription"))) + len(lines_of(sample("mixed-lines")))
    assert found.counts == [count, count, 0, 0, 0, 0]
    assert found.summary["records"] == 3
    assert found.summary["log_groups"] == [GROUP]
    assert found.summary["level"] == "INFO"


def test_an_unreadable_record_of_a_batch_is_reported_and_logged(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    event = json.loads((EVENTS / "kinesis" / "batch.json").read_text(encoding="utf-8"))
    bad = event["Records"][1]["kinesis"]
    bad["data"] = "####"
    answer = {"batchItemFailures": [{"itemIdentifier": bad["sequenceNumber"]}]}
    assert load().handler(event, Context()) == answer
    found = written(capsys)
    assert found.counts[:2] == [2, 2]
    assert found.summary["level"] == "ERROR"
    assert list(found.summary["unreadable"]) == ["1"]
    assert found.summary["first_failed"] == 1


def test_lines_of_the_shipper_itself_in_a_batch_are_not_shipped_and_an_error_is_logged(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    event = json.loads((EVENTS / "kinesis" / "batch.json").read_text(encoding="utf-8"))
    handler = load(AWS_LAMBDA_LOG_GROUP_NAME=GROUP).handler
    assert handler(event, Context()) == {"batchItemFailures": []}
    assert bulk.requests == []
    found = written(capsys)
    assert found.counts[0] == found.counts[4] > 0
    assert [line["log_group"] for line in found.others] == [GROUP]


# --- payloads


@pytest.mark.parametrize("before", [0, 1], ids=["first", "again"])
@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_shipped_and_counted(
    *, load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str], name: str, before: int
) -> None:
    handler = load().handler
    for _ in range(before):
        handler(sample(name), Context())
    capsys.readouterr()
    count = len(lines_of(sample(name)))
    indexed, duplicate = (0, count) if before else (count, 0)
    assert handler(sample(name), Context()) == {
        "indexed": indexed,
        "duplicate": duplicate,
        "rescued": 0,
        "excluded": 0,
    }
    assert len(bulk.documents) == count
    found = written(capsys)
    assert found.counts == [count, indexed, duplicate, 0, 0, 0]
    assert (found.summary["level"], found.summary["log_group"]) == ("INFO", GROUP)
    assert "reasons" not in found.summary
    assert found.others == []


def test_there_are_samples_of_each_kind_of_payload() -> None:
    assert {"subscription", "mixed-lines", "control-message"} <= set(SAMPLES)
    assert [len(lines_of(sample(name))) for name in ("subscription", "control-message")] == [2, 0]
    assert len(lines_of(sample("mixed-lines"))) >= 5


def test_the_document_has_the_fields_of_the_record_and_of_its_log_event(
    load: Load, bulk: Bulk
) -> None:
    load().handler(sample("subscription"), Context())
    record = json.loads((EVENTS / "record.prediction.json").read_text(encoding="utf-8"))
    source = json.loads(bulk.documents[INDEX, FIRST])
    assert source.items() >= record.items()
    assert (source["@id"], source["@timestamp"]) == (FIRST, "2026-11-23T12:00:00.123Z")


@pytest.mark.parametrize(
    ("event", "fragment"),
    [
        pytest.param({}, "no awslogs.data", id="another event"),
        pytest.param({"awslogs": {"data": "####"}}, "not base64", id="no base64"),
        pytest.param(None, "no awslogs.data", id="nothing"),
    ],
)
def test_a_broken_payload_is_refused(load: Load, bulk: Bulk, event: Any, fragment: str) -> None:
    handler = load().handler
    with pytest.raises(PayloadInvalid, match=fragment):
        handler(event, Context())
    assert bulk.requests == []


# --- metrics


def test_metrics_have_names_and_units(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.time_ns() // 1_000_000
    bulk.documents[INDEX, FIRST] = b"{}"
    load(EXCLUDE="text").handler(sample("subscription"), Context())
    line = written(capsys).summary
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        "EventsReceived": "Count",
        "EventsIndexed": "Count",
        "EventsDuplicate": "Count",
        "IndexDelay": "Milliseconds",
        "MemoryUtilization": "Percent",
    }
    assert [sorted(each) for each in directive["Dimensions"]] == [["function_name", "service"]]
    assert (line["service"], line["function_name"]) == ("shipper", "shipper")
    assert before <= line["_aws"]["Timestamp"] <= time.time_ns() // 1_000_000
    assert (line["requests"], line["bytes"]) == (1, len(bulk.requests[0].body))


def test_the_line_of_a_usual_invocation_is_short(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    """CloudWatch charges by the byte. A long line would cost more than the computing time."""
    handler = load(
        AWS_LAMBDA_FUNCTION_NAME="prediction-monitor-ShipperFunction-AbCdEfGhIjKl"
    ).handler
    for _ in range(2):  # the first line also has `cold_start`
        capsys.readouterr()
        context = replace(Context(), aws_request_id=str(uuid4()))
        handler(payload(LINE, group=f"{GROUP}-AbCdEfGhIjKl"), context)
    assert len(capsys.readouterr().out) <= 750


def test_each_document_is_counted_once_by_its_result(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk.documents[INDEX, "1"] = b"{}"
    bulk.scripts = {"2": deque([UNPARSED]), "3": deque([UNPARSED] * 4), "4": deque([REJECTED])}
    bulk.refuse["5"] = Refusal(403, "security_exception")
    handler = load(EXCLUDE="text").handler
    with pytest.raises(NotDelivered, match="2 of 6 documents not delivered: 1 x 4"):
        handler(payload(*(f'{{"n": {number}}}' for number in range(6)), LINE, LINE), Context())
    found = written(capsys)
    assert found.counts == [8, 2, 1, 1, 2, 2]
    assert found.summary["requests"] == len(bulk.requests)
    assert found.summary["retries"] == 1
    assert found.summary["bytes"] == sum(len(request.body) for request in bulk.requests)
    assert found.summary["reasons"] == {
        "400 mapper_parsing_exception of field n" + NO_FORM.removeprefix("%s"): 1,
        FORBIDDEN: 1,
    }
    assert found.summary["level"] == "ERROR"


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(5_000, 5_000, id="old"),
        pytest.param(-3_600_000, 0, id="in the future, because clocks differ"),
    ],
)
def test_the_delay_is_measured_from_the_oldest_line(
    load: Load, capsys: pytest.CaptureFixture[str], age: int, expected: int
) -> None:
    load().handler(payload("a", "b", "c", timestamp=time.time_ns() // 1_000_000 - age), Context())
    assert expected <= written(capsys).metrics["IndexDelay"] < expected + 4_000


@pytest.mark.parametrize(
    "event", [sample("control-message"), payload("a")], ids=["no lines", "already in the index"]
)
def test_no_delay_is_reported_without_a_new_document(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str], event: Any
) -> None:
    bulk.documents[INDEX, "0"] = b"{}"
    load().handler(event, Context())
    found = written(capsys)
    assert "IndexDelay" not in found.summary


def test_each_invocation_has_its_own_counts(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = load().handler
    bulk.refuse["0"] = Refusal(403, "security_exception")
    with pytest.raises(NotDelivered):
        handler(payload("a", "b", "c"), Context())
    assert written(capsys).counts == [3, 2, 0, 0, 0, 1]
    handler(sample("subscription"), Context())
    assert written(capsys).counts == [2, 2, 0, 0, 0, 0]


# --- failure


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(AWAY, "503 without a type", id="unavailable"),
        pytest.param(
            Answer(429, "text/plain", f"429 {TEXT}".encode()),
            "429 without a type",
            id="too many requests",
        ),
        pytest.param(
            as_json(403, problem("security_exception", TEXT, 403)), FORBIDDEN, id="not allowed"
        ),
        pytest.param(CLOSE, "no connection (ConnectionError)", id="closed"),
        pytest.param(
            Answer(200, "text/html", TEXT.encode()),
            "the server's answer cannot be read",
            id="unreadable",
        ),
        pytest.param(Answer(200, "text/plain", b"", delay=60), "no answer in time", id="no answer"),
    ],
)
def test_a_failure_is_logged_before_the_time_is_up(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str], answer: Answer, reason: str
) -> None:
    bulk.always = answer
    handler = load().handler
    start = time.monotonic()
    with pytest.raises(NotDelivered, match="2 of 2 documents not delivered: ") as raised:
        handler(sample("subscription"), SHORT)
    assert time.monotonic() - start < SHORT.milliseconds / 1000
    found = written(capsys)
    assert found.counts == [2, 0, 0, 0, 0, 2]
    # The last try may have had too little time for an answer.
    assert set(found.summary["reasons"]) <= {reason, "no answer in time"}
    assert all(
        f"{count} x {said}" in str(raised.value) for said, count in found.summary["reasons"].items()
    )
    assert found.summary["level"] == "ERROR"


@pytest.mark.parametrize(
    "milliseconds", [4_000, 1_000, 0], ids=["exactly the reserved time", "less", "none"]
)
def test_without_time_no_request_is_sent(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str], milliseconds: int
) -> None:
    handler = load().handler
    with pytest.raises(
        NotDelivered, match="2 of 2 documents not delivered: 2 x not sent: no time was left"
    ):
        handler(sample("subscription"), Context(milliseconds))
    assert bulk.requests == []
    assert written(capsys).counts == [2, 0, 0, 0, 0, 2]


def test_good_lines_are_indexed_although_other_lines_fail(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk.refuse["1"] = Refusal(403, "security_exception")
    handler = load().handler
    with pytest.raises(
        NotDelivered, match="1 of 3 documents not delivered: 1 x 403 security_exception"
    ):
        handler(payload("a", "b", "c"), Context())
    assert bulk.ids == ["0", "2"]
    capsys.readouterr()
    bulk.refuse.clear()
    assert handler(payload("a", "b", "c"), Context()) == {
        "indexed": 1,
        "duplicate": 2,
        "rescued": 0,
        "excluded": 0,
    }
    assert written(capsys).counts == [3, 1, 2, 0, 0, 0]


def test_nothing_is_left_to_retry_if_the_server_comes_back_in_time(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk.answers.extend([AWAY, LOST])
    assert load().handler(sample("subscription"), Context())["duplicate"] == 2
    found = written(capsys)
    assert (found.counts, found.summary["level"]) == ([2, 0, 2, 0, 0, 0], "INFO")
    assert (found.summary["requests"], found.summary["retries"]) == (3, 4)


# --- the shipper's own log


def test_lines_from_the_shipper_itself_are_not_shipped(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise each delivery would write log lines, and the next delivery would ship them.

    The shipper raises no exception, because Lambda's retries would write even more lines.
    """
    handler = load(AWS_LAMBDA_LOG_GROUP_NAME="/own").handler
    assert handler(payload("a", "b", "c", group="/own"), Context()) == {
        "indexed": 0,
        "duplicate": 0,
        "rescued": 0,
        "excluded": 3,
    }
    assert bulk.requests == []
    found = written(capsys)
    assert found.counts == [3, 0, 0, 0, 3, 0]
    (error,) = found.others
    assert (error["level"], error["log_group"]) == ("ERROR", "/own")
    assert "remove its subscription" in error["message"]


def test_lines_from_a_log_group_with_a_similar_name_are_shipped(
    load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = load(AWS_LAMBDA_LOG_GROUP_NAME="/own").handler
    assert handler(payload("a", group="/own/not"), Context())["indexed"] == 1
    assert written(capsys).others == []
    assert bulk.ids == ["0"]


# --- settings


@pytest.mark.parametrize("name", ["subscription", "mixed-lines"])
@pytest.mark.parametrize(
    "exclude", ["text", "object", "platform,metrics", " text , object ,platform,metrics"]
)
def test_lines_of_the_excluded_kinds_are_not_shipped(
    *, load: Load, bulk: Bulk, capsys: pytest.CaptureFixture[str], name: str, exclude: str
) -> None:
    kinds = Counter(str(read(line).kind) for line in lines_of(sample(name)))
    expected = sum(count for kind, count in kinds.items() if kind in exclude)
    shipped = kinds.total() - expected
    outcome = load(EXCLUDE=exclude).handler(sample(name), Context())
    assert outcome == {"indexed": shipped, "duplicate": 0, "rescued": 0, "excluded": expected}
    assert len(bulk.documents) == shipped
    assert written(capsys).counts == [kinds.total(), shipped, 0, 0, expected, 0]


@pytest.mark.parametrize(
    ("environment", "absent", "present"),
    [
        pytest.param(
            {"REDACT_FIELDS": "text=drop"},
            [LINE],
            ["quokka@example.org", "5551234567"],
            id="a field",
        ),
        pytest.param(
            {"REDACT_FIELDS": "text=hash", "REDACT_KEY": KEY},
            [LINE, KEY],
            ['"text":'],
            id="the hash of a field",
        ),
        pytest.param(
            {"REDACT_PATTERNS": "email"},
            ["quokka@example.org"],
            [LINE, "[email]", "5551234567"],
            id="a pattern",
        ),
        pytest.param(
            {"REDACT_PATTERNS": "email,number", "REDACT_FIELDS": "text=drop"},
            [LINE, "quokka@", "5551234567"],
            ["[number]"],
            id="all",
        ),
        pytest.param(
            {"REDACT_FIELDS": "", "REDACT_PATTERNS": ""},
            [],
            [LINE, "quokka@example.org", "5551234567"],
            id="nothing",
        ),
    ],
)
def test_redacted_text_is_never_sent(
    *, load: Load, bulk: Bulk, environment: dict[str, str], absent: list[str], present: list[str]
) -> None:
    line = json.dumps(
        {
            "message": "prediction",
            "text": LINE,
            "user": "quokka@example.org",
            "phone": "call 5551234567",
        }
    )
    bulk.scripts["1"] = deque([UNPARSED])
    load(**environment).handler(payload(line, line, f"INFO {line}"), Context())
    assert len(bulk.documents) == 3
    sent = b"".join(request.body for request in bulk.requests).decode()
    assert [text for text in absent if text in sent] == []
    assert [text for text in present if text not in sent] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENSEARCH_URL", ""),
        ("OPENSEARCH_URL", "localhost:9200"),
        ("OPENSEARCH_URL", "https://example.org:port"),
        ("MAX_PAYLOAD_BYTES", "128MB"),
        ("MAX_PAYLOAD_BYTES", "0"),
        ("MAX_PAYLOAD_BYTES", "-1"),
        ("EXCLUDE", "platfrom"),
        ("REDACT_FIELDS", "text"),
        ("REDACT_FIELDS", "text=mask"),
        ("REDACT_PATTERNS", "phone"),
    ],
)
def test_a_wrong_setting_is_named_at_the_start(load: Load, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        load(**{name: value})


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        pytest.param({"REDACT_FIELDS": "text=hash"}, "REDACT_KEY", id="a hash without a key"),
        pytest.param(
            {"REDACT_FIELDS": "text=hash", "REDACT_KEY": ""},
            "REDACT_KEY",
            id="a hash with an empty key",
        ),
    ],
)
def test_a_missing_setting_is_named_at_the_start(
    load: Load, environment: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        load(**environment)


def test_a_missing_address_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENSEARCH_URL", raising=False)
    forget()
    with pytest.raises(ValueError, match="OPENSEARCH_URL"):
        importlib.import_module("shipper.handler")


def test_the_size_limit_of_a_payload_is_a_setting(load: Load) -> None:
    handler = load(MAX_PAYLOAD_BYTES="100").handler
    with pytest.raises(PayloadInvalid, match="more than 100 bytes"):
        handler(sample("subscription"), Context())


# --- no secrets in the log

FAILING: list[Any] = [
    pytest.param({}, [], None, id="shipped"),
    pytest.param({"0": UNPARSED, "1": UNPARSED}, [], None, id="refused even without fields"),
    pytest.param(
        {"0": Refusal(403, "security_exception"), "1": REJECTED},
        [],
        None,
        id="one not allowed, one busy",
    ),
    pytest.param(
        {}, [as_json(400, problem("action_request_validation_exception", LINE))], None, id="split"
    ),
    pytest.param({}, [], Answer(503, "text/html", LINE.encode()), id="unavailable"),
    pytest.param({}, [], Answer(400, "text/plain", LINE.encode()), id="400 as plain text"),
    pytest.param({}, [], Answer(200, "text/plain", LINE.encode()), id="unreadable"),
    pytest.param(
        {},
        [],
        as_json(200, {"items": [{"create": {"status": 400, "error": LINE}}]}),
        id="an error as text",
    ),
    pytest.param(
        {}, [], Answer(302, "text/html", LINE.encode(), (("location", f"/{KEY}"),)), id="redirected"
    ),
    pytest.param({}, [], CLOSE, id="closed"),
    pytest.param({}, [], Answer(200, "text/plain", b"", delay=60), id="no answer"),
]


@pytest.mark.parametrize(("refuse", "answers", "always"), FAILING)
def test_log_and_errors_contain_no_line_and_no_secret(
    *,
    load: Load,
    bulk: Bulk,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    refuse: dict[str, Refusal],
    answers: list[Answer | None],
    always: Answer | None,
) -> None:
    bulk.refuse = refuse
    bulk.answers.extend(answers)
    bulk.always = always
    with_password = bulk.url.replace("//", f"//writer:{KEY.replace(' ', '%20')}@")
    handler = load(OPENSEARCH_URL=with_password, REDACT_KEY=KEY, REDACT_FIELDS="user=hash").handler
    said = ""
    try:
        handler(payload(json.dumps({"text": LINE, "user": LINE}), LINE), SHORT)
    except NotDelivered as raised:
        said = f"{raised} {raised.__context__}"
    output = capsys.readouterr()
    said += output.out + output.err + caplog.text
    assert "shipment" in said
    assert [
        text for text in (LINE, TEXT, KEY, KEY.replace(" ", "%20"), "FIRSTKEY") if text in said
    ] == []


def test_the_error_about_a_wrong_address_does_not_show_its_password(load: Load) -> None:
    with pytest.raises(ValueError, match="OPENSEARCH_URL") as raised:
        load(OPENSEARCH_URL="htps://writer:secret@example.org")
    assert "secret" not in str(raised.value)

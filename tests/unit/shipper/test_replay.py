"""Tests the scheduled replay of dead letters.

A dead letter is an object in S3 with the payload of a failed invocation. If the payload cannot be
read, the replay sets the letter aside. The letter then has a key that begins with `poison/`. moto
imitates S3, and a server of the test imitates OpenSearch.
"""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from local.kinesis import Stream, kept, key
from shipper.dead_letters import PREFIX
from tests.unit.conftest import (
    CLOSE,
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

BUCKET = "dead-letters"
LINE = "Quokkas quarrel with wombats"
KEY = "a key that nobody may see"
AWAY = Answer(503, "text/html", f"<html>{TEXT}".encode())
# An event of EventBridge. The replay must ignore its details and its time.
SCHEDULED = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2099-10-08T16:53:06Z",
    "region": "us-east-1",
    "resources": [
        "arn:aws:events:us-east-1:123456789012:rule/prediction-monitor-ReplayFunctionAgain"
    ],
    "detail": {"prefix": "nothing/", "since": "2099-10-08T16:53:06Z", "dry_run": True},
}
NOTHING = {"found": 0, "replayed": 0, "poisoned": 0, "gone": 0, "waiting": 0, "lines": 0}

Load = Callable[..., ModuleType]


@pytest.fixture(scope="module", autouse=True)
def aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.delenv("AWS_PROFILE", raising=False)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@pytest.fixture
def s3(aws: None) -> Iterator[Any]:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    get_backend("s3")["123456789012"]["aws"].reset()


@pytest.fixture
def load(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import the handler anew, as a new instance of the function does.

    `seconds` is the time limit for each dead letter.
    """
    for name in (
        "MAX_PAYLOAD_BYTES",
        "EXCLUDE",
        "REDACT_FIELDS",
        "REDACT_PATTERNS",
        "REDACT_KEY",
        "EVENTS_PER_SECOND",
    ):
        monkeypatch.delenv(name, raising=False)
    loaded: list[ModuleType] = []

    def load_one(seconds: float | None = None, **environment: str | None) -> ModuleType:
        defaults = {
            "OPENSEARCH_URL": bulk.url,
            "DEAD_LETTER_BUCKET": BUCKET,
            "EVENTS_PER_SECOND": "1000000",
        }
        for name, value in (defaults | environment).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        forget()
        loaded.append(importlib.import_module("shipper.replay"))
        if seconds:
            monkeypatch.setattr(loaded[-1], "LETTER_SECONDS", seconds)
        return loaded[-1]

    yield load_one
    for module in loaded:
        module.connection.close()
    forget()


def forget() -> None:
    sys.modules.pop("shipper.replay", None)


def payload(*ids: str, line: str = LINE) -> Any:
    events = [{"id": each, "timestamp": NOON, "message": line} for each in ids]
    content = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "g",
        "logStream": "s",
        "logEvents": events,
    }
    return {
        "awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()}
    }


def put(
    s3: Any,
    name: str,
    event: Any,
    below: str = f"{PREFIX}ShipperFunction/",
    written: datetime | None = None,
) -> None:
    record = {
        "version": "1.0",
        "requestPayload": event,
        "responsePayload": {"errorMessage": "x", "errorType": "NotDelivered"},
    }
    s3.put_object(Bucket=BUCKET, Key=below + name, Body=json.dumps(record).encode())
    if written:
        get_backend("s3")["123456789012"]["aws"].buckets[BUCKET].keys[
            below + name
        ].last_modified = written.replace(tzinfo=None)


def left(s3: Any) -> list[str]:
    """Return the names of the bucket's objects, without Lambda's prefix."""
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return sorted(item["Key"].replace(f"{PREFIX}ShipperFunction/", "") for item in found)


def written(
    capsys: pytest.CaptureFixture[str],
) -> tuple[dict[str, Any], dict[str, float], list[dict[str, Any]]]:
    """Return the line about the run, its metrics, and the lines about single letters."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (summary,) = [line for line in lines if line.get("message") == "replay"]
    (directive,) = summary["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], summary["service"], summary["function_name"]) == (
        "PredictionMonitor",
        "replay",
        "replay",
    )
    assert [sorted(each) for each in directive["Dimensions"]] == [["function_name", "service"]]
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units.pop("MemoryUtilization") == "Percent"
    assert set(units.values()) == {"Count"}
    rest = [line for line in lines if line is not summary]
    assert {line["message"] for line in rest} <= {"letter"}
    return summary, {name: summary[name] for name in units}, rest


# --- the schedule


def test_a_scheduled_replay_delivers_all_waiting_letters(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scheduled event selects all letters, whatever its time and details are."""
    put(s3, "one", payload("1", "2"))
    put(s3, "two", payload("3"))
    put(s3, "aside", payload("4"), below="poison/")
    put(s3, "other", payload("5"), below="something/else/")
    answer = load().handler(SCHEDULED, Context())
    assert answer == {"found": 2, "replayed": 2, "poisoned": 0, "gone": 0, "waiting": 0, "lines": 3}
    assert sorted(bulk.ids) == ["1", "2", "3"]
    assert left(s3) == ["poison/aside", "something/else/other"]
    summary, metrics, rest = written(capsys)
    assert metrics == {
        "DeadLettersFound": 2,
        "DeadLettersReplayed": 2,
        "DeadLettersPoisoned": 0,
        "DeadLettersWaiting": 0,
    }
    assert {name: summary[name] for name in answer} == answer
    assert (summary["level"], rest) == ("INFO", [])


def test_batches_that_lambda_no_longer_retries_are_replayed_too(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch holds records of a Kinesis stream.

    A batch with an unreadable record is set aside after its other lines were delivered.
    """
    for batch in (["1", "2"], ["3", ""], [""]):
        stream = Stream()
        for each in batch:
            stream.put_data(payload(each)["awslogs"]["data"] if each else "####")
        now = datetime.now(UTC)
        name = key("9e4ec2f1-0000-4000-8000-000000000000", 0, now)
        s3.put_object(
            Bucket=BUCKET,
            Key=name,
            Body=kept(stream.records[0], 0, "RetryAttemptsExhausted", 97, now),
        )
    answer = load().handler(SCHEDULED, Context())
    assert answer | {"lines": 0} == NOTHING | {"found": 3, "replayed": 1, "poisoned": 2}
    assert sorted(bulk.ids) == ["1", "2", "3"]
    assert [name.split("/")[0] for name in left(s3)] == ["poison"] * 2
    reasons = [line["reason"] for line in written(capsys)[2]]
    assert len([one for one in reasons if "kinesis.data is not base64" in one]) == 2


@pytest.mark.parametrize("event", [{}, SCHEDULED], ids=["by hand", "by schedule"])
def test_the_replay_of_an_empty_bucket_does_nothing(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str], event: Any
) -> None:
    assert load().handler(event, Context()) == NOTHING
    assert bulk.requests == []
    assert written(capsys)[1] == {
        f"DeadLetters{name}": 0 for name in ("Found", "Replayed", "Poisoned", "Waiting")
    }
    assert left(s3) == []


def test_each_letter_is_counted_and_logged_by_its_result(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    put(s3, "good", payload("1"))
    put(s3, "rescued", payload("2"))
    put(s3, "hopeless", payload("3", "4"))
    put(s3, "busy", payload("5", "6"))
    put(s3, "forbidden", payload("7"))
    put(s3, "unreadable", {"awslogs": {"data": "####"}})
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}ShipperFunction/no-record", Body=b"{}")
    bulk.scripts["2"] = deque([UNPARSED])
    bulk.refuse = {"4": UNPARSED, "5": REJECTED, "7": Refusal(403, "security_exception")}
    answer = load(seconds=2).handler(SCHEDULED, Context())
    assert answer == {"found": 7, "replayed": 2, "poisoned": 2, "gone": 0, "waiting": 3, "lines": 7}
    assert left(s3) == ["busy", "forbidden", "hopeless", "poison/no-record", "poison/unreadable"]
    assert sorted(bulk.ids) == ["1", "2", "3", "6"]
    summary, metrics, rest = written(capsys)
    assert metrics == {
        "DeadLettersFound": 7,
        "DeadLettersReplayed": 2,
        "DeadLettersPoisoned": 2,
        "DeadLettersWaiting": 3,
    }
    assert summary["waiting"] == 3
    said = {
        line["key"].rpartition("/")[2]: (line["level"], line["fate"], line["reason"])
        for line in rest
    }
    assert len(rest) == len(said) == 5
    assert {name: (level, fate) for name, (level, fate, _) in said.items()} == {
        "hopeless": ("WARNING", "waiting"),
        "no-record": ("WARNING", "poisoned"),
        "unreadable": ("WARNING", "poisoned"),
        "busy": ("WARNING", "waiting"),
        "forbidden": ("WARNING", "waiting"),
    }
    assert said["hopeless"][2].startswith(
        "1 of 2 documents not delivered: 1 x 400 mapper_parsing_exception of field n: "
        "the server refuses even the line without its fields"
    )
    assert said["forbidden"][2] == (
        "1 of 1 documents not delivered: 1 x 403 security_exception: "
        "the user needs the permission to write cwl-log-2026.11.23"
    )
    assert said["unreadable"][2].startswith("awslogs.data is not base64")
    # The letter `hopeless` is not set aside. Its payload can be read, but the index refuses a
    # document.
    assert left(s3).count("hopeless") == 1


def test_a_document_is_indexed_only_once(load: Load, bulk: Bulk, s3: Any) -> None:
    """Two letters may contain the same document, and the replay may run again."""
    put(s3, "one", payload("1", "2"))
    put(s3, "the same", payload("1", "2"))
    put(s3, "hopeless", payload("3"))
    bulk.refuse["3"] = UNPARSED
    handler = load().handler
    assert handler(SCHEDULED, Context()) == {
        "found": 3,
        "replayed": 2,
        "poisoned": 0,
        "gone": 0,
        "waiting": 1,
        "lines": 5,
    }
    before = dict(bulk.documents)
    assert sorted(bulk.ids) == ["1", "2"]
    assert handler(SCHEDULED, Context()) == NOTHING | {"found": 1, "waiting": 1, "lines": 1}
    put(s3, "one", payload("1", "2", line="another"))
    assert handler(SCHEDULED, Context())["replayed"] == 1
    assert bulk.documents == before
    assert left(s3) == ["hopeless"]


def test_letters_that_another_replay_removed_are_not_counted_as_waiting(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        put(s3, name, payload("1"))
    module = load()

    def remove_all(**_: Any) -> None:
        for name in ("one", "two"):
            s3.delete_object(Bucket=BUCKET, Key=f"{PREFIX}ShipperFunction/{name}")

    module.bucket.s3.meta.events.register("before-call.s3.GetObject", remove_all)
    assert module.handler(SCHEDULED, Context()) == NOTHING | {"found": 2, "gone": 2}
    _, metrics, rest = written(capsys)
    assert (metrics["DeadLettersFound"], metrics["DeadLettersWaiting"]) == (2, 0)
    assert (rest, bulk.requests) == ([], [])


def test_letters_of_every_page_are_replayed(
    load: Load, bulk: Bulk, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        put(s3, str(number), payload(str(number)))
    assert load().handler(SCHEDULED, Context())["replayed"] == 5
    assert sorted(bulk.ids) == ["0", "1", "2", "3", "4"]
    assert left(s3) == []


# --- by hand


@pytest.mark.parametrize(
    "more", [{}, {"prefix": "poison/"}, {"since": "2026-11-23"}], ids=["all", "prefix", "since"]
)
def test_a_dry_run_only_counts(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str], more: dict[str, str]
) -> None:
    below = more.get("prefix", f"{PREFIX}ShipperFunction/")
    written_at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    put(s3, "one", payload("1"), below=below, written=written_at)
    put(s3, "two", {}, below=below, written=written_at)
    before = left(s3)
    assert load().handler({"dry_run": True, **more}, Context()) == NOTHING | {
        "found": 2,
        "waiting": 2,
    }
    assert (left(s3), bulk.requests) == (before, [])
    summary, metrics, _ = written(capsys)
    assert summary["waiting"] == 2
    # A count of only some letters could end the alarm while other letters wait.
    assert metrics.get("DeadLettersWaiting") == (None if more else 2)


@pytest.mark.parametrize(
    ("event", "replayed"),
    [
        pytest.param({"prefix": f"{PREFIX}ShipperFunction/2"}, ["20", "21", "22"], id="prefix"),
        pytest.param({"prefix": ""}, ["10", "20", "21", "22"], id="empty prefix"),
        pytest.param({"since": "2026-11-23T11:00:00Z"}, ["21", "22"], id="since"),
        pytest.param({"until": "2026-11-23T11:00:00Z"}, ["10", "20"], id="until"),
        pytest.param(
            {"since": "2026-11-23T10:00:00Z", "until": "2026-11-23T12:00:00Z"},
            ["10", "20", "21"],
            id="between",
        ),
        pytest.param({"since": "2026-11-23T12:00:00+01:00"}, ["21", "22"], id="another time zone"),
        pytest.param({"since": "2026-11-23T11:00:00"}, ["21", "22"], id="no time zone: UTC"),
        pytest.param({"since": "2026-11-23"}, ["10", "20", "21", "22"], id="a day"),
        pytest.param({"until": "2026-11-23"}, [], id="until a day"),
        pytest.param({"since": None, "until": ""}, ["10", "20", "21", "22"], id="nothing"),
        pytest.param(
            {"prefix": f"{PREFIX}ShipperFunction/2", "since": "2026-11-23T11:00:00Z"},
            ["21", "22"],
            id="prefix and since",
        ),
    ],
)
def test_an_event_may_select_letters(
    *, load: Load, bulk: Bulk, s3: Any, event: dict[str, str], replayed: list[str]
) -> None:
    for name in ("10", "20", "21", "22"):
        put(
            s3,
            name,
            payload(name),
            written=datetime(2026, 11, 23, 10, tzinfo=UTC) + timedelta(hours=int(name[1])),
        )
    answer = load().handler(event, Context())
    assert (answer["found"], answer["replayed"]) == (len(replayed), len(replayed))
    assert sorted(bulk.ids) == replayed
    assert left(s3) == [name for name in ("10", "20", "21", "22") if name not in replayed]


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_wrong_time_in_an_event_is_an_error(load: Load, bulk: Bulk, s3: Any, name: str) -> None:
    put(s3, "one", payload("1"))
    handler = load().handler
    with pytest.raises(ValueError, match="yesterday"):
        handler({name: "yesterday"}, Context())
    assert (left(s3), bulk.requests) == (["one"], [])


NOT_TEXT: tuple[Any, ...] = (5, True, ["x"], {"a": 1}, ["x" * 10_000])
NOT_TRUE_OR_FALSE: tuple[Any, ...] = (1, 0, "true", "false", "", [])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        *(
            (event, "the event must be a JSON object")
            for event in (None, True, 5, "", "aws/lambda/", [], [{"prefix": "poison/"}])
        ),
        *(
            ({name: given}, f"{name} must be text, not ")
            for name in ("prefix", "since", "until")
            for given in NOT_TEXT
        ),
        *(
            ({"dry_run": given}, "dry_run must be true or false, not ")
            for given in NOT_TRUE_OR_FALSE
        ),
        ({"since": "x" * 10_000}, "since must be "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_message_about_an_invalid_event_is_one_sentence(
    load: Load, bulk: Bulk, s3: Any, event: Any, message: str
) -> None:
    put(s3, "one", payload("1"))
    handler = load().handler
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        handler(event, Context())
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert (left(s3), bulk.requests) == (["one"], [])


def test_letters_that_were_set_aside_are_replayed_by_prefix(
    load: Load, bulk: Bulk, s3: Any
) -> None:
    put(s3, "mended", payload("1"), below="poison/")
    put(s3, "hopeless", payload("2"), below="poison/")
    put(s3, "unreadable", {}, below="poison/")
    put(s3, "waiting", payload("3"))
    bulk.refuse["2"] = UNPARSED
    handler = load().handler
    for found in (3, 2):
        answer = handler({"prefix": "poison/"}, Context())
        assert answer == {
            "found": found,
            "replayed": found - 2,
            "poisoned": 1,
            "gone": 0,
            "waiting": 1,
            "lines": found - 1,
        }
    assert left(s3) == ["poison/hopeless", "poison/unreadable", "waiting"]
    assert bulk.ids == ["1"]


# --- limits of rate and time


def test_the_replay_is_not_faster_than_the_rate_limit(load: Load, s3: Any) -> None:
    put(s3, "one", payload("1", "2", "3"))
    put(s3, "two", payload("4", "5", "6"))
    handler = load(EVENTS_PER_SECOND="10").handler
    start = time.monotonic()
    assert handler(SCHEDULED, Context())["lines"] == 6
    assert time.monotonic() - start >= 0.6


def test_if_the_server_is_unavailable_only_three_letters_are_tried(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        put(s3, str(number), payload(str(number)))
    bulk.always = AWAY
    handler = load(seconds=0.5).handler
    assert handler(SCHEDULED, Context()) == {
        "found": 6,
        "replayed": 0,
        "poisoned": 0,
        "gone": 0,
        "waiting": 6,
        "lines": 3,
    }
    assert len({tuple(request.ids) for request in bulk.requests}) == 3
    assert len(written(capsys)[2]) == 3
    assert left(s3) == [*"012345"]


@pytest.mark.parametrize(
    "milliseconds", [125_000, 10_000, 0], ids=["exactly the reserved time", "less", "none"]
)
def test_no_letter_is_replayed_if_no_time_is_left(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str], milliseconds: int
) -> None:
    put(s3, "one", payload("1"))
    put(s3, "two", payload("2"))
    assert load().handler(SCHEDULED, Context(milliseconds)) == NOTHING | {"found": 2, "waiting": 2}
    assert (bulk.requests, left(s3)) == ([], ["one", "two"])
    assert written(capsys)[1] == {
        "DeadLettersFound": 2,
        "DeadLettersReplayed": 0,
        "DeadLettersPoisoned": 0,
        "DeadLettersWaiting": 2,
    }


def test_an_endless_listing_of_the_bucket_is_ended(
    load: Load, bulk: Bulk, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page of the bucket's listing comes in time, but there is always another page."""
    put(s3, "one", payload("1"))
    module, ended = load(), Event()

    def endless(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        for _page in range(600):
            ended.wait(0.05)
            yield {}

    monkeypatch.setattr(module, "S3_SECONDS", 0.3)
    monkeypatch.setattr(
        type(module.bucket.s3), "get_paginator", lambda *_: SimpleNamespace(paginate=endless)
    )
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="listed"):
        module.handler(SCHEDULED, Context(125_200))
    ended.set()
    assert time.monotonic() - start < 10
    assert bulk.requests == []


def test_no_pause_is_longer_than_the_time_that_is_left(
    load: Load, bulk: Bulk, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a pause were longer, Lambda would end the invocation without a message."""
    put(s3, "one", payload("1", "2", "3"))
    put(s3, "two", payload("4", "5", "6"))
    handler = load(EVENTS_PER_SECOND="0.1").handler
    start = time.monotonic()
    answer = handler(SCHEDULED, Context(125_500))
    assert time.monotonic() - start < 10  # without the limit: 30 s
    assert answer == {"found": 2, "replayed": 1, "poisoned": 0, "gone": 0, "waiting": 1, "lines": 3}
    assert (len(bulk.ids), len(left(s3))) == (3, 1)
    assert written(capsys)[1]["DeadLettersWaiting"] == 1


def test_there_is_no_pause_after_the_last_letter(load: Load, s3: Any) -> None:
    put(s3, "one", payload("1", "2", "3"))
    start = time.monotonic()
    assert load(EVENTS_PER_SECOND="0.1").handler(SCHEDULED, Context(126_000))["replayed"] == 1
    assert time.monotonic() - start < 10  # with a pause: 30 s


# --- settings


@pytest.mark.parametrize(
    "value", ["0", "-1", "", " ", "fast", "1,000", "nan", "inf", "-inf", "1e-400"]
)
def test_a_wrong_rate_stops_the_function_when_it_is_loaded(load: Load, value: str) -> None:
    with pytest.raises(ValueError, match="EVENTS_PER_SECOND must be a number above 0, not "):
        load(EVENTS_PER_SECOND=value)


@pytest.mark.parametrize(
    ("value", "rate"),
    [(None, 2000), ("1", 1), ("0.5", 0.5), ("2000", 2000)],
    ids=["not set", "1", "0.5", "2000"],
)
def test_the_rate_is_a_setting(load: Load, value: str | None, rate: float) -> None:
    assert load(EVENTS_PER_SECOND=value).events_per_second == rate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEAD_LETTER_BUCKET", None),
        ("DEAD_LETTER_BUCKET", ""),
        ("OPENSEARCH_URL", None),
        ("OPENSEARCH_URL", "localhost:9200"),
        ("EXCLUDE", "platfrom"),
        ("REDACT_FIELDS", "text=hash"),
    ],
)
def test_a_wrong_setting_is_named_at_the_start(load: Load, name: str, value: str | None) -> None:
    with pytest.raises(ValueError, match=name if name != "REDACT_FIELDS" else "REDACT_KEY"):
        load(**{name: value})


def test_the_replay_excludes_and_redacts_like_the_shipper(load: Load, bulk: Bulk, s3: Any) -> None:
    put(
        s3,
        "object",
        payload("1", "2", line=json.dumps({"user": "quokka@example.org", "text": LINE})),
    )
    put(s3, "text", payload("3", line="words of quokka@example.org"))
    settings = {"EXCLUDE": "text", "REDACT_FIELDS": "text=drop", "REDACT_PATTERNS": "email"}
    assert load(**settings).handler(SCHEDULED, Context()) == {
        "found": 2,
        "replayed": 2,
        "poisoned": 0,
        "gone": 0,
        "waiting": 0,
        "lines": 2,
    }
    assert sorted(bulk.ids) == ["1", "2"]
    sent = b"".join(request.body for request in bulk.requests).decode()
    assert "[email]" in sent
    assert [text for text in (LINE, "quokka@") if text in sent] == []


def test_the_size_limit_of_a_payload_is_a_setting(load: Load, s3: Any) -> None:
    put(s3, "one", payload("1"))
    assert load(MAX_PAYLOAD_BYTES="100").handler(SCHEDULED, Context())["poisoned"] == 1
    assert left(s3) == ["poison/one"]


# --- no secrets in the log


@pytest.mark.parametrize(
    ("refuse", "always"),
    [
        pytest.param({}, None, id="shipped"),
        pytest.param(
            {"1": UNPARSED, "2": REJECTED}, None, id="refused permanently and temporarily"
        ),
        pytest.param({"1": UNPARSED, "2": UNPARSED}, None, id="refused permanently"),
        pytest.param({}, Answer(503, "text/html", LINE.encode()), id="unavailable"),
        pytest.param({}, as_json(403, problem("security_exception", LINE, 403)), id="not allowed"),
        pytest.param({}, CLOSE, id="closed"),
    ],
)
def test_the_log_contains_no_shipped_line_and_no_secret(
    *,
    load: Load,
    bulk: Bulk,
    s3: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    refuse: dict[str, Refusal],
    always: Answer | None,
) -> None:
    put(s3, "one", payload("1", "2"))
    put(s3, "unreadable", {"awslogs": {"data": base64.b64encode(LINE.encode()).decode()}})
    put(s3, "no payload", LINE)
    bulk.refuse, bulk.always = refuse, always
    with_password = bulk.url.replace("//", f"//writer:{KEY.replace(' ', '%20')}@")
    load(seconds=0.5, OPENSEARCH_URL=with_password, REDACT_KEY=KEY).handler(SCHEDULED, Context())
    output = capsys.readouterr()
    said = output.out + output.err + caplog.text
    aside = s3.list_objects_v2(Bucket=BUCKET, Prefix="poison/")["Contents"]
    said += str([s3.head_object(Bucket=BUCKET, Key=item["Key"])["Metadata"] for item in aside])
    assert '"replay"' in said
    assert [text for text in (LINE, TEXT, KEY, KEY.replace(" ", "%20")) if text in said] == []

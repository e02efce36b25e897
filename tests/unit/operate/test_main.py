from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from operate import __main__ as module
from operate import backfill
from operate.__main__ import main
from shipper.dead_letters import Letter
from shipper.ship import ship
from tests.unit.conftest import CLOSE, NOON, Answer, Bulk, Refusal
from tests.unit.operate.test_reconcile import rename, searchable
from tools.root import ROOT

REGION = "eu-west-1"
GROUP = "/aws/lambda/predict"
BUCKET = "dead-letters"
MIDNIGHT = (time.time_ns() // 86_400_000_000_000 - 1) * 86_400_000  # yesterday's
BASE = MIDNIGHT + 37_050_000  # 10:17:30
DAY = datetime.fromtimestamp(MIDNIGHT / 1000, UTC).date().isoformat()
SPAN = ["--from", f"{DAY}T10:17:30", "--to", f"{DAY}T14:00:00"]
ALL = ["--pattern", ""]
AWAY = Answer(503, "text/plain", b"no healthy upstream")
EXPIRED = Refusal(
    403, "security_exception", "no permissions for [indices:data/write/bulk[s]]", None
)
FORBIDDEN = "403 security_exception: the user needs the permission to write"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "EXCLUDE",
        "REDACT_FIELDS",
        "REDACT_PATTERNS",
        "REDACT_KEY",
        "OPENSEARCH_URL",
        "AWS_SESSION_TOKEN",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("COLUMNS", "200")
    with mock_aws():
        yield


@pytest.fixture
def index(bulk: Bulk) -> Bulk:
    return searchable(bulk)


@pytest.fixture
def run(aws: None, index: Bulk, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with the address of the server.

    It returns exit code, standard output and standard error.
    """

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--opensearch", index.url])
        return code, *capsys.readouterr()

    return call


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the sentence that is printed for wrong arguments."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    return written.err


# --- replay


@pytest.fixture
def bucket(aws: None) -> Any:
    found: Any = boto3.resource("s3").Bucket(BUCKET)
    found.create(CreateBucketConfiguration={"LocationConstraint": REGION})
    return found


def letter(bucket: Any, name: str, *ids: str) -> str:
    """Write a dead letter as Lambda does, with a line for each id, and return its key."""
    events = [{"id": each, "timestamp": NOON, "message": json.dumps({"id": each})} for each in ids]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": GROUP,
        "logStream": "s",
        "subscriptionFilters": [],
        "logEvents": events,
    }
    event = {
        "awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}
    }
    key = f"aws/lambda/async/shipper/2026/11/23/{name}"
    bucket.put_object(
        Key=key, Body=json.dumps({"version": "1.0", "requestContext": {}, "requestPayload": event})
    )
    return key


def keys(bucket: Any) -> set[str]:
    return {item.key for item in bucket.objects.all()}


def test_replay_brings_every_letter_in(run: Run, bucket: Any, index: Bulk) -> None:
    letter(bucket, "a", "1", "2")
    letter(bucket, "b", "2", "3")
    code, out, err = run("replay", "--bucket", BUCKET)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        (
            "excluded: nothing (EXCLUDE is not set here); redacted: nothing (REDACT_FIELDS and "
            "REDACT_PATTERNS are not set here)"
        ),
        "2 of 2 letters tried: 2 replayed, 0 waiting, 0 poisoned, 0 gone",
        "lines: 3 indexed, 1 duplicate, 0 rescued, 0 excluded, 0 failed",
    ]
    assert sorted(index.ids) == ["1", "2", "3"]
    assert keys(bucket) == set()
    assert run("replay", "--bucket", BUCKET)[0] == 0


def test_replay_dry_run_lists_and_sends_nothing(run: Run, bucket: Any, index: Bulk) -> None:
    key = letter(bucket, "a", "1")
    size = bucket.Object(key).content_length
    code, out, err = run("replay", "--bucket", BUCKET, "--dry-run")
    assert (code, err) == (1, "")
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ +{size} bytes  {key}\n1 letter below "
        rf"aws/lambda/async/ in {BUCKET}; .*\n",
        out,
    )
    assert keys(bucket) == {key}
    assert index.requests == []
    bucket.Object(key).delete()
    assert run("replay", "--bucket", BUCKET, "--dry-run")[:2] == (
        0,
        f"0 letters below aws/lambda/async/ in {BUCKET}; nothing was sent\n",
    )


def test_replay_dry_run_lists_the_oldest_first(
    run: Run, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(datetime(2026, 11, day, tzinfo=UTC) for day in (2, 3, 1))
    listed = [
        Letter(letter(bucket, name, *ids), 1, next(moments))
        for name, ids in (("b", "12"), ("c", "1"), ("a", "123"))
    ]
    monkeypatch.setattr(module, "letters", lambda *_: listed)
    _, out, _ = run("replay", "--bucket", BUCKET, "--dry-run")
    assert [line[-1] for line in out.splitlines()[:-1]] == ["a", "b", "c"]


def test_replay_says_what_was_poisoned_and_what_waits(run: Run, bucket: Any, index: Bulk) -> None:
    waits = letter(bucket, "waits", "1", "2")
    index.refuse["2"] = EXPIRED
    poison = "aws/lambda/async/shipper/poison"
    bucket.put_object(Key=poison, Body=b"{}")
    code, out, err = run("replay", "--bucket", BUCKET)
    assert code == 1
    assert (
        "2 of 2 letters tried: 0 replayed, 1 waiting, 1 poisoned, 0 gone\nlines: 1 indexed, 0 "
        "duplicate, 0 rescued, 0 excluded, 1 failed" in out
    )
    assert sorted(err.splitlines()) == [
        (
            f"python -m operate: poisoned: {poison}: the object is not a record of a failed "
            "invocation: it has no requestPayload"
        ),
        (
            f"python -m operate: waiting: {waits}: 1 of 2 documents not delivered: 1 x {FORBIDDEN} "
            "cwl-log-2026.11.23"
        ),
    ]
    assert keys(bucket) == {waits, f"poison/{poison}"}
    code, _, err = run("replay", "--bucket", BUCKET, "--prefix", "poison/")
    assert (code, err.count("poisoned: poison/")) == (1, 1)


def test_replay_of_what_was_only_poisoned_fails_too(run: Run, bucket: Any) -> None:
    bucket.put_object(Key="aws/lambda/async/x", Body=b"{}")
    assert run("replay", "--bucket", BUCKET)[0] == 1


def test_replay_stops_early_where_the_server_takes_nothing(
    run: Run, bucket: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAYLOAD_SECONDS", 0.3)
    written = {letter(bucket, str(number), str(number)) for number in range(5)}
    index.always = AWAY
    code, out, err = run("replay", "--bucket", BUCKET)
    assert code == 1
    assert "3 of 5 letters tried: 0 replayed, 3 waiting" in out
    assert len(re.findall(r"waiting: aws\S+: 1 of 1 documents not delivered: 1 x ", err)) == 3
    assert err.endswith(
        "stopped early: the server accepts nothing now; 2 letters not tried: run this again later\n"
    )
    assert keys(bucket) == written


def test_replay_shows_some_reasons_in_short(run: Run, bucket: Any, index: Bulk) -> None:
    for number in range(23):
        letter(bucket, f"{number}", f"{number}")
        index.refuse[f"{number}"] = Refusal(404, "x" * 300, "", None)
    code, _, err = run("replay", "--bucket", BUCKET)
    lines = err.splitlines()
    assert (code, len(lines), lines[-1]) == (1, 21, "python -m operate: and 3 more")
    assert all(len(line) < 300 and line.endswith("xxx...") for line in lines[:-1])


def test_replay_of_a_time(run: Run, bucket: Any) -> None:
    letter(bucket, "a", "1")
    now = datetime.now(UTC)
    before, after = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    listing = ["replay", "--bucket", BUCKET, "--dry-run"]
    assert run(*listing, "--since", after)[0] == 0
    assert run(*listing, "--until", before)[0] == 0
    assert run(*listing, "--since", before, "--until", after)[0] == 1


def test_replay_does_not_hurry(run: Run, bucket: Any) -> None:
    letter(bucket, "a", "1", "2")
    start = time.monotonic()
    run("replay", "--bucket", BUCKET, "--rate", "4")
    assert time.monotonic() - start >= 0.5


def test_ctrl_c_says_what_was_done(run: Run, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        letter(bucket, str(number), str(number))
    interrupt_at(2, monkeypatch)
    code, out, err = run("replay", "--bucket", BUCKET)
    assert (code, err) == (130, "python -m operate: stopped by Ctrl-C\n")
    assert (
        "1 of 3 letters tried: 1 replayed, 0 waiting, 0 poisoned, 0 gone\nlines: 1 indexed," in out
    )
    assert len(keys(bucket)) == 2


def interrupt_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise KeyboardInterrupt in the `number`-th delivery."""
    count = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise KeyboardInterrupt
        return ship(*arguments)

    monkeypatch.setattr(module, "ship", interrupted)


# --- backfill


@pytest.fixture
def logs(aws: None) -> Any:
    client = boto3.client("logs")
    client.create_log_group(logGroupName=GROUP)
    return client


def put(logs: Any, stream: str, *lines: tuple[int, str]) -> None:
    """Put lines into a log stream. Each has a time, in minutes after `BASE`, and a text."""
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": BASE + 60_000 * after, "message": text} for after, text in lines]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def subscribe(logs: Any, name: str, pattern: str) -> None:
    logs.create_log_group(logGroupName=f"destination-{name}")
    arn = f"arn:aws:logs:{REGION}:123456789012:log-group:destination-{name}"
    logs.put_subscription_filter(
        logGroupName=GROUP, filterName=name, filterPattern=pattern, destinationArn=arn
    )


def backfilling(*more: str) -> list[str]:
    return ["backfill", "--log-group", GROUP, *SPAN, *more]


def test_backfill_twice_changes_nothing(
    run: Run, logs: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "PAGE_EVENTS", 3)
    put(
        logs,
        "a",
        *((number, json.dumps({"message": "prediction", "n": number})) for number in range(4)),
        (5, "START"),
    )
    put(
        logs,
        "b",
        *((number, json.dumps({"message": "prediction", "n": number})) for number in range(4)),
    )
    subscribe(logs, "predictions", '"prediction"')
    code, out, err = run(*backfilling())
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "ids: not compared, the index has no document of the range whose line CloudWatch still has",
        "8 lines: 8 indexed, 0 duplicate, 0 rescued, 0 excluded, 0 failed",
    ]
    before = dict(index.documents)
    sources = [json.loads(source) for source in before.values()]
    assert sorted((source["@log_stream"], source["n"]) for source in sources) == [
        (name, number) for name in "ab" for number in range(4)
    ]
    assert {(source["@owner"], source["@log_group"], source["message"]) for source in sources} == {
        ("123456789012", GROUP, "prediction")
    }
    assert all(
        source["@id"] == identifier for source, (_, identifier) in zip(sources, before, strict=True)
    )
    code, out, err = run(*backfilling())
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "ids: 3 documents of the range compared, CloudWatch has the same ids",
        "8 lines: 0 indexed, 8 duplicate, 0 rescued, 0 excluded, 0 failed",
    ]
    assert index.documents == before


def test_backfill_without_one_subscription_asks_for_the_pattern(
    run: Run, logs: Any, index: Bulk
) -> None:
    put(logs, "a", (1, "x"))
    code, out, err = run(*backfilling())
    assert (code, out) == (2, "")
    assert err == (
        f"python -m operate: {GROUP} has 0 subscription filters of its own instead of one; "
        "select the lines with --pattern ('' for all)\n"
    )
    assert index.requests == []
    assert run(*backfilling(*ALL))[0] == 0
    assert len(index.documents) == 1


def test_backfill_takes_the_range_and_no_more(run: Run, logs: Any, index: Bulk) -> None:
    put(logs, "a", (-1, "before"), (0, "first"), (222, "last"), (223, "after"))
    run(
        "backfill",
        "--log-group",
        GROUP,
        "--from",
        f"{DAY}T12:17:30+02:00",
        "--to",
        f"{DAY}T14:00:30",
        *ALL,
    )
    assert sorted(json.loads(source)["@message"] for source in index.documents.values()) == [
        "first",
        "last",
    ]


def test_a_time_without_a_zone_is_utc_everywhere(
    run: Run, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(logs, "a", (0, "x"))
    with monkeypatch.context() as japan:
        japan.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        code, out, _ = run(*counting(*ALL))
    time.tzset()
    assert (code, table(out)[0]) == (1, [f"{DAY}T10:17:30Z", "1", "0", "1"])


def test_backfill_dry_run_counts_and_sends_nothing(run: Run, logs: Any, index: Bulk) -> None:
    put(logs, "a", (1, "x"), (2, "x"))
    put(logs, "b", (1, "x"))
    code, out, err = run(*backfilling(*ALL, "--dry-run"))
    assert (code, err) == (0, "")
    assert out.endswith("3 lines of 2 log streams (all lines); nothing was sent\n")
    assert index.documents == {}
    assert run(*backfilling("--pattern", "y", "--dry-run"))[1].endswith(
        "0 lines of 0 log streams (pattern y); nothing was sent\n"
    )


def test_backfill_leaves_out_and_redacts(
    run: Run, logs: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(
        logs,
        "a",
        (1, '{"text": "secret", "to": "a@example.org"}'),
        (2, "START RequestId: 1 Version: 2"),
    )
    for name, value in {
        "EXCLUDE": "text,platform",
        "REDACT_FIELDS": "text=hash",
        "REDACT_PATTERNS": "email",
        "REDACT_KEY": "k",
    }.items():
        monkeypatch.setenv(name, value)
    code, out, _ = run(*backfilling(*ALL))
    assert code == 0
    assert out.startswith("excluded: platform, text; redacted: text=hash, email\n")
    assert out.endswith("2 lines: 1 indexed, 0 duplicate, 0 rescued, 1 excluded, 0 failed\n")
    [source] = index.documents.values()
    assert b"secret" not in source
    assert b"example.org" not in source


def test_backfill_says_why_some_failed_and_where_to_go_on(
    run: Run, logs: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "PAGE_EVENTS", 2)
    put(logs, "a", *((number, "x") for number in range(6)))
    run(*backfilling(*ALL))
    [*_, (name, fourth), _, _] = sorted(index.documents, key=lambda key: int(key[1]))
    index.documents.clear()
    index.refuse[fourth] = EXPIRED
    code, out, err = run(*backfilling(*ALL))
    assert (code, err) == (
        1,
        f"python -m operate: 1 of 6 documents not delivered: 1 x {FORBIDDEN} {name}\n",
    )
    assert out.splitlines()[-2:] == [
        "6 lines: 5 indexed, 0 duplicate, 0 rescued, 0 excluded, 1 failed",
        f"to go on, run the same command with --from {DAY}T10:18:30Z: everything before is done",
    ]
    index.refuse.clear()
    code, out, _ = run(
        "backfill", "--log-group", GROUP, "--from", f"{DAY}T10:18:30Z", *SPAN[2:], *ALL
    )
    assert (code, len(index.documents)) == (0, 6)
    assert "5 lines: 1 indexed, 4 duplicate" in out


def test_backfill_stops_early_where_the_server_takes_nothing(
    run: Run, logs: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in "abcde":
        put(logs, stream, (1, "x"), (2, "x"))
    run(*backfilling(*ALL))
    index.documents.clear()
    index.requests.clear()
    plain = index._answer
    monkeypatch.setattr(module, "PAYLOAD_SECONDS", 0.3)
    index._answer = lambda request: AWAY if request.target.startswith("/_bulk") else plain(request)  # type: ignore[method-assign]
    code, out, err = run(*backfilling(*ALL))
    assert code == 1
    assert (
        "6 lines: 0 indexed, 0 duplicate, 0 rescued, 0 excluded, 6 failed\nto go on, run the "
        "same command with --from " in out
    )
    assert f"--from {DAY}T10:17:30Z" in out
    [stopped, summary] = err.splitlines()
    assert stopped.startswith(
        "python -m operate: stopped early: the server accepted nothing from 3 payloads in a "
        "row (2 of 2 documents not delivered: "
    )
    assert summary.startswith("python -m operate: 6 of 6 documents not delivered: ")


def test_backfill_refuses_where_ids_differ(run: Run, logs: Any, index: Bulk) -> None:
    put(logs, "a", (1, "x"), (200, "x"))
    run(*backfilling(*ALL))
    [first, second] = sorted(index.ids, key=int)
    rename(index, first, "another")
    rename(index, second, "one more")
    before = dict(index.documents)
    for more in ([], ["--dry-run"]):
        code, _, err = run(*backfilling(*ALL, *more))
        assert code == 2
        assert re.fullmatch(
            rf"python -m operate: the index has document one more at {DAY}T13:37:30\.000Z, but "
            r"CloudWatch now has the id .*\n",
            err,
        )
    assert index.documents == before
    # in an empty index, no line can be there twice
    assert (
        run(
            "backfill", "--log-group", GROUP, "--from", f"{DAY}T10:30", "--to", f"{DAY}T13:00", *ALL
        )[0]
        == 0
    )


def test_backfill_of_a_space_delimited_pattern_says_what_is_lost(run: Run, logs: Any) -> None:
    code, _, err = run(*backfilling("--pattern", "[ip, user, ...]"))
    assert (code, err.count("\n")) == (0, 1)
    assert (
        "the pattern is space-delimited: lines are recovered, but not the fields that the "
        "pattern cuts out of a line" in err
    )


def test_ctrl_c_says_where_to_go_on(
    run: Run, logs: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "PAGE_EVENTS", 2)
    put(logs, "a", *((number, "x") for number in range(6)))
    interrupt_at(3, monkeypatch)
    code, out, err = run(*backfilling(*ALL))
    assert (code, err) == (130, "python -m operate: stopped by Ctrl-C\n")
    assert out.splitlines()[-2:] == [
        "4 lines: 4 indexed, 0 duplicate, 0 rescued, 0 excluded, 0 failed",
        f"to go on, run the same command with --from {DAY}T10:20:30Z: everything before is done",
    ]


def test_a_terminal_sees_a_bar(run: Run, logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(logs, "a", (1, "x"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, out, _ = run(*backfilling(*ALL))
    assert "━" in out
    assert "1 indexed, 0 duplicate" in out.partition("━")[2].partition("1 line:")[0]


# --- reconcile


def counting(*more: str) -> list[str]:
    return ["reconcile", "--log-group", GROUP, *SPAN, *more]


def table(out: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in out.splitlines()
        if line.startswith("│")
    ]


def test_reconcile_names_the_backfill_that_closes_the_gap(
    run: Run, logs: Any, index: Bulk, capsys: pytest.CaptureFixture[str]
) -> None:
    put(logs, "a", (0, "x"), (59, "x"), (60, "x"), (119, "x"), (150, "x"), (222, "x"))
    run("backfill", "--log-group", GROUP, "--from", f"{DAY}T10:17:30", "--to", f"{DAY}T11:20", *ALL)
    code, out, err = run(*counting(*ALL, "--region", REGION))
    assert (code, err) == (1, "")
    assert out.splitlines()[0].strip() == f"{GROUP} (all lines)"
    assert table(out) == [
        [f"{DAY}T10:17:30Z", "2", "2", ""],
        [f"{DAY}T11:17:30Z", "2", "1", "1"],
        [f"{DAY}T12:17:30Z", "1", "0", "1"],
        [f"{DAY}T13:17:30Z", "1", "0", "1"],
        ["4 intervals with lines or documents", "6", "3", "3"],
    ]
    command = out.splitlines()[-1].strip()
    assert command == (
        f"python -m operate backfill --log-group {GROUP} --from {DAY}T11:17:30Z "
        f"--to {DAY}T14:00:00Z --opensearch {index.url} --pattern= --region={REGION}"
    )
    assert main(shlex.split(command)[3:]) == 0
    capsys.readouterr()
    code, out, err = run(*counting(*ALL))
    assert (code, err) == (0, "")
    assert "missing; this closes" not in out
    assert "ids:" not in out
    assert table(out)[-1] == ["4 intervals with lines or documents", "6", "6", "0"]


def test_reconcile_of_other_intervals_and_the_subscribed_pattern(run: Run, logs: Any) -> None:
    put(logs, "a", (0, "prediction"), (1, "prediction"), (2, "START"), (22, "prediction"))
    subscribe(logs, "predictions", "prediction")
    code, out, _ = run(*counting("--every", "7m"))
    assert code == 1
    assert "(pattern prediction)" in out
    assert table(out)[:2] == [
        [f"{DAY}T10:17:30Z", "2", "0", "2"],
        [f"{DAY}T10:38:30Z", "1", "0", "1"],
    ]
    assert "--pattern" not in out  # the backfill finds the same pattern
    assert f"--from {DAY}T10:17:30Z --to {DAY}T10:45:30Z" in out


def test_reconcile_keeps_milliseconds(run: Run, logs: Any) -> None:
    put(logs, "a", (1, "x"))
    _, out, _ = run(
        "reconcile",
        "--log-group",
        GROUP,
        "--from",
        f"{DAY}T10:17:30.250",
        "--to",
        f"{DAY}T14:00:00.001",
        "--every",
        "1d",
        *ALL,
    )
    assert table(out)[0] == [f"{DAY}T10:17:30.250Z", "1", "0", "1"]
    assert f"--from {DAY}T10:17:30.250Z --to {DAY}T14:00:00.001Z " in out


def test_reconcile_of_nothing_is_equal(run: Run, logs: Any) -> None:
    code, out, err = run(*counting(*ALL))
    assert (code, err, table(out)) == (
        0,
        "",
        [["0 intervals with lines or documents", "0", "0", "0"]],
    )


def test_reconcile_sees_documents_without_lines(run: Run, logs: Any) -> None:
    put(logs, "a", (0, "x"), (100, "x"))
    run(*backfilling(*ALL))
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="a")
    code, out, _ = run(*counting(*ALL))
    assert code == 1
    assert table(out)[-1] == ["2 intervals with lines or documents", "0", "2", "-2"]
    assert out.splitlines()[-1].startswith(
        "2 documents more than lines: lines past the log group's retention, "
    )
    assert "backfill" not in out


def test_reconcile_misses_in_one_interval_what_another_has_too_much(
    run: Run, logs: Any, index: Bulk
) -> None:
    put(logs, "a", (0, "x"), (100, "x"))
    run(*backfilling(*ALL))
    [first, _] = sorted(index.ids, key=int)
    index.documents = {key: source for key, source in index.documents.items() if key[1] != first}
    [last] = index.ids
    rename(index, last, "another")
    index.documents["cwl", "copy"] = next(iter(index.documents.values()))
    code, out, err = run(*counting(*ALL))
    assert (code, table(out)[-1]) == (1, ["2 intervals with lines or documents", "2", "2", "0"])
    assert "but CloudWatch now has the id" in err
    assert "this closes the gap" not in out  # a backfill would not close it


def test_reconcile_does_not_miss_what_is_excluded(
    run: Run, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(logs, "a", (0, "START RequestId: 1 Version: 2"), (1, '{"a": 1}'))
    monkeypatch.setenv("EXCLUDE", "platform")
    run(*backfilling(*ALL))
    code, out, _ = run(*counting(*ALL))
    assert (code, table(out)[-1]) == (0, ["1 interval with lines or documents", "1", "1", "0"])
    assert out.startswith("not counted: lines of the kinds that EXCLUDE names here: platform\n")


def test_reconcile_refuses_more_intervals_than_can_be_read(run: Run, logs: Any) -> None:
    code, out, err = run(*counting(*ALL, "--every", "1s"))
    assert (code, out) == (2, "")
    assert (
        err
        == "python -m operate: --every: 13350 intervals are too many: choose a longer interval, "
        "so that there are 1000 at most\n"
    )


def test_a_password_is_not_shown(
    aws: None,
    logs: Any,
    index: Bulk,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(logs, "a", (0, "x"))
    monkeypatch.setenv("OPENSEARCH_URL", index.url.replace("//", "//user:secret@"))
    assert main(counting(*ALL)) == 1
    written = capsys.readouterr()
    assert "secret" not in written.out + written.err
    assert f"--opensearch {index.url.replace('//', '//USER:PASSWORD@')}" in written.out
    assert all(request.headers["authorization"].startswith("Basic ") for request in index.requests)


# --- refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: command"),
        (["remove"], "invalid choice: 'remove'"),
        (["replay", "--opensearch", "http://h"], "required: --bucket"),
        (["replay", "--bucket", "b"], "required: --opensearch"),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--rate", "0"],
            "--rate: a number above 0, not '0'",
        ),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--rate", "nan"],
            "a number above 0, not 'nan'",
        ),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--rate", "fast"],
            "a number above 0, not 'fast'",
        ),
        (
            ["replay", "--bucket", "b", "--opensearch", "http://h", "--since", "today"],
            "--since: a time in ISO 8601, such as .*, not 'today'",
        ),
        (["backfill", *SPAN, "--opensearch", "http://h"], "required: --log-group"),
        (
            ["reconcile", "--log-group", "g", *SPAN, "--opensearch", "http://h", "--every", "1w"],
            "--every: an interval is a number and a unit",
        ),
    ],
)
def test_wrong_arguments_end_with_one_sentence(
    aws: None, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert re.search(
        rf"^python -m operate.*{said}.* \(see python -m operate.* --help\)\n$",
        refused(capsys, *arguments),
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        pytest.param(
            counting("--to", f"{DAY}T10:17:30"),
            {},
            "--from must be before --to, and not before 1970",
            id="empty",
        ),
        pytest.param(
            backfilling("--to", f"{DAY}T09:00"),
            {},
            "--from must be before --to, and not before 1970",
            id="backwards",
        ),
        pytest.param(
            backfilling("--from", "1969-12-31"),
            {},
            "--from must be before --to, and not before 1970",
            id="old",
        ),
        pytest.param(
            backfilling(),
            {"EXCLUDE": "all"},
            "EXCLUDE must be a comma-separated list of metrics, object, platform, text, "
            "but it contains 'all'",
            id="setting",
        ),
        pytest.param(
            backfilling("--opensearch", "h:9200"),
            {},
            "OPENSEARCH_URL must be an http(s) address",
            id="address",
        ),
        pytest.param(
            ["replay", "--bucket", BUCKET],
            {"REDACT_FIELDS": "a=hash"},
            "REDACT_KEY must be set if",
            id="replay",
        ),
        pytest.param(
            ["backfill", "--log-group", "/aws/lambda/pred", *SPAN],
            {},
            f"there is no log group '/aws/lambda/pred' in {REGION}: check --log-group, "
            "--region and --profile",
            id="beginning of a log group's name",
        ),
        pytest.param(
            ["reconcile", "--log-group", "none", *SPAN, "--region", "us-east-1"],
            {},
            "no log group 'none' in us-east-1",
            id="region",
        ),
        pytest.param(
            ["replay", "--bucket", "none"],
            {},
            "AWS: An error occurred (NoSuchBucket) when calling the ListObjectsV2",
            id="bucket",
        ),
        pytest.param(
            ["replay", "--bucket", "none", "--profile", "nobody"],
            {},
            "AWS: The config profile (nobody) could not be found",
            id="profile",
        ),
        pytest.param(
            ["replay", "--bucket", "B!"],
            {},
            "AWS: Parameter validation failed: Invalid bucket name",
            id="name of a bucket",
        ),
    ],
)
def test_what_cannot_run_ends_with_one_sentence(
    logs: Any,
    bucket: Any,
    index: Bulk,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    arguments: list[str],
    environment: dict[str, str],
    said: str,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "")  # so that it is restored
    monkeypatch.delenv("AWS_PROFILE")
    for name, value in ({"OPENSEARCH_URL": index.url} | environment).items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("python -m operate: ")
    assert said in written.err
    assert written.err.count("\n") == 1
    assert index.requests == []


def test_an_index_that_is_away_ends_with_one_sentence(run: Run, logs: Any, index: Bulk) -> None:
    put(logs, "a", (0, "x"))
    index.always = CLOSE
    for command in (counting, backfilling):
        code, out, err = run(*command(*ALL))
        assert code == 2
        assert (
            err == "python -m operate: OpenSearch does not answer (ConnectionError): check "
            "--opensearch and the network\n"
        )
        assert "indexed" not in out


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "OPENSEARCH_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))


def test_without_credentials(no_aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--bucket", "b", "--opensearch", "http://h"]) == 2
    assert capsys.readouterr().err == "python -m operate: AWS: Unable to locate credentials\n"


def test_without_a_region(
    no_aws: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert main([*backfilling(), "--opensearch", "http://h"]) == 2
    assert capsys.readouterr().err == "python -m operate: AWS: You must specify a region.\n"


def test_without_a_network(
    no_aws: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(module, "RETRIES", Config(retries={"total_max_attempts": 1}))
    assert main([*backfilling(), "--opensearch", "http://h"]) == 2
    assert (
        capsys.readouterr().err
        == f'python -m operate: AWS: Could not connect to the endpoint URL: "http://127.0.0.1:{port}/"\n'
    )


def test_a_profile_signs_for_opensearch_too(
    logs: Any,
    index: Bulk,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "credentials").write_text(
        "[other]\naws_access_key_id = OTHER\naws_secret_access_key = secret\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "")  # so that it is restored
    monkeypatch.setenv("AWS_SESSION_TOKEN", "testing")
    monkeypatch.setenv("HTTP_PROXY", index.url)
    put(logs, "a", (0, "x"))
    host = "http://search-x.eu-west-1.es.amazonaws.com"
    assert main([*backfilling(*ALL), "--opensearch", host, "--profile", "other"]) == 0, (
        capsys.readouterr().err
    )
    assert [request.target.split("?")[0] for request in index.requests] == [
        f"{host}:80/cwl-*/_search",
        f"{host}:80/_bulk",
    ]
    assert all(
        " Credential=OTHER/" in request.headers["authorization"] for request in index.requests
    )
    assert not any("x-amz-security-token" in request.headers for request in index.requests)


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "operate", "backfill", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "AWS does not promise that a line has the same id here" in " ".join(done.stdout.split())

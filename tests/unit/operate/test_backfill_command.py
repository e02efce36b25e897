"""Test the command backfill, which ships the lines of a log group into the index."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from operate import __main__ as module
from operate import backfill
from tests.unit.conftest import Bulk
from tests.unit.operate.conftest import (
    ALL,
    AWAY,
    DAY,
    EXPIRED,
    FORBIDDEN,
    GROUP,
    SPAN,
    Run,
    backfilling,
    counting,
    interrupt_at,
    put,
    subscribe,
    table,
)
from tests.unit.operate.searches import rename


def test_a_second_backfill_changes_nothing(
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
        (
            "ids: not compared, because the index has no documents of the range, "
            "or CloudWatch no longer has their lines"
        ),
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
        "ids: CloudWatch and the index agree (compared: 3 documents of the range)",
        "8 lines: 0 indexed, 8 duplicate, 0 rescued, 0 excluded, 0 failed",
    ]
    assert index.documents == before


def test_backfill_asks_for_the_pattern_unless_there_is_exactly_one_subscription(
    run: Run, logs: Any, index: Bulk
) -> None:
    put(logs, "a", (1, "x"))
    code, out, err = run(*backfilling())
    assert (code, out) == (2, "")
    assert err == (
        f"python -m operate: the pattern is not known, because {GROUP} has 0 subscription filters "
        "of its own; "
        "select the lines with --pattern ('' for all)\n"
    )
    assert index.requests == []
    assert run(*backfilling(*ALL))[0] == 0
    assert len(index.documents) == 1


def test_backfill_ships_only_lines_of_the_range(run: Run, logs: Any, index: Bulk) -> None:
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


def test_a_time_without_a_zone_is_in_utc_everywhere(
    run: Run, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(logs, "a", (0, "x"))
    with monkeypatch.context() as japan:
        japan.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        code, out, _ = run(*counting(*ALL))
    time.tzset()
    assert (code, table(out)[0]) == (1, [f"{DAY}T10:17:30Z", "1", "0", "1"])


def test_a_dry_run_of_backfill_counts_the_lines_and_sends_nothing(
    run: Run, logs: Any, index: Bulk
) -> None:
    put(logs, "a", (1, "x"), (2, "x"))
    put(logs, "b", (1, "x"))
    code, out, err = run(*backfilling(*ALL, "--dry-run"))
    assert (code, err) == (0, "")
    assert out.endswith("3 lines of 2 log streams (all lines); nothing was sent\n")
    assert index.documents == {}
    assert run(*backfilling("--pattern", "y", "--dry-run"))[1].endswith(
        "0 lines of 0 log streams (pattern y); nothing was sent\n"
    )


def test_backfill_excludes_and_redacts(
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


def test_backfill_says_why_some_lines_failed_and_where_to_continue(
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
        f"to go on, run the same command with --from {DAY}T10:18:30Z: all earlier lines are done",
    ]
    index.refuse.clear()
    code, out, _ = run(
        "backfill", "--log-group", GROUP, "--from", f"{DAY}T10:18:30Z", *SPAN[2:], *ALL
    )
    assert (code, len(index.documents)) == (0, 6)
    assert "5 lines: 1 indexed, 4 duplicate" in out


def test_backfill_stops_early_if_the_server_accepts_nothing(
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


def test_backfill_sends_nothing_if_ids_differ(run: Run, logs: Any, index: Bulk) -> None:
    put(logs, "a", (1, "x"), (200, "x"))
    run(*backfilling(*ALL))
    [first, second] = sorted(index.ids, key=int)
    rename(index, first, "renamed-1")
    rename(index, second, "renamed-2")
    before = dict(index.documents)
    for more in ([], ["--dry-run"]):
        code, _, err = run(*backfilling(*ALL, *more))
        assert code == 2
        assert re.fullmatch(
            rf"python -m operate: the index has document renamed-2 at {DAY}T13:37:30\.000Z, but "
            r"CloudWatch now has the id .*\n",
            err,
        )
    assert index.documents == before
    # Between these times there are no documents, so a backfill cannot add a line twice.
    assert (
        run(
            "backfill", "--log-group", GROUP, "--from", f"{DAY}T10:30", "--to", f"{DAY}T13:00", *ALL
        )[0]
        == 0
    )


def test_backfill_with_a_space_delimited_pattern_warns_of_lost_fields(run: Run, logs: Any) -> None:
    code, _, err = run(*backfilling("--pattern", "[ip, user, ...]"))
    assert (code, err.count("\n")) == (0, 1)
    assert (
        "the pattern is space-delimited: lines are recovered, but not the fields that the "
        "pattern extracts from a line" in err
    )


def test_after_ctrl_c_backfill_says_where_to_continue(
    run: Run, logs: Any, index: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "PAGE_EVENTS", 2)
    put(logs, "a", *((number, "x") for number in range(6)))
    interrupt_at(3, monkeypatch)
    code, out, err = run(*backfilling(*ALL))
    assert (code, err) == (130, "python -m operate: stopped by Ctrl-C\n")
    assert out.splitlines()[-2:] == [
        "4 lines: 4 indexed, 0 duplicate, 0 rescued, 0 excluded, 0 failed",
        f"to go on, run the same command with --from {DAY}T10:20:30Z: all earlier lines are done",
    ]


def test_a_terminal_shows_a_progress_bar(
    run: Run, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(logs, "a", (1, "x"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, out, _ = run(*backfilling(*ALL))
    assert "━" in out
    assert "1 indexed, 0 duplicate" in out.partition("━")[2].partition("1 line:")[0]

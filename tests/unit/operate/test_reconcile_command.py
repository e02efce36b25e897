"""Test the command reconcile, which compares a log group with the index."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from operate.__main__ import main
from tests.unit.conftest import Bulk
from tests.unit.operate.conftest import (
    ALL,
    DAY,
    GROUP,
    REGION,
    Run,
    backfilling,
    counting,
    put,
    subscribe,
    table,
)
from tests.unit.operate.searches import rename


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


def test_reconcile_uses_the_given_intervals_and_the_pattern_of_the_subscription(
    run: Run, logs: Any
) -> None:
    put(logs, "a", (0, "prediction"), (1, "prediction"), (2, "START"), (22, "prediction"))
    subscribe(logs, "predictions", "prediction")
    code, out, _ = run(*counting("--every", "7m"))
    assert code == 1
    assert "(pattern prediction)" in out
    assert table(out)[:2] == [
        [f"{DAY}T10:17:30Z", "2", "0", "2"],
        [f"{DAY}T10:38:30Z", "1", "0", "1"],
    ]
    assert "--pattern" not in out  # a backfill uses this pattern anyway
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


def test_reconcile_without_lines_and_documents_finds_no_difference(run: Run, logs: Any) -> None:
    code, out, err = run(*counting(*ALL))
    assert (code, err, table(out)) == (
        0,
        "",
        [["0 intervals with lines or documents", "0", "0", "0"]],
    )


def test_reconcile_reports_documents_without_lines(run: Run, logs: Any) -> None:
    put(logs, "a", (0, "x"), (100, "x"))
    run(*backfilling(*ALL))
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="a")
    code, out, _ = run(*counting(*ALL))
    assert code == 1
    assert table(out)[-1] == ["2 intervals with lines or documents", "0", "2", "-2"]
    assert out.splitlines()[-1].startswith(
        "2 documents too many; possible causes: lines past the log group's retention, "
    )
    assert "backfill" not in out


def test_a_surplus_in_one_interval_does_not_hide_missing_documents_in_another_interval(
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
    assert "closes the gap" not in out  # a backfill would not add the document


def test_reconcile_does_not_report_excluded_lines_as_missing(
    run: Run, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(logs, "a", (0, "START RequestId: 1 Version: 2"), (1, '{"a": 1}'))
    monkeypatch.setenv("EXCLUDE", "platform")
    run(*backfilling(*ALL))
    code, out, _ = run(*counting(*ALL))
    assert (code, table(out)[-1]) == (0, ["1 interval with lines or documents", "1", "1", "0"])
    assert out.startswith(
        "not counted: lines of the kinds in the environment variable EXCLUDE: platform\n"
    )


def test_reconcile_refuses_more_intervals_than_can_be_read(run: Run, logs: Any) -> None:
    code, out, err = run(*counting(*ALL, "--every", "1s"))
    assert (code, out) == (2, "")
    assert (
        err
        == "python -m operate: --every: 13350 intervals are too many: choose a longer interval, "
        "so that there are 1000 at most\n"
    )


def test_the_printed_command_does_not_show_the_password(
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

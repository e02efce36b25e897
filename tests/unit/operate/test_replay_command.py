"""Tests the command replay, which ships dead letters (undelivered payloads) into the index."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operate import __main__ as module
from shipper.dead_letters import Letter
from tests.unit.conftest import Bulk, Refusal
from tests.unit.operate.conftest import (
    AWAY,
    BUCKET,
    EXPIRED,
    FORBIDDEN,
    Run,
    interrupt_at,
    keys,
    letter,
)


def test_replay_ships_every_letter(run: Run, bucket: Any, index: Bulk) -> None:
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


def test_replay_dry_run_only_lists_the_letters(run: Run, bucket: Any, index: Bulk) -> None:
    key = letter(bucket, "a", "1")
    size = bucket.Object(key).content_length
    code, out, err = run("replay", "--bucket", BUCKET, "--dry-run")
    assert (code, err) == (1, "")
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ +{size} bytes  {key}\n1 letter below "
        rf"aws/lambda/ in {BUCKET}; .*\n",
        out,
    )
    assert keys(bucket) == {key}
    assert index.requests == []
    bucket.Object(key).delete()
    assert run("replay", "--bucket", BUCKET, "--dry-run")[:2] == (
        0,
        f"0 letters below aws/lambda/ in {BUCKET}; nothing was sent\n",
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


def test_replay_names_the_letters_that_were_not_delivered(
    run: Run, bucket: Any, index: Bulk
) -> None:
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
            "invocation: it has neither requestPayload nor payload"
        ),
        (
            f"python -m operate: waiting: {waits}: 1 of 2 documents not delivered: 1 x {FORBIDDEN} "
            "cwl-log-2026.11.23"
        ),
    ]
    assert keys(bucket) == {waits, f"poison/{poison}"}
    code, _, err = run("replay", "--bucket", BUCKET, "--prefix", "poison/")
    assert (code, err.count("poisoned: poison/")) == (1, 1)


def test_replay_fails_if_every_letter_is_poisoned(run: Run, bucket: Any) -> None:
    bucket.put_object(Key="aws/lambda/async/x", Body=b"{}")
    assert run("replay", "--bucket", BUCKET)[0] == 1


def test_replay_stops_early_if_the_server_accepts_nothing(
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
        "stopped early, because the server accepts nothing now: 2 letters not tried; "
        "run this again later\n"
    )
    assert keys(bucket) == written


def test_replay_shows_only_the_first_reasons_and_shortens_them(
    run: Run, bucket: Any, index: Bulk
) -> None:
    for number in range(23):
        letter(bucket, f"{number}", f"{number}")
        index.refuse[f"{number}"] = Refusal(404, "x" * 300, "", None)
    code, _, err = run("replay", "--bucket", BUCKET)
    lines = err.splitlines()
    assert (code, len(lines), lines[-1]) == (1, 21, "python -m operate: and 3 more")
    assert all(len(line) < 300 and line.endswith("xxx...") for line in lines[:-1])


def test_replay_selects_letters_by_time(run: Run, bucket: Any) -> None:
    letter(bucket, "a", "1")
    now = datetime.now(UTC)
    before, after = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    listing = ["replay", "--bucket", BUCKET, "--dry-run"]
    assert run(*listing, "--since", after)[0] == 0
    assert run(*listing, "--until", before)[0] == 0
    assert run(*listing, "--since", before, "--until", after)[0] == 1


def test_replay_is_no_faster_than_the_rate(run: Run, bucket: Any) -> None:
    letter(bucket, "a", "1", "2")
    start = time.monotonic()
    run("replay", "--bucket", BUCKET, "--rate", "4")
    assert time.monotonic() - start >= 0.5


def test_after_ctrl_c_replay_says_what_was_done(
    run: Run, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        letter(bucket, str(number), str(number))
    interrupt_at(2, monkeypatch)
    code, out, err = run("replay", "--bucket", BUCKET)
    assert (code, err) == (130, "python -m operate: stopped by Ctrl-C\n")
    assert (
        "1 of 3 letters tried: 1 replayed, 0 waiting, 0 poisoned, 0 gone\nlines: 1 indexed," in out
    )
    assert len(keys(bucket)) == 2

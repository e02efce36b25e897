from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.log_events import LONGEST, PIPE, Line, lines, text_of
from local.ship_lines import Source
from tools.errors import UserError

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CHANGED = datetime(2026, 11, 20, tzinfo=UTC)
NOON = 1_762_171_200_000  # 2025-11-03T12:00:00Z
STREAM = "2025/11/03/[$LATEST]0123456789abcdef0123456789abcdef"
RECORD = '{"text": "a", "prediction": {"label": "b", "score": 0.5}}'


def read(text: str, name: str = "a.log", changed: datetime = CHANGED, first: int = 1) -> list[Line]:
    return list(lines(text, name, changed, NOW, first))


@pytest.mark.parametrize(
    ("text", "message", "time"),
    [
        pytest.param('{"timestamp": "2025-11-03T12:00:00Z"}', None, NOON, id="JSON, timestamp"),
        pytest.param(
            '{"time": "2025-11-03T13:00:00.5+01:00"}', None, NOON + 500, id="JSON, time with a zone"
        ),
        pytest.param(f'{{"@timestamp": {NOON}}}', None, NOON, id="JSON, milliseconds"),
        pytest.param(f'{{"ts": {NOON // 1000}.25}}', None, NOON + 250, id="JSON, seconds"),
        pytest.param(
            f"[INFO]\t2025-11-03T12:00:00.000Z\tid\t{RECORD}", None, NOON, id="Lambda's text format"
        ),
        pytest.param(
            f"2025-11-03 12:00:00,250 INFO {RECORD}", None, NOON + 250, id="Python's logging"
        ),
        pytest.param(
            f"2025-11-03T12:00:00.123000+00:00 {STREAM} {RECORD}",
            RECORD,
            NOON + 123,
            id="aws logs tail",
        ),
        pytest.param(
            f"2025-11-03T12:00:00 {RECORD}", RECORD, NOON, id="aws logs tail --format short"
        ),
        pytest.param(
            f'2025-11-03T12:00:00+00:00 {STREAM}\n{{\n  "a": 1\n}}',
            '{\n  "a": 1\n}',
            NOON,
            id="aws logs tail --format json",
        ),
        pytest.param(
            f"{STREAM} 2025-11-03T12:00:00.250000 {RECORD}", RECORD, NOON + 250, id="sam logs"
        ),
        pytest.param(
            f"\x1b[96m{STREAM}\x1b[0m \x1b[92m2025-11-03T12:00:00\x1b[0m {RECORD}",
            RECORD,
            NOON,
            id="sam logs in colour",
        ),
        pytest.param(
            json.dumps({"timestamp": NOON, "message": RECORD + "\n", "eventId": "1"}),
            RECORD,
            NOON,
            id="an event per line",
        ),
    ],
)
def test_the_time_of_each_event_is_kept(text: str, message: str | None, time: int) -> None:
    [line] = read(text + "\n")
    assert (line.message, line.timestamp, line.own_time) == (message or text, time, True)


def test_events_of_filter_log_events_keep_their_ids() -> None:
    events = [
        {
            "logStreamName": "s",
            "timestamp": NOON + n,
            "message": f"{RECORD}\n",
            "ingestionTime": NOON,
            "eventId": f"{n:056d}",
        }
        for n in range(3)
    ]
    for text in (
        json.dumps({"events": events, "searchedLogStreams": []}, indent=4),
        json.dumps(events),
    ):
        assert [line.event() for line in read(text)] == [
            {"id": f"{n:056d}", "timestamp": NOON + n, "message": RECORD} for n in range(3)
        ]


def test_a_line_without_a_time_gets_the_time_of_the_previous_line_or_of_the_file() -> None:
    found = read("first\n2025-11-03 12:00:00 second\n\n  third\n")
    assert [line.timestamp for line in found] == [int(CHANGED.timestamp() * 1000), NOON, NOON]
    assert [line.own_time for line in found] == [False, True, True]


def test_an_id_depends_on_file_and_place_and_content() -> None:
    ids = [line.id for line in read("x\nx\n")]
    assert len(set(ids)) == 2
    assert all(len(each) == 56 and each.isdecimal() for each in ids)
    assert [line.id for line in read("x\nx\nand more\n", changed=NOW)][:2] == ids
    assert read("x", name="b.log")[0].id not in ids
    assert read("x", first=2)[0].id == ids[1]
    assert read("x", name=PIPE)[0].id != read("x", name=PIPE, changed=NOW)[0].id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x" * (LONGEST + 1), "line 1 of a.log has more than 1 MB"),
        ("ok\n" + "é" * (LONGEST // 2 + 1), "line 2 of a.log has more than 1 MB"),
        ('{"timestamp": "1970-01-01T00:00:01Z"}', "line 1 of a.log has the date 1970-01-01"),
        (
            json.dumps([{"timestamp": NOON // 1000, "message": "x"}]),
            "line 1 of a.log has the date 1970-01-21",
        ),
        (
            '{"timestamp": "2026-11-28T14:00:01Z"}',
            "line 1 of a.log has a time more than two hours ahead",
        ),
        ('{"timestamp": 1e300}', "line 1 of a.log has a time more than two hours ahead"),
    ],
)
def test_a_line_that_cloudwatch_would_refuse_is_refused_with_one_sentence(
    text: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        read(text)


def test_a_time_two_hours_ahead_is_accepted() -> None:
    assert len(read(f'{{"timestamp": "{(NOW + timedelta(hours=2)).isoformat()}"}}')) == 1


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a\0b", b"\x1f\x8b\x08"])
def test_a_file_that_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match=r"x\.bin is not (UTF-8 )?text"):
        text_of(data, "x.bin")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["timestamp", "message", "events"]) | st.text(), inner)
    ),
)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_read_as_lines_or_refused(text: str) -> None:
    try:
        found: list[Any] = read(text)
    except UserError:
        return
    assert all(line.timestamp > 0 for line in found)


def test_only_complete_lines_are_read_from_a_growing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")
    source = Source(str(path), follow=True)
    assert [line.message for line in source.added(NOW)] == ["one"]
    assert source.added(NOW) == []
    with path.open("ab") as file:
        file.write("o\nthré".encode()[:-1])
    [second] = source.added(NOW)
    with path.open("ab") as file:
        file.write("é".encode()[-1:] + b"\n")
    [third] = source.added(NOW)
    assert [second.message, third.message] == ["two", "thré"]
    assert [line.id for line in Source(str(path)).added(NOW)][1:] == [second.id, third.id]


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="cannot be read \\(No such file or directory\\): give files of log lines"
    ):
        Source(str(tmp_path / "none")).added(NOW)

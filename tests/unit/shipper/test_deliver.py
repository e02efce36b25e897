"""Tests that each document is in the index once, or counted with the reason of its failure.

A busy document is one that the server refused because the server was busy. A rescued document is
one that the index refused at first, and accepted with fewer fields. The possible sets of fields are
called forms (`Form`).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from opensearchpy import RequestsHttpConnection

from shipper import deliver as module
from shipper.back_off import FIRST_PAUSE, LONGEST_PAUSE, RetryBudget
from shipper.bulk import Verdict, send
from shipper.deliver import NO_FORM, REQUEST_SECONDS, TOO_LATE
from shipper.document import Document, Form
from shipper.outcome import NotDelivered, Outcome
from shipper.partial_document import less as rescued
from tests.unit.conftest import (
    CLOSE,
    CONFLICT,
    INDEX,
    LOST,
    REJECTED,
    TEXT,
    UNPARSED,
    Answer,
    Bulk,
    Clock,
    Refusal,
    as_json,
    made,
    problem,
)

LONG = 10_000.0  # seconds, more than any test needs
LINE = "quokkas and wombats"  # is in the lines, but not in the server's answers
AWAY = Answer(503, "text/html", b"<html>Service Unavailable</html>")
TOO_LARGE = Answer(413, "text/plain", b"")
BROKEN = Answer(200, "text/html", b"<html>")
DENIED = as_json(403, problem("security_exception", "no permissions", 403))
REFUSED_BARE = "400 mapper_parsing_exception of field n" + NO_FORM.removeprefix("%s")
UNREADABLE_BARE = "400 action_request_validation_exception" + NO_FORM.removeprefix("%s")
TOO_LARGE_BARE = (
    "413 without a type, the server's limit for a request "
    "(http.max_content_length, or the limit of a proxy)" + NO_FORM.removeprefix("%s")
)
GONE_503 = "503 without a type"
FORBIDDEN = f"403 security_exception: the user needs the permission to write {INDEX}"

Deliver = Callable[..., Outcome]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def unhurried(
    content: bytes, count: int, connection: RequestsHttpConnection, _timeout: float, index: str
) -> list[Verdict] | Verdict:
    """Send a request with a long timeout, because the machine may be busy."""
    return send(content, count, connection, 30.0, index)


@pytest.fixture
def deliver(
    connection: RequestsHttpConnection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Deliver:
    """Return a function that delivers with the clock of the test."""
    monkeypatch.setattr(module, "send", unhurried)

    def deliver_them(documents: Iterable[Document], seconds: float = LONG) -> Outcome:
        return module.deliver(documents, connection, clock.budget(seconds))

    return deliver_them


def chunked(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Limit each chunk to `count` documents. A chunk has the documents of one request.

    The documents must be made by `made`, and their ids must have one character.
    """
    monkeypatch.setattr(module, "CHUNK_BYTES", count * len(made("1")[0].lines))


def long_id(letter: str) -> Document:
    """Make a document with an id so long that the server refuses the whole request.

    The shipper never makes such an id, so the id of a usual document is replaced.
    """
    (found,) = made(letter)
    action = b'"_id":"%b"' % letter.encode()
    assert found.lines.count(action) == 1
    return replace(
        found, lines=found.lines.replace(action, b'"_id":"%b"' % (letter.encode() * 600))
    )


def sent(bulk: Bulk) -> list[list[str]]:
    return [request.ids for request in bulk.requests]


def counts(outcome: Outcome) -> tuple[int, int, int, int]:
    return outcome.indexed, outcome.duplicate, outcome.rescued, outcome.failed


# --- without failures


def test_documents_are_indexed_unchanged(bulk: Bulk, deliver: Deliver, clock: Clock) -> None:
    documents = made("1", "2", "3")
    outcome = deliver(documents)
    assert outcome.or_raise() == {"indexed": 3, "duplicate": 0, "rescued": 0, "excluded": 0}
    assert bulk.documents == {
        (INDEX, identifier): document.source
        for identifier, document in zip("123", documents, strict=True)
    }
    assert (outcome.requests, outcome.retries, outcome.sent_bytes, outcome.available) == (
        1,
        0,
        len(bulk.requests[0].body),
        True,
    )
    assert clock.pauses == []


def test_without_documents_no_request_is_sent(bulk: Bulk, deliver: Deliver) -> None:
    outcome = deliver([])
    assert outcome.or_raise() == {"indexed": 0, "duplicate": 0, "rescued": 0, "excluded": 0}
    assert (bulk.requests, outcome.requests, outcome.available) == ([], 0, True)


def test_a_second_delivery_adds_only_the_missing_documents(bulk: Bulk, deliver: Deliver) -> None:
    deliver(made("1", "3"))
    before = dict(bulk.documents)
    assert counts(deliver(made("1", "2", "3", text="another"))) == (1, 2, 0, 0)
    assert {key: source for key, source in bulk.documents.items() if key in before} == before
    assert counts(deliver(made("1", "2", "3"))) == (0, 3, 0, 0)
    assert sorted(bulk.ids) == ["1", "2", "3"]


def test_documents_are_made_chunk_by_chunk(
    bulk: Bulk, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunked(monkeypatch, 2)
    seen: list[int] = []

    def one_by_one() -> Any:
        for document in made(*"12345"):
            seen.append(len(bulk.requests))
            yield document

    deliver(one_by_one())
    assert sent(bulk) == [["1", "2"], ["3", "4"], ["5"]]
    assert seen == [0, 0, 0, 1, 1]  # documents are made when their chunk is sent


# --- retries


@pytest.mark.parametrize(
    ("refuse", "answers", "order"),
    [
        pytest.param(["1"], [], ["12", "34", "56", "1"], id="a busy document"),
        pytest.param(
            ["1", "4", "6"],
            [],
            ["12", "34", "56", "14", "6"],
            id="busy documents of several chunks",
        ),
        pytest.param([], [AWAY], ["12", "34", "56", "12"], id="a busy request"),
        pytest.param([], [AWAY, None, CLOSE], ["12", "34", "56", "12", "56"], id="busy requests"),
        pytest.param(
            ["3"], [AWAY], ["12", "34", "56", "12", "3"], id="a busy document and a busy request"
        ),
    ],
)
def test_all_documents_are_sent_once_before_busy_ones_are_sent_again(
    *,
    bulk: Bulk,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
    refuse: list[str],
    answers: list[Answer | None],
    order: list[str],
) -> None:
    chunked(monkeypatch, 2)
    bulk.scripts = {identifier: deque([REJECTED]) for identifier in refuse}
    bulk.answers.extend(answers)
    outcome = deliver(made(*"123456"))
    assert ["".join(ids) for ids in sent(bulk)] == order
    assert counts(outcome) == (6, 0, 0, 0)
    assert sorted(bulk.ids) == [*"123456"]
    assert outcome.requests == len(order)
    assert outcome.retries == sum(map(len, order)) - 6
    assert outcome.sent_bytes == sum(len(request.body) for request in bulk.requests)


@pytest.mark.parametrize(
    ("answer", "duplicate"),
    [
        pytest.param(LOST, 2, id="closed after the documents were indexed"),
        pytest.param(CLOSE, 0, id="closed before the documents were indexed"),
        pytest.param(BROKEN, 0, id="an answer that cannot be read"),
        pytest.param(
            Answer(429, "text/plain", b"429 Too Many Requests /_bulk"), 0, id="too many requests"
        ),
        pytest.param(AWAY, 0, id="unavailable"),
    ],
)
def test_a_request_that_may_have_failed_is_sent_again(
    bulk: Bulk, deliver: Deliver, answer: Answer, duplicate: int
) -> None:
    bulk.answers.append(answer)
    outcome = deliver(made("1", "2"))
    assert counts(outcome) == (2 - duplicate, duplicate, 0, 0)
    assert sent(bulk) == [["1", "2"]] * 2
    assert (outcome.requests, outcome.retries, outcome.available) == (2, 2, True)
    assert sorted(bulk.ids) == ["1", "2"]


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        pytest.param(Refusal(403, "security_exception"), FORBIDDEN, id="no permission"),
        pytest.param(
            Refusal(404, "index_not_found_exception"),
            "404 index_not_found_exception",
            id="no index",
        ),
    ],
)
def test_a_document_that_cannot_succeed_is_not_sent_again(
    bulk: Bulk, deliver: Deliver, refusal: Refusal, reason: str
) -> None:
    bulk.refuse = {"2": refusal, "4": refusal}
    outcome = deliver(made(*"12345"))
    assert bulk.ids == ["1", "3", "5"]
    assert (counts(outcome), len(bulk.requests)) == ((3, 0, 0, 2), 1)
    assert outcome.reasons == {reason: 2}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            Answer(403, "application/json", b'{"message": "Forbidden"}'),
            "403 without a type: the domain refuses the request: check the domain's policy",
        ),
        (
            Answer(401, "text/plain", b"Unauthorized"),
            "401 without a type: the server does not accept the user and password",
        ),
        (as_json(403, problem("other_exception", "no", 403)), "403 other_exception"),
    ],
)
def test_the_reason_of_a_refused_request_says_what_to_check(
    bulk: Bulk, deliver: Deliver, answer: Answer, reason: str
) -> None:
    bulk.answers.append(answer)
    ((found, count),) = deliver(made("1", "2")).reasons.items()
    assert (found.startswith(reason), count) == (True, 2)


def test_a_write_block_is_not_called_a_missing_permission(bulk: Bulk, deliver: Deliver) -> None:
    bulk.answers.extend(
        [
            as_json(
                403,
                problem(
                    "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)];", 403
                ),
            )
        ]
        * 50
    )
    outcome = deliver(made("1"), seconds=0.5)
    assert outcome.failed == 1
    assert set(outcome.reasons) == {"403 cluster_block_exception"}


def test_all_documents_of_a_request_without_permission_fail(bulk: Bulk, deliver: Deliver) -> None:
    bulk.answers.append(DENIED)
    outcome = deliver(made("1", "2"))
    assert (counts(outcome), len(bulk.requests)) == ((0, 0, 0, 2), 1)
    assert outcome.reasons == {FORBIDDEN: 2}


# --- pauses


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_each_pause_is_random_below_a_limit_that_doubles(
    bulk: Bulk, deliver: Deliver, clock: Clock, share: float
) -> None:
    clock.share = share
    bulk.scripts["1"] = deque([REJECTED] * 12)
    assert counts(deliver(made("1", "2"))) == (2, 0, 0, 0)
    bounds = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20, 20, 20, 20]
    assert [low for low, _ in clock.bounds] == [0] * 12
    assert [high for _, high in clock.bounds] == [pytest.approx(bound) for bound in bounds]
    assert clock.pauses == [pytest.approx(share * bound) for bound in bounds]
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (0.2, 20)


def test_no_pause_is_longer_than_the_time_that_is_left(
    bulk: Bulk, deliver: Deliver, clock: Clock
) -> None:
    bulk.refuse["1"] = REJECTED
    outcome = deliver(made("1", "2", "3"), seconds=5)
    assert clock.pauses == [pytest.approx(pause) for pause in (0.2, 0.4, 0.8, 1.6, 2.0)]
    assert clock.now == pytest.approx(1005)
    assert sent(bulk) == [["1", "2", "3"], *[["1"]] * 4]
    # The reason is the last answer before the time was up.
    assert outcome.reasons == {"429 opensearch_rejected_execution_exception": 1}
    assert (counts(outcome), outcome.retries) == ((2, 0, 0, 1), 4)


def test_a_pause_that_lasts_too_long_ends_the_delivery(
    bulk: Bulk, deliver: Deliver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.refuse = {"1": REJECTED, "2": UNPARSED}
    monkeypatch.setattr(clock, "sleep", lambda _: setattr(clock, "now", clock.now + 60))
    outcome = deliver(made("1", "2"), seconds=5)
    assert outcome.reasons == {"429 opensearch_rejected_execution_exception": 1, REFUSED_BARE: 1}


@pytest.mark.parametrize(
    ("answers", "bounds"),
    [
        pytest.param([None, None, None], [], id="available"),
        pytest.param([AWAY, None, None], [0.2, 0.2], id="unavailable once"),
        pytest.param([AWAY, AWAY, None], [0.2, 0.4, 0.2], id="unavailable twice"),
        pytest.param(
            [AWAY, None, AWAY], [0.2, 0.2], id="unavailable for the first and the last chunk"
        ),
        pytest.param(
            [AWAY, AWAY, AWAY, AWAY],
            [0.2, 0.4, 0.2, 0.2, 0.4],
            id="unavailable for all chunks: pauses between chunks and between tries",
        ),
        pytest.param([DENIED, DENIED, DENIED], [], id="not permitted"),
        pytest.param([TOO_LARGE, None, None], [], id="too large"),
    ],
)
def test_a_pause_follows_each_chunk_for_which_the_server_was_unavailable(
    *,
    bulk: Bulk,
    deliver: Deliver,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Answer | None],
    bounds: list[float],
) -> None:
    chunked(monkeypatch, 2)
    bulk.answers.extend(answers)
    deliver(made(*"123456"))
    assert [high for _, high in clock.bounds] == [pytest.approx(bound) for bound in bounds]


@pytest.mark.parametrize(
    ("answers", "mebibytes"),
    [
        pytest.param([None] * 3, [5, 5, 5], id="not busy"),
        pytest.param(
            [AWAY, None, None],
            [5, 2.5, 2.5, 5],
            id="busy once: half the size, then the whole size again",
        ),
        pytest.param(
            [AWAY, AWAY, AWAY],
            [5, 2.5, 1.25, 0.625],
            id="busy three times: each time half the size",
        ),
        pytest.param([CLOSE, None], [5, 2.5], id="no connection"),
        pytest.param([DENIED, None], [5, 5], id="not permitted: the same size"),
    ],
)
def test_a_busy_server_gets_smaller_requests(
    bulk: Bulk, deliver: Deliver, answers: list[Answer | None], mebibytes: list[float]
) -> None:
    bulk.answers.extend(answers)
    # Each document has 100 kB: 50 kB in its fields, and as much in its line.
    outcome = deliver(made(*map(str, range(200)), size=50_000))
    sizes = [len(request.body) / 2**20 for request in bulk.requests]
    assert sizes[: len(mebibytes)] == [pytest.approx(size, abs=0.15) for size in mebibytes]
    denied = answers.count(DENIED) and outcome.failed
    assert len(bulk.ids) + denied == len(set(bulk.ids)) + denied == 200


def test_chunks_for_a_busy_server_do_not_shrink_without_end(bulk: Bulk, deliver: Deliver) -> None:
    bulk.answers.extend([AWAY] * 12)
    deliver(made(*map(str, range(60)), size=50_000))
    sizes = [len(request.body) for request in bulk.requests]
    assert min(sizes[5:12]) > module.LEAST_CHUNK_BYTES - 101_000
    assert len(bulk.ids) == len(set(bulk.ids)) == 60


# --- time is up


def test_nothing_is_sent_after_the_deadline(bulk: Bulk, deliver: Deliver, clock: Clock) -> None:
    untouched = iter(made("1", "2"))
    outcome = deliver(untouched, seconds=0)
    assert (bulk.requests, clock.pauses) == ([], [])
    assert (outcome.documents, outcome.requests) == (0, 0)
    assert len(list(untouched)) == 2, "a document was read, although it could not be sent"


def test_a_deadline_between_chunks_gives_each_chunk_its_own_reason(
    bulk: Bulk, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunked(monkeypatch, 2)
    bulk.always = AWAY
    outcome = deliver(made(*"123456"), seconds=0.5)  # pauses of 0.2 s and 0.3 s
    assert sent(bulk) == [["1", "2"], ["3", "4"]]
    assert outcome.reasons == {GONE_503: 4, TOO_LATE: 2}
    assert (outcome.available, outcome.retries) == (False, 0)
    assert outcome.summary() == f"6 of 6 documents not delivered: 4 x {GONE_503}, 2 x {TOO_LATE}"


def test_a_deadline_during_a_retry_leaves_the_last_answer_as_the_reason(
    bulk: Bulk, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunked(monkeypatch, 2)
    bulk.always = AWAY
    outcome = deliver(made(*"1234"), seconds=0.5)  # too short to send 3 and 4 again
    assert sent(bulk) == [["1", "2"], ["3", "4"], ["1", "2"]]
    assert outcome.reasons == {GONE_503: 4}


@pytest.mark.parametrize(
    "moments",
    [[0.0] * 2, [0.0] * 4],
    ids=["no time before the rescue", "no time to send the rescue"],
)
def test_a_document_that_is_not_rescued_in_time_fails(
    bulk: Bulk, connection: RequestsHttpConnection, moments: list[float]
) -> None:
    bulk.refuse["1"] = UNPARSED
    times = iter(moments)
    outcome = module.deliver(
        made("1", "2"), connection, RetryBudget(5.0, lambda: next(times, 10.0))
    )
    assert (counts(outcome), outcome.reasons) == ((1, 0, 0, 1), {TOO_LATE: 1})
    assert len(bulk.requests) == 1


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["no pauses", "long pauses"])
@pytest.mark.parametrize(
    "answer",
    [AWAY, CLOSE, Answer(200, "application/json", b"{}", delay=60)],
    ids=["unavailable", "closed", "no answer"],
)
def test_the_deadline_is_kept_in_real_time(
    bulk: Bulk, connection: RequestsHttpConnection, answer: Answer, share: float
) -> None:
    bulk.always = answer
    start = time.monotonic()
    outcome = module.deliver(
        made("1", "2"),
        connection,
        RetryBudget(start + 0.5, chance=lambda low, high: low + share * (high - low)),
    )
    assert 0.3 < time.monotonic() - start < 5
    assert (outcome.failed, outcome.available) == (2, False)


@pytest.mark.parametrize(
    ("left", "expected"), [(LONG, REQUEST_SECONDS), (12.5, 12.5)], ids=["long", "short"]
)
def test_the_timeout_of_a_request_is_at_most_the_time_that_is_left(
    *, bulk: Bulk, deliver: Deliver, monkeypatch: pytest.MonkeyPatch, left: float, expected: float
) -> None:
    given_time: list[float] = []

    def sent_in(
        content: bytes, count: int, connection: RequestsHttpConnection, timeout: float, index: str
    ) -> object:
        given_time.append(timeout)
        return unhurried(content, count, connection, timeout, index)

    monkeypatch.setattr(module, "send", sent_in)
    deliver(made("1"), seconds=left)
    assert given_time == [expected]
    assert bulk.ids == ["1"]


# --- split


def test_a_chunk_that_is_too_large_is_halved_until_it_fits(bulk: Bulk, deliver: Deliver) -> None:
    documents = made(*"12345678")
    bulk.limit = 2 * len(documents[0].lines)
    outcome = deliver(documents)
    assert ["".join(ids) for ids in sent(bulk)] == [
        "12345678",
        "1",
        "234",
        "2",
        "34",
        "5678",
        "56",
        "78",
    ]
    assert (counts(outcome), outcome.requests, outcome.retries, outcome.available) == (
        (8, 0, 0, 0),
        8,
        0,
        True,
    )
    assert outcome.sent_bytes == sum(len(request.body) for request in bulk.requests)


@pytest.mark.parametrize(
    ("form", "expected", "reasons"),
    [
        pytest.param(Form.RESCUED, (3, 0, 1, 0), {}, id="fits without its fields"),
        pytest.param(Form.BARE, (3, 0, 1, 0), {}, id="fits without its fields and `@rescued`"),
        pytest.param(None, (3, 0, 0, 1), {TOO_LARGE_BARE: 1}, id="fits in no form"),
    ],
)
def test_a_document_that_is_too_large_for_a_request_is_rescued(
    *,
    bulk: Bulk,
    deliver: Deliver,
    form: Form | None,
    expected: tuple[int, int, int, int],
    reasons: dict[str, int],
) -> None:
    (large,) = made("3", size=2000)
    less = rescued(large, {"status": "413", "type": "without a type"})
    assert less
    bare = rescued(less, {})
    assert bare
    assert len(bare.lines) < len(less.lines) < len(large.lines)
    bulk.limit = {
        Form.RESCUED: len(less.lines),
        Form.BARE: len(bare.lines),
        None: len(bare.lines) - 1,
    }[form]
    outcome = deliver([*made("1", "2"), large, *made("4")])
    assert (counts(outcome), outcome.reasons) == (expected, reasons)
    assert sorted(bulk.ids) == (["1", "2", "3", "4"] if form else ["1", "2", "4"])
    if form:
        source = bulk.source("3")
        assert "filling" not in source
        assert "x" * 2000 in source["@message"]
        assert source.get("@rescued") == (
            {"status": "413", "type": "without a type"} if form is Form.RESCUED else None
        )


@pytest.mark.parametrize("position", [0, 7, 15])
def test_the_neighbours_of_an_invalid_action_are_indexed(
    bulk: Bulk, deliver: Deliver, position: int
) -> None:
    documents = made(*(f"{number:02}" for number in range(16)))
    documents[position] = long_id("y")
    outcome = deliver(documents)
    assert counts(outcome) == (15, 0, 0, 1)
    assert outcome.reasons == {UNREADABLE_BARE: 1}
    assert sorted(bulk.ids) == sorted(f"{number:02}" for number in range(16) if number != position)
    assert outcome.requests <= 2 * 4 + 8


def test_the_documents_between_several_invalid_actions_are_indexed(
    bulk: Bulk, deliver: Deliver
) -> None:
    outcome = deliver([long_id("y"), *made(*"123"), long_id("z"), *made(*"456"), long_id("w")])
    assert counts(outcome) == (6, 0, 0, 3)
    assert sorted(bulk.ids) == [*"123456"]


def test_busy_and_refused_documents_of_a_split_request_are_delivered(
    bulk: Bulk, deliver: Deliver
) -> None:
    bulk.scripts = {"2": deque([REJECTED]), "5": deque([UNPARSED])}
    outcome = deliver([*made(*"123"), long_id("y"), *made(*"45")])
    assert counts(outcome) == (4, 0, 1, 1)
    assert sorted(bulk.ids) == [*"12345"]


@pytest.mark.parametrize(
    "answers", [[TOO_LARGE, AWAY], [TOO_LARGE, None, AWAY]], ids=["first half", "second half"]
)
def test_half_of_a_split_chunk_is_sent_again_if_the_server_was_unavailable(
    bulk: Bulk, deliver: Deliver, clock: Clock, answers: list[Answer | None]
) -> None:
    bulk.answers.extend(answers)
    outcome = deliver(made(*"1234"))
    assert (counts(outcome), outcome.retries, len(clock.pauses)) == ((4, 0, 0, 0), 1, 1)


# --- rescued

LIMIT = Refusal(
    400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", None
)
ENVELOPE = {
    "@id",
    "@timestamp",
    "@delay_ms",
    "@position",
    "@message",
    "@owner",
    "@log_group",
    "@log_stream",
    "@kind",
}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param(
            [UNPARSED],
            {"status": "400", "type": "mapper_parsing_exception", "field": "n"},
            id="refused because of a value",
        ),
        pytest.param(
            [LIMIT],
            {"status": "400", "type": "illegal_argument_exception", "limit": "total fields [1000]"},
            id="refused because of a limit",
        ),
        pytest.param(
            [REJECTED, UNPARSED, REJECTED],
            {"status": "400", "type": "mapper_parsing_exception", "field": "n"},
            id="busy before and after the refusal",
        ),
        pytest.param([UNPARSED, LIMIT], None, id="refused again with `@rescued`"),
        pytest.param(
            [UNPARSED, REJECTED, UNPARSED, REJECTED],
            None,
            id="refused again with `@rescued`, and busy",
        ),
    ],
)
def test_a_refused_document_is_sent_without_its_fields(
    bulk: Bulk, deliver: Deliver, script: list[Refusal | None], why: dict[str, str] | None
) -> None:
    bulk.scripts["2"] = deque(script)
    outcome = deliver(made("1", "2", "3", text=LINE))
    assert (counts(outcome), outcome.retries) == ((2, 0, 1, 0), script.count(REJECTED))
    source = bulk.source("2")
    assert source.get("@rescued") == why
    assert set(source) == ENVELOPE | ({"@rescued"} if why else set())
    assert LINE in source["@message"]
    assert TEXT not in str(source)  # the server's reason quotes this text
    assert set(bulk.source("1")) == ENVELOPE | {"text", "filling"}


@pytest.mark.parametrize(
    ("script", "expected", "reasons"),
    [
        pytest.param([UNPARSED] * 3, (2, 0, 0, 1), {REFUSED_BARE: 1}, id="refused in every form"),
        pytest.param(
            [LIMIT, LIMIT, UNPARSED], (2, 0, 0, 1), {REFUSED_BARE: 1}, id="the last reason counts"
        ),
        pytest.param(
            [REJECTED, UNPARSED, CONFLICT],
            (2, 1, 0, 0),
            {},
            id="busy, refused, already in the index",
        ),
        pytest.param(
            [UNPARSED, UNPARSED, CONFLICT],
            (2, 1, 0, 0),
            {},
            id="refused, refused, already in the index",
        ),
        pytest.param(
            [UNPARSED, Refusal(403, "security_exception")],
            (2, 0, 0, 1),
            {FORBIDDEN: 1},
            id="refused, not allowed",
        ),
    ],
)
def test_a_refused_document_is_counted_once(
    *,
    bulk: Bulk,
    deliver: Deliver,
    script: list[Refusal | None],
    expected: tuple[int, int, int, int],
    reasons: dict[str, int],
) -> None:
    bulk.scripts["2"] = deque(script)
    outcome = deliver(made("1", "2", "3"))
    assert (counts(outcome), outcome.reasons) == (expected, reasons)
    assert bulk.scripts["2"] == deque()
    assert sorted(bulk.ids) == ["1", "3"]


def test_refused_documents_are_sent_before_busy_ones(bulk: Bulk, deliver: Deliver) -> None:
    bulk.scripts = {"1": deque([REJECTED]), "2": deque([UNPARSED]), "3": deque([UNPARSED])}
    outcome = deliver(made(*"1234"))
    assert ["".join(ids) for ids in sent(bulk)] == ["1234", "2", "3", "1"]
    assert counts(outcome) == (2, 0, 2, 0)


def test_refused_documents_may_be_accepted_in_different_forms(bulk: Bulk, deliver: Deliver) -> None:
    bulk.scripts = {
        "1": deque([UNPARSED]),
        "2": deque([UNPARSED, UNPARSED]),
        "3": deque([UNPARSED] * 3),
        "4": deque([UNPARSED, REJECTED]),
    }
    outcome = deliver(made(*"12345"))
    assert ["".join(ids) for ids in sent(bulk)] == ["12345", "1", "234", "2", "3", "4"]
    assert counts(outcome) == (1, 0, 3, 1)


def test_no_reason_quotes_the_line(bulk: Bulk, deliver: Deliver) -> None:
    bulk.refuse = {"1": UNPARSED, "2": REJECTED, "3": Refusal(403, "security_exception")}
    outcome = deliver(made("1", "2", "3"), seconds=1)
    assert outcome.failed == 3
    assert TEXT not in f"{outcome.summary()} {outcome}"


# --- messages


@pytest.mark.parametrize(
    ("answer", "available"),
    [
        pytest.param(AWAY, False, id="unavailable"),
        pytest.param(CLOSE, False, id="closed"),
        pytest.param(BROKEN, False, id="unreadable"),
        pytest.param(Answer(429, "text/plain", b""), False, id="too many requests"),
        pytest.param(DENIED, True, id="not allowed"),
        pytest.param(
            as_json(200, {"items": [{"create": {"status": 429}}]}),
            False,
            id="only busy documents",
        ),
        pytest.param(TOO_LARGE, True, id="too large"),
    ],
)
def test_available_is_true_if_the_server_was_able_to_process_the_last_request(
    bulk: Bulk, deliver: Deliver, answer: Answer, *, available: bool
) -> None:
    bulk.always = answer
    assert deliver(made("1"), seconds=3).available is available


@pytest.mark.parametrize(
    ("last", "available"),
    [(None, True), (AWAY, False)],
    ids=["available again", "unavailable at the end"],
)
def test_only_the_last_request_says_whether_the_server_is_available(
    *,
    bulk: Bulk,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
    last: Answer | None,
    available: bool,
) -> None:
    chunked(monkeypatch, 1)
    bulk.answers.extend([DENIED, AWAY] if last is None else [DENIED])
    bulk.always = last
    assert deliver(made("1", "2", "3"), seconds=3).available is available


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        pytest.param(
            Outcome(indexed=2, duplicate=1, rescued=3, excluded=4), "", id="all are in the index"
        ),
        pytest.param(Outcome(), "", id="no documents"),
        pytest.param(
            Outcome(
                indexed=1, duplicate=1, rescued=1, excluded=7, reasons=Counter({"429 rejected": 2})
            ),
            "2 of 5 documents not delivered: 2 x 429 rejected",
            id="one reason",
        ),
        pytest.param(
            Outcome(reasons=Counter({"400 mapper_parsing_exception": 1, "429 rejected": 2})),
            "3 of 3 documents not delivered: 2 x 429 rejected, 1 x 400 mapper_parsing_exception",
            id="the most frequent first",
        ),
    ],
)
def test_the_summary_and_the_exception_have_the_same_text(outcome: Outcome, said: str) -> None:
    assert outcome.summary() == said
    if said:
        with pytest.raises(NotDelivered) as raised:
            outcome.or_raise()
        assert str(raised.value) == said
    else:
        names = ("indexed", "duplicate", "rescued", "excluded")
        assert outcome.or_raise() == {name: getattr(outcome, name) for name in names}


# --- whatever the server answers

SCRIPTS = st.lists(st.sampled_from([REJECTED, UNPARSED, LIMIT]), max_size=4)
DOCUMENTS = st.lists(
    st.tuples(SCRIPTS, st.booleans(), st.integers(0, 9).map(lambda number: number == 0)), max_size=8
)
ANSWERS = st.lists(st.sampled_from([AWAY, CLOSE, BROKEN, TOO_LARGE, LOST]), max_size=4)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scripts=DOCUMENTS,
    answers=ANSWERS,
    seconds=st.sampled_from([0.5, 3.0, LONG]),
    share=st.floats(0, 1),
    per_chunk=st.integers(1, 4),
)
def test_every_document_is_in_the_index_or_counted(
    *,
    bulk: Bulk,
    connection: RequestsHttpConnection,
    scripts: list[tuple[list[Refusal | None], bool, bool]],
    answers: list[Answer | None],
    seconds: float,
    share: float,
    per_chunk: int,
) -> None:
    """Each document has answers of its own, and some requests fail as a whole.

    A document may be in the index already, or may make its request fail.
    """
    bulk.forget()
    documents = [
        long_id(str(n)) if poisonous else made(str(n))[0]
        for n, (_, _, poisonous) in enumerate(scripts)
    ]
    there = {
        str(n) for n, (_, already, poisonous) in enumerate(scripts) if already and not poisonous
    }
    bulk.documents.update(
        {(INDEX, identifier): b'{"@message":"there already"}' for identifier in there}
    )
    bulk.scripts = {str(n): deque(script) for n, (script, _, _) in enumerate(scripts)}
    bulk.answers = deque(answers)
    clock = Clock(share=share)
    deadline = clock.now + seconds
    with pytest.MonkeyPatch.context() as patch:
        chunked(patch, per_chunk)
        patch.setattr(module, "send", unhurried)
        outcome = module.deliver(documents, connection, clock.budget(seconds))

    assert outcome.documents == len(documents)
    assert outcome.indexed + outcome.duplicate + outcome.rescued + outcome.failed == len(documents)
    assert clock.now <= deadline + 1e-6
    assert (outcome.requests, outcome.sent_bytes) == (
        len(bulk.requests),
        sum(len(request.body) for request in bulk.requests),
    )

    new = [bulk.source(identifier) for identifier in bulk.ids if identifier not in there]
    # After a lost answer, a document in the index may be counted as a duplicate or as failed.
    if LOST not in answers:
        assert outcome.indexed == sum("text" in source for source in new)
        assert outcome.rescued == sum("text" not in source for source in new)
        assert outcome.duplicate <= len(there)
    assert outcome.indexed + outcome.duplicate + outcome.rescued <= len(bulk.ids)
    assert all(TEXT in source["@message"] for source in new)

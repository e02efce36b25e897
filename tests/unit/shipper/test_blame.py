"""Tests which documents lose fields after a refusal, and how many requests are sent.

A refused document is sent again with fewer fields (shipper.partial_document). Its last form is the
bare form: the line itself and its origin, without any field of the line.
"""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace
from opensearchpy import RequestsHttpConnection

from shipper import deliver as module
from shipper.bulk import Verdict, send
from shipper.decode import LogEvent, Payload
from shipper.deliver import NO_FORM
from shipper.document import Document, Rules, documents
from shipper.outcome import Outcome
from tests.unit.conftest import NOON, REJECTED, Answer, Bulk, Clock, Refusal, as_json, made, problem

Deliver = Callable[..., Outcome]
Source = dict[str, Any]
# the fields that the shipper adds to every document
ENVELOPE = set(json.loads(made("1")[0].source)) - {"text", "filling"}
NO_ROOM = Refusal(
    400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", None
)
UNNAMED = Refusal(400, "mapper_parsing_exception", "failed to parse", None)
AWAY_ITEM = Refusal(503, "unavailable_shards_exception", "primary shard is not active", None)
CONCRETE = (
    "object mapping for [{0}] tried to parse field [{0}] as object, but found a concrete value"
)
EXPLICIT = as_json(
    400, problem("illegal_argument_exception", "explicit index in bulk is not allowed")
)


def of_lines(*lines: Any) -> list[Document]:
    """Make documents from lines, with the ids 0, 1, ..."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    events = [
        LogEvent(str(number), NOON, Raw(json.dumps(text).encode()))
        for number, text in enumerate(texts)
    ]
    payload = Payload("DATA_MESSAGE", "123456789012", "group", "stream", events)
    return list(documents(payload, Rules(), Counter(), now=0))


@dataclass
class Index(Bulk):
    """An index that refuses a document if `judge` returns a refusal."""

    judge: Callable[[Source], Refusal | None] = lambda _: None

    def _create(self, action: dict[str, str], source: bytes) -> dict[str, Any]:
        self.refuse.pop(action["_id"], None)
        refusal = self.judge(json.loads(source))
        if refusal:
            self.refuse[action["_id"]] = refusal
        return super()._create(action, source)


def wrong(*names: str) -> Callable[[Source], Refusal | None]:
    """Make a `judge` that reports a mapping conflict for documents with any of these fields."""

    def judge(source: Source) -> Refusal | None:
        for name in names:
            if name in source:
                return Refusal(400, "mapper_parsing_exception", CONCRETE.format(name), None)
        return None

    return judge


def fields_of(source: Source) -> set[str]:
    return set(source) - ENVELOPE - {"@rescued"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deliver(
    connection: RequestsHttpConnection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Deliver:
    def unhurried(
        content: bytes, count: int, one: RequestsHttpConnection, _: float, index: str
    ) -> list[Verdict] | Verdict:
        return send(content, count, one, 30.0, index)

    monkeypatch.setattr(module, "send", unhurried)
    return lambda given, seconds=10_000.0: module.deliver(given, connection, clock.budget(seconds))


@pytest.fixture
def index(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> Index:
    found = Index(documents=bulk.documents, requests=bulk.requests)
    monkeypatch.setattr(bulk, "_answer", found._answer)
    return found


@pytest.mark.parametrize(
    ("line", "refused", "left", "named", "requests"),
    [
        pytest.param(
            {"error": "text", "user": "u"}, ["error"], {"user"}, "error", 2, id="one name"
        ),
        pytest.param(
            {"a": 1, "b": 2, "user": "u"}, ["a", "b"], {"user"}, ["a", "b"], 3, id="two names"
        ),
        pytest.param(
            {"a": 1, "b": 2, "c": 3, "user": "u"},
            ["a", "b", "c"],
            {"user"},
            ["a", "b", "c"],
            4,
            id="three names",
        ),
        pytest.param(
            {"a": 1, "b": 2, "c": 3, "d": 4, "user": "u"},
            ["a", "b", "c", "d"],
            set(),
            "d",
            5,
            id="four names: all fields are lost",
        ),
        pytest.param({"only": 1}, ["only"], set(), "only", 2, id="the only name"),
    ],
)
def test_only_the_field_with_the_conflicting_name_is_left_out(
    *,
    index: Index,
    deliver: Deliver,
    line: Source,
    refused: list[str],
    left: set[str],
    named: Any,
    requests: int,
) -> None:
    index.judge = wrong(*refused)
    outcome = deliver(of_lines(line))
    source = index.source("0")
    assert (outcome.rescued, outcome.indexed, outcome.failed, outcome.requests) == (
        1,
        0,
        0,
        requests,
    )
    assert fields_of(source) == left
    assert source["@rescued"]["field"] == named
    assert source["@message"] == json.dumps(line)


@pytest.mark.parametrize(
    ("line", "path", "left"),
    [
        pytest.param('{"service.name":"x","a":1}', "service.name", {"a": 1}, id="a name with dots"),
        pytest.param(
            '{"service":{"name":"x","id":2},"a":1}',
            "service.name",
            {"service": {"id": 2}, "a": 1},
            id="an object",
        ),
        pytest.param(
            '{"a":{"b.c":1,"d":2}}', "a.b.c", {"a": {"d": 2}}, id="a name with dots in an object"
        ),
        pytest.param(
            '{"a":[{"b":1},{"b":{"c":1},"d":2},5]}',
            "a.b",
            {"a": [{}, {"d": 2}, 5]},
            id="an array of objects",
        ),
        pytest.param(
            '{"error.kind":"x","error.text":"y","a":1}',
            "error",
            {"a": 1},
            id="all fields below the name",
        ),
        pytest.param(
            '{"n":1.50,"big":12345678901234567890123,"a":1}',
            "a",
            {"n": 1.5, "big": 12345678901234567890123},
            id="numbers",
        ),
    ],
)
def test_a_named_field_is_found_however_its_dots_are_written(
    *, bulk: Bulk, deliver: Deliver, line: str, path: str, left: Source
) -> None:
    bulk.scripts["0"] = deque(
        [Refusal(400, "mapper_parsing_exception", CONCRETE.format(path), None), None]
    )
    assert deliver(of_lines(line)).rescued == 1
    source = bulk.source("0")
    assert {name: source[name] for name in fields_of(source)} == left
    assert source["@rescued"]["field"] == path


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ('{"twice":1,"a":2,"twice":3}', {"twice": 3, "a": 2}),
        ('{"b":{"twice":1,"twice":{"c":2}}}', {"b": {"twice": {"c": 2}}}),
        ('{"b":[{"twice":1,"twice":2}]}', {"b": [{"twice": 2}]}),
    ],
)
def test_a_name_that_occurs_twice_keeps_its_last_value(
    *, bulk: Bulk, deliver: Deliver, line: str, left: Source
) -> None:
    refusal = Refusal(
        400,
        "mapper_parsing_exception",
        "failed to parse",
        'Duplicate Object property "twice"\n at [Source: REDACTED]',
    )
    bulk.scripts["0"] = deque([refusal, None])
    assert deliver(of_lines(line)).rescued == 1
    source = bulk.source("0")
    assert {name: source[name] for name in fields_of(source)} == left
    assert source["@rescued"] == {
        "status": "400",
        "type": "mapper_parsing_exception",
        "field": "twice",
        "name": "twice in one object",
    }


REFUSED_ANYWAY = {
    "a field of the envelope": Refusal(
        400, "mapper_parsing_exception", CONCRETE.format("@id"), None
    ),
    "no room for a field": NO_ROOM,
    "no reason": UNNAMED,
    "status 500 for a document": Refusal(500, "null_pointer_exception", "", None),
}


@pytest.mark.parametrize("name", REFUSED_ANYWAY)
def test_no_document_loses_fields_if_the_index_refuses_lines_in_every_form(
    index: Index, deliver: Deliver, name: str
) -> None:
    """Few requests are sent, although there are 1,000 lines.

    If a setting of the index is the cause, the summary names the setting.
    """
    index.judge = lambda _: REFUSED_ANYWAY[name]
    outcome = deliver(of_lines(*({"n": number, "error": "x"} for number in range(1000))))
    assert (outcome.failed, outcome.rescued, outcome.requests <= 12) == (1000, 0, True)
    assert outcome.available
    assert all(reason.endswith(NO_FORM.removeprefix("%s")) for reason in outcome.reasons)
    assert name != "no room for a field" or "limit total fields [1000]" in outcome.summary()


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (Answer(413, "text/plain", b""), 12),
        (
            as_json(
                400, problem("illegal_argument_exception", "Malformed action/metadata line [1]")
            ),
            12,
        ),
        (as_json(403, problem("security_exception", "no", 403)), 1),
        (Answer(302, "text/html", b""), 1),
    ],
)
def test_a_server_that_refuses_everything_gets_few_requests(
    bulk: Bulk, deliver: Deliver, answer: Answer, requests: int
) -> None:
    bulk.always = answer
    outcome = deliver(of_lines(*({"n": "x" * (number % 97)} for number in range(1000))))
    assert (outcome.failed, outcome.requests <= requests) == (1000, True)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("alike", [True, False], ids=["one bad name", "a bad name for each line"])
def test_a_few_bad_lines_cause_few_requests(
    index: Index, deliver: Deliver, count: int, *, alike: bool
) -> None:
    names = ["bad"] if alike else [f"bad{number}" for number in range(count)]
    index.judge = wrong(*names)
    lines: list[Source] = [{"n": number} for number in range(1000)]
    for number in range(count):
        lines[number * 7][names[number % len(names)]] = "text"
    outcome = deliver(of_lines(*lines))
    assert (outcome.indexed, outcome.rescued, outcome.failed) == (1000 - count, count, 0)
    assert outcome.requests <= (12 if alike else 2 * count * math.log2(1000) + 8)
    assert all("n" in json.loads(source) for source in index.documents.values())


@pytest.mark.parametrize("share", [1, 20], ids=["one line", "all lines of a payload"])
def test_the_field_named_error_is_left_out_if_the_index_refuses_its_text(
    index: Index, deliver: Deliver, share: int
) -> None:
    index.judge = wrong("error")
    outcome = deliver(
        of_lines(*({"level": "info", "error": "connection refused"} for _ in range(share)))
    )
    assert (outcome.rescued, outcome.failed) == (share, 0)
    for number in range(share):
        source = index.source(str(number))
        assert (fields_of(source), source["@rescued"]["field"]) == ({"level"}, "error")


def test_lines_that_are_too_large_do_not_stop_the_others(bulk: Bulk, deliver: Deliver) -> None:
    lines: list[Source] = [{"n": number} for number in range(1000)]
    for number in (3, 500, 999):
        lines[number]["large"] = "x" * 200_000
    bulk.limit = 150_000
    outcome = deliver(of_lines(*lines))
    # The bare form contains the line too, so it is too large as well.
    assert (outcome.indexed, outcome.rescued, outcome.failed) == (997, 0, 3)
    assert all("limit" in reason for reason in outcome.reasons)
    assert outcome.requests <= 2 * 3 * math.log2(1000) + 8


# --- failures of the server


def test_no_document_loses_a_field_while_the_cluster_is_unavailable(
    index: Index, deliver: Deliver
) -> None:
    index.judge = lambda _: AWAY_ITEM
    outcome = deliver(of_lines(*({"n": number} for number in range(20))), seconds=60)
    assert (outcome.failed, outcome.rescued, outcome.available) == (20, 0, False)
    assert set(outcome.reasons) == {"503 unavailable_shards_exception"}


def test_a_document_that_always_makes_the_server_fail_is_sent_without_fields(
    index: Index, deliver: Deliver
) -> None:
    """The server accepts the document without its fields, so the fields were the cause."""
    index.judge = lambda source: AWAY_ITEM if "heavy" in source else None
    outcome = deliver(of_lines({"n": 1}, {"heavy": 1}, {"n": 2}))
    assert (outcome.indexed, outcome.rescued, outcome.failed) == (2, 1, 0)
    assert index.source("1")["@rescued"]["type"] == "unavailable_shards_exception"


def test_a_document_without_an_answer_is_not_sent_again(
    bulk: Bulk, connection: RequestsHttpConnection
) -> None:
    """The server may still be working on the document.

    Each further request would occupy another thread of the server.
    """
    bulk.answers.append(Answer(200, "application/json", b"{}", delay=2))
    clock = Clock()
    outcome = module.deliver(of_lines({"n": 1}, {"n": 2}), connection, clock.budget(0.5))
    assert (outcome.failed, outcome.reasons, len(bulk.requests)) == (2, {"no answer in time": 2}, 1)


# --- a domain that requires the index in the path


def test_a_domain_that_forbids_indices_in_actions_gets_them_in_the_path(
    bulk: Bulk, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[tuple[str, list[Source]]] = []

    def answer(request: Any) -> Answer:
        actions = [json.loads(line)["create"] for line in request.body.split(b"\n")[:-1:2]]
        if any("_index" in action for action in actions):
            return EXPLICIT
        answered.append((request.target.partition("?")[0], actions))
        return as_json(200, {"items": [{"create": {"status": 201}}] * len(actions)})

    monkeypatch.setattr(bulk, "_answer", answer)
    given = [*of_lines({"n": 1}), *made("1")]
    other = replace(given[0], lines=given[0].lines.replace(b"cwl-", b"cwl-other-", 1))
    outcome = deliver([*given, other])
    assert (outcome.indexed, outcome.requests) == (3, 3)
    name = given[0].index_name
    assert answered == [
        (f"/{name}/_bulk", [{"_id": "0"}, {"_id": "1"}]),
        (f"/{other.index_name}/_bulk", [{"_id": "0"}]),
    ]
    # The shipper remembers that this server wants the index in the path: no request is refused now.
    assert deliver(given).requests == 1


def test_busy_and_refused_documents_of_one_request_are_all_indexed_in_the_end(
    index: Index, deliver: Deliver
) -> None:
    index.scripts = {"1": deque([REJECTED, REJECTED])}
    index.judge = wrong("bad")
    outcome = deliver(of_lines({"bad": 1, "n": 1}, {"n": 2}, {"bad": 2, "n": 3}))
    assert (outcome.indexed, outcome.rescued, outcome.failed) == (1, 2, 0)


def test_a_document_is_not_reduced_further_than_its_bare_form(
    index: Index, deliver: Deliver
) -> None:
    """The index accepts the second and the third line, which have "strict", only in the bare form.

    After a first refusal, the second document loses the field `bad`, and the third document loses
    all fields. The index refuses both again. The second document then needs two steps to its bare
    form: it loses its other fields, then the reason of the refusal. The shipper applies both steps
    to the third document too. The first step makes it bare. The second step must change nothing.
    """

    def judge(source: Source) -> Refusal | None:
        if "odd" in source:
            return UNNAMED
        strict = "strict" in source["@message"] and "@rescued" in source
        return (
            Refusal(400, "mapper_parsing_exception", CONCRETE.format("@rescued"), None)
            if strict
            else wrong("bad")(source)
        )

    index.judge = judge
    outcome = deliver(
        of_lines({"bad": 1, "n": 1}, {"bad": 1, "n": 2, "is": "strict"}, {"odd": 1, "is": "strict"})
    )
    assert (outcome.rescued, outcome.failed) == (3, 0), outcome.summary()

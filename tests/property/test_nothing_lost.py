"""Tests that each line is finally in the index exactly once, whatever the server does.

The tests also check the counts in the metrics.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from local.asynchronous import Asynchronous
from local.cloudwatch import subscription_event
from local.runtime import FunctionFailed
from local.template import read
from shipper import back_off, deliver
from shipper.bulk import CHUNK_BYTES
from shipper.decode import PayloadInvalid
from shipper.outcome import NotDelivered
from tests.property.server import (
    CONFLICT,
    CREATED,
    ENVELOPE,
    UNAVAILABLE,
    Behaviour,
    Fault,
    Server,
    World,
    serving,
)

PAYLOADS: Final = 300
SHIPPER: Final = read().functions["ShipperFunction"]
BUCKET: Final = "dead-letters"
MODULES: Final = ("shipper.handler", "shipper.replay")
# The time of an invocation while the server misbehaves. A request may take a third of this time.
INVOCATION_SECONDS: Final = 0.045
ROUNDS: Final = 10  # after this many replays the bucket must be empty
MIDNIGHT: Final = 1_795_392_000_000  # 2026-11-23
# With these faults, the client knows the result of each request.
FRANK: Final = (Fault.CLOSED, Fault.REFUSED)
COUNTS: Final = ("Indexed", "Duplicate", "Rescued", "Excluded", "Failed")


@dataclass(frozen=True)
class Context:
    seconds: float
    function_name: str = "ShipperFunction"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:ShipperFunction"
    aws_request_id: str = "8f5ad1e0"

    def get_remaining_time_in_millis(self) -> float:
        return self.seconds * 1000


@dataclass(frozen=True)
class Line:
    """A log line.

    `marked` is true if the line's document has the field `marker`, and `doubled` is true if the
    server refuses that field as a duplicate. A `platform` line is excluded.
    """

    text: str
    marked: bool = False
    doubled: bool = False
    platform: bool = False
    extracted: dict[str, str] | None = None


@dataclass(frozen=True)
class Event:
    line: Line
    identifier: str
    timestamp: int

    def as_sent(self) -> dict[str, Any]:
        more = {"extractedFields": self.line.extracted} if self.line.extracted else {}
        return {
            "id": self.identifier,
            "timestamp": self.timestamp,
            "message": self.line.text,
            **more,
        }


@dataclass(frozen=True)
class Case:
    """A payload, and the conditions of its delivery.

    CloudWatch delivers the payload `deliveries` times. `behaviour` is the server's behaviour, and
    `chunk` is the size limit of a request in bytes. If `impatient` is true, the replay also runs
    once while the server still misbehaves.
    """

    events: list[Event]
    behaviour: Behaviour
    deliveries: int
    chunk: int
    impatient: bool


# --- lines

anything = st.text(st.characters(exclude_categories=()), max_size=20)  # includes lone surrogates
names = st.sampled_from(
    ["a", "b.c", "message", "level", "ä", "", "items", "text", "@odd", "_own", "type", "x" * 300]
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    anything,
    st.lists(st.integers(), max_size=3),
)
nested = st.dictionaries(names, values, max_size=2)
objects = st.builds(
    lambda found, marker: {**found, "marker": marker},
    st.dictionaries(names, values | nested, max_size=4),
    values,
)
SPECIAL: Final = (
    Line(""),
    Line(" \t"),
    Line("plain words, no object"),
    Line('["marker", 1]'),
    Line("{"),
    Line('{"marker": 1} and words after it'),
    Line('{"marker": 1, '),
    Line('{x {"marker": 1}'),
    Line("[" * 3000),
    Line("START RequestId: 8f5ad1e0-1 Version: $LATEST", platform=True),
    Line(
        "REPORT RequestId: 8f5ad1e0-1\tDuration: 5.12 ms\tBilled Duration: 6 ms\t"
        "Memory Size: 1024 MB\t",
        platform=True,
    ),
    Line(
        '{"time":"2026-11-23T12:00:00.000Z","type":"platform.start","record":{"requestId":"1"}}',
        platform=True,
    ),
    Line('{"marker": 1, "marker": 2}', marked=True, doubled=True),
    Line('{"marker": {"a": 1, "\\u0061": 2}}', marked=True, doubled=True),
    Line('{"marker": NaN}', marked=True),
    Line('{"marker": -Infinity, "a": 1e999}', marked=True),
    Line(f'{{"marker": {10**30}}}', marked=True),
    Line('{"marker": "\\ud800"}', marked=True),
    Line('{"marker": "\ud800"}', marked=True),
    Line(
        '{"marker": 1, "@id": "x", "@message": "y", "@rescued": 1, "_id": "z", "_source": {}, '
        '"_index": "other"}',
        marked=True,
    ),
    Line('{"\\u0040id": "x", "marker": 1}', marked=True),
    Line('{"marker":\n{"create":1}\n}\n', marked=True),
    Line('{"marker": 1}\n{"create":{"_index":"other","_id":"1"}}\n{}'),
    Line('{"_aws": {"Timestamp": 1}, "marker": 1}', marked=True),
    Line('{"timestamp": "2026", "level": "INFO", "message": {"marker": 1}}', marked=True),
    Line('{"timestamp": "2026", "level": "INFO", "message": "{\\"marker\\": 1}"}', marked=True),
    Line('"{\\"marker\\": 1}"', marked=True),
    Line("5 words", marked=True, extracted={"marker": "5", "empty": "", "rest": '{"a": 1}'}),
    Line('{"marker": "' + "x" * 5000 + '"}', marked=True),
    Line('{"marker": "\\u2028\u2028\U0001f44d\x7f"}', marked=True),
)
lines = st.one_of(
    st.sampled_from(SPECIAL),
    anything.filter(lambda text: '"' not in text).map(Line),
    objects.map(lambda found: Line(json.dumps(found), marked=True)),
    objects.map(lambda found: Line(f"INFO\t{json.dumps(found, ensure_ascii=False)}", marked=True)),
)
IDENTIFIERS: Final = ("{:056d}", "{:056d}", "{:056d}", "ü{}", 'q"\\{}\n', "x" * 600 + "{}")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    events = [
        Event(
            line,
            draw(st.sampled_from(IDENTIFIERS)).format(number),
            MIDNIGHT + draw(st.integers(-2, 2)) * 43_200_000 - number % 2,
        )
        for number, line in enumerate(
            draw(st.lists(lines, min_size=draw(st.sampled_from([1, 1, 6, 15])), max_size=30))
        )
    ]
    ids = [event.identifier for event in events]
    some = st.frozensets(st.sampled_from(ids), max_size=4)
    refused = draw(some)
    behaviour = Behaviour(
        seed=draw(st.integers(0, 2**32)),
        troubled=draw(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])),
        busy=draw(st.sampled_from([0.0, 0.0, 0.2, 0.9])),
        faults=draw(st.sampled_from([tuple(Fault), FRANK])),
        limit=draw(st.sampled_from([10_000_000, 0, 300, 3000])) + max(map(bare_size, events)),
        refused=refused,
        strict=refused & draw(some) | (draw(some) if draw(st.booleans()) else frozenset()),
        unparsable=draw(some) if draw(st.integers(0, 3)) == 3 else frozenset(),
    )
    # the same event twice in one payload
    again = draw(st.lists(st.sampled_from(events), max_size=2))
    return Case(
        events + again,
        behaviour,
        draw(st.sampled_from([1, 1, 2])),
        draw(st.sampled_from([CHUNK_BYTES, CHUNK_BYTES, 1500])),
        draw(st.booleans()),
    )


def bare_size(event: Event) -> int:
    """Return an upper bound of the size of an event's bare document, which has only the envelope.

    The server's limit is never below this bound, because the server must accept bare documents.
    """
    return len(json.dumps(event.as_sent())) + len(json.dumps(event.identifier)) + 300


# --- the way of a payload


class Failures(logging.Filter):
    """Counts the client's log lines about requests without an answer, and suppresses the lines."""

    count = 0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  the base class has it
        self.count += 1
        return False

    def explained_by(self, world: World) -> bool:
        """Return whether each request without an answer was lost before the server read it."""
        return world.untold == 0 and self.count == world.closed


@dataclass
class Way:
    """The way of a payload from CloudWatch through Lambda and the shipper to the server.

    Failed payloads go to S3, and from there through the replay to the server.
    """

    server: Server
    shipper: ModuleType
    replay: ModuleType
    written: StringIO
    unanswered: Failures = field(default_factory=Failures)
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def s3(self) -> Any:
        return self.replay.bucket.s3

    def deliver(self, case: Case) -> None:
        """Deliver a payload as CloudWatch does, with Lambda's retries and dead letter."""
        event = subscription_event([event.as_sent() for event in case.events], "group")
        asynchronous = Asynchronous(SHIPPER, self.invoke, self.keep, (0, 0))
        try:
            asynchronous(event)
        except FunctionFailed:
            self.seen["dead letters"] += 1

    def keep(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def invoke(self, event: Any) -> dict[str, int]:
        """Invoke the shipper, and check that the metrics agree with the results."""
        world = self.server.world
        stored, lessened, told = world.stored, world.lessened, world.told.copy()
        self.written.seek(0)
        self.written.truncate()
        answer: dict[str, int] = {}
        problem = None
        with redirect_stdout(self.written):
            try:
                answer = self.shipper.handler(
                    event, Context(self.shipper.REPORT_SECONDS + INVOCATION_SECONDS)
                )
            except (NotDelivered, PayloadInvalid) as raised:
                problem = raised
        counts = metrics(self.written.getvalue())
        assert counts["Received"] == sum(counts[name] for name in COUNTS), counts
        assert (counts["Failed"] > 0) == (problem is not None)
        assert counts["Indexed"] + counts["Rescued"] <= world.stored - stored
        if self.unanswered.explained_by(world):  # shipper and server agree about every request
            self.seen["invocations with known counts"] += 1
            assert counts["Indexed"] + counts["Rescued"] == world.stored - stored
            assert counts["Rescued"] == world.lessened - lessened
            assert counts["Duplicate"] == (world.told - told)[CONFLICT]
            assert world.told[CREATED] - told[CREATED] == world.stored - stored
        self.seen.update({name.lower(): count for name, count in counts.items()})
        self.seen["invocations"] += 1
        if problem:
            raise FunctionFailed(type(problem).__name__, str(problem)) from problem
        assert answer == {name.lower(): counts[name] for name in COUNTS[:-1]}
        return answer

    def again(self) -> dict[str, int]:
        """Run the replay once."""
        with redirect_stdout(self.written):
            found: dict[str, int] = self.replay.handler({}, Context(3600))
        assert found["poisoned"] == 0
        assert found["found"] == found["replayed"] + found["waiting"]
        return found

    def empty(self) -> None:
        """Remove the dead letters that a failed example may have left."""
        for item in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            self.s3.delete_object(Bucket=BUCKET, Key=item["Key"])


def metrics(output: str) -> dict[str, int]:
    """Return the counts of events from the only line of embedded metrics; a missing count is 0."""
    [emf] = [found for found in map(json.loads, output.splitlines()) if "_aws" in found]
    return {name: emf.get(f"Events{name}", 0) for name in ("Received", *COUNTS)}


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    written = StringIO()
    with pytest.MonkeyPatch.context() as patch, mock_aws(), serving() as server, fresh_modules():
        for name, value in {
            "OPENSEARCH_URL": server.url,
            "EXCLUDE": "platform",
            "DEAD_LETTER_BUCKET": BUCKET,
            "EVENTS_PER_SECOND": "1e9",
            "NO_PROXY": "127.0.0.1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        patch.setattr(back_off, "FIRST_PAUSE", 0.001)
        patch.setattr(back_off, "LONGEST_PAUSE", 0.01)
        shipper, replay = map(importlib.import_module, MODULES)
        found = Way(server, shipper, replay, written)
        found.s3.create_bucket(Bucket=BUCKET)
        logger = logging.getLogger("opensearch")
        patch.setattr(logger, "level", logging.WARNING)
        logger.addFilter(found.unanswered)
        yield found
        logger.removeFilter(found.unanswered)
        for module in (found.shipper, found.replay):
            module.connection.close()


@contextmanager
def fresh_modules() -> Iterator[None]:
    """Import the handlers anew, and afterwards restore the modules."""
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module:
                sys.modules[name] = module


def budget(way: Way, patch: pytest.MonkeyPatch, *, short: bool) -> None:
    patch.setattr(deliver, "REQUEST_SECONDS", INVOCATION_SECONDS / 3 if short else 10.0)
    patch.setattr(way.replay, "LETTER_SECONDS", INVOCATION_SECONDS if short else 10.0)


# --- the property


def test_every_line_is_in_the_index_once_whatever_the_server_does(way: Way) -> None:
    @settings(
        max_examples=PAYLOADS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(case=cases())
    def holds(case: Case) -> None:
        with pytest.MonkeyPatch.context() as patch:
            check(case, way, patch)

    holds()
    # If one of these never happened, the test proves nothing.
    assert way.seen["dead letters"] > PAYLOADS / 10
    assert way.seen["replayed while the server misbehaved"] > 0
    for name in (
        *map(str.lower, COUNTS),
        "rescued",
        "bare",
        "whole",
        "invocations with known counts",
    ):
        assert way.seen[name] > PAYLOADS / 10, name
    assert way.seen["unanswered alone"] < PAYLOADS / 10


def check(case: Case, way: Way, patch: pytest.MonkeyPatch) -> None:
    way.empty()
    way.unanswered.count = 0
    way.server.world = world = World(case.behaviour)
    patch.setattr(deliver, "CHUNK_BYTES", case.chunk)
    budget(way, patch, short=True)
    for _ in range(case.deliveries):
        way.deliver(case)
    if case.impatient:
        world.ease()
        way.seen["replayed while the server misbehaved"] += way.again()["replayed"]
    world.heal()
    budget(way, patch, short=False)
    for _ in range(ROUNDS):
        assert world.wrong == []
        if not way.again()["found"]:
            break
    else:
        pytest.fail("the bucket does not become empty")
    complete(case, world, way)


def complete(case: Case, world: World, way: Way) -> None:
    """Check that the index has exactly one document for each line that is to be shipped.

    Each document must be in the right index and have the right fields.
    """
    shipped = {event.identifier: event for event in case.events if not event.line.platform}
    assert Counter(source["@id"] for source in world.index.values()) == Counter(shipped.keys())
    assert world.stored == len(shipped)
    ids = {}
    for (index, identifier), source in world.index.items():
        event = shipped[source["@id"]]
        ids[identifier] = event
        moment = datetime.fromtimestamp(event.timestamp / 1000, UTC)
        assert index == f"cwl-log-{moment:%Y.%m.%d}"
        assert source["@timestamp"] == moment.isoformat(timespec="milliseconds").replace(
            "+00:00", "Z"
        )
        assert source["@message"] == event.line.text
        assert (source["@owner"], source["@log_group"], source["@log_stream"]) == (
            "000000000000",
            "group",
            "local",
        )
        fields = source.keys() - ENVELOPE
        if identifier in world.never:
            assert not ("marker" in fields and identifier in case.behaviour.refused)
            # The index refused the document's fields. `@rescued` says why. Only a bare document has
            # no `@rescued`. If the server refuses `@rescued` in one document, the shipper sends
            # this document bare. The shipper then also sends other refused documents bare.
            assert (
                "@rescued" in source or case.behaviour.strict or case.behaviour.limit < 10_000_000
            )
            way.seen["rescued" if "@rescued" in source else "bare"] += 1
        elif source.get("@rescued", {}).keys() == {"type"} and (
            way.unanswered.count or case.behaviour.troubled
        ):
            # A request with only this document got no answer, so `@rescued` has no status. Then the
            # server accepted the document without its fields.
            way.seen["unanswered alone"] += 1
        elif identifier in world.failed_alone and "@rescued" in source:
            # The server was unable to process a request with only this document, and then accepted
            # the document without its fields.
            assert source["@rescued"]["status"] == str(UNAVAILABLE)
            way.seen["unavailable alone"] += 1
        elif case.behaviour.limit < 10_000_000 and "@rescued" in source:
            # The server refused a smaller document as too large, even in a request of its own. So
            # the shipper did not try this larger document with its fields.
            assert source["@rescued"]["status"] == "413"
        else:
            assert ("marker" in fields) == event.line.marked
            assert "@rescued" not in source, source["@rescued"]
            way.seen["whole"] += 1
        if source.get("@rescued"):
            assert set(source["@rescued"]) <= {"status", "type", "field", "limit", "name"}
            assert "secret" not in json.dumps(source["@rescued"])
    doubled = {identifier for identifier, event in ids.items() if event.line.doubled}
    for identifier in world.never - doubled - case.behaviour.refused - case.behaviour.unparsable:
        assert case.behaviour.limit < 10_000_000, f"{ids[identifier]} was refused without a reason"

"""Ships a batch of records of a Kinesis stream.

Each record holds the payload of a subscription. The documents of all payloads share requests, so
many small payloads need few requests. The handler returns the sequence number of the first record
that is not delivered. Lambda sends this record and all later records of the batch again, so their
documents may arrive twice. The index keeps each document once, because both copies have the same
id.

If the server does not accept a record, the record stays in the stream and can be sent again. So if
an attempt fails because of the server, it is repeated after a long pause, until the invocation's
time is nearly up. The long pauses make Lambda's limited number of retries last for a whole outage
(docs/kinesis.md). A record that can never be read is reported at once, and the records around it
are delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import time_ns
from typing import Any, Final

from opensearchpy import RequestsHttpConnection

from shipper.back_off import RetryBudget
from shipper.common_index import CommonDays, NotAnswered
from shipper.decode import Payload, PayloadInvalid, decode_data
from shipper.deliver import TOO_LATE, deliver
from shipper.document import Document, documents
from shipper.outcome import NOWHERE, Outcome
from shipper.settings import Settings

DATA: Final = "kinesis.data"
# The longest pause between two attempts at a batch, in seconds. The shortest pause is half as long.
ATTEMPT_PAUSE: Final = 60.0

Record = dict[str, Any]


@dataclass(slots=True)
class Attempt:
    """One attempt to deliver the records of a batch.

    - `records` is the number of records.
    - `received` counts the lines of all records that were read.
    - `oldest` is the time of the oldest line, in milliseconds since 1970.
    - `groups` holds the log groups.
    - `unreadable` has the records that can never be read. The key is the place of the record, and
      the value is the reason.
    - `first_failed` is the place of the first record that is not delivered, or None if all records
      are delivered.

    Places in the batch are counted from 0.
    """

    records: int
    received: int = 0
    oldest: int = NOWHERE
    groups: set[str] = field(default_factory=set)
    unreadable: dict[int, str] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    first_failed: int | None = None

    @property
    def waits(self) -> bool:
        """Whether a line was read, but is not delivered."""
        return self.outcome.first_failed != NOWHERE


def is_stream(event: Any) -> bool:
    """Return whether the event is a batch of records."""
    return isinstance(event, dict) and "Records" in event


def records_in(event: Any) -> list[Record]:
    """Return the records of a batch. Raises `PayloadInvalid` if they are not a stream's records."""
    records = event["Records"]
    try:
        for record in records:
            sequence_number(record)
    except (LookupError, TypeError):
        raise PayloadInvalid("the event's records are not records of a Kinesis stream") from None
    return list(records)


def sequence_number(record: Record) -> str:
    """Return the number of the record in its shard."""
    number: str = record["kinesis"]["sequenceNumber"]
    return number


def ship_stream(
    event: Any,
    settings: Settings,
    connection: RequestsHttpConnection,
    budget: RetryBudget,
    report: Callable[[Attempt], object],
) -> dict[str, list[dict[str, str]]]:
    """Deliver a batch, and return the answer to Lambda.

    The answer contains the sequence number of the first record that is not delivered, if there is
    one. `report` is called after each attempt.
    """
    records = records_in(event)
    while records:
        attempt = ship_records(records, settings, connection, budget)
        report(attempt)
        if attempt.first_failed is None:
            break
        records = records[attempt.first_failed :]
        if attempt.waits:
            budget.wait(ATTEMPT_PAUSE)
        if not attempt.waits or budget.left() <= 0:
            return {"batchItemFailures": [{"itemIdentifier": sequence_number(records[0])}]}
    return {"batchItemFailures": []}


def ship_kept(
    event: Any, settings: Settings, connection: RequestsHttpConnection, budget: RetryBudget
) -> Outcome:
    """Deliver a batch that Lambda has given up on, and return the counts of its lines.

    Raises `PayloadInvalid` if all lines that can be read are delivered, but some records can never
    be read.
    """
    records = records_in(event)
    attempt = ship_records(records, settings, connection, budget)
    if attempt.waits or not attempt.unreadable:
        return attempt.outcome
    place, reason = next(iter(attempt.unreadable.items()))
    raise PayloadInvalid(
        f"{len(attempt.unreadable)} of {len(records)} records cannot be read; "
        f"the first is {sequence_number(records[place])}: {reason}"
    )


def ship_records(
    records: Sequence[Record],
    settings: Settings,
    connection: RequestsHttpConnection,
    budget: RetryBudget,
) -> Attempt:
    """Deliver the lines of the records, and count the result of each line.

    This raises no exception: the attempt holds the failures too.
    """
    attempt = Attempt(len(records))
    reading = _Reading(records, settings, connection, budget, attempt)
    outcome = attempt.outcome = deliver(iter(reading), connection, budget)
    outcome.excluded = reading.excluded.total()
    outcome.available = outcome.available and not reading.unanswered
    unread = attempt.received - outcome.excluded - outcome.documents
    if unread:
        outcome.reasons[reading.unanswered or TOO_LATE] += unread
    if reading.place < len(records):
        outcome.first_failed = min(outcome.first_failed, reading.place)
    first = min(outcome.first_failed, *attempt.unreadable, NOWHERE)
    attempt.first_failed = None if first == NOWHERE else first
    outcome.predictions = sum(
        count for place, count in reading.predictions.items() if place < first
    )
    return attempt


@dataclass(slots=True)
class _Reading:
    """Reads the documents of the records, one record after the other.

    `place` is the place of the record that is being read. After the last record, it is the number
    of records. `predictions` counts the live predictions of each record; its keys are the records'
    places. `unanswered` is the reason why the server did not say which index a line belongs to.
    """

    records: Sequence[Record]
    settings: Settings
    connection: RequestsHttpConnection
    budget: RetryBudget
    attempt: Attempt
    place: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    predictions: Counter[int] = field(default_factory=Counter)
    unanswered: str = ""

    def __iter__(self) -> Iterator[Document]:
        for record in self.records:
            payload = self.payload(record)
            if payload:
                try:
                    for document in self.documents(payload):
                        self.predictions[self.place] += document.counts
                        yield document
                except NotAnswered as problem:
                    self.unanswered = str(problem)
                    return
            self.place += 1

    def payload(self, record: Record) -> Payload | None:
        """Return the payload in a record, or None if it has no lines to ship."""
        try:
            payload = decode_data(
                record["kinesis"].get("data"), self.settings.max_payload_bytes, DATA
            )
        except PayloadInvalid as problem:
            self.attempt.unreadable[self.place] = str(problem)
            return None
        if not payload.events:
            return None
        self.attempt.received += len(payload.events)
        self.attempt.groups.add(payload.log_group)
        oldest = min(event.timestamp for event in payload.events)
        self.attempt.oldest = min(self.attempt.oldest, oldest)
        # The shipper's own lines are not shipped: each delivery would cause another delivery.
        if payload.log_group == self.settings.own_log_group:
            self.excluded["own"] += len(payload.events)
            return None
        return payload

    def documents(self, payload: Payload) -> Iterator[Document]:
        rules = self.settings.rules
        asks = payload.log_group not in rules.record_groups
        days = (
            CommonDays(self.connection, rules.prefix, payload.log_group, self.budget)
            if asks
            else ()
        )
        return documents(
            payload, rules, self.excluded, time_ns() // 1_000_000, days, place=self.place
        )

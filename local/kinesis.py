"""Emulate a Kinesis stream, and Lambda's event source mapping that reads the stream.

A subscription puts payloads into a `Stream`, and a `Mapping` invokes the function with batches of
the stream's records:

    stream = Stream(shards=2)
    mapping = Mapping(stream, runtime.invoke, Policy(), on_failure=put_object)
    with mapping.running():
        stream.put(subscription_event(events, log_group))  # from any thread
        mapping.drain(60)                                  # False if records are left
    mapping.waiting()        # the number of records that are neither delivered nor given up
    mapping.iterator_age()   # in seconds; on AWS, the metric IteratorAge

If a record is too old or was tried too often, the mapping gives up the record: it does not try
the record again, and passes it to `on_failure`.

To connect a `Subscription` (local/cloudwatch.py) with the stream, give `stream.put` as `ship`.
Without `running`, `mapping.step()` reads one batch of each shard, in the calling thread.

The mapping does what these pages say:

- https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
- https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
- https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html

These pages leave two questions open:

- Does a retry of the rest of a batch count as a retry of the whole batch? Here it counts, which is
  the stricter assumption.
- If the first record of a batch is reported as failed, does Lambda split the batch in two?
  `Policy.splits_at_first` chooses the answer.

`policy()` reads the settings from template.yaml.

Differences from Lambda: the pause before a retry is fixed, and its length on AWS is not documented.
Reading a stream takes no time, and the number of shards does not change.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from local.runtime import FunctionFailed
from local.template import load

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
STREAM_ARN: Final = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/local"
EVENT_BYTES: Final = 6 * 1024 * 1024  # the size limit of a batch: Lambda's limit for an event
RECORD_OVERHEAD: Final = 512  # bytes of a record's JSON without its data
FIRST_SEQUENCE_NUMBER: Final = 495 * 10**53  # it has 56 digits, as on AWS
FOREVER: Final = -1

Record = dict[str, Any]
Keep = Callable[[str, bytes], object]


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of an event source mapping, with their names in Lambda's API.

    - `batch_size`: BatchSize
    - `window`: MaximumBatchingWindowInSeconds
    - `retries`: MaximumRetryAttempts, or -1 for no limit
    - `age`: MaximumRecordAgeInSeconds, or -1 for no limit
    - `bisect`: BisectBatchOnFunctionError
    - `reports`: true if FunctionResponseTypes has ReportBatchItemFailures

    Two settings are not in the API: `splits_at_first` (see the top of this file), and `pause`, the
    seconds before a retry.
    """

    batch_size: int = 100
    window: float = 0.0
    retries: int = FOREVER
    age: float = FOREVER
    bisect: bool = True
    reports: bool = True
    splits_at_first: bool = True
    pause: float = 0.1


def policy(retention_hours: int = 24) -> Policy:
    """Return the settings of the template's event source mapping."""
    template = load()
    properties = template["Resources"]["StreamMapping"]["Properties"]
    limits = template["Mappings"]["StreamLimits"][str(retention_hours)]
    return Policy(
        batch_size=properties["BatchSize"],
        window=properties["MaximumBatchingWindowInSeconds"],
        retries=limits["Retries"],
        age=limits["MaximumAge"],
        bisect=properties["BisectBatchOnFunctionError"],
        reports="ReportBatchItemFailures" in properties["FunctionResponseTypes"],
    )


@dataclass(slots=True)
class Stream:
    """A stream. Each payload goes to a random shard, as with `Distribution: Random`."""

    shards: int = 1
    records: list[list[Record]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    clock: Callable[[], float] = time.time
    _count: int = 0

    def __post_init__(self) -> None:
        self.records = [[] for _ in range(self.shards)]

    def put(self, event: dict[str, Any]) -> None:
        """Take the payload from an event, and add it to the stream.

        CloudWatch would send this event to a function.
        """
        self.put_data(event["awslogs"]["data"])

    def put_data(self, data: str, shard: int | None = None) -> str:
        """Add a record with this base64 data, and return its sequence number."""
        with self.changed:
            number = random.randrange(self.shards) if shard is None else shard  # noqa: S311
            self._count += 1
            sequence = str(FIRST_SEQUENCE_NUMBER + self._count)
            self.records[number].append(record(data, sequence, number, self.clock()))
            self.changed.notify_all()
        return sequence


@dataclass(slots=True)
class Mapping:
    """An event source mapping between a stream and a function. Reading starts at the oldest record.

    `invoke` runs the function, and raises `FunctionFailed` if the function fails. `on_failure` is
    called with the key and the content of each object that Lambda writes to the bucket of the
    on-failure destination.
    """

    stream: Stream
    invoke: Callable[[Any], Any]
    policy: Policy = field(default_factory=Policy)
    on_failure: Keep | None = None
    sleep: Callable[[float], None] = time.sleep
    uuid: str = field(default_factory=lambda: str(uuid4()))
    invocations: int = 0
    _ended: bool = False

    def step(self) -> None:
        """Read one batch of each shard, and deliver the batch or give it up."""
        for shard in range(self.stream.shards):
            self._deliver(shard, self._batch(shard), 0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Read every shard in a thread of its own while the `with` block runs."""
        self._ended = False
        threads = [
            threading.Thread(target=self._read, args=(shard,), daemon=True)
            for shard in range(self.stream.shards)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            with self.stream.changed:
                self._ended = True
                self.stream.changed.notify_all()
            for thread in threads:
                thread.join()

    def drain(self, timeout: float) -> bool:
        """Wait until no record is left. Return False if `timeout` seconds pass first."""
        with self.stream.changed:
            return self.stream.changed.wait_for(lambda: not self.waiting(), timeout)

    def waiting(self) -> int:
        """Return the number of records that are neither delivered nor given up."""
        with self.stream.changed:
            return sum(map(len, self.stream.records))

    def iterator_age(self) -> float:
        """Return the age of the oldest waiting record in seconds; 0 if there is none."""
        with self.stream.changed:
            times = [arrival(records[0]) for records in self.stream.records if records]
        return max(self.stream.clock() - min(times), 0.0) if times else 0.0

    def _read(self, shard: int) -> None:
        records = self.stream.records[shard]
        while True:
            with self.stream.changed:
                self.stream.changed.wait_for(lambda: records or self._ended)
            if not self._ended and self.policy.window:
                self.sleep(self.policy.window)
            if self._ended:
                return
            self._deliver(shard, self._batch(shard), 0)

    def _batch(self, shard: int) -> list[Record]:
        """Return the first records of a shard: as many records as fit into one event."""
        batch: list[Record] = []
        size = 0
        with self.stream.changed:
            for each in self.stream.records[shard][: self.policy.batch_size]:
                size += len(each["kinesis"]["data"]) + RECORD_OVERHEAD
                if batch and size > EVENT_BYTES:
                    break
                batch.append(each)
        return batch

    def _deliver(self, shard: int, batch: list[Record], tries: int) -> None:
        """Invoke the function until every record of the batch is delivered or given up."""
        while batch and not self._ended:
            batch = self._young(shard, batch)
            if not batch:
                return
            first, reported = self._invoke(batch)
            self._checkpoint(shard, batch[:first])
            batch = batch[first:]
            if not batch:
                return
            # If the function fails, the batch is split in the middle. If the answer reports a
            # failed record, the batch is split before that record.
            whole = not reported or (first == 0 and self.policy.splits_at_first)
            if whole and self.policy.bisect and len(batch) > 1:
                middle = len(batch) // 2  # splitting does not count as a retry
                self._deliver(shard, batch[:middle], tries)
                batch = batch[middle:]
                continue
            tries += 1
            if 0 <= self.policy.retries < tries:
                self._give_up(shard, batch, "RetryAttemptsExhausted", tries)
                return
            self.sleep(self.policy.pause)

    def _invoke(self, batch: list[Record]) -> tuple[int, bool]:
        """Return the place of the first record that is not delivered, and whether it was reported.

        If all records are delivered, the place is the length of the batch.
        """
        self.invocations += 1
        try:
            answer = self.invoke({"Records": batch})
        except FunctionFailed:
            return 0, False
        return (first_failed(answer, batch) if self.policy.reports else len(batch)), True

    def _young(self, shard: int, batch: list[Record]) -> list[Record]:
        """Give up the records that are too old, and return the others."""
        if self.policy.age < 0:
            return batch
        horizon = self.stream.clock() - self.policy.age
        old = [each for each in batch if arrival(each) < horizon]
        if old:
            self._give_up(shard, old, "RecordAgeExceeded", 0)
        return batch[len(old) :]

    def _give_up(self, shard: int, batch: list[Record], condition: str, tries: int) -> None:
        if self.on_failure:
            now = datetime.now(UTC)
            self.on_failure(key(self.uuid, shard, now), kept(batch, shard, condition, tries, now))
        self._checkpoint(shard, batch)

    def _checkpoint(self, shard: int, done: list[Record]) -> None:
        with self.stream.changed:
            del self.stream.records[shard][: len(done)]
            self.stream.changed.notify_all()


def first_failed(answer: Any, batch: list[Record]) -> int:
    """Return the place of the first record that the answer reports as failed.

    An answer without reports means that all records are delivered. An empty or missing identifier
    means that no record is delivered. Raises `ValueError` if no record in the batch has the
    identifier, because the documents do not describe this case.
    """
    reports = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    if not reports:
        return len(batch)
    numbers = [each["kinesis"]["sequenceNumber"] for each in batch]
    reported = [each.get("itemIdentifier") for each in reports]
    if not all(reported):
        return 0
    return min(map(numbers.index, reported))


def record(data: str, sequence: str, shard: int, now: float) -> Record:
    """Return a record as an event contains it. `now` is in seconds since 1970."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": sequence[-8:],
            "sequenceNumber": sequence,
            "data": data,
            "approximateArrivalTimestamp": round(now, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id(shard)}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/ShipperRole",
        "awsRegion": REGION,
        "eventSourceARN": STREAM_ARN,
    }


def arrival(each: Record) -> float:
    """Return the time at which the record arrived in the stream, in seconds since 1970."""
    time_: float = each["kinesis"]["approximateArrivalTimestamp"]
    return time_


def shard_id(shard: int) -> str:
    """Return the name of the shard with this number."""
    return f"shardId-{shard:012d}"


def key(mapping: str, shard: int, now: datetime) -> str:
    """Return the key of the object that Lambda writes for records that it gave up."""
    return f"aws/lambda/{mapping}/{shard_id(shard)}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid4()}"


def kept(batch: list[Record], shard: int, condition: str, tries: int, now: datetime) -> bytes:
    """Return the content of the object that Lambda writes for records that it gave up.

    The content has the place of the records in the stream, and the event as text.
    """
    first, last = batch[0], batch[-1]
    content = {
        "requestContext": {
            "requestId": str(uuid4()),
            "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:ShipperFunction",
            "condition": condition,
            "approximateInvokeCount": tries,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": _iso(now),
        "KinesisBatchInfo": {
            "shardId": shard_id(shard),
            "startSequenceNumber": first["kinesis"]["sequenceNumber"],
            "endSequenceNumber": last["kinesis"]["sequenceNumber"],
            "approximateArrivalOfFirstRecord": _iso(datetime.fromtimestamp(arrival(first), UTC)),
            "approximateArrivalOfLastRecord": _iso(datetime.fromtimestamp(arrival(last), UTC)),
            "batchSize": len(batch),
            "streamArn": STREAM_ARN,
        },
        "payload": json.dumps({"Records": batch}),
    }
    return json.dumps(content).encode()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

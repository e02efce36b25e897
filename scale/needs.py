"""Computes the resources that a rate of events needs, and the rate at which each limit is reached.

Rates are in events a second. An event is one log line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from cost import estimate
from cost.prices import Price
from scale import figures
from scale.limits import Limit
from tools.errors import UserError

MONTH_SECONDS: Final = estimate.HOURS * 3600
DAY_SECONDS: Final = 86_400
KB: Final = 1_024  # Kinesis bills each record as a multiple of this
# The following numbers are those of template.yaml. tests/unit/scale/test_scale.py compares them.
SHIPPER_SECONDS: Final = 120  # the time limit of an invocation
BATCH_RECORDS: Final = 500  # the largest number of records of the stream in one invocation
WINDOW_SECONDS: Final = 1  # records of a shard are collected for this time before an invocation
NODES: Final = (1, 2, 4, 6)  # the numbers of nodes that a domain can have
LARGEST_GIB: Final = 3_072  # the largest disk of a node


@dataclass(frozen=True, slots=True)
class Way:
    """The assumptions of a computation.

    `lines` is the number of log lines in a payload. `days` is the number of days for which
    documents are kept. `outage` is the length of an outage in seconds. `processor` has the
    processor time of an invocation in microseconds, for several numbers of lines. By default the
    measured times are used.
    """

    lines: int = 1
    days: int = estimate.INDEX_RETENTION_DAYS
    outage: float = 60.0
    processor: Mapping[int, float] | None = None

    def invocation(self, lines: float) -> float:
        """Return the seconds that an invocation with this number of lines takes.

        The time has two parts. The first is the function's processor time; a function with little
        memory gets only a share of a processor, and takes longer. The second is the time in which
        the domain answers and indexes the documents.
        """
        processor = figures.between(self.processor or figures.processor_microseconds(), lines)
        share = min(estimate.MEMORY_GB["shipper"] * 1024 / figures.PROCESSOR_MB, 1.0)
        indexing = lines * figures.INDEX_MICROSECONDS
        return figures.DOMAIN_MS / 1e3 + (processor / share + indexing) / 1e6


class Direct(NamedTuple):
    """The resources that a rate of events needs without a stream.

    Without a stream, CloudWatch invokes the shipper for each payload. `payloads` is the number of
    payloads a second. `concurrency` is the number of invocations at once. `usd` is the cost in
    dollars a month.
    """

    payloads: float
    concurrency: float
    concurrency_in_outage: float
    usd: float


class Kinesis(NamedTuple):
    """The resources that a rate of events needs with a Kinesis stream before the shipper.

    `bytes` is the number of bytes a second into the stream, and `shards` its number of shards.
    `concurrency` is the number of invocations at once. `usd` is the cost in dollars a month,
    including the stream.
    """

    bytes: float
    shards: int
    concurrency: float
    usd: float


class Domain(NamedTuple):
    """A domain that is large enough: its instance type, nodes, GiB of each node, dollars a month.

    `by_template` is false if the template cannot make the domain.
    """

    instance: str
    nodes: int
    gib: int
    usd: float
    by_template: bool


class Met(NamedTuple):
    """A limit, and the lowest rate that reaches the limit, for each way of delivery.

    `direct` is the rate without a stream, and `kinesis` the rate with a Kinesis stream. A rate is
    None if this way of delivery never reaches the limit.
    """

    limit: str
    direct: float | None
    kinesis: float | None
    remedy: str


def direct(rate: float, way: Way, prices: Mapping[str, Price]) -> Direct:
    """Return the resources that a rate of events needs without a stream.

    In an outage, each invocation takes as long as the outage, but at most `SHIPPER_SECONDS`.
    """
    payloads = rate / way.lines
    seconds = way.invocation(way.lines)
    return Direct(
        payloads,
        payloads * seconds,
        payloads * max(min(way.outage, SHIPPER_SECONDS), seconds),
        _lambda(payloads, seconds, prices),
    )


def kinesis(
    rate: float, way: Way, prices: Mapping[str, Price], limits: Mapping[str, Limit]
) -> Kinesis:
    """Return the resources that a rate of events needs with a Kinesis stream."""
    records = rate / way.lines
    size = figures.between(figures.PAYLOAD_BYTES, way.lines)
    shards = max(_first_shards(limits), math.ceil(rate / _into_a_shard(way, limits)))
    batches = min(max(shards / WINDOW_SECONDS, records / BATCH_RECORDS), records)
    seconds = way.invocation(rate / batches)
    kilobytes = math.ceil(size / KB) * KB
    stream = (
        prices["kinesis_stream_hour"].cost(estimate.HOURS)
        + prices["kinesis_in_gb"].cost(records * kilobytes * MONTH_SECONDS / estimate.GB)
        + prices["kinesis_out_gb"].cost(records * size * MONTH_SECONDS / estimate.GB)
    )
    return Kinesis(
        records * size,
        shards,
        batches * seconds,
        stream + _lambda(batches, seconds, prices),
    )


def domain(rate: float, way: Way, prices: Mapping[str, Price]) -> Domain:
    """Return the cheapest domain that holds the documents and has the processors to index them.

    With two nodes or more, each document is kept and indexed twice. A domain with more nodes or
    larger disks than the template allows is returned only if no smaller domain is enough. Raises
    `UserError` if no domain is enough.
    """
    found = [
        Domain(
            instance,
            nodes,
            gib,
            prices[instance].cost(nodes * estimate.HOURS)
            + prices["domain_gb_month"].cost(nodes * gib),
            nodes in NODES and gib <= LARGEST_GIB,
        )
        for instance, (processors, largest) in figures.INSTANCES.items()
        for nodes in (*NODES, *range(8, 81, 2))
        if (gib := _gib(rate, way, nodes)) <= largest
        and rate * _copies(nodes) * figures.INDEX_MICROSECONDS / 1e6
        <= nodes * processors * figures.BUSY
        # A domain of t3 nodes is only for a trial, and has one node. Every other domain has two
        # nodes or more, so that it still works if one node fails.
        and (nodes == 1) == instance.startswith("t3")
    ]
    if not found:
        raise UserError(f"no domain of these instance types is large enough for {rate:,.0f}/s")
    return min(found, key=lambda one: (not one.by_template, one.usd))


def met(way: Way, limits: Mapping[str, Limit]) -> list[Met]:
    """Return for each limit the lowest rate that reaches it, for each way of delivery."""
    seconds = way.invocation(way.lines)
    size = figures.between(figures.PAYLOAD_BYTES, way.lines)
    waiting = max(min(way.outage, SHIPPER_SECONDS), seconds)
    shard = limits["opensearch_shard_gib"].value * estimate.GIB
    a_day = estimate.DOCUMENT_BYTES * DAY_SECONDS
    found = [
        Met(
            f"{limits[name].value:,} executions at once ({who}), {when}",
            limits[name].value * way.lines / lasts,
            None,
            "Delivery=kinesis, or a higher quota",
        )
        for name, who in (
            ("lambda_concurrency_of_a_new_account", "a new account"),
            ("lambda_concurrency", "the usual quota"),
        )
        for when, lasts in (
            ("in an outage of the domain", waiting),
            ("while the domain answers", seconds),
        )
    ]
    stream = min(
        limits["kinesis_new_stream_records"].value * way.lines,
        limits["kinesis_new_stream_bytes"].value / size * way.lines,
    )
    found.append(
        Met(
            "one invocation at a time for each shard",
            None,
            _first_shards(limits) * _out_of_a_shard(way)
            if _out_of_a_shard(way) < _into_a_shard(way, limits)
            else None,
            "a ParallelizationFactor above 1",
        )
    )
    found.append(
        Met("the write rate of a new on-demand stream", None, stream, "AWS doubles it by itself")
    )
    for limit, rate, remedy in (
        (
            f"{limits['opensearch_shard_gib'].value} GiB in the index of a day",
            shard / a_day,
            "more shards in kibana/index_template.json",
        ),
        (
            f"the template's largest domain, {NODES[-1]} x {LARGEST_GIB:,} GiB, {way.days} days",
            _largest(way),
            "fewer days, or a domain of your own",
        ),
        (
            "documents in a shard (Lucene)",
            limits["opensearch_shard_documents"].value / DAY_SECONDS,
            "more shards",
        ),
    ):
        found.append(Met(limit, rate, rate, remedy))
    return found


def _first_shards(limits: Mapping[str, Limit]) -> int:
    """Return the number of shards of a new on-demand stream."""
    return limits["kinesis_new_stream_records"].value // limits["kinesis_shard_records"].value


def _into_a_shard(way: Way, limits: Mapping[str, Limit]) -> float:
    """Return the highest rate that can be written into one shard."""
    size = figures.between(figures.PAYLOAD_BYTES, way.lines)
    records = min(limits["kinesis_shard_records"].value, limits["kinesis_shard_bytes"].value / size)
    return records * way.lines


def _out_of_a_shard(way: Way) -> float:
    """Return the highest rate that can be read from one shard, by one invocation at a time."""
    lines = BATCH_RECORDS * way.lines
    return lines / way.invocation(lines)


def _lambda(invocations: float, seconds: float, prices: Mapping[str, Price]) -> float:
    """Return the cost of invocations in dollars a month.

    `invocations` is the number of invocations a second. Each invocation takes `seconds`.
    """
    count = invocations * MONTH_SECONDS
    return prices["lambda_request"].cost(count) + prices["lambda_gb_second"].cost(
        count * seconds * estimate.MEMORY_GB["shipper"]
    )


def _copies(nodes: int) -> int:
    return 1 if nodes == 1 else 2


def _gib(rate: float, way: Way, nodes: int) -> int:
    """Return the GiB of each node's disk. The smallest disk has 10 GiB, the template's default."""
    a_day = rate * DAY_SECONDS * estimate.DOCUMENT_BYTES
    data = a_day * (way.days + 1) * _copies(nodes) / nodes / estimate.GIB
    return max(10, estimate.volume_gib(data))


def _largest(way: Way) -> float:
    """Return the rate that fills the largest domain that the template makes."""
    free = 1 - estimate.LINUX_SHARE - estimate.FREE_SHARE
    data = (LARGEST_GIB * free - estimate.SERVICE_GIB) * NODES[-1] / 2 * estimate.GIB
    return data / (way.days + 1) / estimate.DOCUMENT_BYTES / DAY_SECONDS

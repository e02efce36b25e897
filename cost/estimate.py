"""A size as lines of a bill.

Every figure that is neither a price nor the template's is here, with its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cost.prices import Price

HOURS: Final = 730  # of a month, as AWS reckons
DAYS: Final = HOURS / 24
GB: Final = 10**9  # of log and of traffic: the more expensive of the two definitions
GIB: Final = 2**30

# --- measured: `python -m cost.measure`, 10,000 requests with a sentence each (CoLA and UD English
# EWT in turn), functions under the Lambda runtime emulator, OpenSearch 3.8
# ---------------------------------------------------------------------------------------------------------
INFERENCE_LOG_BYTES: Final = 1_887  # record, metrics, START, END and REPORT of a request
INFERENCE_LOG_LINES: Final = 5
SHIPPER_LOG_BYTES: Final = 1_799  # metrics, summary, START, END and REPORT of a payload
SHIPPER_LOG_LINES: Final = 5
DOCUMENT_BYTES: Final = 1_686  # pri.store.size / docs.count

# --- assumed ---
# `make bench` has 4.7 ms for an invocation, on a machine that is not Lambda's: 1,024 MB is less
# than one processor. Cold starts included.
INFERENCE_MS: Final = 20
# Most of it is waiting for the domain.
SHIPPER_MS: Final = 50
SHIPPER_MS_A_LINE: Final = 1
# A quarter of an hour apart, each run starts cold: imports, boto3, one look into an empty bucket.
REPLAY_MS: Final = 2_000
REPLAYS_AN_HOUR: Final = 4
# The same for the monitor: imports, a few searches, one window; with 20 streams some seconds more.
MONITOR_MS: Final = 3_000
# The access log's line as template.yaml formats it, filled with what an IAM user sends;
# tests/unit/cost/test_cost.py counts it.
API_LOG_BYTES: Final = 290
# Bytes that PutLogEvents counts for each line in addition.
LINE_BYTES: Final = 26
# Compressed size of a log, of AWS's own examples (200 GB become 30).
COMPRESSED: Final = 0.15
# An answer with its headers.
ANSWER_BYTES: Final = 500
# Alarm mails in a month.
EMAILS: Final = 100

# --- of template.yaml: tests/unit/cost/test_cost.py counts them there ---
MEMORY_GB: Final = {"inference": 1.0, "shipper": 1.0, "replay": 2.0, "monitor": 1.0}
LOG_RETENTION_DAYS: Final = 14
INDEX_RETENTION_DAYS: Final = 30
# As if each were sent in every hour: one that is sent seldom costs less.
CUSTOM_METRICS: Final = 31
# Each has one metric. For the two that ask by a query it is an assumption: one log group with one
# filter has one metric of either name.
ALARM_METRICS: Final = 29
DASHBOARDS: Final = 1
SECRETS: Final = 2

# --- of the domain:
# https://docs.aws.amazon.com/opensearch-service/latest/developerguide/bp-storage.html ---
LINUX_SHARE: Final = 0.05
SERVICE_SHARE, SERVICE_GIB = 0.20, 20  # of each node, the smaller of the two
FREE_SHARE: Final = 0.25  # DomainDiskAlarm rings at less


@dataclass(frozen=True, slots=True)
class Size:
    """How much is predicted, and the domain for it.

    `lines_a_payload`, the log lines in one payload, is an assumption.
    """

    name: str
    predictions_a_day: int
    instance: str
    instances: int
    volume_gib: int
    lines_a_payload: int

    @property
    def predictions(self) -> float:
        """In a month; each is a request of its own."""
        return self.predictions_a_day * DAYS

    @property
    def payloads(self) -> float:
        """Of the shipper, in a month."""
        return self.predictions / self.lines_a_payload


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill: `how` are its quantities."""

    what: str
    how: str
    usd: float


SIZES: Final = (
    Size("small", 10_000, "t3.small.search", 1, 10, 1),
    Size("medium", 1_000_000, "r8g.large.search", 2, 100, 5),
    Size("large", 20_000_000, "r8g.large.search", 4, 750, 20),
)


def bill(size: Size, prices: dict[str, Price]) -> list[Line]:
    """All lines of a month, none of them rounded."""
    return [
        domain(size, prices),
        disk(size, prices),
        inference(size, prices),
        shipper(size, prices),
        replay(prices),
        monitor(prices),
        api(size, prices),
        log(size, prices),
        kept_log(size, prices),
        monitoring(prices),
        secrets(prices),
        traffic(size, prices),
        rest(prices),
    ]


def domain(size: Size, prices: dict[str, Price]) -> Line:
    """Data nodes by the hour."""
    usd = prices[size.instance].cost(size.instances * HOURS)
    return Line("OpenSearch: instances", f"{size.instances} x {size.instance}, {HOURS} hours", usd)


def disk(size: Size, prices: dict[str, Price]) -> Line:
    """Their disks."""
    return Line(
        "OpenSearch: disk",
        f"{size.instances} x {size.volume_gib:,} GiB of gp3",
        prices["domain_gb_month"].cost(size.instances * size.volume_gib),
    )


def inference(size: Size, prices: dict[str, Price]) -> Line:
    """Duration and requests of the inference function."""
    return _function("inference", size.predictions, INFERENCE_MS, prices)


def shipper(size: Size, prices: dict[str, Price]) -> Line:
    """Duration and requests of the shipper."""
    return _function(
        "shipper", size.payloads, SHIPPER_MS + SHIPPER_MS_A_LINE * size.lines_a_payload, prices
    )


def replay(prices: dict[str, Price]) -> Line:
    """Duration and requests of the replay, which runs every 15 minutes and mostly finds nothing; its schedule is free."""
    return _function("replay", REPLAYS_AN_HOUR * HOURS, REPLAY_MS, prices)


def monitor(prices: dict[str, Price]) -> Line:
    """Duration and requests of the monitor, which runs every 15 minutes."""
    return _function("monitor", REPLAYS_AN_HOUR * HOURS, MONITOR_MS, prices)


def _function(name: str, invocations: float, milliseconds: float, prices: dict[str, Price]) -> Line:
    memory = MEMORY_GB[name]
    usd = prices["lambda_gb_second"].cost(invocations * milliseconds / 1000 * memory) + prices[
        "lambda_request"
    ].cost(invocations)
    return Line(
        f"Lambda: {name}", f"{invocations:,.0f} x {milliseconds:g} ms of {memory:g} GB", usd
    )


def api(size: Size, prices: dict[str, Price]) -> Line:
    """Requests at the HTTP API, in two steps."""
    first = min(size.predictions, prices["api_request"].up_to or math.inf)
    usd = prices["api_request"].cost(first) + prices["api_request_above"].cost(
        size.predictions - first
    )
    return Line("API Gateway", f"{size.predictions:,.0f} requests", usd)


def log_gb(size: Size) -> float:
    """GB of log lines in a month: of inference function, API and shipper.

    Replay, monitor and domain write little.
    """
    request = INFERENCE_LOG_BYTES + INFERENCE_LOG_LINES * LINE_BYTES + API_LOG_BYTES + LINE_BYTES
    payload = SHIPPER_LOG_BYTES + SHIPPER_LOG_LINES * LINE_BYTES
    return (size.predictions * request + size.payloads * payload) / GB


def log(size: Size, prices: dict[str, Price]) -> Line:
    """Log lines taken in. Handing them to the shipper costs nothing but its invocations."""
    return Line(
        "CloudWatch: log lines", f"{log_gb(size):,.1f} GB", prices["log_gb"].cost(log_gb(size))
    )


def kept_log(size: Size, prices: dict[str, Price]) -> Line:
    """The same kept, compressed, for LogRetentionDays."""
    kept = log_gb(size) / DAYS * LOG_RETENTION_DAYS * COMPRESSED
    return Line(
        "CloudWatch: log kept",
        f"{kept:,.1f} GB, of {LOG_RETENTION_DAYS} days",
        prices["log_gb_month"].cost(kept),
    )


def monitoring(prices: dict[str, Price]) -> Line:
    """Metrics, alarms and the dashboard: the same for every size."""
    usd = (
        prices["custom_metric"].cost(CUSTOM_METRICS)
        + prices["alarm_metric"].cost(ALARM_METRICS)
        + prices["dashboard"].cost(DASHBOARDS)
    )
    return Line(
        "CloudWatch: metrics, alarms",
        f"{CUSTOM_METRICS} metrics, {ALARM_METRICS} alarms, {DASHBOARDS} dashboard",
        usd,
    )


def secrets(prices: dict[str, Price]) -> Line:
    """The hash key and the domain's administrator."""
    return Line("Secrets Manager", f"{SECRETS} secrets", prices["secret"].cost(SECRETS))


def traffic(size: Size, prices: dict[str, Price]) -> Line:
    """Answers, as if every caller were in the internet."""
    answers = size.predictions * ANSWER_BYTES / GB
    return Line(
        "Answers to the internet", f"{answers:,.1f} GB", prices["internet_gb"].cost(answers)
    )


def rest(prices: dict[str, Price]) -> Line:
    """The replay's looks into the bucket, and mail about alarms."""
    looks = REPLAYS_AN_HOUR * HOURS
    return Line(
        "S3 and SNS",
        f"{looks:,} lists, {EMAILS} mails",
        prices["s3_list"].cost(looks) + prices["email"].cost(EMAILS),
    )


def index_gib(size: Size) -> float:
    """GiB of documents on each node: 30 days and the day that is being written, twice where there are two nodes or more."""
    copies = 1 if size.instances == 1 else 2
    return (
        size.predictions_a_day
        * (INDEX_RETENTION_DAYS + 1)
        * DOCUMENT_BYTES
        * copies
        / size.instances
        / GIB
    )


def least_volume_gib(size: Size) -> int:
    """GiB of disk that each node needs, so that a quarter of it is free beside documents and what Linux and AWS reserve."""
    free = 1 - LINUX_SHARE - FREE_SHARE
    data = index_gib(size)
    return math.ceil(min(data / (free - SERVICE_SHARE), (data + SERVICE_GIB) / free))


def endpoint(zones: int, prices: dict[str, Price]) -> float:
    """The price of Network=vpc by the hour: the interface endpoint of Secrets Manager in so many zones.

    That of S3 is free.
    """
    return prices["endpoint_hour"].cost(zones * HOURS)

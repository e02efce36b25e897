"""Computes the lines of a month's bill for a stack of a given size.

Prices are in prices.toml. This module has all other figures of the calculation, each with its
source: a measurement, an assumption, the template, or a document of AWS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cost.prices import Price

HOURS: Final = 730  # the hours of a month, as AWS counts them
DAYS: Final = HOURS / 24
# The number of bytes in a GB of log or traffic. Perhaps AWS counts 2**30 bytes. The real cost
# is then lower than the estimate.
GB: Final = 10**9
GIB: Final = 2**30

# --- measured
# These figures are from `python -m cost.measure`, which sent 10,000 requests with one sentence each
# (alternately from CoLA and UD English EWT). The functions ran under the Lambda runtime emulator,
# with OpenSearch 3.8.
INFERENCE_LOG_BYTES: Final = 1_493  # record, metrics, START, END and REPORT of one request
INFERENCE_LOG_LINES: Final = 5
RECORD_BYTES: Final = 844  # the bytes of the record, a part of INFERENCE_LOG_BYTES
SHIPPER_LOG_BYTES: Final = 1_008  # counts, metrics, START, END and REPORT of one payload
SHIPPER_LOG_LINES: Final = 4
DOCUMENT_BYTES: Final = 1_686  # pri.store.size / docs.count

# The size of a payload in a stream is about STREAM_BYTES + STREAM_BYTES_A_LINE x its lines.
# `bench.lines` measures 734 bytes with 1 record, 1,616 with 5, and 4,557 with 20. The payload is
# compressed, and a stream keeps it without base64.
STREAM_BYTES: Final = 540
STREAM_BYTES_A_LINE: Final = 200
KIB: Final = 1_024  # AWS charges each record of a stream as a multiple of this

# --- assumed
# `make bench` measured 2.4 ms for an invocation, but not on Lambda. The assumed time is longer,
# because it includes cold starts, and because a function of 1,024 MB has less than one processor on
# Lambda.
INFERENCE_MS: Final = 20
# The time of an invocation is SHIPPER_MS + SHIPPER_MS_A_LINE x its lines. Most of this time, the
# shipper waits for the domain.
SHIPPER_MS: Final = 50
SHIPPER_MS_A_LINE: Final = 1
# The replay runs every quarter of an hour, so each run starts cold. A run imports boto3 and other
# modules, and lists an empty bucket once.
REPLAY_MS: Final = 2_000
REPLAYS_AN_HOUR: Final = 4
# The monitor starts cold too. It imports its modules, sends a few searches, and judges one window.
# With 20 streams it takes some seconds more.
MONITOR_MS: Final = 3_000
# The canary starts cold too, and waits for the inference function.
CANARY_MS: Final = 3_000
# The messenger looks every quarter of an hour for messages that could not be sent. It starts cold,
# imports boto3, and lists the bucket once. Messages themselves are rare.
MESSENGER_MS: Final = 1_500
# The report starts cold, sends twelve searches, and writes one object.
REPORT_MS: Final = 4_000
# For a label by POST /feedback: the time of the inference function, and the time in which the
# monitor joins the label to its prediction.
FEEDBACK_MS: Final = 5
FEEDBACK_JOIN_MS: Final = 1
# The log of such a request: a record without an explanation (220 bytes), metrics (300), and START,
# END and REPORT (262).
FEEDBACK_LOG_BYTES: Final = 782
# The length of a line in the API's access log, as template.yaml formats it for a request of an IAM
# user. tests/unit/cost/test_cost.py counts its bytes.
API_LOG_BYTES: Final = 290
# AWS charges this many bytes for each log line in addition to its text.
LINE_BYTES: Final = 26
# The size of a compressed log divided by its uncompressed size. In an example of AWS, 200 GB become
# 30 GB.
COMPRESSED: Final = 0.15
# The size of the API's answer to a request, with its headers.
ANSWER_BYTES: Final = 500
# The number of mails about alarms and drift in a month.
EMAILS: Final = 100

# --- from template.yaml; tests/unit/cost/test_cost.py compares these figures with the template
MEMORY_GB: Final = {
    "inference": 1.0,
    "shipper": 1.0,
    "replay": 2.0,
    "monitor": 1.0,
    "canary": 0.5,
    "messenger": 0.25,
    "report": 0.5,
}
# The number of the shipped model's golden sentences (test sentences with known answers). Each run
# of the canary sends all of them.
GOLDEN: Final = 40
LOG_RETENTION_DAYS: Final = 14
INDEX_RETENTION_DAYS: Final = 30
# The calculation assumes that every metric is sent in every hour. A metric that is sent in fewer
# hours costs less.
CUSTOM_METRICS: Final = 36
# The number of metrics of all alarms. Two of the alarms have a query. The number of metrics that a
# query reads depends on the log groups and their filters. The calculation assumes one metric for
# each query.
ALARM_METRICS: Final = 33
DASHBOARDS: Final = 1
SECRETS: Final = 2

# --- about the domain
# https://docs.aws.amazon.com/opensearch-service/latest/developerguide/bp-storage.html
LINUX_SHARE: Final = 0.05  # of the disk
SERVICE_SHARE, SERVICE_GIB = 0.20, 20  # on each node AWS reserves 20 %, at most 20 GiB
FREE_SHARE: Final = 0.25  # DomainDiskAlarm reports if a smaller share is free


@dataclass(frozen=True, slots=True)
class Size:
    """A number of predictions, and a domain for them.

    `lines_a_payload` is the assumed number of log lines in a payload of CloudWatch.
    """

    name: str
    predictions_a_day: int
    instance: str
    instances: int
    volume_gib: int
    lines_a_payload: int

    @property
    def predictions(self) -> float:
        """The number of predictions in a month. Each is a separate request."""
        return self.predictions_a_day * DAYS

    @property
    def payloads(self) -> float:
        """The number of payloads that the shipper gets in a month."""
        return self.predictions / self.lines_a_payload


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill. `what` names the service, and `how` describes the quantities."""

    what: str
    how: str
    usd: float


SIZES: Final = (
    Size("small", 10_000, "t3.small.search", 1, 10, 1),
    Size("medium", 1_000_000, "r8g.large.search", 2, 100, 5),
    Size("large", 20_000_000, "r8g.large.search", 4, 750, 20),
)


def bill(size: Size, prices: dict[str, Price]) -> list[Line]:
    """Return all lines of a month's bill, without rounding."""
    return [
        domain(size, prices),
        disk(size, prices),
        inference(size, prices),
        shipper(size, prices),
        replay(prices),
        monitor(prices),
        canary(prices),
        messenger(prices),
        api(size, prices),
        log(size, prices),
        kept_log(size, prices),
        monitoring(prices),
        secrets(prices),
        traffic(size, prices),
        rest(prices),
    ]


def domain(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of the data nodes, without their disks."""
    usd = prices[size.instance].cost(size.instances * HOURS)
    return Line("OpenSearch: instances", f"{size.instances} x {size.instance}, {HOURS} hours", usd)


def disk(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of the disks of the data nodes."""
    return Line(
        "OpenSearch: disk",
        f"{size.instances} x {size.volume_gib:,} GiB of gp3",
        prices["domain_gb_month"].cost(size.instances * size.volume_gib),
    )


def inference(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of the inference function, by duration and requests."""
    return _function("inference", size.predictions, INFERENCE_MS, prices)


def shipper(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of the shipper, by duration and requests."""
    return _function(
        "shipper", size.payloads, SHIPPER_MS + SHIPPER_MS_A_LINE * size.lines_a_payload, prices
    )


def replay(prices: dict[str, Price]) -> Line:
    """Return the cost of the replay, by duration and requests.

    The replay runs every 15 minutes and mostly finds nothing. Its schedule is free.
    """
    return _function("replay", REPLAYS_AN_HOUR * HOURS, REPLAY_MS, prices)


def monitor(prices: dict[str, Price]) -> Line:
    """Return the cost of the monitor, which runs every 15 minutes."""
    return _function("monitor", REPLAYS_AN_HOUR * HOURS, MONITOR_MS, prices)


def canary(prices: dict[str, Price]) -> Line:
    """Return the cost of the canary, which runs every 15 minutes.

    The cost includes the predictions of the inference function, and their records in the log.
    """
    own = _function("canary", REPLAYS_AN_HOUR * HOURS, CANARY_MS, prices)
    runs = REPLAYS_AN_HOUR * HOURS
    asked = runs * GOLDEN
    usd = (
        own.usd
        + prices["lambda_gb_second"].cost(asked * INFERENCE_MS / 1000 * MEMORY_GB["inference"])
        + prices["lambda_request"].cost(2 * runs)
        + prices["log_gb"].cost(asked * (RECORD_BYTES + LINE_BYTES) / GB)
    )
    return Line(own.what, f"{own.how}, and {asked:,} predictions with their records", usd)


def messenger(prices: dict[str, Price]) -> Line:
    """Return the cost of the messenger, which looks for waiting messages every 15 minutes."""
    return _function("messenger", REPLAYS_AN_HOUR * HOURS, MESSENGER_MS, prices)


def report(prices: dict[str, Price]) -> Line:
    """Return the additional cost of `Report=true`.

    It consists of the function, a PUT for each run, and the alarm. The bucket keeps some MB, which
    cost less than a cent.
    """
    runs = REPLAYS_AN_HOUR * HOURS
    own = _function("report", runs, REPORT_MS, prices)
    usd = own.usd + prices["s3_list"].cost(runs) + prices["alarm_metric"].cost(1)
    return Line(own.what, f"{own.how}, {runs:,} PUTs, 1 alarm", usd)


def stream(size: Size, prices: dict[str, Price]) -> Line:
    """Return the additional cost of `Delivery=kinesis`.

    The stream keeps records for 24 hours, for which AWS does not charge. With a stream the shipper
    has fewer invocations, but this saving is not subtracted.
    """
    kib = math.ceil((STREAM_BYTES + STREAM_BYTES_A_LINE * size.lines_a_payload) / KIB)
    gb = size.payloads * kib * KIB / GB
    usd = prices["stream_hour"].cost(HOURS) + prices["alarm_metric"].cost(1)
    usd += prices["stream_gb_in"].cost(gb) + prices["stream_gb_out"].cost(gb)
    return Line("Kinesis", f"{HOURS} hours, {gb:,.1f} GB in and out, 1 alarm", usd)


def feedback(labels: int, prices: dict[str, Price]) -> Line:
    """Return the additional cost of labels by POST /feedback, one in each request.

    For each label, the API gets a request, and the inference function is invoked and writes log
    lines. The shipper and the monitor need one millisecond each. If a request has 100 labels, a
    label costs about a tenth as much.
    """
    lines = FEEDBACK_LOG_BYTES + INFERENCE_LOG_LINES * LINE_BYTES + API_LOG_BYTES + LINE_BYTES
    seconds = labels * (FEEDBACK_MS + SHIPPER_MS_A_LINE + FEEDBACK_JOIN_MS) / 1000
    usd = (
        prices["api_request"].cost(labels)
        + prices["lambda_request"].cost(labels)
        + prices["lambda_gb_second"].cost(seconds * MEMORY_GB["inference"])
        + prices["log_gb"].cost(labels * lines / GB)
    )
    return Line("Feedback", f"{labels:,} labels, one in each request", usd)


def _function(name: str, invocations: float, milliseconds: float, prices: dict[str, Price]) -> Line:
    memory = MEMORY_GB[name]
    usd = prices["lambda_gb_second"].cost(invocations * milliseconds / 1000 * memory) + prices[
        "lambda_request"
    ].cost(invocations)
    return Line(
        f"Lambda: {name}", f"{invocations:,.0f} x {milliseconds:g} ms with {memory:g} GB", usd
    )


def api(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of requests to the HTTP API.

    After the first `up_to` requests in a month (prices.toml), the price is lower.
    """
    first = min(size.predictions, prices["api_request"].up_to or math.inf)
    usd = prices["api_request"].cost(first) + prices["api_request_above"].cost(
        size.predictions - first
    )
    return Line("API Gateway", f"{size.predictions:,.0f} requests", usd)


def log_gb(size: Size) -> float:
    """Return the GB of log lines that inference function, API and shipper write in a month.

    Replay, monitor and domain write little, so their lines are not counted.
    """
    request = INFERENCE_LOG_BYTES + INFERENCE_LOG_LINES * LINE_BYTES + API_LOG_BYTES + LINE_BYTES
    payload = SHIPPER_LOG_BYTES + SHIPPER_LOG_LINES * LINE_BYTES
    return (size.predictions * request + size.payloads * payload) / GB


def log(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of writing log lines to CloudWatch.

    AWS does not charge for their delivery to the shipper. The invocations of the shipper are
    another line of the bill.
    """
    return Line(
        "CloudWatch: log lines", f"{log_gb(size):,.1f} GB", prices["log_gb"].cost(log_gb(size))
    )


def kept_log(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of keeping the compressed log lines for `LOG_RETENTION_DAYS`."""
    kept = log_gb(size) / DAYS * LOG_RETENTION_DAYS * COMPRESSED
    return Line(
        "CloudWatch: log kept",
        f"{kept:,.1f} GB, kept for {LOG_RETENTION_DAYS} days",
        prices["log_gb_month"].cost(kept),
    )


def monitoring(prices: dict[str, Price]) -> Line:
    """Return the cost of metrics, alarms and the dashboard, which is the same for every size."""
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
    """Return the cost of two secrets: the hash key, and the domain administrator's password."""
    return Line("Secrets Manager", f"{SECRETS} secrets", prices["secret"].cost(SECRETS))


def traffic(size: Size, prices: dict[str, Price]) -> Line:
    """Return the cost of sending answers. All callers are assumed to be on the internet."""
    answers = size.predictions * ANSWER_BYTES / GB
    return Line(
        "Answers to the internet", f"{answers:,.1f} GB", prices["internet_gb"].cost(answers)
    )


def rest(prices: dict[str, Price]) -> Line:
    """Return the cost of listing the bucket (by replay and messenger) and of mails."""
    looks = 2 * REPLAYS_AN_HOUR * HOURS
    return Line(
        "S3 and SNS",
        f"{looks:,} LIST requests, {EMAILS} mails",
        prices["s3_list"].cost(looks) + prices["email"].cost(EMAILS),
    )


def index_gib(size: Size) -> float:
    """Return the GiB of documents on each node.

    The index keeps the documents of 30 days and of the current day. With two nodes or more, each
    document is stored twice.
    """
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
    """Return the GiB of disk that each node needs.

    The disk holds the documents and the space that Linux and AWS reserve. A quarter of it stays
    free.
    """
    return volume_gib(index_gib(size))


def volume_gib(data: float) -> int:
    """Return the GiB of disk that `data` GiB of documents need, with reserved and free space."""
    free = 1 - LINUX_SHARE - FREE_SHARE
    return math.ceil(min(data / (free - SERVICE_SHARE), (data + SERVICE_GIB) / free))


def endpoint(zones: int, prices: dict[str, Price]) -> float:
    """Return the additional cost of `Network=vpc`.

    It is the cost of the interface endpoint of Secrets Manager in `zones` zones. The endpoint of S3
    is free.
    """
    return prices["endpoint_hour"].cost(zones * HOURS)

"""Makes a line of metrics, in CloudWatch's embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inference.json_line import encode

NAMESPACE: Final = "PredictionMonitor"
UNITS: Final = {
    "PredictionLatency": "Milliseconds",  # has one value per prediction
    "MemoryUtilization": "Percent",
    "RefusedRequests": "Count",
    "PredictionFailures": "Count",
    "FeedbackAccepted": "Count",  # counts labels
    "FeedbackRefused": "Count",  # counts requests
    "RecordsLost": "Count",
}


def metrics_line(
    values: Mapping[str, float | list[float]], dimensions: Mapping[str, str], now: float
) -> str:
    """Return the line, without a line break.

    `values` maps names from `UNITS` to a number, or to a list of at most 100 numbers. `now` is the
    time in seconds since 1970.
    """
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
    }
    head = {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}
    return encode({"_aws": head, **dimensions, **values})

"""Writes log lines: one JSON object per line, with metrics in CloudWatch's embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

NAMESPACE: Final = "PredictionMonitor"
# All stacks share the namespace, so the function's name tells their metrics apart.
DIMENSIONS: Final = (("service", "function_name"),)
# The units of metrics that are not counts.
UNITS: Final = {"IndexDelay": "Milliseconds", "MemoryUtilization": "Percent"}


@dataclass(slots=True)
class Log:
    """The log of one function. `service` and `function_name` are the dimensions of its metrics."""

    service: str
    function_name: str
    _cold: bool = True

    def write(
        self,
        level: str,
        message: str,
        request_id: str,
        fields: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Write one line with these fields and metrics. CloudWatch reads the metrics from the line.

        The first line of a function's instance has the field `cold_start`. A line with metrics has
        a timestamp, in milliseconds since 1970, because the metric format requires it. Other lines
        have no timestamp: CloudWatch keeps the time of every line.
        """
        line: dict[str, Any] = {
            "level": level,
            "message": message,
            "service": self.service,
            "function_name": self.function_name,
            "request_id": request_id,
            **({"cold_start": True} if self._cold else {}),
            **fields,
        }
        self._cold = False
        if metrics:
            line |= {name: round(value, 1) for name, value in metrics.items()}
            line["_aws"] = {
                "Timestamp": time.time_ns() // 1_000_000,
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": DIMENSIONS,
                        "Metrics": [
                            {"Name": name, "Unit": UNITS.get(name, "Count")} for name in metrics
                        ],
                    }
                ],
            }
        # One call writes the whole line. Lambda does not buffer standard output, so with two calls
        # CloudWatch could get two lines.
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()

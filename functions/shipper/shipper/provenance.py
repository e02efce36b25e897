"""Decides which lines are trusted to be records. The rule is in events/envelope.json.

Anybody who can write into a log group can write a line that looks like a record. So a line counts
as a record only if its log group is one of the trusted groups, or if the subscription filter that
matched the line is named `RECORD_FILTER`. In the document of every other line, the
field `@kind` is `log`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from shipper.decode import Payload

PREDICTION: Final = "prediction"
FEEDBACK: Final = "feedback"
LOG: Final = "log"
RECORDS: Final = frozenset({PREDICTION, "prediction_error", FEEDBACK, "drift", "verdict", "canary"})
RECORD_FILTER: Final = "prediction-monitor-records"


def is_trusted(payload: Payload, record_groups: Container[str]) -> bool:
    """Return whether records in this payload are trusted."""
    return payload.log_group in record_groups or RECORD_FILTER in payload.filters

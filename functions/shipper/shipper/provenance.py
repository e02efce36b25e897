"""Where a line came from and what it holds, as `@kind`: events/envelope.json says the rule.

Whoever writes into a log group chooses what its lines say. So a line counts as a record only where the group is one of those whose
records are believed, or the subscription that passed it has the name of one for records; all other lines are `log`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from shipper.decode import Payload

PREDICTION: Final = "prediction"
LOG: Final = "log"
RECORDS: Final = frozenset({PREDICTION, "prediction_error", "feedback", "drift", "verdict", "canary"})
RECORD_FILTER: Final = "prediction-monitor-records"


def believed(payload: Payload, record_groups: Container[str]) -> bool:
    """Whether the payload's records are believed: by its log group, or by the name of the subscription filter."""
    return payload.log_group in record_groups or RECORD_FILTER in payload.filters


def kind_of(fields: dict[str, Any]) -> str:
    """The `@kind` of a believed line: what its `message` names, `prediction` for one with a label, `log` for any other."""
    message = fields.get("message")
    if isinstance(message, str) and message in RECORDS:
        return message
    prediction = fields.get("prediction")
    label = prediction.get("label") if isinstance(prediction, dict) else None
    return PREDICTION if label and isinstance(label, str) else LOG

"""The two forms in which the shipper is measured: without and with its Lambda handler."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from opensearchpy import RequestsHttpConnection

from bench.lambda_context import Context
from bench.lines import GROUP
from shipper.back_off import RetryBudget
from shipper.decode import decode
from shipper.document import Rules
from shipper.field_map import field_map
from shipper.outcome import Outcome
from shipper.ship import ship

LIMIT: Final = 2**30
RULES: Final = Rules(stack="prediction-monitor", record_groups=frozenset({GROUP}))
# Rules for lines of a user's own function: their fields have other names, and the descriptors of
# the text (its length, its script, ...) are missing.
MAPPED: Final = RULES._replace(
    names=field_map("prediction.label=label,prediction.score=confidence,text=input"), key=b"key"
)


def ours(
    event: Any, connection: RequestsHttpConnection, seconds: float = 60.0, rules: Rules = RULES
) -> Outcome:
    """Ship a Lambda event, without the report that the handler writes at the end."""
    return ship(decode(event, LIMIT), rules, connection, RetryBudget(time.monotonic() + seconds))


def load_handler(url: str) -> Callable[[Any], int]:
    """Load the Lambda handler.

    The returned function handles an event and returns the number of indexed documents. Its log is
    discarded.
    """
    # `handle` writes to this file, so the file must stay open.
    null = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    os.environ |= {"OPENSEARCH_URL": url, "STACK": RULES.stack, "RECORD_LOG_GROUPS": GROUP}
    with redirect_stdout(null):
        module = importlib.import_module("shipper.handler")

    def handle(event: Any) -> int:
        with redirect_stdout(null):
            counts: dict[str, int] = module.handler(
                event, Context("prediction-monitor-ShipperFunction", str(uuid4()))
            )
        return counts["indexed"]

    return handle

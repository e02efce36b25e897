"""The shipper as it is measured: its way by itself, and the function's handler with all that is around it."""

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

from bench.context import Context
from bench.lines import GROUP
from shipper.decode import decode
from shipper.deliver import Outcome, RetryBudget
from shipper.document import Rules
from shipper.field_map import field_map
from shipper.ship import ship

LIMIT: Final = 2**30
RULES: Final = Rules(stack="prediction-monitor", record_groups=frozenset({GROUP}))
# A function of one's own: its lines have other names and no descriptors.
MAPPED: Final = RULES._replace(names=field_map("prediction.label=label,prediction.score=confidence,text=input"), key=b"key")


def ours(event: Any, connection: RequestsHttpConnection, seconds: float = 60.0, rules: Rules = RULES) -> Outcome:
    """The whole way of a Lambda event, without the report."""
    return ship(decode(event, LIMIT), rules, connection, RetryBudget(time.monotonic() + seconds))


def load_handler(url: str) -> Callable[[Any], int]:
    """The function's own handler, Powertools' lines included, which go to the null device: an event in, how many were indexed out."""
    null = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  Powertools keeps it
    os.environ |= {"OPENSEARCH_URL": url, "STACK": RULES.stack, "RECORD_LOG_GROUPS": GROUP}
    with redirect_stdout(null):
        module = importlib.import_module("shipper.handler")

    def handle(event: Any) -> int:
        with redirect_stdout(null):
            counts: dict[str, int] = module.handler(event, Context("prediction-monitor-ShipperFunction", str(uuid4())))
        return counts["indexed"]

    return handle

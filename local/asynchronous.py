"""Emulate Lambda's asynchronous invocation: retries, then the dead-letter bucket.

Differences from AWS:
- The caller waits until the function succeeds, or until its last retry fails. So the retries of one
  event delay the next event. AWS queues events, and a later event can overtake an earlier one.
- The local stack uses shorter delays.
- Events never become too old, are never throttled, and are never delivered twice by chance.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from local.runtime import FunctionFailed
from local.template import Function

AWS_DELAYS: Final = (60.0, 120.0)  # seconds before the second and the third try
VERSION: Final = "$LATEST"

Keep = Callable[[str, bytes], object]


@dataclass(frozen=True, slots=True)
class Asynchronous:
    """A function for asynchronous invocation.

    `invoke` runs the function once. `function` has the number of retries and the dead-letter
    bucket, both from the template. `dead_letter` is called with the key and the content of the
    object that Lambda puts into this bucket. A function without a dead-letter bucket loses the
    event, as on AWS. `delays` are the seconds before each retry.
    """

    function: Function
    invoke: Callable[[Any], object]
    dead_letter: Keep
    delays: tuple[float, ...] = AWS_DELAYS
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, event: Any) -> None:
        """Invoke the function until it succeeds or no try is left.

        Raises the last `FunctionFailed`. (On AWS, no caller learns of this failure.)
        """
        delays = self.delays[: self.function.retries]
        for delay in delays:
            try:
                self.invoke(event)
            except FunctionFailed:
                self.sleep(delay)
            else:
                return
        try:
            self.invoke(event)
        except FunctionFailed as problem:
            if self.function.dead_letters:
                now = datetime.now(UTC)
                self.dead_letter(
                    key(self.function.name, now),
                    record(self.function.name, event, problem, len(delays) + 1, now),
                )
            raise


def key(function: str, now: datetime) -> str:
    """Return the key of the object that Lambda puts into the dead-letter bucket."""
    return f"aws/lambda/async/{function}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid4()}"


def record(function: str, event: Any, problem: FunctionFailed, tries: int, now: datetime) -> bytes:
    """Return the object's content: the event, and how its last invocation ended."""
    content = {
        "version": "1.0",
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": str(uuid4()),
            "functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{function}:{VERSION}",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": tries,
        },
        "requestPayload": event,
        "responseContext": {
            "statusCode": 200,
            "executedVersion": VERSION,
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": problem.kind, "errorMessage": problem.said},
    }
    return json.dumps(content).encode()

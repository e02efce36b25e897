"""CloudWatch Logs' part: lines become log events, and those that match the filter pattern go to the subscriber in payloads.

Differences from CloudWatch: a payload is sent every 0.2 s, and only once; retries are Lambda's part
(local/asynchronous.py).
"""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from local.filter_pattern import parse

STREAM: Final = "local"
FILTERS: Final = ("predictions",)
OWNER: Final = "000000000000"
BATCH_SECONDS: Final = 0.2
BATCH_EVENTS: Final = 10_000


@dataclass(slots=True)
class Counts:
    """The filter's counts of a log group's lines."""

    seen: int = 0
    passed: int = 0
    shipped: int = 0

    @property
    def dropped(self) -> int:
        """Lines that the pattern does not match: START, END, REPORT, metrics."""
        return self.seen - self.passed

    @property
    def waiting(self) -> int:
        """Lines that passed and have not arrived."""
        return self.passed - self.shipped


@dataclass(slots=True)
class Subscription:
    """One subscription filter: `put` takes lines, `ship` gets events as CloudWatch sends them, `failures` are exceptions of `ship`."""

    log_group: str
    pattern: str
    ship: Callable[[dict[str, Any]], object]
    counts: Counts = field(default_factory=Counts)
    failures: list[str] = field(default_factory=list)
    filters: tuple[str, ...] = FILTERS
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _busy: bool = False
    _ended: bool = False

    def put(self, line: str) -> None:
        """A line of the log group, stamped now."""
        filtered = parse(self.pattern)
        passes = filtered.why_not(line) is None
        event = log_event(line, time.time_ns() // 1_000_000)
        with self._changed:
            self.counts.seen += 1
            if passes:
                self.counts.passed += 1
                fields = filtered.extract(line)
                self._waiting.append(
                    event if fields is None else {**event, "extractedFields": fields}
                )
                self._changed.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait until all matching lines have been handed on; False when that takes more than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def run(self) -> None:
        """Hand on matching lines, batch by batch, until `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                self._busy = True
            time.sleep(BATCH_SECONDS)
            with self._changed:
                batch, self._waiting = self._waiting[:BATCH_EVENTS], self._waiting[BATCH_EVENTS:]
            try:
                self.ship(subscription_event(batch, self.log_group, filters=self.filters))
                self.counts.shipped += len(batch)
            # whatever it is: one shipment failed, the next is tried
            except Exception as problem:  # noqa: BLE001
                self.failures.append(f"{len(batch)} lines: {problem}")
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def stop(self) -> None:
        """Let `run` end once nothing waits."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def log_event(line: str, timestamp: int) -> dict[str, Any]:
    """A log event with an id as CloudWatch gives them: 56 digits, growing with time, never the same twice."""
    return {
        "id": f"{timestamp:020d}{secrets.randbelow(10**36):036d}",
        "timestamp": timestamp,
        "message": line,
    }


def subscription_event(
    events: list[dict[str, Any]],
    log_group: str,
    message_type: str = "DATA_MESSAGE",
    *,
    filters: tuple[str, ...] = FILTERS,
) -> dict[str, Any]:
    """The event that a function subscribed to `log_group` by these filters is invoked with."""
    payload = {
        "messageType": message_type,
        "owner": OWNER,
        "logGroup": log_group,
        "logStream": STREAM,
        "subscriptionFilters": filters,
        "logEvents": events,
    }
    return {
        "awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()}
    }

"""Emulate CloudWatch Logs: lines become log events, and matching events go to the subscriber.

Differences from CloudWatch: waiting lines are sent every 0.2 s, and no payload is sent twice. As on
AWS, Lambda makes the retries (local/asynchronous.py).
"""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """Numbers of lines in a log group: all lines, matching lines, and shipped lines."""

    seen: int = 0
    passed: int = 0
    shipped: int = 0

    @property
    def dropped(self) -> int:
        """The number of lines that the pattern does not match, such as START, END and metrics."""
        return self.seen - self.passed

    @property
    def waiting(self) -> int:
        """The number of matching lines that the subscriber has not accepted."""
        return self.passed - self.shipped


@dataclass(slots=True)
class Subscription:
    """One subscription filter.

    Lines are added with `put`. `ship` is called with events in CloudWatch's form. `failures` lists
    the exceptions that `ship` raised.
    """

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
        """Add a line to the log group, with the current time."""
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
        """Wait until no line is left to ship. Return False if `timeout` seconds pass first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def run(self) -> None:
        """Ship matching lines, batch by batch, until `stop` is called."""
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
            # after any exception, the next shipment is still tried
            except Exception as problem:  # noqa: BLE001
                self.failures.append(f"{len(batch)} lines: {problem}")
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    @contextmanager
    def running(self, patience: float) -> Iterator[None]:
        """Ship lines in a thread. At the end, wait up to `patience` seconds for the last line."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join(patience)

    def stop(self) -> None:
        """Let `run` end as soon as no line waits."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def log_event(line: str, timestamp: int) -> dict[str, Any]:
    """Return a log event with an id like CloudWatch's.

    An id has 56 digits, grows with time, and never occurs twice.
    """
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
    """Return the event that CloudWatch sends to the function behind these filters."""
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

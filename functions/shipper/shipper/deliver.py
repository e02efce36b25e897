"""Documents into OpenSearch: each sent until it is in, or refused for good, or time is up."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from opensearchpy import RequestsHttpConnection

from shipper.bulk import CHUNK_BYTES, Fate, Verdict, body, chunks, send
from shipper.document import Document, Form, rescued

REQUEST_SECONDS: Final = 30.0
FIRST_PAUSE: Final = 0.2  # seconds; the longest that a first pause can be
LONGEST_PAUSE: Final = 20.0
TOO_LATE: Final = "not sent: no time was left"


class NotDelivered(Exception):
    """Some documents are not in the index. Failing the invocation with it makes Lambda keep the payload."""


@dataclass(slots=True)
class Outcome:
    """What became of the lines: how many, in how many requests and inflated bytes, and why some are not in the index.

    `excluded` are lines of a kind that is not shipped, all others became a document.
    `reasons` counts what is not in the index; `permanently_refused` is how many of those the index will never take in any form;
    `available` says whether the server took the last request at all.
    """

    indexed: int = 0
    duplicate: int = 0
    rescued: int = 0
    excluded: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    permanently_refused: int = 0
    requests: int = 0
    retries: int = 0
    sent_bytes: int = 0
    available: bool = True

    @property
    def failed(self) -> int:
        """How many documents are not in the index."""
        return self.reasons.total()

    @property
    def documents(self) -> int:
        """How many documents there were."""
        return self.indexed + self.duplicate + self.rescued + self.failed

    def add(self, other: Outcome) -> None:
        """Count a later outcome into this one."""
        for name in ("indexed", "duplicate", "rescued", "excluded", "permanently_refused", "requests", "retries", "sent_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons.update(other.reasons)
        self.available = other.available

    def summary(self) -> str:
        """Why documents are not in the index, as one line for people; empty where all are."""
        if not self.reasons:
            return ""
        reasons = ", ".join(f"{count} x {reason}" for reason, count in self.reasons.most_common())
        return f"{self.failed} of {self.documents} documents not delivered: {reasons}"

    def or_raise(self) -> dict[str, int]:
        """The counts, or `NotDelivered` with the reasons."""
        if self.reasons:
            raise NotDelivered(self.summary())
        return {"indexed": self.indexed, "duplicate": self.duplicate, "rescued": self.rescued, "excluded": self.excluded}


@dataclass(slots=True)
class RetryBudget:
    """How long to go on: until `deadline` on `clock`, in seconds, with pauses of random length between tries.

    Full jitter (a pause is anything between nothing and a bound that doubles): of the usual ways the one that
    keeps many senders from coming back together, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    deadline: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[float, float], float] = random.uniform

    def left(self) -> float:
        """Seconds until the deadline; negative afterwards."""
        return self.deadline - self.clock()

    def pause(self, tries: int) -> None:
        """Wait after the `tries`-th failure, never beyond the deadline."""
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 10), max(self.left(), 0.0))
        self.sleep(self.chance(0.0, bound))


@dataclass(slots=True)
class _Sender:
    """One delivery. What has to be sent again gathers in `busy`, with the reason, and as less in `smaller`."""

    connection: RequestsHttpConnection
    budget: RetryBudget
    outcome: Outcome = field(default_factory=Outcome)
    busy: list[tuple[Document, str]] = field(default_factory=list)
    smaller: list[Document] = field(default_factory=list)

    def attempt(self, chunked: Iterable[list[Document]]) -> None:
        """Send every chunk once. A server that takes nothing is given a pause before the next request."""
        failures = 0
        for chunk in chunked:
            if failures:
                self.budget.pause(failures)
            failures = 0 if self.send(chunk) else failures + 1

    def send(self, chunk: list[Document]) -> bool:
        """One chunk, split as often as the server wants it smaller. False when the server took nothing of it."""
        left = self.budget.left()
        if left <= 0:
            self.busy += [(document, TOO_LATE) for document in chunk]
            return True
        content = body(chunk)
        self.outcome.requests += 1
        self.outcome.sent_bytes += len(content)
        verdict = send(content, len(chunk), self.connection, min(REQUEST_SECONDS, left))
        if isinstance(verdict, Verdict):
            if verdict.fate is Fate.TOO_MUCH:
                half = len(chunk) // 2
                return self.send(chunk[:half]) & self.send(chunk[half:])
            verdict = [verdict] * len(chunk)
        self.outcome.available = any(one.fate is not Fate.BUSY for one in verdict)
        self.count(chunk, verdict)
        return self.outcome.available

    def count(self, chunk: list[Document], verdicts: list[Verdict]) -> None:
        """Book each document where its verdict sends it."""
        for document, verdict in zip(chunk, verdicts, strict=True):
            fate, reason, error = verdict
            if fate is Fate.INDEXED:
                if document.form is Form.WHOLE:
                    self.outcome.indexed += 1
                else:
                    self.outcome.rescued += 1
            elif fate is Fate.DUPLICATE:
                self.outcome.duplicate += 1
            elif fate is Fate.BUSY:
                self.busy.append((document, reason))
            elif fate is Fate.REFUSED and (less := rescued(document, error or {})):
                self.smaller.append(less)
            else:
                self.outcome.reasons[failure_reason(document, verdict)] += 1
                self.outcome.permanently_refused += fate is Fate.REFUSED


def deliver(documents: Iterable[Document], connection: RequestsHttpConnection, budget: RetryBudget) -> Outcome:
    """Index each document once: `create` with its id, so that a conflict means that an earlier delivery did it.

    Everything is sent once before anything is sent again. What the server is too busy for is sent again alone; what it
    refuses is sent with less; what is left at the deadline is counted as failed, but for documents that were not even
    taken from `documents`: whoever makes them knows how many there would have been.
    """
    sender = _Sender(connection, budget)
    sender.attempt(_in_time(chunks(documents, CHUNK_BYTES), budget))
    tries = 0
    while (sender.busy or sender.smaller) and budget.left() > 0:
        if sender.smaller:
            again, sender.smaller = sender.smaller, []
        else:
            tries += 1
            budget.pause(tries)
            if budget.left() <= 0:
                break
            again, sender.busy = [document for document, _ in sender.busy], []
            sender.outcome.retries += len(again)
        sender.attempt(chunks(again, CHUNK_BYTES))
    sender.outcome.reasons.update(reason for _, reason in sender.busy)
    sender.outcome.reasons.update(TOO_LATE for _ in sender.smaller)
    return sender.outcome


def failure_reason(document: Document, verdict: Verdict) -> str:
    """Why a document failed; where somebody is not permitted something, with what is missing, since the server names an action at most."""
    error = verdict.error or {}
    missing = {
        ("403", "security_exception"): f"the user needs the permission to write {document.index_name}",
        ("403", "without a type"): "the domain refuses the request: check its policy, the role's es:ESHttpPost, and the signature's clock",
        ("401", "without a type"): "the server does not accept who asks: check user and password, or that requests are signed",
    }.get((error.get("status", ""), error.get("type", "")))
    return f"{verdict.reason}: {missing}" if missing else verdict.reason


def _in_time(chunked: Iterator[list[Document]], budget: RetryBudget) -> Iterator[list[Document]]:
    while budget.left() > 0 and (chunk := next(chunked, None)):
        yield chunk

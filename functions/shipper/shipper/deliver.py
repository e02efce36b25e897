"""Documents into OpenSearch: each is sent until it is indexed or permanently refused, or until the deadline."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakSet

from opensearchpy import RequestsHttpConnection

from shipper.bulk import CHUNK_BYTES, INDEXED, Fate, Verdict, body, body_without_index, chunks, send
from shipper.document import Document, Form
from shipper.ladder import less, rescued
from shipper.limits import sendable

REQUEST_SECONDS: Final = 30.0
FIRST_PAUSE: Final = 0.2  # seconds; the upper bound of the first pause
LONGEST_PAUSE: Final = 20.0
AT_ONCE_SECONDS: Final = 5.0
SUSPICIOUS_TRIES: Final = 5  # failures of the server after which a document is sent alone
TOO_LATE: Final = "not sent: no time was left"
NOT_SENT: Final = Verdict(Fate.BUSY, TOO_LATE)
# Connections to servers that take no action which names its index (rest.action.multi.allow_explicit_index).
INDEX_IN_PATH: Final[WeakSet[RequestsHttpConnection]] = WeakSet()
NO_FORM: Final = "%s, even for the line without any field: mend the index or its settings"


class NotDelivered(Exception):
    """Some documents are not in the index. Failing the invocation with it makes Lambda keep the payload."""


@dataclass(slots=True)
class Outcome:
    """The counts of a delivery: lines by result, requests, bytes before compression, and the reasons of failures.

    `excluded` are lines of a kind that is not shipped; every other line became a document. `predictions` are the documents of
    live predictions, with whatever result.
    `reasons` counts the documents that are not in the index, by reason. `available` says whether the server accepted the last
    request, and `denied` whether it refused all of it for lack of permission.
    """

    indexed: int = 0
    duplicate: int = 0
    rescued: int = 0
    excluded: int = 0
    predictions: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    sent_bytes: int = 0
    available: bool = True
    denied: bool = False

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
        for name in ("indexed", "duplicate", "rescued", "excluded", "predictions", "requests", "retries", "sent_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.reasons.update(other.reasons)
        self.available, self.denied = other.available, other.denied

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
    """Retries until `deadline` on `clock`, in seconds, with exponential back-off.

    Full jitter: a pause is a random part of a bound that doubles. Of the usual methods it spreads many senders best,
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
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
class _Delivery:
    """One delivery. `busy` gathers the documents to send again, `refused` those that the server refused, each with its verdict."""

    connection: RequestsHttpConnection
    budget: RetryBudget
    outcome: Outcome = field(default_factory=Outcome)
    busy: list[tuple[Document, Verdict]] = field(default_factory=list)
    refused: list[tuple[Document, Verdict]] = field(default_factory=list)
    too_large: tuple[float, Verdict] = (math.inf, NOT_SENT)  # bytes of the smallest document that was too large alone

    @property
    def by_index(self) -> bool:
        """Whether each index gets a request of its own, whose documents do not name it."""
        return self.connection in INDEX_IN_PATH

    def attempt(self, chunked: Iterable[list[Document]]) -> None:
        """Send every chunk once. A server that takes nothing is given a pause before the next request."""
        failures = 0
        for chunk in chunked:
            if failures:
                self.budget.pause(failures)
            failures = 0 if self.send(chunk) else failures + 1

    def send(self, chunk: list[Document]) -> bool:
        """One chunk, split where the server refuses it as a whole. False when the server took nothing of it."""
        parts = _by_index(chunk) if self.by_index else [chunk]
        if len(parts) > 1:
            return min([self.send(part) for part in parts])
        start = time.monotonic()
        verdict = self.request(chunk)
        if isinstance(verdict, Verdict):
            if verdict.fate is Fate.NAMED and not self.by_index:
                INDEX_IN_PATH.add(self.connection)
                return self.send(chunk)
            if verdict.fate is Fate.TOO_MUCH:
                self.split(chunk)
                return True
            waited = time.monotonic() - start >= REQUEST_SECONDS
            if verdict.fate is Fate.UNANSWERED and len(chunk) == 1 and waited and self.answers_without_fields(chunk[0], verdict):
                return True
        self.count(chunk, verdict)
        return verdict is NOT_SENT or self.outcome.available

    def request(self, chunk: list[Document], longest: float = REQUEST_SECONDS) -> list[Verdict] | Verdict:
        """One request, within the time that is left."""
        left = self.budget.left()
        if left <= 0:
            return NOT_SENT
        index = chunk[0].index_name if self.by_index else ""
        content = body_without_index(chunk) if index else body(chunk)
        self.outcome.requests += 1
        self.outcome.sent_bytes += len(content)
        verdict = send(content, len(chunk), self.connection, min(longest, left), index)
        found = [verdict] if isinstance(verdict, Verdict) else verdict
        self.outcome.available = any(one.fate not in {Fate.BUSY, Fate.UNANSWERED} for one in found)
        self.outcome.denied = all(one.fate is Fate.FAILED and one.status in {"401", "403"} for one in found)
        return verdict

    def alone(self, document: Document, longest: float = REQUEST_SECONDS) -> Verdict:
        """A request of one document."""
        verdict = self.request([document], longest)
        return verdict if isinstance(verdict, Verdict) else verdict[0]

    def count(self, chunk: list[Document], verdicts: list[Verdict] | Verdict) -> None:
        """Book each document where its verdict sends it."""
        if verdicts is INDEXED and not any(document.form for document in chunk):  # nearly always
            self.outcome.indexed += len(chunk)
            return
        for document, verdict in zip(chunk, _for_each(verdicts, chunk), strict=True):
            match verdict.fate:
                case Fate.INDEXED if document.form is Form.WHOLE:
                    self.outcome.indexed += 1
                case Fate.INDEXED:
                    self.outcome.rescued += 1
                case Fate.DUPLICATE:
                    self.outcome.duplicate += 1
                case Fate.BUSY:
                    self.busy.append((document, verdict))
                case Fate.REFUSED:
                    self.refused.append((document, verdict))
                    if verdict.status == "413":
                        self.too_large = min(self.too_large, (len(document.lines), verdict))
                case _:
                    self.outcome.reasons[failure_reason(document, verdict)] += 1

    def split(self, chunk: list[Document]) -> None:
        """A chunk that the server refused as a whole: it is too large, or one action in it cannot be read.

        Its first document goes down the ladder alone. If the server refuses even its bare form, and the smallest of the others,
        it accepts nothing, and no more is sent.
        """
        first, *rest = chunk
        verdict = self.alone(first)
        if verdict.fate is not Fate.REFUSED:
            self.count([first], verdict)
        elif self.descend(first, verdict)[0].fate is Fate.REFUSED and rest:
            smallest = min(rest, key=lambda document: len(document.lines))
            verdict = self.alone(smallest)
            if verdict.fate is Fate.REFUSED:
                self.give_up(rest, verdict)
                return
            rest.remove(smallest)
            self.count([smallest], verdict)
        self.halve(rest)

    def halve(self, chunk: list[Document]) -> None:
        """The rest of such a chunk: by halves, down to the documents that spoil it. Documents larger than one of those are not sent."""
        size, verdict = self.too_large
        self.refused += [(document, verdict) for document in chunk if len(document.lines) >= size]
        chunk = [document for document in chunk if len(document.lines) < size]
        middle = len(chunk) // 2
        for half in filter(None, (chunk[:middle], chunk[middle:])):
            found = self.request(half)
            if isinstance(found, Verdict) and found.fate is Fate.TOO_MUCH:
                self.halve(half)
            else:
                self.count(half, found)

    def blame(self) -> None:
        """The first refused document goes down the ladder alone. The rest follows in one request, on the rung that was accepted.

        If even its bare form is refused, the fault lies in the index or the server, and all documents with the same refusal wait.
        """
        (first, why), *rest = self.refused
        self.refused = []
        verdict, refusals = self.descend(first, why)
        if verdict.fate is Fate.REFUSED:
            self.give_up([document for document, one in rest if one.reason == why.reason], verdict)
            self.refused = [(document, one) for document, one in rest if one.reason != why.reason]
        elif verdict.fate in {Fate.INDEXED, Fate.DUPLICATE}:
            again = []
            for document, one in rest:
                own, *further = refusals if one.error == why.error else [one]
                lessened = less(document, own.error or {})
                if lessened is None:
                    self.give_up([document], one)
                    continue
                for refusal in further:  # down to its bare form at most: that was not refused yet
                    lessened = less(lessened, refusal.error or {}) or lessened
                again.append(lessened)
            self.attempt(chunks(again, CHUNK_BYTES))
        else:  # no answer to learn from
            self.count([document for document, _ in rest], verdict)

    def descend(self, document: Document, verdict: Verdict) -> tuple[Verdict, list[Verdict]]:
        """A refused document, sent with less until it is taken, and counted: the last verdict, and the refusals on the way."""
        refusals: list[Verdict] = []
        while verdict.fate is Fate.REFUSED:
            refusals.append(verdict)
            lessened = less(document, verdict.error or {})
            if lessened is None:
                self.give_up([document], verdict)
                return verdict, refusals
            document, verdict = lessened, self.alone(lessened)
        self.count([document], verdict)
        return verdict, refusals

    def give_up(self, given: list[Document], verdict: Verdict) -> None:
        """Documents that the server refuses in every form: the payload waits until somebody has mended the cause in the reason."""
        if given:
            self.outcome.reasons[NO_FORM % _detailed(verdict)] += len(given)

    def answers_without_fields(self, document: Document, verdict: Verdict) -> bool:
        """Whether a lone document that the server did not answer, or failed at, is taken at once without its fields.

        Only then is that the document's fault.
        """
        lessened = rescued(document, {"type": verdict.reason} if verdict.error is None else verdict.error)
        if document.form is not Form.WHOLE or self.budget.left() <= 0:
            return False
        found = self.alone(lessened, AT_ONCE_SECONDS)
        if found.fate not in {Fate.INDEXED, Fate.DUPLICATE}:
            return False
        self.count([lessened], found)
        return True

    def suspect(self, again: list[tuple[Document, Verdict]]) -> list[Document]:
        """The documents to send again, without one at which the server failed each time although it accepts others.

        It is tried alone, then with less.
        """
        if not self.outcome.available and len(again) > 1:
            return [document for document, _ in again]
        for number, (document, verdict) in enumerate(again):
            if verdict.status[:1] == "5" and document.form is Form.WHOLE:
                found = self.alone(document)
                if found.status[:1] != "5" or not self.answers_without_fields(document, found):
                    self.count([document], verdict if found is NOT_SENT else found)
                del again[number]
                break
        return [document for document, _ in again]


def deliver(documents: Iterable[Document], connection: RequestsHttpConnection, budget: RetryBudget) -> Outcome:
    """Index each document once: `create` with its id, so that a conflict means that an earlier delivery did it.

    Everything is sent once before anything is sent again. Documents that the server is too busy for are sent again without
    their neighbours, refused documents with fewer fields. Documents that are left at the deadline count as failed, except
    those that were not yet taken from `documents`: the caller knows their number.
    """
    delivery = _Delivery(connection, budget)
    delivery.attempt(_in_time(chunks(map(sendable, documents), CHUNK_BYTES), budget))
    tries = 0
    while (delivery.busy or delivery.refused) and budget.left() > 0:
        if delivery.refused:
            delivery.blame()
            continue
        tries += 1
        budget.pause(tries)
        if budget.left() <= 0:
            break
        again, delivery.busy = delivery.busy, []
        delivery.outcome.retries += len(again)
        left = delivery.suspect(again) if tries >= SUSPICIOUS_TRIES else [document for document, _ in again]
        delivery.attempt(chunks(left, CHUNK_BYTES))
    delivery.outcome.reasons.update(verdict.reason for _, verdict in delivery.busy)
    delivery.outcome.reasons.update(TOO_LATE for _ in delivery.refused)
    return delivery.outcome


def failure_reason(document: Document, verdict: Verdict) -> str:
    """The reason why a document failed. A missing permission is named, because the server's error names an action at most."""
    if verdict.status == "403" and (verdict.error or {}).get("type") == "security_exception":
        return f"{verdict.reason}: the user needs the permission to write {document.index_name}"
    return verdict.reason


def _detailed(verdict: Verdict) -> str:
    """A refusal with the setting or the field that it names."""
    error = verdict.error or {}
    if verdict.status == "413":
        return f"{verdict.reason}, the server's limit for a request (http.max_content_length, or a proxy's)"
    named = [f"{name} {error[name]}" for name in ("limit", "field", "name") if name in error]
    return f"{verdict.reason}{' of ' if named else ''}{', '.join(named)}"


def _for_each(verdicts: list[Verdict] | Verdict, chunk: list[Document]) -> list[Verdict]:
    return [verdicts] * len(chunk) if isinstance(verdicts, Verdict) else verdicts


def _by_index(chunk: list[Document]) -> list[list[Document]]:
    found: dict[str, list[Document]] = {}
    for document in chunk:
        found.setdefault(document.index_name, []).append(document)
    return list(found.values())


def _in_time(chunked: Iterator[list[Document]], budget: RetryBudget) -> Iterator[list[Document]]:
    while budget.left() > 0 and (chunk := next(chunked, None)):
        yield chunk

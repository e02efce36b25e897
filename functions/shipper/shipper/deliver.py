"""Delivers documents to OpenSearch.

Each document is sent until it is indexed or permanently refused, or until the deadline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakSet

from opensearchpy import RequestsHttpConnection

from shipper.back_off import RetryBudget
from shipper.bulk import CHUNK_BYTES, INDEXED, Fate, Verdict, body, body_without_index, chunks, send
from shipper.document import Document, Form
from shipper.field_limits import sendable
from shipper.outcome import Outcome
from shipper.partial_document import less, rescued

REQUEST_SECONDS: Final = 30.0
# The time limit of a request that sends one document again, without its fields.
WITHOUT_FIELDS_SECONDS: Final = 5.0
LEAST_CHUNK_BYTES: Final = 256 * 1024  # `chunk_bytes` is never halved below this number
# From this retry on, `suspect` looks for a document that may make the server fail.
SUSPICIOUS_TRIES: Final = 5
TOO_LATE: Final = "not sent: no time was left"
NOT_SENT: Final = Verdict(Fate.BUSY, TOO_LATE)
# Connections to servers that refuse bulk actions with an index name
# (rest.action.multi.allow_explicit_index: false).
INDEX_IN_PATH: Final[WeakSet[RequestsHttpConnection]] = WeakSet()
NO_FORM: Final = (
    "%s: the server refuses even the line without its fields; correct the index or its settings"
)


@dataclass(slots=True)
class _Delivery:
    """The state of one delivery.

    - `busy` holds the documents to send again, each with its verdict.
    - `refused` holds the documents that the server refused, each with its verdict.
    - `too_large` holds the size of the smallest document that was too large even in a request of
      its own, and the verdict on this document.
    - `chunk_bytes` limits the next chunk. It is halved if the server is too busy for a document or
      does not answer. Otherwise it is doubled, up to `CHUNK_BYTES`.
    """

    connection: RequestsHttpConnection
    budget: RetryBudget
    outcome: Outcome = field(default_factory=Outcome)
    busy: list[tuple[Document, Verdict]] = field(default_factory=list)
    refused: list[tuple[Document, Verdict]] = field(default_factory=list)
    too_large: tuple[float, Verdict] = (math.inf, NOT_SENT)
    chunk_bytes: int = field(default_factory=lambda: CHUNK_BYTES)

    @property
    def by_index(self) -> bool:
        """Whether each index gets its own request, with the index name only in the path."""
        return self.connection in INDEX_IN_PATH

    def attempt(self, chunked: Iterable[list[Document]]) -> None:
        """Send every chunk once.

        If the server is too busy for all documents of a chunk, or does not answer, pause before the
        next request.
        """
        failures = 0
        for chunk in chunked:
            for portion in self.portions(chunk):
                if failures:
                    self.budget.pause(failures)
                failures = 0 if self.send(portion) else failures + 1

    def portions(self, chunk: list[Document]) -> Iterator[list[Document]]:
        """Split a chunk into portions of `chunk_bytes`, which may change after each portion."""
        while chunk and self.chunk_bytes < CHUNK_BYTES:
            portion = next(chunks(chunk, self.chunk_bytes))
            yield portion
            chunk = chunk[len(portion) :]
        if chunk:
            yield chunk

    def send(self, chunk: list[Document]) -> bool:
        """Send a chunk, in parts if the server refuses it as a whole.

        Returns False if the server was too busy for all documents of a request, or did not answer.
        """
        parts = _by_index(chunk) if self.by_index else [chunk]
        if len(parts) > 1:
            accepted = [self.send(part) for part in parts]
            return all(accepted)
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
            if (
                verdict.fate is Fate.UNANSWERED
                and len(chunk) == 1
                and waited
                and self.answers_without_fields(chunk[0], verdict)
            ):
                return True
        self.count(chunk, verdict)
        return verdict is NOT_SENT or self.outcome.available

    def request(
        self, chunk: list[Document], longest: float = REQUEST_SECONDS
    ) -> list[Verdict] | Verdict:
        """Send one request, limited to `longest` seconds and to the time until the deadline."""
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
        if any(one.fate in {Fate.BUSY, Fate.UNANSWERED} for one in found):
            self.chunk_bytes = max(self.chunk_bytes // 2, min(LEAST_CHUNK_BYTES, CHUNK_BYTES))
        elif self.chunk_bytes < CHUNK_BYTES:
            self.chunk_bytes = min(self.chunk_bytes * 2, CHUNK_BYTES)
        self.outcome.denied = all(
            one.fate is Fate.FAILED and one.status in {"401", "403"} for one in found
        )
        return verdict

    def alone(self, document: Document, longest: float = REQUEST_SECONDS) -> Verdict:
        """Send one document in a request of its own."""
        verdict = self.request([document], longest)
        return verdict if isinstance(verdict, Verdict) else verdict[0]

    def count(self, chunk: list[Document], verdicts: list[Verdict] | Verdict) -> None:
        """Count each document by its verdict, or keep it in `busy` or `refused`."""
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
                    self.outcome.fail(document, failure_reason(document, verdict))

    def split(self, chunk: list[Document]) -> None:
        """Send the documents of a chunk that the server refused as a whole.

        The chunk was too large, or the server could not read one of its actions. The first document
        is sent alone, with fewer fields after each refusal. If the server refuses even its bare
        form (the line without any field), the smallest of the other documents is sent. If this
        document is refused too, the server accepts nothing, so the others are not sent.
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
        """Send a chunk in halves, again and again, until each refused document has its own request.

        If a document was too large even in a request of its own, documents that are as large or
        larger are not sent.
        """
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
        """Send the refused documents with fewer fields.

        The first document is sent alone, with fewer fields after each refusal. The others are then
        sent in the form that was accepted. If the server refuses even the first document's bare
        form, the cause is the index or the server. Then all documents with the same reason of
        refusal count as failed.
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
                # A document can reach its bare form before the last refusal is applied. `less`
                # then returns None, and the bare form stays.
                for refusal in further:
                    lessened = less(lessened, refusal.error or {}) or lessened
                again.append(lessened)
            self.attempt(chunks(again, CHUNK_BYTES))
        else:  # the answer says nothing about the other documents
            self.count([document for document, _ in rest], verdict)

    def descend(self, document: Document, verdict: Verdict) -> tuple[Verdict, list[Verdict]]:
        """Send a refused document with fewer and fewer fields, and count it.

        Returns the last verdict, and the refusals before it.
        """
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
        """Count these documents as failed: the server refuses them in every form.

        Lambda keeps the payload until somebody removes the cause.
        """
        for document in given:
            self.outcome.fail(document, NO_FORM % _detailed(verdict))

    def answers_without_fields(self, document: Document, verdict: Verdict) -> bool:
        """Send a document without its fields, after a request with only this document has failed.

        Returns True if the server accepts the document now: then the fields were the cause.
        """
        if document.form is not Form.WHOLE or self.budget.left() <= 0:
            return False
        lessened = rescued(
            document, {"type": verdict.reason} if verdict.error is None else verdict.error
        )
        found = self.alone(lessened, WITHOUT_FIELDS_SECONDS)
        if found.fate not in {Fate.INDEXED, Fate.DUPLICATE}:
            return False
        self.count([lessened], found)
        return True

    def suspect(self, again: list[tuple[Document, Verdict]]) -> list[Document]:
        """Find a document that may make the server fail, and return the other documents.

        If the server accepts other documents, the cause may be the first document with a status of
        500 or more. This document is sent alone. If the server fails again, the document is sent
        without its fields.
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


def deliver(
    documents: Iterable[Document], connection: RequestsHttpConnection, budget: RetryBudget
) -> Outcome:
    """Index each document once.

    The action is `create` with the document's id, so a conflict means that the document was indexed
    before.

    All documents are sent once before any document is sent again. If the server was too busy for a
    document, the document is sent again unchanged. A refused document is sent again with fewer
    fields. Documents that are not indexed at the deadline count as failed. Documents that were not
    yet taken from `documents` are not counted here: the caller knows their number.
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
        left = (
            delivery.suspect(again)
            if tries >= SUSPICIOUS_TRIES
            else [document for document, _ in again]
        )
        delivery.attempt(chunks(left, CHUNK_BYTES))
        # If there was no time to send a document, it keeps the server's answer to its previous try.
        answers = {id(document): verdict for document, verdict in again}
        delivery.busy = [
            (document, answers.get(id(document), verdict) if verdict is NOT_SENT else verdict)
            for document, verdict in delivery.busy
        ]
    for document, verdict in delivery.busy:
        delivery.outcome.fail(document, verdict.reason)
    for document, _ in delivery.refused:
        delivery.outcome.fail(document, TOO_LATE)
    return delivery.outcome


def failure_reason(document: Document, verdict: Verdict) -> str:
    """Return the reason why a document failed.

    If a permission is missing, the reason names the index, because the server's own error does not
    name it.
    """
    if verdict.status == "403" and (verdict.error or {}).get("type") == "security_exception":
        return f"{verdict.reason}: the user needs the permission to write {document.index_name}"
    return verdict.reason


def _detailed(verdict: Verdict) -> str:
    """Return the reason of a refusal, with the setting or the field that the server named."""
    error = verdict.error or {}
    if verdict.status == "413":
        return (
            f"{verdict.reason}, the server's limit for a request "
            "(http.max_content_length, or the limit of a proxy)"
        )
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

"""Joins the feedback in a stack's log lines to predictions, in each scheduled run of the monitor.

Feedback is read in slots of 15 minutes. A ledger in the monitor's own index has, for each slot, the
number of lines that were read, and the number of lines with an unknown id. A slot is read again in
two cases:

- Its number of lines has changed since it was read, because lines may be delivered late.
- Some of its lines have an unknown id, because their predictions may be delivered late. Such a slot
  is read in every run for an hour, then once an hour, until it is seven days old.

If a slot is read again, labels that have joined do not change.

A run stops reading after 50,000 lines or one minute, so that it has time to judge. It first reads
the slots with unread lines, beginning with the fewest unread lines. So a slot with very many lines
does not delay the feedback of other slots. Then the run reads the slots with unknown ids, beginning
with the slot that was read longest ago.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final, Self

from monitor.accuracy.join_labels import Given, Reason, join, judgement_of
from monitor.accuracy.joined_record import milliseconds
from monitor.scheduled_run import asking
from monitor.summaries.read_summaries import Connection, aggregations, searched
from monitor.summaries.searches import aggregated
from monitor.summaries.store import Conflict, Store
from monitor.summaries.summary import SLOT
from monitor.summaries.windows import DAY, HOUR

LATE: Final = 7 * DAY  # until a slot is this old, its lines and predictions may still arrive
MOST: Final = 50_000  # the largest number of lines that one run reads
SECONDS: Final = 60  # after this time, a run reads no further page of lines
PAGE: Final = 1000  # lines in one answer of OpenSearch
TOLD: Final = 20  # the largest number of examples (ids that did not join) of one run
LONGEST: Final = 64  # characters; a longer id is cut in an example


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of a slot in the ledger.

    - `lines` is the number of lines that were read.
    - `waiting` is the number of these lines that have an unknown id.
    - `refused` is the number of these lines that cannot join for another reason.
    - `told` is the number of refused lines that a run has already reported.
    - `after` is the position of the last line that was read, or None if all lines were read.
    - `read_at` is the time of the last reading, in seconds since 1970.
    """

    lines: int = 0
    waiting: int = 0
    refused: int = 0
    told: int = 0
    after: list[Any] | None = None
    read_at: int = 0

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Return an entry from its content in the ledger."""
        return cls(**content)


@dataclass(slots=True)
class Gathered:
    """The result of one run.

    - `joined` is the number of labels that have joined in this run.
    - `not_joined` is the number of labels that cannot join.
    - `waiting` is the number of labels with an id that is still unknown.
    - `reasons` counts the labels that did not join in this run, by reason. It includes the labels
      that wait.
    - `behind` is the number of lines that are not read yet.
    - `examples` has some ids that did not join, each with its reason.
    - `problem` is the reason why nothing could be read, or empty.
    """

    joined: int = 0
    not_joined: int = 0
    waiting: int = 0
    behind: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""


def gather(connection: Connection, store: Store, stack: str, index: str, now: float) -> Gathered:
    """Read the feedback that is due at `now`, write its joined records, and write the ledger.

    Raises `ServerProblem`.
    """
    start = int(now - LATE) // SLOT * SLOT
    known = store.ledger()
    written = known.source["slots"] if known else {}
    before = {int(at): Entry.read(one) for at, one in written.items()}
    counts = asking(partial(_counts, connection, stack, index, start))
    result = Gathered()
    for at in [at for at in before if at < start]:
        late = before.pop(at).waiting
        result.not_joined += late
        result.reasons[Reason.UNKNOWN] += late
    after = dict(before)
    budget = _Budget(MOST, time.monotonic() + SECONDS)
    due = [at for at, lines in counts.items() if _is_due(before.get(at), lines, at, now)]
    ordered = sorted(due, key=lambda at: _turn(before.get(at), counts[at], at))
    for at in ordered:
        if budget.is_spent and at != ordered[0]:
            break
        entry = _read(connection, store, stack, index, at, before.get(at), budget, result)
        result.not_joined += max(0, entry.refused - entry.told)
        after[at] = replace(entry, told=max(entry.told, entry.refused), read_at=int(now))
    result.waiting = sum(entry.waiting for entry in after.values())
    result.behind = sum(
        max(0, lines - after.get(at, Entry()).lines) for at, lines in counts.items()
    )
    content = {"slots": {str(at): asdict(entry) for at, entry in sorted(after.items())}}
    if content["slots"] != written:
        with suppress(Conflict):  # another run read the same lines, and wrote the ledger first
            store.put_ledger(content, known.version if known else None)
    return result


def _turn(entry: Entry | None, lines: int, at: int) -> tuple[bool, int, int]:
    """Return the sort key of a slot.

    Slots with unread lines come first, beginning with the fewest unread lines. Then come slots with
    unknown ids, beginning with the slot that was read longest ago.
    """
    if entry and lines == entry.lines:
        return True, entry.read_at, at
    return False, lines - entry.lines if entry and entry.after else lines, at


def _is_due(entry: Entry | None, lines: int, at: int, now: float) -> bool:
    if entry is None or lines != entry.lines:  # not read yet, or lines arrived late or were deleted
        return True
    this_hour = now - now % HOUR
    return bool(entry.waiting) and (now - at < HOUR or entry.read_at < this_hour)


@dataclass(slots=True)
class _Budget:
    """The lines and the time that are left in a run. `until` is a time of `time.monotonic()`."""

    lines: int
    until: float

    @property
    def is_spent(self) -> bool:
        return self.lines <= 0 or time.monotonic() >= self.until


def _read(  # noqa: PLR0917  one step of `gather`
    connection: Connection,
    store: Store,
    stack: str,
    index: str,
    at: int,
    entry: Entry | None,
    budget: _Budget,
    result: Gathered,
) -> Entry:
    """Read a slot from its beginning, or after the position in its entry. Return its new entry."""
    now = entry if entry and entry.after else Entry(told=entry.told if entry else 0)
    while True:
        body = _lines(stack, at, now.after)
        hits = asking(partial(searched, connection, index, body)).get("hits", {}).get("hits", [])
        given = [_given(hit["_source"]) for hit in hits]
        outcomes = asking(partial(join, connection, store, stack, index, given))
        reasons = outcomes.reasons
        waiting = sum(reason is Reason.UNKNOWN for reason in reasons.values())
        refused = sum(
            reason not in {Reason.UNKNOWN, Reason.SUPERSEDED} for reason in reasons.values()
        )
        budget.lines -= len(hits)
        now = replace(
            now,
            lines=now.lines + len(hits),
            waiting=now.waiting + waiting,
            refused=now.refused + refused,
            after=hits[-1]["sort"] if len(hits) == PAGE else None,
        )
        result.joined += outcomes.new
        result.reasons.update(
            str(reason) for reason in reasons.values() if reason is not Reason.SUPERSEDED
        )
        for place, reason in reasons.items():
            if len(result.examples) < TOLD and reason is not Reason.SUPERSEDED:
                name = str(hits[place]["_source"].get("prediction_id", ""))[:LONGEST]
                result.examples.append((name, reason))
        if now.after is None or budget.is_spent:
            return now


def _given(source: Mapping[str, Any]) -> Given | None:
    """Return the label in a document of feedback, or None if the document is malformed."""
    said, model = source.get("feedback"), source.get("model")
    fields = {"prediction_id": source.get("prediction_id")}
    fields |= said if isinstance(said, dict) else {}
    judgement = judgement_of(fields, milliseconds(source["@timestamp"]))
    if judgement is None:
        return None
    name = model.get("name") if isinstance(model, dict) else None
    return Given(judgement, model=name if isinstance(name, str) else "")


def _counts(connection: Connection, stack: str, index: str, start: int) -> dict[int, int]:
    """Return the number of feedback lines of each slot. The key is the start of the slot."""
    histogram = {"field": "@timestamp", "fixed_interval": f"{SLOT}s", "min_doc_count": 1}
    body = aggregated(
        _query(stack, {"gte": start * 1000}), {"slots": {"date_histogram": histogram}}
    )
    buckets = aggregations(connection, index, body).get("slots", {}).get("buckets", [])
    return {int(bucket["key"]) // 1000: int(bucket["doc_count"]) for bucket in buckets}


def _lines(stack: str, at: int, after: list[Any] | None) -> dict[str, Any]:
    """Return the search for a page of a slot's lines, in the order of time."""
    body: dict[str, Any] = {
        "size": PAGE,
        "track_total_hits": False,
        "query": _query(stack, {"gte": at * 1000, "lt": (at + SLOT) * 1000}),
        "sort": [
            {"@timestamp": {"unmapped_type": "date"}},
            {"@position": {"missing": 0, "unmapped_type": "integer"}},
            {"@id": {"unmapped_type": "keyword"}},
        ],
        "_source": ["@timestamp", "prediction_id", "feedback", "model.name"],
    }
    return body | ({"search_after": after} if after else {})


def _query(stack: str, span: Mapping[str, int]) -> dict[str, Any]:
    return {
        "bool": {
            "filter": [
                {"term": {"@kind": "feedback"}},
                {"term": {"@stack": stack}},
                {"range": {"@timestamp": {**span, "format": "epoch_millis"}}},
            ]
        }
    }

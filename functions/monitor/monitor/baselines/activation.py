"""Stores baselines, and puts stored baselines into use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from monitor.baselines.baseline import to_document
from monitor.judgement.judge_stream import Accepted
from monitor.summaries.store import Kind, Store
from monitor.summaries.summary import Stream


@dataclass(frozen=True, slots=True)
class Decider:
    """The name of the person who decides (or "the schedule"), and the reason.

    Both are stored with the decision.
    """

    by: str
    reason: str = ""


SCHEDULE: Final = Decider("the schedule")


def adopt(
    store: Store,
    stream: Stream,
    new: Accepted,
    action: str,
    now: float,
    *,
    decider: Decider = SCHEDULE,
) -> None:
    """Store a new baseline, and put it into use. Raises `Conflict` and `ServerProblem`."""
    content = to_document(new.baseline) | {"plan": new.plan(), "accepted": now}
    store.create(Kind.BASELINE, stream, new.number, content)
    decide(store, stream, new.number, action, now, decider=decider)


def decide(
    store: Store, stream: Stream, number: int, action: str, now: float, *, decider: Decider
) -> None:
    """Put a stored baseline into use. Raises `Conflict` and `ServerProblem`."""
    content = {"baseline": number, "action": action, "decided": now}
    content |= {"by": decider.by, "reason": decider.reason}
    store.create(Kind.DECISION, stream, next_number(store, Kind.DECISION, stream), content)


def next_number(store: Store, kind: Kind, stream: Stream) -> int:
    """Return the number for the stream's next document of this kind. Raises `ServerProblem`."""
    numbers = [int(one.source["number"]) for one in store.documents(kind, stream)]
    return max(numbers, default=0) + 1

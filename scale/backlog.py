"""Predicts the backlog of an outage, and the time until it is gone."""

from __future__ import annotations

from typing import NamedTuple


class Backlog(NamedTuple):
    """The most events that wait, and the seconds until none of them does.

    The seconds count from the moment at which the server is back.
    """

    events: float
    seconds: float


def backlog(rate: float, outage: float, capacity: float, pause: float = 0.0) -> Backlog:
    """Return the backlog of an outage.

    `rate` and `capacity` are events a second: those that come, and the most that can be indexed.
    `outage` is the number of seconds without a server. `pause` is the number of seconds until the
    shipper notices that the server is back. The backlog grows until then, and afterwards shrinks by
    `capacity - rate` events a second.

    Raises `ValueError` if the capacity is not above the rate: the backlog would never be gone.
    """
    if capacity <= rate:
        raise ValueError(
            f"{rate:,.0f} events a second come, and only {capacity:,.0f} can be indexed"
        )
    events = rate * (outage + pause)
    return Backlog(events, pause + events / (capacity - rate))

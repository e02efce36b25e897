"""Predicts the backlog of an outage, and the time until it is gone."""

from __future__ import annotations

from typing import NamedTuple


class Backlog(NamedTuple):
    """The largest number of waiting events, and the seconds until no event waits.

    The seconds count from the moment at which the server is back.
    """

    events: float
    seconds: float


def backlog(rate: float, outage: float, capacity: float, pause: float = 0.0) -> Backlog:
    """Return the backlog of an outage.

    `rate` is the number of new events a second, and `capacity` is the largest number of events a
    second that can be indexed. `outage` is the number of seconds without a server. `pause` is the
    number of seconds until the shipper notices that the server is back. The backlog grows until the
    shipper notices. Afterwards it shrinks by `capacity - rate` events a second.

    Raises `ValueError` if the capacity is not above the rate, because the backlog would never be
    gone.
    """
    if capacity <= rate:
        raise ValueError(
            f"{rate:,.0f} events a second come, and only {capacity:,.0f} can be indexed"
        )
    events = rate * (outage + pause)
    return Backlog(events, pause + events / (capacity - rate))

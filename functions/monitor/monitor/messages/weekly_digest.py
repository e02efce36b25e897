"""The weekly digest of a stream that cannot give notices.

Such a stream has no baseline, or only a provisional baseline, which is too small for notices. The
digest compares the numbers of a week with the numbers of the week before. It is sent on Monday
morning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.judgement.judge_stream import Accepted, Finding, Reference
from monitor.judgement.verdict import Verdict
from monitor.messages.moved_parts import median_words
from monitor.messages.transitions import NO_SIGNAL, Change, Episode, Transition
from monitor.summaries.summary import Stream, Summary, total
from monitor.summaries.windows import DAY, HOUR, stack

WEEK: Final = 7 * DAY
MONDAY: Final = 4 * DAY  # 5 January 1970 was a Monday
MORNING: Final = 7 * HOUR  # in seconds after midnight (UTC)
MOST: Final = 3  # a digest names at most this many labels, and at most this many scripts
SCORE: Final = "prediction.score"


def due(
    episode: Episode, accepted: Accepted | None, now: int
) -> tuple[Episode, tuple[int, int] | None]:
    """Return the updated episode, and the week (start, end) of the digest that is due.

    An episode is the record of the messages that were sent about the stream so far. If no digest is
    due, the week is None. The times are in seconds since 1970. The first digest of a new stream is
    due on the next Monday.
    """
    monday = (now - MORNING - MONDAY) // WEEK * WEEK + MONDAY
    if episode.digest == monday:
        return episode, None
    wanted = bool(episode.digest) and not (accepted and accepted.armed)
    return replace(episode, digest=monday), (monday - WEEK, monday) if wanted else None


def finding(stream: Stream, slots: Sequence[Summary], week: tuple[int, int]) -> Finding:
    """Return a provisional finding about the week. `slots` are the summaries of the week."""
    start, end = week
    whole = total(slots) if slots else Summary(stream, "", start)
    said = "The numbers of a week in which this stream could not give notices."
    window = replace(whole, start=start, seconds=end - start)
    return Finding(Reference.BASELINE, window, Verdict.PROVISIONAL, said)


def transition(week: tuple[int, int]) -> Transition:
    """Return the transition of a week's digest."""
    return Transition(Change.DIGEST, NO_SIGNAL, week[0], week[1])


def numbers(now: Sequence[Summary], before: Sequence[Summary], why: str) -> tuple[str, ...]:
    """Return the lines of a digest: the sentence `why`, then the numbers of two weeks.

    `why` says why the stream cannot give notices. `now` has the summaries of the week, and `before`
    has the summaries of the week before.
    """
    this, last = (total(slots) if slots else None for slots in (now, before))
    if this is None:
        return (why, "There was no prediction in this week.")
    said = [why, f"Predictions: {this.rows:,} (the week before: {last.rows if last else 0:,})."]
    for name, counts, old in (
        ("Labels", this.labels, last.labels if last else {}),
        ("Scripts", this.scripts, last.scripts if last else {}),
    ):
        if counts:
            said.append(f"{name}: {_shares(counts, old)}.")
    values = [
        f"{name} {value:.3g}{_before(old)}"
        for name, value, old in (
            ("median number of words in a text", _words(this), _words(last)),
            ("mean score", this.mean(SCORE), last.mean(SCORE) if last else None),
        )
        if value is not None
    ]
    if values:
        said.append(f"{'; '.join(values).capitalize()}.")
    return tuple(said)


def reason(accepted: Accepted | None) -> str:
    """Return a sentence that says why the stream cannot give notices."""
    if accepted is None:
        return "No baseline is accepted for this stream (docs/monitoring.md, Accept a baseline)."
    return accepted.sentence


def _shares(counts: Mapping[str, int], before: Mapping[str, int]) -> str:
    rows, earlier = sum(counts.values()), sum(before.values())
    names = sorted(counts, key=lambda name: -counts[name])[:MOST]
    return "; ".join(
        f"{name} {100 * counts[name] / rows:.0f} %"
        + (f", before {100 * before.get(name, 0) / earlier:.0f} %" if earlier else "")
        for name in names
    )


def _words(week: Summary | None) -> float | None:
    value = float(median_words(stack([week]))[0]) if week else np.nan
    return value if np.isfinite(value) else None


def _before(value: float | None) -> str:
    return "" if value is None else f", before {value:.3g}"

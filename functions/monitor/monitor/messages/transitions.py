"""Decides which findings of a stream are transitions. People get a message for each transition.

A finding is the result of judging one window. A transition is, for example, the beginning of a
notice: several windows in a row have become unusual.

The decision depends on the stream's episode: the messages that people got so far, and the last
results. The episode is stored with the stream's state, so a repeated run makes the same transitions
with the same ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from monitor.judgement.judge_stream import Finding, Reference
from monitor.judgement.verdict import Verdict
from monitor.summaries.summary import Stream
from monitor.summaries.windows import DAY

NO_SIGNAL: Final = "all"  # the signal of a transition that is not about a single signal


class Change(StrEnum):
    """The kinds of transitions."""

    BEGINS = "begins"  # a notice begins
    SPREADS = "spreads"  # during a notice, another signal becomes unusual too
    RECOVERS = "recovers"  # a notice ends, because enough windows in a row are usual
    REPLACED = "replaced"  # a notice ends, because another baseline is in use
    STALE = "stale"  # a day without a full window
    RESUMES = "resumes"  # there are full windows again
    WEEKDAY = "weekday"  # unusual on a weekday that the baseline lacks; one message per baseline
    DIFFERS = "differs"  # a version gives other answers than the version that it is compared with
    AGREES = "agrees"  # the two versions no longer differ
    INACCURATE = "inaccurate"  # accuracy computed from labels is below the interval on the card
    ACCURATE = "accurate"  # accuracy computed from labels is high enough again
    DIGEST = "digest"  # a summary once a week, if no armed baseline is in use


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition.

    `signal` is the signal that moved most, and `others` are the other signals that moved. `since`
    is the start of the first unusual window. `at` is the end of the window that made the
    transition. Both are in seconds since 1970.
    """

    change: Change
    signal: str
    since: int
    at: int
    others: tuple[str, ...] = ()
    late: bool = False  # the change began while messages were silenced
    version: str = ""  # in a comparison of two versions: the newer version

    def key(self, stream: Stream) -> str:
        """Return the id of the transition's message: 32 hexadecimal digits."""
        parts = [stream.stack, stream.log_group, stream.model, self.signal, self.change, self.at]
        parts += [self.version] if self.version else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Compared:
    """The last comparisons of a version with another version.

    `unusual` is the number of unusual comparisons after the last usual comparison. `usual` is the
    number of usual comparisons after the last unusual comparison. `since` is the beginning of the
    first unusual comparison. `until` is the end of the last comparison. Both are in seconds since
    1970. `told` is the signal in the message about the difference, and is empty without such a
    message.
    """

    unusual: int = 0
    usual: int = 0
    since: int = 0
    until: int = 0
    told: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """The messages that people got about a stream so far, and the last results.

    The open notice:
    - `told` has its signals, and is empty if no notice is open.
    - `since` is the beginning of the notice, and `baseline` is the number of its baseline.
    - `held` says that the message about the notice was silenced, so people do not know about it.

    The last windows:
    - `begun` is the start of the first unusual window after the last usual window.
    - `run` has each signal that was unusual at `begun` or later. For each signal, `run` counts the
      unusual windows in a row. The count is 0 if the signal was usual in the last window.
    - `quiet` counts the usual windows after the last unusual window.

    The last windows on weekdays that the baseline lacks:
    - `odd` counts the unusual windows in a row, and `odd_since` is the start of the first one.
    - People get one message for each baseline that lacks a weekday. `weekday` is the number of the
      baseline in the last such message.

    Other messages and results:
    - `stale` says that people got a message about a day without a full window, and no full window
      has come since.
    - `digest` is the week of the last weekly digest, counted from 1970.
    - `versions` has the results of the comparisons of each version that was compared in the last
      day.

    Times are in seconds since 1970.
    """

    told: tuple[str, ...] = ()
    since: int = 0
    baseline: int = 0
    held: bool = False
    run: Mapping[str, int] = field(default_factory=dict)
    begun: int = 0
    quiet: int = 0
    odd: int = 0
    odd_since: int = 0
    weekday: int = 0
    stale: bool = False
    digest: int = 0
    versions: Mapping[str, Compared] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read the episode from the document of the stream's state, which may lack it."""
        found = document.get("episode", {})
        numbers = (
            "since", "baseline", "begun", "quiet", "odd", "odd_since", "weekday", "digest",
        )  # fmt: skip
        return cls(
            told=tuple(str(one) for one in found.get("told", ())),
            run={str(name): int(count) for name, count in found.get("run", {}).items()},
            held=bool(found.get("held", False)),
            stale=bool(found.get("stale", False)),
            versions={one["version"]: _compared(one) for one in found.get("versions", ())},
            **{name: int(found.get(name, 0)) for name in numbers},
        )

    def document(self) -> dict[str, Any]:
        """Return the document that `read` reads."""
        return {
            "told": list(self.told),
            "since": self.since,
            "baseline": self.baseline,
            "held": self.held,
            "run": dict(self.run),
            "begun": self.begun,
            "quiet": self.quiet,
            "odd": self.odd,
            "odd_since": self.odd_since,
            "weekday": self.weekday,
            "stale": self.stale,
            "digest": self.digest,
            "versions": [
                {"version": version} | asdict(one) for version, one in self.versions.items()
            ],
        }


def advance(
    episode: Episode, finding: Finding, *, in_a_row: int, silenced: bool, odd: bool = False
) -> tuple[Episode, Transition | None]:
    """Return the episode after a finding, and the transition that the finding makes, or None.

    A notice begins, or gets another signal, only after `in_a_row` consecutive unusual windows.
    It ends after `in_a_row` consecutive usual windows, or if another baseline is in use. `odd` says
    that the baseline cannot judge the window, for example because the baseline lacks the weekday.

    A notice can begin while messages are `silenced`. After the silence, the same transition is made
    again, so that people get a message. Two kinds of findings change nothing: comparisons with a
    profile, and windows with too few predictions.
    """
    if finding.reference is Reference.VERSION:
        if odd:
            return episode, None
        return _beside(episode, finding, in_a_row=in_a_row, silenced=silenced)
    if finding.reference is not Reference.BASELINE or finding.verdict is Verdict.INSUFFICIENT:
        return episode, None
    end = finding.window.end
    if finding.verdict is Verdict.STALE:
        if episode.stale or silenced:
            return episode, None
        since = finding.window.start
        return replace(episode, stale=True), Transition(Change.STALE, NO_SIGNAL, since, end)
    resumed = episode.stale
    episode = _counted(replace(episode, stale=False), finding, odd=odd)
    episode, transition = _judged(episode, finding, in_a_row=in_a_row, silenced=silenced, odd=odd)
    if transition is None and resumed:
        transition = Transition(Change.RESUMES, NO_SIGNAL, finding.window.start, end)
    return episode, transition


def _judged(
    episode: Episode, finding: Finding, *, in_a_row: int, silenced: bool, odd: bool
) -> tuple[Episode, Transition | None]:
    end, moved = finding.window.end, unusual(finding)
    if episode.told and finding.number != episode.baseline:
        told = None if episode.held else _of(episode, Change.REPLACED, end)
        return _closed(episode), told
    if odd:
        new = episode.weekday != finding.number
        if moved and episode.odd >= in_a_row and new and not silenced:
            told = Transition(Change.WEEKDAY, moved[0], episode.odd_since, end, moved[1:])
            return replace(episode, weekday=finding.number), told
        return episode, None
    if finding.verdict is Verdict.NOTICE and moved:
        return _noticed(episode, finding, moved, in_a_row=in_a_row, silenced=silenced)
    if episode.told and episode.quiet >= in_a_row:
        told = None if episode.held else _of(episode, Change.RECOVERS, end)
        return _closed(episode), told
    return episode, None


def _noticed(
    episode: Episode, finding: Finding, moved: tuple[str, ...], *, in_a_row: int, silenced: bool
) -> tuple[Episode, Transition | None]:
    end = finding.window.end
    if not episode.told:
        # the unusual signals of this window, then those of the earlier windows of the notice
        signals = tuple(dict.fromkeys([*moved, *episode.run]))
        since = episode.begun or finding.window.start
        after = replace(episode, told=signals, since=since, baseline=finding.number, held=silenced)
        return after, Transition(Change.BEGINS, signals[0], since, end, signals[1:])
    if episode.held:
        if silenced:
            return episode, None
        signals = tuple(dict.fromkeys([*moved, *episode.told]))
        after = replace(episode, told=signals, held=False)
        begun = Transition(Change.BEGINS, signals[0], episode.since, end, signals[1:], late=True)
        return after, begun
    new = tuple(
        name for name in moved if name not in episode.told and episode.run[name] >= in_a_row
    )
    if not new:
        return episode, None
    # During a silence, `told` does not get the signal, so a later window reports the signal.
    after = episode if silenced else replace(episode, told=(*episode.told, *new))
    told = None if silenced else Transition(Change.SPREADS, new[0], episode.since, end, new[1:])
    return after, told


def _beside(
    episode: Episode, finding: Finding, *, in_a_row: int, silenced: bool
) -> tuple[Episode, Transition | None]:
    """Count a comparison of two versions, unless it overlaps with the comparison before it."""
    window = finding.window
    version = f"{window.version} {window.profile}".strip()
    kept = {name: one for name, one in episode.versions.items() if window.start - one.until < DAY}
    known = kept.get(version, Compared())
    if window.start < known.until:
        return episode, None
    moved = unusual(finding)
    if moved:
        since = known.since if known.unusual or known.told else window.start
        known = replace(known, unusual=known.unusual + 1, usual=0, since=since)
    else:
        known = replace(known, unusual=0, usual=known.usual + 1)
    known, told = replace(known, until=window.end), None
    # During a silence, `told` stays empty, so a later comparison reports the difference.
    if not known.told and known.unusual >= in_a_row and not silenced:
        late = known.unusual > in_a_row
        told = Transition(
            Change.DIFFERS, moved[0], known.since, window.end, moved[1:], late, version
        )
        known = replace(known, told=moved[0])
    elif known.told and known.usual >= in_a_row and not silenced:
        told = Transition(Change.AGREES, known.told, known.since, window.end, version=version)
        known = replace(known, told="")
    return replace(episode, versions=kept | {version: known}), told


def unusual(finding: Finding) -> tuple[str, ...]:
    """Return the unusual signals of a finding. The signal with the smallest p comes first."""
    found = [drift for drift in finding.drifts if drift.unusual and drift.p is not None]
    return tuple(drift.signal for drift in sorted(found, key=lambda drift: drift.p or 0.0))


def _counted(episode: Episode, finding: Finding, *, odd: bool) -> Episode:
    """Return the episode with one more window. Windows that are `odd` are counted separately."""
    moved = unusual(finding)
    if odd:
        begun = (episode.odd and episode.odd_since) or finding.window.start
        return replace(episode, odd=episode.odd + 1 if moved else 0, odd_since=begun)
    if not moved:
        return replace(episode, run={}, begun=0, odd=0, quiet=episode.quiet + 1)
    seen = dict.fromkeys([*episode.run, *moved])
    run = {name: episode.run.get(name, 0) + 1 if name in moved else 0 for name in seen}
    begun = episode.begun or finding.window.start
    return replace(episode, run=run, begun=begun, odd=0, quiet=0)


def _compared(document: Mapping[str, Any]) -> Compared:
    numbers = {name: int(document[name]) for name in ("unusual", "usual", "since", "until")}
    return Compared(**numbers, told=str(document["told"]))


def _of(episode: Episode, change: Change, at: int) -> Transition:
    return Transition(change, episode.told[0], episode.since, at, episode.told[1:])


def _closed(episode: Episode) -> Episode:
    return replace(episode, told=(), since=0, baseline=0, held=False)

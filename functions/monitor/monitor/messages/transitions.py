"""Turns the findings of a stream into few transitions. People get a message for each of them.

`advance` is a pure function of an episode and a finding. An episode says which messages people
got about a stream so far. It is stored with the stream's state, so a repeated run makes the same
transitions with the same ids.
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

NO_SIGNAL: Final = "all"  # of a transition that concerns no single signal


class Change(StrEnum):
    """The kinds of transitions."""

    BEGINS = "begins"  # a notice begins
    SPREADS = "spreads"  # during a notice a signal that was not told moves as well
    RECOVERS = "recovers"  # a notice ends: as many usual windows in a row as make a notice
    REPLACED = "replaced"  # a notice ends: another baseline is in use
    STALE = "stale"  # a day without a full window
    RESUMES = "resumes"  # there are full windows again
    WEEKDAY = "weekday"  # unusual on a weekday that the baseline lacks: once for a baseline
    DIFFERS = "differs"  # a version answers otherwise than the version with which it is compared
    AGREES = "agrees"  # it no longer does
    INACCURATE = "inaccurate"  # known accuracy is below the card's interval (known_accuracy.py)
    ACCURATE = "accurate"  # it is back
    DIGEST = "digest"  # once a week, where traffic is too low for a notice


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an episode: the signal that moved most, its beginning, and the other signals.

    `since` and `at` are seconds since 1970: the start of the first window that was unusual, and the
    end of the window with which the transition came.
    """

    change: Change
    signal: str
    since: int
    at: int
    others: tuple[str, ...] = ()
    late: bool = False  # it began while messages were silenced
    version: str = ""  # the version that was compared with another one

    def key(self, stream: Stream) -> str:
        """Return the message's id: 32 hexadecimal digits, from stream, signal and transition."""
        parts = [stream.stack, stream.log_group, stream.model, self.signal, self.change, self.at]
        parts += [self.version] if self.version else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Compared:
    """What is known of a version that is compared with another one.

    `unusual` and `usual` count the last comparisons in a row. `since` is the beginning of the first
    unusual one, and `until` the end of the last one. `told` is the signal that people were told.
    """

    unusual: int = 0
    usual: int = 0
    since: int = 0
    until: int = 0
    told: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """The messages that people got about a stream so far.

    `told` has the signals of the open notice, and is empty if no notice is open. `since` is the
    beginning of the notice, and `baseline` the number of the baseline that it refers to. `held`
    says that the notice was silenced, so nobody knows of it. `begun` is the first unusual window
    since the last usual one. `run` has each signal that was unusual since `begun`, with the number
    of its unusual windows in a row. `quiet` counts usual windows since the last unusual one. `odd`
    counts unusual windows in a row on weekdays that the baseline lacks, `odd_since` is the first of
    them, and `weekday` is the baseline for which a message told that. `digest` is the week, since
    1970, of the last digest. `versions` has each version that was compared with another one within
    a day.
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
        """Read the episode from the stream's state. Without it, nothing has been told yet."""
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
    """Return the episode after a finding, and the transition if the finding makes one.

    `in_a_row` windows make a notice, a further signal, and a recovery. `odd` says that the
    baseline is no reference for the window, for example as it lacks the weekday. A transition that
    is `silenced` is not sent, so a notice that began so is told once messages are sent again.
    Findings against a profile are no transitions. A window with too few predictions changes
    nothing.
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
        signals = tuple(dict.fromkeys([*moved, *episode.run]))  # of any window of the run
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
    # a signal that is silenced stays untold, so that it is told when messages are sent again
    after = episode if silenced else replace(episode, told=(*episode.told, *new))
    told = None if silenced else Transition(Change.SPREADS, new[0], episode.since, end, new[1:])
    return after, told


def _beside(
    episode: Episode, finding: Finding, *, in_a_row: int, silenced: bool
) -> tuple[Episode, Transition | None]:
    """Count a comparison of two versions, unless it shares predictions with the one before."""
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
    # a difference that is silenced is told when messages are sent again
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
    """Return the unusual signals of a finding, in the order of p, the smallest first."""
    found = [drift for drift in finding.drifts if drift.unusual and drift.p is not None]
    return tuple(drift.signal for drift in sorted(found, key=lambda drift: drift.p or 0.0))


def _counted(episode: Episode, finding: Finding, *, odd: bool) -> Episode:
    """Return the episode with one more window. Windows of other weekdays are counted apart."""
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

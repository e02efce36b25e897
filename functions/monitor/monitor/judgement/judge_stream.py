"""Follows a stream: closes its windows one after the other, and judges each window.

A stream is the predictions of one model in one log group. A window is a group of successive
predictions of a stream.

`follow` is a pure function of slots and a state. It returns findings and the next state. A slot is
the summary of 15 minutes of predictions. The schedule calls `follow` every quarter of an hour with
the new slots. A back-test calls it once with all slots of some days, and gets the same findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil
from typing import Any, Final, Self

import numpy as np

from monitor.accuracy.intervals import Accuracy
from monitor.baselines.baseline import Baseline, from_document
from monitor.baselines.window_length import LEAST, Plan, worth_a_window
from monitor.judgement import compare_versions
from monitor.judgement import profile_reference as against_profile
from monitor.judgement.false_alarm_table import Choice
from monitor.judgement.judge_windows import FLOOR, SIGNALS, Fields, Judgement, judge
from monitor.judgement.profile_reference import Profile
from monitor.judgement.verdict import Verdict, decide, other_weekdays, sentence, stale
from monitor.summaries.summary import Stream, Summary, total
from monitor.summaries.windows import DAY, cut, moment, stack

type Version = tuple[str, str]  # the version of the model, and its profile

UNPLANNED: Final = 200  # predictions in a window if there is no baseline with a plan
# A state keeps the results of the last windows, up to this number. This is enough, because a notice
# begins after fewer unusual windows in a row (false_alarm_table.json).
REMEMBERED: Final = 10
DIFFERENCES: Final = 3  # the largest number of differences in the report on two versions
GROWS: Final = 120 * DAY  # the longest span to which a provisional baseline grows
NO_BASELINE: Final = (
    "No baseline is accepted for this stream: see python -m monitor baseline accept --help."
)

NEW_BASELINE: Final = (
    "If this change will stay (for example, a new source), accept a new baseline of days after the"
    " change."
)


class Reference(StrEnum):
    """The reference with which a window is compared."""

    BASELINE = "baseline"  # accepted by a person; only this reference can give a notice
    PROFILE = "profile"  # the validation texts of the model, for information
    VERSION = "version"  # another version of the model in the same window, for information
    LABELS = "labels"  # the right labels of predictions (known_accuracy.py)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A baseline in use, its number, and the plan of its windows.

    A window has `rows` predictions and lasts at most `longest` seconds. An `armed` baseline can
    give notices. Any other baseline is provisional: it has too few windows. It is expected to have
    enough windows at the time `until`, in seconds since 1970. `sentence` is the plan in words.
    """

    number: int
    baseline: Baseline
    rows: int
    longest: int
    armed: bool
    sentence: str
    until: int = 0

    @classmethod
    def of(cls, number: int, baseline: Baseline, plan: Plan) -> Self:
        """Return an accepted baseline with its plan."""
        until = 0 if plan.armed else _enough_at(baseline, plan)
        said = plan.sentence() if plan.armed else f"{plan.sentence()} {_grows(baseline, until)}"
        return cls(number, baseline, plan.rows, plan.longest, plan.armed, said, until)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read the baseline from its document. Raises `BaselineUnreadable` (baseline.py)."""
        plan = document.get("plan", {})
        return cls(
            number=int(document.get("number", 0)),
            baseline=from_document(document),
            rows=int(plan.get("rows", UNPLANNED)),
            longest=int(plan.get("longest", DAY)),
            armed=bool(plan.get("armed", False)),
            sentence=str(plan.get("sentence", "")),
            until=int(plan.get("until", 0)),
        )

    def may_grow(self, now: float) -> bool:
        """Return whether the baseline is provisional, but should now have enough windows."""
        return not self.armed and now >= self.until

    def plan(self) -> dict[str, Any]:
        """Return the plan for the baseline's document."""
        return {
            "rows": self.rows,
            "longest": self.longest,
            "armed": self.armed,
            "sentence": self.sentence,
            "until": self.until,
        }


@dataclass(frozen=True, slots=True)
class State:
    """The state of a stream between two runs. Times are in seconds since 1970, and 0 means never.

    - `until` is the end of the last window.
    - `full` is the end of the last window with enough predictions.
    - `recent` says, for each of the last consecutive windows, whether it was unusual by comparison
      with the baseline.
    - `number` is the number of that baseline.
    - `word` is the last verdict.
    - `stale` is the last day on which the stream was called stale, in days since 1970. A stream is
      stale if its last window with enough predictions ended a day ago or earlier.
    """

    until: int = 0
    full: int = 0
    recent: tuple[bool, ...] = ()
    number: int = 0
    word: str = ""
    stale: int = 0

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read the state from its document in the store."""
        recent = tuple(bool(one) for one in document.get("recent", ()))
        numbers = {
            name: int(document.get(name, 0)) for name in ("until", "full", "number", "stale")
        }
        return cls(recent=recent, word=str(document.get("word", "")), **numbers)

    def document(self) -> dict[str, Any]:
        """Return the document that `read` reads."""
        return {
            "until": self.until,
            "full": self.full,
            "recent": list(self.recent),
            "number": self.number,
            "word": self.word,
            "stale": self.stale,
        }


@dataclass(frozen=True, slots=True)
class Drift:
    """One signal of a window.

    The signal is unusual if its p-value `p` is below `limit` and its `effect` is at least `floor`.
    `part` is the part of the signal that changed most. A number that cannot be known is None.
    """

    signal: str
    p: float | None
    effect: float | None
    limit: float
    floor: float
    part: str
    value: float | None
    expected: float | None
    unusual: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on a window, or on a time in which no window was complete.

    The verdict is a comparison with one reference.

    If two versions were compared over the same time, `window` has the predictions of the newer
    version, and `older` has the predictions of the older version.
    """

    reference: Reference
    window: Summary
    verdict: Verdict
    sentence: str
    drifts: tuple[Drift, ...] = ()
    number: int = 0
    deff: float | None = None
    in_a_row: int = 0
    begins: bool = False
    text_alone: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    older: Summary | None = None


def follow(
    stream: Stream,
    slots: Sequence[Summary],
    state: State,
    *,
    accepted: Accepted | None,
    profile: Profile | None,
    choice: Choice,
    now: float,
) -> tuple[State, list[Finding]]:
    """If the new slots make a window complete, close and judge this window.

    A slot is new if it begins at `state.until` or later. Older slots belong to closed windows. They
    are used only to compare two versions, if a window has too few predictions of one of them.
    `choice` has the limits (false_alarm_table.py). If the baseline has changed since the last call,
    the count of unusual windows in a row starts again.
    """
    number = accepted.number if accepted else 0
    if number != state.number:
        state = replace(state, recent=(), number=number)
    new = [slot for slot in slots if slot.start >= state.until and slot.rows]
    rows, longest = (accepted.rows, accepted.longest) if accepted else (UNPLANNED, DAY)
    made = cut(new, rows=rows, at_most=longest)
    findings: list[Finding] = []
    full = {id(window) for window in made.full}
    for window in sorted([*made.full, *made.short], key=lambda w: w.start):
        if id(window) not in full:
            findings.append(_insufficient(window, rows, number))
            state = replace(state, until=window.end, recent=(), word=Verdict.INSUFFICIENT)
            continue
        parts = [slot for slot in new if window.start <= slot.start < window.end]
        state, finding = _against_baseline(window, parts, state, accepted, choice)
        findings += [
            finding,
            *_against_profile(parts, profile),
            *_between_versions(slots, parts, accepted, choice),
        ]
    # If all predictions of the open window are at least a day old, the stream has stopped.
    idle = not (made.full or made.short) and all(now - slot.end >= DAY for slot in new)
    if idle and state.full and stale(state.full, now) and state.stale != int(now // DAY):
        state = replace(state, stale=int(now // DAY), word=Verdict.STALE, recent=())
        findings.append(_stale(stream, state, now))
    return state, findings


def _enough_at(baseline: Baseline, plan: Plan) -> int:
    """Return the midnight (UTC) at which the baseline is expected to have enough windows."""
    planned = baseline.start // DAY + ceil(plan.days)
    return max(planned, baseline.end // DAY + 1) * DAY


def _grows(baseline: Baseline, until: int) -> str:
    if until - baseline.start // DAY * DAY > GROWS:
        return f"It does not grow, because that would take more than {GROWS // DAY} days."
    day = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d}"
    return (
        f"From {day} on, the days after this baseline are added to it automatically, unless they"
        " have a notice, a gap or another version."
    )


def _against_baseline(
    window: Summary,
    parts: Sequence[Summary],
    state: State,
    accepted: Accepted | None,
    choice: Choice,
) -> tuple[State, Finding]:
    if accepted is None:
        state = replace(state, until=window.end, full=window.end, word=Verdict.PROVISIONAL)
        return state, Finding(Reference.BASELINE, window, Verdict.PROVISIONAL, NO_BASELINE)
    baseline, row = accepted.baseline, choice.row
    other = [part for part in parts if _version(part) != baseline.of_version]
    judgement = judge(stack([window]), baseline, fields=Fields.TEXT if other else Fields.ALL)
    unusual = bool(judgement.unusual(row.level)[0])
    said = [sentence(judgement, 0, row.level)]
    if other:
        said.append(_other_version(other, accepted))
    recent = state.recent if not state.full or window.start - state.full < DAY else ()
    if other_weekdays(baseline, window.start):
        recent = ()
        word = Verdict.UNUSUAL if unusual else Verdict.OK
        word = word if accepted.armed else Verdict.PROVISIONAL
        said.append("The baseline does not cover this weekday, so the verdict is only information.")
    else:
        recent = (*recent, unusual)[-REMEMBERED:]
        word = decide(recent, in_a_row=row.in_a_row, armed=accepted.armed)
    if not accepted.armed:
        said.append(accepted.sentence)
    begins = word is Verdict.NOTICE and state.word != Verdict.NOTICE
    if begins:
        said.append(NEW_BASELINE)
    finding = Finding(
        Reference.BASELINE,
        window,
        word,
        " ".join(said),
        _drifts(judgement, row.level),
        accepted.number,
        baseline.deff,
        _run(recent),
        begins=begins,
        text_alone=bool(other),
        missing=dict(judgement.missing),
    )
    return replace(state, until=window.end, full=window.end, recent=recent, word=word), finding


def _against_profile(parts: Sequence[Summary], profile: Profile | None) -> list[Finding]:
    """Judge the predictions of each version in a window against the model's profile.

    The profile has statistics of the model's validation texts. A version of a model with another
    profile, or with too few predictions, is left out.
    """
    found = []
    for several in _by_version(parts).values():
        part = total(several)
        if profile is None or part.profile != profile.id or part.rows < LEAST:
            continue
        judgement = against_profile.judge(stack([part]), profile)
        unusual = bool(judgement.unusual(against_profile.LEVEL)[0])
        found.append(
            Finding(
                Reference.PROFILE,
                part,
                Verdict.UNUSUAL if unusual else Verdict.OK,
                sentence(judgement, 0, against_profile.LEVEL, reference="the model's profile"),
                _drifts(judgement, against_profile.LEVEL),
                deff=1.0,
                missing=dict(judgement.missing),
            )
        )
    return found


def _between_versions(
    slots: Sequence[Summary],
    parts: Sequence[Summary],
    accepted: Accepted | None,
    choice: Choice,
) -> list[Finding]:
    """Judge each version except the reference, as soon as it has enough predictions in a window.

    The reference is the version of the baseline. Without a baseline, it is the version with the
    largest number of predictions. Both versions are compared over the slots of this window. If one
    version has too few predictions there, earlier slots of the last day are added. If the reference
    has too few predictions even in a whole day, the predictions of the new version in this window
    are compared with the baseline.
    """
    here = _by_version(parts)
    most = max(here, key=lambda v: sum(s.rows for s in here[v]))
    older = accepted.baseline.of_version if accepted else most
    deff = accepted.baseline.deff if accepted else 1.0
    found = []
    for version in here:
        if version == older:
            continue
        both = _side_by_side(slots, parts, (older, version), deff) if older in here else None
        if both:
            found.append(_compared(*both, deff=deff))
        elif accepted and sum(part.rows for part in here[version]) >= accepted.rows:
            found.append(_against_other_version(here[version], accepted, choice))
    return found


def _side_by_side(
    slots: Sequence[Summary], parts: Sequence[Summary], two: tuple[Version, Version], deff: float
) -> list[list[Summary]] | None:
    """Return a list of slots for each of two versions, if both versions answered.

    Both lists begin at the same time, and hold slots of the window. If these slots have too few
    predictions, earlier slots of the last day are added. Neither list has slots from before the
    other version's first answer of this day. Returns None if one version has too few predictions
    even in the whole day.
    """
    begin, end = min(part.start for part in parts), max(part.end for part in parts)
    day = [slot for slot in slots if end - DAY <= slot.start < end and slot.rows]
    of_two = [[slot for slot in day if _version(slot) == version] for version in two]
    since = max(min(slot.start for slot in of_one) for of_one in of_two)
    for first in sorted({slot.start for slot in day if since <= slot.start}, reverse=True):
        taken = [[slot for slot in of_one if slot.start >= first] for of_one in of_two]
        enough = [worth_a_window(sum(slot.rows for slot in of_one), deff) for of_one in taken]
        if first <= max(begin, since) and all(enough):
            return taken
    return None


def _compared(older: Sequence[Summary], newer: Sequence[Summary], *, deff: float) -> Finding:
    limit = against_profile.LEVEL
    old, new = older[0].version or "none", newer[0].version or "none"
    drifts = tuple(
        Drift(
            d.name, d.p, d.effect, limit, d.floor, f"version {new} compared with {old}",
            d.newer, d.older, d.p < limit and abs(d.effect) >= d.floor,
        )
        for d in compare_versions.compare(older, newer, deff=deff)[:DIFFERENCES]
    )  # fmt: skip
    unusual = [drift for drift in drifts if drift.unusual]
    said = f"Version {new} compared with version {old} in the same windows: "
    if unusual:
        most = unusual[0]
        said += f"{most.signal} is {most.value:.3g} for version {new}, and {most.expected:.3g}"
        said += f" for version {old}."
    else:
        said += "no difference is unusual."
    verdict = Verdict.UNUSUAL if unusual else Verdict.OK
    return Finding(
        Reference.VERSION, total(newer), verdict, said, drifts, deff=deff, older=total(older)
    )


def _against_other_version(parts: Sequence[Summary], accepted: Accepted, choice: Choice) -> Finding:
    baseline, window, level = accepted.baseline, total(parts), choice.row.level
    fields = Fields.ALL if window.profile == baseline.profile else Fields.UNPROFILED
    judgement = judge(stack([window]), baseline, fields=fields)
    old, new = baseline.version or "none", window.version or "none"
    return Finding(
        Reference.VERSION,
        window,
        Verdict.UNUSUAL if judgement.unusual(level)[0] else Verdict.OK,
        f"Version {new} compared with the baseline of version {old}: "
        + sentence(judgement, 0, level, reference=f"version {old}"),
        _drifts(judgement, level),
        accepted.number,
        baseline.deff,
        missing=dict(judgement.missing),
    )


def _version(slot: Summary) -> Version:
    return slot.version, slot.profile


def _by_version(parts: Sequence[Summary]) -> dict[Version, list[Summary]]:
    versions: dict[Version, list[Summary]] = {}
    for part in parts:
        versions.setdefault(_version(part), []).append(part)
    return versions


def _drifts(judgement: Judgement, level: float) -> tuple[Drift, ...]:
    return tuple(
        Drift(
            signal.name, _number(signal.p[0]), _number(signal.effect[0]),
            level / len(SIGNALS), FLOOR[signal.name], signal.part[0],
            _number(signal.value[0]), _number(signal.expected[0]), bool(signal.unusual(level)[0]),
        )
        for signal in judgement.signals
    )  # fmt: skip


def _insufficient(window: Summary, rows: int, number: int) -> Finding:
    said = (
        f"{window.rows} predictions in {window.seconds / 3600:.3g} hours are too few:"
        f" a window needs {rows}."
    )
    return Finding(Reference.BASELINE, window, Verdict.INSUFFICIENT, said, number=number)


def _stale(stream: Stream, state: State, now: float) -> Finding:
    said = (
        "Nothing new to judge: the last window with enough predictions ended at"
        f" {moment(state.full)} UTC."
    )
    nothing = Summary(stream, "", state.full, max(0, int(now) - state.full))
    return Finding(Reference.BASELINE, nothing, Verdict.STALE, said, number=state.number)


def _other_version(other: Sequence[Summary], accepted: Accepted) -> str:
    names = sorted({part.version or "none" for part in other})
    return (
        f"Version {', '.join(names)} answered, and the baseline is of version"
        f" {accepted.baseline.version or 'none'}: only signals of the text are judged until a"
        " baseline of the new version is accepted."
    )


def _run(recent: Sequence[bool]) -> int:
    run = 0
    for one in reversed(recent):
        if not one:
            break
        run += 1
    return run


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

"""Writes the message about a transition, such as the beginning of a notice, from its facts.

A message has at most 15 lines of plain text. The first line says what happened, and the second says
what to do. Each other line gives one kind of evidence. A line without facts is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from monitor.accuracy.intervals import Estimate, Tally
from monitor.messages.transitions import Change, Transition
from monitor.printable import plain
from monitor.summaries.summary import Stream
from monitor.summaries.windows import HOUR, moment

LINES: Final = 15
LONGEST: Final = 300  # characters of a line that is not a link
SUBJECT: Final = 100  # the largest number of ASCII characters that SNS accepts in a subject
NAME: Final = 60  # the largest number of characters of a name; a longer name is cut
MOST: Final = 0.5  # a source with at least this share of the change explains the change
# A source explains the change only if its share of the predictions is below this number.
NARROW: Final = 0.8
EARLIER: Final = HOUR  # a deployment may be the cause if it was at most this long before the change
BUSY: Final = 2.0  # the message has a hint if there is at least twice the usual traffic
DIGEST: Final = 5  # the largest number of lines of numbers in a digest
# Numbers that do not depend on the model: if they move, the texts themselves changed.
INPUT: Final = (
    "input.words", "input.non_letter_share", "strange input.non_letter_share", "mostly_non_letter",
    "another script", "duplicates",
)  # fmt: skip
VERSIONS: Final = {"function version": "@function_version", "model version": "model.version"}
# The facts without which a rollback is not advised.
NEEDED: Final = {"moved": "the numbers that moved", "deployment": "the last deployment"}
FUNCTIONS: Final = "/aws/lambda/"  # the name of a function's log group begins with this
# A command in a message contains only names of these forms, because log group and version come from
# the records and could be anything.
NAMED: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
NUMBER: Final = re.compile(r"[0-9]{1,10}")
PREDICTIONS: Final = "prediction-monitor-predictions"  # the beginning of the dashboard's id
NOTICES: Final = (Change.BEGINS, Change.SPREADS)
# In these messages, the advised action depends on the evidence.
ADVISED: Final = (*NOTICES, Change.DIFFERS, Change.STALE)
DATED: Final = (*ADVISED, Change.RECOVERS, Change.REPLACED, Change.AGREES)
# If predictions are below this share of the usual number, the advice is to look.
FEW: Final = 0.5
SUBJECTS: Final = {
    Change.BEGINS: "Notice",
    Change.SPREADS: "Notice, one signal more",
    Change.RECOVERS: "Recovered",
    Change.REPLACED: "Notice closed by a new baseline",
    Change.STALE: "Nothing to judge",
    Change.RESUMES: "Judged again",
    Change.WEEKDAY: "Weekday without a baseline",
    Change.DIFFERS: "Version differs",
    Change.AGREES: "Version agrees again",
    Change.DIGEST: "Weekly digest",
}
HEADLINES: Final = {
    Change.BEGINS: (
        "NOTICE: the predictions of {who} changed. {facts.in_a_row} windows in a row are unusual. "
        "The last one: {span}."
    ),
    Change.SPREADS: (
        "NOTICE, ONE SIGNAL MORE: the predictions of {who} have changed in another way too. "
        "The last window: {span}."
    ),
    Change.RECOVERS: (
        "RECOVERED: the predictions of {who} are as usual again. The last window: {span}."
    ),
    Change.REPLACED: "CLOSED: the notice on {who} ended, because another baseline is in use.",
    Change.STALE: (
        "NOTHING TO JUDGE: {who} had {facts.few} in {hours}."
    ),
    Change.RESUMES: (
        "JUDGED AGAIN: {who} has enough predictions for a window again. The window: {span}."
    ),
    Change.WEEKDAY: (
        "INFORMATION: on this {facts.weekday} the predictions of {who} differ from the baseline. "
        "The window: {span}."
    ),
    Change.DIFFERS: (
        "VERSION DIFFERS: version {facts.newer} of {who} gives other answers than version "
        "{facts.older}. {facts.in_a_row} windows in a row are unusual. The last one: {span}."
    ),
    Change.AGREES: (
        "VERSION AGREES AGAIN: version {facts.newer} of {who} answers like version {facts.older}. "
        "The last window: {span}."
    ),
    Change.DIGEST: "WEEKLY DIGEST of {who}: {facts.rows:,} predictions, {days}.",
}  # fmt: skip
CANARY_FAILS: Final = (
    "The canary fails: the deployed model gives other answers than the model that was built."
)
NOTHING_TO_DO: Final = {
    Change.RECOVERS: "The last {facts.in_a_row} windows are as usual.",
    Change.REPLACED: "The stream is judged by baseline {facts.baseline} from now on.",
    Change.AGREES: "The last {facts.in_a_row} comparisons of the two versions are as usual.",
    Change.RESUMES: "Windows are judged again, and there is no notice.",
    Change.WEEKDAY: (
        "The accepted baseline has no {facts.weekday}, so this difference is only information. "
        "If every {facts.weekday} should be judged, accept a baseline that includes a "
        '{facts.weekday} (with the command "baseline accept", docs/monitoring.md).'
    ),
    Change.DIGEST: (
        "No baseline is large enough for notices, so only a person can see a change in the numbers."
    ),
}  # fmt: skip


class Action(StrEnum):
    """The actions that a message can advise."""

    ROLL_BACK = "roll back"
    LOOK = "look now"
    WAIT = "wait until morning"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Moved:
    """A number that moved: its value in the window, its usual value, and its extreme value.

    - `field` identifies the number, and `name` is its name in the message.
    - `rose` and `fell` say in words what a higher and a lower number mean.
    - `now` is the value in the window. `usual` is the usual value, or None if it is not known.
    - `extreme` is a value of a window in the last `days` days before the change: the highest value
      if the number rose, and the lowest if it fell. If it is not known, `extreme` is None.
    - `share` says that the number is a share of the predictions.
    - `older` is empty if `usual` is the baseline's value. If `usual` is the value of an older
      version, `older` is the name of that version.
    """

    field: str
    name: str
    rose: str
    fell: str
    now: float
    usual: float | None = None
    extreme: float | None = None
    days: int = 30
    share: bool = False
    older: str = ""

    @property
    def up(self) -> bool:
        """Whether the number is at least its usual value. True if the usual value is not known."""
        return self.usual is None or self.now >= self.usual

    def sentence(self) -> str:
        """Return the change of the number in words, with the values."""
        said = f"{self.rose if self.up else self.fell} ({self.name}: {self._number(self.now)}"
        if self.usual is not None:
            said += f", {compared(self._number(self.usual), self.older)}"
        if self.extreme is not None:
            beyond = self.now >= self.extreme if self.up else self.now <= self.extreme
            if beyond:
                side = "never above" if self.up else "never below"
            else:
                side = "but up to" if self.up else "but down to"
            said += f", {side} {self._number(self.extreme)} in the {self.days} days before"
        return f"{said})"

    def _number(self, value: float) -> str:
        return f"{100 * value:.3g} %" if self.share else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the traffic: the predictions whose `attribute` has this `value`.

    `of_rows` is its share of the predictions. `of_change` is its share of the change, or None if
    that is not known. `new` says that no prediction of the week before had the value.
    """

    attribute: str
    value: str
    of_rows: float
    of_change: float | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """The newest version that answers.

    - `of` is the kind of version: a key of `VERSIONS`.
    - `value` is the name of the version.
    - `first` is the time of the version's first prediction, in seconds since 1970.
    - `before` is the version that was the newest until then. It is empty if there was none.
    """

    of: str
    value: str
    first: int
    before: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a label in the window and in the baseline."""

    label: str
    now: float
    usual: float | None


@dataclass(frozen=True, slots=True)
class Canary:
    """The canary's last result: whether it passed, and its time in seconds since 1970.

    `compared` is false if the function gave no answers that can be compared with expected answers.
    """

    passed: bool
    at: int
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Arrived:
    """The traffic in a time that has too few predictions for a window, and the usual traffic.

    - `rows` is the number of predictions in this time.
    - `usual` is the baseline's number of predictions in a time of the same length.
    - `hourly` is the baseline's number of predictions an hour at this hour of the day.
    - `last` is the end of the last quarter of an hour with a prediction, in seconds since 1970.

    A number that is not known is None.
    """

    rows: int
    last: int | None = None
    usual: float | None = None
    hourly: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a message. A fact that is not known is empty or None.

    - `in_a_row` is the number of unusual windows in a row that give a notice.
    - `baseline` is the number of the baseline. `promised` is the number of days in which the stack
      has at most one false notice.
    - `unread` has the fields that could not be read. The key is the name of the field, and the
      value is the reason.
    - `hourly` is the number of predictions an hour, and `score` is the mean score. Both are pairs
      of the present and the usual value.
    - `towards` are golden sentences (texts with known answers). The texts of the window are more
      like these sentences than usual. `words` are typical words of the window.
    - `estimate` is the estimated accuracy of the window. `unlike` says that accuracy is not
      estimated because the window is unlike the model's profile.
    - `known` counts labels of predictions of the last thirty days.
    - `newer` and `older` are the versions in a comparison of two versions. `beside` says that they
      were compared in the same time. The usual values are then those of the older version.
    - `arrived` is given in a message about a time with too few predictions for a window.
    """

    stream: Stream
    transition: Transition
    start: int
    end: int
    rows: int
    in_a_row: int = 0
    moved: tuple[Moved, ...] = ()
    sources: tuple[Source, ...] = ()
    towards: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    labels: tuple[Share, ...] = ()
    score: tuple[float, float | None] | None = None
    estimate: Estimate | None = None
    unlike: bool = False
    known: Tally | None = None
    hourly: tuple[float, float | None] | None = None
    deployment: Deployment | None = None
    canary: Canary | None = None
    baseline: int = 0
    promised: float = 0.0
    links: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    digest: tuple[str, ...] = ()
    newer: str = ""
    older: str = ""
    beside: bool = False
    arrived: Arrived | None = None

    @property
    def few(self) -> str:
        """The words for a number of predictions that is too small for a window."""
        if self.arrived is None:
            return "too few predictions"
        if not self.arrived.rows:
            return "no prediction"
        return f"{self.arrived.rows:,} predictions, too few for a window,"

    def in_brackets(self, usual: str) -> str:
        """Return the text of a usual value in brackets, or nothing if the text is empty."""
        return f" ({compared(usual, self.older if self.beside else '')})" if usual else ""

    @property
    def weekday(self) -> str:
        """The name of the window's weekday, in UTC."""
        return f"{datetime.fromtimestamp(self.start, UTC):%A}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message that can be sent."""

    id: str
    change: Change
    signal: str
    action: Action
    subject: str
    text: str


def compared(usual: str, older: str = "") -> str:
    """Return the words for a usual value, or for the value of the version `older`."""
    return f"{usual} with version {_name(older)}" if older else f"usually {usual}"


def compose(facts: Facts) -> Message:
    """Return the message of a transition."""
    action, reason = advice(facts)
    lines = [*_lines(facts, action, reason)]
    assert len(lines) <= LINES
    return Message(
        facts.transition.key(facts.stream),
        facts.transition.change,
        facts.transition.signal,
        action,
        _subject(facts, action),
        "\n".join(lines) + "\n",
    )


def advice(facts: Facts) -> tuple[Action, str]:
    """Return the action to take now, and the sentences that give the reason."""
    if facts.transition.change in NOTICES:
        return _in_a_notice(facts)
    if facts.transition.change is Change.DIFFERS:
        return _of_two_versions(facts)
    if facts.transition.change is Change.STALE:
        return _without_predictions(facts)
    return Action.NOTHING, NOTHING_TO_DO[facts.transition.change].format(facts=facts)


def _in_a_notice(facts: Facts) -> tuple[Action, str]:
    texts_moved = any(one.field in INPUT for one in facts.moved)
    parts = [one for one in facts.sources if _explains(one) and (one.new or texts_moved)]
    deployed = facts.deployment if _coincides(facts) else None
    version = f"{deployed.of} {_name(deployed.value)}" if deployed else ""
    if _canary_fails(facts):
        return Action.ROLL_BACK, CANARY_FAILS
    if parts:
        new = ", which is new" if parts[0].new else ""
        said = f"The change is in {parts[0].attribute} {_name(parts[0].value)}{new}."
        return Action.WAIT, f"{said} A rollback would not help; ask who sends these texts."
    if unread := [words for name, words in NEEDED.items() if name in facts.unread]:
        said = f"{' and '.join(unread).capitalize()} could not be read"
        return Action.WAIT, f"{said}, so nothing shows that a rollback would help."
    if texts_moved:
        what = f"{version} began at that time" if deployed else "no version changed"
        said = f"The texts themselves changed, and {what}."
        said = f"{said} A rollback would not change the texts; ask who sends them.{_busy(facts)}"
        return Action.WAIT, said
    if deployed:
        said = f"The change began with {version}, and the texts did not change."
        return Action.ROLL_BACK, said
    said = "No version changed, so a rollback would not help. The texts are not of the usual kind."
    return Action.WAIT, f"{said}{_busy(facts)}"


def _canary_fails(facts: Facts) -> bool:
    return facts.canary is not None and facts.canary.compared and not facts.canary.passed


def _of_two_versions(facts: Facts) -> tuple[Action, str]:
    """Return the advice if two versions differ: the model is the cause unless the texts differ."""
    newer, older = _name(facts.newer), _name(facts.older)
    if _canary_fails(facts):
        return Action.ROLL_BACK, CANARY_FAILS
    if "moved" in facts.unread:
        said = f"{NEEDED['moved'].capitalize()} could not be read"
        return Action.WAIT, f"{said}, so nothing shows that a rollback would help."
    if any(one.field in INPUT for one in facts.moved):
        if facts.beside:
            said = f"Versions {newer} and {older} get different texts, so their answers differ too."
        else:
            said = f"The texts themselves changed since the baseline of version {older}."
        return Action.WAIT, f"{said} A rollback would not change the texts; ask who sends them."
    same = "the same traffic" if facts.beside else "texts that did not change"
    said = f"Version {newer} gives other answers than version {older} on {same}."
    meant = (
        f"do not roll back. After some days of version {newer}, accept a baseline of these days."
    )
    return Action.ROLL_BACK, f"{said} If this is intended, {meant}"


def _without_predictions(facts: Facts) -> tuple[Action, str]:
    """Return the advice if there are too few predictions for a window."""
    one = facts.arrived
    if one and one.usual is not None and one.rows >= FEW * one.usual:
        said = f"About {one.usual:,.0f} predictions are usual in a time of this length, so this"
        return Action.NOTHING, f"{said} low traffic is usual."
    if one and one.rows and one.usual is None:
        return Action.NOTHING, "Traffic is too low for a window, and no usual number is known."
    said = (
        "No requests come, or their predictions are not shipped. Send one request, then go on as "
        "docs/runbook.md says for NoPredictionsAlarm. Other alarms report requests that fail and "
        "lines that cannot be shipped."
    )
    expected = one is not None and one.usual is not None
    return (Action.LOOK if expected else Action.WAIT), said


def _busy(facts: Facts) -> str:
    """Return a hint if there is much more traffic than usual, and otherwise an empty text."""
    if not facts.hourly or not facts.hourly[1] or facts.hourly[0] < BUSY * facts.hourly[1]:
        return ""
    times = facts.hourly[0] / facts.hourly[1]
    often = f" There are {times:.2g} times as many predictions as usual."
    announce = 'announce it with the command "expect" (docs/monitoring.md)'
    return f"{often} If you launched something, {announce}."


def _explains(source: Source) -> bool:
    """Return whether a source explains the change.

    Most of the change must come from the source, and the source must be neither a version nor
    nearly all traffic.
    """
    most = source.of_change is not None and source.of_change >= MOST
    version = source.attribute in {*VERSIONS, *VERSIONS.values()}
    return most and source.of_rows < NARROW and not version


def _coincides(facts: Facts) -> bool:
    """Return whether the newest version began during the change, or within the hour before it."""
    if facts.deployment is None:
        return False
    since = facts.transition.since
    return since - EARLIER <= facts.deployment.first <= max(facts.end, since)


def _subject(facts: Facts, action: Action) -> str:
    what = SUBJECTS[facts.transition.change]
    whole = (
        f"{what}: {action} - {facts.stream.stack} {facts.stream.model or facts.stream.log_group}"
    )
    return plain(whole).encode("ascii", "replace").decode()[:SUBJECT]


def _lines(facts: Facts, action: Action, reason: str) -> Iterator[str]:
    """Yield the lines of the text, the most important first."""
    change = facts.transition.change
    yield _short(_headline(facts))
    yield _short(f"WHAT TO DO NOW: {action.upper()}. {reason}")
    if change in DATED:
        yield f"Since: {moment(facts.transition.since)} UTC ({_hours(facts)}){_late(facts)}"
    yield from map(_short, _evidence(facts, action))
    if figures := [*_key_figures(facts)]:
        yield _short(f"Key figures: {'; '.join(figures)}.")
    if change in {*ADVISED, Change.RECOVERS} and "deployment" not in facts.unread:
        yield _short(f"Last deployment: {_deployed(facts)}")
    if action is Action.ROLL_BACK:
        yield _short(f"To roll back: {_back(facts)}")
    if facts.unread:
        yield _short(f"Some facts could not be read: {next(iter(facts.unread.values()))}.")
    for name, address in facts.links.items():
        yield f"{name}: {address}"
    if change in {*ADVISED, Change.WEEKDAY}:
        until = moment(facts.end + 24 * HOUR).replace(" ", "T")
        command = f"mute --until {until} --reason WHY --by YOU"
        yield f"To mute: {invoke(facts.stream.stack, command)}"


def _evidence(facts: Facts, action: Action) -> Iterator[str]:
    """Yield the numbers that belong to the transition.

    For a digest, these are the digest's numbers. If the traffic was too low for a window, it is the
    amount of traffic. Otherwise, they are the numbers that moved.
    """
    if facts.transition.change is Change.DIGEST:
        yield from facts.digest[:DIGEST]
    elif facts.transition.change is not Change.STALE:
        yield from _movement(facts, action)
    elif facts.arrived and (said := _arrived(facts.arrived, facts.end)):
        yield said


def _movement(facts: Facts, action: Action) -> Iterator[str]:
    """Yield the numbers that moved, a description of the texts, and the changed part of traffic.

    If the advice is to roll back, the texts are not the cause, so they are not described.
    """
    if facts.moved:
        yield f"What moved: {facts.moved[0].sentence()}."
    if len(facts.moved) > 1:
        yield f"Also: {'; '.join(one.sentence() for one in facts.moved[1:3])}."
    texts = action is not Action.ROLL_BACK
    if texts and facts.towards:
        near = " and ".join(f'"{_name(one)}"' for one in facts.towards)
        yield f"The texts moved towards sentences like {near}."
    if texts and facts.words:
        yield f"Words typical of these texts: {', '.join(map(_name, facts.words))}."
    if facts.sources:
        yield f"Where: {'; '.join(map(_where, facts.sources))}."
    elif facts.moved and facts.transition.change in NOTICES and "sources" not in facts.unread:
        yield (
            "Where: spread evenly; no version, writing system or other part of the traffic stands "
            "out."
        )


def invoke(stack: str, command: str) -> str:
    """Return the command that sends `command` to the stack's monitor."""
    event = f'{{"command": "{command}"}}'
    return f"sam remote invoke MonitorFunction --stack-name {stack} --event '{event}'"


def _headline(facts: Facts) -> str:
    return HEADLINES[facts.transition.change].format(
        who=f"{_name(facts.stream.model) or 'the model'} in {_name(facts.stream.log_group)}",
        hours=_hours(facts),
        span=f"{moment(facts.start)} to {moment(facts.end)[11:]} UTC, {facts.rows:,} predictions",
        days=f"{moment(facts.start)[:10]} to {moment(facts.end)[:10]}",
        facts=facts,
    )


def _arrived(one: Arrived, end: int) -> str:
    """Return the line about the last prediction and the usual number of predictions."""
    said = [] if one.last is None else [f"the last one came before {moment(one.last)} UTC"]
    if one.usual is not None:
        said.append(f"{one.usual:,.0f} are usual in a time of this length")
    if one.hourly is not None:
        said.append(f"{one.hourly:,.0f} an hour are usual at {moment(end)[11:]} UTC")
    return f"Predictions: {'; '.join(said)}." if said else ""


def _hours(facts: Facts) -> str:
    hours = max(0, facts.end - facts.transition.since) / HOUR
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"


def _late(facts: Facts) -> str:
    return "; silenced until now." if facts.transition.late else "."


def _where(source: Source) -> str:
    new = " (new)" if source.new else ""
    rows = f"{100 * source.of_rows:.0f} % of the predictions"
    named = f"{source.attribute} {_name(source.value)}{new}"
    if source.of_change is None:
        return f"{rows} come from {named}"
    # The share can exceed 1, if other parts of the traffic moved in the opposite direction.
    change = f"{100 * min(1.0, source.of_change):.0f} % of the change"
    return f"{change} and {rows} come from {named}"


def _key_figures(facts: Facts) -> Iterator[str]:
    for one in facts.labels[:3]:
        usual = "" if one.usual is None else f"{100 * one.usual:.0f} %"
        yield f"{_name(one.label)} {100 * one.now:.0f} %{facts.in_brackets(usual)}"
    if facts.score:
        now, usual_score = facts.score
        usual = facts.in_brackets("" if usual_score is None else f"{usual_score:.2f}")
        if facts.estimate:
            limits = facts.estimate.interval.text
            yield f"estimated accuracy {now:.2f}, interval {limits}{usual}"
            yield "exchanged labels would not show in this estimate"
        else:
            yield f"mean score {now:.2f}{usual}"
        if facts.unlike:
            yield "accuracy cannot be estimated, because the texts are unlike the model's profile"
    if known := facts.known:
        share = f"{known.share or 0:.2f} ({known.interval.text})"
        yield f"known accuracy {share} of {known.labelled:,} labels"
    if facts.canary:
        yield f"{_result(facts.canary)} at {moment(facts.canary.at)[11:]}"
    if facts.hourly:
        now, usual_rate = facts.hourly
        usual = "" if usual_rate is None else f"{usual_rate:,.0f}"
        yield f"{now:,.0f} predictions an hour{facts.in_brackets(usual)}"


def _result(canary: Canary) -> str:
    if not canary.compared:
        return "the canary got no comparable answer"
    return "canary passed" if canary.passed else "canary FAILED"


def _deployed(facts: Facts) -> str:
    one = facts.deployment
    if one is None:
        return "the versions named in the predictions have not changed in the last 30 days."
    before = f"; the version before it was {_name(one.before)}" if one.before else ""
    return f"{one.of} {_name(one.value)}, first seen {moment(one.first)} UTC{before}."


def _back(facts: Facts) -> str:
    """Return how to go back: a command, if the function and its version are known."""
    one, more = facts.deployment, "docs/release.md, Going back"
    if one is None or not one.before:
        return f"{more}."
    function = facts.stream.log_group.removeprefix(FUNCTIONS)
    known = function != facts.stream.log_group and one.of == "function version"
    if not (known and NAMED.fullmatch(function) and NUMBER.fullmatch(one.before)):
        return f"deploy {one.of} {_name(one.before)} again ({more})."
    command = (
        f"aws lambda update-alias --function-name {function} --name live "
        f"--function-version {one.before}"
    )
    return f"{command} (then see {more})."


def _name(text: str) -> str:
    return plain(text)[:NAME]


def _short(line: str) -> str:
    line = plain(line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def links(dashboard: str, stream: Stream, start: int, end: int) -> dict[str, str]:
    """Return links to the window's predictions in Discover and to the dashboard.

    `dashboard` is the installer's link to the dashboard *Predictions*. The link contains the tenant
    and the dashboard's id. The ids of all saved objects of this stack have the same ending, so the
    ending is read from this id. If `dashboard` is empty, the result is empty.
    """
    if not dashboard:
        return {}
    page, _, view = dashboard.partition("#/view/")
    ending = view.partition("?")[0].removeprefix(PREDICTIONS)
    discover = page.replace("/app/dashboards", "/app/discover")
    span = f"_g=(time:(from:'{_iso(start)}',to:'{_iso(end)}'))"
    query = f'@kind:prediction and @log_group:"{stream.log_group}"'
    if stream.model:
        query += f' and model.name:"{stream.model}"'
    escaped = quote(query.replace("!", "!!").replace("'", "!'"))
    columns = "columns:!(text,prediction.label,prediction.score)"
    index = f"index:prediction-monitor-cwl{ending}"
    state = f"_a=({columns},{index},query:(language:kuery,query:'{escaped}'))"
    return {
        "These predictions": f"{discover}#/?{span}&{state}",
        "Dashboard": f"{page}#/view/{PREDICTIONS}{ending}?{span}",
    }


def report_link(reports: str, end: int) -> dict[str, str]:
    """Return a link to the report of the window's day, or nothing if `reports` is empty."""
    day = f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d}"
    return {"Report": f"{reports}{day}.html"} if reports else {}


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.000Z}"

"""Sentences of the page: the state of the model, advice, troubles, and signals that moved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from report.page_values import Canary, Drift, Gap, Verdict, View

# The words of verdicts, the most urgent first.
ORDER: Final = ("notice", "unusual", "stale", "insufficient", "provisional", "ok")
TITLES: Final = {
    "canary": "The model answers its test sentences wrongly",
    "notice": "The predictions have changed",
    "silent": "No predictions come any more",
    "unusual": "One window is unusual",
    "stale": "Nothing new to judge",
    "insufficient": "Too few predictions to judge",
    "provisional": "Not known yet: no baseline to rely on",
    "ok": "No change from the baseline",
    "": "Nothing is judged yet",
}
ADVICE: Final = {
    "canary": "Compare the version that answers with the version before it, and roll back.",
    "notice": "Look at what moved, and at the newest and the strangest inputs.",
    "silent": "Check that requests still come in, and that their lines still arrive.",
    "unusual": "A single unusual window can be chance: see whether the next one is unusual too.",
    "stale": "Check that requests still come in, and that their lines still arrive.",
    "insufficient": "There will be a verdict when there are more predictions.",
    "provisional": "No notice is given until the baseline has enough windows.",
    "ok": "",
}
ACCEPT: Final = (
    "Wait until there are three whole days (UTC) of usual predictions, better seven, and then "
    "accept them:"
)
COMMAND: Final = "python -m monitor baseline accept --from DAY --to DAY"
# The keys are values of `Answer.word`. The values are kinds of messages (`Verdict.change`). If the
# newest message is of one of these kinds, the banner repeats the advice of this message.
ABOUT: Final = {
    "notice": ("begins", "spreads"),
    "silent": ("stale",),
    "stale": ("stale",),
}
# The keys are the advice of a message (`action`). The values stand before the banner's own advice.
ADVISED: Final = {
    "wait until morning": "The message of {time} says that this can wait until morning. Then: ",
    "look now": "The message of {time} says that you should look now: ",
    "roll back": "The message of {time} says that you should roll back. Also: ",
}
# The words of verdicts on windows with enough predictions.
JUDGED: Final = frozenset({"ok", "unusual", "notice", "provisional"})
CERTAIN: Final = 20  # a time without predictions is a gap if at least this many were expected
NAMED: Final = 3  # at most this many indices with failed searches are named
REASON: Final = 200  # the reason of a failed search is cut after this many characters
FAULTS: Final = 3  # the banner names at most this many faults of the canary
FAILS: Final = "fail"  # the result of a canary that got wrong answers
SIGNALS: Final = {
    "means": "Mean of a field",
    "label": "Labels",
    "prediction.score": "Scores",
    "input.words": "Length of texts",
    "input.non_letter_share": "Characters that are no letters",
    "strange": "Strange values",
    "flags": "Flags",
    "duplicates": "Repeated texts",
}
PARTS: Final = {
    "prediction.score": "the score",
    "input.words": "the number of words",
    "input.tokens_per_word": "the number of pieces that a word is cut into",
    "input.non_letter_share": "the share of characters that are no letters",
    "input.novelty": "the distance from known texts",
    "input.surprisal": "the surprisal (how unusual the order of the words is)",
}
SIGNATURE: Final = re.compile(r"input\.sig\.s(\d)")
PROBABILITY: Final = "prediction.probability."


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of the page's banner: the most urgent finding, advice, and other troubles.

    `command` is the command that the advice asks for, if any.
    """

    word: str
    title: str
    sentence: str
    advice: str
    verdicts: tuple[Verdict, ...]
    troubles: tuple[str, ...]
    command: str = ""


def answer(view: View) -> Answer:
    """Return the text of the banner for a view.

    The findings in order of urgency are: a failing canary, a notice, a time without predictions,
    and the worst of the newest verdicts.
    """
    newest = tuple(_newest(view.verdicts))
    worst = min(newest, key=lambda one: _rank(one.word), default=None)
    word = worst.word if worst else ""
    sentence = worst.sentence if worst else ""
    if len(newest) > 1 and worst:
        sentence = f"{worst.stream}: {sentence}"
    broken, silent = _broken(view), silence(view)
    if silent and word != "notice":
        word, sentence = "silent", _missing(silent, view)
    if broken:
        word, sentence = "canary", broken
    title = TITLES.get(word, f"The verdict is {word}")
    more = tuple(one for one in troubles(view) if one != sentence)
    if not word:
        sentence = "A verdict needs the monitor and a baseline."
        return Answer(word, title, sentence, ACCEPT, newest, more, COMMAND)
    if word == "provisional" and worst and not worst.baseline:
        of = f" for {worst.stream}" if len(newest) > 1 else ""
        return Answer(word, title, f"No baseline is accepted{of}.", ACCEPT, newest, more, COMMAND)
    return Answer(word, title, sentence, _advice(word, worst, view), newest, more)


def _advice(word: str, worst: Verdict | None, view: View) -> str:
    """Return the advice for a word of the banner.

    `worst` is the worst verdict. The advice of the newest message about the verdict's stream comes
    first, if `ABOUT` has the kind of this message for `word`.
    """
    advice = ADVICE.get(word, "")
    told = next(
        (one for one in view.verdicts if worst and one.stream == worst.stream and one.message), None
    )
    if told is None or told.change not in ABOUT.get(word, ()) or told.action not in ADVISED:
        return advice
    said = ADVISED[told.action].format(time=clock(told.end, view.span.end))
    return f"{said}{advice[:1].lower()}{advice[1:]}"


def message(verdict: Verdict) -> str:
    """Return the subject of a verdict's message, with `nothing to do` in place of `nothing`."""
    return verdict.message.replace(": nothing - ", ": nothing to do - ")


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment is, in minutes, hours or days, such as `7 hours ago`."""
    minutes = round((now - moment) / timedelta(minutes=1))
    for name, each in (("day", 2880), ("hour", 120)):
        if minutes >= each:
            return f"{minutes // (each // 2)} {name}s ago"
    return f"{minutes} minute{'' if minutes == 1 else 's'} ago"


def troubles(view: View) -> Iterator[str]:
    """Yield a sentence for each trouble that is not part of the verdict."""
    ours = sum(view.refusals.ours)
    callers = sum(view.refusals.callers)
    if ours:
        yield f"{ours:,} requests failed with an error of the service (5xx)."
    if callers > view.predictions.number:
        yield f"{callers:,} requests were refused (4xx), more than were answered."
    silent = silence(view)
    for gap in dict.fromkeys((*view.gaps, *([silent] if silent else []))):
        yield _missing(gap, view)
    if view.shipping.rescued:
        yield f"{view.shipping.rescued:,} documents lost fields that the index refused."
    for index, reason in view.failed[:NAMED]:
        yield f"Figures are too low: {index} could not be searched in full ({reason[:REASON]})."


def silence(view: View) -> Gap | None:
    """Return the time without predictions at the end of the span, or None if it can be chance.

    If the whole span has no predictions, the expected number is computed from the newest verdicts.
    """
    if view.predictions.number:
        return next((one for one in view.gaps if one.end == view.span.end), None)
    newest = [one for one in _newest(view.verdicts) if one.word in JUDGED]
    expected = sum(
        one.rows * ((view.span.end - view.span.start) / (one.end - one.start))
        for one in newest
        if one.end > one.start
    )
    return Gap(view.span.start, view.span.end, expected) if expected >= CERTAIN else None


def _missing(gap: Gap, view: View) -> str:
    until = "" if gap.end == view.span.end else f" until {clock(gap.end, view.span.end)}"
    since = clock(gap.start, view.span.end)
    of = f", although about {gap.expected:,.0f} were expected."
    return f"No predictions {'from' if until else 'since'} {since}{until}{of}"


def latest(view: View) -> tuple[Drift, ...]:
    """Return the signals of each stream's newest verdict, the unusual ones first.

    If the newest verdict of a stream has no signals, for instance because there were too few
    predictions, the signals of its older verdicts are not returned.
    """
    end = {one.stream: one.end for one in _newest(view.verdicts)}
    found = [one for one in view.drifts if one.end == end.get(one.stream)]
    return tuple(sorted(found, key=lambda one: (not one.unusual, one.stream, _place(one))))


def moved(view: View) -> tuple[str, ...]:
    """Return a sentence for each unusual signal of the newest windows."""
    return tuple(
        f"{subject(one)} is {figure(one.value)}; usual is {figure(one.expected)}."
        for one in latest(view)
        if one.unusual
    )


def subject(drift: Drift) -> str:
    """Return the part that moved, as the beginning of a sentence."""
    match drift.signal:
        case "means":
            return f"The mean of {part(drift.part)}"
        case "label":
            return f"The share of the label {drift.part}"
        case "strange":
            return f"The share of strange values of {part(drift.part)}"
        case "flags":
            return f"The share of inputs with {drift.part}"
        case "duplicates":
            return f"The share of one repeated text (hash {drift.part}), minus its usual share,"
        case _:
            return f"The share of predictions for which {part(drift.signal)} lies in {drift.part}"


def part(name: str) -> str:
    """Return a field's name in words."""
    if found := SIGNATURE.fullmatch(name):
        return f"signature {found[1]} (a number for the kind of text)"
    if name.startswith(PROBABILITY):
        return f"the probability of {name.removeprefix(PROBABILITY)}"
    return PARTS.get(name, name)


def figure(value: float | None) -> str:
    """Return a number as text, or `-` if the number is not known."""
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(value: float) -> str:
    """Return a share between 0 and 1 as text, in percent."""
    return "<1 %" if 0 < value < 0.005 else f"{value:.0%}".replace("%", " %")


def duration(milliseconds: float | None) -> str:
    """Return a length of time in a fitting unit, or `-` if the length is not known."""
    if milliseconds is None:
        return "-"
    for name, unit in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds >= unit:
            return f"{milliseconds / unit:.3g} {name}"
    return f"{milliseconds:.3g} ms"


def clock(moment: datetime, other: datetime) -> str:
    """Return hour and minute of a moment in UTC, and its date if `other` has another date."""
    return f"{moment:%H:%M}" if moment.date() == other.date() else f"{moment:%Y-%m-%d %H:%M}"


def _broken(view: View) -> str:
    """Return a sentence about the scheduled canary's last result if the canary failed."""
    one = view.canary
    if one is None or one.word != FAILS:
        return ""
    if one.since is None:
        return one.sentence
    since = f"{'' if one.passed_before else 'at least '}since {clock(one.since, view.span.end)} UTC"
    return f"The canary has failed {since}{_versions(one)}: {_faults(one)}"


def _versions(canary: Canary) -> str:
    model, function = canary.versions
    if not model:
        return ""
    return f". Faults of version {model}{f' (function version {function})' if function else ''}"


def _faults(canary: Canary) -> str:
    if not canary.faults:
        return canary.sentence.removeprefix("The canary fails: ")
    rest = len(canary.faults) - FAULTS
    more = f"; and {rest} more fault{'' if rest == 1 else 's'}" if rest > 0 else ""
    return f"{'; '.join(canary.faults[:FAULTS])}{more}."


def _newest(verdicts: tuple[Verdict, ...]) -> Iterator[Verdict]:
    seen = set()
    for one in verdicts:
        if one.stream not in seen:
            seen.add(one.stream)
            yield one


def _rank(word: str) -> int:
    return ORDER.index(word) if word in ORDER else 0


def _place(drift: Drift) -> int:
    names = list(SIGNALS)
    return names.index(drift.signal) if drift.signal in names else len(names)

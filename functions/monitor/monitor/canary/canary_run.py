"""One run of the canary: sends the golden sentences to a function, and judges the answers.

Golden sentences are texts with the answers that the model gave when it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import batched
from typing import Any, Final, NamedTuple

from monitor.canary.ask_function import Ask, NoAnswer
from monitor.canary.golden_sentences import GoldenUnreadable, Model, Sentence
from monitor.canary.judge_answers import LONGEST, Figures, Unfit, compare, differences, faults

AT_ONCE: Final = 64  # the largest number of sentences in a request to the inference function
MOST: Final = 20  # the largest number of faults that a log line lists


class Verdict(StrEnum):
    """The result of a run.

    `UNJUDGED`: another version than the deployed one answered, and has no golden sentences.
    """

    PASS = "pass"  # noqa: S105  not a password
    FAIL = "fail"
    UNJUDGED = "unjudged"


class Source(NamedTuple):
    """The source of the answers: version of the function, name and version of the model.

    An unknown value is empty. Without an answer, `model` is the name of the expected model.
    """

    function_version: str
    model: str
    version: str


UNKNOWN: Final = Source("", "", "")


@dataclass(frozen=True, slots=True)
class Result:
    """A run: the verdict, one sentence about it, the faults, and the source of the answers."""

    verdict: Verdict
    sentence: str
    faults: tuple[str, ...] = ()
    source: Source = UNKNOWN
    figures: Figures | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of `monitor` in the log line `canary` (events/canary.schema.json)."""
        canary = {
            "result": str(self.verdict),
            "faults": list(self.faults[:MOST]),
            "function_version": self.source.function_version,
            **(asdict(self.figures) if self.figures else {}),
        }
        return {
            "model": self.source.model,
            "version": self.source.version,
            "sentence": self.sentence,
            "canary": canary,
        }


def failed(*found: str, source: Source = UNKNOWN, figures: Figures | None = None) -> Result:
    """Return the result of a run with faults. Each fault is one sentence without the full stop."""
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    sentence = f"The canary fails: {found[0]}{more}."
    return Result(Verdict.FAIL, sentence, found, source, figures)


def check(ask: Ask, function: str, expected: Model, deployed: str) -> Result:
    """Send the golden sentences to a function, and judge its answers.

    `function` is an alias (`NAME:live`) or the ARN of a version. `deployed` is the ARN of the
    version that the stack deployed. This version must contain the `expected` model, which is the
    model in the canary's own package. If another version answers (during a deployment, or after
    somebody moved the alias back), it is judged by its own golden sentences.
    """
    source = Source("", str(expected.card.get("name", "")), "")
    try:
        answers, answering = _answers(ask, function, expected.sentences)
        described = ask(answering, {"describe": True}).content
        source = _source(answering, described)
        newest = deployed.rpartition(":")[2]
        if source.function_version == newest:
            return _judged(expected, described, answers, source)
        other = f"function version {source.function_version} answers, and {newest} is deployed"
        try:
            own = Model.of(described["card"], described.get("golden"))
        except GoldenUnreadable:
            sentence = f"Not judged: {other}. The version that answers has no golden sentences."
            return Result(Verdict.UNJUDGED, sentence, source=source)
        answers, _ = _answers(ask, answering, own.sentences)
        return _judged(own, described, answers, source, note=f" ({other})")
    except (NoAnswer, Unfit) as problem:
        return failed(str(problem), source=source)


def _judged(
    model: Model, described: Any, answers: Sequence[Any], source: Source, note: str = ""
) -> Result:
    figures = compare(model, answers)
    found = (*differences(model.card, described), *faults(model, figures))
    if found:
        return failed(*found, source=source, figures=figures)
    sentence = (
        f"The model gives the same answers to {figures.asked} golden sentences as when it was"
        f" made{note}."
    )
    return Result(Verdict.PASS, sentence, source=source, figures=figures)


def _source(answering: str, described: Any) -> Source:
    card = described.get("card") if isinstance(described, dict) else None
    if not isinstance(card, dict):
        raise Unfit(
            "the function does not describe its model: deploy function and canary from one release"
        )
    model, version = (str(card.get(field, ""))[:LONGEST] for field in ("name", "version"))
    return Source(answering.rpartition(":")[2], model, version)


def _answers(ask: Ask, function: str, sentences: Sequence[Sentence]) -> tuple[list[Any], str]:
    """Return an answer for each sentence, and the function's name with the version that answered.

    The version that answers the first request also gets the other requests. Raises `NoAnswer` if
    the function does not answer, and `Unfit` if one sentence has no answer.
    """
    answers: list[Any] = []
    for part in batched(sentences, AT_ONCE, strict=False):
        texts = [each.text for each in part]
        content, version = ask(function, {"sentences": texts, "traffic": "canary"})
        found = content.get("predictions") if isinstance(content, dict) else None
        if not isinstance(found, list):
            title = content.get("title", "") if isinstance(content, dict) else ""
            raise Unfit(f"the golden sentences got no predictions ({str(title)[:LONGEST]})")
        if len(found) != len(part):
            raise Unfit(f"{len(found)} of {len(part)} golden sentences were answered")
        answers += found
        function = f"{function.rpartition(':')[0]}:{version}"
    return answers, function

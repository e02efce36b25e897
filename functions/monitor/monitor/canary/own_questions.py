"""The canary's questions to your own function: events, with values expected in the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.canary.ask_function import Ask, NoAnswer
from monitor.canary.canary_run import Result, Verdict, failed
from monitor.canary.judge_answers import LONGEST

PLACE: Final = Path(__file__).parents[1] / "questions.jsonl"
TOLERANCE: Final = 0.04  # by which a number with a decimal point may differ
MOST: Final = 100  # questions in a file
FORM: Final = 'one line for each, such as {"event": {...}, "expect": {"prediction.label": "spam"}}'


class QuestionsUnreadable(ValueError):
    """The file of questions is absent or cannot be read.

    The message is one sentence without the full stop.
    """


@dataclass(frozen=True, slots=True)
class Question:
    """An event, and the expected values by their paths in the answer.

    Texts and integers must be equal, numbers with a decimal point may differ by `TOLERANCE`.
    """

    event: Any
    expect: Mapping[str, Any]


def read(path: Path = PLACE) -> list[Question]:
    """Read questions, one JSON object a line. Raises `QuestionsUnreadable`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise QuestionsUnreadable(
            "the package holds no questions: build it with make build CANARY=file"
        ) from None
    found = [_question(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not 1 <= len(found) <= MOST:
        raise QuestionsUnreadable(f"the file holds {len(found)} questions, not 1 to {MOST}")
    return found


def _question(number: int, line: str) -> Question:
    try:
        row = json.loads(line)
        return Question(row["event"], dict(row["expect"]))
    except (ValueError, TypeError, KeyError):
        raise QuestionsUnreadable(f"line {number} is not a question: write {FORM}") from None


def check(ask: Ask, function: str, questions: list[Question], deadline: float) -> Result:
    """Ask each question and compare the answer; stop at the first question without an answer.

    No question is asked after `deadline`, in seconds of `time.monotonic`.
    """
    faults: list[str] = []
    for number, question in enumerate(questions, 1):
        if time.monotonic() > deadline:
            late = (
                f"only {number - 1} of {len(questions)} questions were answered in time: ask fewer"
            )
            return failed(*faults, late)
        try:
            answer = _unwrapped(ask(function, question.event).content)
        except NoAnswer as problem:
            return failed(*faults, f"question {number}: {problem}")
        faults += [f"question {number}: {fault}" for fault in _faults(answer, question.expect)]
    if faults:
        return failed(*faults)
    return Result(Verdict.PASS, f"The function answers {len(questions)} questions as expected.")


def _unwrapped(answer: Any) -> Any:
    """Return the body of an answer that has the form of an HTTP response, or any other answer."""
    if isinstance(answer, dict) and "statusCode" in answer:
        try:
            return json.loads(answer.get("body", ""))
        except (TypeError, ValueError):
            return answer
    return answer


def _faults(answer: Any, expect: Mapping[str, Any]) -> Iterator[str]:
    for path, wanted in expect.items():
        found = _at(answer, path)
        if not _equal(found, wanted):
            yield f"{path} is {str(found)[:LONGEST]} instead of {str(wanted)[:LONGEST]}"


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, (int, float)):
        return abs(found - wanted) <= TOLERANCE
    return bool(found == wanted)


def _at(answer: Any, path: str) -> Any:
    """Return the value at a path of names and list positions, or None if there is no value.

    The steps of the path are separated by dots.
    """
    for step in path.split("."):
        if isinstance(answer, dict):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdigit() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer

"""The canary's questions to your own function: events, and the values expected in the answers."""

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
TOLERANCE: Final = 0.04  # a number with a decimal point may differ by this amount
MOST: Final = 100  # questions in a file
FORM: Final = (
    'each question in one line, such as {"event": {...}, "expect": {"prediction.label": "spam"}}'
)


class QuestionsUnreadable(ValueError):
    """The file of questions is absent or cannot be read.

    The exception's text is one sentence without the full stop.
    """


@dataclass(frozen=True, slots=True)
class Question:
    """An event for the function, and the values expected in its answer.

    `expect` maps the path of a value in the answer to the expected value. A text or an integer must
    equal the expected value. A number with a decimal point may differ by `TOLERANCE`.
    """

    event: Any
    expect: Mapping[str, Any]


def read(path: Path = PLACE) -> list[Question]:
    """Read the questions from a file with one JSON object a line. Raises `QuestionsUnreadable`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise QuestionsUnreadable(
            "the package contains no questions: build it with make build CANARY=file"
        ) from None
    found = [_question(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not 1 <= len(found) <= MOST:
        raise QuestionsUnreadable(f"the file has {len(found)} questions, but 1 to {MOST} are valid")
    return found


def _question(number: int, line: str) -> Question:
    try:
        row = json.loads(line)
        return Question(row["event"], dict(row["expect"]))
    except (ValueError, TypeError, KeyError):
        raise QuestionsUnreadable(f"line {number} is not a question: write {FORM}") from None


def check(ask: Ask, function: str, questions: list[Question], deadline: float) -> Result:
    """Ask each question and compare the answer. Stop at the first question without an answer.

    No question is asked after `deadline`, a time of `time.monotonic` in seconds.
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
    """Return the body of an HTTP response with JSON. Return any other answer unchanged."""
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
    """Return the value at a path, or None if there is no value.

    The path consists of names and list positions, separated by dots.
    """
    for step in path.split("."):
        if isinstance(answer, dict):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdigit() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer

"""Judges a model's answers to golden sentences, and a function's description of its model.

Golden sentences are texts with the answers that the model gave when it was made. An answer must
have the same label, number of word pieces and value of `truncated`. A component of the signature
(eight numbers that describe the content) may differ by `SIGNATURE` steps, and a score by the
model's tolerance. The mean difference of the scores may be at most a quarter of the tolerance.
These limits were measured (docs/monitoring.md, section *Canary*).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.canary.golden_sentences import Model

SIGNATURE: Final = 2
MEAN: Final = 0.25  # the limit of the mean difference, as a share of the tolerance of one score
MARKS: Final = 4  # the largest number of special tokens that a tokenizer adds to a text
# These fields of the card are compared too, because answers do not show every difference.
NAMED: Final = (
    "name", "version", "profile", "labels", "temperature", "calibrated", "max_tokens", "unknown",
)  # fmt: skip
LONGEST: Final = 100  # a value from an answer is cut after this number of characters


class Unfit(ValueError):
    """The answers cannot be compared. The message is one sentence without the full stop."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of a comparison of answers.

    - `asked` is the number of answers that were compared.
    - `labels`, `tokens` and `truncated` are the numbers of answers in which these fields differ.
    - `signature` and `score` are the largest differences, and `score_mean` is the mean difference
      of the scores.
    """

    asked: int
    labels: int
    tokens: int
    truncated: int
    signature: int
    score: float
    score_mean: float


def compare(model: Model, answers: Sequence[Any]) -> Figures:
    """Compare the answers with the golden sentences. Raises `Unfit` if an answer lacks a field.

    A different label counts as a difference only if a label's probability moved by more than the
    tolerance. Otherwise two labels are nearly equally probable, and a small difference decided
    between them.
    """
    labels = tokens = truncated = steps = 0
    moved: list[float] = []
    for sentence, answer in zip(model.sentences, answers, strict=True):
        try:
            given, found = answer["prediction"], answer["input"]
            too_long = _too_long(sentence.tokens, model.card["max_tokens"])
            tokens += found["tokens"] != sentence.tokens
            truncated += too_long is not None and found["truncated"] is not too_long
            steps = max([steps, *_steps(found["signature"], sentence.signature)])
            same = given["label"] == sentence.label
            by = _moved(sentence.score, float(given["score"]), same=same)
            if same or by <= model.tolerance:
                moved.append(by)
            else:
                labels += 1
        except (KeyError, TypeError, ValueError) as problem:
            raise Unfit(
                f"an answer lacks a field to compare ({type(problem).__name__}: {problem}): "
                "deploy function and canary from one release"
            ) from problem
    mean = sum(moved) / len(moved) if moved else 0.0
    return Figures(len(answers), labels, tokens, truncated, steps, max(moved, default=0.0), mean)


def _moved(stated: float, found: float, *, same: bool) -> float:
    """Return how far the probability of a label moved.

    `stated` is the score of the golden answer, and `found` is the score of the new answer. A score
    is the probability of the answer's own label. If both answers have the same label, the result is
    the difference of the scores.

    If the labels differ, neither answer states the probability of the other answer's label. But
    this probability is at most the answer's score, and at most 1 minus the answer's score. So the
    golden answer's label lost at least `stated - min(found, 1 - found)`, and the new answer's label
    gained at least `found - min(stated, 1 - stated)`. The larger of these two numbers is returned.
    """
    if same:
        return abs(found - stated)
    return max(stated - min(found, 1 - found), found - min(stated, 1 - stated), 0.0)


def _too_long(tokens: int, limit: int) -> bool | None:
    """Return whether a text is cut, or None if that depends on the number of special tokens."""
    return None if limit - MARKS < tokens <= limit else tokens > limit


def _steps(found: Sequence[int], stated: Sequence[int]) -> Iterator[int]:
    return (abs(one - other) for one, other in zip(found, stated, strict=True))


def faults(model: Model, figures: Figures) -> Iterator[str]:
    """Yield a sentence for each limit that the answers exceed."""
    for count, words in (
        (figures.labels, "have another label"),
        (figures.tokens, "have another count of word pieces"),
        (figures.truncated, "are cut at another length"),
    ):
        if count:
            yield f"{count} of {figures.asked} golden sentences {words}"
    if figures.signature > SIGNATURE:
        yield f"a signature differs by {figures.signature} steps, at most {SIGNATURE} are usual"
    if figures.score > model.tolerance:
        yield f"a score differs by {figures.score:.3f}, at most {model.tolerance:.3f} is usual"
    if figures.score_mean > MEAN * model.tolerance:
        yield (
            f"scores differ by {figures.score_mean:.4f} in the mean, "
            f"at most {MEAN * model.tolerance:.4f} is usual"
        )


def differences(card: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each field that differs between the card and the function's description.

    There is also a sentence if the digest of the model's files is not the version on the card.
    """
    found = described["card"]
    for name in NAMED:
        if found.get(name) != card.get(name):
            yield f"{name} is {_short(found.get(name))} instead of {_short(card.get(name))}"
    if described.get("digest") != card.get("version"):
        yield (
            f"the digest of the model's files is {_short(described.get('digest'))} "
            f"instead of {_short(card.get('version'))}"
        )


def _short(value: Any) -> str:
    return str(value)[:LONGEST]

"""Judges the answers to golden sentences, and a function's description of its model.

The limits were measured (docs/monitoring.md, section *Canary*). Labels, counts of word pieces and
truncated flags must be equal. A component of the signature may differ by `SIGNATURE` steps, a score
by the model's tolerance. The mean difference of the scores may be a quarter of the tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.canary.golden_sentences import Model

SIGNATURE: Final = 2
MEAN: Final = 0.25  # of the tolerance of one score
MARKS: Final = 4  # the most marks that a tokenizer adds to a text's word pieces
# Two packages with the same answers can differ in these fields of the card.
NAMED: Final = (
    "name", "version", "profile", "labels", "temperature", "calibrated", "max_tokens", "unknown",
)  # fmt: skip
LONGEST: Final = 100  # characters of a value that comes from an answer


class Unfit(ValueError):
    """The answers cannot be compared. The message is one sentence without the full stop."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of answers that were compared and that differ, and the largest differences."""

    asked: int
    labels: int
    tokens: int
    truncated: int
    signature: int
    score: float
    score_mean: float


def compare(model: Model, answers: Sequence[Any]) -> Figures:
    """Compare the answers with the golden sentences. Raises `Unfit` if an answer lacks a field.

    Another label counts only if a probability moved by more than the tolerance. Otherwise a small
    difference decided between two labels that are nearly equally probable.
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
                f"an answer lacks what a canary compares ({type(problem).__name__}: {problem}): "
                "deploy a package of this version"
            ) from problem
    mean = sum(moved) / len(moved) if moved else 0.0
    return Figures(len(answers), labels, tokens, truncated, steps, max(moved, default=0.0), mean)


def _moved(stated: float, found: float, *, same: bool) -> float:
    """Return how far the probability of a label moved.

    If the label is the same, this is the difference of the scores. If the label is another one,
    only the scores of the two labels are known. Each score bounds the probability of the other
    label, so the result is the least distance by which one of the two probabilities moved.
    """
    if same:
        return abs(found - stated)
    return max(stated - min(found, 1 - found), found - min(stated, 1 - stated), 0.0)


def _too_long(tokens: int, limit: int) -> bool | None:
    """Return whether a text is cut, or None if the number of the tokenizer's marks decides this."""
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

    If the digest of the model's files is not the card's version, it gets a sentence too.
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

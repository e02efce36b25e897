"""Measures how often the interval of an accuracy contains the true accuracy.

Estimated accuracy is the mean of calibrated scores. Known accuracy is the share of right answers
among labelled sentences. The sentences come from CoLA, a labelled corpus, and were not used for
training. They are divided at random many times. After each division (a re-split), the temperature
is fitted on one part, and the accuracy of the other part is estimated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.monitor.rows import CARD, LABELS, PROBABILITY, rows_of
from bench.monitor.texts import Sentence, misspelt
from monitor.accuracy.intervals import Card, Labelled, Tally, below, estimate, wilson
from monitor.summaries.summary import Moments
from training.corpora import split
from training.figures import fit_temperature

Array = NDArray[np.float64]
Rows = NDArray[Any]  # indices of sentences, or true or false for each sentence
Chance = np.random.Generator
Tick = Callable[..., None]

FITTED: Final = 600  # sentences on which the temperature is fitted, as for the shipped model
SIZES: Final = (100, 200)  # sentences in a window
LABELLED: Final = (30, 50, 100, 200)  # sentences that get a label
# In some cases, only the sentences with the lowest scores get labels. This is their share.
LOW: Final = 0.25
COMPLAINTS: Final = 3.0  # a wrong answer gets a label this many times as often as a right one
A_DAY: Final = 10  # labels that arrive per day
MEMORY: Final = 30  # known accuracy counts the labels of this many days
YEAR: Final = 365
CHANGED: Final = 60  # the day on which the answers change
MORE: Final = 15  # percentage points that are added to the share of the rarer label


@dataclass(frozen=True, slots=True)
class Scored:
    """Labelled sentences.

    `logit` is the logit of the label LABELS[0], before it is divided by the temperature. `gold`
    says whether this label is right.
    """

    logit: Array
    gold: Rows

    def __len__(self) -> int:
        return len(self.gold)

    def at(self, rows: Rows) -> Scored:
        """Return some of the sentences."""
        return Scored(self.logit[rows], self.gold[rows])

    def score(self, temperature: float) -> Array:
        """Return the probability of the predicted label."""
        return np.asarray(1 / (1 + np.exp(-np.abs(self.logit) / temperature)))

    @property
    def right(self) -> Rows:
        """Whether the predicted label is right."""
        return np.asarray((self.logit >= 0) == self.gold)

    def temperature(self) -> float:
        """Fit the temperature as `make model` does."""
        rows = [[0.0, float(one)] for one in self.logit]
        return fit_temperature(list(map(int, self.gold)), rows)


def sentences(data: Path) -> list[Sentence]:
    """Return CoLA's sentences that were not used for training, from its parts `aside` and `dev`.

    A sentence has its label in the field `genre`. Raises `CorpusMissing`.
    """
    parts = split(data)
    return [
        Sentence(one.sentence, str(at), LABELS[0] if one.label else LABELS[1])
        for at, one in enumerate([*parts.aside, *parts.dev])
    ]


def scored(name: str, of: list[Sentence], cache: Path) -> Scored:
    """Return labelled sentences with the predictions of the shipped model."""
    rows = rows_of(name, of, cache)
    probability = np.clip(rows.columns[PROBABILITY].astype(np.float64), 1e-7, 1 - 1e-7)
    logit = float(CARD["temperature"]) * np.log(probability / (1 - probability))
    return Scored(logit, rows.genre == rows.genres.index(LABELS[0]))


def measured(data: Path, cache: Path, splits: int, tick: Tick) -> dict[str, Any]:
    """Return all figures about accuracy. `tick` is called after each re-split."""
    texts = sentences(data)
    change, chance = misspelt(0.1), random.Random(2027)
    worse = [Sentence(change(s.text, chance), s.document, s.genre) for s in texts]
    usual = scored("labelled", texts, cache)
    changed = scored("labelled misspelt", worse, cache)
    card = Card.read(CARD)
    assert card is not None
    return {
        "sentences": len(usual),
        "splits": splits,
        "share_right": round(float(usual.right.mean()), 4),
        "estimated": [_estimated(usual, n, splits, tick) for n in SIZES],
        "blind": _blind(usual, changed, splits),
        "known": _known(usual),
        "messages": _messages(usual, card),
    }


def _estimated(rows: Scored, n: int, splits: int, tick: Tick) -> dict[str, Any]:
    """Measure the estimate on disjoint windows of `n` sentences in each re-split."""
    held: list[bool] = []
    without: list[bool] = []
    away: list[float] = []
    of_split: list[float] = []
    for at in range(splits):
        chance = np.random.default_rng([101, n, at])
        order = chance.permutation(len(rows))
        temperature = rows.at(order[:FITTED]).temperature()
        rest = rows.at(order[FITTED:])
        before = len(away)
        for start in range(0, len(rest) - n + 1, n):
            window = rest.at(np.arange(start, start + n))
            truth = float(window.right.mean())
            score = window.score(temperature)
            held.append(_holds(score, FITTED, truth))
            without.append(_holds(score, 10**9, truth))
            away.append(float(score.mean()) - truth)
        of_split.append(float(np.mean(away[before:])))
        tick()
    return {
        "n": n,
        "windows": len(held),
        "coverage": round(float(np.mean(held)), 4),
        "coverage_without_calibration_noise": round(float(np.mean(without)), 4),
        "bias": round(float(np.mean(away)), 4),
        "mean_absolute_bias_of_a_split": round(float(np.abs(of_split).mean()), 4),
        "mean_absolute_error": round(float(np.abs(away).mean()), 4),
    }


def _holds(score: Array, calibrated_on: int, truth: float) -> bool:
    moments = Moments(len(score), float(score.sum()), float((score**2).sum()))
    found = estimate(moments, calibrated_on)
    assert found is not None
    return found.interval.low <= truth <= found.interval.high


def _blind(usual: Scored, changed: Scored, splits: int) -> list[dict[str, Any]]:
    """Measure the estimate after changes that lower accuracy, in windows of 200 sentences.

    The estimate uses only the scores, so it is blind to a change that leaves the scores the same.
    For example, swapped labels (each right answer becomes wrong, and the reverse) change no score.
    """
    swapped = Scored(usual.logit, ~usual.gold)
    kinds: dict[str, Callable[[Chance], Scored]] = {
        "nothing": lambda chance: usual.at(_drawn(usual, chance, 0)),
        "labels swapped": lambda chance: swapped.at(_drawn(usual, chance, 0)),
        f"the rarer label + {MORE} points": lambda chance: usual.at(_drawn(usual, chance, MORE)),
        "1 word in 10 misspelt": lambda chance: changed.at(_drawn(usual, chance, 0)),
    }
    found = []
    for kind, draw in kinds.items():
        truth, said, held = [], [], []
        for at in range(10 * splits):
            window = draw(np.random.default_rng([103, at]))
            score = window.score(float(CARD["temperature"]))
            truth.append(float(window.right.mean()))
            said.append(float(score.mean()))
            held.append(_holds(score, FITTED, truth[-1]))
        found.append(
            {
                "change": kind,
                "truth": round(float(np.mean(truth)), 3),
                "estimate": round(float(np.mean(said)), 3),
                "coverage": round(float(np.mean(held)), 3),
            }
        )
    return found


def _drawn(rows: Scored, chance: Chance, more: int) -> Rows:
    """Return 200 different sentences with chosen shares of the two labels.

    The share of the second label is `more` percentage points higher than among all sentences.
    """
    n = 200
    other = round(n * float(1 - rows.gold.mean()) + n * more / 100)
    return np.concatenate(
        [
            chance.choice(np.flatnonzero(~rows.gold), other, replace=False),
            chance.choice(np.flatnonzero(rows.gold), n - other, replace=False),
        ]
    )


def _known(rows: Scored, draws: int = 4000) -> list[dict[str, Any]]:
    """Measure how often the interval of known accuracy contains the accuracy of all sentences.

    The sentences that get a label are chosen in three ways: at random, at random among those with
    low scores, or so that a wrong answer is more likely to get a label than a right one.
    """
    score, right = rows.score(float(CARD["temperature"])), rows.right
    truth = float(right.mean())
    low = np.flatnonzero(score <= np.quantile(score, LOW))
    weight = np.where(right, 1.0, COMPLAINTS)
    chosen: dict[str, Callable[[Chance, int], Rows]] = {
        "random sentences": lambda chance, n: chance.choice(len(rows), n, replace=True),
        "lowest quarter of scores": lambda chance, n: chance.choice(low, n, replace=True),
        "wrong answers three times as often": lambda chance, n: chance.choice(
            len(rows), n, replace=True, p=weight / weight.sum()
        ),
    }
    found = []
    for how, draw in chosen.items():
        for n in LABELLED:
            held, off = [], []
            for at in range(draws):
                count = int(right[draw(np.random.default_rng([107, n, at]), n)].sum())
                interval = wilson(count, n)
                held.append(interval.low <= truth <= interval.high)
                off.append(count / n - truth)
            found.append(
                {
                    "labels": how,
                    "n": n,
                    "coverage": round(float(np.mean(held)), 4),
                    "off": round(float(np.mean(off)), 3),
                }
            )
    return found


def _messages(rows: Scored, card: Card, years: int = 400) -> list[dict[str, Any]]:
    """Measure how often a message about low accuracy is sent within a year, and how soon.

    Each year has a change on day `CHANGED`, or none. A message in a year without a change is false.
    """
    score, right = rows.score(float(CARD["temperature"])), rows.right
    low = np.flatnonzero(score <= np.quantile(score, LOW))
    every, count = np.arange(len(rows)), YEAR * A_DAY
    later = np.arange(count) >= CHANGED * A_DAY

    def less(points: int) -> Callable[[Rows, Chance], Rows]:
        """Return a change that lowers the share of right answers by `points` percentage points."""
        lost = points / 100 / float(right.mean())
        return lambda answers, chance: answers & ~(later & (chance.random(count) < lost))

    def swapped(answers: Rows, _: Chance) -> Rows:
        return answers ^ later

    kinds: list[tuple[str, Rows, bool, Callable[[Rows, Chance], Rows] | None]] = [
        ("nothing", every, True, None),
        ("nothing", low, False, None),
        ("5 points fewer right answers", every, True, less(5)),
        ("10 points fewer right answers", every, True, less(10)),
        ("labels swapped", every, True, swapped),
        ("labels swapped", low, False, swapped),
    ]
    found = []
    for change, pool, audit, worse in kinds:
        days = []
        for year in range(years):
            chance = np.random.default_rng([109, year])
            index = chance.choice(pool, count)
            answers = worse(right[index], chance) if worse else right[index]
            first = CHANGED * A_DAY if worse else 0
            at = _told(answers, score[index], card, audit=audit, first=first)
            days += [] if at is None else [(at - first) / A_DAY]
        found.append(
            {
                "change": change,
                "labels": "a random sample" if audit else "lowest quarter of scores",
                "years": years,
                "told": round(len(days) / years, 3),
                "median_days": float(np.median(days)) if worse and days else None,
            }
        )
    return found


def _told(answers: Rows, score: Array, card: Card, *, audit: bool, first: int) -> int | None:
    """Return the number of labels after which the first message is sent, or None.

    `first` is the number of labels before the change. Messages before the change are ignored.
    """
    right = np.concatenate([[0], answers.cumsum()])
    sums = np.concatenate([[0.0], score.cumsum()])
    for end in range(first + 1, len(right)):
        start = max(0, end - MEMORY * A_DAY)
        one = Tally(
            end - start,
            int(right[end] - right[start]),
            float(sums[end] - sums[start]) / (end - start),
        )
        if below(Labelled(one, one if audit else Tally()), card):
            return end
    return None

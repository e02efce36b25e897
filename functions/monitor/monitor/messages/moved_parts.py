"""Describes the changed parts of a signal, with one number for each part.

A signal is something that the monitor compares. For example, the labels are a signal. Each label is
a part of this signal, and its number is the label's share of the predictions. Each number
has three values: the value in the window, the usual value, and the most extreme value in the days
before the change. A `Measure` computes the number from summaries. It also has the search that
computes the same number from predictions, so that `locate_change.py` can split the number by
version or script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.baselines.baseline import BINNED, Baseline
from monitor.judgement.compare_versions import LABEL
from monitor.judgement.judge_stream import Drift
from monitor.messages.message import Moved
from monitor.statistics import means_chart
from monitor.statistics.strange_rows import UNKNOWN
from monitor.summaries.bins import SCALES
from monitor.summaries.summary import PROBABILITY, SIGNATURE, Summary
from monitor.summaries.windows import Tally, Windows, stack

Array = NDArray[np.float64]
Query = Mapping[str, Any]

MOST: Final = 3  # a message has at most this many numbers
NOTICEABLE: Final = 0.05  # the smallest change worth showing, as a share of the usual value
NAMES: Final = 3  # a measure's name lists at most this many unusual values
# For each field: its name, and the meaning of a higher and of a lower value.
WORDS: Final = {
    "input.words": ("number of words", "texts are longer", "texts are shorter"),
    "input.tokens_per_word": (
        "word pieces per word", "texts use rarer words", "texts use more common words"
    ),
    "input.non_letter_share": (
        "share of characters that are no letters", "more digits and symbols",
        "fewer digits and symbols",
    ),
    "input.surprisal": ("surprisal", "wording is less usual", "wording is more usual"),
    "input.novelty": (
        "novelty", "texts are less like the model's reference texts",
        "texts are more like the model's reference texts",
    ),
    "prediction.score": ("score", "the model is more sure", "the model is less sure"),
    UNKNOWN: (
        "texts with an unknown word piece", "more texts have unknown word pieces",
        "fewer texts have unknown word pieces",
    ),
}  # fmt: skip
FLAGS: Final = {
    "truncated": "texts longer than the model reads",
    "mostly_unknown": "texts that the tokenizer hardly knows",
    "mostly_non_letter": "texts with hardly a letter",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that can be computed for every window.

    - `field` identifies the number, and `name` is its name.
    - `rose` and `fell` say in words what a higher and a lower number mean.
    - `of` returns the number of each window, shape (windows,), or NaN if the records lack it.
    - `mean` is a field if the number is the mean of this field.
    - `share` is a query if the number is the share of the rows that match the query.
    - `values` is given if the measure counts rows with unusual values, such as unknown flags. It
      returns the unusual values in a window, each with its count of rows.
    - `noun` is a text such as "texts with the flag". In the measure's name, the unusual values come
      after this text.
    """

    field: str
    name: str
    rose: str
    fell: str
    of: Callable[[Windows], Array]
    mean: str | None = None
    share: Query | None = None
    values: Callable[[Summary], Mapping[str, int]] | None = None
    noun: str = ""

    def named(self, window: Summary) -> str:
        """Return the measure's name, which lists the unusual values in the window, if any."""
        found = self.values(window) if self.values else {}
        most = sorted(found, key=lambda value: (-found[value], value))[:NAMES]
        return f"share of {self.noun} {', '.join(most)}" if most else self.name


def moved(
    drifts: Sequence[Drift],
    baseline: Baseline,
    window: Summary,
    usual: Summary | None,
    before: Sequence[Summary],
    *,
    days: int,
) -> list[tuple[Measure, Moved]]:
    """Return at most three numbers that moved, in the order of `drifts`.

    Each field occurs only once. `usual` is one summary of the baseline's days. `before` are the
    windows of the last `days` days before the change.
    """
    found: dict[str, tuple[Measure, Moved]] = {}
    history = stack(before)
    for drift in drifts:
        measure = _best(measures(drift, baseline), window, usual)
        value = value_of(measure, window) if measure else None
        if measure is None or value is None or measure.field in found:
            continue
        expected = value_of(measure, usual) if usual else None
        extreme = _extreme(measure, history, up=expected is None or value >= expected)
        one = Moved(
            measure.field, measure.named(window), measure.rose, measure.fell, value, expected,
            extreme, days, share=measure.share is not None,
        )  # fmt: skip
        found[measure.field] = (measure, one)
    return list(found.values())[:MOST]


def beside(drifts: Sequence[Drift], older: str) -> list[Moved]:
    """Return the unusual differences between two versions that are in use at the same time.

    `older` is the name of the older version, whose values count as the usual ones.
    """
    found = []
    for drift in sorted(drifts, key=lambda d: d.signal in SIGNATURE):
        if not drift.unusual or drift.value is None:
            continue
        if drift.signal.startswith(f"{LABEL} "):
            label = drift.signal.removeprefix(f"{LABEL} ")
            said = f"answers are {label}"
            words = ("label", f"share of {label}", f"more {said}", f"fewer {said}")
        elif drift.signal in WORDS:
            name, *directions = WORDS[drift.signal]
            words = (drift.signal, f"mean {name}", directions[0], directions[1])
        else:
            centre = _centre(drift.signal, {})
            words = (centre.field, centre.name, centre.rose, centre.fell)
        share = drift.signal.startswith(LABEL)
        found.append(Moved(*words, drift.value, drift.expected, share=share, older=older))
    return found[:MOST]


def measures(drift: Drift, baseline: Baseline) -> tuple[Measure, ...]:
    """Return the measures of a signal's part. The measure that is easiest to read comes first."""
    caps = baseline.means.caps if baseline.means else {}
    if drift.signal in BINNED:
        return (_centre(drift.signal, caps), _part(drift.signal, drift.part, baseline))
    if drift.signal == "means":
        return (_centre(drift.part, caps),) if drift.part else ()
    if drift.signal == "duplicates":
        return (_duplicate(drift.part),)
    of_part = {"label": _label, "strange": _strange, "flags": _flag}
    return (of_part[drift.signal](drift.part, baseline),) if drift.signal in of_part else ()


def value_of(measure: Measure, window: Summary) -> float | None:
    """Return the measure's value in one window, or None if the records do not hold it."""
    value = float(measure.of(stack([window]))[0])
    return value if np.isfinite(value) else None


def towards(
    golden: Mapping[str, Sequence[int]], baseline: Baseline, window: Summary
) -> tuple[str, ...]:
    """Return the two golden sentences towards which the texts of the window moved.

    A text's signature has eight numbers that describe its content. `golden` has the signatures of
    the golden sentences (the model's test sentences). The movement is the difference between the
    window's mean signature and the baseline's. The result is empty if signatures were not recorded
    or did not move.
    """
    chart = baseline.means
    names = [name for name in SIGNATURE if chart and name in chart.names]
    if chart is None or not names or not golden:
        return ()
    now = means_chart.components(stack([window]), names, chart.caps)[0]
    usual = chart.centre[[chart.names.index(name) for name in names]]
    movement = now - usual
    if not np.isfinite(movement).all() or not np.linalg.norm(movement):
        return ()
    columns = [SIGNATURE.index(name) for name in names]
    along = {
        text: float((np.array(signature, float)[columns] - usual) @ movement)
        for text, signature in golden.items()
    }
    # One golden sentence can occur in several spellings. Only one of them is returned.
    spelt: dict[str, str] = {}
    for text in golden:
        spelt.setdefault("".join(filter(str.isalnum, text)).casefold(), text)
    return tuple(sorted(spelt.values(), key=lambda text: -along[text])[:2])


def _best(several: Sequence[Measure], window: Summary, usual: Summary | None) -> Measure | None:
    """Return the first measure that changed noticeably, or the last measure if none did."""
    for measure in several[:-1]:
        now, expected = value_of(measure, window), value_of(measure, usual) if usual else None
        if now is None:
            continue
        if expected is None or abs(now - expected) >= NOTICEABLE * abs(expected):
            return measure
    return several[-1] if several else None


def _extreme(measure: Measure, history: Windows, *, up: bool) -> float | None:
    values = measure.of(history) if len(history) else np.zeros(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return float(values.max() if up else values.min())


def _centre(field: str, caps: Mapping[str, float]) -> Measure:
    """Return the measure of a field's centre: the median of words, the mean of any other field."""
    if field == "input.words":
        name, rose, fell = WORDS[field]
        return Measure(field, f"median {name}", rose, fell, median_words, mean=field)

    def of(windows: Windows) -> Array:
        return means_chart.components(windows, (field,), caps)[:, 0]

    if field in SIGNATURE:
        name, rose = f"signature component {field[-1]}", "texts are not of the usual kind"
        return Measure(field, name, rose, rose, of, mean=field)
    if field in WORDS:
        name, rose, fell = WORDS[field]
        return Measure(field, f"mean {name}", rose, fell, of, mean=field)
    label = field.removeprefix(f"{PROBABILITY}.")
    rose, fell = f"the model believes more in {label}", f"the model believes less in {label}"
    return Measure(field, f"mean probability of {label}", rose, fell, of, mean=field)


def median_words(windows: Windows) -> Array:
    """Return the median number of words of a text in each window, or NaN if it is unknown."""
    counts = windows.bins["input.words"]
    total = counts.sum(axis=1)
    at = (np.cumsum(counts, axis=1) >= total[:, None] / 2).argmax(axis=1)
    return np.where(total > 0, SCALES["input.words"].middle[at], np.nan)


def _label(part: str, baseline: Baseline) -> Measure:
    known = part in baseline.labels
    field = "prediction.label.keyword"

    def of(windows: Windows) -> Array:
        labels = windows.labels
        rows = labels.of([part])[:, 0] if known else _others(labels, baseline.labels)
        return _share(rows, windows)

    query = {"term": {field: part}} if known else _other_than(field, list(baseline.labels))
    if known:
        said = f"answers are {part}"
        return Measure(
            "label", f"share of {part}", f"more {said}", f"fewer {said}", of, share=query
        )
    said = "answers have a label that the baseline lacks"
    return Measure(
        "label", f"share of {part}", f"more {said}", f"fewer {said}", of, share=query,
        values=lambda window: _unusual(window.labels, baseline.labels), noun="answers",
    )  # fmt: skip


def _part(field: str, part: str, baseline: Baseline) -> Measure:
    """Return the measure of a group of bins: the share of rows between the limits of the group.

    Each group holds about a tenth of the baseline's rows.
    """
    group = int(part.split()[1]) - 1
    codes = np.flatnonzero(baseline.groups[field] == group)
    scale = SCALES[field]
    low = float(scale.lower[codes[0]])
    above = int(codes[-1]) + 1
    high = float(scale.lower[above]) if above < scale.count else None

    def of(windows: Windows) -> Array:
        return _share(windows.bins[field][:, codes].sum(axis=1), windows)

    limits = {} if np.isinf(low) else {"gte": low}
    limits |= {} if high is None else {"lt": high}
    span = f"from {max(low, 0):.3g}" + ("" if high is None else f" to below {high:.3g}")
    noun = WORDS[field][0]
    return Measure(
        field, f"share of texts with a {noun} {span}", f"more texts have a {noun} {span}",
        f"fewer texts have a {noun} {span}", of, share={"range": {field: limits}},
    )  # fmt: skip


def _strange(part: str, baseline: Baseline) -> Measure:
    limits = {
        field: float(SCALES[field].lower[code])
        for field, code in baseline.limits.items()
        if code < SCALES[field].count
    }
    kinds = {field: {"range": {field: {"gte": low}}} for field, low in limits.items()}
    kinds[UNKNOWN] = {"range": {UNKNOWN: {"gt": 0}}}
    chosen = [part] if part in kinds else [*kinds]

    def of(windows: Windows) -> Array:
        rows = sum(
            windows.unknown
            if field == UNKNOWN
            else windows.bins[field][:, baseline.limits[field] :].sum(axis=1)
            for field in chosen
        )
        return np.minimum(1.0, _share(np.asarray(rows, float), windows))

    query = {"bool": {"should": [kinds[name] for name in chosen], "minimum_should_match": 1}}
    if part == UNKNOWN:
        name = f"share of {WORDS[part][0]}"
    elif part in kinds:
        name = f'share of texts with an unusually high "{WORDS[part][0]}"'
    else:
        name = "share of texts with unusual words, characters or content"
    return Measure(
        f"strange {part}", name, "more texts are out of the ordinary",
        "fewer texts are out of the ordinary", of, share=query,
    )  # fmt: skip


def _other_than(field: str, values: list[str]) -> Query:
    """Return the query for documents that have the field, but with none of these values."""
    there = {"exists": {"field": field}}
    return {"bool": {"filter": there, "must_not": {"terms": {field: values}}}}


def _flag(part: str, baseline: Baseline) -> Measure:
    query: Query
    values: Callable[[Summary], Mapping[str, int]] | None = None
    each = ""
    if part == "another script":
        usual = list(baseline.scripts)
        query = _other_than("input.script", usual)

        def of(windows: Windows) -> Array:
            return _share(_others(windows.scripts, usual), windows)

        def values(window: Summary) -> Mapping[str, int]:
            return _unusual(window.scripts, usual)

        noun, each = "texts in another script than usual", "texts in the script"
    elif part in baseline.flags:
        query = {"term": {"input.flags": part}}

        def of(windows: Windows) -> Array:
            return _share(windows.flags.of([part])[:, 0], windows)

        noun = FLAGS.get(part, f"texts with the flag {part}")
    else:
        known = list(baseline.flags)
        query = _other_than("input.flags", known)

        def of(windows: Windows) -> Array:
            return _share(_others(windows.flags, known), windows)

        def values(window: Summary) -> Mapping[str, int]:
            return _unusual(window.flags, known)

        noun, each = "texts with a flag that the baseline lacks", "texts with the flag"
    return Measure(
        part, f"share of {noun}", f"more {noun}", f"fewer {noun}", of, share=query,
        values=values, noun=each,
    )  # fmt: skip


def _duplicate(part: str) -> Measure:
    def of(windows: Windows) -> Array:
        rows = np.array([hashes.get(part, 0) for hashes in windows.hashes], float)
        return _share(rows, windows)

    said = "one text comes again and again"
    return Measure(
        "duplicates", f"share of the text with hash {part}", said, said, of,
        share={"term": {"input.hash": part}},
    )  # fmt: skip


def _others(tally: Tally, names: Sequence[str]) -> Array:
    """Return, for each window, the number of rows whose value is not among these names."""
    return np.asarray(tally.counts.sum(axis=1) - tally.of(names).sum(axis=1))


def _unusual(counts: Mapping[str, int], usual: Iterable[str]) -> dict[str, int]:
    """Return the values that have rows and are not among the usual values."""
    known = set(usual)
    return {value: rows for value, rows in counts.items() if rows and value not in known}


def _share(rows: Array, windows: Windows) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(windows.rows > 0, rows / windows.rows, np.nan)

"""Tests the profile of a model, and how it is made.

The profile describes the predictions for a sample of reference sentences. It has counts,
calibration and, for each sentence, a row of numbers. It also has golden sentences, with the
recorded answers.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.classifier import Classifier
from inference.descriptors import Usual, describe
from inference.label_fields import field_names
from tests.models import TESTED
from training.__main__ import GOLDEN
from training.profile import NUMBERS, SHARES, binned, calibration, digest, flat, made_on, rows

MODEL = TESTED
CARD = json.loads((MODEL / "card.json").read_text(encoding="utf-8"))
USUAL = Usual.of(CARD["usual"])
PROFILE = json.loads((MODEL / "profile.json").read_text(encoding="utf-8"))
POPULATION = PROFILE["population"]["sentences"]
SENTENCES = PROFILE["golden"]["sentences"]
LABELS = CARD["labels"]
PROBABILITIES = [f"prediction.probability.{name}" for name in field_names(tuple(LABELS)).values()]
NAMES = ["no", "yes"]  # the labels of the made-up records
PROBABILITY = "prediction.probability.yes"


def stored(values: Iterable[float]) -> list[float]:
    """Return values as the index stores them, as 32-bit floats."""
    return [float(np.float32(value)) for value in values]


def aggregated(values: Iterable[float], edges: list[float]) -> list[int]:
    """Count values as OpenSearch's range aggregation does.

    A range includes its lower edge and excludes its upper edge.
    """
    kept = stored(values)
    return [
        sum(low <= value < high for value in kept)
        for low, high in pairwise([-inf, *stored(edges), inf])
    ]


def some_records(count: int) -> list[dict[str, Any]]:
    return [
        {
            "text": f"wug {at}",
            "prediction.label": "yes" if at % 3 else "no",
            PROBABILITY: float(np.float32(0.9 - at / 1000)),
            **{name: at + 100 * place for place, name in enumerate(NUMBERS)},
            **{f"input.sig.s{component}": at - component for component in range(8)},
        }
        for at in range(count)
    ]


@pytest.mark.parametrize(
    ("values", "apart", "expected"),
    [
        pytest.param([], False, {"edges": [], "counts": [0]}, id="nothing"),
        pytest.param(
            [],
            True,
            {"edges": [], "counts": [0], "exactly": {"0": 0, "1": 0}},
            id="nothing, with 0 and 1 counted separately",
        ),
        pytest.param(
            [0.0, 1.0, 1.0],
            True,
            {"edges": [], "counts": [0], "exactly": {"0": 1, "1": 2}},
            id="only 0 and 1",
        ),
        pytest.param(
            [0.0, 1.0, 1.0],
            False,
            {"edges": [1.0], "counts": [1, 2]},
            id="0 and 1 not counted separately",
        ),
        pytest.param([7] * 5, False, {"edges": [7], "counts": [0, 5]}, id="one value"),
        pytest.param(
            [0.25, 0.5, 0.0, 0.5],
            True,
            {"edges": [0.5], "counts": [1, 2], "exactly": {"0": 1, "1": 0}},
            id="few values",
        ),
        pytest.param(
            list(range(11)),
            False,
            {"edges": list(range(1, 10)), "counts": [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]},
            id="deciles of eleven values",
        ),
        pytest.param(
            [3, 1, 2, 3, 3, 3, 3, 3, 3, 3, 9],
            False,
            {"edges": [2, 3], "counts": [1, 1, 9]},
            id="mostly equal values",
        ),
    ],
)
def test_bins_equal_those_that_were_counted_by_hand(
    values: list[float], apart: bool, expected: dict[str, Any]
) -> None:
    found = binned(values, apart=apart)
    assert found == expected
    assert [type(edge) for edge in found["edges"]] == [type(edge) for edge in expected["edges"]]


PORTIONS = st.lists(
    st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0, 0.5, 0.25])), max_size=80
)
COUNTS = st.lists(st.one_of(st.integers(0, 12), st.integers(0, 10_000)), max_size=80)
MEASURES = st.lists(st.floats(-100, 100, width=32), max_size=80)


@given(values=PORTIONS)
def test_values_that_are_neither_0_nor_1_are_all_in_bins(values: list[float]) -> None:
    found = binned(values, apart=True)
    assert sum(found["counts"]) == sum(value not in {0, 1} for value in values)
    assert found["exactly"] == {"0": values.count(0), "1": values.count(1)}


@given(values=st.one_of(PORTIONS, COUNTS, MEASURES), apart=st.booleans())
def test_bins_have_the_counts_of_a_range_aggregation(values: list[float], apart: bool) -> None:
    found = binned(values, apart=apart)
    inside = [value for value in values if not (apart and value in {0, 1})]
    assert found["counts"] == aggregated(inside, found["edges"])
    assert stored(found["edges"]) == found["edges"]
    assert found["edges"] == sorted(set(found["edges"]) & set(inside))
    assert len(found["counts"]) == len(found["edges"]) + 1 <= 10


@given(values=st.lists(st.floats(-100, 100, width=32), min_size=10, max_size=80, unique=True))
def test_each_bin_has_about_a_tenth_of_the_values_if_all_values_differ(values: list[float]) -> None:
    counts = binned(values, apart=False)["counts"]
    assert len(counts) == 10
    assert max(counts) <= len(values) / 10 + 2


@given(values=COUNTS)
def test_edges_of_whole_numbers_are_whole(values: list[int]) -> None:
    assert {type(edge) for edge in binned(values, apart=False)["edges"]} <= {int}


@pytest.mark.parametrize(
    ("score", "place"),
    [
        (0.5, 0),
        (0.549, 0),
        (0.551, 1),
        (0.649, 2),
        (0.651, 3),
        (0.75, 5),
        (0.949, 8),
        (0.951, 9),
        (0.999, 9),
        (1.0, 9),
    ],
)
def test_calibration_counts_a_score_in_the_right_bin(score: float, place: int) -> None:
    found = calibration([score], ["yes"], ["yes"])
    assert [one["count"] for one in found["bins"]] == [int(at == place) for at in range(10)]
    chosen = found["bins"][place]
    assert chosen == {
        "from": pytest.approx(0.5 + place / 20),
        "to": pytest.approx(0.55 + place / 20),
        "count": 1,
        "score": score,
        "right": 1,
    }
    assert all(set(one) == {"from", "to", "count"} for one in found["bins"] if one is not chosen)


def test_calibration_is_as_computed_by_hand() -> None:
    found = calibration(
        [0.81, 0.83, 0.84, 0.82, 0.96], ["a", "a", "b", "b", "a"], ["a", "b", "b", "b", "b"]
    )
    assert found["sentences"] == 5
    filled = {
        one["from"]: (one["count"], one["score"], one["right"])
        for one in found["bins"]
        if one["count"]
    }
    assert filled == {0.8: (4, pytest.approx(0.825), 0.75), 0.95: (1, 0.96, 0)}


@given(
    cases=st.lists(
        st.tuples(st.floats(0.5, 1, width=32), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        min_size=1,
        max_size=50,
    )
)
def test_calibration_counts_every_sentence(cases: list[tuple[float, str, str]]) -> None:
    scores, predicted, labels = (list(column) for column in zip(*cases, strict=True))
    bins = calibration(scores, predicted, labels)["bins"]
    assert sum(one["count"] for one in bins) == len(cases)
    assert sum(one["count"] * one.get("right", 0) for one in bins) == pytest.approx(
        sum(map(str.__eq__, predicted, labels))
    )
    assert sum(one["count"] * one.get("score", 0) for one in bins) == pytest.approx(sum(scores))
    assert all(one["from"] <= one["score"] <= one["to"] for one in bins if one["count"])


def test_rows_hold_every_number_and_no_text() -> None:
    records = some_records(50)
    labels = ["yes" if at % 2 else "no" for at in range(50)]
    found = rows(records, labels, NAMES)
    columns = found["columns"]
    assert columns == [PROBABILITY, *NUMBERS, *(f"input.sig.s{at}" for at in range(8)), "right"]
    assert "wug" not in json.dumps(found)
    expected = [
        [*(record[name] for name in columns[:-1]), int(record["prediction.label"] == label)]
        for record, label in zip(records, labels, strict=True)
    ]
    assert sorted([*stored(row[:1]), *row[1:]] for row in found["values"]) == sorted(expected)
    assert {row[-1] for row in found["values"]} == {0, 1}


def test_rows_are_not_in_the_order_of_the_corpus() -> None:
    found = rows(some_records(50), ["yes"] * 50, NAMES)
    order = [row[found["columns"].index("input.chars")] for row in found["values"]]
    assert order not in (sorted(order), sorted(order, reverse=True))
    assert sum(one + 1 == other for one, other in pairwise(order)) < 10
    assert rows(some_records(50), ["yes"] * 50, NAMES) == found


@given(value=st.floats(-1e6, 1e6, width=32))
def test_a_number_in_the_rows_is_rounded_as_in_the_index(value: float) -> None:
    (record,) = some_records(1)
    found = rows([record | {"input.novelty": value}], ["yes"], NAMES)
    (kept,) = stored([found["values"][0][found["columns"].index("input.novelty")]])
    assert kept == value


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(
            {"b": 1, "a": [1.5, None]}, '{"a":[1.5,null],"b":1}', id="names in order, no spaces"
        ),
        pytest.param({"a": {"d": 1, "c": 2}}, '{"a":{"c":2,"d":1}}', id="nested names in order"),
        pytest.param(["naïve"], '["naïve"]', id="letters without escapes"),
        pytest.param([0.1 + 0.2], "[0.30000000000000004]", id="every digit"),
    ],
)
def test_digest_is_the_digest_of_canonical_json(content: object, text: str) -> None:
    assert digest(content) == sha256(text.encode()).hexdigest()[:12]


@given(
    content=st.dictionaries(
        st.text(), st.one_of(st.integers(), st.floats(allow_nan=False), st.text()), max_size=6
    )
)
def test_the_digest_is_the_same_after_writing_and_reading(content: dict[str, Any]) -> None:
    read = json.loads(json.dumps(dict(reversed(content.items())), indent=2))
    assert digest(read) == digest(content)
    assert digest({**content, "another": 1}) != digest({**content, "another": 2})


def test_flat_joins_names_with_dots_and_rounds_numbers_as_the_index_does() -> None:
    nested = {"a": {"b": 0.1, "c": {"d": 3}}, "e": ["f"], "g": "h"}
    assert flat(nested) == {"a.b": float(np.float32(0.1)), "a.c.d": 3, "e": ["f"], "g": "h"}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(MODEL)


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[np.float64]]:
    """Return the columns of the reference predictions by name, as the index would store them."""
    values = np.array(PROFILE["rows"]["values"], dtype=np.float32).astype(np.float64)
    assert values.shape == (POPULATION, len(PROFILE["rows"]["columns"]))
    return dict(zip(PROFILE["rows"]["columns"], values.T, strict=True))


def outcomes(reference: dict[str, NDArray[np.float64]]) -> list[tuple[str, bool]]:
    """Return the predicted label of each reference sentence, and whether the label is right."""
    others = np.array([reference[name] for name in PROBABILITIES[1:]])
    # All probabilities add up to 1.
    every = np.vstack([1 - others.sum(axis=0), others])
    return [
        (LABELS[at], bool(right))
        for at, right in zip(every.argmax(axis=0), reference["right"], strict=True)
    ]


def test_the_card_names_this_profile() -> None:
    assert PROFILE["id"] == digest({name: part for name, part in PROFILE.items() if name != "id"})
    assert CARD["profile"] == PROFILE["id"]
    assert PROFILE["model"] == {
        name: CARD[name] for name in ("name", "version", "temperature", "max_tokens")
    }


@pytest.mark.parametrize("field", [name for name in PROFILE["counts"] if name != "input.flags"])
def test_counts_of_a_field_add_up_to_all_sentences(field: str) -> None:
    counts = PROFILE["counts"][field]
    if field in NUMBERS:
        assert sum(counts["counts"]) + sum(counts.get("exactly", {}).values()) == POPULATION
        assert ("exactly" in counts) == (field in SHARES)
    else:
        assert sum(counts.values()) == POPULATION


def test_profile_has_counts_of_every_field() -> None:
    assert set(PROFILE["counts"]) == {"prediction.label", "input.script", "input.flags", *NUMBERS}
    assert all(0 < count <= POPULATION for count in PROFILE["counts"]["input.flags"].values())


@pytest.mark.parametrize("field", NUMBERS)
def test_counts_of_the_profile_are_those_of_its_rows(
    field: str, reference: dict[str, NDArray[np.float64]]
) -> None:
    counts = PROFILE["counts"][field]
    values = reference[field].tolist()
    if "exactly" in counts:
        assert counts["exactly"] == {"0": values.count(0), "1": values.count(1)}
        values = [value for value in values if value not in {0, 1}]
    assert aggregated(values, counts["edges"]) == counts["counts"]
    assert stored(counts["edges"]) == counts["edges"]


def test_labels_and_confusion_of_the_profile_are_those_of_its_rows(
    reference: dict[str, NDArray[np.float64]],
) -> None:
    found, confusion = outcomes(reference), PROFILE["confusion"]
    assert Counter(predicted for predicted, _ in found) == PROFILE["counts"]["prediction.label"]
    for label in LABELS:
        assert sum(predicted == label and right for predicted, right in found) == confusion[
            label
        ].get(label, 0)
        assert sum(predicted == label for predicted, _ in found) == sum(
            row.get(label, 0) for row in confusion.values()
        )
    assert sum(sum(row.values()) for row in confusion.values()) == POPULATION


def test_calibration_of_the_profile_is_that_of_its_rows(
    reference: dict[str, NDArray[np.float64]],
) -> None:
    labels = ["right" if right else "wrong" for _, right in outcomes(reference)]
    expected = calibration(
        reference["prediction.score"].tolist(),
        ["right"] * POPULATION,
        labels,
        least=1 / len(LABELS),
    )
    for one, other in zip(PROFILE["calibration"]["bins"], expected["bins"], strict=True):
        assert one == pytest.approx(other)
    assert (
        PROFILE["calibration"]["sentences"]
        == POPULATION
        == sum(one["count"] for one in PROFILE["calibration"]["bins"])
    )


def test_reference_rows_resemble_the_rows_to_which_the_signature_was_fitted(
    reference: dict[str, NDArray[np.float64]],
) -> None:
    """Both groups are parts of the same sample, so their statistics must be similar.

    The means must differ by less than five standard errors, and the deviations by less than a
    third.
    """
    stated = PROFILE["signature"]
    signatures = np.array([reference[name] for name in stated["fields"]])
    deviations = np.sqrt(np.diag(np.array(stated["covariance"])))
    assert deviations == pytest.approx(
        np.full(len(signatures), stated["steps_a_deviation"]), rel=0.02
    )
    errors = deviations * np.sqrt(1 / POPULATION + 1 / (POPULATION * 2 / 3))
    assert (np.abs(signatures.mean(axis=1) - np.array(stated["mean"])) < 5 * errors).all()
    assert signatures.std(axis=1) == pytest.approx(deviations, rel=1 / 3)


def test_reference_rows_have_the_novelty_of_their_signature(
    reference: dict[str, NDArray[np.float64]],
) -> None:
    stated = PROFILE["signature"]
    difference = np.array([reference[name] for name in stated["fields"]]).T - stated["mean"]
    squared = np.einsum("ij,jk,ik->i", difference, np.linalg.inv(stated["covariance"]), difference)
    assert reference["input.novelty"] == pytest.approx(np.log(np.sqrt(squared)), abs=1e-3)


def test_reference_rows_have_only_possible_values(
    reference: dict[str, NDArray[np.float64]],
) -> None:
    assert set(np.unique(reference["right"])) == {0, 1}
    others = np.array([reference[name] for name in PROBABILITIES[1:]])
    highest = np.maximum(others.max(axis=0), 1 - others.sum(axis=0))
    assert highest == pytest.approx(reference["prediction.score"], abs=1e-6)
    assert (reference["prediction.score"] >= 1 / len(LABELS)).all()
    assert all(
        set(np.round(reference[name])) == set(reference[name])
        for name in PROFILE["signature"]["fields"]
    )


def test_the_projection_has_the_stated_digest() -> None:
    stated = PROFILE["signature"]
    kept = [np.array(stated[name], dtype=np.float32).tolist() for name in ("centre", "projection")]
    assert digest(kept) == PROFILE["projection"]
    assert np.array(kept[1]).shape == (len(kept[0]), len(stated["fields"]))


@pytest.mark.example
def test_golden_sentences_are_those_of_golden_json() -> None:
    ours = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert [{name: one[name] for name in ("case", "text")} for one in SENTENCES] == ours
    assert len({one["text"] for one in SENTENCES}) == len(SENTENCES) >= 32
    assert {one["label"] for one in SENTENCES} == set(CARD["labels"])


KINDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "truncated": lambda one: one["tokens"] + 2 > CARD["max_tokens"],
    "near-empty": lambda one: one["tokens"] <= 1,
    "only punctuation": lambda one: not any(map(str.isalnum, one["text"])),
    "non-latin": lambda one: (
        describe(one["text"], tokens=1, unknown=0, truncated=False, key=b"-", usual=USUAL)["script"]
        not in {*USUAL.scripts, "mixed"}
    ),
}


@pytest.mark.example
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_golden_sentence_occurs(kind: str) -> None:
    assert any(KINDS[kind](one) for one in SENTENCES)


def this_machine_is_like_the_one_that_made_the_profile() -> bool:
    return bool(made_on() == PROFILE["golden"]["made_on"])


@pytest.mark.parametrize(
    "golden", SENTENCES, ids=[f"{at} {one['case']}" for at, one in enumerate(SENTENCES)]
)
def test_golden_sentence_is_scored_as_stated(
    golden: dict[str, Any], classifier: Classifier
) -> None:
    prediction = classifier.predict(golden["text"])
    assert prediction.tokens == golden["tokens"]
    if this_machine_is_like_the_one_that_made_the_profile():
        assert prediction.score == pytest.approx(golden["score"], abs=1e-6, rel=0)
        assert (prediction.label, prediction.signature) == (golden["label"], golden["signature"])
    else:
        machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(
            platform.machine(), platform.machine()
        )
        tolerance = PROFILE["golden"]["tolerance"][machine]
        assert prediction.probability[golden["label"]] == pytest.approx(
            golden["score"], abs=tolerance, rel=0
        )

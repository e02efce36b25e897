"""Tests the graph for batches, which `whole` makes from a graph for one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from inference.classifier import Classifier
from inference.model_folder import OUTPUTS
from tests.models import TESTED
from training.graph import whole
from training.signature import COMPONENTS, LEAST_DISTANCE, Signature, bigram_bits, fit, surprisal

MODEL = TESTED
WIDTH, VOCABULARY = 16, 60
ODD = 50  # the first odd (unusual) id: embeddings of odd ids are far from all others
SENTENCES = [
    "Rain",
    "The boy is sitting on a bench.",
    "?!",
    "Мальчик сидит на скамейке.",
    (
        "Nobody who has ever been to the island has come back without a story that nobody else "
        "believed."
    ),
    "wug " * 60,
    "the dog and " * 200,
    "Sing birds the.",
]

Arrays = dict[str, NDArray[Any]]
Run = Callable[[NDArray[np.int64], NDArray[np.int64]], Arrays]


@dataclass(frozen=True)
class Toy:
    """A small graph for one sentence, in which every token depends on all other tokens.

    `whole` makes a graph for batches from it. `run` returns a function that runs the graph for
    batches.
    """

    sentence: onnx.ModelProto
    session: onnxruntime.InferenceSession
    signature: Signature
    bigrams: NDArray[np.uint8]

    def pooled(self, ids: list[int]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.session.run(["pooled"], {"ids": np.array([ids])})[0]
        return found

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.session.run(
            ["sentence_logits"], {"ids": np.array([ids])}
        )[0]
        return found

    def run(self, signature: Signature | None = None) -> Run:
        return runner(loaded(whole(self.sentence, signature or self.signature, self.bigrams)))


def loaded(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def runner(session: onnxruntime.InferenceSession) -> Run:
    return lambda ids, mask: dict(
        zip(OUTPUTS, session.run(OUTPUTS, {"input_ids": ids, "attention_mask": mask}), strict=True)
    )


def one_sentence() -> onnx.ModelProto:
    chance = np.random.default_rng(1)
    embeddings = (
        chance.normal(size=(VOCABULARY, WIDTH))
        * np.where(np.arange(VOCABULARY) < ODD, 1, 30)[:, None]
    )
    constants = {
        "toy_words": embeddings,
        "toy_head": chance.normal(size=(WIDTH, 2)),
        "toy_bias": np.array([0.5, -0.5]),
    }
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Squeeze", ["ids", "toy_tokens_axis"], ["toy_ids"]),
                helper.make_node("Gather", ["toy_words", "toy_ids"], ["toy_rows"]),
                helper.make_node("Transpose", ["toy_rows"], ["toy_turned"]),
                helper.make_node("MatMul", ["toy_rows", "toy_turned"], ["toy_products"]),
                helper.make_node("Softmax", ["toy_products"], ["toy_weights"]),
                helper.make_node("MatMul", ["toy_weights", "toy_rows"], ["toy_context"]),
                helper.make_node("Add", ["toy_rows", "toy_context"], ["toy_sum"]),
                helper.make_node(
                    "ReduceMean", ["toy_sum", "toy_tokens_axis"], ["pooled"], keepdims=0
                ),
                helper.make_node("MatMul", ["pooled", "toy_head"], ["toy_scores"]),
                helper.make_node("Add", ["toy_scores", "toy_bias"], ["sentence_logits"]),
            ],
            "toy",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"])],
            [
                helper.make_tensor_value_info("sentence_logits", TensorProto.FLOAT, [2]),
                helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [WIDTH]),
            ],
            [
                numpy_helper.from_array(np.array([0]), "toy_tokens_axis"),
                *(
                    numpy_helper.from_array(value.astype(np.float32), name)
                    for name, value in constants.items()
                ),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )


def sentences(count: int, *, odd: bool, seed: int) -> list[list[int]]:
    chance = np.random.default_rng(seed)
    return [
        chance.integers(0, VOCABULARY if odd else ODD, size=chance.integers(2, 15)).tolist()
        for _ in range(count)
    ]


def padded(rows: list[list[int]], filler: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    longest = max(map(len, rows))
    ids = [[*row, *[filler] * (longest - len(row))] for row in rows]
    return np.array(ids), np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


def assert_outputs_do_not_depend_on_the_batch(
    run: Run, rows: list[list[int]], filler: int = 0
) -> None:
    together = run(*padded(rows, filler))
    for at, row in enumerate(rows):
        alone = run(*padded([row]))
        for name in OUTPUTS:
            assert together[name][at].tobytes() == alone[name][0].tobytes(), (name, at)


@pytest.fixture(scope="module")
def toy() -> Toy:
    model = one_sentence()
    session = loaded(model)
    drawn = sentences(300, odd=False, seed=2)
    pooled = np.array([session.run(["pooled"], {"ids": np.array([ids])})[0] for ids in drawn])
    return Toy(model, session, fit(pooled), bigram_bits(drawn))


@pytest.fixture(scope="module")
def run(toy: Toy) -> Run:
    return toy.run()


ROWS = st.lists(
    st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=40), min_size=1, max_size=8
)


@settings(max_examples=100)
@given(rows=ROWS, filler=st.integers(0, VOCABULARY - 1))
def test_padding_and_other_rows_do_not_change_the_outputs_of_a_row(
    run: Run, rows: list[list[int]], filler: int
) -> None:
    assert_outputs_do_not_depend_on_the_batch(run, rows, filler)


def test_outputs_have_one_row_for_each_sentence(run: Run) -> None:
    found = run(*padded(sentences(5, odd=True, seed=3)))
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "logits": ((5, 2), "float32"),
        "signature": ((5, COMPONENTS), "int8"),
        "novelty": ((5,), "float32"),
        "surprisal": ((5,), "float32"),
    }


def test_logits_are_those_of_the_sentence_graph(toy: Toy, run: Run) -> None:
    rows = sentences(40, odd=True, seed=4)
    assert run(*padded(rows))["logits"] == pytest.approx(
        np.array([toy.logits(row) for row in rows]), rel=1e-6, abs=1e-6
    )


def test_signature_is_the_one_that_numpy_computes(toy: Toy, run: Run) -> None:
    rows = sentences(200, odd=True, seed=5)
    pooled = np.array([toy.pooled(row) for row in rows])
    exact = (pooled.astype(np.float64) - toy.signature.centre) @ toy.signature.projection
    # only values with a fraction far from .5: their rounding does not depend on the last digit
    clear = np.abs(exact - np.floor(exact) - 0.5) > 0.01
    expected = toy.signature.of(pooled)
    found = run(*padded(rows))["signature"]
    assert (found[clear] == expected[clear]).all()
    assert np.abs(found - expected).max() <= 1
    assert clear.mean() > 0.9
    assert (found.min(), found.max()) == (-127, 127)
    assert len(np.unique(found)) > 100


@pytest.mark.parametrize("odd", [False, True], ids=["like the reference", "unlike the reference"])
@pytest.mark.parametrize("correlated", [False, True], ids=["uncorrelated", "correlated"])
def test_novelty_is_the_logarithm_of_the_distance_from_the_reference(
    toy: Toy,
    odd: bool,
    correlated: bool,
) -> None:
    mixing = np.tril(np.full((COMPONENTS, COMPONENTS), 9.0)) if correlated else np.eye(COMPONENTS)
    reference = replace(toy.signature, covariance=mixing @ toy.signature.covariance @ mixing.T)
    found = toy.run(reference)(*padded(sentences(100, odd=odd, seed=6)))
    difference = found["signature"] - reference.mean
    squared = np.einsum("ij,jk,ik->i", difference, np.linalg.inv(reference.covariance), difference)
    assert found["novelty"] == pytest.approx(np.log(np.sqrt(squared)), abs=1e-4)


def test_novelty_is_finite_if_the_distance_is_zero(toy: Toy, run: Run) -> None:
    row = sentences(1, odd=False, seed=7)[0]
    (signature,) = run(*padded([row]))["signature"]
    at_the_mean = replace(toy.signature, mean=signature.astype(np.float64))
    assert toy.run(at_the_mean)(*padded([row]))["novelty"] == pytest.approx(
        np.log(LEAST_DISTANCE), abs=1e-6
    )


def test_surprisal_is_the_one_that_numpy_computes(toy: Toy, run: Run) -> None:
    rows = [*sentences(100, odd=True, seed=8), *sentences(50, odd=False, seed=2)]
    found = run(*padded(rows))["surprisal"]
    assert found == pytest.approx(
        np.array([surprisal(np.array(row), toy.bigrams) for row in rows]), rel=1e-6
    )
    assert found[100:].mean() < found[:100].mean()


def test_surprisal_counts_every_pair_up_to_the_last(run: Run, toy: Toy) -> None:
    for row in ([1, 2], [2, 1], [1, 2, 3], [3, 2, 1], [59, 58, 57, 56]):
        assert run(*padded([row, [0] * 9]))["surprisal"][0] == pytest.approx(
            surprisal(np.array(row), toy.bigrams), rel=1e-6
        )


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(MODEL)


@pytest.fixture(scope="module")
def encoded(classifier: Classifier) -> list[list[int]]:
    limit = classifier.card["max_tokens"]
    every = [
        ids.ids
        for ids in Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode_batch(SENTENCES)
    ]
    cut = [classifier.shortened(ids) for ids in every]
    assert max(map(len, cut)) == limit
    return cut


ORDERS = [
    range(len(SENTENCES)),
    range(len(SENTENCES) - 1, -1, -1),
    *list(permutations(range(len(SENTENCES))))[12_345::14_000],
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_the_model_gives_a_sentence_the_same_outputs_in_a_batch_and_alone(
    classifier: Classifier, encoded: list[list[int]], order: tuple[int, ...]
) -> None:
    assert_outputs_do_not_depend_on_the_batch(
        runner(classifier._session), [encoded[at] for at in order]
    )


def test_the_model_scores_a_batch_as_the_classifier_scores_each_sentence(
    classifier: Classifier, encoded: list[list[int]]
) -> None:
    found = runner(classifier._session)(*padded(encoded))
    for at, sentence in enumerate(SENTENCES):
        prediction = classifier.predict(sentence)
        assert found["logits"][at].tolist() == classifier.logits(sentence)
        assert found["signature"][at].tolist() == prediction.signature
        assert (found["novelty"][at], found["surprisal"][at]) == (
            prediction.novelty,
            prediction.surprisal,
        )
        assert classifier.card["labels"][found["logits"][at].argmax()] == prediction.label

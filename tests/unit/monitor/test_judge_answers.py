"""Tests that one run of the canary finds any misconfiguration, and no fault in a right model.

The canary sends *golden sentences* to the deployed function. They are texts with the answers that
the model gave when it was made.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import pytest

from inference.description import version
from monitor.canary.ask_function import Reply
from monitor.canary.canary_run import Verdict, check
from monitor.canary.golden_sentences import GoldenUnreadable, Model, shipped_model
from monitor.canary.judge_answers import compare, differences, faults
from tests.models import SHIPPED
from tests.unit.monitor.deployed import NAME, Change, Function, changed, replace

EXPECTED = shipped_model()
LIVE = f"{NAME}:live"
RECORDED = json.loads(Path(__file__).with_name("canary_scores.json").read_text(encoding="utf-8"))


def deployed(folder: Path, **given: Any) -> Function:
    return Function({"7": folder}, lambda: "7", **given)


def run(function: Function, expected: Model = EXPECTED) -> Any:
    return check(function.ask, LIVE, expected, f"{NAME}:7")


def swapped(card: dict[str, Any], _folder: Path) -> None:
    card["labels"].reverse()


def lower_casing_lost(_card: dict[str, Any], folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert tokenizer["normalizer"]["lowercase"] is True
    tokenizer["normalizer"]["lowercase"] = False
    replace(folder, "tokenizer.json", json.dumps(tokenizer).encode())


def another_tokenizer(_card: dict[str, Any], folder: Path) -> None:
    """Give the same word pieces other numbers."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    words = [piece for piece in vocabulary if not piece.startswith("[")]
    numbers = [vocabulary[piece] for piece in words]
    random.Random(0).shuffle(numbers)  # noqa: S311
    vocabulary.update(zip(words, numbers, strict=True))
    replace(folder, "tokenizer.json", json.dumps(tokenizer).encode())


def longest(tokens: int) -> Change:
    def change(card: dict[str, Any], _folder: Path) -> None:
        card["max_tokens"] = tokens

    return change


def temperature_lost(card: dict[str, Any], _folder: Path) -> None:
    card["temperature"] = 1.0


def another_version(card: dict[str, Any], _folder: Path) -> None:
    card["version"] = "0123456789ab"


def older_file(_card: dict[str, Any], folder: Path) -> None:
    """Change the model's file, but not its answers."""
    replace(folder, "model.onnx", (SHIPPED / "model.onnx").read_bytes() + b"\x32\x00")


# Each case has a misconfiguration, words of the reported fault, and whether the answers show the
# fault. If they do not, only the card or the digest shows it.
@pytest.mark.parametrize(
    ("change", "words", "by_answers"),
    [
        (swapped, "39 of 40 golden sentences have another label", True),
        (lower_casing_lost, "count of word pieces", True),
        (another_tokenizer, "golden sentences have another label", True),
        (longest(32), "are cut at another length", True),
        (longest(64), "are cut at another length", True),
        (longest(127), "max_tokens is 127 instead of 128", False),
        (temperature_lost, "a score differs by", True),
        (another_version, "version is 0123456789ab instead of", False),
        (older_file, "the digest of the model's files is", False),
    ],
)
def test_one_run_finds_a_misconfigured_package(
    change: Change, words: str, by_answers: bool, tmp_path: Path
) -> None:
    result = run(deployed(changed(SHIPPED, tmp_path / "model", change)))
    assert result.verdict == Verdict.FAIL
    assert words in "; ".join(result.faults)
    assert bool(list(faults(EXPECTED, result.figures))) == by_answers


def stuck(answers: Any) -> Any:
    for each in answers.get("predictions", ()):
        each["prediction"] = {"label": EXPECTED.card["labels"][0], "score": 0.8}
    return answers


def noisy(answers: Any) -> Any:
    chance = random.Random(1)  # noqa: S311
    for each in answers["predictions"]:
        each["prediction"]["score"] += chance.gauss(0, 0.05)
    return answers


def half(answers: Any) -> Any:
    return {"predictions": answers["predictions"][::2]}


def bare(answers: Any) -> Any:
    """Answer like a package that is older than the canary."""
    for each in answers["predictions"]:
        del each["input"]
    return answers


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (stuck, "have another label"),
        (noisy, "a score differs by"),
        (half, "20 of 40 golden sentences were answered"),
        (bare, "an answer lacks a field to compare (KeyError: 'input')"),
        (lambda _: {"title": "Prediction failed"}, "got no predictions (Prediction failed)"),
        (lambda _: "text", "got no predictions ()"),
    ],
)
def test_one_run_finds_wrong_answers(spoil: Any, words: str) -> None:
    result = run(deployed(SHIPPED, spoil=spoil))
    assert result.verdict == Verdict.FAIL
    assert words in "; ".join(result.faults)


def matrices(graph: Any) -> Iterator[Any]:
    for tensor in graph.initializer:
        size = len(tensor.raw_data)
        if len(tensor.dims) == 2 and size > 50_000:
            yield tensor
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from matrices(attribute.g)


def test_a_weight_matrix_of_zeros_is_found_by_the_answers(tmp_path: Path) -> None:
    model = onnx.load(SHIPPED / "model.onnx")
    found = list(matrices(model.graph))
    assert len(found) > 20
    # Every third matrix is tested. These include some matrices of each kind.
    for place, tensor in enumerate(found[::3]):
        weights = tensor.raw_data
        tensor.raw_data = bytes(len(weights))
        folder = changed(SHIPPED, tmp_path / str(place), lambda *_: None)
        replace(folder, "model.onnx", model.SerializeToString())
        tensor.raw_data = weights
        result = run(deployed(folder))
        (folder / "model.onnx").unlink()
        assert list(faults(EXPECTED, result.figures)), tensor.name


def test_the_model_that_was_built_passes() -> None:
    function = deployed(SHIPPED)
    result = run(function)
    assert (result.verdict, result.faults) == (Verdict.PASS, ())
    assert (
        result.sentence
        == "The model gives the same answers to 40 golden sentences as when it was made."
    )
    assert result.source.version == EXPECTED.card["version"]
    assert [event.get("traffic") for _, event in function.asked[:2]] == ["canary", None]


@pytest.mark.example
@pytest.mark.parametrize(
    ("field", "difference", "sentences", "found"),
    [
        ("signature", 2, 40, []),
        ("signature", -3, 1, ["a signature differs by 3 steps, at most 2 are usual"]),
        ("score", 0.039, 1, []),
        ("score", 0.041, 1, ["a score differs by 0.041, at most 0.040 is usual"]),
        ("score", 0.009, 40, []),
        ("score", -0.011, 40, ["scores differ by 0.0110 in the mean, at most 0.0100 is usual"]),
        ("tokens", 1, 1, ["1 of 40 golden sentences have another count of word pieces"]),
    ],
)
def test_differences_up_to_each_limit_pass_and_larger_differences_fail(
    field: str, difference: float, sentences: int, found: list[str]
) -> None:
    answers = []
    for place, each in enumerate(EXPECTED.sentences):
        given: dict[str, Any] = {**asdict(each), "truncated": each.tokens > 100}
        if place < sentences and field == "signature":
            given[field] = (given[field][0] + difference, *given[field][1:])
        elif place < sentences:
            given[field] += difference
        answers.append({"prediction": given, "input": given})
    assert list(faults(EXPECTED, compare(EXPECTED, answers))) == found


@pytest.mark.parametrize(
    ("stated", "score", "labels"),
    [
        (0.51, 0.52, 0),  # the expected label now has at most 0.48
        (0.51, 0.54, 1),  # the expected label now has at most 0.46
        (0.90, 0.90, 1),
        (0.40, 0.41, 0),  # if there are three labels, the expected label can still have 0.40
        (0.40, 0.60, 1),  # the other label had at most 0.40
        (0.40, 0.95, 1),
    ],
)
def test_another_label_is_no_fault_if_two_labels_are_nearly_equally_probable(
    stated: float, score: float, labels: int
) -> None:
    """Golden sentences include texts with two labels that are nearly equally probable.

    For such a text, another processor may give the other label.
    """
    golden = {"text": "a", "label": "one", "score": stated, "tokens": 1, "signature": []}
    model = Model.of({"max_tokens": 128}, {"sentences": [golden], "tolerance": {}})
    seen = {"tokens": 1, "truncated": False, "signature": []}
    answer = {"prediction": {"label": "another", "score": score}, "input": seen}
    assert compare(model, [answer]).labels == labels


@pytest.mark.parametrize(
    ("processor", "found"),
    [
        ("Haswell", []),  # with AVX2, like every x86_64 processor of Lambda
        ("Nehalem", ["a score differs by 0.041, at most 0.040 is usual"]),  # without AVX
    ],
)
def test_recorded_scores_pass_on_a_processor_with_avx2_and_fail_without_avx(
    processor: str, found: list[str]
) -> None:
    golden = [{"text": str(at), **each} for at, each in enumerate(RECORDED["golden"])]
    content = {"sentences": golden, "tolerance": {}}
    model = Model.of({"max_tokens": RECORDED["max_tokens"]}, content)
    answers = [{"prediction": each, "input": each} for each in RECORDED["processors"][processor]]
    assert list(faults(model, compare(model, answers))) == found


def newer(card: dict[str, Any], folder: Path) -> None:
    """Make another model, with other scores and other golden sentences."""
    card["temperature"] = 2.0
    card["version"] = version(folder, 2.0)
    profile = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
    profile["golden"]["sentences"] = profile["golden"]["sentences"][::-1][:10]
    replace(folder, "profile.json", json.dumps(profile).encode())


def restated(folder: Path) -> Path:
    """Put the answers of the folder's model into its golden sentences. Return the folder."""
    model = Function({"1": folder}, lambda: "1")
    profile = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
    sentences = profile["golden"]["sentences"]
    event = {"sentences": [each["text"] for each in sentences], "traffic": "canary"}
    for each, found in zip(sentences, model.ask("x:1", event).content["predictions"], strict=True):
        each.update(found["prediction"], **{k: found["input"][k] for k in ("tokens", "signature")})
    (folder / "profile.json").write_text(json.dumps(profile), encoding="utf-8")
    return folder


def test_a_gradual_rollout_of_another_model_is_no_failure(tmp_path: Path) -> None:
    """The canary passes with the answers of both versions, also while the rollout is reversed."""
    folder = restated(changed(SHIPPED, tmp_path / "model", newer))
    expected = shipped_model((folder,))
    chance = random.Random(3)  # noqa: S311
    function = Function({"6": SHIPPED, "7": folder}, lambda: "7" if chance.random() < 0.5 else "6")
    results = [check(function.ask, LIVE, expected, f"{NAME}:7") for _ in range(12)]
    assert {each.verdict for each in results} == {Verdict.PASS}
    notes = {each.source.function_version: each.sentence for each in results}
    assert set(notes) == {"6", "7"}
    assert "(function version 6 answers, and 7 is deployed)" in notes["6"]
    back = [check(function.ask, LIVE, EXPECTED, f"{NAME}:6") for _ in range(12)]
    assert {each.verdict for each in back} == {Verdict.PASS}


def test_a_rollout_from_a_version_without_golden_sentences_is_not_judged() -> None:
    """In the first deployment with a canary, the old version has no golden sentences."""
    function = deployed(SHIPPED)

    def ask(name: str, event: Any) -> Reply:
        reply = function.ask(name, event)
        if event.get("describe"):
            del reply.content["golden"], reply.content["digest"]
            return Reply(reply.content, "6")
        return Reply(bare(reply.content), "6")

    function.versions["6"] = SHIPPED
    result = check(ask, LIVE, EXPECTED, f"{NAME}:7")
    assert (result.verdict, result.faults) == (Verdict.UNJUDGED, ())
    assert result.sentence == (
        "Not judged: function version 6 answers, and 7 is deployed. "
        "The version that answers has no golden sentences."
    )


def test_a_broken_older_version_is_found_by_its_own_golden_sentences(tmp_path: Path) -> None:
    folder = changed(SHIPPED, tmp_path / "model", swapped)
    function = Function({"6": folder, "7": SHIPPED}, lambda: "6")
    result = run(function)
    assert result.verdict == Verdict.FAIL
    assert "39 of 40 golden sentences have another label" in result.faults


def test_another_model_in_the_deployed_version_is_not_judged_by_its_own_sentences(
    tmp_path: Path,
) -> None:
    """The wrong model would pass its own golden sentences."""
    folder = restated(changed(SHIPPED, tmp_path / "model", newer))
    result = run(deployed(folder))
    assert result.verdict == Verdict.FAIL
    assert "temperature is 2.0 instead of 2.3522878423893285" in result.faults


def test_many_sentences_are_asked_in_several_requests() -> None:
    many = Model(EXPECTED.card, EXPECTED.sentences * 4, EXPECTED.tolerance)
    function = deployed(SHIPPED)
    result = run(function, many)
    assert (result.verdict, result.figures.asked) == (Verdict.PASS, 160)
    assert [len(event["sentences"]) for _, event in function.asked if "sentences" in event] == [
        64,
        64,
        32,
    ]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda golden: golden.pop("sentences"), "KeyError: 'sentences'"),
        (lambda golden: golden["sentences"].clear(), "has no golden sentence"),
        (lambda golden: golden["sentences"][3].pop("tokens"), "KeyError: 'tokens'"),
        (lambda golden: golden["sentences"][3].update(score="high"), "ValueError"),
        (lambda golden: golden.update(tolerance=0.04), "AttributeError"),
    ],
)
def test_unreadable_golden_sentences_are_reported_in_a_sentence(spoil: Any, words: str) -> None:
    profile = json.loads((SHIPPED / "profile.json").read_text(encoding="utf-8"))
    spoil(profile["golden"])
    with pytest.raises(GoldenUnreadable, match=words):
        Model.of(EXPECTED.card, profile["golden"])


def test_a_package_without_golden_sentences_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(GoldenUnreadable, match="holds no golden sentences"):
        shipped_model((tmp_path,))
    (tmp_path / "card.json").write_text("{}", encoding="utf-8")
    (tmp_path / "profile.json").write_text("{", encoding="utf-8")
    with pytest.raises(GoldenUnreadable, match="cannot be read as card and profile"):
        shipped_model((tmp_path,))


def test_no_fault_quotes_a_golden_sentence(tmp_path: Path) -> None:
    result = run(deployed(changed(SHIPPED, tmp_path / "model", swapped)))
    written = json.dumps(result.fields(), ensure_ascii=False)
    assert not [
        each.text for each in EXPECTED.sentences if len(each.text) > 5 and each.text in written
    ]


def test_a_description_that_equals_the_card_has_no_difference() -> None:
    card = dict(EXPECTED.card)
    described = {"card": copy.deepcopy(card), "digest": card["version"]}
    assert list(differences(card, described)) == []

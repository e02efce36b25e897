from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import combinations
from math import log, sqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.root import ROOT
from training.corpora import (
    PUT_ASIDE,
    SELECTION,
    CorpusMissing,
    Example,
    Split,
    Token,
    bare,
    blimp,
    cola,
    ewt,
    put_aside,
    split,
)
from training.corrupt import (
    CORRUPTIONS,
    TWICE,
    Corruption,
    corrupted,
    detokenised,
    different,
    exchanging_verbs,
    lemmatised,
    substitute,
)
from training.figures import accuracy, calibration_error, fit_temperature, interval, matthews
from training.recipe import real_against_corrupted

COLA = (
    "book1\t1\t\tThe wug is red.\nbook1\t0\t*\tThe wug are red. \n\n"
    "book2\t1\t\tNaïve “wugs” sing.\n"
)
EWT = """\
# text = The wugs don't sing.
1\tThe\tthe\tDET\tDT\tDefinite=Def
2\twugs\twug\tNOUN\tNNS\tNumber=Plur
3-4\tdon't\t_\t_\t_\t_
3\tdo\tdo\tAUX\tVBP\tMood=Ind
4\tn't\tnot\tPART\tRB\t_
4.1\tever\tever\tADV\tRB\t_
5\tsing\tsing\tVERB\tVB\tVerbForm=Inf\t0\troot\t_\t_
6\t.\t.\tPUNCT\t.\t_

1\tToo\ttoo\tADV\tRB\t_
2\tshort\tshort\tADJ\tJJ\t_

"""
BLIMP = "paradigm\tgood\tbad\n" + "".join(
    f"{paradigm}\tThe {paradigm} wug {n} is.\tThe {paradigm} wug {n} are.\n"
    for paradigm in ("agreement", "binding")
    for n in range(5)
)


def token(form: str, lemma: str, upos: str) -> Token:
    return Token(form, lemma, upos, "_")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, content in {
        "cola/in_domain_train.tsv": COLA.encode(),
        "ewt/a.conllu.gz": gzip.compress(EWT.encode()),
        "blimp/blimp_pairs.tsv.gz": gzip.compress(BLIMP.encode()),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_cola_gives_sentences_with_labels(data: Path) -> None:
    assert cola(data, "train") == [
        Example("The wug is red.", 1),
        Example("The wug are red.", 0),
        Example("Naïve “wugs” sing.", 1),
    ]


def test_ewt_gives_words_of_sentences_that_are_long_enough(data: Path) -> None:
    (sentence,) = ewt(data)
    assert [word.form for word in sentence] == ["The", "wugs", "do", "n't", "sing", "."]
    assert sentence[1] == Token("wugs", "wug", "NOUN", "Number=Plur")


@pytest.mark.parametrize(("length", "kept"), [(2, 0), (3, 1), (40, 1), (41, 0)])
def test_ewt_keeps_sentences_of_3_to_40_words(tmp_path: Path, length: int, kept: int) -> None:
    (tmp_path / "ewt").mkdir()
    rows = "".join(f"{at}\twug\twug\tNOUN\tNN\t_\n" for at in range(1, length + 1))
    (tmp_path / "ewt" / "a.conllu.gz").write_bytes(gzip.compress(f"{rows}\n".encode()))
    assert len(ewt(tmp_path)) == kept


def test_ewt_reads_every_file(data: Path) -> None:
    (data / "ewt" / "b.conllu.gz").write_bytes(gzip.compress(EWT.encode()))
    assert len(ewt(data)) == 2


@pytest.mark.parametrize(("asked", "pairs"), [(0, 0), (1, 2), (3, 6), (9, 10)])
def test_blimp_gives_pairs_of_each_paradigm(data: Path, asked: int, pairs: int) -> None:
    examples = blimp(data, asked, seed=1)
    good, bad = examples[::2], examples[1::2]
    assert len(good) == len(bad) == pairs
    assert {example.label for example in good} <= {1}
    assert [Example(example.sentence.replace("is.", "are."), 0) for example in good] == bad
    assert len({example.sentence for example in good}) == pairs
    assert sum("binding" in example.sentence for example in good) == pairs / 2
    assert blimp(data, asked, seed=1) == examples


@pytest.mark.parametrize(
    ("read", "path"),
    [
        pytest.param(
            lambda folder: cola(folder, "train"), "cola/in_domain_train.tsv", id="cola train"
        ),
        pytest.param(lambda folder: cola(folder, "dev"), "cola/in_domain_dev.tsv", id="cola dev"),
        pytest.param(ewt, "ewt/*.conllu.gz", id="ewt"),
        pytest.param(lambda folder: blimp(folder, 1, 1), "blimp/blimp_pairs.tsv.gz", id="blimp"),
    ],
)
def test_the_error_about_a_missing_corpus_names_its_path(
    read: object, path: str, tmp_path: Path
) -> None:
    assert callable(read)
    with pytest.raises(CorpusMissing) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"no corpus at {tmp_path / path}. ")


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_successive_sentences_that_share_words_are_put_aside_together_or_not_at_all(
    sizes: list[int], share: float, seed: int
) -> None:
    families = [
        [Example(f"wug{at} dax{at} blick{at} {variant}", variant % 2) for variant in range(size)]
        for at, size in enumerate(sizes)
    ]
    examples = [example for family in families for example in family]
    at_least = int(share * len(examples))
    rest, aside = put_aside(examples, at_least, seed)
    assert sorted(example.sentence for example in rest + aside) == sorted(
        example.sentence for example in examples
    )
    assert not set(rest) & set(aside)
    assert at_least <= len(aside) < at_least + max(sizes)
    assert all(set(family) <= set(aside) or set(family) <= set(rest) for family in families)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        pytest.param(
            "The wug is red", "the WUG sang loudly", True, id="half of the words, whatever the case"
        ),
        pytest.param("the wug is red", "the dax sang loudly", False, id="less than half"),
        pytest.param(
            "wugs sing",
            "all of the wugs there sing now",
            True,
            id="all words of the shorter sentence",
        ),
    ],
)
def test_successive_sentences_stay_together_if_they_share_half_of_the_shorter_sentence(
    one: str, other: str, together: bool
) -> None:
    rest, aside = put_aside([Example(one, 1), Example(other, 0)], 1, 1)
    assert (len(rest), len(aside)) == ((0, 2) if together else (1, 1))


def test_sentences_are_put_aside_at_random_but_repeatably() -> None:
    examples = [Example(f"wug{at}", 1) for at in range(50)]
    assert put_aside(examples, 10, 1) == put_aside(examples, 10, 1) != put_aside(examples, 10, 2)


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        pytest.param("The wug isn't red.", "thewugisntred", id="marks and capitals"),
        pytest.param("The wug is n't red .", "thewugisntred", id="spaces as in a treebank"),
        pytest.param("  wug\t42\n", "wug42", id="white space and digits"),
        pytest.param("Naïve “wugs”", "naïvewugs", id="accents stay"),
        pytest.param("?! …", "", id="only marks"),
    ],
)
def test_the_bare_form_of_a_sentence_has_only_letters_and_digits(sentence: str, left: str) -> None:
    assert bare(sentence) == left


@given(
    words=st.lists(st.text("abcXYZ019é", min_size=1), max_size=9),
    marks=st.lists(st.text(" .,'-\t“”?!"), min_size=10, max_size=10),
)
def test_the_bare_form_does_not_depend_on_marks_or_spaces(
    words: list[str], marks: list[str]
) -> None:
    written = "".join(mark + word for word, mark in zip([*words, ""], marks, strict=False))
    assert bare(written) == bare("".join(words)) == bare(bare(written))


def corpus(sentences: list[str]) -> bytes:
    return "".join(
        f"book\t{at % 2}\t\t{sentence}\n" for at, sentence in enumerate(sentences)
    ).encode()


FAMILIES = [[f"The wug{at} blicks dax{at}.", f"The wug{at} blick dax{at}!"] for at in range(1300)]
# Some sentences of `FAMILIES` occur again, with other marks and spaces, at the end of the corpus.
TWINS = [f"Thewug{at} blicksdax{at}" for at in range(0, 1300, 20)]
COLA_DEV = [
    "Quite unlike any other sentence.",
    *(f"the  WUG{at} blicks, dax{at}" for at in range(7, 1300, 50)),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    (folder / "cola").mkdir()
    (folder / "cola" / "in_domain_train.tsv").write_bytes(
        corpus([*(variant for family in FAMILIES for variant in family), *TWINS])
    )
    (folder / "cola" / "in_domain_dev.tsv").write_bytes(corpus(COLA_DEV))
    return folder


@pytest.fixture(scope="module")
def parts(large: Path) -> Split:
    return split(large)


def bares(examples: list[Example]) -> set[str]:
    return {bare(example.sentence) for example in examples}


@pytest.mark.parametrize(
    ("one", "other"), [*combinations(("train", "selection", "aside", "dev"), 2)]
)
def test_a_split_has_no_sentence_in_two_parts(parts: Split, one: str, other: str) -> None:
    assert bares(getattr(parts, one)).isdisjoint(bares(getattr(parts, other)))


def test_parts_of_a_split_have_the_stated_sizes(parts: Split, large: Path) -> None:
    everything = cola(large, "train")
    assert parts.dev == cola(large, "dev")
    assert PUT_ASIDE - len(COLA_DEV) <= len(parts.aside) <= PUT_ASIDE + 1
    assert SELECTION - len(COLA_DEV) - len(TWINS) <= len(parts.selection) <= SELECTION + 1
    kept = [*parts.train, *parts.selection, *parts.aside]
    assert set(kept) <= set(everything)
    assert bares(kept) | bares(parts.dev) == bares(everything) | bares(parts.dev)


def test_a_split_keeps_the_variants_of_a_sentence_in_one_part(parts: Split) -> None:
    elsewhere = {bare(sentence) for sentence in TWINS} | bares(parts.dev)
    homes = [bares(part) for part in (parts.train, parts.selection, parts.aside)]
    families = [{bare(sentence) for sentence in family} for family in FAMILIES]
    whole = [family for family in families if not family & elsewhere]
    assert len(whole) > 1000
    assert all(any(family <= home for home in homes) for family in whole)
    assert all(any(family <= home for family in whole) for home in homes)


def test_a_split_is_the_same_each_time(parts: Split, large: Path) -> None:
    assert split(large) == parts


def test_a_corpus_that_is_too_small_is_not_split(data: Path) -> None:
    (data / "cola" / "in_domain_dev.tsv").write_bytes(corpus(COLA_DEV))
    with pytest.raises(ValueError, match="too few"):
        split(data)


WORDS = st.lists(
    st.sampled_from(["the", "The", "is", "wug", "wugs", "sing", "singing", "dances", "red.", "I"]),
    min_size=3,
    max_size=9,
)


@pytest.mark.parametrize(
    "corruption", dict.fromkeys(CORRUPTIONS), ids=lambda corruption: corruption.__name__
)
@given(words=WORDS, seed=st.integers(0, 999))
def test_a_corruption_adds_or_removes_at_most_one_word(
    corruption: Corruption, words: list[str], seed: int
) -> None:
    before = list(words)
    after = corruption(words, random.Random(seed))  # noqa: S311
    assert words == before
    if after is not None:
        assert "" not in after
        assert {type(word) for word in after} == {str}
        assert abs(len(after) - len(words)) <= 1


@given(words=WORDS, seed=st.integers(0, 999))
def test_a_corrupted_sentence_differs_from_the_original(words: list[str], seed: int) -> None:
    changed = corrupted(" ".join(words), random.Random(seed))  # noqa: S311
    assert changed is None or (changed.split() != words and changed == " ".join(changed.split()))


def test_every_kind_of_corruption_occurs() -> None:
    found = {corrupted("The wug was singing", random.Random(seed)) for seed in range(300)}  # noqa: S311
    assert {
        "wug The was singing",  # swapped
        "The wug singing",  # dropped
        "The wug was was singing",  # doubled
        "wug was singing The",  # moved
        "The wug were singing",  # substituted
        "The wug was sing",  # inflected
    } <= found


@pytest.mark.parametrize(
    ("word", "others"),
    [
        pytest.param("was", {"were"}, id="was"),
        pytest.param(
            "is",
            {"are", "am", "be", "been", "being", "can", "could", "may", "has", "does"},
            id="is, a word of three classes",
        ),
        pytest.param(
            "has",
            {"have", "having", "can", "could", "may", "is", "does"},
            id="has, a word of two classes",
        ),
        pytest.param(
            "him",
            {"he", "his", "himself", "herself", "themselves", "itself", "it", "her", "them"},
            id="him, a word of two classes",
        ),
        pytest.param(
            "that", {"those", "if", "whether", "than", "as"}, id="that, a word of three classes"
        ),
    ],
)
def test_a_function_word_is_replaced_by_any_word_of_its_classes(
    word: str, others: set[str]
) -> None:
    found = {
        tuple(substitute(["Wugs", word, "it."], random.Random(seed)) or ())  # noqa: S311
        for seed in range(300)
    }
    assert found == {("Wugs", other, "it.") for other in others}


VERBS = [
    [token("wugs", "wug", "NOUN"), token(verb, verb, "VERB"), token("In", "in", "ADP")]
    for verb in ("sing", "sing", "Dance", "dance", "sulk")
]


def test_the_new_verb_has_the_old_form_and_is_in_the_treebank_at_least_twice() -> None:
    exchange = exchanging_verbs(VERBS)
    found = {
        tuple(exchange(["wugs", "sing", "in", "rain"], random.Random(seed)) or ())  # noqa: S311
        for seed in range(50)
    }
    assert found == {("wugs", verb, "in", "rain") for verb in ("sing", "dance")}
    assert exchange(["wugs", "sulk", "in"], random.Random(1)) is None  # noqa: S311


def test_some_sentences_are_corrupted_twice() -> None:
    words = ["one", "two", "three", "four", "five", "six"]
    lengths = Counter(
        len((corrupted(" ".join(words), random.Random(seed)) or "").split())  # noqa: S311
        for seed in range(600)
    )
    assert set(lengths) - {0} == {4, 5, 6, 7, 8}  # a difference of two words needs two corruptions
    assert lengths[4] + lengths[8] < 600 * TWICE


@pytest.mark.parametrize(
    ("right", "wrong", "marks"),
    [
        pytest.param([1, 2, 3], [1, 2, 3], [0, 0, 0], id="the same"),
        pytest.param([1, 2, 3], [1, 9, 3], [0, 1, 0], id="a token replaced"),
        pytest.param([1, 2, 3], [1, 2, 9, 3], [0, 0, 1, 0], id="a token inserted"),
        pytest.param([1, 2, 3], [1, 3], [0, 1], id="a token missing, so the next is marked"),
        pytest.param(
            [1, 2, 3], [1, 2], [0, 1], id="the last token missing, so the token before it is marked"
        ),
        pytest.param([1, 2, 3], [1, 2, 8, 9], [0, 0, 1, 1], id="a token replaced by two"),
        pytest.param([1], [], [], id="nothing left"),
    ],
)
def test_the_tokens_that_differ_from_the_right_sentence_are_marked(
    right: list[int], wrong: list[int], marks: list[int]
) -> None:
    assert different(right, wrong) == marks


@pytest.mark.parametrize("sentence", ["", "Wugs", "Wugs sing"])
def test_a_sentence_of_at_most_two_words_is_not_corrupted(sentence: str) -> None:
    assert {corrupted(sentence, random.Random(seed)) for seed in range(20)} == {None}  # noqa: S311


def test_in_a_lemmatised_sentence_one_word_is_replaced_by_its_lemma() -> None:
    tokens = [
        token("The", "the", "DET"),
        token("wugs", "wug", "NOUN"),
        token("were", "be", "AUX"),
        token("red", "red", "ADJ"),
    ]
    assert {lemmatised(tokens, random.Random(seed)) for seed in range(20)} == {  # noqa: S311
        "The wug were red",
        "The wugs be red",
    }
    assert lemmatised([tokens[0], token("Wug", "wug", "NOUN"), tokens[3]], random.Random(1)) is None  # noqa: S311


@pytest.mark.parametrize(
    ("forms", "text"),
    [
        pytest.param(
            ["Wugs", ",", "he", "said", ",", "sing", "."],
            "Wugs, he said, sing.",
            id="closing marks",
        ),
        pytest.param(
            ["They", "do", "n't", ",", "he", "'s", "sure"], "They don't, he's sure", id="clitics"
        ),
        pytest.param(
            ["It", "(", "a", "wug", ")", "costs", "$", "5"],
            "It (a wug) costs $5",
            id="opening marks",
        ),
    ],
)
def test_treebank_words_become_running_text(forms: list[str], text: str) -> None:
    assert detokenised(forms) == text


def test_training_examples_contain_no_held_out_sentence(data: Path) -> None:
    """Held-out sentences are kept for measurements."""

    def made(held_out: set[str]) -> set[Example]:
        return set(
            real_against_corrupted(
                data, cola(data, "train"), held_out, copies_ewt=9, copies_cola=9, pairs=2, seed=1
            )
        )

    everything = made(set())
    assert Example("The wugs don't sing.", 1, "The wugs don't sing.") in everything
    assert Example("The wug are red.", 0) in everything
    assert all(example.right == example.sentence for example in everything if example.label)
    held_out = {"thewugisred", "thewugsdontsing", "thewugarered"}
    left = made(held_out)
    assert left == {example for example in everything if bare(example.sentence) not in held_out}
    assert left < everything


@pytest.mark.parametrize("copies", [0, 1, 9])
def test_training_examples_are_real_and_corrupted_sentences(data: Path, copies: int) -> None:
    examples = real_against_corrupted(
        data, cola(data, "train"), set(), copies_ewt=copies, copies_cola=copies, pairs=0, seed=1
    )
    good, bad = (
        Counter(example.sentence for example in examples if example.label == label)
        for label in (1, 0)
    )
    assert set(good) <= {"The wug is red.", "Naïve “wugs” sing.", "The wugs don't sing."}
    assert max(good.values(), default=0) <= copies
    # this bad sentence of the corpus is also a corruption of a good one
    assert bad.pop("The wug are red.") >= 1
    assert bool(good) == bool(bad) == bool(copies)
    assert (
        real_against_corrupted(
            data, cola(data, "train"), set(), copies_ewt=copies, copies_cola=copies, pairs=0, seed=1
        )
        == examples
    )


@pytest.mark.parametrize(
    ("labels", "predicted", "correlation", "share"),
    [
        pytest.param([1, 0, 1, 0], [1, 0, 1, 0], 1, 1, id="all right"),
        pytest.param([1, 0, 1, 0], [0, 1, 0, 1], -1, 0, id="all wrong"),
        pytest.param([1, 0, 1, 0], [1, 1, 0, 0], 0, 0.5, id="by chance"),
        pytest.param([1, 0, 1, 1], [1, 1, 1, 1], 0, 0.75, id="always the same"),
        pytest.param(
            [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1], 1 / 3, 4 / 6, id="one wrong answer per label"
        ),
        pytest.param(
            [1, 0, 0, 0, 0, 0],
            [1, 0, 0, 0, 1, 1],
            1 / sqrt(5),
            4 / 6,
            id="wrong answers only for label 0",
        ),
    ],
)
def test_correlation_and_accuracy_have_the_values_computed_by_hand(
    labels: list[int], predicted: list[int], correlation: float, share: float
) -> None:
    assert matthews(labels, predicted) == pytest.approx(correlation)
    assert matthews(predicted, labels) == pytest.approx(correlation)
    assert accuracy(labels, predicted) == pytest.approx(share)


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        pytest.param([1, 0], [1.0, 0.0], 0, id="sure and right"),
        pytest.param([1, 0], [0.0, 1.0], 1, id="sure and wrong"),
        pytest.param([1, 1, 1, 1, 0], [0.8] * 5, 0, id="confidence equal to accuracy"),
        pytest.param([1, 0], [0.75, 0.75], 0.25, id="confidence above accuracy"),
        pytest.param([1, 1, 0, 0], [0.95, 0.95, 0.05, 0.65], (0.05 * 3 + 0.65) / 4, id="two bins"),
        pytest.param(
            [1, 0], [0.65, 0.75], (0.35 + 0.75) / 2, id="errors of two bins do not cancel"
        ),
    ],
)
def test_the_calibration_error_has_the_value_computed_by_hand(
    labels: list[int], probabilities: list[float], expected: float
) -> None:
    rows = [
        [log(1 - p), log(p)] if 0 < p < 1 else [-1e6 * p, -1e6 * (1 - p)] for p in probabilities
    ]
    assert calibration_error(labels, rows, 1.0) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 8.0])
def test_fit_temperature_finds_the_temperature_with_which_the_logits_were_made(
    temperature: float,
) -> None:
    tenths = [1, 2, 3, 6, 7, 9]  # how many of ten sentences have the second label
    rows = [[0.0, temperature * log(tenth / (10 - tenth))] for tenth in tenths for _ in range(10)]
    labels = [int(at < tenth) for tenth in tenths for at in range(10)]
    assert fit_temperature(labels, rows) == pytest.approx(temperature, rel=1e-3)


@pytest.mark.parametrize(
    ("labels", "bound"), [([1, 0], 0.25), ([0, 1], 16)], ids=["always right", "always wrong"]
)
def test_the_fitted_temperature_stays_in_its_bounds(labels: list[int], bound: float) -> None:
    assert fit_temperature(labels, [[0.0, 1.0], [1.0, 0.0]]) == pytest.approx(bound, rel=1e-3)


def test_the_correlation_of_three_labels_has_the_value_computed_by_hand() -> None:
    """Check Gorodkin's formula with 4 right predictions of 6."""
    assert matthews([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 0]) == pytest.approx(
        (4 * 6 - 12) / sqrt((36 - 14) * (36 - 12))
    )


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.5, 100, (0.404, 0.596)), (1.0, 20, (0.839, 1.0)), (0.0, 20, (0.0, 0.161))],
)
def test_the_interval_of_a_share_is_the_wilson_interval(
    share: float, count: int, expected: tuple[float, float]
) -> None:
    assert interval(share, count) == pytest.approx(expected, abs=1e-3)


def training(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    for package in ("torch", "transformers", "onnx"):  # so that the packages cannot be imported
        (folder / f"{package}.py").write_text(
            f"raise ModuleNotFoundError('No module named {package}')\n", encoding="utf-8"
        )
    environment = {**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_the_corpora_and_needs_no_torch(tmp_path: Path) -> None:
    result = training(tmp_path, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for word in (
        "--data",
        "--out",
        "--work",
        "cola/in_domain_train.tsv",
        "ewt/*.conllu.gz",
        "blimp/blimp_pairs.tsv.gz",
    ):
        assert word in result.stdout


def test_a_missing_folder_is_reported_in_one_message(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    result = training(tmp_path, "--data", str(missing), "--out", str(tmp_path / "out"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        f"no corpus at {missing / 'cola' / 'in_domain_dev.tsv'}. The data folder needs:\n"
    )
    assert result.stderr.count("no corpus") == 1
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_without_arguments_shows_its_usage(tmp_path: Path) -> None:
    result = training(tmp_path)
    assert result.returncode == 2
    assert "--data" in result.stderr
    assert "Traceback" not in result.stderr

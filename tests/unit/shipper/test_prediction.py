"""Tests which lines count as predictions, and their documents (events/prediction.json)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from msgspec import Raw

from inference.characters import characters as of_inference
from inference.descriptors import Usual, describe
from shipper.decode import LogEvent, Payload
from shipper.document import Rules, documents
from shipper.field_map import TARGETS, field_map
from shipper.prediction import DESCRIBED, LABELS, described
from shipper.redact import Redaction
from tools.root import ROOT

CONTRACT = json.loads((ROOT / "events" / "prediction.json").read_text(encoding="utf-8"))
KEY = b"key"
TEXT, LABEL, SCORE = "I love it", "positive", 0.98
BODY = {"text": TEXT, "prediction": {"label": LABEL, "score": SCORE}}
PLAIN = json.dumps(BODY)
WRAPPED = {"level": "INFO", "timestamp": "2026-11-28T12:00:00Z"}
BOTH = [{"label": "negative", "score": 0.02}, {"label": LABEL, "score": SCORE}]
OWN = json.loads((ROOT / "events" / "record.prediction.json").read_text(encoding="utf-8"))
MAP = "prediction.label=label,prediction.score=confidence,text=input"
USUAL = Usual(frozenset({"latin"}), 0.5, 0.5)


def event(line: str) -> LogEvent:
    return LogEvent("1", 1_795_435_200_000, Raw(json.dumps(line).encode()))


def made(
    line: str, stream: str = "stream", rules: Rules | None = None
) -> tuple[dict[str, Any], bool]:
    """Return the document of a trusted line, and whether it counts as a live prediction."""
    payload = Payload("DATA_MESSAGE", "123456789012", "group", stream, [event(line)])
    rules = (rules or Rules(key=KEY))._replace(record_groups=frozenset({"group"}))
    (found,) = documents(payload, rules, Counter(), now=0)
    return json.loads(found.source), found.counts


def named(names: str) -> Rules:
    return Rules(names=field_map(names), key=KEY)


FORMS = {
    "plain JSON": PLAIN,
    "Powertools": json.dumps(
        WRAPPED | {"message": BODY, "location": "handler:12", "service": "reviews"}
    ),
    "Powertools, fields next to a message": json.dumps(WRAPPED | {"message": "served"} | BODY),
    "the message prediction": json.dumps(WRAPPED | {"message": "prediction"} | BODY),
    "Lambda's JSON format": json.dumps(WRAPPED | {"message": PLAIN, "requestId": "1"}),
    "Lambda's JSON format, text before the JSON": json.dumps(
        WRAPPED | {"message": f"served {PLAIN}", "requestId": "1"}
    ),
    "Powertools in Lambda's JSON format": json.dumps(
        WRAPPED | {"message": json.dumps(WRAPPED | {"message": BODY})}
    ),
    "only a message": json.dumps({"message": BODY}),
    "JSON text as the message": json.dumps({"message": PLAIN, "n": 1}),
    "text before JSON": f"[INFO]\t2026-11-28T12:00:00Z\t1\t{PLAIN}",
    "encoded twice": json.dumps(PLAIN),
    "Hugging Face's list": json.dumps(BODY | {"prediction": BOTH}),
    "Hugging Face's list for a batch": json.dumps(BODY | {"prediction": [BOTH]}),
    "Hugging Face's list with one label": json.dumps(BODY | {"prediction": BOTH[1:]}),
}


@pytest.mark.parametrize("line", FORMS.values(), ids=FORMS)
def test_each_form_of_a_prediction_line_gives_the_same_fields(line: str) -> None:
    source, counts = made(line)
    assert counts
    assert (source["@kind"], source["@message"]) == ("prediction", line)
    assert (source["text"], source["prediction"]["label"], source["prediction"]["score"]) == (
        TEXT,
        LABEL,
        SCORE,
    )
    assert source["input"] == of_inference(TEXT, KEY)
    assert isinstance(source.get("message", ""), str)


NO_PREDICTIONS = {
    "words only": "a prediction",
    "no label": json.dumps({"prediction": {"score": 0.9}, "text": TEXT}),
    "an empty label": json.dumps({"prediction": {"label": ""}}),
    "a label that is an object": json.dumps({"prediction": {"label": {"a": 1}}}),
    "a list without scores": json.dumps({"prediction": [{"label": "a"}, {"label": "b"}]}),
    "a list of words": json.dumps({"prediction": ["a"]}),
    "an empty list": json.dumps({"prediction": []}),
    "a message inside two messages": json.dumps({"message": {"message": {"message": BODY}}}),
    "an object in another field": json.dumps({"body": BODY}),
    "words with braces": json.dumps({"message": "a {prediction} of mine}"}),
}


@pytest.mark.parametrize("line", NO_PREDICTIONS.values(), ids=NO_PREDICTIONS)
def test_a_line_without_a_label_gets_the_kind_log(line: str) -> None:
    source, counts = made(line)
    assert (source["@kind"], counts) == ("log", False)
    assert "hash" not in str(source.get("input"))


def test_a_list_of_scores_becomes_the_best_label_and_all_probabilities() -> None:
    source, _ = made(
        json.dumps(
            {"prediction": [{"label": "2 stars", "score": 0.2}, {"label": "5 stars", "score": 0.8}]}
        )
    )
    assert source["prediction"] == {
        "label": "5 stars",
        "score": 0.8,
        "probability": {"2_stars": 0.2, "5_stars": 0.8},
    }
    many = [{"label": str(number), "score": number / 1000} for number in range(LABELS + 1)]
    assert made(json.dumps({"prediction": many}))[0]["prediction"] == many[-1]


@pytest.mark.parametrize(
    ("traffic", "counts"),
    [
        ({}, True),
        ({"traffic": "live"}, True),
        ({"traffic": "canary"}, False),
        ({"traffic": "test"}, False),
    ],
)
def test_a_line_without_traffic_counts_as_live(traffic: dict[str, str], counts: bool) -> None:
    without = {name: value for name, value in OWN.items() if name != "traffic"}
    for line in (BODY | traffic, without | traffic):
        assert made(json.dumps(line))[1] is counts


@pytest.mark.parametrize("names", ["", MAP])
def test_a_record_of_the_inference_function_is_not_changed(names: str) -> None:
    # If the shipper encoded the record again, these spaces would be lost.
    line = json.dumps(OWN, separators=(", ", ":  "))
    payload = Payload("DATA_MESSAGE", "1", "group", "s", [event(line)])
    (found,) = documents(
        payload, named(names)._replace(record_groups=frozenset({"group"})), Counter(), now=0
    )
    assert line[1:].encode() in found.source
    assert found.counts


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (MAP, {"label": LABEL, "confidence": SCORE, "input": TEXT}),
        (MAP, WRAPPED | {"message": {"label": LABEL, "confidence": SCORE, "input": TEXT}}),
        (
            MAP,
            WRAPPED | {"message": json.dumps({"label": LABEL, "confidence": SCORE, "input": TEXT})},
        ),
        (MAP, {"message": "prediction", "label": LABEL, "confidence": SCORE, "input": TEXT}),
        (MAP, BODY),
        (
            "prediction.label=prediction,prediction.score=score",
            {"text": TEXT, "prediction": LABEL, "score": SCORE},
        ),
        (
            "prediction.label=out.0,text=in.text,prediction.score=out.s",
            {"in": {"text": TEXT}, "out": {"0": LABEL, "s": SCORE}},
        ),
    ],
)
def test_the_field_map_renames_fields(names: str, line: dict[str, Any]) -> None:
    source, counts = made(json.dumps(line), rules=named(names))
    assert counts
    assert source["@message"] == json.dumps(line)
    assert (source["text"], source["prediction"], source["input"]) == (
        TEXT,
        BODY["prediction"],
        of_inference(TEXT, KEY),
    )
    assert not source.keys() & {"label", "confidence", "score", "out", "in"}


def test_a_label_under_another_name_is_no_prediction_without_the_map() -> None:
    assert made(json.dumps({"label": LABEL, "input": TEXT}))[0]["@kind"] == "log"


@pytest.mark.parametrize(
    "text", ["", "I love it", "Привет, мир! 42", "你好", "🙂🙂", " \t", "a" * 1000, "é́", "x\ud800"]
)
def test_the_shipper_describes_a_text_as_the_inference_function_does(text: str) -> None:
    whole = describe(text, tokens=1, unknown=0, truncated=False, key=KEY, usual=USUAL)
    found = described({"text": text}, KEY)["input"]
    assert list(found) == CONTRACT["descriptors"]
    assert found == {name: whole[name] for name in found}


def test_descriptors_that_a_line_already_has_are_kept() -> None:
    line = BODY | {"input": {"words": 7, "channel": "web"}}
    assert made(json.dumps(line))[0]["input"] == of_inference(TEXT, KEY) | {
        "words": 7,
        "channel": "web",
    }
    assert made(json.dumps(BODY | {"input": "another"}))[0]["input"] == "another"
    assert "hash" not in made(PLAIN, rules=Rules())[0]["input"]
    assert "input" not in made(json.dumps(BODY | {"text": "a" * (DESCRIBED + 1)}))[0]


@pytest.mark.parametrize("action", ["drop", "hash"])
@pytest.mark.parametrize("line", [BODY, {"label": LABEL, "input": TEXT}])
def test_a_redacted_text_has_no_descriptors(line: dict[str, Any], action: Any) -> None:
    redaction = Redaction({"text": action, "input": action}, (), KEY)
    source, counts = made(
        json.dumps(line),
        rules=named("prediction.label=label,text=input")._replace(redaction=redaction),
    )
    assert (source["@kind"], counts) == ("prediction", True)
    assert TEXT not in json.dumps(source)
    assert "input" not in source


def test_the_descriptors_of_a_masked_text_describe_its_masked_form() -> None:
    source, _ = made(
        json.dumps(BODY | {"text": "write to a@example.com"}),
        rules=Rules(key=KEY, redaction=Redaction({}, ("email",), KEY)),
    )
    assert source["input"] == of_inference(source["text"], KEY)
    assert "example" not in source["text"]


@pytest.mark.parametrize(
    ("stream", "version"),
    [
        ("2026/11/28/[$LATEST]0a1b2c3d4e5f60718293a4b5c6d7e8f9", "$LATEST"),
        ("2026/11/28/[3]0a1b2c3d4e5f60718293a4b5c6d7e8f9", "3"),
        ("2026/11/28/my-function[17]0a1b2c3d4e5f60718293a4b5c6d7e8f9", "17"),
        ("2026/11/28/[live]0a1b", None),
        ("my-function/[3]0a1b", None),
        ("stream", None),
        ("", None),
    ],
)
def test_the_function_version_comes_from_the_name_of_the_log_stream(
    stream: str, version: str | None
) -> None:
    for line in (PLAIN, json.dumps(OWN), "words"):
        assert made(line, stream)[0].get("@function_version") == version


def test_events_prediction_json_has_the_names_that_the_code_uses() -> None:
    assert tuple(CONTRACT["targets"]) == TARGETS
    assert list(of_inference("a", KEY)) == CONTRACT["descriptors"]


@pytest.mark.parametrize(
    "fields",
    [
        {"traffic": {}},
        {"traffic": [1]},
        {"text": {"a": 1}},
        {"text": "x\ud800"},
        {"message": {"a": []}},
        {"message": [BODY]},
        {"prediction": {"label": "x\ud800", "score": "high"}},
        {"prediction": [{"label": "x\ud800", "score": 10**400}, {"label": "", "score": 1}]},
        {"prediction": [{"label": "a", "score": 10**400}, {"label": "b", "score": 0.5}]},
        {"input": []},
    ],
    ids=ascii,
)
@pytest.mark.parametrize("names", ["", MAP])
def test_a_line_is_kept_whatever_its_values_are(fields: dict[str, Any], names: str) -> None:
    line = json.dumps(BODY | fields)
    assert made(line, rules=named(names))[0]["@message"] == line


@pytest.mark.parametrize("levels", [900, 1_100, 20_000])
@pytest.mark.parametrize("names", [MAP, "text=a.a.a.a"])
def test_a_line_is_kept_however_deeply_it_is_nested(levels: int, names: str) -> None:
    for inner in (
        f'{{"prediction":{{"label":"a"}},"a":{"[" * levels}{"]" * levels}}}',
        '{"a":' * levels + "1" + "}" * levels,
    ):
        for line in (inner, json.dumps({"message": inner}), f'{{"message":{inner}}}'):
            assert made(line, rules=named(names))[0]["@message"] == line

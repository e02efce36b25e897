"""Tests the inference function as Lambda invokes it: its answers, records and metrics."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from tests.models import TESTED
from tests.unit.conftest import forget_handler
from tools.root import ROOT

SCHEMA = Draft202012Validator(
    json.loads((ROOT / "events" / "record.schema.json").read_text(encoding="utf-8"))
)
CARD = json.loads((TESTED / "card.json").read_text(encoding="utf-8"))
MODEL = {"name": CARD["name"], "version": CARD["version"]}
RECORDED = MODEL | {"profile": CARD["profile"]}
# These words are rare: an output that contains one of them contains the sentence.
QUOKKA = "Quokkas quietly quarrel with naïve wombats"
BATCH = [QUOKKA, "The boy are sitting on a bench", QUOKKA]

Load = Callable[..., ModuleType]


@dataclass(frozen=True)
class Context:
    function_name: str = "predict"
    memory_limit_in_mb: str = "1024"  # a string, as in the runtime's context
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:predict"
    aws_request_id: str = "8f5ad1e0-0c2b-4d6b-9a57-2f3b7a1c4d5e"


class Unwritable(io.StringIO):
    def write(self, _text: str) -> NoReturn:
        raise OSError(28, "No space left on device")


class FailingClassifier:
    def predict(self, sentence: str) -> NoReturn:
        raise RuntimeError(f"cannot run {sentence}")


def forget() -> None:
    forget_handler("inference.handler", "inference")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    def fresh(**environment: str) -> ModuleType:
        forget()
        for name in (
            "LOG_TEXT",
            "LOG_SIGNALS",
            "POWERTOOLS_LOG_LEVEL",
            "POWERTOOLS_METRICS_DISABLED",
            "_X_AMZN_TRACE_ID",
        ):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"HASH_KEY": "the key of the tests", **environment}.items():
            monkeypatch.setenv(name, value)
        return importlib.import_module("inference.handler")

    yield fresh
    forget()


def over_http(body: Any) -> dict[str, Any]:
    return {
        "requestContext": {"requestId": "AbCdEfGhIjKlMnO="},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.split("\n") if line]


def records(output: str) -> list[dict[str, Any]]:
    found = [line for line in lines(output) if "message" in line]
    for record in found:
        SCHEMA.validate(record)
    return found


def counted(output: str) -> dict[str, list[float]]:
    """Return the values of each metric, except the use of memory."""
    names = (
        "PredictionLatency",
        "RefusedRequests",
        "PredictionFailures",
        "RecordsLost",
    )
    return {
        name: line[name] if isinstance(line[name], list) else [line[name]]
        for line in lines(output)
        if "_aws" in line
        for name in names
        if name in line
    }


def test_metrics_carry_the_name_of_the_function(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two stacks in an account share the namespace.

    Alarms distinguish the stacks by the function name in the metric.
    """
    module = load(AWS_LAMBDA_FUNCTION_NAME="a-stack-InferenceFunction-1")
    for _ in range(2):
        module.handler({"sentence": QUOKKA}, Context())
        (found,) = [line for line in lines(capsys.readouterr().out) if "_aws" in line]
        assert (found["service"], found["function_name"]) == (
            "inference",
            "a-stack-InferenceFunction-1",
        )
        assert [sorted(each) for each in found["_aws"]["CloudWatchMetrics"][0]["Dimensions"]] == [
            ["function_name", "service"]
        ]


@pytest.mark.example
def test_the_lines_of_a_request_are_short(
    load: Load, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudWatch charges by the byte.

    The function's name has the length of a name that AWS generates. A trace id is set, because
    Lambda sets one for each request.
    """
    name = "prediction-monitor-InferenceFunction-AbCdEfGhIjKl"
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5e1b4151-5ac6c58f0c3b6b1d7a2e3f45;Sampled=0")
    module = load(AWS_LAMBDA_FUNCTION_NAME=name)
    module.handler(over_http({"sentence": QUOKKA}), Context(function_name=name))
    output = capsys.readouterr().out
    (record,) = records(output)
    assert set(record) == {
        "message", "cold_start", "function_request_id", "correlation_id", "record_version",
        "traffic", "prediction_id", "text", "prediction", "input", "model", "latency_ms",
    }  # fmt: skip
    assert len(lines(output)) == 2
    assert len(output.encode()) <= 1_300


def test_a_direct_request_is_answered_and_logged(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = load().handler({"sentence": QUOKKA}, Context())
    assert set(answer) == {"text", "prediction", "prediction_id", "model"}
    assert (answer["text"], answer["model"]) == (QUOKKA, MODEL)
    assert answer["prediction"]["label"] in CARD["labels"]
    assert 1 / len(CARD["labels"]) <= answer["prediction"]["score"] <= 1

    output = capsys.readouterr().out
    (record,) = records(output)
    assert (record["message"], record["text"], record["traffic"]) == ("prediction", QUOKKA, "live")
    assert {name: record["prediction"][name] for name in ("label", "score")} == answer["prediction"]
    assert (record["prediction_id"], record["model"]) == (answer["prediction_id"], RECORDED)
    assert (record["input"]["chars"], record["input"]["words"]) == (len(QUOKKA), 6)
    assert record["function_request_id"] == Context().aws_request_id
    assert "correlation_id" not in record
    assert counted(output) == {"PredictionLatency": [record["latency_ms"]]}


def test_a_record_has_signature_novelty_surprisal_and_the_version_of_the_profile(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load()
    module.handler({"sentences": BATCH}, Context())
    for sentence, record in zip(BATCH, records(capsys.readouterr().out), strict=True):
        prediction = module.classifier.predict(sentence)
        assert record["input"]["sig"] == {f"s{at}": prediction.signature[at] for at in range(8)}
        for name in ("novelty", "surprisal"):
            recorded, exact = record["input"][name], getattr(prediction, name)
            assert np.float32(recorded) == np.float32(exact)
            assert len(str(recorded)) <= 12
        assert record["model"] == RECORDED


def test_a_record_says_if_the_model_is_not_calibrated(
    load: Load, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = shutil.copytree(TESTED, tmp_path / "model")
    card = json.dumps(CARD | {"calibrated": False})
    (folder / "card.json").write_text(card, encoding="utf-8")
    answer = load(MODEL_FOLDER=str(folder)).handler({"sentence": QUOKKA}, Context())
    (record,) = records(capsys.readouterr().out)
    SCHEMA.validate(record)
    assert record["model"] == RECORDED | {"calibrated": False}
    assert answer["model"] == MODEL


def test_the_answer_does_not_contain_the_signature(load: Load) -> None:
    module = load()
    for event in ({"sentence": QUOKKA}, {"sentences": BATCH}, over_http({"sentence": QUOKKA})):
        answer = json.dumps(module.handler(event, Context()))
        assert not [
            word
            for word in ("sig", "novelty", "surprisal", "profile")
            if f'"{word}' in answer.replace("\\", "")
        ]


def test_each_sentence_of_a_batch_is_logged(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    answers = load().handler({"sentences": BATCH, "traffic": "live"}, Context())["predictions"]
    output = capsys.readouterr().out
    left = records(output)
    assert [record["text"] for record in left] == [answer["text"] for answer in answers] == BATCH
    assert [record["prediction_id"] for record in left] == [
        answer["prediction_id"] for answer in answers
    ]
    assert len({record["prediction_id"] for record in left}) == len(BATCH)
    assert {record["traffic"] for record in left} == {"live"}
    assert left[0]["input"]["hash"] == left[2]["input"]["hash"] != left[1]["input"]["hash"]
    assert counted(output)["PredictionLatency"] == [record["latency_ms"] for record in left]


def test_a_sentence_has_the_same_score_in_a_batch_as_in_its_own_request(load: Load) -> None:
    module = load()
    alone = [module.handler({"sentence": sentence}, Context())["prediction"] for sentence in BATCH]
    together = module.handler({"sentences": BATCH}, Context())["predictions"]
    assert [answer["prediction"] for answer in together] == alone


@pytest.mark.parametrize("name", ["rest-api-v1", "http-api-v2", "http-api-v2-base64"])
def test_the_http_answer_contains_the_direct_answer(
    name: str, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    event = json.loads((ROOT / "events" / "inference" / f"{name}.json").read_text(encoding="utf-8"))
    answer = load().handler(event, Context())
    assert (answer["statusCode"], answer["headers"], answer["isBase64Encoded"]) == (
        200,
        {"content-type": "application/json"},
        False,
    )
    body = json.loads(answer["body"])
    (record,) = records(capsys.readouterr().out)
    assert body["prediction_id"] == record["prediction_id"]
    assert record["correlation_id"] == event["requestContext"]["requestId"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("x" * 1_100_000, "x" * 128, id="longer than CloudWatch accepts"),
        pytest.param("a\ud800b", "a?b", id="lone surrogate"),
        pytest.param("line\nbreak \x1b[2J", "line?break ?[2J", id="control characters"),
        pytest.param("\u202e😀ä", "???", id="not ASCII"),
        pytest.param("", None, id="empty"),
        pytest.param(["a"], None, id="list"),
        pytest.param(17, None, id="number"),
    ],
)
def test_the_correlation_id_has_a_limited_length_and_only_printable_characters(
    sent: Any, kept: str | None, load: Load, capfd: pytest.CaptureFixture[str]
) -> None:
    load().handler(
        over_http({"sentence": QUOKKA}) | {"requestContext": {"requestId": sent}}, Context()
    )
    captured = capfd.readouterr()
    (record,) = records(captured.out)
    assert record.get("correlation_id") == kept
    assert captured.err == ""


def test_the_correlation_id_does_not_stay_for_the_next_event(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load()
    module.handler(over_http({"sentence": QUOKKA}), Context())
    module.handler({"sentence": QUOKKA}, Context())
    assert [record.get("correlation_id") for record in records(capsys.readouterr().out)] == [
        "AbCdEfGhIjKlMnO=",
        None,
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "two\nlines",
        "line\u2028separator",
        'quoted "text" \\ {"message": "prediction"}',
        "\x00\x1b[31m",
        "😀" * 10,
        "\u200b",
        "[UNK] [SEP]",
    ],
    ids=[
        "line break",
        "line separator",
        "JSON inside",
        "control characters",
        "emoji",
        "zero-width",
        "special tokens",
    ],
)
def test_an_odd_sentence_is_logged_as_one_valid_line(
    sentence: str, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    load().handler({"sentence": sentence}, Context())
    (record,) = records(capsys.readouterr().out)
    assert record["text"] == sentence


@pytest.mark.parametrize("setting", ["false"])
def test_with_log_text_false_the_text_is_not_in_the_log(
    setting: str, load: Load, capfd: pytest.CaptureFixture[str]
) -> None:
    module = load(LOG_TEXT=setting)
    for event in ({"sentence": QUOKKA}, {"sentences": BATCH}, over_http({"sentence": QUOKKA})):
        module.handler(event, Context())
    captured = capfd.readouterr()
    left = records(captured.out)
    assert [record["message"] for record in left] == ["prediction"] * 5
    assert not any("text" in record for record in left)
    assert "quokka" not in (captured.out + captured.err).lower()


@pytest.mark.parametrize(
    "environment",
    [{"LOG_TEXT": "false", "LOG_SIGNALS": "yes"}, {"LOG_TEXT": "no"}, {"LOG_SIGNALS": ""}],
    ids=str,
)
def test_a_setting_that_is_neither_true_nor_false_stops_the_start(
    environment: dict[str, str], load: Load
) -> None:
    with pytest.raises(ValueError, match="must be true or false"):
        load(**environment)


@pytest.mark.parametrize("setting", ["true"])
def test_with_log_text_true_the_text_is_in_the_log(
    setting: str, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    load(LOG_TEXT=setting).handler({"sentence": QUOKKA}, Context())
    (record,) = records(capsys.readouterr().out)
    assert record["text"] == QUOKKA


REFUSALS = [
    pytest.param({"sentence": " "}, ("sentence-blank", 422, "sentence"), id="blank"),
    pytest.param(
        {"sentences": [QUOKKA, 17]},
        ("field-invalid", 422, "sentences[1]"),
        id="one sentence of a batch",
    ),
    pytest.param(
        {"sentence": QUOKKA, "traffic": "quokka"}, ("field-invalid", 422, "traffic"), id="traffic"
    ),
    pytest.param(
        {"sentence": QUOKKA * 1000}, ("sentence-too-long", 413, "sentence"), id="too long"
    ),
    pytest.param([QUOKKA], ("body-not-an-object", 400, "body"), id="no object"),
]


@pytest.mark.parametrize(("body", "reason"), REFUSALS)
@pytest.mark.parametrize("wrap", [lambda body: body, over_http], ids=["direct", "http"])
def test_a_refusal_is_logged_without_the_text_of_the_request(
    wrap: Callable[[Any], Any],
    body: Any,
    reason: tuple[str, int, str],
    load: Load,
    capfd: pytest.CaptureFixture[str],
) -> None:
    load().handler(wrap(body), Context())
    captured = capfd.readouterr()
    (record,) = records(captured.out)
    assert record["message"] == "prediction_error"
    assert record["error"] == dict(zip(("type", "status", "field"), reason, strict=True))
    assert (record["traffic"], record["model"]) == ("live", RECORDED)
    assert "quokka" not in (captured.out + captured.err).lower()
    assert counted(captured.out) == {"RefusedRequests": [1]}


@pytest.mark.parametrize(("body", "reason"), REFUSALS)
def test_a_refused_request_gets_problem_details(
    body: Any, reason: tuple[str, int, str], load: Load
) -> None:
    kind, status, field = reason
    module = load()
    answer = module.handler(over_http(body), Context())
    assert (answer["statusCode"], answer["headers"]) == (
        status,
        {"content-type": "application/problem+json"},
    )
    details = json.loads(answer["body"])
    assert set(details) == {"type", "title", "status", "detail", "field"}
    assert details["type"].endswith(f":{kind}")
    assert (details["status"], details["field"]) == (status, field)
    assert details["title"]
    assert details["detail"]
    assert module.handler(body, Context()) == details


@pytest.mark.parametrize("traffic", ["canary", "test"])
@pytest.mark.parametrize(
    "body", [{"sentence": " "}, {}, {"sentences": [17]}], ids=["blank", "no sentence", "number"]
)
@pytest.mark.parametrize("wrap", [lambda body: body, over_http], ids=["direct", "http"])
def test_the_record_of_a_refused_request_has_the_traffic_of_the_request(
    wrap: Callable[[Any], Any],
    body: dict[str, Any],
    traffic: str,
    load: Load,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load().handler(wrap({**body, "traffic": traffic}), Context())
    (record,) = records(capsys.readouterr().out)
    assert record["traffic"] == traffic


def test_a_request_to_describe_the_model_gets_the_card_and_logs_nothing(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = json.loads((TESTED / "profile.json").read_text(encoding="utf-8"))["golden"]
    assert load().handler({"describe": True}, Context()) == {
        "card": CARD,
        "digest": CARD["version"],
        "golden": golden,
    }
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", ["", "{}", "[]", None])
def test_a_model_folder_without_golden_sentences_is_described_without_golden_sentences(
    content: str | None, load: Load, tmp_path: Path
) -> None:
    """Golden sentences have known answers, which the canary compares with the model's answers."""
    for name in ("card.json", "model.onnx", "tokenizer.json"):
        (tmp_path / name).symlink_to(TESTED / name)
    if content is not None:
        (tmp_path / "profile.json").write_text(content, encoding="utf-8")
    answer = load(MODEL_FOLDER=str(tmp_path)).handler({"describe": True}, Context())
    assert answer == {"card": CARD, "digest": CARD["version"]}


def test_only_a_direct_canary_request_gets_tokens_and_signature(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = load(LOG_TEXT="false").handler
    for traffic in ("canary", "live", "test"):
        event = {"sentences": BATCH, "traffic": traffic}
        for wrap in (lambda body: body, over_http):
            answer = handler(wrap(event), Context())
            body = json.loads(answer["body"]) if "body" in answer else answer
            told = [each.get("input") for each in body["predictions"]]
            if traffic == "canary" and wrap is not over_http:
                assert [set(each) for each in told] == [{"tokens", "truncated", "signature"}] * 3
                logged = [record["input"] for record in records(capsys.readouterr().out)]
                assert [each["tokens"] for each in told] == [each["tokens"] for each in logged]
                assert not [each for each in logged if "sig" in each]
            else:
                assert told == [None] * 3


def test_the_model_is_not_described_over_http(load: Load) -> None:
    assert load().handler(over_http({"describe": True}), Context())["statusCode"] == 422


@pytest.mark.parametrize(
    "event",
    [None, 17, "text", [], {"requestContext": None}, {"requestContext": "", "body": "{}"}],
    ids=repr,
)
def test_an_odd_event_is_refused_without_an_exception(
    event: Any, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    load().handler(event, Context())
    (record,) = records(capsys.readouterr().out)
    assert record["error"]["status"] in {400, 422}


@pytest.mark.parametrize("wrap", [lambda body: body, over_http], ids=["direct", "http"])
def test_after_a_failure_of_the_model_neither_answer_nor_log_quotes_the_sentence(
    wrap: Callable[[Any], Any],
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    module = load()
    monkeypatch.setattr(module, "classifier", FailingClassifier())
    found = module.handler(wrap({"sentences": BATCH, "traffic": "live"}), Context())
    body = json.loads(found["body"]) if "statusCode" in found else found
    assert body == {
        "type": "urn:prediction-monitor:prediction-failed",
        "title": "Prediction failed",
        "status": 500,
        "detail": "The model could not answer this request.",
    }
    assert found.get("statusCode", 500) == 500
    captured = capfd.readouterr()
    assert "in predict" in captured.err
    assert "quokka" not in captured.err.lower()
    (record,) = records(captured.out)
    assert (record["message"], record["error"]) == (
        "prediction_error",
        {"type": "RuntimeError", "status": 500},
    )
    assert "quokka" not in captured.out.lower()
    assert counted(captured.out) == {"PredictionFailures": [1]}


def test_the_caller_gets_an_answer_although_the_output_cannot_be_written(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Unwritable())
    module = load()
    assert module.handler({"sentence": QUOKKA}, Context())["text"] == QUOKKA
    assert module.handler(over_http({"sentence": " "}), Context())["statusCode"] == 422
    for _ in range(2):
        assert len(module.handler({"sentences": ["A boy"] * 64}, Context())["predictions"]) == 64


def test_the_caller_gets_the_prediction_although_its_record_cannot_be_made(
    load: Load, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    module = load()
    monkeypatch.setattr("inference.record.describe", lambda *_args, **_kwargs: 1 / 0)
    assert module.handler({"sentence": QUOKKA}, Context())["text"] == QUOKKA
    captured = capfd.readouterr()
    assert captured.err == "record lost: ZeroDivisionError\n"
    assert counted(captured.out) == {
        "RecordsLost": [1],
        "PredictionLatency": counted(captured.out)["PredictionLatency"],
    }


def test_metrics_count_live_traffic_only(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    module = load()
    for body in ({"sentence": QUOKKA}, {"sentence": " "}):
        module.handler(body | {"traffic": "canary"}, Context())
        assert counted(capsys.readouterr().out) == {}


def test_after_a_write_error_later_records_are_written(
    load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load()
    stream = module.logger.logger_handler.setStream(Unwritable())
    with monkeypatch.context() as gone:
        gone.setattr(sys, "stdout", Unwritable())
        module.handler({"sentence": "lost"}, Context())
    module.logger.logger_handler.setStream(stream)
    module.handler({"sentence": QUOKKA}, Context())
    output = capsys.readouterr().out
    assert [record["text"] for record in records(output)] == [QUOKKA]
    assert len(counted(output)["PredictionLatency"]) == 1
    assert counted(output)["RecordsLost"] == [2]  # the record and the metrics of "lost"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("HASH_KEY", "", "HASH_KEY must be set to a secret"),
        ("LOG_TEXT", "nope", "LOG_TEXT must be true or false, not 'nope'"),
        ("LOG_TEXT", "False", "LOG_TEXT must be true or false, not 'False'"),
    ],
)
def test_the_error_about_a_wrong_setting_names_the_allowed_values(
    load: Load, name: str, value: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        load(**{name: value})


def test_a_line_that_cannot_be_written_is_counted_and_not_quoted(
    load: Load, capfd: pytest.CaptureFixture[str]
) -> None:
    module = load()
    module.logger.logger_handler.setStream(Unwritable())
    module.handler({"sentence": QUOKKA}, Context())
    captured = capfd.readouterr()
    assert captured.err == "record lost: OSError\n"
    assert counted(captured.out)["RecordsLost"] == [1]


def test_the_error_about_a_missing_hash_key_names_the_variable(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    forget()
    monkeypatch.delenv("HASH_KEY")
    with pytest.raises(ValueError, match="HASH_KEY must be set to a secret"):
        importlib.import_module("inference.handler")


def test_only_the_first_record_says_cold_start(
    load: Load, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aws_lambda_powertools.logging.logger.is_cold_start", True)
    module = load()
    for _ in range(2):
        module.handler({"sentence": QUOKKA}, Context())
    assert [record["cold_start"] for record in records(capsys.readouterr().out)] == [True, False]


def test_the_hash_depends_on_the_key_in_the_environment(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    load(HASH_KEY="one").handler({"sentence": QUOKKA}, Context())
    load(HASH_KEY="two").handler({"sentence": QUOKKA}, Context())
    one, two = (record["input"]["hash"] for record in records(capsys.readouterr().out))
    assert one != two

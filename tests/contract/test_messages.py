"""Tests of the sample messages in events/messages.

There is a sample for each story of tests/integration/test_stories.py. A story is a stream of
predictions that changes at some time, for instance after a bad deployment.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from opensearchpy.exceptions import ConnectionError as NoConnection

from monitor.judgement.judge_stream import Reference
from monitor.log_lines import lines
from monitor.messages.evidence import Sight
from monitor.messages.findings import announce
from monitor.messages.message import LINES, LONGEST, Action
from monitor.messages.transitions import Change, Episode
from tests.contract.test_monitor_records import BY_POWERTOOLS, SCHEMA
from tests.integration.test_stories import BY_NAME
from tests.unit.monitor.made_windows import STREAM
from tests.unit.monitor.test_judge_stream import CHOICE, day, followed, reference
from tools.root import ROOT

SAMPLES = {path.stem: path.read_text() for path in (ROOT / "events" / "messages").glob("*.txt")}


def test_every_story_has_its_sample() -> None:
    assert SAMPLES.keys() == BY_NAME.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_second_line_of_a_sample_says_what_to_do(name: str) -> None:
    story, text = BY_NAME[name], SAMPLES[name]
    said = text.removesuffix("\n").split("\n")
    assert len(said) <= LINES
    assert all(line.isprintable() and len(line) <= LONGEST for line in said)
    assert said[1].startswith(f"WHAT TO DO NOW: {story.action.upper()}. ")
    assert [part for part in story.said if part not in text] == []


def test_the_schema_lists_every_kind_of_change_and_action() -> None:
    message = SCHEMA["properties"]["monitor"]["properties"]["message"]["properties"]
    assert message["change"]["enum"] == [str(one) for one in Change]
    assert message["action"]["enum"] == [str(one) for one in Action]
    event = json.loads((ROOT / "events" / "model_drift_detected.schema.json").read_text())
    assert event["properties"]["detail"]["properties"]["action"] == {"enum": [*map(str, Action)]}


class Empty:
    """An OpenSearch without indices: the answer to each search is complete, but has no results."""

    def perform_request(self, *_: object, **__: object) -> tuple[int, object, str]:
        shards = {"total": 0, "successful": 0, "skipped": 0, "failed": 0}
        hits = {"total": {"value": 0, "relation": "eq"}, "max_score": 0.0, "hits": []}
        return 200, {}, json.dumps({"timed_out": False, "_shards": shards, "hits": hits})


class Odd:
    """An OpenSearch that gives an unexpected answer."""

    def perform_request(self, *_: object, **__: object) -> tuple[int, object, str]:
        return 200, {}, "<html>"


class Unreachable:
    """An OpenSearch that cannot be reached."""

    def perform_request(self, *_: object, **__: object) -> tuple[int, object, str]:
        raise NoConnection("N/A", "refused", OSError())


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Empty(), ""),
        (Odd(), "could not be understood"),
        (Unreachable(), "OpenSearch cannot be reached"),
    ],
    ids=["empty", "odd", "unreachable"],
)
def test_a_message_is_valid_even_if_opensearch_cannot_be_read(server: Any, said: str) -> None:
    _, findings = followed(day(hours=8, given={"prediction.label": "spam"}))
    sight = Sight(server, NoSummaries(), "cwl-*")  # type: ignore[arg-type]
    episode, told = announce(
        sight, findings, Episode(), [], stream=STREAM, accepted=reference(), choice=CHOICE, now=0
    )
    (line,) = [
        line
        for finding, message in told
        for line in lines(finding, CHOICE, message)
        if "message" in line.fields["monitor"]
    ]
    Draft202012Validator(SCHEMA).validate(BY_POWERTOOLS | {"message": "verdict"} | line.fields)
    message = line.fields["monitor"]["message"]
    assert ("could not be read" in message["text"]) is bool(said)
    assert said in message["text"]
    assert ("\nLast deployment: " in message["text"]) is not bool(said)
    assert message["change"] == "begins"
    assert message["action"] == "wait until morning"
    assert "label" in episode.told
    assert all(finding.reference is Reference.BASELINE for finding, said in told if said)


class NoSummaries:
    """A store without summaries."""

    def summaries(self, *_: object) -> list[object]:
        return []

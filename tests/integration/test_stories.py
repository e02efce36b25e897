"""Tests of the messages that people get, with ten stories.

A story is a stream of predictions that changes at some time, for instance after a bad deployment.
The built monitor function (the judge) finds the change, and the built messenger function sends a
message. The message alone must name the right action. If a payload is delivered twice, or a
function is restarted, nothing is sent again. OpenSearch is real.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
from opensearchpy import RequestsHttpConnection

from local.cloudwatch import Subscription
from local.runtime import Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from monitor.accuracy.joined_record import Joined, Judgement
from monitor.baselines import baseline
from monitor.baselines.window_length import Plan
from monitor.canary.golden_sentences import shipped_model
from monitor.judgement.judge_stream import Accepted, Finding, Reference, State
from monitor.judgement.verdict import Verdict
from monitor.messages.evidence import Sight, facts
from monitor.messages.transitions import Change, Transition
from monitor.settings import own_index
from monitor.summaries.store import Kind, Store
from monitor.summaries.summary import SLOT, Stream, Summary
from monitor.summaries.windows import DAY, HOUR, cut
from tests.integration.conftest import KEYS
from tests.integration.monitored import forget, put_joined, put_predictions, subscribed
from tests.integration.test_monitor_read import nested
from tests.unit.monitor.made_windows import LABELS, records, slots
from tools.root import ROOT

STACK = "Storied-Stack"
MODEL = "minilm-cola"
EACH = 30  # predictions in a slot, which lasts 15 minutes
PLAN = Plan(rows=100, longest=8 * HOUR, windows=168, deff=1.0, armed=True, days=7)
NOW = int(time.time()) // SLOT * SLOT
WORDED = {"MESSAGE_WORDS": "true"}
CUSTOMERS = ("forum", "mobile-app", "shop")
SAMPLES = ROOT / "events" / "messages"
# No function's name describes its story, so only the message can describe the story.
FUNCTIONS = {
    "bad-deployment": "classifier-f",
    "launch": "classifier-b",
    "truncation": "classifier-h",
    "new-customer": "classifier-d",
    "outage": "classifier-a",
    "weekend": "classifier-i",
    "slow-drift": "classifier-c",
    "new-language": "classifier-g",
    "rollout": "classifier-e",
    "low-accuracy": "classifier-j",
    "decided": "classifier-z",
}
EVERYDAY = ("house", "garden", "river", "table", "window", "letter", "morning", "street")
LAUNCHED = ("voucher", "checkout", "parcel")  # words in the texts of the story `launch`
SHIPPED = shipped_model()

type Row = dict[str, Any]
type Changing = Callable[[list[Row], np.random.Generator, float], None]


@dataclass(frozen=True)
class Story:
    """A change of the predictions in the last `hours`, and the message that it must cause.

    - `change` changes the rows (predictions) of one slot. Its last argument is the time since the
      change began, as a share of all `hours`.
    - `kind`, `action` and `said` must be in the message.
    - `version` is the function's version during the change, and `model` is the model's version.
    - `times` multiplies the traffic during the change.
    - With `odd`, the baseline lacks the weekdays on which the change happens.
    - `right` has two numbers about a labelled random sample: its right answers, and its size.
    - `words` are words in the texts during the change. Without `words`, the rows have no texts.
    """

    name: str
    change: Changing
    kind: str
    action: str
    said: tuple[str, ...]
    version: str = "7"
    times: int = 1
    odd: bool = False
    model: str = "1"
    right: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    hours: int = 6

    @property
    def stream(self) -> Stream:
        return Stream(STACK, f"/aws/lambda/{FUNCTIONS[self.name]}", MODEL)


def other_labels(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Swap the labels."""
    for row in rows:
        row["prediction.label"] = LABELS[1 - LABELS.index(row["prediction.label"])]


def launch(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Make the texts of all customers unusual."""
    for row in rows:
        row["input.novelty"] = float(chance.normal(1.8, 0.3))
        row["input.sig.s2"] = float(chance.normal(14, 16))


def cut_short(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Cut the texts of one customer to five words."""
    for row in rows:
        if row["customer"] == "mobile-app":
            row["input.words"] = min(row["input.words"], 5)


def new_customer(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Give a third of the rows to a new customer, whose texts resemble a golden sentence."""
    signature = SHIPPED.sentences[0].signature
    for row in rows:
        if chance.random() < 1 / 3:
            row["customer"] = "acme"
            for at, value in enumerate(signature):
                row[f"input.sig.s{at}"] = float(round(value * 1.5 + chance.normal(0, 6)))


def nothing(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Change nothing."""


def half_swapped(rows: list[Row], chance: np.random.Generator, passed: float) -> None:
    """Give half of the rows to a new version of the model, which swaps the labels."""
    other = rows[::2]
    other_labels(other, chance, passed)
    for row in other:
        row["model.version"] = "2"


def none(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Remove all rows."""
    rows.clear()


def weekend(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Make the texts half as long."""
    for row in rows:
        row["input.words"] = max(1, row["input.words"] // 2)


def slow(rows: list[Row], chance: np.random.Generator, passed: float) -> None:
    """Make the wording slowly less usual."""
    for row in rows:
        row["input.surprisal"] += 1.5 * passed


def language(rows: list[Row], chance: np.random.Generator, _: float) -> None:
    """Write a fifth of the texts in a new language and script."""
    for row in rows:
        if chance.random() < 0.2:
            row |= {"input.script": "cyrillic", "input.flags": ["unusual_script"]}
            row["input.tokens_per_word"] = float(2.5 + chance.gamma(1, 0.3))


WAIT = "wait until morning"
STORIES = (
    Story(
        "bad-deployment",
        other_labels,
        "begins",
        "roll back",
        (
            "began with function version 8",
            "more answers are spam",
            "100 % of the change and 100 % of the predictions come from function version 8 (new)",
            "Last deployment: function version 8",
            "update-alias --function-name classifier-f --name live --function-version 7 ",
        ),
        version="8",
    ),
    Story(
        "launch",
        launch,
        "begins",
        WAIT,
        (
            "No version changed",
            "3 times as many predictions as usual. If you launched something, announce it",
            "spread evenly",
            *LAUNCHED,
        ),
        times=3,
        words=LAUNCHED,
    ),
    Story(
        "truncation",
        cut_short,
        "begins",
        WAIT,
        (
            "The change is in customer mobile-app.",
            "texts are shorter",
            "Where: 100 % of the change and ",
            "of the predictions come from customer mobile-app",
        ),
    ),
    Story(
        "new-customer",
        new_customer,
        "begins",
        WAIT,
        (
            "customer acme, which is new",
            "Where: 100 % of the change and ",
            "of the predictions come from customer acme (new)",
            "towards sentences like",
        ),
    ),
    Story(
        "outage",
        none,
        "stale",
        "look now",
        ("had no prediction in", "120 an hour are usual at", "NoPredictionsAlarm"),
    ),
    Story("weekend", weekend, "weekday", "nothing", ("The accepted baseline has no",), odd=True),
    Story(
        "slow-drift",
        slow,
        "begins",
        WAIT,
        ("No version changed", "wording is less usual", "never above", "in the 9 days before"),
    ),
    Story(
        "new-language",
        language,
        "begins",
        WAIT,
        ("script cyrillic, which is new", "the flag unusual_script"),
    ),
    Story(
        "rollout",
        half_swapped,
        "differs",
        "roll back",
        (
            "Version 2 gives other answers than version 1 on the same traffic",
            "more answers are spam",
            "If this is intended",
        ),
        hours=8,
    ),
    Story(
        "low-accuracy",
        nothing,
        "inaccurate",
        WAIT,
        (
            "the right label in 150 of 240 labelled predictions, 0.62 (0.56 to 0.68)",
            "0.75 to 0.80 is expected",
            "are a random sample (source: audit)",
            "Wrong answers: 90 times ham (right: spam).",
        ),
        model=SHIPPED.card["version"],
        right=(150, 240),
    ),
)
BY_NAME = {story.name: story for story in STORIES}


class Playground:
    """The running judge and messenger, their log lines, and the mails that people get."""

    def __init__(self, store: Store, sqs: Any, queue: str) -> None:
        self.store = store
        self.judge: Runtime
        self.messenger: Runtime
        self.subscriptions: list[Subscription] = []
        self.payloads: list[dict[str, Any]] = []
        self.judged: list[str] = []
        self.log: list[str] = []
        self._sqs = sqs
        self._queue = queue

    def deliver(self, payload: dict[str, Any]) -> Any:
        self.payloads.append(payload)
        return self.messenger.invoke(payload)

    def write(self, line: str) -> None:
        self.judged.append(line)
        for each in self.subscriptions:
            each.put(line)

    def run(self) -> None:
        before = self._heartbeats()
        self.judge.invoke({})
        deadline = time.monotonic() + 30  # the last line may come later than the answer
        while self._heartbeats() == before and time.monotonic() < deadline:
            time.sleep(0.05)
        for each in self.subscriptions:
            assert each.drain(30)
            assert each.failures == []

    def _heartbeats(self) -> int:
        return sum('"heartbeat"' in line for line in list(self.judged))

    def command(self, *words: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.judge.invoke({"command": list(words)})
        return answer

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails that the topic's subscriber got since the last call of this method."""
        found: list[dict[str, Any]] = []
        while True:
            got = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
            several = got.get("Messages", [])
            for one in several:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=one["ReceiptHandle"])
            found += [json.loads(one["Body"]) for one in several]
            if not several:
                return found

    def messages(self) -> list[dict[str, Any]]:
        """Return the verdicts with a message, in the order in which the judge wrote them."""
        lines = [json.loads(line)["monitor"] for line in self.judged if '"verdict"' in line]
        return [line for line in lines if "message" in line]


@pytest.fixture(scope="module")
def mailbox(aws: str) -> tuple[str, Any, str]:
    """Return the topic's ARN, a client for SQS, and the URL of a queue that gets its messages."""
    sns: Any = _client("sns", aws)
    sqs: Any = _client("sqs", aws)
    topic = sns.create_topic(Name="drift")["TopicArn"]
    queue = sqs.create_queue(QueueName="drift-mail")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
    return topic, sqs, queue


def _client(service: str, url: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=url, region_name="us-east-1", **keys)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def messenger(
    template: Template,
    built: Path,
    replay_packages: Path,
    bucket: str,
    mailbox: tuple[str, Any, str],
) -> Callable[[Playground], AbstractContextManager[Runtime]]:
    """Return a function that starts the built messenger for a playground."""
    topic, sqs, _ = mailbox
    settings = {"TOPIC_ARN": topic, "CLAIMS_BUCKET": bucket, "STACK": STACK, **KEYS}
    settings["AWS_ENDPOINT_URL"] = sqs.meta.endpoint_url
    function = template.functions["MessengerFunction"]
    code = built / "MessengerFunction"
    return lambda ground: start(
        function, settings, ground.log.append, code=code, packages=replay_packages
    )


@pytest.fixture(scope="module")
def judge(
    running: Stack, template: Template, built: Path, runtime_packages: Path
) -> Callable[[Playground], AbstractContextManager[Runtime]]:
    """Return a function that starts the built judge for a playground."""
    given = {
        "OPENSEARCH_URL": running.opensearch_url,
        "STACK": STACK,
        "MONITOR_BY": "customer",
    } | WORDED
    function = template.functions["MonitorFunction"]
    code = built / "MonitorFunction"
    return lambda ground: start(function, given, ground.write, code=code, packages=runtime_packages)


@pytest.fixture(scope="module")
def playground(
    running: Stack,
    judge: Callable[[Playground], AbstractContextManager[Runtime]],
    messenger: Callable[[Playground], AbstractContextManager[Runtime]],
    mailbox: tuple[str, Any, str],
) -> Iterator[Playground]:
    url = urlsplit(running.opensearch_url)
    connection = RequestsHttpConnection(host=url.hostname or "", port=url.port)
    ground = Playground(Store(connection, own_index(STACK), STACK), *mailbox[1:])
    with ExitStack() as parts:
        for name, ship in (
            ("MonitorRecords", running.shipper.invoke),
            ("Messages", ground.deliver),
        ):
            each = parts.enter_context(subscribed("MonitorLogGroup", name, ship))
            ground.subscriptions.append(each)
        ground.judge = parts.enter_context(judge(ground))
        ground.messenger = parts.enter_context(messenger(ground))
        prepare(running.opensearch_url, ground.store)
        ground.run()
        ground.run()  # the story `outage` is noticed in the run after its last predictions
        yield ground
    forget(running.opensearch_url, STACK)


def prepare(url: str, store: Store) -> None:
    """Give each story an accepted baseline, summaries of a week, and predictions of ten hours."""
    for number, story in enumerate(STORIES):
        accept_week(store, story)
        chance = np.random.default_rng(10 + number)
        if story.name == "outage":
            state = State(until=NOW - 40 * HOUR, full=NOW - 40 * HOUR, number=1, word="ok")
            store.put_state(story.stream, state.document(), None)
            predicted(url, story, NOW - 40 * HOUR, NOW - 30 * HOUR, chance)
        else:
            predicted(url, story, NOW - 10 * HOUR, NOW - SLOT, chance)
        if story.right:
            put_labels(url, story, *story.right)


@cache
def week() -> list[Summary]:
    return slots(7 * 96, EACH, np.random.default_rng(1), start=NOW - 9 * DAY)


def accept_week(store: Store, story: Story) -> None:
    """Accept the usual week as the baseline, and store its summaries."""
    full = cut(week(), rows=PLAN.rows, at_most=PLAN.longest).full
    days = set(range(7))
    if story.odd:
        days -= {datetime.fromtimestamp(at, UTC).weekday() for at in (NOW - 6 * HOUR, NOW)}
    fitted = baseline.fit([of(story, part) for part in full])
    accepted = Accepted.of(1, replace(fitted, weekdays=tuple(sorted(days))), PLAN)
    content = baseline.to_document(accepted.baseline) | {"plan": accepted.plan()}
    store.create(Kind.BASELINE, story.stream, 1, content)
    store.create(Kind.DECISION, story.stream, 1, {"baseline": 1, "action": "accept"})
    store.put_summaries([of(story, part) for part in week()])


def of(story: Story, part: Summary) -> Summary:
    """Return the summary with the story's stream and version, and the shipped model's profile."""
    profile = SHIPPED.card["profile"]
    return replace(part, stream=story.stream, profile=profile, version=story.model)


def put_labels(url: str, story: Story, right: int, count: int) -> None:
    """Put labels of a random sample into OpenSearch.

    Each prediction has the label ham, and `right` of `count` predictions are right.
    """
    joined = (
        Joined(
            story.stream,
            story.model,
            SHIPPED.card["profile"],
            (NOW - 6 * HOUR + at) * 1000,
            "ham",
            0.78,
            Judgement(f"{story.name} {at}", "ham" if at < right else "spam", NOW * 1000, "audit"),
        )
        for at in range(count)
    )
    put_joined(url, joined)


def predicted(url: str, story: Story, begin: int, end: int, chance: np.random.Generator) -> None:
    documents: list[Row] = []
    for slot in range(begin, end, SLOT):
        began = NOW - story.hours * HOUR
        later = slot >= began and story.name != "outage"
        rows = records(EACH * (story.times if later else 1), chance)
        for row in rows:
            row["customer"] = CUSTOMERS[int(chance.integers(3))]
        if later:
            story.change(rows, chance, (slot - began) / (end - began))
        for row in rows:
            if story.words:
                said = [*EVERYDAY, *story.words * 5] if later else EVERYDAY
                row["text"] = " ".join(chance.choice(said, 8))
            version = row.pop("model.version", story.model)
            at = slot * 1000 + int(chance.integers(SLOT * 1000))
            envelope = {
                "@timestamp": at,
                "@stack": STACK,
                "@log_group": story.stream.log_group,
                "@function_version": story.version if later else "7",
                "model": {"name": MODEL, "version": version, "profile": SHIPPED.card["profile"]},
            }
            documents.append(nested(row) | envelope)
    put_predictions(url, documents)


@pytest.fixture(scope="module")
def mails(playground: Playground) -> dict[str, list[dict[str, Any]]]:
    """Return the mails, by the name of the story."""
    found: dict[str, list[dict[str, Any]]] = {story.name: [] for story in STORIES}
    for mail in playground.mails():
        first = mail["Message"].splitlines()[0]
        (name,) = [n for n in found if f"{BY_NAME[n].stream.log_group} " in first]
        found[name].append(mail)
    if folder := os.environ.get("WRITE_MESSAGES"):  # writes the files of events/messages
        for name, several in found.items():
            text = several[0]["Message"] if several else "none\n"
            Path(folder, f"{name}.txt").write_text(text, encoding="utf-8")
    return found


@pytest.mark.parametrize("name", BY_NAME)
def test_the_message_names_the_right_action_and_its_reasons(
    name: str, mails: dict[str, list[dict[str, Any]]]
) -> None:
    story = BY_NAME[name]
    mail = mails[name][0]
    attributes = {key: value["Value"] for key, value in mail["MessageAttributes"].items()}
    assert attributes == {"stack": STACK, "change": story.kind, "action": story.action}
    lines = mail["Message"].splitlines()
    assert lines[1].startswith(f"WHAT TO DO NOW: {story.action.upper()}. ")
    assert [said for said in story.said if said not in mail["Message"]] == []
    assert len(lines) <= 15
    assert "could not be read" not in mail["Message"]


@pytest.mark.parametrize(
    ("name", "words", "found"),
    [("launch", True, set(LAUNCHED)), ("launch", False, set()), ("slow-drift", True, set())],
    ids=["the parameter is on", "the parameter is off", "no texts are logged"],
)
def test_a_message_quotes_words_of_texts_only_if_permitted(
    name: str, words: bool, found: set[str], playground: Playground, running: Stack
) -> None:
    url = urlsplit(running.opensearch_url)
    connection = RequestsHttpConnection(host=url.hostname or "", port=url.port)
    sight = Sight(connection, playground.store, "cwl-*", words=words)
    window = Summary(BY_NAME[name].stream, "1", NOW - 3 * HOUR, 2 * HOUR, rows=240)
    finding = Finding(Reference.BASELINE, window, Verdict.NOTICE, "")
    begins = Transition(Change.BEGINS, "means", NOW - 6 * HOUR, window.end)
    known = facts(sight, finding, begins, None, in_a_row=3, promised=90)
    assert not known.unread
    assert set(known.words) == found


def test_each_transition_causes_one_mail_even_if_payloads_and_runs_are_repeated(
    playground: Playground,
    mails: dict[str, list[dict[str, Any]]],
    messenger: Callable[[Playground], AbstractContextManager[Runtime]],
) -> None:
    said = [line["message"]["id"] for line in playground.messages()]
    assert len(set(said)) == len(said) == sum(map(len, mails.values()))
    logged = [json.loads(line) for line in playground.log if line.startswith("{")]
    sent = [line for line in logged if line["message"] == "sent"]
    assert len({line["message_id"] for line in sent}) == len(sent)
    payloads = list(playground.payloads)
    for payload in payloads * 2:  # duplicate deliveries
        assert playground.messenger.invoke(payload) == {"sent": 0}
    playground.run()  # the judge runs again
    with messenger(playground) as restarted:
        for payload in payloads:
            assert restarted.invoke(payload) == {"sent": 0}
        assert restarted.invoke({}) == {"sent": 0}  # a scheduled run finds no waiting message
    assert playground.mails() == []


def test_lines_that_an_interrupted_run_did_not_write_are_written_by_the_next_run(
    playground: Playground,
) -> None:
    stream = BY_NAME["launch"].stream
    # an interrupted run saves its lines in the state, but does not write them
    (state,) = playground.store.documents(Kind.STATE, stream)
    (line, *_) = [one for one in playground.messages() if one["log_group"] == stream.log_group]
    untold = {"record_version": 1, "monitor": line}
    playground.store.put_state(stream, state.source | {"untold": [untold]}, state.version)
    before = len(playground.messages())
    playground.run()
    assert len(playground.messages()) == before + 1
    assert playground.mails() == []  # the messenger has sent this message before
    playground.run()
    assert len(playground.messages()) == before + 1


DECIDED = Story("decided", other_labels, "begins", "roll back", (), version="8")


def test_people_can_send_commands_to_the_monitor(running: Stack, playground: Playground) -> None:
    url, store, stream = running.opensearch_url, playground.store, DECIDED.stream
    only = ("--log-group", stream.log_group)
    who = ("--by", "anna", "--reason", "a launch")
    accept_week(store, DECIDED)
    predicted(url, DECIDED, NOW - 8 * HOUR, NOW - 3 * HOUR, np.random.default_rng(40))
    later = f"{datetime.fromtimestamp(NOW + DAY, UTC):%Y-%m-%dT%H:%M}"
    muted = playground.command("mute", "--until", later, *who, *only)
    assert muted["code"] == 0, muted
    assert "messages are muted until" in muted["said"][0]
    playground.run()
    (silenced,) = [one for one in playground.messages() if one["log_group"] == stream.log_group]
    assert silenced["message"]["silenced"] == "mute by anna: a launch"
    assert playground.mails() == []  # a muted message is not sent
    shown = "\n".join(playground.command("show", *only)["said"])
    assert "Its message was not sent, because messages are silenced" in shown
    assert "anna: messages are muted until" in shown
    assert playground.command("unmute", *who, *only)["code"] == 0
    predicted(url, DECIDED, NOW - 3 * HOUR, NOW - 2 * HOUR, np.random.default_rng(41))
    playground.run()
    (mail,) = playground.mails()
    assert "silenced until now" in mail["Message"]
    assert mail["MessageAttributes"]["action"]["Value"] == "roll back"
    days = [f"{datetime.fromtimestamp(NOW - ago * DAY, UTC):%Y-%m-%d}" for ago in (8, 3)]
    span = ("--from", days[0], "--to", days[1])
    refused = playground.command("baseline", "accept", *span, *only)
    assert refused["code"] == 2  # the command does not say who decides
    accepted = playground.command("baseline", "accept", *span, *only, *who, "--force")
    assert accepted["code"] == 0, accepted
    predicted(url, DECIDED, NOW - 2 * HOUR, NOW - SLOT, np.random.default_rng(42))
    playground.run()
    (closed,) = playground.mails()
    assert closed["MessageAttributes"]["change"]["Value"] == "replaced"
    assert playground.command("baseline", "use", "1", *only, *who)["code"] == 0
    end = f"{datetime.fromtimestamp(NOW + 2 * DAY, UTC):%Y-%m-%dT%H:%M}"
    assert playground.command("expect", "--from", later, "--to", end, *who, *only)["code"] == 0
    left = [one.source for one in store.documents(Kind.DECISION, stream)]
    assert [(one["action"], one["baseline"]) for one in left] == [
        ("accept", 1),
        ("accept", 2),
        ("use", 1),
    ]
    assert {(one["by"], one["reason"]) for one in left[1:]} == {("anna", "a launch")}
    silences = [one.source for one in store.documents(Kind.SILENCE, stream)]
    assert [one["action"] for one in silences] == ["mute", "unmute", "expect"]
    assert all(one["by"] == "anna" and one["decided"] for one in silences)

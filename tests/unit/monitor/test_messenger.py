"""Tests that the messenger sends each message once, even if lines are repeated or a sender fails.

Before a sender sends a message, it claims the message with an object in a bucket. A claim is valid
for the time `LEASE`. Then another sender may take it over.
"""

from __future__ import annotations

import base64
import gzip
import importlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError, EndpointConnectionError
from jsonschema import Draft202012Validator
from moto import mock_aws

from local.template import load
from monitor.messages.deliver import LIMIT, fitting, refusal
from monitor.messages.send_once import CLAIMED, LEASE, WAITING, Claims, Held
from tools.root import ROOT

EVENT = Draft202012Validator(
    json.loads((ROOT / "events" / "model_drift_detected.schema.json").read_text())
)
BUCKET = "letters"
MESSAGE = {
    "id": "0" * 32,
    "change": "begins",
    "signal": "label",
    "action": "roll back",
    "since": "2026-11-23T09:00:00.000Z",
    "subject": "Notice: roll back - stack model",
    "text": "NOTICE\nWHAT TO DO NOW: ROLL BACK.\n",
}


def line(**given: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((ROOT / "events" / "record.verdict.json").read_text())
    record["monitor"]["message"] = MESSAGE | given
    return record


def without_message() -> dict[str, Any]:
    record = line()
    del record["monitor"]["message"]
    return record


def payload(*lines: Any) -> dict[str, Any]:
    events = [
        {
            "id": str(at),
            "timestamp": 0,
            "message": each if isinstance(each, str) else json.dumps(each),
        }
        for at, each in enumerate(lines)
    ]
    data = gzip.compress(json.dumps({"messageType": "DATA_MESSAGE", "logEvents": events}).encode())
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


class Events:
    """A stand-in for EventBridge that keeps the events."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refuse = ""

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        if self.refuse:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": self.refuse}]}
        self.taken += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


class Messenger:
    """The handler's module with the AWS services of moto, and the messages that it sent."""

    def __init__(self, module: ModuleType, queue: str) -> None:
        self.module = module
        self.events = Events()
        self._queue = queue
        self._swap(events=self.events)

    def _swap(self, **clients: Any) -> None:
        found = self.module.destinations
        kept = {name: getattr(found, name) for name in ("sns", "events", "topic", "stack")}
        self.module.destinations = type(found)(**kept | clients)  # type: ignore[attr-defined]

    def __call__(self, event: dict[str, Any]) -> dict[str, int]:
        return self.module.handler(event, Context())  # type: ignore[no-any-return]

    def break_topic(self, problem: BaseException) -> None:
        self._real = self.module.destinations.sns

        class Broken:
            def publish(self, **_: Any) -> None:
                raise problem

        self._swap(sns=Broken())

    def mend_topic(self) -> None:
        self._swap(sns=self._real)

    def expire_claims(self) -> None:
        """Delete all claims, as if their leases had ended."""
        for key in self.objects(CLAIMED):
            boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)

    def mails(self) -> list[dict[str, Any]]:
        """Return the topic's messages since the last call."""
        sqs = boto3.client("sqs")
        got = sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        for one in got:
            sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=one["ReceiptHandle"])
        return [json.loads(one["Body"]) for one in got]

    def objects(self, prefix: str) -> list[str]:
        listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", [])]


class Context(LambdaContext):
    def __init__(self) -> None:
        self._function_name = self._aws_request_id = self._invoked_function_arn = "messenger"
        self._memory_limit_in_mb = 256


@pytest.fixture
def messenger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Messenger]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        topic = boto3.client("sns").create_topic(Name="drift")["TopicArn"]
        sqs = boto3.client("sqs")
        queue = sqs.create_queue(QueueName="mail")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
        for name, value in {"TOPIC_ARN": topic, "CLAIMS_BUCKET": BUCKET, "STACK": "stack"}.items():
            monkeypatch.setenv(name, value)
        import monitor.messenger

        yield Messenger(importlib.reload(monitor.messenger), queue)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Publish")


def test_a_message_is_one_mail_and_one_event(messenger: Messenger) -> None:
    assert messenger(payload(line())) == {"sent": 2}
    (mail,) = messenger.mails()
    assert (mail["Subject"], mail["Message"]) == (MESSAGE["subject"], MESSAGE["text"])
    assert mail["MessageAttributes"]["action"]["Value"] == "roll back"
    (event,) = messenger.events.taken
    EVENT.validate(
        {
            "source": event["Source"],
            "detail-type": event["DetailType"],
            "detail": json.loads(event["Detail"]),
        }
    )


def test_a_repeated_line_is_not_sent_again(messenger: Messenger) -> None:
    messenger(payload(line(), line()))
    assert messenger(payload(line())) == {"sent": 0}
    assert len(messenger.mails()) == len(messenger.events.taken) == 1


def test_another_transition_gets_another_message(messenger: Messenger) -> None:
    messenger(payload(line(), line(id="1" * 32, change="recovers", action="nothing")))
    assert len(messenger.mails()) == 2
    assert len(messenger.events.taken) == 1  # a recovery is no drift


@pytest.mark.parametrize(
    "other",
    [
        line(silenced="mute by anna: a launch"),
        json.loads((ROOT / "events" / "record.drift.json").read_text()),
        without_message(),
        "no JSON { }",
        "[]",
        '{"message": "verdict", "monitor": {"message": "text"}}',
    ],
    ids=["silenced", "drift", "no message", "no JSON", "no object", "a message that is a text"],
)
def test_a_line_without_a_message_to_send_is_ignored(messenger: Messenger, other: Any) -> None:
    assert messenger(payload(other)) == {"sent": 0}
    assert messenger.mails() == messenger.events.taken == []
    assert messenger.objects("") == []


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (refused("NotFound"), "the topic does not exist"),
        (refused("AuthorizationError"), "must let the role of MessengerFunction publish"),
        (refused("KMSAccessDenied"), "the policy of the topic's key"),
        (refused("InvalidParameter"), "look at the topic"),
        (EndpointConnectionError(endpoint_url="https://sns"), "cannot be reached"),
    ],
)
def test_a_message_that_the_topic_refuses_is_sent_by_a_later_run(
    messenger: Messenger, problem: Exception, said: str
) -> None:
    messenger.break_topic(problem)
    for _ in range(3):  # the first attempt, and Lambda's two retries
        with pytest.raises(messenger.module.NotSent, match=said):
            messenger(payload(line()))
    assert len(messenger.events.taken) == 1  # EventBridge got the event, and only once
    assert messenger.objects(WAITING) == [f"{WAITING}{MESSAGE['id']}"]
    messenger.mend_topic()
    assert messenger({}) == {"sent": 1}  # an event of the schedule
    assert len(messenger.mails()) == 1
    assert messenger.objects(WAITING) == []
    assert messenger({}) == messenger(payload(line())) == {"sent": 0}
    assert messenger.mails() == []


def test_the_schedule_sends_the_messages_of_a_sender_that_stopped(
    messenger: Messenger,
) -> None:
    messenger.break_topic(KeyboardInterrupt())  # as if Lambda stopped the function
    with pytest.raises(KeyboardInterrupt):
        messenger(payload(line(), line(id="1" * 32)))
    messenger.mend_topic()
    assert messenger.objects(WAITING) == [f"{WAITING}{name * 32}" for name in "01"]
    messenger.expire_claims()
    assert messenger({}) == {"sent": 4}
    assert len(messenger.mails()) == 2
    assert messenger.objects(WAITING) == []


def test_a_waiting_message_that_another_sender_sends_is_left_out(messenger: Messenger) -> None:
    claims = Claims(boto3.client("s3"), BUCKET)
    for name in ("a", "b"):
        claims.keep(name, name.encode())
    found = claims.kept()
    assert next(found) == b"a"
    claims.forget("b")  # another sender was faster
    assert list(found) == []


def test_a_claim_is_valid_for_longer_than_its_sender_can_run() -> None:
    """The lease ends after the sender's time-out, and before Lambda's last retry."""
    function = load()["Resources"]["MessengerFunction"]["Properties"]
    assert 120 <= function["Timeout"] < LEASE.total_seconds() < 180


def test_an_event_that_the_event_bus_refuses_is_sent_by_a_later_run(messenger: Messenger) -> None:
    messenger.events.refuse = "InternalFailure"
    with pytest.raises(messenger.module.NotSent, match=r"EventBridge refused .*InternalFailure"):
        messenger(payload(line()))
    messenger.events.refuse = ""
    messenger({})
    assert len(messenger.mails()) == len(messenger.events.taken) == 1


def test_a_claim_is_taken_over_after_its_lease(messenger: Messenger) -> None:
    claims = Claims(boto3.client("s3"), BUCKET)
    assert claims.claim("one")
    with pytest.raises(Held, match="in a minute"):
        claims.claim("one")
    later = datetime.now(UTC) + LEASE + timedelta(seconds=2)
    assert claims.claim("one", later)
    claims.sent("one")
    assert not claims.claim("one", later)
    claims.claim(f"{MESSAGE['id']}-topic")
    with pytest.raises(messenger.module.NotSent, match="somebody else"):
        messenger(payload(line()))
    assert messenger.mails() == []
    assert messenger.objects(f"{CLAIMED}{MESSAGE['id']}") != []


def test_a_claim_that_is_given_back_can_be_made_again(messenger: Messenger) -> None:
    claims = Claims(boto3.client("s3"), BUCKET)
    claims.claim("one")
    claims.give_back("one")
    assert claims.claim("one")


@pytest.mark.parametrize("variable", ["TOPIC_ARN", "CLAIMS_BUCKET", "STACK"])
def test_the_error_about_a_missing_setting_names_the_variable(
    messenger: Messenger, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(ValueError, match=variable):
        importlib.reload(messenger.module)


def test_a_text_over_the_limit_is_cut_and_says_so() -> None:
    assert fitting("short") == "short"
    cut = fitting("ä" * LIMIT)
    assert len(cut.encode()) < 256 * 1024
    assert cut.endswith(
        "(cut here: the whole text is in the index, as monitor.message.text of this verdict)\n"
    )


def test_a_refusal_quotes_only_the_error_code() -> None:
    assert "no" not in refusal(refused("Odd")).split("(")[1].split(")")[0]

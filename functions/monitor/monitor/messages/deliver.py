"""Delivers the message in a verdict's log line to an SNS topic, and to EventBridge as an event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from monitor.messages.send_once import Claims, Held

SOURCE: Final = "prediction-monitor"
DETAIL_TYPE: Final = "ModelDriftDetected"
DRIFTED: Final = {"begins", "spreads"}  # only these changes are sent as an event
# The largest number of bytes of a message's text. SNS and EventBridge accept 256 KiB for all fields
# together.
LIMIT: Final = 240_000
CUT: Final = (
    "\n(cut here: the whole text is in the index, as monitor.message.text of this verdict)\n"
)

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Destinations:
    """The destinations of messages: two boto3 clients, the topic's ARN, and the stack's name."""

    sns: Any
    events: Any
    topic: str
    stack: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of sending one message to one destination.

    `fate` is `sent`, `already` (it was sent before), `failed`, or `held` (another sender is
    sending it now).
    """

    name: str
    fate: str
    reason: str = ""


def deliver(line: Line, claims: Claims, to: Destinations) -> Iterator[Delivery]:
    """Send a line's message to each destination that did not get it yet.

    If one destination fails, the others still get the message. The caller stores the line before
    the call (`Claims.keep`). The stored line is deleted when every destination has the message.

    A claim (send_once.py) marks a message that is being sent or was sent. Raises botocore's errors
    if the bucket of the claims fails.
    """
    message = line["monitor"]["message"]
    senders: dict[str, Callable[[Line, Destinations], None]] = {"topic": publish}
    if message["change"] in DRIFTED:
        senders["event"] = put_event
    found = [
        _one(f"{message['id']}-{where}", partial(send, line, to), claims)
        for where, send in senders.items()
    ]
    if all(one.fate in {"sent", "already"} for one in found):
        claims.forget(message["id"])
    yield from found


def _one(name: str, send: Callable[[], None], claims: Claims) -> Delivery:
    try:
        if not claims.claim(name):
            return Delivery(name, "already")
    except Held as problem:
        return Delivery(name, "held", str(problem))
    try:
        send()
    except (BotoCoreError, ClientError, Refused) as problem:
        claims.give_back(name)
        return Delivery(name, "failed", refusal(problem))
    claims.sent(name)
    return Delivery(name, "sent")


class Refused(Exception):
    """EventBridge took the request and refused the event."""


def publish(line: Line, to: Destinations) -> None:
    """Send a line's message to the topic. Raises botocore's errors."""
    message = line["monitor"]["message"]
    attributes = {"stack": to.stack, "change": message["change"], "action": message["action"]}
    to.sns.publish(
        TopicArn=to.topic,
        Subject=message["subject"],
        Message=fitting(message["text"]),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )


def put_event(line: Line, to: Destinations) -> None:
    """Send a line's message as an event. Raises botocore's errors and `Refused`."""
    entry = {
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail(line, to.stack)),
    }
    (answer,) = to.events.put_events(Entries=[entry])["Entries"]
    if "EventId" not in answer:
        raise Refused(f"EventBridge refused the event ({answer.get('ErrorCode', 'no reason')})")


def detail(line: Line, stack: str) -> dict[str, Any]:
    """Return the event's detail (events/model_drift_detected.schema.json)."""
    found, message = line["monitor"], line["monitor"]["message"]
    named = ("log_group", "model", "version", "profile", "baseline", "rows", "signals", "sentence")
    return {
        "stack": stack,
        **{name: found[name] for name in named if name in found},
        "window": {"start": found["start"], "end": found["end"]},
        **{name: message[name] for name in ("id", "change", "signal", "action", "since")},
        "text": fitting(message["text"]),
    }


def fitting(text: str) -> str:
    """Return the text. A text above the services' limit is cut, and ends with a note about it."""
    whole = text.encode()
    if len(whole) <= LIMIT:
        return text
    return whole[:LIMIT].decode(errors="ignore") + CUT


def refusal(problem: Exception) -> str:
    """Return one sentence about a failure and its remedy."""
    if isinstance(problem, ClientError):
        error = problem.response["Error"]
        code = error["Code"]
        look = {
            "NotFound": "the topic does not exist: correct DriftTopicArn, or leave it empty",
            "AuthorizationError": (
                "the topic's policy must let the role of MessengerFunction publish"
            ),
            "KMSAccessDenied": (
                "the policy of the topic's key must let the role of MessengerFunction use the key"
            ),
        }.get(code, "look at the topic, its policy and its key")
        return f"{problem.operation_name} was refused ({code}): {look}"
    if isinstance(problem, Refused):
        return str(problem)
    return f"the service cannot be reached ({type(problem).__name__}): another attempt follows"

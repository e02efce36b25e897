"""The messenger's Lambda handler: it receives verdict lines, and sends their messages to people.

A subscription on the monitor's log group calls the messenger. A schedule calls the messenger too,
for messages that could not be sent before.

If the OpenSearch domain is in a VPC, the monitor runs in this VPC, and reaches only the domain. The
messenger always runs outside of the VPC, so that it reaches SNS, EventBridge and S3.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from monitor import logging_variables
from monitor.messages.deliver import Delivery, Destinations, Line, deliver
from monitor.messages.send_once import Claims

# The size limit of an unpacked payload, in bytes. The rest is cut off.
LARGEST: Final = 64 * 1024 * 1024
CONFIG: Final = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
NEEDED: Final = ("TOPIC_ARN", "CLAIMS_BUCKET", "STACK")

for variable in NEEDED:
    if not os.environ.get(variable):
        raise ValueError(f"{variable} must be set: see MessengerFunction in template.yaml")
claims = Claims(boto3.client("s3", config=CONFIG), os.environ["CLAIMS_BUCKET"])
destinations = Destinations(
    boto3.client("sns", config=CONFIG),
    boto3.client("events", config=CONFIG),
    os.environ["TOPIC_ARN"],
    os.environ["STACK"],
)
logging_variables.ignore(os.environ)
logger = Logger(service="messenger", level="INFO", use_rfc3339=True, utc=True, location=None)


class NotSent(Exception):
    """At least one message could not be sent. It is kept for another attempt."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, int]:
    """Send the messages of an event with log lines; for any other event, send waiting messages.

    All lines are kept in S3 before the first message is sent, so a time-out loses no message.
    Raises `NotSent` if a message could not be sent, so that Lambda counts an error and tries again.
    If another sender is already sending a waiting message, the message is left to that sender.
    """
    if "awslogs" in event:
        lines: Iterable[Line] = kept(messages(event["awslogs"]["data"]), claims)
        unsent = {"failed", "held"}
    else:
        lines, unsent = waiting(claims), {"failed"}
    found = [each for line in lines for each in deliver(line, claims, destinations)]
    for each in found:
        _log(each)
    if failed := [each for each in found if each.fate in unsent]:
        raise NotSent(f"{len(failed)} of {len(found)} messages were not sent: {failed[0].reason}")
    return {"sent": sum(each.fate == "sent" for each in found)}


def messages(data: str) -> Iterator[Line]:
    """Yield the verdict lines of a payload that contain a message to send.

    The subscription's pattern selects only such lines. Any other line is ignored.
    """
    inflate = zlib.decompressobj(wbits=31)
    payload = json.loads(inflate.decompress(base64.b64decode(data), LARGEST))
    for each in payload["logEvents"]:
        try:
            line = json.loads(each["message"])
        except ValueError:
            continue
        if is_to_send(line):
            yield line


def kept(lines: Iterable[Line], claims: Claims) -> list[Line]:
    """Keep all lines for a later attempt, and return them."""
    several = list(lines)
    for line in several:
        claims.keep(line["monitor"]["message"]["id"], json.dumps(line).encode())
    return several


def waiting(claims: Claims) -> Iterator[Line]:
    """Return the kept lines, whose messages could not be sent before."""
    return map(json.loads, claims.kept())


def is_to_send(line: Any) -> bool:
    """Return whether a line is a verdict with a message that is not silenced."""
    if not isinstance(line, dict) or line.get("message") != "verdict":
        return False
    message = line.get("monitor", {}).get("message")
    return isinstance(message, dict) and "silenced" not in message


def _log(each: Delivery) -> None:
    if each.fate == "failed":
        logger.error("not_sent", message_id=each.name, reason=each.reason)
    else:
        logger.info(each.fate, message_id=each.name)

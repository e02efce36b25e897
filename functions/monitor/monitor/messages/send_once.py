"""Decides which invocation sends a message: the one that claims the message's id in S3.

A claim is an object below `messages/claimed/`. A conditional write creates it before the message is
sent, so only one sender can create it. After the message is sent, the claim is marked as sent. If
sending fails, the claim is deleted. If a claim is older than `LEASE` and is not marked as sent, its
sender ended too early. Another sender then takes the claim over, so a message may be sent twice.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

CLAIMED: Final = "messages/claimed/"
WAITING: Final = "messages/waiting/"
# Lambda makes its last retry three minutes after the first try has failed. The lease must be
# shorter than these three minutes, and longer than the messenger's time limit (template.yaml).
LEASE: Final = timedelta(seconds=150)
TAKEN: Final = {"PreconditionFailed", "ConditionalRequestConflict"}  # errors of a conditional write
SENT: Final = b"sent"
SENDING: Final = b"sending"


class Held(Exception):
    """Somebody else is sending this message. The text of the exception is one sentence."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims in a bucket. `s3` is a boto3 client. Every method raises botocore's errors."""

    s3: Any
    bucket: str

    def claim(self, name: str, now: datetime | None = None) -> bool:
        """Claim a message. Returns False if it was already sent. Raises `Held`."""
        key = f"{CLAIMED}{name}"
        if self._put(key, IfNoneMatch="*"):
            return True
        found = self.s3.get_object(Bucket=self.bucket, Key=key)
        if found["Body"].read() == SENT:
            return False
        age = (now or datetime.now(UTC)) - found["LastModified"]
        if age > LEASE and self._put(key, IfMatch=found["ETag"]):
            return True
        raise Held(f"message {name} is being sent by somebody else: it is tried again in a minute")

    def sent(self, name: str) -> None:
        """Mark a claimed message as sent."""
        self.s3.put_object(Bucket=self.bucket, Key=f"{CLAIMED}{name}", Body=SENT)

    def give_back(self, name: str) -> None:
        """Give up the claim on a message that could not be sent."""
        self.s3.delete_object(Bucket=self.bucket, Key=f"{CLAIMED}{name}")

    def keep(self, name: str, content: bytes) -> None:
        """Keep a message for the next attempt, until it is sent."""
        self.s3.put_object(Bucket=self.bucket, Key=f"{WAITING}{name}", Body=content)

    def kept(self) -> Iterator[bytes]:
        """Yield the waiting messages, at most a thousand.

        A message that another sender sends meanwhile is left out.
        """
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=WAITING)
        for one in listed.get("Contents", []):
            try:
                found = self.s3.get_object(Bucket=self.bucket, Key=one["Key"])
            except self.s3.exceptions.NoSuchKey:
                continue
            yield found["Body"].read()

    def forget(self, name: str) -> None:
        """Remove a message from the waiting messages, if it is one of them."""
        self.s3.delete_object(Bucket=self.bucket, Key=f"{WAITING}{name}")

    def _put(self, key: str, **condition: str) -> bool:
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=SENDING, **condition)
        except ClientError as problem:
            if problem.response["Error"]["Code"] in TAKEN:
                return False
            raise
        return True

"""Asks a deployed Lambda function. If there is no answer, one sentence says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

SECONDS: Final = 30  # the longest wait for an answer; the stack's own function may run for 25
LONGEST: Final = 100  # a name in an answer is cut after this number of characters
REFUSED: Final = {
    "ResourceNotFoundException": (
        "there is no such function, version or alias, so deploy the stack again"
    ),
    "AccessDeniedException": (
        "the canary's role has no permission to invoke it, so deploy the stack again"
    ),
    "TooManyRequestsException": "it is throttled, so raise its concurrency",
}


class Reply(NamedTuple):
    """The answer of a function, and the version of the function that gave it."""

    content: Any
    version: str


class NoAnswer(Exception):
    """A function gave no answer. The message is one sentence."""


# Takes a function (its ARN or name, with an alias or version) and an event. Raises `NoAnswer`.
Ask = Callable[[str, Any], Reply]


def asking(client: Any) -> Ask:
    """Return an `Ask` that uses a boto3 client of Lambda."""

    def ask(function: str, event: Any) -> Reply:
        try:
            answer = client.invoke(
                FunctionName=function, Payload=json.dumps(event, ensure_ascii=False).encode()
            )
            payload = answer["Payload"].read()
        except ClientError as problem:
            kind = str(problem.response.get("Error", {}).get("Code", ""))[:LONGEST]
            remedy = REFUSED.get(kind, "look at the function in the console")
            raise NoAnswer(f"{function} cannot be asked ({kind}): {remedy}") from problem
        except ReadTimeoutError as problem:
            raise NoAnswer(
                f"{function} did not answer within {SECONDS} seconds: look at its log"
            ) from problem
        except BotoCoreError as problem:
            raise NoAnswer(
                f"Lambda cannot be reached ({type(problem).__name__}): the next run asks again"
            ) from problem
        content = _json(function, payload)
        if "FunctionError" in answer:
            kind = content.get("errorType", "") if isinstance(content, dict) else ""
            raise NoAnswer(
                f"{function} ended with an error ({str(kind)[:LONGEST]}): look at its log"
            )
        return Reply(content, str(answer.get("ExecutedVersion", "")))

    return ask


def _json(function: str, payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        raise NoAnswer(f"{function} answered without JSON: look at its log") from None

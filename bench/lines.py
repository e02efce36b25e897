"""Makes the log lines with which the shipper is measured.

A log can have the project's own prediction records, lines of a user's own function, or lines of all
kinds.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import cycle, islice
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from tools.root import ROOT

GROUP: Final = "/aws/lambda/prediction-monitor-InferenceFunction"
SEED: Final = 20261123
NOON: Final = 1_795_435_200_123  # 2026-11-23T12:00:00.123Z
FIRST_ID: Final = 385 * 10**53
# The number of lines of each kind in 100 lines, on average. A mixed log of nine or more lines has
# at least one line of each kind.
MIX: Final = {
    "record": 40,
    "prefixed": 10,
    "start": 6,
    "end": 6,
    "report": 6,
    "metrics": 12,
    "text": 12,
    "wrapped": 6,
    "broken": 2,
}
TEXTS: Final = (
    "loading model from /var/task/model",
    "2026-11-23 12:00:00,123 WARNING retrying in 0.2 s (attempt 2 of 5): connection reset by peer",
    "cache miss for key user:4711 after 3.5 ms: naïve fallback used",
    (
        'Traceback (most recent call last):\n  File "/var/task/app.py", line 12, in handler\n'
        "    total += price\nTypeError: cannot add"
    ),
)


class Printed(NamedTuple):
    """The lines that the inference function printed, with line ends.

    Each is a prediction record, or metrics in CloudWatch's embedded metric format.
    """

    records: list[str]
    metrics: list[str]


def printed(count: int) -> Printed:
    """Run the project's inference function on `count` sentences, and return its log."""
    folder = ROOT / "functions" / "inference"
    result = subprocess.run(
        [sys.executable, "-m", "bench.print_records"],
        input=json.dumps(sentences(count)),
        env=os.environ
        | {
            "PYTHONPATH": f"{folder}:{ROOT}",
            "HASH_KEY": "the key of the bench",
            "LOG_TEXT": "true",
        },
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    found = Printed([], [])
    for line in result.stdout.splitlines(keepends=True):
        (found.metrics if "_aws" in json.loads(line) else found.records).append(line)
    return found


def sentences(count: int) -> list[str]:
    """Return random sentences of 3 to 15 words from events/requests.json."""
    requests = json.loads((ROOT / "events" / "requests.json").read_text(encoding="utf-8"))
    known = [
        sentence
        for request in requests
        for sentence in request.get("sentences", [request.get("sentence")])
    ]
    words = " ".join(known).split()
    chance = Random(SEED)  # noqa: S311  the same in every run
    return [" ".join(chance.choices(words, k=chance.randint(3, 15))) for _ in range(count)]


def records(count: int, log: Printed) -> list[str]:
    """Return `count` prediction records.

    The records of the log are repeated as often as needed. Each returned record has new ids.
    """
    chance = Random(SEED)  # noqa: S311
    return [_renewed(line, chance) for line in islice(cycle(log.records), count)]


def mixed(count: int, log: Printed) -> list[str]:
    """Return `count` lines of all kinds in `MIX`, in random order."""
    chance = Random(SEED)  # noqa: S311
    kinds = [*MIX, *chance.choices(list(MIX), list(MIX.values()), k=max(count - len(MIX), 0))][
        :count
    ]
    chance.shuffle(kinds)
    return [line(kind, log, chance) for kind in kinds]


def own(count: int, *, mapped: bool) -> list[str]:
    """Return `count` lines of a user's own function.

    Each line has a time, a text, a label and a score. If `mapped` is true, the text, the label and
    the score have other names, which the shipper must map.
    """
    chance = Random(SEED)  # noqa: S311
    found = []
    for text in sentences(count):
        label, score = chance.choice(("positive", "negative")), round(chance.uniform(0.5, 1), 4)
        names = {"input": text, "label": label, "confidence": score}
        fields = names if mapped else {"text": text, "prediction": {"label": label, "score": score}}
        found.append(json.dumps({"timestamp": "2026-11-23T12:00:00.123Z", **fields}) + "\n")
    return found


def line(kind: str, log: Printed, chance: Random) -> str:
    """Return one line of a kind in `MIX`."""
    return _MAKERS[kind](log, chance)


def event(lines: list[str]) -> dict[str, Any]:
    """Return the Lambda event with which CloudWatch Logs delivers these lines.

    The lines are one millisecond apart.
    """
    events = [
        {"id": f"{FIRST_ID + number:056d}", "timestamp": NOON + number, "message": text}
        for number, text in enumerate(lines)
    ]
    return {"awslogs": {"data": base64.b64encode(gzip.compress(payload(events), 6)).decode()}}


def payload(events: list[dict[str, Any]]) -> bytes:
    """Return the subscription payload of log events, before compression.

    The payload is compact JSON. It may hold characters outside ASCII.
    """
    content = {
        "messageType": "DATA_MESSAGE",
        "owner": "000000000000",
        "logGroup": GROUP,
        "logStream": "2026/11/23/[$LATEST]0c2b4d6b9a572f3b7a1c4d5e8f5ad1e0",
        "subscriptionFilters": ["predictions"],
        "logEvents": events,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _renewed(text: str, chance: Random) -> str:
    """Return the record with a new prediction_id and a new function_request_id."""
    text = re.sub(r'(?<="prediction_id":")[0-9a-f]{32}', f"{chance.getrandbits(128):032x}", text)
    return re.sub(r'(?<="function_request_id":")[0-9a-f-]{36}', _request(chance), text)


def _request(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


def _record(log: Printed, chance: Random) -> str:
    return _renewed(chance.choice(log.records), chance)


def _prefixed(log: Printed, chance: Random) -> str:
    """Return a record after a prefix, as a logger or Lambda for Node.js prints it."""
    prefix = chance.choice(("INFO ", f"2026-11-23T12:00:00.123Z\t{_request(chance)}\tINFO\t"))
    return prefix + _record(log, chance)


def _report(_log: Printed, chance: Random) -> str:
    duration = chance.uniform(1, 90)
    return (
        f"REPORT RequestId: {_request(chance)}\tDuration: {duration:.2f} ms\t"
        f"Billed Duration: {int(duration) + 1} ms\t"
        f"Memory Size: 1024 MB\tMax Memory Used: {chance.randint(180, 260)} MB\t\n"
    )


def _wrapped(log: Printed, chance: Random) -> str:
    """Return a record as a string in a JSON object, as in Lambda's JSON log format."""
    wrapper = {
        "timestamp": "2026-11-23T12:00:00Z",
        "level": "INFO",
        "requestId": _request(chance),
        "message": _record(log, chance).rstrip(),
    }
    return json.dumps(wrapper, ensure_ascii=False) + "\n"


def _broken(log: Printed, chance: Random) -> str:
    """Return a record that was cut off."""
    text = _record(log, chance)
    return text[: chance.randint(len(text) // 4, len(text) - 2)]


_MAKERS: Final[dict[str, Callable[[Printed, Random], str]]] = {
    "record": _record,
    "prefixed": _prefixed,
    "start": lambda _log, chance: f"START RequestId: {_request(chance)} Version: $LATEST\n",
    "end": lambda _log, chance: f"END RequestId: {_request(chance)}\n",
    "report": _report,
    "metrics": lambda log, chance: chance.choice(log.metrics),
    "text": lambda _log, chance: chance.choice(TEXTS),
    "wrapped": _wrapped,
    "broken": _broken,
}

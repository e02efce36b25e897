"""Writes events/shipper/*.json and events/kinesis/*.json from the sample records.

Run `python -m tests.contract.make_payload` after each change of the record.
"""

from __future__ import annotations

import json
from pathlib import Path

from local import kinesis
from local.cloudwatch import subscription_event
from tools.root import ROOT

EVENTS = ROOT / "events"
LOG_GROUP = "/aws/lambda/prediction-monitor-InferenceFunction"
NOON = 1_795_435_200_123  # 2026-11-23T12:00:00.123Z
FIRST_ID = 385 * 10**53
REQUEST = "8f5ad1e0-3c1c-4f9a-9a57-1f2b3c4d5e6f"
PLATFORM = [
    f"START RequestId: {REQUEST} Version: $LATEST\n",
    (
        f"REPORT RequestId: {REQUEST}\tDuration: 12.30 ms\tBilled Duration: 13 ms\tMemory Size: "
        "256 MB\tMax Memory Used: 90 MB\t\n"
    ),
    json.dumps(
        {
            "time": "2026-11-23T12:00:00.123Z",
            "type": "platform.runtimeDone",
            "record": {"requestId": REQUEST, "status": "success"},
        }
    ),
]
METRICS = {
    "Timestamp": NOON,
    "CloudWatchMetrics": [
        {"Namespace": "Samples", "Dimensions": [[]], "Metrics": [{"Name": "Lines"}]}
    ],
}
WRAPPER = {"timestamp": "2026-11-23T12:00:00Z", "level": "INFO", "requestId": REQUEST}
PROBE = {
    "id": "",
    "timestamp": NOON,
    "message": "CWL CONTROL MESSAGE: Checking health of destination Lambda function.",
}


def main(events: Path = EVENTS) -> None:
    """Write three payloads, and a batch of a stream that contains the same payloads.

    The first payload has the two sample records, the second has lines of every kind, and the third
    is a control message.
    """
    records = [
        json.dumps(json.loads((events / f"record.{kind}.json").read_text()))
        for kind in ("prediction", "prediction_error")
    ]
    mixed = [
        records[0],
        'INFO {"message": "text before the object", "n": 1}',
        "plain words, no object",
        '["an","array"]',
        '{"broken": ',
        *PLATFORM,
        json.dumps({"_aws": METRICS, "Lines": 5}),
        json.dumps(WRAPPER | {"message": json.dumps({"message": "an object in a string", "n": 2})}),
        json.dumps(WRAPPER | {"message": {"message": "an object", "n": 3}}),
        json.dumps(json.dumps({"message": "all of it in a string", "n": 4})),
        '{"message": "no number", "n": NaN, "half": "\\ud83d"}',
    ]
    written = {
        "subscription": subscription_event(
            [event(number, line) for number, line in enumerate(records)], LOG_GROUP
        ),
        "mixed-lines": subscription_event(
            [event(number, line) for number, line in enumerate(mixed, start=10)], LOG_GROUP
        ),
        "control-message": subscription_event([PROBE], LOG_GROUP, "CONTROL_MESSAGE"),
    }
    for name, payload in written.items():
        (events / "shipper" / f"{name}.json").write_text(json.dumps(payload, indent=2) + "\n")
    in_stream = [
        kinesis.record(
            payload["awslogs"]["data"], str(kinesis.FIRST_SEQUENCE_NUMBER + number), 0, NOON / 1000
        )
        for number, payload in enumerate(written.values())
    ]
    batch = json.dumps({"Records": in_stream}, indent=2) + "\n"
    (events / "kinesis" / "batch.json").write_text(batch)


def event(number: int, line: str) -> dict[str, object]:
    """Return a log event with an id that does not change from run to run."""
    return {"id": f"{FIRST_ID + number:056d}", "timestamp": NOON + number, "message": line}


if __name__ == "__main__":
    main()

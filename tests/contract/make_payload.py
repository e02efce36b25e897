"""Write events/shipper/*.json anew from the sample records: run it after a change of the record."""

from __future__ import annotations

import json

from local.cloudwatch import subscription_event
from local.template import ROOT

EVENTS = ROOT / "events"
LOG_GROUP = "/aws/lambda/prediction-monitor-InferenceFunction"
NOON = 1_795_435_200_123  # 2026-11-23T12:00:00.123Z
FIRST_ID = 385 * 10**53


def main() -> None:
    """A payload of the two records, one of lines of every kind, and a control message."""
    records = [json.dumps(json.loads((EVENTS / f"record.{kind}.json").read_text())) for kind in ("prediction", "prediction_error")]
    mixed = [records[0], 'INFO {"message": "text before the object", "n": 1}', "plain words, no object", '["an","array"]', '{"broken": ']
    write("subscription", subscription_event([event(number, line) for number, line in enumerate(records)], LOG_GROUP))
    write("mixed-lines", subscription_event([event(number, line) for number, line in enumerate(mixed, start=10)], LOG_GROUP))
    probe = {"id": "", "timestamp": NOON, "message": "CWL CONTROL MESSAGE: Checking health of destination Lambda function."}
    write("control-message", subscription_event([probe], LOG_GROUP, "CONTROL_MESSAGE"))


def event(number: int, line: str) -> dict[str, object]:
    """A log event with an id that does not change from run to run."""
    return {"id": f"{FIRST_ID + number:056d}", "timestamp": NOON + number, "message": line}


def write(name: str, payload: dict[str, object]) -> None:
    """One file of events/shipper."""
    (EVENTS / "shipper" / f"{name}.json").write_text(json.dumps(payload, indent=2) + "\n")


if __name__ == "__main__":
    main()

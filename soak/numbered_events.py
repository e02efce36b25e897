"""The events of a soak: records with a number, so that each can be counted in the index."""

from __future__ import annotations

import json
from typing import Any, Final

from tools.root import ROOT

RECORD: Final[dict[str, Any]] = json.loads(
    (ROOT / "events" / "record.prediction.json").read_text(encoding="utf-8")
)
NUMBER: Final = "n"
WORDS: Final = 97  # a text has 0 to 96 words


def line(number: int) -> str:
    """Return the log line of event `number`. The length of its text depends on the number."""
    return json.dumps(
        {
            **RECORD,
            "prediction_id": f"{number:032x}",
            "text": "word " * (number % WORDS),
            NUMBER: number,
        },
        separators=(",", ":"),
    )

"""The events of a soak: numbered records, so that each of them can be counted in the index."""

from __future__ import annotations

import json
from typing import Any, Final

from tools.root import ROOT

RECORD: Final[dict[str, Any]] = json.loads(
    (ROOT / "events" / "record.prediction.json").read_text(encoding="utf-8")
)
NUMBER: Final = "n"
WORDS: Final = 97  # texts have 0 to 96 words


def line(number: int) -> str:
    """Return the log line of event `number`, a record of the usual size or a little larger."""
    return json.dumps(
        {
            **RECORD,
            "prediction_id": f"{number:032x}",
            "text": "word " * (number % WORDS),
            NUMBER: number,
        },
        separators=(",", ":"),
    )

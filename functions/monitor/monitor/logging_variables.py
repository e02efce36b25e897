"""Variables of Powertools and of Lambda that would change what a function writes: here its lines and metrics are a contract."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

PREFIX: Final = "POWERTOOLS_"
LEVELS: Final = frozenset({"AWS_LAMBDA_LOG_LEVEL", "LOG_LEVEL"})


def ignore(environment: MutableMapping[str, str]) -> None:
    """Take them out of `environment`, before a logger or metrics are made.

    A level drops the line that a prediction or a payload leaves, POWERTOOLS_DEV spreads it over many and switches metrics off,
    POWERTOOLS_LOGGER_LOG_EVENT puts the whole event into the log, whatever is to be kept out of it. Every function has the same file.
    """
    for name in [name for name in environment if name.startswith(PREFIX) or name in LEVELS]:
        del environment[name]

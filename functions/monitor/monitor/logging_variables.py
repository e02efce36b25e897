"""Environment variables of Powertools and Lambda that would change a function's log lines and metrics, which are a contract here."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

PREFIX: Final = "POWERTOOLS_"
LEVELS: Final = frozenset({"AWS_LAMBDA_LOG_LEVEL", "LOG_LEVEL"})


def ignore(environment: MutableMapping[str, str]) -> None:
    """Take them out of `environment`, before a logger or metrics are made.

    A log level could drop the line of a prediction or a payload. POWERTOOLS_DEV spreads it over many lines and switches metrics off.
    POWERTOOLS_LOGGER_LOG_EVENT logs the whole event, with the texts that must stay out. Every function has the same file.
    """
    for name in [name for name in environment if name.startswith(PREFIX) or name in LEVELS]:
        del environment[name]

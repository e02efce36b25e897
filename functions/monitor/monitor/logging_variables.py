"""Removes the environment variables by which Powertools and Lambda would change log lines and metrics: their form is a contract."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

PREFIX: Final = "POWERTOOLS_"
LEVELS: Final = frozenset({"AWS_LAMBDA_LOG_LEVEL", "LOG_LEVEL"})


def ignore(environment: MutableMapping[str, str]) -> None:
    """Remove these variables from `environment`.

    Must be called before a logger or metrics are made.

    A log level could drop the line of a prediction or a payload. POWERTOOLS_DEV spreads a line over
    many and switches metrics off. POWERTOOLS_LOGGER_LOG_EVENT logs the whole event, with the texts
    that must stay out. Functions with a logger have the same file.
    """
    for name in [name for name in environment if name.startswith(PREFIX) or name in LEVELS]:
        del environment[name]

"""Removes environment variables with which Powertools and Lambda change log lines and metrics.

Other programs rely on the form of the log lines and metrics.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

PREFIX: Final = "POWERTOOLS_"
LEVELS: Final = frozenset({"AWS_LAMBDA_LOG_LEVEL", "LOG_LEVEL"})


def ignore(environment: MutableMapping[str, str]) -> None:
    """Remove the log levels in `LEVELS` and all variables of Powertools from `environment`.

    This must be called before a logger or metrics are made. A log level could suppress a record,
    such as the line of a prediction. POWERTOOLS_DEV splits a log line into many lines and turns
    metrics off. POWERTOOLS_LOGGER_LOG_EVENT logs the whole event, with texts that must not be
    logged.
    """
    for name in [name for name in environment if name.startswith(PREFIX) or name in LEVELS]:
        del environment[name]

"""Makes the logger of the records: Powertools' Logger, with fewer keys in a line."""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from inference.json_line import encode

# Of the keys that Powertools can write, a line has only these. CloudWatch already has the others:
# the time of the event, the function's log group and log stream, and its memory (in the REPORT
# line).
INVOCATION: Final = ("cold_start", "function_request_id", "correlation_id")


class RecordFormatter(LambdaPowertoolsFormatter):
    """Writes one line: the kind of record, the invocation's keys, and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. `logger.info(kind, fields=...)` gives the kind and the fields."""
        keys = self.get_current_keys()
        invocation = {name: keys[name] for name in INVOCATION if keys.get(name) is not None}
        fields = record.__dict__["fields"]
        return encode({"message": record.msg, **invocation, **fields})


class RaisingHandler(logging.StreamHandler[TextIO]):
    """Raises an exception if a line cannot be written.

    The logging module would print the exception with the text of the line, and continue.
    """

    # The base class has a method of this name.
    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802
        """Raise the exception that is being handled."""
        raise  # noqa: PLE0704  `emit` calls this method inside its `except`


def record_logger(service: str) -> Logger:
    """Return a logger that writes to standard output.

    The logger ignores the log level in the environment.
    """
    return Logger(
        service=service,
        level="INFO",
        logger_formatter=RecordFormatter(),
        logger_handler=RaisingHandler(sys.stdout),
    )

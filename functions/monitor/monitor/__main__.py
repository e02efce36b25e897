"""`python -m monitor`: the commands of docs/monitoring.md.

The exit code is 0 after success, 1 after a failure (with one sentence on standard error), 2 for
wrong arguments, and 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from monitor.baseline_commands import Reach, complain
from monitor.client import connect
from monitor.command_line import execute, parser_of
from monitor.index_prefix import index_prefix
from monitor.settings import own_index, stack_name
from monitor.summaries.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; wrong arguments end the process with code 2."""
    parser = parser_of(remote=False)
    options = parser.parse_args(arguments)
    if not options.opensearch:
        parser.error("give --opensearch, or set OPENSEARCH_URL")
    try:
        stack = stack_name(options.stack or "", "--stack")
        prefix = index_prefix(options.index_prefix, "--index-prefix")
    except ValueError as problem:
        parser.error(str(problem))
    try:
        connection = connect(options.opensearch, os.environ, options.user)
        store = Store(connection, own_index(stack), stack)
        reach = Reach(connection, store, f"{prefix}*", stack, options.false_alarm_days)
        return execute(options, reach)
    except ValueError as problem:
        return complain(str(problem), 1)
    except BrokenPipeError:
        # When Python exits, it flushes standard output. With the broken pipe, this would print an
        # error message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    raise SystemExit(main())

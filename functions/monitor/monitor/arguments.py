"""Parse command-line arguments. An error is reported in one sentence.

`tools/`, installer and monitor have copies of this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Never


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one sentence, without the usage."""

    def error(self, message: str) -> Never:
        """Print the message, and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def value(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap `read` for use as an argument's `type`.

    If `read` raises a `ValueError`, argparse then shows the message. Without the wrapper, argparse
    hides the message.
    """

    def argument(text: str) -> Any:
        try:
            return read(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return argument

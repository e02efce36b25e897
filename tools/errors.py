"""Errors that a command shows to its user."""

from __future__ import annotations


class UserError(Exception):
    """A problem that ends the command with a non-zero exit code.

    Its text is one sentence, which also says what to do.
    """

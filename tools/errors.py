"""Errors that a command shows to its user."""

from __future__ import annotations


class UserError(Exception):
    """The reason to end with a non-zero exit code, in one sentence that says what to do."""

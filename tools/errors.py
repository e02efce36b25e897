"""Errors that a command shows to its user."""

from __future__ import annotations


class UserError(Exception):
    """A reason to end with a non-zero exit code: one sentence that says what to do."""

"""Make untrusted text safe to print: as one line that cannot control the terminal."""

from __future__ import annotations


def plain(value: object) -> str:
    """Return `value` as text of printable characters.

    A run of white space becomes one space. Any other unprintable character becomes U+FFFD: for
    instance the first character of an escape sequence, a mark that reverses the direction of
    writing, or a lone surrogate (which cannot be sent to a terminal). `tools/`, installer and
    monitor have copies of this file, because a function's package contains only its own folder.
    """
    words = " ".join(str(value).split())
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)

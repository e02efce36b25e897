"""Untrusted text made safe to print: it cannot control the terminal, and takes one line."""

from __future__ import annotations


def plain(value: object) -> str:
    """`value` as text in which every run of white space is a space, and every other character that is not printable is U+FFFD.

    Escape sequences, carriage returns, marks that reverse the direction of writing and lone
    surrogates (which no terminal can be sent) are among those. `tools/`, installer and monitor have
    the same file, since a function's package has nothing but its own folder.
    """
    words = " ".join(str(value).split())
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in words)

"""A normal form of text: escapes are decoded; letters, digits, spaces and dashes are folded.

Only redaction reads it; the shipped text keeps its spelling. Every function takes time linear in
the length of its text.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

LEVELS: Final = (
    6  # of encodings of different kinds in each other; any number of one kind is one level
)
CACHED: Final = 4096  # characters of a folding that are kept

BYTE: Final = r"[0-9a-fA-F]{2}"


def _utf8(prefix: str) -> str:
    """The escapes of one character: one byte, or a lead byte with its continuation bytes."""
    return rf"{prefix}(?:[c-fC-F][0-9a-fA-F](?:{prefix}[89abAB][0-9a-fA-F]){{1,3}}|{BYTE})"


ENCODED: Final = re.compile(
    "|".join(
        [
            r"(?P<unit>(?:\\+u+|%(?:25)*u)[dD][89abAB]" + BYTE + r"(?:\\+u+|%(?:25)*u)[dD][c-fC-F]" + BYTE
            + r"|(?:\\+u+|%(?:25)*u)[0-9a-fA-F]{4})",
            r"\\+(?:u\{(?P<braced>[0-9a-fA-F]{1,6})\}|U(?P<long>[0-9a-fA-F]{8}))",
            rf"(?P<bytes>{_utf8('%(?:25)*')}|{_utf8(r'\\+x')})",
            r"\\+(?P<octal>[0-3][0-7]{2})",
            r"\\+(?P<blank>[nrtbfv])",
            r"(?P<backslash>\\+)",
            r"&(?:amp;)*(?P<entity>#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};)",
        ]
    )
)  # fmt: skip
ENDS_OF_ESCAPES: Final = re.compile(BYTE + r"(?=$|[%\\])")
UNITS: Final = re.compile(r"[0-9a-fA-F]{4}(?=$|[%\\])")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as one level of decoding reads it, and where its parts stood in the text that the level read.

    Part `n` begins at `starts[n]` here, and stood between `origins[n]` and `ends[n]` there; a part
    is one decoded character (its whole escape belongs to it) or a run of plain text.
    """

    text: str
    starts: list[int]
    origins: list[int]
    ends: list[int]
    escapes: list[bool]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a span that is not empty stood in the text that was read, whole escapes at both ends."""
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1) - 1
        left = self.origins[first] + (0 if self.escapes[first] else start - self.starts[first])
        return left, self.ends[last] if self.escapes[last] else self.origins[
            last
        ] + end - self.starts[last]


def readings(text: str) -> Iterator[tuple[str, Callable[[int, int], tuple[int, int]]]]:
    """The text, then the result of each level of decoding, with the function that turns a span of it into a span of the text."""
    levels: list[Reading] = []

    def origin(start: int, end: int) -> tuple[int, int]:
        for level in reversed(levels):
            start, end = level.span(start, end)
        return start, end

    yield text, origin
    for _ in range(LEVELS):
        found = decoded(text) if "\\" in text or "%" in text or "&" in text else None
        if found is None:
            return
        levels.append(found)
        text = found.text
        yield text, origin


def decoded(text: str) -> Reading | None:
    r"""The text without one level of escapes; None where it has none.

    Escapes are those of JSON, JavaScript, Python, C and Go (`\"`, `\u0022`, `\x22`, `\042`,
    `\u{22}`), of addresses (`%22`, `%u0022`) and of HTML (`&quot;`, `&#34;`, `&#x22;`); an escape
    of its own escapes (`%2522`, `\\\\"`, `&amp;quot;`) is one level.
    """
    pieces: list[str] = []
    reading = Reading("", [], [], [], [])
    position = length = 0

    def part(piece: str, start: int, end: int, *, escape: bool) -> int:
        if piece:
            pieces.append(piece)
            reading.starts.append(length)
            reading.origins.append(start)
            reading.ends.append(end)
            reading.escapes.append(escape)
        return length + len(piece)

    for match in ENCODED.finditer(text):
        character = _character(match)
        if character == match[0]:
            continue
        length = part(text[position : match.start()], position, match.start(), escape=False)
        length = part(character, match.start(), match.end(), escape=True)
        position = match.end()
    if not position:
        return None
    part(text[position:], position, len(text), escape=False)
    return Reading("".join(pieces), reading.starts, reading.origins, reading.ends, reading.escapes)


def _character(match: re.Match[str]) -> str:
    match match.lastgroup:
        case "unit":
            character = bytes.fromhex("".join(UNITS.findall(match[0]))).decode(
                "utf-16-be", "replace"
            )
        case "bytes":
            character = _of_bytes(bytes.fromhex("".join(ENDS_OF_ESCAPES.findall(match[0]))))
        case "entity":
            character = html.unescape(f"&{match['entity']}")
        case "blank":
            character = {"n": "\n", "r": "\r", "t": "\t"}.get(match["blank"], " ")
        case "backslash":
            character = ""
        case kind:
            code = int(match[kind or 0], 8 if kind == "octal" else 16)
            character = chr(code) if code <= sys.maxunicode else "\N{REPLACEMENT CHARACTER}"
    return character


def _of_bytes(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


class _Fold(dict[int, str]):
    """A table for `str.translate` that is made as it is asked, and keeps no more than `CACHED` characters."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold

    def __missing__(self, code: int) -> str:
        found = self._fold(chr(code))
        if len(self) < CACHED:
            self[code] = found
        return found


def _letters(character: str) -> str:
    return "".join(
        "-" if unicodedata.category(each) == "Pd" else each
        for each in unicodedata.normalize("NFKD", character.casefold())
        if unicodedata.category(each) not in {"Mn", "Cf"}
    ).casefold()


JOINER: Final = "\x7f"  # stands for a character without width


def _shape(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category == "Zs":
        return " "
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if category == "Cf":
        return JOINER
    if character in "\N{IDEOGRAPHIC FULL STOP}\N{HALFWIDTH IDEOGRAPHIC FULL STOP}":
        return "."
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


_LETTERS: Final = _Fold(_letters)
_SHAPE: Final = _Fold(_shape)


def letters(text: str) -> str:
    """The text in small letters without accents and characters of no width; any dash is a hyphen.

    Its length may differ.
    """
    return text.lower() if text.isascii() else text.translate(_LETTERS)


def shape(text: str) -> str:
    """The text with ASCII digits, spaces, hyphens, dots and @ in place of their Unicode variants, character by character."""
    return text if text.isascii() else text.translate(_SHAPE)

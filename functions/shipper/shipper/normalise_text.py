"""Converts text to a normal form, in which fields and patterns can be found for redaction.

Escapes are decoded. Letters, digits, spaces and dashes are folded: their variants become plain
characters. The shipped text keeps its spelling. Every function takes time linear in the length of
its text.
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

# The largest number of nested encodings that are decoded. If the same encoding is applied twice in
# a row, it counts as one level.
LEVELS: Final = 6
CACHED: Final = 4096  # the largest number of characters whose folding is kept in memory

BYTE: Final = r"[0-9a-fA-F]{2}"


def _utf8(prefix: str) -> str:
    """Return the expression for the escapes of one character.

    It matches one byte, or a lead byte with its continuation bytes.
    """
    return rf"{prefix}(?:[c-fC-F][0-9a-fA-F](?:{prefix}[89abAB][0-9a-fA-F]){{1,3}}|{BYTE})"


ENTITY: Final = r"#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};"
ENCODED: Final = re.compile(
    "|".join(
        [
            r"(?P<unit>(?:\\+u+|%(?:25)*u)[dD][89abAB]" + BYTE
            + r"(?:\\+u+|%(?:25)*u)[dD][c-fC-F]" + BYTE
            + r"|(?:\\+u+|%(?:25)*u)[0-9a-fA-F]{4})",
            r"\\+(?:u\{(?P<braced>[0-9a-fA-F]{1,6})\}|U(?P<long>[0-9a-fA-F]{8}))",
            rf"(?P<bytes>{_utf8('%(?:25)*')}|{_utf8(r'\\+x')})",
            r"\\+(?P<octal>[0-3][0-7]{2})",
            r"\\+(?P<blank>[nrtbfv])",
            r"(?P<backslash>\\+)",
            rf"&(?:amp;)*(?P<entity>{ENTITY})",
        ]
    )
)  # fmt: skip
ENDS_OF_ESCAPES: Final = re.compile(BYTE + r"(?=$|[%\\])")
UNITS: Final = re.compile(r"[0-9a-fA-F]{4}(?=$|[%\\])")


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one level of decoding, with the positions of its parts in the encoded text.

    A part is one decoded character, or a run of plain text. Part `n` begins at `starts[n]` in
    `text`. In the encoded text, it lies between `origins[n]` and `ends[n]`. `escapes[n]` is true if
    the part is a decoded character.
    """

    text: str
    starts: list[int]
    origins: list[int]
    ends: list[int]
    escapes: list[bool]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Convert a non-empty span of `text` to the span of the encoded text.

        If the span of `text` touches a decoded escape, the result includes the whole escape.
        """
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1) - 1
        left = self.origins[first] + (0 if self.escapes[first] else start - self.starts[first])
        return left, self.ends[last] if self.escapes[last] else self.origins[
            last
        ] + end - self.starts[last]


def readings(text: str) -> Iterator[tuple[str, Callable[[int, int], tuple[int, int]]]]:
    """Yield the text, then the result of each level of decoding.

    With each result comes a function that converts spans of the result to spans of `text`.
    """
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
    r"""Decode one level of escapes. Returns None if the text has no escapes.

    Escapes are those of JSON, JavaScript, Python, C and Go (`\"`, `\u0022`, `\x22`, `\042`,
    `\u{22}`), of URLs (`%22`, `%u0022`) and of HTML (`&quot;`, `&#34;`, `&#x22;`). An escape that
    is escaped in the same way again (`%2522`, `\\\\"`, `&amp;quot;`) counts as one level.
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
    """A table for `str.translate` that folds characters on demand, and keeps at most `CACHED`."""

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
    """Return the text in lower case, without accents and zero-width characters.

    Dashes become hyphens. The result may have another length than the text.
    """
    return text.lower() if text.isascii() else text.translate(_LETTERS)


def shape(text: str) -> str:
    """Replace Unicode variants of digits, spaces, hyphens, dots and @ by the ASCII characters.

    The text keeps its length.
    """
    return text if text.isascii() else text.translate(_SHAPE)

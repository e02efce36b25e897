"""Masks e-mail addresses and long numbers in text, however they are spelled or escaped.

Every repetition in an expression is bounded or possessive, so that no text takes quadratic time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from shipper.normalise_text import JOINER, readings, shape

Span = tuple[int, int]

# The expression begins at the start of a word and is possessive, so each word is examined once.
LOCAL: Final = (
    rf"(?<![\w.+{JOINER}-])(?<!\w')(?:[\w.+{JOINER}-]|(?<=\w)'(?=\w))++|\"[^\"@]{{1,64}}\""
)
DOMAIN: Final = (
    rf"[\w{JOINER}-]{{1,63}}(?:\.[\w{JOINER}-]{{1,63}}){{1,32}}|\[[0-9a-fA-F.:]{{2,45}}\]"
)
EMAIL: Final = re.compile(rf"(?:{LOCAL})@(?:{DOMAIN})")

YEAR, MONTH, DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
OCTET: Final = r"(?:25[0-5]|2[0-4]\d|[01]?\d?\d)"
DATE: Final = "|".join(
    separator.join(parts)
    for separator in ("-", "/", r"\.", "_")
    for parts in ((YEAR, MONTH, DAY), (DAY, MONTH, YEAR), (MONTH, DAY, YEAR))
)
# These have many digits, but are not masked: a date, a time of day, an IPv4 address, a decimal.
FORMS: Final = "|".join(
    [
        rf"(?=\d{{1,4}}[./_-]\d{{1,2}}[./_-]\d)(?:{DATE})(?!\d)",
        r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?!\d)",
        rf"{OCTET}(?:\.{OCTET}){{3}}(?![\d_]|[.,]\d)",
        r"\d{1,6}\.\d{1,400}(?:e[+-]?\d{1,3})?(?![\w]|\.\d)",
        r"\d{1,6},\d{1,6}(?![\w]|[.,]\d)",
    ]
)
# The lookahead is a quick test before the longer expression.
KNOWN: Final = rf"(?=\d{{1,6}}[.,:/_-]\d)(?:{FORMS})"
# Seven digits or more, with the separators of phone, card and account numbers. A number with
# separators has at most 20 digits.
NUMBER: Final = re.compile(
    rf"(?=[\d(+])(?<![\w.-])(?:(?:{KNOWN})"
    r"|(?:(?<=/)|(?<=ersion[ =:]))\d{1,9}(?:\.\d{1,9}){1,8}(?![\w-]|\.\d)|(?P<number>"
    r"\(\d{2,5}\)[ -]?\d{2,4}(?:\.\d{2,4}){1,4}(?![\w-]|\.\d)"
    r"|\+?(?=(?:[.,_]?\d){7})\d{1,12}"
    r"(?:(?:\.\d{2,12}){2,7}(?!\.?\d)|(?:,\d{2,12}){2,7}(?!,?\d)|(?:_\d{2,12}){1,7})(?![\w-])"
    rf"|\+?\d(?:\d|[ ()/+{JOINER}-]{{1,2}}(?!{KNOWN})\d){{6,19}}(?![\w-])"
    r"|\d{21,}(?![\w-])"
    r"))"
)
IBAN: Final = re.compile(
    rf"(?<![^\W_])[A-Za-z]{{2}}\d\d(?:[ {JOINER}-]?[A-Za-z0-9]{{4}}){{2,7}}"
    rf"(?:[ {JOINER}-]?[A-Za-z0-9]{{1,3}})?(?![^\W_])"
)
GROUP_ENDS: Final = re.compile(rf"[A-Za-z0-9](?=[ {JOINER}-]|$)")


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        yield from (match.span() for match in EMAIL.finditer(text))


def _numbers(text: str) -> Iterator[Span]:
    yield from (match.span("number") for match in NUMBER.finditer(text) if match["number"])
    yield from filter(None, map(_account, IBAN.finditer(text)))


def _account(match: re.Match[str]) -> Span | None:
    """Return the span of the IBAN at the beginning of a candidate, or None.

    An IBAN is recognised by its length and its check digits (ISO 13616): it has 15 to 34
    characters, and its remainder modulo 97 is 1.
    """
    for end in reversed([found.end() for found in GROUP_ENDS.finditer(match[0])]):
        account = "".join(filter(str.isalnum, match[0][:end]))
        if (
            15 <= len(account) <= 34
            and int("".join(str(int(each, 36)) for each in account[4:] + account[:4])) % 97 == 1
        ):
            return match.start(), match.start() + end
    return None


PATTERNS: Final[Mapping[str, Callable[[str], Iterator[Span]]]] = {
    "email": _emails,
    "number": _numbers,
}


# A text without any of these characters contains nothing to mask.
SUSPECT: Final = re.compile(r"[\d@%&\\]|[^\x00-\x7f]")


def masked(text: str, names: tuple[str, ...]) -> str:
    """Replace each match of the named patterns by `[email]` or `[number]`.

    The search includes the text with decoded escapes, such as `@` for `%40`.
    """
    spans = sorted(
        (start, -end, name)
        for reading, origin in (readings(text) if names and SUSPECT.search(text) else ())
        for plain in [shape(reading)]
        for name in names
        for start, end in (origin(*span) for span in PATTERNS[name](plain))
    )
    pieces: list[str] = []
    position = 0
    for start, minus_end, name in spans:
        if start >= position:
            pieces += text[position:start], f"[{name}]"
        position = max(position, -minus_end)
    return "".join(pieces) + text[position:] if spans else text

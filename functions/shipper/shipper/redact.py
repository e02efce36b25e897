"""Redaction drops or hashes named fields, and masks patterns in text.

It treats the fields and the line itself alike.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from shipper.json_text import Fields, json_object, json_value, quoted
from shipper.normal_form import letters, readings
from shipper.patterns import masked
from shipper.read import platform, read

Action = Literal["drop", "hash"]
Name = tuple[str, ...]

SHORT_NAME: Final = 100
LONGEST_NAME: Final = 1000
LONGEST_PATH: Final = 16  # the number of parts of a path in which a field's name is searched
PASSWORD: Final = frozenset(
    {"password", "passwd", "pwd"}
)  # a password also occurs in addresses, without a field name
WITHHELD: Final = "[withheld: a field to redact may be in this line, which is no readable JSON]"
PURPOSE: Final = b"prediction-monitor: hash of a redacted field"
HASHED: Final = "redacted:"  # distinguishes such a hash from `input.hash` and from ordinary text
PARTS: Final = re.compile(r"[.\[\]:/@$#]+")
BETWEEN: Final = str.maketrans("", "", "-_ \t\r\n\"'`")
# A member that holds the name for another member's value: {"name": "password", "value": "x"}
NAMING: Final = frozenset(
    [
        "name",
        "key",
        "k",
        "field",
        "fieldname",
        "param",
        "parameter",
        "header",
        "attribute",
        "attr",
        "property",
        "variable",
        "loc",
    ]
)


def name_of(written: str) -> Name:
    """Normalise a field's name into its parts: `User[E-Mail]`, `user.e_mail` and `user%5Bemail%5D` become the same name."""
    return _short_name(written) if len(written) <= SHORT_NAME else _long_name(written)


def _long_name(written: str) -> Name:
    *_, (plain, _) = readings(written)
    folded = letters(plain)
    parts = tuple(part for each in PARTS.split(folded) if (part := each.translate(BETWEEN)))
    return parts or (folded,)


_short_name: Final = lru_cache(1024)(_long_name)


@lru_cache
def _near(names: frozenset[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Two expressions: one finds these names in lower case, the other finds them where a value may follow.

    Every repetition is bounded: the time is linear in the length of the text.
    """
    core = (
        "(?:"
        + "|".join(
            "[-_ ]?".join(map(re.escape, name)) for name in sorted(names, key=len, reverse=True)
        )
        + ")"
    )
    begin = r"(?:(?<!\w)_{0,3}|(?<=-d))"  # Java has -Dpassword=x
    path = r"(?:\.[\w-]{1,64}|\[[\"']?[\w-]{0,64}[\"']?\]){0,4}"
    end = r"[\s_\"'`\u2019\u201d»*?!)\]}]{0,20}"
    follows = (
        rf"{core}\s?[\"']",
        rf"{begin}{core}(?!_{{0,9}}[^\W_]){path}{end}(?:[=:|{{\u2192\u21d2\u2236\ua789]|->|<-|</|\([\"'])",
        rf"(?<![\w-])--?{core}(?=\s{{1,20}}\S)",
        rf"</?(?:[\w-]{{1,64}}[.:]){{0,4}}{core}(?!\w)",
        rf"\{{\s{{0,9}}:?{core}\s{{0,9}}[, ]",
        rf"(?<!\w)(?:{'|'.join(sorted(NAMING))})[\"']?\s{{0,9}}[=:]\s{{0,9}}[\"'`\u2018\u201c«]?{core}(?!\w)",
        *([r"://[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}@"] if names & PASSWORD else []),
    )
    return re.compile(core), re.compile("|".join(follows))


@lru_cache
def _derived(secret: bytes) -> bytes:
    """A key for this purpose alone: its hashes cannot be compared with other hashes of the same secret."""
    return hmac.new(secret, PURPOSE, hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class Redaction:
    """The fields to redact, each with its action, and the patterns to mask.

    `fields` maps a field's name, or the end of its path, to its action; the first match applies.
    `patterns` are names of `patterns.PATTERNS`. `key` is the secret of the hashes: without one, a
    short value could be guessed from its hash.
    """

    fields: Mapping[str, Action]
    patterns: tuple[str, ...]
    key: bytes
    _names: Mapping[Name, Action] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "_names",
            {name_of(name): action for name, action in reversed(list(self.fields.items()))},
        )

    def apply(self, line: str, fields: Fields, *, cut: bool = False) -> tuple[str, Fields]:
        """The redacted line and fields.

        With `cut`, a filter pattern extracted the fields, and they are not read from the line
        again.
        """
        try:
            shown = self._line(line, ())
            if not cut and platform(line) is None:
                return shown, read(
                    shown
                ).fields  # redacted under its original paths, before `read` unwraps a message
            return WITHHELD if self._named(fields) else shown, self.leaving(
                {name: self._text_of(fields[name]) for name in fields}
            )
        except RecursionError:
            return WITHHELD, {}

    def action(self, name: str) -> Action | None:
        """The action for the field of this name, which may be a path with dots; None if it is kept."""
        return self._action((), name_of(name))

    def _line(self, line: str, path: Name) -> str:
        whole = json_value(line) if line.lstrip()[:1] == '"' else None
        if isinstance(whole, str):
            return quoted(self._line(whole, path)).decode()
        start = line.find("{")
        found = json_object(line[start:]) if start >= 0 else None
        if found is None:
            return self._text(line)
        return self._text(line[:start]) + msgspec.json.encode(self.leaving(found, path)).decode()

    def _text(self, text: str) -> str:
        return WITHHELD if self.fields and self._mentioned(text) else masked(text, self.patterns)

    def _mentioned(self, text: str) -> bool:
        """Whether the text holds a name in a place where its value may follow, in any encoding."""
        names, followed = _near(frozenset(name[-1] for name in self._names))
        for reading, _ in readings(text):
            plain = letters(reading)
            if (names.search(plain) or "://" in plain) and followed.search(plain):
                return True
        return False

    def _text_of(self, value: Any) -> Any:
        """Convert a number back to its text if a pattern masks that text."""
        return (
            str(value)
            if isinstance(value, int | float) and masked(str(value), self.patterns) != str(value)
            else value
        )

    def leaving(self, value: Any, path: Name = ()) -> Any:
        """The redacted form of a value; `path` holds the last parts of its name."""
        if isinstance(value, dict):
            named = self._named_beside(value, path)
            kept = {}
            for name, inner in value.items():
                below = name_of(name) if self.fields else ()
                action = self._action(path, below) or (
                    None if below and below[-1] in NAMING else named
                )
                if action == "hash":
                    kept[masked(name, self.patterns)] = self._hash(inner)
                elif action is None:
                    kept[masked(name, self.patterns)] = self.leaving(
                        inner, (path + below)[-LONGEST_PATH:]
                    )
            return kept
        if isinstance(value, list):
            return self._list(value, path)
        return self._line(value, path) if isinstance(value, str) else value

    def _list(self, values: list[Any], path: Name) -> list[Any]:
        """The redacted form of a list.

        In a list of names and values in turn, or of a command's words, a value follows its name.
        """
        kept = []
        named: Action | None = None
        pairs = len(values) % 2 == 0 and all(isinstance(name, str) for name in values[::2])
        for place, value in enumerate(values):
            if named == "hash":
                kept.append(self._hash(value))
            elif named is None:
                kept.append(self.leaving(value, path))
            is_name = (
                isinstance(value, str)
                and named is None
                and ((pairs and place % 2 == 0) or value[:1] == "-")
            )
            named = self._action(path, name_of(value)) if self.fields and is_name else None
        return kept

    def _named_beside(self, value: Fields, path: Name) -> Action | None:
        """The action for the members of an object in which one member's value is the name of a field to redact."""
        for member, held in value.items() if self.fields else ():
            if name_of(member)[-1] not in NAMING:
                continue
            name = held[-1] if isinstance(held, list) and held else held
            action = (
                self._action(path, name_of(name))
                if isinstance(name, str) and len(name) <= LONGEST_NAME
                else None
            )
            if action:
                return action
        return None

    def _named(self, fields: Fields) -> bool:
        """Whether the fields hold a field to redact."""
        return bool(self.fields) and self.leaving(fields) != replace(self, fields={}).leaving(
            fields
        )

    def _action(self, path: Name, below: Name) -> Action | None:
        """The action for the field `below` this path.

        The name of a field to redact may end at any part of `below`.
        """
        whole = path + below
        for end in range(len(path) + 1, len(whole) + 1):
            for name, action in self._names.items():
                if whole[max(0, end - len(name)) : end] == name:
                    return action
        return None

    def _hash(self, value: Any) -> str:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return (
            HASHED
            + hmac.new(
                _derived(self.key), text.encode(errors="surrogatepass"), hashlib.sha256
            ).hexdigest()[:16]
        )

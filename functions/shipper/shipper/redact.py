"""Redacts lines and their fields: drops or hashes named fields, and masks patterns in text."""

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
from shipper.normalise_text import letters, readings
from shipper.read import platform, read
from shipper.redaction_patterns import masked

Action = Literal["drop", "hash"]
Name = tuple[str, ...]

SHORT_NAME: Final = 100
LONGEST_NAME: Final = 1000
LONGEST_PATH: Final = 16  # only this many parts at the end of a path are compared with a name
# If one of these names is to be redacted, a text with a password in an address
# (https://user:password@host) is withheld too.
PASSWORD: Final = frozenset({"password", "passwd", "pwd"})
WITHHELD: Final = "[withheld: a field to redact may be in this line, which is no readable JSON]"
PURPOSE: Final = b"prediction-monitor: hash of a redacted field"
HASHED: Final = "redacted:"  # the beginning of a field's hash; `input.hash` has no such beginning
PARTS: Final = re.compile(r"[.\[\]:/@$#]+")
BETWEEN: Final = str.maketrans("", "", "-_ \t\r\n\"'`")
# A member with one of these names may hold the name of a field: {"name": "password", "value": "x"}.
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
    """Normalise a field's name, and split it into its parts.

    For instance, `User[E-Mail]`, `user.e_mail` and `user%5Bemail%5D` become the same name.
    """
    return _short_name(written) if len(written) <= SHORT_NAME else _long_name(written)


def _long_name(written: str) -> Name:
    *_, (plain, _) = readings(written)
    folded = letters(plain)
    parts = tuple(part for each in PARTS.split(folded) if (part := each.translate(BETWEEN)))
    return parts or (folded,)


_short_name: Final = lru_cache(1024)(_long_name)


@lru_cache
def _near(names: frozenset[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return two expressions that find these names in text in lower case.

    The first finds a name anywhere; the second finds it where a value may follow. Every repetition
    is bounded, so that the time is linear in the length of the text.
    """
    core = (
        "(?:"
        + "|".join(
            "[-_ ]?".join(map(re.escape, name)) for name in sorted(names, key=len, reverse=True)
        )
        + ")"
    )
    begin = r"(?:(?<!\w)_{0,3}|(?<=-d))"  # an option of Java is -Dpassword=x
    path = r"(?:\.[\w-]{1,64}|\[[\"']?[\w-]{0,64}[\"']?\]){0,4}"
    end = r"[\s_\"'`\u2019\u201d»*?!)\]}]{0,20}"
    mark = r"(?:[=:|{\u2192\u21d2\u2236\ua789]|->|<-|</|\([\"'])"
    naming = rf"(?<!\w)(?:{'|'.join(sorted(NAMING))})[\"']?\s{{0,9}}[=:]\s{{0,9}}"
    follows = (
        rf"{core}\s?[\"']",
        rf"{begin}{core}(?!_{{0,9}}[^\W_]){path}{end}{mark}",
        rf"(?<![\w-])--?{core}(?=\s{{1,20}}\S)",
        rf"</?(?:[\w-]{{1,64}}[.:]){{0,4}}{core}(?!\w)",
        rf"\{{\s{{0,9}}:?{core}\s{{0,9}}[, ]",
        rf"{naming}[\"'`\u2018\u201c«]?{core}(?!\w)",
        *([r"://[^\s/@:\"']{0,256}:[^\s/@\"']{1,256}@"] if names & PASSWORD else []),
    )
    return re.compile(core), re.compile("|".join(follows))


@lru_cache
def _derived(secret: bytes) -> bytes:
    """Derive the key for the hashes of redacted fields.

    Hashes with this key cannot be compared with other hashes that use the same secret.
    """
    return hmac.new(secret, PURPOSE, hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class Redaction:
    """The fields to redact, each with its action, and the patterns to mask.

    `fields` maps names to actions. A name may also be the end of a field's path. If several
    names match a field, the last of them in `fields` counts. If this name is there in several
    spellings, the action of its first spelling applies. `patterns` holds names from
    `redaction_patterns.PATTERNS`. `key` is the secret key of the hashes: without a key, anybody
    could guess a short value from its hash.
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
        """Return the redacted line and the redacted fields.

        The given fields are redacted if a filter pattern extracted them (`cut` is true), or if
        Lambda itself wrote the line. Otherwise the fields are read from the redacted line.
        """
        try:
            shown = self._line(line, ())
            if not cut and platform(line) is None:
                # The line is redacted first and read afterwards. `read` may move fields from
                # `message` to the root, but the names to redact are paths in the original line.
                return shown, read(shown).fields
            return WITHHELD if self._named(fields) else shown, self.leaving(
                {name: self._text_of(fields[name]) for name in fields}
            )
        except RecursionError:
            return WITHHELD, {}

    def action(self, name: str) -> Action | None:
        """Return the action for the field `name`, or None. The name may be a path with dots."""
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
        """Return whether the text has a field's name, in any encoding, before a possible value."""
        names, followed = _near(frozenset(name[-1] for name in self._names))
        for reading, _ in readings(text):
            plain = letters(reading)
            if (names.search(plain) or "://" in plain) and followed.search(plain):
                return True
        return False

    def _text_of(self, value: Any) -> Any:
        """Convert a number back to its text if a pattern masks anything in that text."""
        return (
            str(value)
            if isinstance(value, int | float) and masked(str(value), self.patterns) != str(value)
            else value
        )

    def leaving(self, value: Any, path: Name = ()) -> Any:
        """Return the redacted form of a value. `path` holds the last parts of the value's path."""
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
        """Return the redacted form of a list.

        The list may contain names and values alternately, or the words of a command. In both cases,
        a value follows its name.
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
        """Return the action for an object that contains the name of a field as a value, or None.

        An example of such an object is {"name": "password", "value": "x"}.
        """
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
        """Return whether the fields include a field to redact."""
        return bool(self.fields) and self.leaving(fields) != replace(self, fields={}).leaving(
            fields
        )

    def _action(self, path: Name, below: Name) -> Action | None:
        """Return the action for a field inside the object at `path`.

        `below` is the field's name. If the name has several parts, as in `cookie.value`, an action
        for `cookie` applies to this field.
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

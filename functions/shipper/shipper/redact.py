"""What must not leave the function: named fields dropped or hashed, patterns in text masked, in the fields and in the line itself."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from shipper.json_text import Fields, json_object, json_value, quoted
from shipper.read import platform, read

Action = Literal["drop", "hash"]

DATE: Final = r"(?!\d{4}(?:-\d\d-|/\d\d/)\d\d(?!\d))"  # here begins none
PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    # seven digits and more with the separators that phone, card and account numbers are written with; no part of a word or of a date.
    # No more than 20 digits with separators: what may start anywhere and reach to the end takes time by the square of the length.
    "number": re.compile(rf"(?<![\w.-])\+?{DATE}(?:\d(?:\d|[ ()/-]{{1,2}}{DATE}\d){{6,19}}|\d{{21,}})(?![\w-])"),
}
ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
WITHHELD: Final = "[withheld: a field to redact may be in this line, which is no readable JSON]"


@dataclass(frozen=True, slots=True)
class Redaction:
    """`fields` maps a field's name, or the end of its dotted path, to what is done with it; `patterns` are names of `PATTERNS`.

    `key` is the secret of the hashes: without one, a short value could be guessed from its hash.
    """

    fields: Mapping[str, Action]
    patterns: tuple[str, ...]
    key: bytes

    def apply(self, line: str, fields: Fields, *, cut: bool = False) -> tuple[str, Fields]:
        """The line and its fields as they may leave the function. Fields that were `cut` out of the line are not read from it again."""
        try:
            shown = self._line(line, "")
            if not cut and platform(line) is None:
                return shown, read(shown).fields  # redacted before anything was unwrapped, and by the paths that it had then
            return WITHHELD if self._named(fields, "") else shown, self._value({name: self._text_of(fields[name]) for name in fields}, "")
        except RecursionError:
            return WITHHELD, {}

    def _line(self, line: str, path: str) -> str:
        whole = json_value(line) if line.lstrip()[:1] == '"' else None
        if isinstance(whole, str):
            return quoted(self._line(whole, path)).decode()
        start = line.find("{")
        found = json_object(line[start:]) if start >= 0 else None
        if found is None:
            return self._text(line)
        return self._text(line[:start]) + msgspec.json.encode(self._value(found, path)).decode()

    def _text(self, text: str) -> str:
        bare = ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text).replace("\\", "") if "\\" in text else text
        for path in self.fields:
            name = path.rpartition(".")[2].replace("\\", "")
            if f'{name}"' in bare or f"{name}'" in bare or re.search(rf"(?<!\w){re.escape(name)}\s*[=:]", bare):
                return WITHHELD
        return self._masked(text)

    def _text_of(self, value: Any) -> Any:
        """A number as the text that it was in the line, where that is to be masked."""
        return str(value) if isinstance(value, int | float) and self._masked(str(value)) != str(value) else value

    def _value(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            kept = {}
            for name, inner in value.items():
                below = f"{path}.{name}" if path else name
                action = self._action(below)
                if action == "hash":
                    kept[self._masked(name)] = self._hash(inner)
                elif action is None:
                    kept[self._masked(name)] = self._value(inner, below)
            return kept
        if isinstance(value, list):
            return [self._value(inner, path) for inner in value]
        return self._line(value, path) if isinstance(value, str) else value

    def _named(self, value: Any, path: str) -> bool:
        """Whether a field to redact is in it."""
        if isinstance(value, dict):
            return any(self._action(below := f"{path}.{name}" if path else name) or self._named(value[name], below) for name in value)
        return isinstance(value, list) and any(self._named(inner, path) for inner in value)

    def _action(self, path: str) -> Action | None:
        paths = f".{path}", f".{path.removeprefix('$')}"  # `$name` is what a filter pattern's field `name` holds
        return next((action for field, action in self.fields.items() if any(known.endswith(f".{field}") for known in paths)), None)

    def _masked(self, text: str) -> str:
        for name in self.patterns:
            text = PATTERNS[name].sub(f"[{name}]", text)
        return text

    def _hash(self, value: Any) -> str:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return hmac.new(self.key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]

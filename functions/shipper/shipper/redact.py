"""What must not leave the function: named fields dropped or hashed, patterns in text masked, in the fields and in the line itself."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from shipper.read import Fields, json_object

Action = Literal["drop", "hash"]

PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    # seven digits and more with the separators that phone, card and account numbers are written with; no part of a word or of a date
    "number": re.compile(r"(?<![\w.-])(?!\d{4}-\d\d-\d\d)\+?\d(?:[ ()/-]{0,2}\d){6,}(?![\w-])"),
}
WITHHELD: Final = "[withheld: a field to redact may be in this line, which is no readable JSON]"


@dataclass(frozen=True, slots=True)
class Redaction:
    """`fields` maps a field's name, or the end of its dotted path, to what is done with it; `patterns` are names of `PATTERNS`.

    `key` is the secret of the hashes: without one, a short value could be guessed from its hash.
    """

    fields: Mapping[str, Action]
    patterns: tuple[str, ...]
    key: bytes

    def apply(self, line: str, fields: Fields) -> tuple[str, Fields]:
        """The line and its fields as they may leave the function."""
        try:
            shown, found = self._line(line), self._value(fields, "")
        except RecursionError:
            return WITHHELD, {}
        if json_object(line) is None and any(self._action(name) for name in fields):  # cut out of the line by a filter pattern
            shown = WITHHELD
        return shown, found

    def _line(self, line: str) -> str:
        start = line.find("{")
        found = json_object(line[start:]) if start >= 0 else None
        if found is not None and not line.lstrip().startswith('"'):
            return self._masked(line[:start]) + msgspec.json.encode(self._value(found, "")).decode()
        inner = json_object(line)
        if inner is not None:
            return msgspec.json.encode(msgspec.json.encode(self._value(inner, "")).decode()).decode()
        if any(f'{path.rpartition(".")[2]}"' in line.replace("\\", "") for path in self.fields):
            return WITHHELD
        return self._masked(line)

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
        if isinstance(value, str):
            return self._line(value) if value.lstrip()[:1] in {"{", '"'} else self._masked(value)
        return value

    def _action(self, path: str) -> Action | None:
        return next((action for field, action in self.fields.items() if path == field or path.endswith(f".{field}")), None)

    def _masked(self, text: str) -> str:
        for name in self.patterns:
            text = PATTERNS[name].sub(f"[{name}]", text)
        return text

    def _hash(self, value: Any) -> str:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return hmac.new(self.key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]

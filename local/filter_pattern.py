"""Parse CloudWatch's filter patterns, and say why a line does not match.

The module follows AWS's document "Filter pattern syntax" (SOURCE). The test cases in
tests/unit/local/filter_patterns.json name the sections of the document. Two rules are assumptions,
because the document does not mention them: an absent field satisfies `!=`, and `?` terms have no
effect if the pattern also has other terms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final, NamedTuple

from tools.errors import UserError

SOURCE: Final = (
    "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"
)
LONGEST: Final = 1024  # PutSubscriptionFilter accepts patterns of at most this many characters
REGEXES: Final = 2  # limit of regular expressions in one JSON or space-delimited pattern

Why = str | None  # why a line does not pass; None if it passes
Check = Callable[[Any], Why]

SIGN: Final = re.compile(r">=|<=|!=|=|>|<")
NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
SELECTOR: Final = re.compile(r"\$(?:\.[\w*-]+|\[\s*(?:\d+|\*)\s*\])+")
STEP: Final = re.compile(r"\.([\w*-]+)|\[\s*(\d+|\*)\s*\]")
QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
REGEX: Final = re.compile(r"%((?:[^%\\]|\\.)*)%")
REGEX_TAKES: Final = re.compile(r"(?:[A-Za-z0-9:_#=@/;,\- ^$?\[\]{}|*+.]|\\.)*")
WORD: Final = re.compile(r"[^\s\"(){}\[\],&|=!<>]+")
TERM: Final = re.compile(r"\w+", re.ASCII)
SPACE_FIELD: Final = re.compile(r'\[([^\]]*)\]|"([^"]*)"|(\S+)')
PLAIN_FIELD: Final = re.compile(r"[\w$.-]*")
WORD_SIGNS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {"=": eq, "!=": ne}
NUMBER_SIGNS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    **WORD_SIGNS,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
ABSENT: Final = object()


class PatternRefused(UserError):
    """CloudWatch refuses this pattern. The message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A filter pattern that CloudWatch accepts.

    `why_not` returns the reason why a line does not pass, or None if it passes. If the pattern is
    space-delimited, `extract` returns a dictionary with the fields of a line that passes. The key
    is the field's name, or its position if the field has no name. For any other kind of pattern,
    `extract` returns None.
    """

    text: str
    why_not: Callable[[str], Why]
    extract: Callable[[str], dict[str, str] | None]


@lru_cache
def parse(pattern: str) -> Pattern:
    """Read a filter pattern. Raises `PatternRefused`."""
    if len(pattern) > LONGEST:
        raise PatternRefused(
            f"the filter pattern has {len(pattern)} characters, and CloudWatch accepts at most "
            f"{LONGEST}: shorten it"
        )
    text = pattern.strip()
    reader = _Reader(pattern, text)
    if text.startswith("{"):
        return Pattern(pattern, _on_object(_json_pattern(reader)), _nothing)
    if text.startswith("["):
        names, check = _space_pattern(reader)
        return Pattern(
            pattern, lambda line: check(_words(line)), lambda line: _extracted(names, _words(line))
        )
    return Pattern(pattern, _term_pattern(reader), _nothing)


def matches(pattern: str, line: str) -> bool:
    """Return whether the line passes. Raises `PatternRefused`."""
    return parse(pattern).why_not(line) is None


def _nothing(_line: str) -> None:
    return None


class _Reader:
    """A pattern, with the position up to which it was read."""

    def __init__(self, pattern: str, text: str) -> None:
        self.pattern, self.text, self.place, self.regexes = pattern, text, 0, 0

    def refuse(self, problem: str) -> PatternRefused:
        return PatternRefused(f"CloudWatch refuses the filter pattern {self.pattern!r}: {problem}")

    def skip(self) -> None:
        while self.text[self.place : self.place + 1].isspace():
            self.place += 1

    def take(self, what: str) -> bool:
        """Return whether `what` comes next. If it does, move the position behind it."""
        self.skip()
        found = self.text.startswith(what, self.place)
        self.place += len(what) * found
        return found

    def match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        self.skip()
        found = expression.match(self.text, self.place)
        if found:
            self.place = found.end()
        return found

    def rest(self) -> str:
        self.skip()
        return self.text[self.place : self.place + 20]

    def regex(self) -> re.Pattern[str] | None:
        """Read a regular expression between percent signs; None if something else comes next."""
        self.skip()
        if not self.text.startswith("%", self.place):
            return None
        found = self.match(REGEX)
        if not found:
            raise self.refuse("a regular expression has no percent sign at its end")
        if not found[1]:
            raise self.refuse("a regular expression is empty")
        # REGEX_TAKES matches at least the empty text
        wrong = found[1][REGEX_TAKES.match(found[1]).end() :]  # type: ignore[union-attr]
        if wrong:
            raise self.refuse(f"a regular expression must not contain {wrong[0]!r}")
        try:
            expression = re.compile(found[1], re.ASCII)
        except re.error as problem:
            raise self.refuse(f"%{found[1]}% is no regular expression ({problem})") from None
        self.regexes += 1
        return expression


# --- Words


def _term_pattern(reader: _Reader) -> Callable[[str], Why]:
    """Read a pattern of words.

    A line must have every plain word. A line must not have a word that the pattern marks with `-`.
    If the pattern marks all its words with `?`, a line must have at least one of them.
    """
    expression = reader.regex()
    if expression and reader.rest():
        raise reader.refuse(
            "a regular expression must be the whole pattern, or a part of a JSON pattern or a "
            "space-delimited pattern"
        )
    if expression:
        found = expression
        return lambda line: (
            None if found.search(line) else f"it has nothing that fits %{found.pattern}%"
        )
    wanted: list[str] = []
    unwanted: list[str] = []
    any_of: list[str] = []
    while reader.rest():
        kind = unwanted if reader.take("-") else any_of if reader.take("?") else wanted
        kind.append(_term(reader))

    def why_not(line: str) -> Why:
        missing = next((word for word in wanted if word not in line), None)
        if missing is not None:
            return f"it has no {missing!r}"
        excluded = next((word for word in unwanted if word in line), None)
        if excluded is not None:
            return f"it has {excluded!r}, which the pattern excludes"
        alone = any_of and not wanted and not unwanted
        return (
            f"it has none of {', '.join(map(repr, any_of))}"
            if alone and not any(word in line for word in any_of)
            else None
        )

    return why_not


def _term(reader: _Reader) -> str:
    begin = reader.rest()
    word = reader.match(QUOTED) or reader.match(TERM)
    if not word or reader.text[reader.place : reader.place + 1].strip():
        raise reader.refuse(
            f"the text {begin!r} cannot be read: a word with characters other than letters, "
            "digits and underscores needs double quotes around it"
        )
    return _unescaped(word[1]) if word.re is QUOTED else word[0]


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


# --- Conditions


def _combined(reader: _Reader, one: Callable[[], Check]) -> Check:
    """Read conditions joined by `||` and `&&`, with parentheses. `&&` binds tighter than `||`.

    `one` reads a single condition.
    """

    def alternatives() -> Check:
        checks = [together()]
        while reader.take("||"):
            checks.append(together())
        return checks[0] if len(checks) == 1 else lambda value: _first_or_none(checks, value)

    def together() -> Check:
        checks = [single()]
        while reader.take("&&"):
            checks.append(single())
        return (
            checks[0]
            if len(checks) == 1
            else lambda value: next(filter(None, (check(value) for check in checks)), None)
        )

    def single() -> Check:
        if not reader.take("("):
            return one()
        inside = alternatives()
        if not reader.take(")"):
            raise reader.refuse("a parenthesis is not closed")
        return inside

    try:
        return alternatives()
    except RecursionError:
        raise reader.refuse("its parentheses are nested too deep") from None


def _first_or_none(checks: list[Check], value: Any) -> Why:
    reasons = [check(value) for check in checks]
    return None if None in reasons else "; ".join(filter(None, reasons))


def _comparison(reader: _Reader, name: str, *, numbers_in_text: bool) -> Callable[[Any], Why]:
    """Read `= x`, `!= x*`, `> 5` or `= %x%` after a field's name. Return a check of its value.

    The check gets `ABSENT` if the field does not exist.
    """
    sign = reader.match(SIGN)
    if not sign:
        raise reader.refuse(f"{name} needs =, !=, <, >, <= or >= after it")
    said = sign[0]
    expression = reader.regex()
    quoted = None if expression else reader.match(QUOTED)
    bare = None if expression or quoted else reader.match(WORD)
    if not (expression or quoted or bare):
        raise reader.refuse(f"{name} {said} needs a value after it")
    written = (
        f"%{expression.pattern}%"
        if expression
        else quoted[0]
        if quoted
        else bare[0]
        if bare
        else ""
    )
    if bare and NUMBER.fullmatch(written):
        compare, number = NUMBER_SIGNS[said], float(written)

        def compared(value: Any) -> bool:
            found = _number(value, in_text=numbers_in_text)
            return compare(found, number) if found is not None else said == "!="

        return _check(name, f"{said} {written}", compared)
    if said not in WORD_SIGNS:
        raise reader.refuse(f"{said} compares numbers, and {written} is not a number")
    fits = (
        expression.search
        if expression
        else _wildcards(_unescaped(quoted[1]) if quoted else written).fullmatch
    )
    anything = written == "*"

    def holds(value: Any) -> bool:
        fitting = value is not ABSENT and (anything or bool(fits(_text(value))))
        return fitting == (said == "=")

    return _check(name, f"{said} {written}", holds)


def _wildcards(word: str) -> re.Pattern[str]:
    """Return an expression for a word. A star at the word's start or end stands for any text.

    A star inside the word stands for itself (SOURCE: "String").
    """
    begin, end = ".*" * word.startswith("*"), ".*" * word.endswith("*")
    return re.compile(begin + re.escape(word.removeprefix("*").removesuffix("*")) + end, re.DOTALL)


def _check(name: str, condition: str, holds: Callable[[Any], bool]) -> Check:
    def why_not(value: Any) -> Why:
        if holds(value):
            return None
        return (
            f"{name} is not there"
            if value is ABSENT
            else f"{name} {condition} does not fit, because {name} is {_shown(value)}"
        )

    return why_not


def _number(value: Any, *, in_text: bool) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 10**300 else float("inf")
    return float(value) if in_text and isinstance(value, str) and NUMBER.fullmatch(value) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- JSON


def _json_pattern(reader: _Reader) -> Check:
    reader.take("{")
    check = _combined(reader, lambda: _json_condition(reader))
    if not reader.take("}"):
        raise reader.refuse(f"&&, || or }} is expected before {reader.rest()!r}")
    return _ended(reader, check)


def _ended(reader: _Reader, check: Check) -> Check:
    if reader.rest():
        raise reader.refuse(f"there is text after its closing bracket: {reader.rest()!r}")
    if reader.regexes > REGEXES:
        raise reader.refuse(
            f"it has {reader.regexes} regular expressions, and at most {REGEXES} are allowed"
        )
    return check


def _json_condition(reader: _Reader) -> Check:
    selector = reader.match(SELECTOR)
    if not selector:
        raise reader.refuse(
            f"a field begins with $., such as $.message, not with {reader.rest()!r}"
        )
    name = selector[0]
    steps = [
        found[1] or (found[2] if found[2] == "*" else int(found[2]))
        for found in STEP.finditer(name)
    ]
    word = reader.match(
        re.compile(
            r"IS\s+NOT\s+NULL|IS\s+NULL|IS\s+TRUE|IS\s+FALSE|NOT\s+EXISTS|EXISTS", re.IGNORECASE
        )
    )
    if word:
        said = " ".join(word[0].upper().split())
        return _anywhere(steps, name, _check(name, said, STATES[said]), values_only=False)
    return _anywhere(
        steps, name, _comparison(reader, name, numbers_in_text=False), values_only=True
    )


STATES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "IS NULL": lambda value: value is None,
    "IS NOT NULL": lambda value: value is not None and value is not ABSENT,
    "IS TRUE": lambda value: value is True,
    "IS FALSE": lambda value: value is False,
    "EXISTS": lambda value: value is not ABSENT,
    "NOT EXISTS": lambda value: value is ABSENT,
}


def _anywhere(steps: list[str | int], name: str, check: Check, *, values_only: bool) -> Check:
    """Return a check of the field at the end of the path `steps`.

    If the path has a wildcard, at least one of its values must pass `check`.
    """

    def why_not(fields: Any) -> Why:
        reasons: list[Why] = []
        for value in _values(fields, steps):
            if values_only and isinstance(value, dict | list):
                reasons.append(
                    f"{name} is an {'object' if isinstance(value, dict) else 'array'}, not a value"
                )
            elif values_only and value is None:
                reasons.append(f"{name} is null")
            else:
                reasons.append(check(value))
        return None if None in reasons else reasons[0]

    return why_not


def _values(value: Any, steps: list[str | int]) -> Iterator[Any]:
    for place, step in enumerate(steps):
        if step == "*":
            inside = (
                value.values()
                if isinstance(value, dict)
                else value
                if isinstance(value, list)
                else []
            )
            found = [each for inner in inside for each in _values(inner, steps[place + 1 :])]
            yield from found or [ABSENT]
            return
        known = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not known and not (isinstance(value, dict) and step in value):
            yield ABSENT
            return
        value = value[step]
    yield value


def _on_object(check: Check) -> Callable[[str], Why]:
    def why_not(line: str) -> Why:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return "it is no JSON object, but the pattern is for the fields of a JSON object"
        return (
            check(found)
            if isinstance(found, dict)
            else "it is no JSON object, but the pattern is for the fields of a JSON object"
        )

    return why_not


# --- Fields between spaces


class _Field(NamedTuple):
    name: str
    check: Check | None


def _space_pattern(reader: _Reader) -> tuple[list[str], Callable[[list[str]], Why]]:
    reader.take("[")
    fields: list[_Field] = []
    while True:
        fields.append(_space_field(reader))
        if reader.take("]"):
            break
        if not reader.take(","):
            raise reader.refuse(f"a comma or ] is expected before {reader.rest()!r}")
    names = [field.name for field in fields]
    if names.count("...") > 1:
        raise reader.refuse("it has more than one ellipsis")
    _ended(reader, lambda _: None)

    def why_not(words: list[str]) -> Why:
        placed = _placed(names, words)
        if placed is None:
            least = "at least " * ("..." in names)
            wanted = sum(name != "..." for name in names)
            return f"it has {len(words)} fields, and the pattern needs {least}{wanted}"
        return next(
            filter(
                None,
                (field.check(placed[place]) for place, field in enumerate(fields) if field.check),
            ),
            None,
        )

    return names, why_not


def _space_field(reader: _Reader) -> _Field:
    if reader.take("..."):
        return _Field("...", None)
    reader.skip()
    begin = reader.place
    parenthesis = reader.take("(")
    name = reader.match(PLAIN_FIELD)
    called = name[0] if name else ""
    following = reader.rest()[:1]
    if parenthesis or following in {"=", "!", "<", ">"}:
        reader.place = begin
        return _Field(called, _combined(reader, lambda: _space_condition(reader)))
    return _Field(called, None)


def _space_condition(reader: _Reader) -> Check:
    name = reader.match(PLAIN_FIELD)
    return _comparison(reader, (name[0] if name else "") or "the field", numbers_in_text=True)


def _words(line: str) -> list[str]:
    """Split a line into fields: words, and texts in square brackets or double quotes."""
    return [
        next(part for part in found.groups() if part is not None)
        for found in SPACE_FIELD.finditer(line)
    ]


def _placed(names: list[str], words: list[str]) -> list[str] | None:
    """Return the word for each name, and an empty word for the ellipsis.

    Returns None if the number of words does not fit the names.
    """
    if "..." not in names:
        return words if len(words) == len(names) else None
    before = names.index("...")
    after = len(names) - before - 1
    if len(words) < before + after:
        return None
    return [*words[:before], "", *words[len(words) - after :]]


def _extracted(names: list[str], words: list[str]) -> dict[str, str] | None:
    """Return every field by its name.

    If a field has no name, its key is its position (1, 2, ...). The fields in place of the
    ellipsis have no names.
    """
    if _placed(names, words) is None:
        return None
    before = names.index("...") if "..." in names else len(names)
    called = (
        names[:before]
        + [""] * (len(words) - len(names) + 1) * ("..." in names)
        + names[before + 1 :]
    )
    return {
        name or str(place): word
        for place, (name, word) in enumerate(zip(called, words, strict=True), 1)
    }

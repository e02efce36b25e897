"""Fuzzes the code that makes documents from an event, guided by coverage.

Usage: python tests/fuzz/shipper.py [options of libFuzzer] [folder]

The folder keeps inputs that reach new code, for the next run. By default it is a new temporary
folder. An input that breaks a check is written to ./crash-...; to try it again, name that file
instead of the folder. The fuzzer needs atheris (Linux on x86_64).

The first byte of an input decides how the other bytes are used:
- `d`: awslogs.data.
- `g`: awslogs.data before base64.
- `j`: the JSON of the payload.
- `s`: random bytes from which a line with a secret is built.
- any other byte: random bytes from which a payload is built.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Replaces this script's folder, in which `import shipper` would find this script.
sys.path[0] = str(ROOT / "functions" / "shipper")

atheris: Any = import_module("atheris")
with atheris.instrument_imports(include=["shipper"]):
    from shipper.decode import LAST_MILLISECOND, LogEvent, Payload, PayloadInvalid, decode, line
    from shipper.document import (
        ENVELOPE,
        METADATA,
        Document,
        Form,
        Rules,
        documents,
        spliced,
        written,
    )
    from shipper.field_map import field_map
    from shipper.json_text import Fields
    from shipper.partial_document import less as rescued
    from shipper.read import Kind, read
    from shipper.redact import Redaction

LIMIT: Final = 1024 * 1024
DEEP: Final = 100  # levels of nesting; an index accepts 20
SECRET: Final = "Sesame"
REDACTION: Final = Redaction(
    {"password": "drop", "user.token": "hash"}, ("email", "number"), b"key"
)
RULES: Final = (
    Rules(),
    Rules(frozenset({Kind.PLATFORM})),
    Rules(frozenset({Kind.OBJECT, Kind.METRICS})),
    Rules(frozenset({Kind.TEXT})),
    Rules(redaction=REDACTION),
    Rules(frozenset({Kind.PLATFORM, Kind.METRICS}), REDACTION),
)
OWN: Final = field_map("prediction.label=a,text=user.token,prediction.score=a.b,traffic=level")
TRUSTED: Final = (Rules(names=OWN, key=b"key"), Rules(redaction=REDACTION, names=OWN, key=b"key"))
NAMES: Final = (
    *ENVELOPE,
    *METADATA,
    "_aws",
    "message",
    "level",
    "timestamp",
    "type",
    "record",
    "user",
    "a",
    "",
    "a.b",
    "$a",
    "x@y.de",
)
PIECES: Final = (
    *"{}[]\":,\\ \n\r\t\0'0-", "{}", '{"', '":', '{"a":1}', '\n{"index":{}}\n', "\\u0040",
    "\\ud800", "\ud800", "\udc00", "\u2028", "\xa0", "\ufeff", "ä", "null", "NaN", "-Infinity",
    "1e999", "1.50", "9" * 25, '"@id"', '"_aws"', '"message":', '"type":"platform.x"',
    '"record":{}', '"timestamp":"","level":"",', "START RequestId: ", "END RequestId: x",
    " Version: 1", "REPORT RequestId: x\t", "INIT_REPORT ", "INIT_START Runtime Version: x",
    "Runtime Version ARN: ", "Init Duration: 1.5 ms\t", "Memory Size: 128 MB", "Status: timeout",
    "a@b.de", "+49 151 23456789", "2026-11-23", '"password":"x"', "user.token",
)  # fmt: skip
SEPARATORS: Final = ((", ", ": "), (",", ":"), (",\n", "\r:\t"))


class Pairs(list[tuple[str, Any]]):
    """A JSON object as a list of pairs, so that duplicate names are kept."""


class Odd(Exception):
    """JSON that readers interpret differently: a duplicate name, or a number out of range."""


def check(event: Any) -> None:
    """Check `decode` and `documents` with one event, under all rules."""
    try:
        payload = decode(event, LIMIT)
    except PayloadInvalid:
        return
    lines = [line(each) for each in payload.events]
    for text, as_json in lines:
        assert json.loads(bytes(as_json)) == text
        agree(text)
    for rules in RULES:
        check_documents(payload, [text for text, _ in lines], rules)
    for rules in TRUSTED:
        check_trusted(payload, rules._replace(record_groups=frozenset({payload.log_group})))


def check_trusted(payload: Payload, rules: Rules) -> None:
    """Check that each line has one document, in the index for its kind.

    The rules trust the line's log group, so a line that looks like a record counts as a record.
    """
    found = list(documents(payload, rules, Counter(), now=0))
    assert len(found) == len(payload.events)
    for document in found:
        try:
            source = dict(strict(document.source))
        except RecursionError:  # raised by Python's JSON parser
            continue
        assert document.index_name.startswith("cwl-log-") == (source["@kind"] == "log")
        assert not document.counts or source["@kind"] == "prediction"


def check_documents(payload: Payload, lines: list[str], rules: Rules) -> None:
    """Check that each line has one document, unless it is excluded.

    The document has the line's envelope (the fields that the shipper adds, such as `@id`), even
    after the index refused the line's own fields.
    """
    excluded: Counter[str] = Counter()
    found = list(documents(payload, rules, excluded, now=0))
    assert len(found) + excluded.total() == len(lines)
    if any(deep(text) for text in lines):
        return
    kinds = [read(text).kind for text in lines]
    assert excluded == Counter(kind for kind in kinds if kind in rules.exclude)
    kept = [
        (event, text)
        for event, text, kind in zip(payload.events, lines, kinds, strict=True)
        if kind not in rules.exclude
    ]
    for (event, text), document in zip(kept, found, strict=True):
        assert document.lines.count(b"\n") == 2
        try:
            action, source = parsed(document)
        except RecursionError:  # raised by Python's JSON parser
            continue
        check_envelope(source, payload, event, None if rules.redaction else text)
        reasoned = rescued(document, {"status": "400"})
        assert reasoned is not None
        bare = rescued(reasoned, {})
        assert bare is not None
        assert rescued(bare, {}) is None
        assert (document.form, reasoned.form, bare.form) == (Form.WHOLE, Form.RESCUED, Form.BARE)
        for less in (reasoned, bare):
            same_action, envelope = parsed(less)
            assert same_action == action
            end = size(source)
            rest = envelope[end:]
            assert envelope[:end] == source[:end]
            assert rest == ([("@rescued", Pairs([("status", "400")]))] if less is reasoned else [])


def size(source: Pairs) -> int:
    """Return the number of fields in the envelope. Its last field is `@message`."""
    return 1 + [name for name, _ in source].index("@message")


def check_envelope(source: Pairs, payload: Payload, event: LogEvent, text: str | None) -> None:
    """Check that a document begins with the envelope, and has no other reserved names."""
    envelope = dict(source[: size(source)])
    names = [
        "@id",
        "@timestamp",
        "@delay_ms",
        "@position",
        "@owner",
        "@log_group",
        "@log_stream",
        "@kind",
        "@message",
    ]
    assert [name for name in envelope if name != "@function_version"] == names
    owned = payload.owner, payload.log_group, payload.log_stream, event.id
    assert tuple(envelope[name] for name in ("@owner", "@log_group", "@log_stream", "@id")) == owned
    assert int(envelope["@delay_ms"]) == -event.timestamp
    assert text is None or envelope["@message"] == text
    assert not {name for name, _ in source[size(source) :]} & {*ENVELOPE, *METADATA}


def parsed(document: Document) -> tuple[Pairs, Pairs]:
    """Return the document's action and source, which are exactly two lines."""
    first, second, rest = document.lines.split(b"\n")
    assert rest == b""
    assert second == document.source
    action, source = strict(first), strict(second)
    [(verb, target)] = action
    [(index, day), (key, identifier)] = target
    assert (verb, index, key) == ("create", "_index", "_id")
    assert day.startswith("cwl-log-")
    assert 0 < len(identifier.encode()) <= 512
    return action, source


def strict(data: bytes) -> Pairs:
    """Parse bytes as a JSON object, and keep numbers as text."""
    found = json.loads(
        data.decode(),
        object_pairs_hook=Pairs,
        parse_int=str,
        parse_float=str,
        parse_constant=refused,
    )
    assert isinstance(found, Pairs)
    return found


def refused(name: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise AssertionError(name)


def deep(text: str) -> bool:
    """Return whether a text can have more than `DEEP` levels of nesting.

    `spliced`, `read` or both may be unable to read such a text. No index accepts its fields.
    """
    return text.count("{") + text.count("[") > DEEP


def agree(text: str) -> None:
    """Check that `spliced`, which copies a line's fields, agrees with `read`, which parses them."""
    found = spliced(text)
    if found is None:
        return
    tail = found.tail
    kind, fields = read(text)
    if deep(text):
        return
    assert kind in {Kind.OBJECT, Kind.PLATFORM}
    assert spliced(text, platform_matters=True) == (
        found if kind is Kind.OBJECT and "type" not in fields else None
    )
    try:
        quick, careful = (
            json.loads(
                b"{" + end.removeprefix(b","),
                object_pairs_hook=once,
                parse_int=whole,
                parse_float=finite,
            )
            for end in (tail, written(fields))
        )
    except (Odd, RecursionError):
        return
    assert json.dumps(quick) == json.dumps(careful)


def once(pairs: list[tuple[str, Any]]) -> Fields:
    """Make an object, but raise `Odd` if a name occurs twice."""
    if len(dict(pairs)) < len(pairs):
        raise Odd
    return dict(pairs)


def whole(digits: str) -> int:
    """Convert digits to an integer, but raise `Odd` if there are more digits than Python reads."""
    if len(digits) > 4000:
        raise Odd
    return int(digits)


def finite(digits: str) -> float:
    """Convert digits to a float, but raise `Odd` for infinity."""
    if abs(float(digits)) == float("inf"):
        raise Odd
    return float(digits)


class Builder:
    """Builds a payload from the fuzzer's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = atheris.FuzzedDataProvider(data)

    def payload(self) -> bytes:
        """Return the JSON of a payload."""
        events = [self.event() for _ in range(self.number(4))]
        payload = {
            "messageType": "DATA_MESSAGE" if self.number(20) else self.text(),
            "owner": self.text(),
            "logGroup": self.text(),
            "logStream": self.text() or "2026/11/28/[3]0a",
            "logEvents": events,
        }
        if not self.number(10):
            payload[self.text()] = self.value(2)
        return json.dumps(payload, ensure_ascii=self.number(1) == 1).encode(errors="surrogatepass")

    def event(self) -> dict[str, Any]:
        """Return a log event, sometimes with extracted fields or a message of a wrong type."""
        event: dict[str, Any] = {
            "id": f"{self.number(9):056d}" if self.number(3) else self.text() * self.number(200),
            "timestamp": self.data.ConsumeIntInRange(
                -1 if not self.number(50) else 0, LAST_MILLISECOND
            ),
            "message": self.value(2) if not self.number(30) else self.line(),
        }
        if not self.number(5):
            event["extractedFields"] = {
                self.name(): self.line() if self.number(3) else self.value(2)
                for _ in range(self.number(3))
            }
        return event

    def line(self) -> str:
        """Return a log line: pieces of lines, or an object with text around it."""
        if self.number(1):
            return self.text()
        if not self.number(60):
            return self.text() + self.nested(self.text() or "1")
        line = json.dumps(
            self.object(3), ensure_ascii=self.number(1) == 1, separators=SEPARATORS[self.number(2)]
        )
        start, end = (
            self.piece() if not self.number(3) else self.text() if not self.number(5) else ""
            for _ in range(2)
        )
        return start + (json.dumps(line) if not self.number(4) else line) + end

    def nested(self, inner: str) -> str:
        """Return a value that is nested so deeply that not every parser can read it."""
        depth = (100, 300, 1_000, 3_000)[self.number(3)]
        return '{"a":' * depth + inner + "}" * depth

    def text(self) -> str:
        """Return text that consists of up to six pieces."""
        return "".join(self.piece() for _ in range(self.number(6)))

    def piece(self) -> str:
        """Return one of `PIECES`, or any characters."""
        return (
            PIECES[self.number(len(PIECES) - 1)]
            if self.number(3)
            else str(self.data.ConsumeUnicode(self.number(8)))
        )

    def name(self) -> str:
        """Return a field's name."""
        return NAMES[self.number(len(NAMES) - 1)] if self.number(3) else self.text()

    def object(self, depth: int) -> Fields:
        """Return an object with at most `depth` levels, sometimes in the format of a logger."""
        fields = {self.name(): self.value(depth - 1) for _ in range(self.number(4))}
        if not self.number(3):
            fields |= {"timestamp": "", "level": "", "message": self.value(depth - 1)}
        return fields

    def value(self, depth: int) -> Any:
        """Return a JSON value, or a value that only Python's parser accepts."""
        match self.number(8 if depth > 0 else 4):
            case 0:
                found: Any = self.data.ConsumeInt(9)
            case 1:
                found = self.data.ConsumeFloat()
            case 2:
                found = (None, True, False, 10**30, -0.0, 1e-7)[self.number(5)]
            case 3 | 4:
                found = self.text()
            case 5:
                found = json.dumps(self.object(depth - 1))
            case 6:
                found = [self.value(depth - 1) for _ in range(self.number(3))]
            case _:
                found = self.object(depth - 1)
        return found

    def number(self, most: int) -> int:
        """Return a number from 0 to `most`."""
        return int(self.data.ConsumeIntInRange(0, most))

    def hidden(self) -> str:
        """Return a line with a secret in a field to redact.

        The field may be inside JSON strings and other objects, with text before and after it, and
        the line's end may be missing.
        """
        secret = (SECRET, self.text() + SECRET, [SECRET], {self.name(): SECRET})[self.number(3)]
        value: Any = self.object(1) | (
            {"password": secret} if self.number(1) else {"user": {"token": secret}}
        )
        for _ in range(self.number(4)):
            match self.number(15):
                case 0 | 7:
                    value = self.object(1) | {self.name(): value}
                case 6:
                    value = self.nested(json.dumps(value))
                case 13:
                    value = f'"password": "{SECRET}", ' + json.dumps(value)
                case 1 | 8:
                    value = [self.value(1), value]
                case 2 | 9:
                    value = {"timestamp": "", "level": "", "message": value}
                case 3 | 10 | 11:
                    value = {"timestamp": "", "level": "", "message": json.dumps(value)}
                case 4 | 12:
                    value = json.dumps(value)
                case _:
                    value = self.text() + json.dumps(value, ensure_ascii=False)
        line = self.text() + (value if isinstance(value, str) else json.dumps(value))
        return line[: -self.number(200)] if not self.number(3) else line + self.text()


def check_secret(text: str) -> None:
    """Check that no document has the secret, which is in the line and in extracted fields."""
    events = [
        {"id": "1", "timestamp": 0, "message": text},
        {"id": "2", "timestamp": 0, "message": "", "extractedFields": {"a": text, "b": [text]}},
    ]
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "",
        "logGroup": "",
        "logStream": "",
        "logEvents": events,
    }
    data = json.dumps(payload).encode()
    for document in documents(
        decode(packed(data), len(data)), Rules(redaction=REDACTION), Counter(), now=0
    ):
        assert SECRET.encode() not in document.lines


def one(data: bytes) -> None:
    """Check one input. libFuzzer calls this function."""
    rest = data[1:]
    match data[:1]:
        case b"d":
            check({"awslogs": {"data": rest.decode("latin-1")}})
        case b"g":
            check({"awslogs": {"data": base64.b64encode(rest).decode()}})
        case b"j":
            check(packed(rest))
        case b"s":
            check_secret(Builder(rest).hidden())
        case _:
            check(packed(Builder(rest).payload()))


def packed(data: bytes) -> dict[str, Any]:
    """Return the event whose payload is `data`."""
    return {"awslogs": {"data": base64.b64encode(gzip.compress(data, 1)).decode()}}


def seeds(folder: Path) -> None:
    """Write the sample events as the first inputs."""
    for path in (ROOT / "events" / "shipper").glob("*.json"):
        data = json.loads(path.read_text())["awslogs"]["data"].encode()
        unpacked = base64.b64decode(data)
        for kind, content in ((b"d", data), (b"g", unpacked), (b"j", gzip.decompress(unpacked))):
            (folder / f"seed-{path.stem}-{kind.decode()}").write_bytes(kind + content)
    for kind in (b"s", b"p"):
        (folder / f"seed-built-{kind.decode()}").write_bytes(kind + bytes(range(256)))


def main() -> None:
    """Fuzz until a limit in the options is reached. libFuzzer then ends the process."""
    arguments = sys.argv[1:]
    places = [Path(each) for each in arguments if not each.startswith("-")]
    if not places:
        places = [Path(tempfile.mkdtemp(prefix="fuzz-shipper-"))]
        print(f"inputs are kept in {places[0]}", file=sys.stderr)
        arguments.append(str(places[0]))
    if places[0].is_dir():
        seeds(places[0])
    atheris.Setup([sys.argv[0], "-timeout=20", *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

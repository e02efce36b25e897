"""Makes a document from each log event, as bytes for a bulk request.

A document begins with the envelope: fields that only the shipper writes. The line's own fields
follow. There are two ways from a line to its fields. The fast way, `spliced`, checks that the line
is a JSON object and copies it unchanged. The slow way parses any line (`read`) and serialises its
fields (`written`). `spliced` returns None whenever the two results could differ, with two
exceptions: a line with a duplicate key, and a line with hundreds of levels of nesting. The index
refuses such lines, and `shipper.partial_document` then leaves out their fields.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from shipper.decode import Payload, line
from shipper.field_map import NO_NAMES, FieldMap
from shipper.index_prefix import PREFIX
from shipper.json_text import Fields, quoted
from shipper.prediction import described, is_live, recognised
from shipper.provenance import FEEDBACK, LOG, PREDICTION, RECORDS, is_trusted
from shipper.read import Kind, is_system, platform, read, read_extracted
from shipper.redact import HASHED, WITHHELD, Redaction

# Names that only the shipper writes: events/envelope.json.
ENVELOPE: Final = (
    "@id", "@timestamp", "@delay_ms", "@position", "@message", "@owner", "@log_group",
    "@log_stream", "@kind", "@stack", "@function_version", "@rescued",
)  # fmt: skip
# OpenSearch's metadata fields. If a line's field has such a name at the root, OpenSearch refuses
# the field or, worse, uses it as metadata.
METADATA: Final = (
    "_id", "_index", "_source", "_type", "_routing", "_field_names", "_ignored", "_seq_no",
    "_primary_term", "_version", "_nested_path", "_doc_count", "_data_stream_timestamp",
)  # fmt: skip
RESERVED: Final = frozenset((*ENVELOPE, *METADATA))
DAY: Final = 86_400_000  # milliseconds
# Finds a name that has a dot, and begins with @, _ or an escape. The part of this name before the
# dot may be reserved. The dot may be an escape too.
MAYBE_RESERVED: Final = re.compile(r'"(?:[@_]|\\u00)[^"]*(?:\.|\\u002[eE])[^"]*"\s*:')
# Finds the characters `"_`. Underscores are rarer than quotation marks, so the expression looks for
# the underscore first. This is many times faster than a plain search.
AFTER_QUOTE: Final = re.compile(r'_(?<="_)')
# The longest `_id` that OpenSearch accepts, in bytes. If an id is longer, OpenSearch refuses the
# whole request.
ID_BYTES: Final = 512
NO_FIELDS: Final = b"}\n"
# The log stream of a Lambda function names the version that wrote it, for instance
# 2026/11/28/[$LATEST]0a1b... or 2026/11/28/my-function[3]0a1b...
STREAM: Final = re.compile(
    r"\d{4}/\d\d/\d\d/[^\[\]]*\[(?P<version>\$LATEST|[0-9]{1,18})\][0-9a-f]+"
)
SPACE: Final = " \t\r\n"  # JSON's white space
# A line with fewer than `FEW_DOTS` dots and fewer than `FEW_NAMES` names is indexed quickly, and is
# not checked further (shipper.field_limits). Nearly all lines are like this. In a line of fewer
# than `FEW_BYTES` bytes, names are not counted, because there is no room for `FEW_NAMES` names.
FEW_DOTS: Final = 64
FEW_NAMES: Final = 500
# A name takes at least 5 bytes: two quotation marks, a colon, a value of one byte, and a comma.
FEW_BYTES: Final = 5 * FEW_NAMES


class Form(IntEnum):
    """The parts of a document. Every form has the envelope, which contains the line as text.

    After a refusal, the next attempt sends fewer parts.
    """

    WHOLE = 0  # the envelope and all fields
    REDUCED = 1  # the envelope, the reason of a refusal, and the fields that no refusal named
    RESCUED = 2  # the envelope and the reason of the refusal
    BARE = 3  # only the envelope, because the index refused even the reason


class Document(Struct, frozen=True, gc=False):
    """A document for the bulk API.

    `lines` holds the document's action and its source. The last `tail` bytes of `lines` are the
    fields of the log line: they follow the envelope, so that they can be cut off. `counts` is true
    if the log line is a prediction of live traffic. `few` is true if the fields are known to be
    few, so that `shipper.field_limits` need not count them. `place` is the place of the document's
    payload in a batch (shipper.stream).
    """

    lines: bytes
    tail: int
    form: Form = Form.WHOLE
    counts: bool = False
    few: bool = False
    place: int = 0

    @property
    def index_name(self) -> str:
        """The name of the document's index."""
        return self.lines.split(b'"', 6)[5].decode()

    @property
    def source(self) -> bytes:
        """The document without its action: a JSON object in UTF-8."""
        return self.lines.split(b"\n", 2)[1]


class Rules(NamedTuple):
    """The settings for making documents.

    `exclude` holds the kinds of line that are not shipped. `stack` is the value of `@stack`; if it
    is empty, documents have no `@stack`. `prefix` is the beginning of each index name.
    `record_groups` are the log groups with trusted records (shipper.provenance). `names` maps the
    fields of predictions in these log groups (shipper.field_map). `key` is the secret key of
    `input.hash`; if it is empty, documents have no `input.hash`.
    """

    exclude: frozenset[Kind] = frozenset()
    redaction: Redaction | None = None
    stack: str = ""
    prefix: str = PREFIX
    record_groups: frozenset[str] = frozenset()
    names: FieldMap = NO_NAMES
    key: bytes = b""


class Spliced(Struct, gc=False):
    """The end of a document, copied byte for byte from its line.

    `kind` is the `@kind` that the line gets if its origin is trusted. `live` is true if the line's
    traffic is live. `unsure` is true if the line is feedback, or may be a prediction in a foreign
    format. An unsure line of a trusted origin must be parsed in full (`read`). `few` has the same
    meaning as in `Document`.
    """

    tail: bytes
    kind: str
    live: bool
    unsure: bool
    few: bool


class _Prediction(Struct, gc=False):
    """A JSON object with any members."""


# A line that is no JSON object cannot be decoded as this type. The decoder skips members that the
# type does not name, but checks their syntax. A guarded name is a reserved name or `_aws`, with
# or without escapes. The value of a guarded name has the type `NOTHING`, which accepts no value. So
# decoding fails if the line has a guarded name.
GUARDED: Final = dict(enumerate(sorted({*RESERVED, "_aws"})))
NOTHING: Final[Any] = Annotated[str, Meta(min_length=1, max_length=0)]
_Line: Final[Any] = msgspec.defstruct(
    "_Line",
    [
        ("message", str, ""),
        ("type", Raw | UnsetType, UNSET),
        ("prediction", _Prediction | UnsetType, UNSET),
        ("record_version", int | UnsetType, UNSET),
        ("traffic", str | None, None),
        *((f"guarded_{number}", NOTHING, "") for number in GUARDED),
    ],
    rename={f"guarded_{number}": name for number, name in GUARDED.items()},
)
_check: Final = msgspec.json.Decoder(_Line).decode


def documents(
    payload: Payload,
    rules: Rules,
    excluded: Counter[str],
    now: int,
    common_days: Container[int] = (),
    *,
    place: int = 0,
) -> Iterator[Document]:
    """Yield the payload's documents. Lines of an excluded kind are only counted, in `excluded`.

    A document's id and index depend only on the event, so a second delivery of an event leads to
    the same document. `now` is the time of shipping, in milliseconds since 1970; `@delay_ms` is the
    time from the event to `now`. `@position` is the line's place in the payload. `place` is the
    payload's place in a batch.

    Records (predictions, feedback and a few others) go to one index, and all other lines to another
    index. There is an exception: on the days in `common_days`, every line goes to the index of the
    records (shipper.common_index). These days are counted from 1970-01-01.
    """
    sources = _sources(payload, rules.stack)
    trusted = is_trusted(payload, rules.record_groups)
    quick = not rules.redaction and Kind.OBJECT not in rules.exclude
    platform_matters = Kind.PLATFORM in rules.exclude
    names, prefix = rules.names, rules.prefix
    for position, event in enumerate(payload.events):
        text, message = line(event)
        found = (
            spliced(text, platform_matters=platform_matters)
            if quick and not event.extracted
            else None
        )
        if found is not None and not (trusted and (found.unsure or (names and found.kind == LOG))):
            tail, kind, live, few = found.tail, found.kind, found.live, found.few
        else:
            sort, fields = read(text)
            if sort in rules.exclude:
                excluded[sort] += 1
                continue
            extracted, system = _sorted(event.extracted) if event.extracted else (None, None)
            if extracted:
                fields = read_extracted(extracted)
            kind, known = recognised(fields, rules.names) if trusted else (LOG, fields)
            live = is_live(known)
            if rules.redaction:
                text, fields = rules.redaction.apply(text, fields, cut=bool(extracted))
                known = recognised(fields, rules.names)[1] if trusted else fields
            if kind == PREDICTION:
                known = _described(known, rules)
            if system:
                known = known | system
            tail, message, few = written(known), quoted(text), False
        if not trusted:
            kind = LOG
        time = event.timestamp
        apart = kind == LOG and time // DAY not in common_days
        index, second = _second(time // 1000, prefix, apart)
        identifier = quoted(event.id)
        plain = event.id.isascii() and 0 < len(event.id) <= ID_BYTES  # nearly always
        head = (
            b'{"create":{"_index":"%b","_id":%b}}\n'
            b'{"@id":%b,"@timestamp":"%b%03dZ","@delay_ms":%d,"@position":%d'
            % (
                index,
                identifier if plain else _document_id(event.id, identifier),
                identifier,
                second,
                time % 1000,
                now - time,
                position,
            )
        )
        # A join copies the long parts once; a format copies them twice.
        lines = b"".join((head, sources[kind], message, tail))
        yield Document(lines, len(tail), Form.WHOLE, live and kind == PREDICTION, few, place)


def spliced(text: str, *, platform_matters: bool = False) -> Spliced | None:
    """Copy the line's fields to the end of a document.

    Returns None if the line must be parsed in full (`read`).
    """
    start = text.find('{"')
    if start < 0 or (start and (text.find("{") != start or platform(text) is not None)):
        return None
    if start or text[-1] != "}":
        text = text[start:].rstrip(SPACE)
    if "\n" in text:
        return None
    try:
        found = _check(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    escapes = "\\" in text
    # A name with a dot is reserved if the part before the dot is reserved. Such a name has an `@`,
    # an escape, or `_` as its first character. Nearly all lines have none of these.
    some = "@" in text or (escapes and "\\u00" in text) or AFTER_QUOTE.search(text)
    if (platform_matters and found.type is not UNSET) or (some and MAYBE_RESERVED.search(text)):
        return None
    message = found.message
    if message in RECORDS:
        foreign = message == PREDICTION and found.record_version is UNSET
        kind, unsure = message, foreign or message == FEEDBACK
    elif message.lstrip()[:1] in {"{", '"'}:
        return None
    else:
        kind, unsure = LOG, found.prediction is not UNSET or "{" in message
    tail = b"".join((b",", text.encode()[1:], b"\n"))
    few = not escapes and len(tail) < FEW_BYTES and text.count(".") < FEW_DOTS
    return Spliced(tail, kind, found.traffic in {None, "live"}, unsure, few)


def written(fields: Fields) -> bytes:
    """Return the end of a document with these fields.

    Names that are reserved for the envelope or by OpenSearch are left out.
    """
    kept = {name: value for name, value in fields.items() if name.partition(".")[0] not in RESERVED}
    try:
        return b"," + msgspec.json.encode(kept)[1:] + b"\n" if kept else NO_FIELDS
    # The fields are nested too deeply for msgspec. No index would accept them.
    except RecursionError:
        return NO_FIELDS


def _sources(payload: Payload, stack: str) -> dict[str, bytes]:
    """Return, by kind, the part of the envelope that all documents of a payload share."""
    found = [
        ("@owner", payload.owner),
        ("@log_group", payload.log_group),
        ("@log_stream", payload.log_stream),
    ]
    stream = STREAM.match(payload.log_stream)
    if stream:
        found.append(("@function_version", stream["version"]))
    if stack:
        found.append(("@stack", stack))
    common = b"".join(b',"%b":%b' % (name.encode(), quoted(value)) for name, value in found)
    return {
        kind: b'%b,"@kind":"%b","@message":' % (common, kind.encode()) for kind in (*RECORDS, LOG)
    }


def _described(fields: Fields, rules: Rules) -> Fields:
    """Add the descriptors of a prediction's text, unless redaction has replaced the text."""
    text = fields.get("text")
    if rules.redaction and isinstance(text, str) and text.startswith((HASHED, WITHHELD)):
        return fields
    return described(fields, rules.key)


def _sorted(extracted: Fields) -> tuple[Fields | None, Fields | None]:
    """Separate the fields of the filter pattern from CloudWatch's system fields."""
    system = {name: value for name, value in extracted.items() if is_system(name)}
    cut = {name: value for name, value in extracted.items() if name not in system}
    return cut or None, {
        name: value for name, value in system.items() if value not in (None, "")
    } or None


def _document_id(identifier: str, as_json: bytes) -> bytes:
    """Return the event's id if OpenSearch accepts it.

    An id that is empty, too long or invalid Unicode is replaced by its digest.
    """
    raw = identifier.encode(errors="surrogatepass")
    usable = 0 < len(raw) <= ID_BYTES and raw.decode(errors="replace") == identifier
    return as_json if usable else b'"%b"' % hashlib.sha256(raw).hexdigest().encode()


@lru_cache(maxsize=4096)
# The arguments are positional, because keywords would make the cache slower.
def _second(seconds: int, prefix: str, apart: bool) -> tuple[bytes, bytes]:  # noqa: FBT001
    """Return the name of the day's index, and the time as text, without the milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    name = f"{prefix}{'log-' if apart else ''}{moment:%Y.%m.%d}"
    return name.encode(), moment.strftime("%Y-%m-%dT%H:%M:%S.").encode()

"""Ship a user's own log lines into OpenSearch, for `python -m local ship` and `test-pattern`.

Lines that pass the filter pattern are sent to the real shipper.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from installer.saved_objects import saved_objects
from local import opensearch, template
from local.cloudwatch import subscription_event
from local.filter_pattern import parse
from local.log_events import PIPE, Line, lines, text_of
from local.runtime import running
from local.stack import KEY
from local.terminal_view import now_and_then
from tools.errors import UserError
from tools.printable import plain

STDIN: Final = "-"
GROUP: Final = "/local/your-own-function"
PATTERN: Final = "prediction"  # the filter pattern of docs/from-the-console.md
# The shipper trusts records from the subscription filter with this name (events/envelope.json).
RECORDS: Final = "prediction-monitor-records"
# The largest number of lines in one payload. The shipper needs about a second for this number of
# lines, so progress is shown often.
BATCH_EVENTS: Final = 2_000
BATCH_BYTES: Final = 4_000_000  # a payload ends with the line that reaches this size
FOLLOW_SECONDS: Final = 0.5
PROGRESS_SECONDS: Final = 1
FIELD: Final = re.compile(r"([@\w.*]+):")  # a field in a Lucene query
EXAMPLES: Final = 5  # lines that are shown with the reason why they do not pass
# A line with this field counts as a prediction (events/prediction.json).
LABEL: Final = "prediction.label"

# A line of feedback (events/feedback.schema.json). The pattern should match such lines too.
FEEDBACK: Final = '{"message": "feedback", "prediction_id": "17", "label": "a"}'

Say = Callable[[str], None]


def try_pattern(pattern: str, files: list[str], say: Say) -> None:
    """Print for each line whether the filter pattern matches it, and if not, why.

    Raises `UserError`.
    """
    filtered = parse(pattern)
    taken = seen = 0
    for source in map(Source, files):
        for line in source.added(datetime.now(UTC)):
            why = filtered.why_not(line.message)
            seen, taken = seen + 1, taken + (why is None)
            say(
                f"{'passes' if why is None else 'no    '}  {_short(line.message)}"
                + (f"\n        {plain(why)}" if why else "")
            )
    say(f"{taken} of {seen} lines pass the filter pattern {pattern!r}")
    why = filtered.why_not(FEEDBACK)
    if why is None:
        say(f"feedback passes this pattern too: {FEEDBACK}")
    else:
        say(f"feedback does not pass this pattern ({plain(why)}): {FEEDBACK}")
        say(f"        {_with_feedback(pattern)}")


def _with_feedback(pattern: str) -> str:
    """Return a sentence with a pattern that lets feedback pass too."""
    inner = pattern.strip()
    wider = (
        f'{{ ({inner[1:-1].strip()}) || ($.message = "feedback") }}'
        if inner.startswith("{")
        else f"?{inner} ?feedback"
    )
    try:
        passes = parse(wider).why_not(FEEDBACK) is None
    except UserError:
        passes = False
    if passes and (inner.startswith("{") or re.fullmatch(r"\w+", inner)):
        return f"this pattern lets your lines and feedback pass: {wider}"
    return "send feedback by POST /feedback or python -m monitor feedback, or give another pattern"


def ship(
    files: list[str],
    url: str,
    group: str,
    pattern: str,
    *,
    follow: bool,
    say: Say,
    names: str = "",
    progress: Say = lambda _: None,
) -> None:
    """Ship the lines of these files that pass the filter pattern.

    The file `-` is standard input. With `follow`, lines that are added later are also shipped,
    until interrupted. `names` says which names a prediction's fields have in the lines, in the form
    of FIELD_MAP. Every file is read before anything is sent. So nothing is shipped if a file cannot
    be read, or has a line that CloudWatch would refuse. `progress` is called about once a second
    with the number of lines sent. Raises `UserError`. If no line of a file passes, the other files
    are shipped before the error is raised.
    """
    own = _own_names(names)
    if follow and STDIN in files and len(files) > 1:
        raise UserError("--follow works with a pipe (-) or with files, not with both")
    filtered = parse(pattern)
    plan = template.read()
    subscriber = plan.subscriptions[0][2]
    sources = [Source(name, follow=follow) for name in files]
    read = [(source, source.added(datetime.now(UTC))) for source in sources]
    with running(
        plan.functions[subscriber],
        {"OPENSEARCH_URL": url, "FIELD_MAP": names, "REDACT_KEY": KEY},
        lambda _: None,
    ) as shipper:

        def send(name: str, found: list[Line]) -> bool:
            tell, sent = now_and_then(progress, PROGRESS_SECONDS), 0
            judged = [(line, filtered.why_not(line.message)) for line in found]
            passed = [line for line, why in judged if why is None]
            counts: Counter[str] = Counter()
            for batch in _batches(passed):
                event = subscription_event(
                    [line.event() | _cut(filtered.extract(line.message)) for line in batch],
                    group,
                    filters=(RECORDS,),
                )
                counts.update(
                    {
                        key: value
                        for key, value in shipper.invoke(event).items()
                        if isinstance(value, int)
                    }
                )
                sent += len(batch)
                tell(f"{name}: {sent} of {len(passed)} lines are sent")
            for text in (
                *report(name, judged, counts),
                *_panels(passed, own),
            ):
                say(text)
            return bool(passed)

        unshipped = [source.name for source, found in read if not send(source.name, found)]
        if unshipped and not follow:
            raise UserError(_none_passed(unshipped, pattern))
        while follow and not all(source.ended for source in sources):
            time.sleep(FOLLOW_SECONDS)
            for source in sources:
                found = source.added(datetime.now(UTC))
                if found:
                    send(source.name, found)


class Source:
    """A file, or standard input.

    With `follow`, each call of `added` reads a file up to its last complete line.
    """

    def __init__(self, name: str, *, follow: bool = False) -> None:
        self.name = PIPE if name == STDIN else str(Path(name).resolve())
        self.ended = False
        self._follow = follow
        self._place = 0
        self._number = 1

    def added(self, now: datetime) -> list[Line]:
        """Return the lines that were not read before. Raises `UserError`."""
        data, changed = self._piped(now) if self.name == PIPE else self._in_file()
        if self._follow and self.name != PIPE:
            data = data[: data.rfind(b"\n") + 1]
        found = list(lines(text_of(data, self.name), self.name, changed, now, self._number))
        self._place += len(data)
        self._number += data.count(b"\n")
        return found

    def _piped(self, now: datetime) -> tuple[bytes, datetime]:
        data = sys.stdin.buffer.readline() if self._follow else sys.stdin.buffer.read()
        self.ended = not data
        return data, now

    def _in_file(self) -> tuple[bytes, datetime]:
        try:
            with Path(self.name).open("rb") as file:
                file.seek(self._place)
                return file.read(), datetime.fromtimestamp(Path(self.name).stat().st_mtime, UTC)
        except OSError as problem:
            raise UserError(
                f"{self.name} cannot be read ({problem.strerror}): give files of log lines, "
                "or - for standard input"
            ) from None


def _cut(fields: dict[str, str] | None) -> dict[str, Any]:
    return {} if fields is None else {"extractedFields": fields}


def _batches(found: list[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in found:
        batch.append(line)
        size += len(line.message)
        if len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _own_names(names: str) -> Mapping[str, tuple[str, ...]]:
    # imported here, so that only the command `ship` loads the shipper's code
    from shipper.field_map import field_map  # noqa: PLC0415

    try:
        return field_map(names)
    except ValueError as problem:
        raise UserError(str(problem).replace("FIELD_MAP", "--field-map", 1)) from None


def _none_passed(names: list[str], pattern: str) -> str:
    remedy = "give --pattern '' to ship every line" if pattern else "give files of log lines"
    return (
        f"no line of {', '.join(names)} was shipped, because no line passes the filter pattern "
        f"{pattern!r}: {remedy}"
    )


def report(
    name: str, judged: Sequence[tuple[Line, str | None]], counts: Counter[str]
) -> Iterator[str]:
    """Report the results for a file's lines.

    `judged` has each line, with the reason why it does not pass the filter pattern, or None.
    """
    passed = [line for line, why in judged if why is None]
    shown = ", ".join(
        f"{counts[key]} {key}"
        for key in ("indexed", "duplicate", "rescued", "excluded", "failed")
        if counts[key]
    )
    yield f"{name}: {len(judged)} lines, {len(passed)} pass the filter pattern" + (
        f"; {shown}" if shown else ""
    )
    for line, why in islice(((line, why) for line, why in judged if why is not None), EXAMPLES):
        yield f"  left out: {_short(line.message)}\n    {plain(why)}"
    if counts["duplicate"]:
        yield (
            f"  {counts['duplicate']} lines are in the index already and keep their fields there, "
            "even with another --field-map. To ship them anew, restart make serve (with another "
            f"folder if you use KEEP), or delete the {opensearch.PATTERN} indices of these lines"
        )
    without = sum(not line.own_time for line in passed)
    if without:
        yield (
            f"  {without} lines have no time, so they got the time of the file's last change. If "
            "the file changes and is shipped again, these lines become new documents"
        )


def _panels(passed: list[Line], own: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Report how many lines are predictions, and which panels of the dashboard have data.

    For a panel without data, the missing fields are listed.
    """
    from shipper.prediction import described, recognised  # noqa: PLC0415
    from shipper.provenance import PREDICTION  # noqa: PLC0415
    from shipper.read import read  # noqa: PLC0415

    predictions = 0
    paths: set[str] = set()
    for line in passed:
        kind, fields = recognised(read(line.message).fields, own)
        if kind == PREDICTION:
            predictions += 1
            fields = described(fields, KEY.encode())
        paths |= set(_paths(fields))
    if not passed:
        return
    yield f"  {predictions} are predictions"
    if predictions < len(passed):
        yield (
            f"  a line with {LABEL} counts as a prediction: "
            f"if your field has another name, give --field-map {LABEL}=NAME"
        )
    filled: list[str] = []
    empty: list[str] = []
    for title, wanted in panels_of_fields():
        absent = sorted(field for field in wanted if field not in paths)
        (empty if absent else filled).append(f"{title} ({', '.join(absent)})" if absent else title)
    yield f"  panels with data: {', '.join(filled) or 'none'}"
    if empty:
        yield f"  panels without data, with their missing fields: {'; '.join(empty)}"


def panels_of_fields() -> Iterator[tuple[str, set[str]]]:
    """Yield title and fields of each panel of the main dashboard.

    Fields that begin with `@` are left out, because every line has them. Panels that show only the
    monitor's own lines are left out too.
    """
    for one in saved_objects():
        if one.type == "visualization":
            state = one.attributes["visState"]
            fields = {
                field.removesuffix(".keyword")
                for part in state.get("aggs", [])
                for field in _fields(part.get("params", {}))
            }
            if own := {field for field in fields if not field.startswith(("@", "monitor."))}:
                yield one.attributes["title"], own


def _fields(parameters: dict[str, Any]) -> Iterator[str]:
    """Yield the fields of an aggregation's parameters."""
    if "field" in parameters:
        yield parameters["field"]
    for each in parameters.get("filters", []):
        yield from (
            field
            for field in FIELD.findall(each["input"]["query"])
            if field not in {"_exists_", "*"}
        )


def _paths(fields: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}"


def _short(text: str) -> str:
    shown = plain(text)
    return shown if len(shown) <= 100 else f"{shown[:97]}..."

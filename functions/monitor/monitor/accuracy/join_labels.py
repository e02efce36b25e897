"""Joins right labels to predictions by the prediction's id.

Somebody reports a right label as feedback, or in a CSV file. If its prediction is found in the
daily indices of a stack, label and prediction are written as one joined record (joined_record.py)
into the monitor's own index. The daily indices are not changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from monitor.accuracy.joined_record import Joined, Judgement, milliseconds
from monitor.summaries.read_summaries import Connection, searched
from monitor.summaries.store import Store
from monitor.summaries.summary import Stream

IDS: Final = 1000  # ids in one search
LONGEST_ID: Final = 512  # characters
LONGEST_LABEL: Final = 1024
LONGEST_IDENTIFIER: Final = 128
LONGEST_EXPLANATION: Final = 1000
SOURCES: Final = frozenset({"human", "model", "code", "audit"})
FIELDS: Final = (
    "prediction_id", "prediction.label", "prediction.score", "prediction.probability", "model",
    "record_version", "@timestamp", "@log_group", "@function_version",
)  # fmt: skip


class Reason(StrEnum):
    """Why a label did not join a prediction."""

    UNKNOWN = "no live prediction of the stack has this id: it is not indexed yet, or was deleted"
    AMBIGUOUS = "several predictions have this id"
    UNLIKE = "the prediction's label is missing or is not a text"
    OTHER = "the prediction is of another model or log group"
    LABEL = "the model does not have this label"
    MALFORMED = "prediction_id or label is missing or has a wrong type, or a value is too long"
    SUPERSEDED = "a later label with the same prediction and identifier is already joined"


@dataclass(frozen=True, slots=True)
class Given:
    """A judgement (a label for one prediction), with conditions for the prediction.

    The label joins the prediction only if the prediction has this model and this log group. An
    empty `model` or `log_group` is no condition.
    """

    judgement: Judgement
    model: str = ""
    log_group: str = ""


@dataclass(slots=True)
class Outcomes:
    """The result of joining labels.

    `new` and `replaced` count joined records. `reasons` has a reason for each label that did not
    join. Its keys are the positions of these labels in the given sequence.
    """

    new: int = 0
    replaced: int = 0
    reasons: dict[int, Reason] = field(default_factory=dict)


def judgement_of(fields: Mapping[str, Any], timestamp: int) -> Judgement | None:
    """Return the judgement in the fields of a log line or a CSV row, or None if they are malformed.

    The keys of `fields` are the names in events/feedback.schema.json. An unknown `source` is
    replaced by an empty text, and the label is still used. `timestamp` is in milliseconds since
    1970.
    """
    found, label = _text(fields.get("prediction_id")), _text(fields.get("label"))
    identifier = _text(fields.get("identifier"))
    if not 0 < len(found) <= LONGEST_ID or not 0 < len(label) <= LONGEST_LABEL:
        return None
    if len(identifier) > LONGEST_IDENTIFIER:
        return None  # if identifiers were cut, two of them could become equal
    source = fields.get("source")
    return Judgement(
        found,
        label,
        timestamp,
        source if isinstance(source, str) and source in SOURCES else "",
        _text(fields.get("explanation"))[:LONGEST_EXPLANATION],
        identifier,
    )


def join(
    connection: Connection,
    store: Store,
    stack: str,
    index: str,
    several: Sequence[Given | None],
    *,
    dry: bool = False,
) -> Outcomes:
    """Join labels to their predictions, and write the joined records.

    `several` holds the labels in the order of time, and None for a malformed label. If labels have
    the same prediction and identifier, only the last of them counts. With `dry`, predictions are
    looked up, but nothing is written. Joining a label again changes nothing.
    Raises `ServerProblem`, `ReadIncomplete` and the connection's exceptions.
    """
    reasons: dict[int, Reason] = {
        at: Reason.MALFORMED for at, one in enumerate(several) if one is None
    }
    ids = {one.judgement.prediction_id for one in several if one}
    found = find(connection, stack, index, sorted(ids))
    joined: dict[str, tuple[int, Joined]] = {}
    for at, one in enumerate(several):
        if one is None:
            continue
        result = matched(one, found.get(one.judgement.prediction_id), stack)
        if isinstance(result, Reason):
            reasons[at] = result
        else:
            joined[result.key] = at, result
    outcomes = Outcomes(reasons=reasons)
    if dry:
        outcomes.new = len(joined)
        return outcomes
    said = store.put_newer(
        [(key, one.judgement.timestamp, one.document()) for key, (_, one) in joined.items()]
    )
    for (at, _), word in zip(joined.values(), said, strict=True):
        outcomes.new += word == "created"
        outcomes.replaced += word == "updated"
        if word == "superseded":
            reasons[at] = Reason.SUPERSEDED
    return outcomes


def find(
    connection: Connection, stack: str, index: str, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Find live predictions of a stack, and return their fields by the prediction's id.

    If several predictions have the same id, the id is returned with an empty dictionary. An id
    without a prediction is not returned. Raises `ReadIncomplete` and the connection's exceptions.
    """
    found: dict[str, dict[str, Any]] = {}
    for at in range(0, len(ids), IDS):
        found |= _find(connection, stack, index, ids[at : at + IDS])
    return found


def _find(
    connection: Connection, stack: str, index: str, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    most = 2 * len(ids)
    answer = searched(connection, index, _search(stack, ids, most))
    hits = answer.get("hits", {}).get("hits", [])
    if len(hits) == most and len(ids) > 1:
        # Some ids have many predictions, so predictions of other ids may be missing in the answer.
        middle = len(ids) // 2
        halves = (ids[:middle], ids[middle:])
        first, second = (_find(connection, stack, index, half) for half in halves)
        return first | second
    found: dict[str, dict[str, Any]] = {}
    for hit in hits:
        name = _text(hit["_source"].get("prediction_id"))
        found[name] = {} if name in found else hit["_source"]
    return found


def matched(one: Given, prediction: Mapping[str, Any] | None, stack: str) -> Joined | Reason:
    """Join a label to the prediction with its id, or return the reason why it does not join.

    `prediction` has the fields that `find` returns for the id. It is None if there is no such
    prediction, and empty if there are several.
    """
    if prediction is None:
        return Reason.UNKNOWN
    if not prediction:
        return Reason.AMBIGUOUS
    said, model = prediction.get("prediction"), prediction.get("model")
    predicted = _text(said.get("label")) if isinstance(said, dict) else ""
    if not predicted:
        return Reason.UNLIKE
    model = model if isinstance(model, dict) else {}
    name, log_group = _text(model.get("name")), _text(prediction.get("@log_group"))
    if (one.model and one.model != name) or (one.log_group and one.log_group != log_group):
        return Reason.OTHER
    if not _has_label(prediction, one.judgement.label):
        return Reason.LABEL
    assert isinstance(said, dict)  # for mypy: without a dict, `predicted` is empty
    return Joined(
        stream=Stream(stack, log_group, name),
        version=_text(model.get("version")) or _text(prediction.get("@function_version")),
        profile=_text(model.get("profile")),
        prediction_timestamp=milliseconds(prediction["@timestamp"]),
        predicted=predicted,
        score=_number(said.get("score")),
        judgement=one.judgement,
        calibrated=model.get("calibrated") is not False,
    )


def _has_label(prediction: Mapping[str, Any], label: str) -> bool:
    """Return false if the prediction shows that its model does not have this label.

    Only a record of this project's function can show this, because it has the probability of every
    label. (It has none if `LogText` and `LogSignals` are both false.) For any other record, the
    result is true, because such a record does not always list all labels.
    """
    shares = prediction["prediction"].get("probability")
    if "record_version" not in prediction or not isinstance(shares, dict):
        return True
    # the name of the label's field, as functions/inference/inference/label_fields.py makes it
    name = "".join(each if each.isalnum() or each in "_-" else "_" for each in label)
    return name in shares


def _search(stack: str, ids: Sequence[str], most: int) -> dict[str, Any]:
    live = [{"term": {"traffic": "live"}}, {"bool": {"must_not": {"exists": {"field": "traffic"}}}}]
    filters: list[dict[str, Any]] = [
        {"term": {"@kind": "prediction"}},
        {"term": {"@stack": stack}},
        {"terms": {"prediction_id": list(ids)}},
        {"exists": {"field": "prediction.label"}},
        {"bool": {"should": live, "minimum_should_match": 1}},
    ]
    return {
        "size": most,
        "track_total_hits": False,
        "query": {"bool": {"filter": filters}},
        "_source": list(FIELDS),
    }


def _text(value: Any) -> str:
    """Return a label or an id as the text that the index has for it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None

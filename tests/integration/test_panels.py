"""Tests every panel of the dashboards with a real OpenSearch.

The tests compute the panels' figures a second time in plain Python.
"""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from math import floor
from operator import itemgetter
from statistics import fmean
from typing import Any

import pytest
import requests
from rich.console import Console

from installer.evaluate_panel import PAGE, Span, request, rows, searches
from installer.saved_objects import SavedObject, saved_objects
from local.charts import panels
from local.cloudwatch import log_event, subscription_event
from local.stack import Stack
from tools.root import ROOT

OBJECTS = saved_objects()
ASKED = [one for one in OBJECTS if searches(one)]
RECORDS = {
    kind: json.loads((ROOT / "events" / f"record.{kind}.json").read_text())
    for kind in ("prediction", "prediction_error", "verdict", "drift", "canary")
}
# Version 1 of the records. An index may still hold such records after an upgrade.
OLD = {
    kind: json.loads((ROOT / "events" / "old" / f"record.{kind}.1.json").read_text())
    for kind in ("prediction", "prediction_error")
}
MIDNIGHT = datetime(2002, 6, 2, tzinfo=UTC)  # no other test has documents of these days
# Each day has an index, so the documents of this span are in two indices.
SPAN = (MIDNIGHT - timedelta(minutes=9), MIDNIGHT + timedelta(minutes=6))
BAR = timedelta(seconds=30)
SECONDS = 13 * 60
# Lines with a field that the index refuses.
DAMAGED = (
    {"traffic": "live", "prediction": "a text"},
    {"traffic": "live", "prediction": {"label": "first"}}
    | {f"f{number}": number for number in range(1100)},
    {"traffic": "live", "input": ["a list of texts"], "message": "prediction"},
)

Doc = dict[str, Any]
Values = tuple[Any, ...]


@dataclass(frozen=True)
class Sent:
    """The documents of the generated lines, and of the monitor.

    `began` and `ended` are the times of shipping, in milliseconds since 1970.
    """

    documents: list[Doc]
    monitor: list[Doc]
    began: int
    ended: int

    @property
    def everything(self) -> list[Doc]:
        return [*self.documents, *self.monitor]


def lines() -> Iterator[tuple[datetime, Doc]]:
    """Generate a line for every two seconds. Each call generates the same lines."""
    chance = random.Random(6)  # noqa: S311  not for a secret
    for second in range(0, SECONDS, 2):
        moment = SPAN[0] + timedelta(seconds=second + 40, milliseconds=chance.randrange(1000))
        kind = chance.choices(("prediction", "refused", "failed", "damaged"), (16, 2, 1, 1))[0]
        if kind == "damaged":
            yield moment, chance.choice(DAMAGED)
            continue
        record = copy.deepcopy(
            (OLD if second // 2 % 2 else RECORDS)[
                "prediction" if kind == "prediction" else "prediction_error"
            ]
        )
        record["traffic"] = chance.choices(("live", "canary", "test"), (8, 1, 1))[0]
        record["model"]["version"] = "aaaaaaaaaaaa" if second < SECONDS * 0.6 else "bbbbbbbbbbbb"
        record["cold_start"] = chance.random() < 0.1
        # two neighbouring lines belong to one request
        record["function_request_id"] = f"request-{second // 4}"
        if kind == "prediction":
            vary(record, second, chance)
        elif kind == "failed":
            record["error"] = {
                "type": chance.choice(("RuntimeError", "MemoryError")),
                "status": chance.choice((500, 503)),
            }
        else:
            name, status = chance.choice(
                (("field-invalid", 422), ("body-not-json", 400), ("sentence-too-long", 413))
            )
            record["error"] = {"type": name, "status": status, "field": "sentence"}
        yield moment, record


def vary(record: Doc, second: int, chance: random.Random) -> None:
    label = chance.choices(("first", "second"), (3, 1))[0]
    # Some scores are integers: a program may write 1 for a score of 1.0.
    score = 1 if second % 14 == 0 else chance.uniform(0.5, 1)
    record["prediction_id"] = f"{second % 8:02x}{second:030x}"
    record["text"] = f"sentence {chance.randrange(200)}"
    record["prediction"] = {"label": label, "score": score, "probability": {label: score}}
    flags = [
        flag for flag in ("truncated", "mostly_unknown", "other_script") if chance.random() < 0.15
    ]
    record["input"] |= {
        "flags": flags,
        "script": "cyrillic" if "other_script" in flags else "latin",
        "words": chance.randrange(3, 200),
        "hash": f"{hash_of(record['text']):016x}",
        "novelty": chance.uniform(0, 3),
    }
    record["latency_ms"] = chance.lognormvariate(1.5, 0.5)


def findings() -> Iterator[Doc]:
    """Generate documents of monitor and canary on two models, every two minutes."""
    chance = random.Random(7)  # noqa: S311  not for a secret
    for minute, model in product(range(2, 14, 2), ("one", "two")):
        moment = SPAN[0] + timedelta(minutes=minute, seconds=chance.randrange(60))
        for kind, signal in (
            ("verdict", ""),
            ("drift", "means"),
            ("drift", "label"),
            ("drift", "flags"),
            ("drift", "prediction.score"),
            ("canary", ""),
        ):
            own: Doc = {"model": model, "end": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"}
            if kind == "verdict":
                word = chance.choice(("ok", "unusual", "notice"))
                own |= {"word": word, "sentence": f"Sentence {minute}.", "rows": minute * 100}
                if word == "ok":
                    own["message"] = None
            elif kind == "canary":
                result = chance.choice(("pass", "fail"))
                own |= {"canary": RECORDS[kind]["monitor"]["canary"] | {"result": result}}
            else:
                own |= {
                    "signal": signal,
                    "part": f"part {chance.randrange(3)}",
                    "effect": chance.random(),
                    "floor": chance.random(),
                    "p": chance.random(),
                    "unusual": chance.random() < 0.4,
                }
            yield {
                "moment": moment,
                "@kind": kind,
                "@timestamp": moment.isoformat(),
                "@delay_ms": 1000 + minute,
                "@id": f"{kind} {signal} {minute} {model}",
                "monitor": RECORDS[kind]["monitor"] | own,
            }


def accuracies() -> Iterator[Doc]:
    """Generate verdicts on the known and the estimated accuracy of two versions."""
    chance = random.Random(8)  # noqa: S311  not for a secret
    for minute, version in product(range(3, 14, 2), ("one", "two")):
        moment = SPAN[0] + timedelta(minutes=minute, seconds=chance.randrange(60))
        for reference in ("labels", "profile"):
            names = ["estimated", "estimated_low", "estimated_high"]
            if reference == "labels":
                names += ["known", "known_low", "known_high", "coverage", "expected_low"]
            own: Doc = {name: chance.random() for name in names}
            if reference == "labels":
                own |= {"labelled": chance.randrange(1, 900), "random": chance.random() < 0.5}
            elif minute % 4 == 1:
                own = {}  # a window that is unlike the profile has no estimate
            found = {
                "reference": reference,
                "model": "a model",
                "version": version,
                "word": chance.choice(("ok", "notice")),
                "end": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z",
                "message": None,
                "accuracy": own or None,
            }
            yield {
                "moment": moment,
                "@kind": "verdict",
                "@timestamp": moment.isoformat(),
                "@delay_ms": 1000 + minute,
                "@id": f"{reference} {minute} {version}",
                "monitor": RECORDS["verdict"]["monitor"] | found,
            }


def hash_of(text: str) -> int:
    return int(text.rpartition(" ")[2])


@pytest.fixture(scope="module")
def sent(running: Stack) -> Iterator[Sent]:
    """Ship the lines, then read the documents by id, without a search."""
    stamped = [
        (log_event(json.dumps(record), int(moment.timestamp() * 1000)), moment, record)
        for moment, record in lines()
    ]
    began = milliseconds()
    answer = running.shipper.invoke(
        subscription_event([event for event, _, _ in stamped], "InferenceLogGroup")
    )
    ended = milliseconds()
    assert answer["indexed"] + answer["rescued"] == len(stamped)
    assert answer["rescued"] == sum(record in DAMAGED for _, _, record in stamped)
    said = [*findings(), *accuracies()]
    for doc in said:
        place = f"{running.opensearch_url}/cwl-{doc['moment']:%Y.%m.%d}/_doc"
        document = {name: value for name, value in doc.items() if name != "moment"}
        requests.post(place, json=document, timeout=30).raise_for_status()
    requests.post(f"{running.opensearch_url}/cwl-*2002.*/_refresh", timeout=30).raise_for_status()
    asked = [
        {"_index": f"cwl-{part}{moment:%Y.%m.%d}", "_id": event["id"]}
        for event, moment, _ in stamped
        for part in ("", "log-")
    ]
    found = requests.post(
        f"{running.opensearch_url}/_mget", json={"docs": asked}, timeout=30
    ).json()["docs"]
    found = [one for one in found if one.get("found")]
    yield Sent(
        [
            one["_source"] | {"moment": moment}
            for one, (_, moment, _) in zip(found, stamped, strict=True)
        ],
        said,
        began,
        ended,
    )
    requests.delete(f"{running.opensearch_url}/cwl-*2002.*", timeout=30).raise_for_status()


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def ask(running: Stack, panel: SavedObject, span: Span = SPAN) -> dict[str, Any]:
    return running.answer(request(panel, OBJECTS, span))


# The functions below define the panels a second time, for `EXPECTED`: the documents that a panel
# counts, the keys by which it groups the documents, and the values of each group.


def slot(doc: Doc) -> list[Any]:
    moment: datetime = doc["moment"]
    return [moment - timedelta(seconds=moment.second % 30, microseconds=moment.microsecond)]


def label(doc: Doc) -> list[Any]:
    return inner("prediction", "label")(doc)


def bin_of_score(doc: Doc) -> list[Any]:
    singles = [as_single(score) for score in inner("prediction", "score")(doc)]
    edges = [0.0, *(0.5 + at / 20 for at in range(11))]
    return [f"{max(edge for edge in edges if as_single(edge) <= single):.2f}" for single in singles]


def as_single(value: float) -> float:
    """Return the value as a 32-bit float, as the index holds it."""
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single


def live(doc: Doc) -> bool:
    return str(doc.get("traffic", "live")) == "live"


def predicted(doc: Doc) -> bool:
    return live(doc) and doc["@kind"] == "prediction" and bool(label(doc))


def failed(lowest: int, highest: int) -> Callable[[Doc], bool]:
    return lambda doc: (
        live(doc) and int(doc.get("error", {}).get("status", 0)) in range(lowest, highest + 1)
    )


def shipped(doc: Doc) -> bool:
    return live(doc)


def rescued(doc: Doc) -> bool:
    return live(doc) and "@rescued" in doc


def inner(*names: str) -> Callable[[Doc], list[Any]]:
    def values(doc: Doc) -> list[Any]:
        found: Any = doc
        for name in names:
            if not isinstance(found, dict) or name not in found:
                return []  # the line was rescued without this field
            found = found[name]
        return found if isinstance(found, list) else [found]

    return values


def count(docs: list[Doc]) -> Values:
    return (len(docs),)


def distinct(docs: list[Doc]) -> Values:
    return len(docs), len({each for doc in docs for each in inner("input", "hash")(doc)})


def status(doc: Doc) -> list[str]:
    return [str(one) if one in {500, 503} else "other 5xx" for one in inner("error", "status")(doc)]


def reason(doc: Doc) -> list[str]:
    names = {
        "mapper_parsing_exception": "refused by the mapping",
        "not sent whole": "not sent whole",
    }
    return [names.get(one, "other reasons") for one in inner("@rescued", "type")(doc)]


def failure(doc: Doc) -> list[str]:
    return ["Rescued documents" if rescued(doc) else "Failed requests (5xx)"]


def starts(docs: list[Doc]) -> Values:
    return (len({doc["function_request_id"] for doc in docs}),)


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of small groups.

    A percentile must lie between two values near its rank, because OpenSearch interpolates in its
    own way.
    """

    field: Callable[[Doc], list[Any]]
    percents: tuple[int, ...]

    def check(self, docs: list[Doc], found: Values) -> None:
        values = sorted(float(each) for doc in docs for each in self.field(doc))
        assert len(found) == len(self.percents)
        if not values:
            assert set(found) == {None}
            return
        for percent, value in zip(self.percents, found, strict=True):
            rank = percent / 100 * (len(values) - 1)
            low, high = (
                values[max(0, floor(rank) - 1)],
                values[min(len(values) - 1, floor(rank) + 2)],
            )
            assert low - 1e-6 <= value <= high + 1e-6, (percent, value, values)


Keys = tuple[Callable[[Doc], list[Any]], ...]


def said(kind: str, reference: str = "baseline") -> Callable[[Doc], bool]:
    return lambda doc: (
        doc.get("@kind") == kind
        and doc["monitor"].get("reference", reference if kind == "canary" else "") == reference
    )


def estimated(doc: Doc) -> bool:
    return said("verdict", "profile")(doc) and bool(doc["monitor"]["accuracy"])


def sampled(doc: Doc) -> list[str]:
    return ["Random sample" if doc["monitor"]["accuracy"]["random"] else "No random sample"]


def mean_accuracy(*names: str) -> Callable[[list[Doc]], Values]:
    def values(docs: list[Doc]) -> Values:
        said = [doc["monitor"]["accuracy"] for doc in docs]
        return tuple(fmean(as_single(one[name]) for one in said) for name in names)

    return values


def newest_accuracy(docs: list[Doc]) -> Values:
    one = max(docs, key=lambda doc: str(doc["monitor"]["end"]))["monitor"]
    names = (
        "known", "known_low", "known_high", "labelled", "random", "coverage", "estimated",
        "expected_low",
    )  # fmt: skip
    return (*(one["accuracy"][name] for name in names), one["word"])


def called(doc: Doc) -> list[str]:
    names = {"notice": "Notices", "unusual": "Unusual windows", "fail": "Canary failures"}
    words = inner("monitor", "word" if said("verdict")(doc) else "canary")(doc)
    words = [word["result"] if isinstance(word, dict) else word for word in words]
    return [names[word] for word in words if word in names]


def newest(*names: str) -> Callable[[list[Doc]], Values]:
    def values(docs: list[Doc]) -> Values:
        one = max(docs, key=lambda doc: str(doc["monitor"]["end"]))["monitor"]
        return tuple(one[name] for name in names)

    return values


def largest_effect(docs: list[Doc]) -> Values:
    return (max(as_single(doc["monitor"]["effect"]) for doc in docs),)


def effect_and_floor(docs: list[Doc]) -> Values:
    return (*largest_effect(docs), max(as_single(doc["monitor"]["floor"]) for doc in docs))


def moved(signal: str) -> Callable[[Doc], bool]:
    return lambda doc: said("drift")(doc) and doc["monitor"]["signal"] == signal


def novelty_of(docs: list[Doc]) -> float:
    return max(float(doc["input"]["novelty"]) for doc in docs)


class StrangestText:
    """The highest novelty of a text, and the other fields from any document with this text.

    The panel takes these fields from the newest document of an index. There are two indices, so the
    fields may come from either of two documents.
    """

    def check(self, docs: list[Doc], found: Values) -> None:
        novelty, *shown = found
        assert novelty == as_single(novelty_of(docs))
        assert shown in [
            [doc["text"], doc["prediction"]["label"], doc["prediction"]["score"]] for doc in docs
        ]


def mean_score(docs: list[Doc]) -> Values:
    return (fmean(as_single(doc["prediction"]["score"]) for doc in docs),)


# For each panel: the documents, the keys, and the values.
EXPECTED: dict[
    str,
    tuple[Callable[[Doc], bool], Keys, Callable[[list[Doc]], Values] | Percentiles | StrangestText],
] = {
    "label-counts": (predicted, (label, label), count),
    "label-share": (predicted, (slot, label), count),
    "score-histogram": (predicted, (label, bin_of_score), count),
    "score-percentiles": (
        predicted,
        (slot,),
        Percentiles(inner("prediction", "score"), (5, 25, 50)),
    ),
    "flags": (predicted, (slot, inner("input", "flags")), count),
    "scripts": (predicted, (slot, inner("input", "script")), count),
    "refused": (failed(400, 499), (slot, inner("error", "type")), count),
    "length": (predicted, (slot,), Percentiles(inner("input", "words"), (5, 50, 95))),
    "duplicates": (predicted, (slot,), distinct),
    "model-versions": (predicted, (slot, inner("model", "version")), count),
    "latency": (predicted, (slot,), Percentiles(inner("latency_ms"), (50, 95, 99))),
    "cold-starts": (lambda doc: live(doc) and bool(doc.get("cold_start")), (slot,), starts),
    "errors": (failed(500, 599), (slot, status), count),
    "rescued": (rescued, (slot, reason), count),
    "verdicts": (
        said("verdict"),
        (inner("monitor", "log_group"), inner("monitor", "model")),
        newest("word", "sentence", "rows", "end"),
    ),
    "usual-and-now": (
        said("drift"),
        (inner("monitor", "signal"), inner("monitor", "model")),
        newest("part", "expected", "value", "effect", "floor", "p", "unusual"),
    ),
    "notices": (lambda doc: said("verdict")(doc) or said("canary")(doc), (called,), count),
    "verdicts-over-time": (said("verdict"), (slot, inner("monitor", "word")), count),
    "effects": (said("drift"), (slot, inner("monitor", "signal")), largest_effect),
    "means-floor": (moved("means"), (slot,), effect_and_floor),
    "labels-floor": (moved("label"), (slot,), effect_and_floor),
    "scores-floor": (moved("prediction.score"), (slot,), effect_and_floor),
    "canary-over-time": (said("canary"), (slot, inner("monitor", "canary", "result")), count),
    "unusual-signals": (
        lambda doc: said("drift")(doc) and doc["monitor"]["unusual"],
        (slot, inner("monitor", "signal")),
        count,
    ),
    "moved": (
        said("drift"),
        (inner("monitor", "signal"), inner("monitor", "part")),
        lambda docs: (*count(docs), *largest_effect(docs)),
    ),
    "failures": (lambda doc: failed(500, 599)(doc) or rescued(doc), (failure,), count),
    "strangest-texts": (predicted, (inner("input", "hash"),), StrangestText()),
    "estimated-accuracy": (predicted, (slot,), mean_score),
    "known-accuracy": (
        said("verdict", "labels"),
        (inner("monitor", "model"), inner("monitor", "version")),
        newest_accuracy,
    ),
    "known-accuracy-over-time": (
        said("verdict", "labels"),
        (slot, sampled),
        mean_accuracy("known_low", "known", "known_high"),
    ),
    "estimated-accuracy-over-time": (
        estimated,
        (slot,),
        mean_accuracy("estimated_low", "estimated", "estimated_high"),
    ),
    "delay": (shipped, (slot,), Percentiles(inner("@delay_ms"), (50, 95, 99))),
    "kinds": (shipped, (slot, inner("@kind")), count),
}


@pytest.mark.parametrize(
    "panel", [one for one in ASKED if one.type == "visualization"], ids=lambda one: one.id
)
def test_a_panel_shows_the_figures_that_plain_python_computes(
    panel: SavedObject, running: Stack, sent: Sent
) -> None:
    wanted, keys, value = EXPECTED[panel.id.removeprefix("prediction-monitor-")]
    groups: dict[Values, list[Doc]] = {}
    for doc in filter(wanted, sent.everything):
        for each in product(*(key(doc) for key in keys)):
            groups.setdefault(each, []).append(doc)

    answer = ask(running, panel)
    found = {row[: len(keys)]: row[len(keys) :] for row in rows(panel, answer, SPAN)}
    empty = ({0}, {None})  # the values of a group without documents
    found = {key: row for key, row in found.items() if key in groups or set(row) not in empty}

    assert answer["_shards"]["failed"] == 0
    if isinstance(value, StrangestText):  # the panel shows only ten texts
        strangest = sorted(groups, key=lambda each: -novelty_of(groups[each]))[:10]
        groups = {each: groups[each] for each in strangest}

    assert len(found) > 1
    assert sorted(found) == sorted(groups)
    for each, docs in groups.items():
        if isinstance(value, Percentiles | StrangestText):
            value.check(docs, found[each])
        else:
            assert found[each] == pytest.approx(value(docs)), each


def test_the_traffic_has_all_cases_that_the_panels_distinguish(sent: Sent) -> None:
    predictions = [doc for doc in sent.documents if predicted(doc)]
    assert {doc["traffic"] for doc in sent.documents if "traffic" in doc} == {
        "live",
        "canary",
        "test",
    }
    assert {key for doc in predictions for key in label(doc)} == {"first", "second"}
    assert sum(inner("prediction", "score")(doc) == [1] for doc in predictions) > 10
    assert {doc["@rescued"]["type"] for doc in sent.documents if rescued(doc)} == {
        "mapper_parsing_exception",
        "not sent whole",
    }
    assert len({each for doc in predictions for each in inner("input", "hash")(doc)}) < len(
        predictions
    )
    assert len({doc["moment"].date() for doc in sent.documents}) == 2
    for doc in sent.documents:
        age = [
            moment - int(doc["moment"].timestamp() * 1000) for moment in (sent.began, sent.ended)
        ]
        assert age[0] <= doc["@delay_ms"] <= age[1]


# For each saved search: the documents, their sort value, and whether the order is descending.
SEARCHES: dict[str, tuple[Callable[[Doc], bool], Callable[[Doc], Any], bool]] = {
    "datatable": (predicted, itemgetter("moment"), True),
    "low-confidence": (
        lambda doc: (
            predicted(doc) and any(score < 0.6 for score in inner("prediction", "score")(doc))
        ),
        lambda doc: doc["prediction"]["score"],
        False,
    ),
    "strangest": (
        lambda doc: predicted(doc) and bool(inner("input", "novelty")(doc)),
        lambda doc: doc["input"]["novelty"],
        True,
    ),
    "random-sample": (
        lambda doc: predicted(doc) and doc["prediction_id"].startswith("00"),
        itemgetter("moment"),
        True,
    ),
    "rescued-documents": (rescued, itemgetter("moment"), True),
    "verdict-reasons": (said("verdict"), itemgetter("moment"), True),
    "canary-results": (said("canary"), itemgetter("moment"), True),
    "messages": (
        lambda doc: said("verdict")(doc) and bool(doc["monitor"]["message"]),
        itemgetter("moment"),
        True,
    ),
}


@pytest.mark.parametrize(
    "search", [one for one in OBJECTS if one.type == "search"], ids=lambda one: one.id
)
def test_a_saved_search_lists_its_documents_in_order(
    search: SavedObject, running: Stack, sent: Sent
) -> None:
    wanted, order, falling = SEARCHES[search.id.removeprefix("prediction-monitor-")]
    expected = sorted(filter(wanted, sent.everything), key=order, reverse=falling)
    answer = ask(running, search)
    assert 1 < len(expected) == answer["hits"]["total"]["value"] <= PAGE
    assert [hit["_source"]["@id"] for hit in answer["hits"]["hits"]] == [
        doc["@id"] for doc in expected
    ]


@pytest.mark.parametrize(
    "panel",
    ASKED,
    ids=lambda one: one.id,
)
def test_a_panel_is_empty_for_a_time_without_documents(
    panel: SavedObject, running: Stack, sent: Sent
) -> None:
    before = (SPAN[0] - timedelta(days=365), SPAN[0] - timedelta(days=364))
    answer = ask(running, panel, before)
    assert answer["hits"]["total"]["value"] == 0
    assert panel.type == "search" or not [
        row
        for row in rows(panel, answer)
        if row[-1] != 0  # a panel with filters shows 0 for each filter
    ]


def test_a_record_of_an_untrusted_log_group_is_on_no_panel(running: Stack) -> None:
    """The shipper sets the field `@kind` of such a record to `log`, so the panels leave it out.

    Documents without `@kind` are from earlier versions of the shipper, and are on the panels.
    """
    noon = datetime(2002, 6, 16, 12, tzinfo=UTC)
    record = RECORDS["prediction"] | {"prediction": {"label": "first", "score": 0.55}}
    forged = [
        log_event(f"text before {json.dumps(record)}", int(noon.timestamp() * 1000))
        for _ in range(50)
    ]
    assert running.shipper.invoke(subscription_event(forged, "SomebodysGroup"))["indexed"] == 50
    span = (noon - timedelta(minutes=5), noon + timedelta(minutes=5))
    url = f"{running.opensearch_url}/cwl-*2002.06.16"
    requests.post(f"{url}/_refresh", timeout=30).raise_for_status()
    # The panel of failures is left out, because it also counts rescued documents of every kind.
    asked = [
        one for one in ASKED if "@kind:prediction" in str(one.attributes["kibanaSavedObjectMeta"])
    ]
    assert len(asked) >= 15
    for kind, expected in ((None, 0), ("prediction", 1), ("log", 1), ("history", 2)):
        if kind:
            document = (
                record
                | {"@timestamp": noon.isoformat()}
                | ({} if kind == "history" else {"@kind": kind})
            )
            place = f"{running.opensearch_url}/cwl-2002.06.16/_doc?refresh=true"
            requests.post(place, json=document, timeout=30).raise_for_status()
        table = next(one for one in asked if one.id == "prediction-monitor-datatable")
        assert ask(running, table, span)["hits"]["total"]["value"] == expected, kind
        if kind is None:
            assert {one.id: ask(running, one, span)["hits"]["total"]["value"] for one in asked} == {
                one.id: 0 for one in asked
            }
    requests.delete(url, timeout=30).raise_for_status()


def test_predictions_of_the_same_millisecond_are_listed_from_last_to_first(running: Stack) -> None:
    noon = datetime(2002, 6, 17, 12, tzinfo=UTC)
    records = [RECORDS["prediction"] | {"text": f"sentence {number}"} for number in range(50)]
    events = [log_event(json.dumps(record), int(noon.timestamp() * 1000)) for record in records]
    running.shipper.invoke(subscription_event(events, "InferenceLogGroup"))
    url = f"{running.opensearch_url}/cwl-2002.06.17"
    requests.post(f"{url}/_refresh", timeout=30).raise_for_status()
    table = next(one for one in OBJECTS if one.id == "prediction-monitor-datatable")
    answer = ask(running, table, (noon - timedelta(minutes=5), noon + timedelta(minutes=5)))
    requests.delete(url, timeout=30).raise_for_status()
    assert [hit["_source"]["text"] for hit in answer["hits"]["hits"]] == [
        one["text"] for one in reversed(records)
    ]


def test_the_terminal_shows_the_right_counts_of_labels_and_flags(
    running: Stack, sent: Sent
) -> None:
    page = Console(width=80, file=io.StringIO())
    page.print(panels(running.answer, SPAN[1]))
    assert isinstance(page.file, io.StringIO)
    text = page.file.getvalue()
    predictions = [doc for doc in sent.documents if predicted(doc) and label(doc)]
    for name in ("first", "second"):
        of_label = sum(label(doc) == [name] for doc in predictions)
        assert (
            len(
                [
                    line
                    for line in text.splitlines()
                    if f" {name} " in line and line.rstrip().endswith(f" {of_label}")
                ]
            )
            == 1
        )
        assert f"{of_label / len(predictions):.0%}" in text
    for flag in ("truncated", "mostly_unknown", "other_script"):
        [line] = [line for line in text.splitlines() if f" {flag} " in line]
        assert line.rstrip().endswith(
            f" {sum(flag in inner('input', 'flags')(doc) for doc in predictions)}"
        )


def test_difficult_documents_are_indexed_and_the_average_score_is_right(
    running: Stack,
) -> None:
    noon = datetime(2002, 6, 9, 12, tzinfo=UTC)
    first, long = copy.deepcopy(RECORDS["prediction"]), copy.deepcopy(RECORDS["prediction"])
    # Without the index template, the score 1 would make `score` a field of whole numbers. The later
    # score 0.98 would then be indexed as 0.
    first["prediction"]["score"] = 1
    long["prediction"] |= {"label": "x" * 40_000, "score": 0.98}
    hard = [first, {"prediction": "text"}, {f"f{number}": number for number in range(5000)}, long]
    last = copy.deepcopy(RECORDS["prediction"])
    last["prediction"]["score"] = 0.5
    events = [
        log_event(json.dumps(record), int(noon.timestamp() * 1000) + at)
        for at, record in enumerate([*hard, last])
    ]
    url = f"{running.opensearch_url}/cwl-*2002.06.09"

    # The events are shipped one after the other.
    answers = [
        running.shipper.invoke(subscription_event([event], "InferenceLogGroup")) for event in events
    ]
    requests.post(f"{url}/_refresh", timeout=30).raise_for_status()

    assert [answer["rescued"] for answer in answers] == [0, 1, 1, 0, 0]
    query = {
        "size": 10,
        "sort": ["@timestamp"],
        "aggs": {"score": {"avg": {"field": "prediction.score"}}},
    }
    found = requests.post(f"{url}/_search", json=query, timeout=30).json()
    requests.delete(url, timeout=30).raise_for_status()
    assert [hit["_source"]["@id"] for hit in found["hits"]["hits"]] == [
        event["id"] for event in events
    ]
    assert ["@rescued" in hit["_source"] for hit in found["hits"]["hits"]] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert found["aggregations"]["score"]["value"] == pytest.approx((1 + 0.98 + 0.5) / 3)

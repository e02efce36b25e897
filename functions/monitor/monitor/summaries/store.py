"""The monitor's own index, one for each stack.

Two kinds of documents are kept for 400 days: the summaries of slots (quarters of an hour), and
joined records, each of which has a right label and its prediction. The monitor never deletes
documents of any other kind, such as accepted baselines and decisions.

The mapping names the fields that are searched. Other fields are stored, but not indexed. The id of
a document is made from its subject, for example from stream and slot. So a document that is written
twice is in the index once. A baseline, a decision or a state is written only if no other process
wrote it in the meantime.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from opensearchpy.exceptions import ConflictError, NotFoundError, TransportError

from monitor.opensearch_problem import ServerProblem, sentence
from monitor.summaries.read_summaries import Connection
from monitor.summaries.summary import (
    Moments,
    Stream,
    Summary,
    UnknownSummary,
    from_document,
    to_document,
)
from monitor.summaries.windows import DAY

KEPT: Final = 400 * DAY  # seconds for which summaries and joined records are kept
PAGE: Final = 500  # documents in one answer; a document has about 6 kB
CHUNK: Final = 200  # summaries in one request
SECONDS: Final = 30  # the timeout of one request
CONFLICT: Final = 409  # OpenSearch's status if the index has a newer version of the document
SCORE: Final = "prediction.score"
REPLICAS: Final = "index.auto_expand_replicas"
# A domain in three zones (Multi-AZ with Standby) accepts an index only if the index's number of
# copies is a multiple of the number of zones. A refusal has this text with the number of zones.
COPIES: Final = re.compile(r"multiple of total awareness attributes \[(\d+)\]")
KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}
MAPPING: Final[dict[str, Any]] = {
    "dynamic": False,
    "properties": {
        "kind": KEYWORD,
        "key": KEYWORD,
        "@timestamp": {"type": "date"},
        "stack": KEYWORD,
        "log_group": KEYWORD,
        "model": {"properties": {"name": KEYWORD, "version": KEYWORD, "profile": KEYWORD}},
        "start": {"type": "long"},
        "rows": {"type": "long"},
        "number": {"type": "long"},
        "prediction_id": KEYWORD,
        "feedback": {
            "properties": {
                "label": KEYWORD,
                "predicted": KEYWORD,
                "correct": {"type": "boolean"},
                "score": {"type": "double"},
                "prediction_timestamp": {"type": "date"},
                "timestamp": {"type": "date"},
                "source": KEYWORD,
                "explanation": {"type": "text", "norms": False},
                "identifier": KEYWORD,
            }
        },
    },
}


class Kind(StrEnum):
    """The kind of a document in the index."""

    SUMMARY = "summary"
    BASELINE = "baseline"
    DECISION = "decision"
    STATE = "state"
    SILENCE = "silence"
    FEEDBACK = "feedback"  # a joined record (joined_record.py)
    LEDGER = "feedback_ledger"  # says which feedback was already read (gather_feedback.py)


class Conflict(Exception):
    """Another process wrote the same document in the meantime. The text is one sentence."""


@dataclass(frozen=True, slots=True)
class Found:
    """A document and its version: the pair (sequence number, primary term) of OpenSearch.

    A conditional write needs the version.
    """

    source: dict[str, Any]
    version: tuple[int, int]


class Store:
    """The documents of one stack in one index.

    Every method raises `ServerProblem` if OpenSearch fails.
    """

    def __init__(self, connection: Connection, index: str, stack: str) -> None:
        self._connection = connection
        self._index = index
        self._stack = stack
        self._there = False

    def summaries(self, stream: Stream, start: int, end: int) -> list[Summary]:
        """Return the stream's summaries that begin at `start` or later, but before `end`.

        The summaries are in the order of time. Summaries in an unknown format are left out.
        """
        found = []
        for hit in self._hits(Kind.SUMMARY, stream, span=(start, end)):
            try:
                found.append(from_document(hit.source))
            except UnknownSummary:
                continue
        return found

    def counts(self, stream: Stream, start: int, end: int) -> dict[int, int]:
        """Return the number of predictions in each slot, by the start of the slot.

        A slot has a summary for each version. The numbers of these summaries are added.
        """
        counts: dict[int, int] = {}
        for hit in self._hits(Kind.SUMMARY, stream, span=(start, end), fields=["start", "rows"]):
            at = int(hit.source["start"])
            counts[at] = counts.get(at, 0) + int(hit.source["rows"])
        return counts

    def put_summaries(self, summaries: Sequence[Summary]) -> None:
        """Write these summaries. Earlier summaries of the same slots and versions are replaced."""
        for at in range(0, len(summaries), CHUNK):
            lines = []
            for summary in summaries[at : at + CHUNK]:
                key = summary_key(summary)
                document = {"kind": Kind.SUMMARY, "key": key, **to_document(summary)}
                lines += [
                    json.dumps({"index": {"_id": key}}),
                    json.dumps(document, allow_nan=False),
                ]
            answer = self._ask("POST", "_bulk?refresh=true", ("\n".join(lines) + "\n").encode())
            if answer["errors"]:
                failed = [
                    item["index"] for item in answer["items"] if item["index"]["status"] >= 300
                ]
                kind = failed[0]["error"]["type"]
                raise ServerProblem(
                    f"OpenSearch refused {len(failed)} summaries ({kind}):"
                    f" look at the index {self._index}"
                )

    def put_newer(self, several: Sequence[tuple[str, int, Mapping[str, Any]]]) -> list[str]:
        """Write each document unless the index has it with a higher version.

        `several` has triples of id, version (a positive number) and document. Returns `created`,
        `updated` or `superseded` (not written) for each of them. A document that is written again
        with the same version is `updated`.
        """
        said: list[str] = []
        for at in range(0, len(several), PAGE):
            lines = []
            for key, version, document in several[at : at + PAGE]:
                action = {"_id": key, "version": version, "version_type": "external_gte"}
                lines += [
                    json.dumps({"index": action}),
                    json.dumps(document, allow_nan=False),
                ]
            answer = self._ask("POST", "_bulk?refresh=true", ("\n".join(lines) + "\n").encode())
            for item in answer["items"]:
                one = item["index"]
                if one["status"] >= 300 and one["status"] != CONFLICT:
                    raise ServerProblem(
                        f"OpenSearch refused a joined record ({one['error']['type']}):"
                        f" look at the index {self._index}"
                    )
                said.append("superseded" if one["status"] == CONFLICT else one["result"])
        return said

    def ledger(self) -> Found | None:
        """Return the stack's ledger of feedback, or None if there is none yet."""
        return next(iter(self._hits(Kind.LEDGER)), None)

    def put_ledger(self, content: Mapping[str, Any], version: tuple[int, int] | None) -> None:
        """Write the ledger. Raises `Conflict`.

        `version` is the version of the ledger that was read, or None if there was no ledger.
        """
        key = str(Kind.LEDGER)
        self._write(_path(key, version), Kind.LEDGER, key, Stream(self._stack, "", ""), content)

    def expire(self, now: float) -> None:
        """Delete summaries and joined records older than 400 days."""
        terms: list[dict[str, Any]] = [
            {"terms": {"kind": [Kind.SUMMARY, Kind.FEEDBACK]}},
            {"term": {"stack": self._stack}},
        ]
        old = {"range": {"start": {"lt": int(now) - KEPT}}}
        body = {"query": {"bool": {"filter": [*terms, old]}}}
        self._ask(
            "POST",
            "_delete_by_query?conflicts=proceed&ignore_unavailable=true",
            json.dumps(body).encode(),
        )

    def documents(
        self, kind: Kind, stream: Stream | None = None, number: int | None = None
    ) -> list[Found]:
        """Return all documents of a kind, in the order of their numbers.

        If `stream` or `number` is given, only documents of this stream or number are returned.
        """
        hits = self._hits(kind, stream, number=number)
        return sorted(hits, key=lambda hit: int(hit.source.get("number", 0)))

    def between(self, kind: Kind, stream: Stream, start: int, end: int) -> Iterator[Found]:
        """Yield the stream's documents of a kind that begin in a span, in the order of time.

        The span includes `start` but not `end`, both in seconds since 1970.
        """
        yield from self._hits(kind, stream, span=(start, end))

    def aggregate(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the aggregations of a search. They are empty if there is no index yet."""
        path = "_search?allow_partial_search_results=false"
        try:
            answer = self._request("POST", path, json.dumps(body).encode())
        except NotFoundError:
            return {}
        return dict(answer.get("aggregations", {}))

    def scores(self, stream: Stream, start: int, end: int) -> dict[str, Moments]:
        """Return the number of a stream's scores, their sum, and the sum of squares, by version.

        Only summaries that begin at `start` or later, but before `end`, are added.
        """
        found: dict[str, Moments] = {}
        path = f"numbers.moments.{SCORE}"
        for hit in self._hits(
            Kind.SUMMARY, stream, span=(start, end), fields=["model.version", path]
        ):
            one = hit.source.get("numbers", {}).get("moments", {}).get(SCORE)
            if one:
                version = str(hit.source["model"]["version"])
                added = Moments(int(one[0]), float(one[1]), float(one[2]))
                found[version] = found.get(version, Moments()) + added
        return found

    def create(self, kind: Kind, stream: Stream, number: int, content: Mapping[str, Any]) -> None:
        """Add a numbered document. Raises `Conflict` if the number is already used."""
        key = f"{kind}-{_digest(stream)}-{number:06d}"
        self._write(f"_create/{key}", kind, key, stream, {**content, "number": number})

    def put_state(
        self, stream: Stream, content: Mapping[str, Any], version: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Write the state of a stream, and return its new version. Raises `Conflict`.

        `version` is the version of the state that was read, or None if there was no state.
        """
        key = f"{Kind.STATE}-{_digest(stream)}"
        return self._write(_path(key, version), Kind.STATE, key, stream, content)

    def _write(
        self, path: str, kind: Kind, key: str, stream: Stream, content: Mapping[str, Any]
    ) -> tuple[int, int]:
        whole = {
            **content,
            "kind": kind,
            "key": key,
            "stack": stream.stack,
            "log_group": stream.log_group,
        }
        whole["model"] = {**content.get("model", {}), "name": stream.model}
        body = json.dumps(whole, allow_nan=False).encode()
        between = "&" if "?" in path else "?"
        try:
            written = self._ask("POST", f"{path}{between}refresh=true", body)
        except ConflictError:
            raise Conflict(
                f"another process wrote {kind} {key} meanwhile: nothing was changed, run this again"
            ) from None
        return written["_seq_no"], written["_primary_term"]

    def _hits(
        self,
        kind: Kind,
        stream: Stream | None = None,
        *,
        span: tuple[int, int] | None = None,
        number: int | None = None,
        fields: list[str] | None = None,
    ) -> Iterator[Found]:
        filters: list[dict[str, Any]] = [{"term": {"kind": kind}}, {"term": {"stack": self._stack}}]
        if stream:
            filters += [
                {"term": {"log_group": stream.log_group}},
                {"term": {"model.name": stream.model}},
            ]
        if number is not None:
            filters.append({"term": {"number": number}})
        if span:
            filters.append({"range": {"start": {"gte": span[0], "lt": span[1]}}})
        body: dict[str, Any] = {
            "size": PAGE,
            "query": {"bool": {"filter": filters}},
            "sort": [{"start": {"order": "asc", "missing": 0}}, "key"],
            "seq_no_primary_term": True,
        }
        if fields:
            body["_source"] = fields
        while True:
            hits = self._search(body)
            for hit in hits:
                yield Found(hit["_source"], (hit["_seq_no"], hit["_primary_term"]))
            if len(hits) < PAGE:
                return
            body["search_after"] = hits[-1]["sort"]

    def _search(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = self._request(
                "POST", "_search?allow_partial_search_results=false", json.dumps(body).encode()
            )
        except NotFoundError:
            return []  # the index does not exist until the first write
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    def _ask(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """Send a request that writes. Before the first such request, create the index."""
        if not self._there:
            self._create_index("0-1")
            self._there = True
        return self._request(method, path, body)

    def _create_index(self, replicas: str) -> None:
        settings = {"index.number_of_shards": 1, REPLICAS: replicas}
        body = json.dumps({"settings": settings, "mappings": MAPPING}).encode()
        try:
            self._connection.perform_request("PUT", f"/{self._index}", body=body, timeout=SECONDS)
        except TransportError as problem:
            if problem.error == "resource_already_exists_exception":
                # An earlier version of this program may have made the index with fewer fields.
                self._request("PUT", "_mapping", json.dumps(MAPPING).encode())
                return
            counted = (
                COPIES.search(json.dumps(problem.info, default=str))
                if problem.status_code == 400
                else None
            )
            if counted and replicas == "0-1":
                self._create_index(f"0-{int(counted[1]) - 1}")
                return
            raise ServerProblem(sentence(problem)) from None

    def _request(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        try:
            _, _, text = self._connection.perform_request(
                method, f"/{self._index}/{path}", body=body, timeout=SECONDS
            )
        except (ConflictError, NotFoundError):
            raise
        except TransportError as problem:
            raise ServerProblem(sentence(problem)) from None
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError:
            raise ServerProblem(
                "OpenSearch answered, but not with JSON: check the address"
            ) from None
        return answer


def _path(key: str, version: tuple[int, int] | None) -> str:
    """Return the path of a request that writes a document only if its version has not changed."""
    if version is None:
        return f"_create/{key}"
    return f"_doc/{key}?if_seq_no={version[0]}&if_primary_term={version[1]}"


def summary_key(summary: Summary) -> str:
    """Return the id of a summary, which differs for each stream, version, profile and slot."""
    digest = _digest(summary.stream, summary.version, summary.profile)
    return f"{Kind.SUMMARY}-{digest}-{summary.start}"


def _digest(stream: Stream, *more: str) -> str:
    text = json.dumps([stream.stack, stream.log_group, stream.model, *more])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stream_of(source: Mapping[str, Any]) -> Stream:
    """Return the stream to which a document belongs."""
    return Stream(source["stack"], source["log_group"], source["model"]["name"])

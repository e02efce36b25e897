"""The commands `review` and `accuracy`.

`review` writes predictions into a CSV file, so that a person can label them; the command `feedback`
reads the file when its labels are filled in. `accuracy` prints the accuracy that follows from
labels.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from opensearchpy.exceptions import TransportError

from monitor.accuracy.intervals import Labelled
from monitor.accuracy.labelled_predictions import SPAN, labelled_body, parse_labelled
from monitor.baseline_commands import Context, Refused
from monitor.opensearch_problem import ServerProblem, sentence
from monitor.printable import plain
from monitor.scheduled_run import name
from monitor.summaries.searches import of_stream
from monitor.summaries.summary import SLOT, Stream
from monitor.summaries.windows import DAY

COLUMNS: Final = ("prediction_id", "label", "source", "text", "predicted", "score")
FIELDS: Final = ["prediction_id", "text", "prediction.label", "prediction.score"]
SECONDS: Final = 60  # the timeout of a search
# A spreadsheet treats a text with one of these first characters as a formula.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Row = dict[str, Any]


def review_command(context: Context) -> int:
    """Run `review`: write a random sample and the least certain predictions into a CSV file."""
    options = context.options
    now = int(time.time())
    span = (now - options.days * DAY, now)
    rows: dict[str, Row] = {}
    for stream in context.streams(*span):
        for row in _rows(context, stream, span):
            rows.setdefault(row["prediction_id"], row)
    if not rows:
        raise Refused(f"no prediction of the last {options.days} days has a prediction_id")
    try:
        with Path(options.file).open("x", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows.values())
    except FileExistsError:
        raise Refused(f"{options.file} is already there: give another name") from None
    except OSError as problem:
        raise Refused(f"{options.file} cannot be written ({problem.strerror})") from None
    random = sum(row["source"] == "audit" for row in rows.values())
    print(
        f"{options.file}: a random sample of {random} predictions (source: audit), and the "
        f"{len(rows) - random} least certain of the other predictions (source: human)."
    )
    print(
        "Fill in the column label. Label the rows of the random sample in their order and skip "
        "none, because rows that you choose are not random. You can stop after any row. Then give "
        'the file to the command "feedback".'
    )
    return 0


def accuracy_command(context: Context) -> int:
    """Run `accuracy`: print the accuracy of each version.

    Only labels of predictions of the last thirty days are counted.
    """
    end = int(time.time()) // SLOT * SLOT
    span = (end - SPAN, end)
    for stream in context.streams(*span):
        found = parse_labelled(context.store.aggregate(labelled_body(stream, *span)))
        print(plain(name(stream)))
        if not found:
            print("  no prediction of the last thirty days has a label")
        for version, labelled in sorted(found.items()):
            for line in described(version, labelled):
                print(f"  {plain(line)}")
    return 0


def described(version: str, labelled: Labelled) -> Iterator[str]:
    """Yield lines of text about a version: its accuracy, coverage, confusion and calibration."""
    coverage = labelled.coverage
    of_all = "" if coverage is None else f", {100 * coverage:.2g} % of its predictions"
    yield f"version {version or 'none'}: {labelled.every.labelled:,} labels{of_all}"
    for which, one in (("all labels", labelled.every), ("random sample", labelled.audit)):
        if one.labelled:
            share = f"{one.share or 0:.3f} ({one.interval.low:.3f} to {one.interval.high:.3f})"
            score = "" if one.score is None else f"; expected from the scores: {one.score:.3f}"
            yield f"{which}: {one.right:,} of {one.labelled:,} right, {share}{score}"
    for right, row in sorted(labelled.confusion.items()):
        several = (f"{predicted} {count:,}" for predicted, count in sorted(row.items()))
        yield f"answers if {right} is the right label: {', '.join(several)}"
    for edge, one in sorted(labelled.bins.items()):
        share = f"{one.right:,} of {one.labelled:,} right, {one.share or 0:.2f}"
        yield f"scores from {edge / 100:.2f}: mean score {one.score or 0:.2f}, {share}"


def _rows(context: Context, stream: Stream, span: tuple[int, int]) -> Iterator[Row]:
    options, query = context.options, of_stream(stream, *span)
    query = {"bool": {"must": [query, {"exists": {"field": "prediction_id"}}]}}
    chance = {"function_score": {"query": query, "random_score": {}, "boost_mode": "replace"}}
    by_score = [{"prediction.score": {"order": "asc", "unmapped_type": "float"}}]
    for source, body in (
        ("audit", {"size": options.random, "query": chance}),
        ("human", {"size": options.least_certain, "query": query, "sort": by_score}),
    ):
        yield from map(partial(_row, source), _hits(context, body))


def _row(source: str, document: Mapping[str, Any]) -> Row:
    prediction = document.get("prediction", {})
    text = str(document.get("text", ""))
    return {
        "prediction_id": str(document["prediction_id"]),
        "label": "",
        "source": source,
        "text": f"'{text}" if text.startswith(FORMULA) else text,
        "predicted": str(prediction.get("label", "")),
        "score": prediction.get("score", ""),
    }


def _hits(context: Context, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    params = {"ignore_unavailable": "true", "allow_no_indices": "true"}
    params["allow_partial_search_results"] = "false"
    whole = json.dumps({"_source": FIELDS, **body}).encode()
    try:
        _, _, text = context.connection.perform_request(
            "POST", f"/{context.index}/_search", params=params, body=whole, timeout=SECONDS
        )
    except TransportError as problem:
        raise ServerProblem(sentence(problem)) from None
    return [hit["_source"] for hit in json.loads(text)["hits"]["hits"]]

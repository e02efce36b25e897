"""Compares OpenSearch's counts of labels with the same counts in Python.

Here, a label is the right answer to a text, sent as feedback. Known accuracy is the share of
labelled predictions that are right.
"""

from __future__ import annotations

import csv
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from urllib.parse import urlsplit

import numpy as np
import pytest
from opensearchpy import RequestsHttpConnection

from local.stack import Stack
from monitor.__main__ import main
from monitor.accuracy.joined_record import Joined, Judgement
from monitor.accuracy.labelled_predictions import labelled_body, parse_labelled
from monitor.settings import own_index
from monitor.summaries.store import Store
from monitor.summaries.summary import SLOT, Moments, Stream
from monitor.summaries.windows import HOUR
from tests.integration.monitored import bulk, forget, put_joined
from tests.integration.test_monitor_read import nested
from tests.unit.monitor.made_windows import records, slots

START = 1_023_062_400
STREAM = Stream("Known-Stack", "/aws/lambda/one", "a-model")
OTHERS = (Stream("Known-Stack", "/aws/lambda/one", ""), Stream("other", STREAM.log_group, ""))
SPAN = (START, START + 8 * SLOT)


def joined() -> list[Joined]:
    """Return labelled predictions of two versions. All calls return equal predictions."""
    chance = random.Random(12)  # noqa: S311  labels, not a secret
    found = []
    for at in range(600):
        version = "1" if at < 500 else "2"
        score = None if at % 50 == 0 else chance.uniform(0.5, 1)
        predicted, right = (chance.choice(("ham", "spam", "eggs")) for _ in range(2))
        label = predicted if chance.random() < 0.7 else right
        source = chance.choice(("audit", "human", ""))
        moment = (SPAN[0] + chance.randrange(8 * SLOT)) * 1000
        judgement = Judgement(f"{at}", label, moment + 1, source)
        found.append(Joined(STREAM, version, "a profile", moment, predicted, score, judgement))
    return found


@pytest.fixture(scope="module")
def store(running: Stack) -> Iterator[Store]:
    """Yield a store with summaries and labelled predictions of the stream.

    A tenth of the labels is sent twice. Predictions of another stream and of an earlier time must
    not be counted.
    """
    url = urlsplit(running.opensearch_url)
    connection = RequestsHttpConnection(host=url.hostname or "", port=url.port)
    found = Store(connection, own_index(STREAM.stack), STREAM.stack)
    assert found.aggregate(labelled_body(STREAM, *SPAN)) == {}
    assert found.scores(STREAM, *SPAN) == {}
    found.put_summaries(slots(10, 40, np.random.default_rng(3), start=START, stream=STREAM))
    one = joined()[0]
    elsewhere = [Joined(each, "1", "", one.prediction_timestamp, "ham", 0.5, one.judgement)
                 for each in OTHERS]  # fmt: skip
    early = Joined(STREAM, "1", "", START * 1000 - 1, "ham", 0.5, Judgement("early", "ham", 0))
    put_joined(running.opensearch_url, [*elsewhere[:1], early, *joined(), *joined()[:60]])
    yield found
    forget(running.opensearch_url, STREAM.stack)


def test_counts_confusion_matrix_and_calibration_are_exact(store: Store) -> None:
    found = parse_labelled(store.aggregate(labelled_body(STREAM, *SPAN)))
    assert found.keys() == {"1", "2"}
    for version, one in found.items():
        wanted = [each for each in joined() if each.version == version]
        for tally, several in (
            (one.every, wanted),
            (one.audit, [each for each in wanted if each.judgement.source == "audit"]),
        ):
            assert tally.labelled == len(several)
            assert tally.right == sum(each.correct for each in several)
            scores = [each.score for each in several if each.score is not None]
            assert tally.score == pytest.approx(fmean(scores))
        pairs = Counter((each.judgement.label, each.predicted) for each in wanted)
        assert {
            (label, predicted): count
            for label, row in one.confusion.items()
            for predicted, count in row.items()
        } == pairs
        scored = [each for each in wanted if each.score is not None]
        bins = Counter(int(each.score / 0.05 + 1e-9) * 5 for each in scored if each.score)
        assert {edge: tally.labelled for edge, tally in one.bins.items()} == bins
        assert sum(tally.right for tally in one.bins.values()) == sum(s.correct for s in scored)
    assert (found["1"].rows, found["2"].rows) == (8 * 40, 0)


def test_scores_of_all_predictions_are_computed_from_the_summaries(store: Store) -> None:
    (moments,) = store.scores(STREAM, *SPAN).values()
    expected = Moments()
    for one in store.summaries(STREAM, *SPAN):
        expected += one.moments["prediction.score"]
    assert moments == expected
    assert moments.count == 8 * 40


def test_a_review_file_is_written_and_read_with_its_labels(
    running: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, now = "Reviewed-Stack", int(time.time())
    rows = records(120, np.random.default_rng(5))
    lines = []
    for at, row in enumerate(rows):
        moment = datetime.fromtimestamp(now - HOUR - at, UTC)
        document = nested(row) | {
            "@timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.000Z",
            "@kind": "prediction",
            "@stack": stack,
            "@log_group": STREAM.log_group,
            "model": {"name": STREAM.model, "version": "1"},
            "prediction_id": f"id {at}",
            "text": "=1+1",
        }
        lines += [
            json.dumps({"create": {"_index": f"cwl-{moment:%Y.%m.%d}"}}),
            json.dumps(document),
        ]
    bulk(running.opensearch_url, lines)
    file = tmp_path / "review.csv"

    def command(*words: str) -> tuple[int, str]:
        given = ["--opensearch", running.opensearch_url, "--stack", stack]
        return main([*words, *given]), "".join(capsys.readouterr())

    try:
        asked = ("review", str(file), "--random", "30", "--least-certain", "20")
        assert command(*asked)[0] == 0
        code, said = command(*asked)
        assert (code, "is already there: give another name" in said) == (1, True)
        with file.open(newline="") as opened:
            found = list(csv.DictReader(opened))
        audit = [row for row in found if row["source"] == "audit"]
        others = [row for row in found if row["source"] == "human"]
        assert len(audit) == 30
        assert {row["text"] for row in found} == {"'=1+1"}  # not a formula for a spreadsheet
        taken = {row["prediction_id"] for row in audit}
        lowest = sorted(range(120), key=lambda at: rows[at]["prediction.score"])[:20]
        assert [row["prediction_id"] for row in others] == [
            f"id {at}" for at in lowest if f"id {at}" not in taken
        ]
        for row in audit:
            row["label"] = row["predicted"]
        with file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, list(found[0]))
            writer.writeheader()
            writer.writerows(found)
        code, said = command("feedback", str(file))
        assert code == 0, said
        counts = "New labels: 30. Labels that replace an earlier label: 0."
        assert f"{counts} {len(others)} rows have no" in said
        code, said = command("accuracy")
        assert (code, "version 1: 30 labels" in said) == (0, True), said
        assert "random sample: 30 of 30 right, 1.000 (0.886 to 1.000)" in said
    finally:
        forget(running.opensearch_url, stack)

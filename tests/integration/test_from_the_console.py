"""Tests the move to our shipper from the function that the CloudWatch console generates.

Below, the generated function is called the console's function. While both functions deliver the
same lines, each line has only one document (docs/from-the-console.md).

The common index (cwl-DATE) holds predictions. Our shipper puts other lines, the logs, into another
index (cwl-log-DATE), but the console's function puts all lines into the common index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from installer.install import desired_state, install
from local import opensearch
from local.cloudwatch import OWNER, log_event, subscription_event
from local.runtime import Runtime
from local.runtime import running as start
from local.stack import Stack
from local.template import Template
from tools.ports import free_port

GROUP = "/aws/lambda/a-function-of-yours"
DAY = 86_400_000  # milliseconds
FIRST_DAY = 1_009_843_200_000  # 2002-01-01; no other test has documents of these days
BOTH = {"@id", "@timestamp", "@message", "@owner", "@log_group", "@log_stream"}
OURS = {"@delay_ms", "@kind", "@stack", "@position"}
LINES = (
    '{"message": "prediction", "prediction": {"label": "first", "score": 0.98}}',
    '[INFO] prediction {"prediction": {"label": "second", "score": 0.5}}',
    "a prediction in plain text",
)
# The index refuses this line, because `prediction` is a text here, and an object in other records.
HARD = '{"message": "prediction", "prediction": "none"}'

Events = list[dict[str, Any]]


def index_of(event: dict[str, Any]) -> str:
    return f"cwl-{datetime.fromtimestamp(event['timestamp'] / 1000, UTC):%Y.%m.%d}"


def events_of(day: int, *lines: str) -> Events:
    return [log_event(line, FIRST_DAY + day * DAY + number) for number, line in enumerate(lines)]


def fields(line: str) -> dict[str, Any]:
    """Return the fields that the console's function reads from a line.

    The function parses the line as JSON, from the first brace to the end.
    """
    try:
        found = json.loads(line[line.index("{") :])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def console(url: str, events: Events, **more: str) -> requests.Response:
    """Send events as the console's function does.

    The function uses the bulk action `index`, with the event's id and the index of the event's day.
    The fields that the function adds replace fields of the line that have the same name. The real
    function also sends the log group as `_type`; a test can give `_type` in `more`.
    """
    lines = []
    for event in events:
        moment = (
            datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        envelope = {
            "@id": event["id"],
            "@timestamp": moment,
            "@message": event["message"],
            "@owner": OWNER,
        }
        places = {"@log_group": GROUP, "@log_stream": "local"}
        lines.append({"index": {"_index": index_of(event), "_id": event["id"], **more}})
        lines.append(fields(event["message"]) | envelope | places)
    body = "".join(json.dumps(line) + "\n" for line in lines)
    return requests.post(
        f"{url}/_bulk",
        data=body.encode(),
        headers={"content-type": "application/x-ndjson"},
        timeout=30,
    )


def results(answer: requests.Response) -> list[str]:
    answer.raise_for_status()
    return [
        item["index"].get("result", str(item["index"]["status"])) for item in answer.json()["items"]
    ]


def ours(shipper: Runtime, events: Events) -> dict[str, int]:
    counts: dict[str, int] = shipper.invoke(subscription_event(events, GROUP))
    return counts


def outcome(indexed: int = 0, duplicate: int = 0, rescued: int = 0) -> dict[str, int]:
    return {"indexed": indexed, "duplicate": duplicate, "rescued": rescued, "excluded": 0}


def documents(url: str, events: Events, prefix: str = "cwl-") -> list[dict[str, Any]]:
    """Return the documents of the events, in the same order.

    All events must be of one day. No index may have other documents of this day.
    """
    index = index_of(events[0]).replace("cwl-", prefix)
    requests.post(f"{url}/cwl-*/_refresh", timeout=10).raise_for_status()
    day = index.removeprefix(prefix)
    assert requests.get(
        f"{url}/cwl-{day},cwl-log-{day}/_count?ignore_unavailable=true", timeout=10
    ).json()["count"] == len(events)
    return [
        requests.get(f"{url}/{index}/_source/{event['id']}", timeout=10).json() for event in events
    ]


@pytest.fixture(scope="module", autouse=True)
def _clean_up_afterwards(running: Stack) -> Iterator[None]:
    yield
    requests.delete(f"{running.opensearch_url}/cwl-*2002.*", timeout=30).raise_for_status()


def test_a_document_that_the_console_function_sent_first_stays_and_is_not_doubled(
    running: Stack,
) -> None:
    events = events_of(0, *LINES)
    url = running.opensearch_url

    assert results(console(url, events)) == ["created"] * 3
    before = documents(url, events)
    assert ours(running.shipper, events) == outcome(duplicate=3)

    assert documents(url, events) == before
    assert [document.keys() - BOTH for document in before] == [
        {"message", "prediction"},
        {"prediction"},
        set(),
    ]


def test_the_console_function_replaces_and_does_not_double_a_document_that_we_sent_first(
    running: Stack,
) -> None:
    events = events_of(1, *LINES)
    url = running.opensearch_url

    assert ours(running.shipper, events) == outcome(indexed=3)
    before = documents(url, events)
    assert results(console(url, events)) == ["updated"] * 3

    after = documents(url, events)
    assert [document.keys() - BOTH for document in before] == [
        {"message", "prediction", *OURS},
        {"prediction", *OURS},
        OURS,
    ]
    for document in before:
        for name in OURS:  # only these fields are lost
            del document[name]
    assert after == before


def test_the_console_function_cannot_replace_a_document_that_we_rescued(
    running: Stack,
) -> None:
    events = events_of(2, LINES[0], HARD)
    url = running.opensearch_url

    assert results(console(url, events)) == ["created", "400"]
    assert ours(running.shipper, events) == outcome(duplicate=1, rescued=1)
    assert results(console(url, events)) == ["updated", "400"]

    assert "@rescued" in documents(url, events)[1]


def test_opensearch_refuses_the_documents_of_an_unchanged_console_function(
    running: Stack,
) -> None:
    events = events_of(3, *LINES)

    answer = console(running.opensearch_url, events, _type=GROUP)

    assert answer.status_code == 400
    assert "_type" in answer.json()["error"]["reason"]
    assert (
        requests.get(f"{running.opensearch_url}/{index_of(events[0])}", timeout=10).status_code
        == 404
    )
    assert ours(running.shipper, events) == outcome(indexed=3)
    assert len(documents(running.opensearch_url, events)) == 3


def test_logs_go_to_an_index_of_their_own_as_soon_as_no_other_function_delivers_them(
    running: Stack,
) -> None:
    """On the first day, only the console's function runs. On the second day, both functions run.

    On the next two days, only our shipper runs. At the end, our shipper delivers all lines again.
    """
    url = running.opensearch_url
    days = [events_of(number, *LINES) for number in range(20, 24)]

    assert results(console(url, days[0])) == ["created"] * 3
    assert results(console(url, days[1][:2])) == ["created"] * 2
    # In reality, the documents of the day before have been searchable for hours.
    requests.post(f"{url}/cwl-*/_refresh", timeout=10).raise_for_status()
    assert ours(running.shipper, days[1]) == outcome(indexed=1, duplicate=2)
    assert results(console(url, days[1][2:])) == ["updated"]
    assert ours(running.shipper, days[2]) == outcome(indexed=3)
    documents(url, days[2])  # in the common index, because both functions ran on the day before
    assert ours(running.shipper, days[3]) == outcome(indexed=3)
    assert len(documents(url, days[3], "cwl-log-")) == 3

    assert [ours(running.shipper, day) for day in days] == [outcome(duplicate=3)] * 4


def test_lines_that_an_earlier_version_put_into_the_common_index_are_not_shipped_again(
    running: Stack,
) -> None:
    """An earlier version of the shipper put all lines into the common index.

    The upgrade is on the second day. The earlier version delivered the first line of this day.
    """
    url = running.opensearch_url
    days = [events_of(number, *LINES) for number in range(30, 34)]
    for event in [*days[0], days[1][0]]:
        source = {
            "@id": event["id"],
            "@timestamp": event["timestamp"],
            "@log_group": GROUP,
            "@message": event["message"],
            "@delay_ms": 1,
        }
        path = f"{url}/{index_of(event)}/_create/{event['id']}?refresh=true"
        requests.put(path, json=source, timeout=30).raise_for_status()

    assert ours(running.shipper, days[0]) == outcome(duplicate=3)
    assert ours(running.shipper, days[1]) == outcome(indexed=2, duplicate=1)
    assert ours(running.shipper, days[2]) == outcome(indexed=3)
    assert ours(running.shipper, days[3]) == outcome(indexed=3)

    assert [len(documents(url, day)) for day in days[:3]] == [3] * 3
    assert len(documents(url, days[3], "cwl-log-")) == 3
    assert [ours(running.shipper, day) for day in days] == [outcome(duplicate=3)] * 4


@pytest.fixture
def bare(template: Template) -> Iterator[tuple[str, Runtime]]:
    """Yield an OpenSearch without our index template, and a shipper that writes to it."""
    function = template.functions["ShipperFunction"]
    with (
        opensearch.node(free_port(range(9210, 9299))) as url,
        start(function, {"OPENSEARCH_URL": url}, lambda _: None) as shipper,
    ):
        yield url, shipper


def test_the_first_index_with_our_mapping_is_made_on_the_day_after_the_move(
    bare: tuple[str, Runtime],
) -> None:
    url, shipper = bare
    whole = (
        '{"message": "prediction", "timestamp": "2002-01-05T00:00:00Z", '
        '"prediction": {"label": "first", "score": 1}}'
    )
    # A date in the first document makes the field a date. OpenSearch then refuses other text.
    dated = '{"message": "prediction", "until": "2002-01-05"}'
    never = '{"message": "prediction", "until": "further notice"}'
    today, tomorrow = (
        events_of(4, whole, dated, LINES[0], never),
        events_of(5, whole, dated, LINES[0], never),
    )

    assert results(console(url, today[:2])) == ["created"] * 2
    documents(url, today[:2])  # refreshes the index, so that the shipper's search finds them
    install(desired_state([], opensearch=url), say=lambda _: None)
    assert ours(shipper, today) == outcome(indexed=1, duplicate=2, rescued=1)
    assert ours(shipper, tomorrow) == outcome(indexed=4)

    old, new = (
        requests.get(f"{url}/{index_of(day[0])}/_mapping", timeout=10).json()[index_of(day[0])][
            "mappings"
        ]["properties"]
        for day in (today, tomorrow)
    )
    assert (old["prediction"]["properties"]["score"], new["prediction"]["properties"]["score"]) == (
        {"type": "long"},
        {"type": "float"},
    )
    assert (old["@log_group"]["type"], new["@log_group"]["type"]) == ("text", "keyword")
    assert (old["until"]["type"], new["until"]["type"]) == ("date", "keyword")
    assert documents(url, today)[3]["@rescued"]["field"] == "until"
    # the document has the score 0.98, but a field of type long holds it as 0
    search = {"size": 0, "aggs": {"mean": {"avg": {"field": "prediction.score"}}}}
    documents(url, tomorrow)  # refreshes the index
    means = [
        requests.post(f"{url}/{index_of(day[0])}/_search", json=search, timeout=10).json()[
            "aggregations"
        ]["mean"]["value"]
        for day in (today, tomorrow)
    ]
    assert means == [pytest.approx(0.5), pytest.approx(0.99)]

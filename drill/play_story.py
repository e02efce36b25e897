"""Plays the story, a series of situations, with the real functions of the stack.

The inference function makes the predictions, which then get timestamps of the story. The shipper
ships the predictions, and the monitor judges them.
"""

from __future__ import annotations

import copy
import json
import math
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from drill import texts
from drill.story import Expected, Seen, Situation
from local.cloudwatch import log_event, subscription_event
from local.opensearch import PATTERN
from local.runtime import Runtime, running
from local.stack import Stack
from local.template import STACK, Template, load
from monitor.baselines.acceptance import propose
from monitor.baselines.baseline import to_document
from monitor.baselines.shipped_profile import shipped_profile
from monitor.canary import canary_run, golden_sentences
from monitor.canary.ask_function import Reply
from monitor.judgement import false_alarm_table
from monitor.log_lines import Line
from monitor.messages.evidence import Sight
from monitor.messages.muting import Kind as Silenced
from monitor.messages.muting import Silence
from monitor.scheduled_run import fill, in_use, run
from monitor.summaries.store import Kind, Store
from monitor.summaries.summary import Stream
from report.page_words import answer
from report.read import read, span
from tools.errors import UserError

HOUR: Final = 3600
AN_HOUR: Final = 120  # predictions an hour in usual traffic, averaged over a day
CYCLE: Final = 0.5  # the busiest hour has 1 + CYCLE times the average number of predictions
EACH: Final = 600  # texts of each kind except the usual kind
USUAL: Final = 3000  # texts of the usual kind
AT_ONCE: Final = 64  # sentences in a request
BATCH: Final = 2000  # lines in a payload
# Hours between two runs of the monitor. On AWS, the schedule runs it every quarter of an hour.
JUDGE_HOURS: Final = 2
CANARY_HOURS: Final = 6  # hours between two runs of the canary
WAIT_SECONDS: Final = 60
DAY: Final = timedelta(days=1)
GROUP: Final = "InferenceLogGroup"

Record = dict[str, Any]
Pools = Mapping[str, Sequence[Record]]


@dataclass(slots=True)
class Clock:
    """The present time of the story, in seconds since 1970. The stack's page shows this time."""

    now: float

    def moment(self) -> datetime:
        """Return the time one second after `now`, so that the page also shows the latest lines."""
        return datetime.fromtimestamp(self.now + 1, UTC)


@dataclass(slots=True)
class Told:
    """The results of monitor and canary in the present situation.

    `notices` has the times at which notices began. `silenced` is the number of notices with a
    silenced message. `word` is the last verdict. `canary` has the results of the canary.
    """

    notices: list[float] = field(default_factory=list)
    silenced: int = 0
    word: str = ""
    canary: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Play:
    """A running stack with the clock of the story.

    `pools` has the predictions of each kind of text. `records` is the name of a subscription
    filter. The shipper accepts lines from this filter as records.
    """

    stack: Stack
    store: Store
    sight: Sight
    pools: Pools
    model: Runtime
    clock: Clock
    chance: random.Random
    records: str
    told: Told = field(default_factory=Told)

    def baseline(self, days: int) -> str:
        """Play some days of usual traffic, and accept them as the baseline.

        Returns a sentence that describes the baseline. Raises `UserError` if the traffic cannot be
        accepted as a baseline.
        """
        start = int(self.clock.now)
        end = start + days * 24 * HOUR
        self.send(self.traffic(Situation("baseline", days * 24, Expected.QUIET), start))
        self.clock.now = end
        stream = self.stream
        fill(self.sight.connection, self.store, stream, start, end, index=PATTERN)
        slots = self.store.summaries(stream, start, end)
        choice = false_alarm_table.choose(0, days=false_alarm_table.DEFAULT_DAYS, streams=1)
        proposal = propose(1, slots, start, end, current=None, choice=choice)
        if proposal.against:
            raise UserError(f"the baseline cannot be accepted: {' '.join(proposal.against)}")
        accepted = proposal.accepted
        content = to_document(accepted.baseline) | {"plan": accepted.plan(), "accepted": end}
        self.store.create(Kind.BASELINE, stream, 1, content)
        self.store.create(Kind.DECISION, stream, 1, {"baseline": 1, "action": "accept"})
        assert in_use(self.store, stream)
        return accepted.sentence

    @property
    def stream(self) -> Stream:
        """The only stream of the story."""
        return Stream(STACK, GROUP, self.pools["usual"][0]["model"]["name"])

    def situation(self, one: Situation) -> Seen:
        """Send the traffic of a situation, and meanwhile run the monitor and the canary.

        The monitor runs every `JUDGE_HOURS`, and the canary every `CANARY_HOURS`.
        """
        begin = int(self.clock.now)
        end = begin + one.hours * HOUR
        self.told = Told(word=self.told.word)
        if one.announced:
            self._announce(one, begin, end)
        for hour in range(0, one.hours, JUDGE_HOURS):
            self.send(self.traffic(one, begin, hours=(hour, hour + JUDGE_HOURS)))
            self.clock.now = begin + (hour + JUDGE_HOURS) * HOUR
            if hour % CANARY_HOURS == 0:
                self._canary(swapped=one.swapped)
            self._judge()
        first = min(self.told.notices, default=None)
        return Seen(
            len(self.told.notices),
            self.told.silenced,
            self.told.word,
            tuple(self.told.canary),
            None if first is None else (first - begin) / HOUR,
            answer(read(self.stack.answer, span(self.clock.moment(), DAY), STACK)).title,
        )

    def traffic(
        self, one: Situation, begin: int, hours: tuple[int, int] | None = None
    ) -> Iterator[tuple[float, Record]]:
        """Yield the predictions of a situation, each with its time.

        `begin` is the start of the situation, and `hours` the range of its hours (None: all hours).
        """
        for hour in range(*(hours or (0, one.hours))):
            start = begin + hour * HOUR
            angle = 2 * math.pi * (start % (24 * HOUR)) / (24 * HOUR)
            count = AN_HOUR * one.volume * (1 - CYCLE * math.cos(angle))
            for _ in range(round(count)):
                at = start + self.chance.random() * HOUR
                part = (at - begin) / (one.hours * HOUR)
                share = one.share[0] + (one.share[1] - one.share[0]) * part
                yield at, self._record(one, replaced=self.chance.random() < share, at=at)

    def send(self, records: Iterator[tuple[float, Record]]) -> None:
        """Send predictions through the shipper in the order of time, and make them searchable."""
        lines = [
            log_event(json.dumps(record), int(at * 1000))
            for at, record in sorted(records, key=lambda each: each[0])
        ]
        self._ship(lines, GROUP, ())

    def _record(self, one: Situation, *, replaced: bool, at: float) -> Record:
        kind = one.kind if replaced else "usual"
        record = copy.deepcopy(self.chance.choice(self.pools[kind]))
        record["prediction_id"] = secrets.token_hex(16)
        record["timestamp"] = _time(at)
        if replaced and one.version:
            record["model"]["version"] = one.version * 12
        if replaced and one.swapped:
            record["prediction"] = swapped(record["prediction"])
        return record

    def _judge(self) -> None:
        report = run(
            self.sight.connection,
            self.store,
            STACK,
            PATTERN,
            days=false_alarm_table.DEFAULT_DAYS,
            profile=shipped_profile(),
            now=self.clock.now,
            tell=self._tell,
            sight=self.sight,
        )
        if report.problems:
            raise UserError(f"the monitor could not judge: {'; '.join(report.problems)}")

    def _tell(self, line: Line) -> None:
        said = line.fields["monitor"]
        if line.message == "verdict" and said["reference"] == "baseline":
            self.told.word = said["word"]
            if said["begins"]:
                self.told.notices.append(self.clock.now)
                self.told.silenced += "silenced" in said.get("message", {})
        self._say(line.message, "monitor", "MonitorLogGroup", line.fields)

    def _canary(self, *, swapped: bool) -> None:
        """Run the canary. If `swapped`, the labels in the model's answers are exchanged."""

        def ask(_function: str, event: Any) -> Reply:
            answer = self.model.invoke(event)
            if swapped and isinstance(answer, dict) and "predictions" in answer:
                other = _exchanged(golden_sentences.shipped_model().card["labels"])
                for each in answer["predictions"]:
                    label = each["prediction"]["label"]
                    each["prediction"]["label"] = other.get(label, label)
            return Reply(answer, "1")

        result = canary_run.check(ask, "drill", golden_sentences.shipped_model(), "drill:1")
        self.told.canary.append(str(result.verdict))
        fields = result.fields()
        fields["canary"] |= {"function": "drill", "trigger": "schedule", "seconds": 0.0}
        self._say("canary", "canary", "CanaryLogGroup", {"record_version": 1, "monitor": fields})

    def _announce(self, one: Situation, begin: int, end: int) -> None:
        silence = Silence(Silenced.EXPECT, begin, end, "drill", one.name, begin)
        number = len(self.store.documents(Kind.SILENCE, self.stream)) + 1
        self.store.create(Kind.SILENCE, self.stream, number, silence.document())

    def _say(self, message: str, service: str, group: str, fields: Mapping[str, Any]) -> None:
        common = {"timestamp": _time(self.clock.now), "level": "INFO", "service": service}
        line = json.dumps({**common, "message": message, **fields})
        self._ship([log_event(line, int(self.clock.now * 1000))], group, (self.records,))

    def _ship(self, lines: list[dict[str, Any]], group: str, filters: tuple[str, ...]) -> None:
        given: Any = {"filters": filters} if filters else {}
        for at in range(0, len(lines), BATCH):
            answer = self.stack.shipper.invoke(
                subscription_event(lines[at : at + BATCH], group, **given)
            )
            if answer["indexed"] != len(lines[at : at + BATCH]):
                raise UserError(f"the shipper did not index every line: {answer}")
        self.stack.refresh()


@contextmanager
def predicted(
    plan: Template, say: Callable[[str], None], give: Callable[[str, int], list[str]]
) -> Iterator[tuple[Pools, Runtime]]:
    """Run the real inference function, and yield its predictions for every kind of text.

    The running function is yielded too. `give(kind, number)` returns `number` texts of a kind.
    """
    lines: list[str] = []
    heard = threading.Condition()

    def hear(line: str) -> None:
        if '"message":"prediction"' in line.replace('": "', '":"'):
            with heard:
                lines.append(line)
                heard.notify_all()

    function = plan.functions[next(iter(plan.routes.values()))]
    with running(function, {"HASH_KEY": "the drill's own", "LOG_TEXT": "true"}, hear) as model:
        pools: dict[str, list[Record]] = {}
        for kind in texts.KINDS:
            found = give(kind, USUAL if kind == "usual" else EACH)
            say(f"{len(found)} texts: {kind}")
            pools[kind] = _records(model, found, lines, heard)
            if kind == "usual":
                cut = [texts.truncated(text) for text in found[:EACH]]
                pools["truncated"] = _records(model, cut, lines, heard)
        yield pools, model


def swapped(prediction: Record) -> Record:
    """Return the prediction with the first two labels exchanged."""
    label, probability = prediction["label"], prediction["probability"]
    other = _exchanged(list(probability))
    return {
        **prediction,
        "label": other.get(label, label),
        "probability": {name: probability[other.get(name, name)] for name in probability},
    }


def filter_name() -> str:
    """Return the name of the subscription filter whose lines the shipper accepts as records."""
    name: str = load()["Resources"]["MonitorRecords"]["Properties"]["FilterName"]
    return name


def first_day(days: int) -> float:
    """Return the start time of a story of `days` days that ends at the last midnight.

    The time is in seconds since 1970, and midnight is in UTC.
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=days)).timestamp()


def _records(
    model: Runtime, found: Sequence[str], lines: list[str], heard: threading.Condition
) -> list[Record]:
    lines.clear()
    for at in range(0, len(found), AT_ONCE):
        model.invoke({"sentences": list(found[at : at + AT_ONCE])})
    with heard:
        if not heard.wait_for(lambda: len(lines) >= len(found), WAIT_SECONDS):
            raise UserError(f"{len(lines)} of {len(found)} predictions were logged")
        return [json.loads(line) for line in lines]


def _exchanged(labels: Sequence[str]) -> dict[str, str]:
    """Return a mapping from each of the first two labels to the other one."""
    first, second, *_ = labels
    return {first: second, second: first}


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

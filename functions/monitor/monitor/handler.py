"""The Lambda handler of the monitor, which runs every quarter of an hour.

In each run, it stores summaries, and writes verdicts and a heartbeat line to its log.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from monitor import logging_variables
from monitor.accuracy.gather_feedback import Gathered, gather
from monitor.baseline_commands import Reach
from monitor.baselines.shipped_profile import shipped_golden, shipped_profile
from monitor.client import connect
from monitor.command_line import remote
from monitor.judgement.profile_reference import Profile, ProfileUnreadable
from monitor.judgement.verdict import Verdict
from monitor.log_lines import Line
from monitor.memory_use import memory_utilization
from monitor.messages.evidence import Sight
from monitor.opensearch_problem import ServerProblem
from monitor.scheduled_run import run
from monitor.settings import settings
from monitor.summaries.store import Store
from monitor.summaries.summary import SLOT
from monitor.summaries.windows import DAY

SERVICE: Final = "monitor"

setting = settings(os.environ)
connection = connect(setting.opensearch_url, os.environ)
store = Store(connection, setting.own_index, setting.stack)
sight = Sight(
    connection,
    store,
    setting.predictions,
    dashboard=setting.dashboard,
    reports=setting.reports,
    by=setting.by,
    words=setting.words,
    golden=shipped_golden(),
)
reach = Reach(connection, store, setting.predictions, setting.stack, setting.false_alarm_days)
logging_variables.ignore(os.environ)
logger = Logger(service=SERVICE, level="INFO", use_rfc3339=True, utc=True, location=None)
# All stacks share the namespace, so the function's name tells the stacks apart.
dimensions = {"function_name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE)}
metrics = EphemeralMetrics(
    namespace="PredictionMonitor", service=SERVICE, default_dimensions=dimensions
)


def _profile() -> Profile | None:
    try:
        return shipped_profile()
    except ProfileUnreadable as problem:
        logger.error("not_judged", reason=str(problem))  # noqa: TRY400  the sentence is enough, without a traceback
        return None


profile = _profile()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Judge every stream once, or run the `command` of an event (docs/monitoring.md).

    A stream is the predictions of one model in one log group.

    If OpenSearch fails, one log line gives the reason, and the metric `MonitorRuns` is not written.
    An alarm reports that the metric is missing.
    """
    if isinstance(event, dict) and "command" in event:
        answer = remote(event["command"], reach)
        logger.info("command", command=event["command"], code=answer["code"])
        return answer
    now = time.time()
    try:
        gathered = _gathered(now)
        report = run(
            connection,
            store,
            setting.stack,
            setting.predictions,
            days=setting.false_alarm_days,
            profile=profile,
            now=now,
            tell=_tell,
            sight=sight,
        )
        if now % DAY < SLOT:  # true in one run a day
            store.expire(now)
    except ServerProblem as problem:
        logger.error("not_judged", reason=str(problem))  # noqa: TRY400  the sentence is enough, without a traceback
        return {"streams": 0}
    for reason in report.problems:
        if defect := report.defects.get(reason):
            logger.error("not_judged", reason=reason, exc_info=defect)
        else:
            logger.warning("not_judged", reason=reason)
    metrics.add_metric("MonitorRuns", MetricUnit.Count, 1)
    metrics.add_metric("StreamsFailed", MetricUnit.Count, report.failed)
    for word in Verdict:
        metrics.add_metric(
            f"Streams{word.capitalize()}", MetricUnit.Count, report.words.get(word, 0)
        )
    _count(gathered)
    metrics.add_metric("StreamsInaccurate", MetricUnit.Count, report.inaccurate)
    metrics.add_metric(
        "MemoryUtilization", MetricUnit.Percent, memory_utilization(context.memory_limit_in_mb)
    )
    metrics.flush_metrics()
    logger.info(
        "heartbeat",
        streams=report.streams,
        not_judged=report.not_judged,
        slots=report.slots,
        verdicts=report.words,
        feedback={
            "joined": gathered.joined,
            "waiting": gathered.waiting,
            "behind": gathered.behind,
            **gathered.reasons,
        },
        seconds=round(time.time() - now, 3),
    )
    return {"streams": report.streams}


def _gathered(now: float) -> Gathered:
    """Gather the feedback. A failure here must not prevent the streams from being judged."""
    try:
        return gather(connection, store, setting.stack, setting.predictions, now)
    except ServerProblem as problem:
        return Gathered(problem=str(problem))
    except Exception:
        logger.exception("feedback_not_gathered")
        return Gathered()


def _count(gathered: Gathered) -> None:
    if gathered.problem:
        logger.error("feedback_not_gathered", reason=gathered.problem)
    metrics.add_metric("FeedbackJoined", MetricUnit.Count, gathered.joined)
    metrics.add_metric("FeedbackNotJoined", MetricUnit.Count, gathered.not_joined)
    metrics.add_metric("FeedbackWaiting", MetricUnit.Count, gathered.waiting + gathered.behind)
    if gathered.examples:
        logger.warning("feedback_not_joined", examples=gathered.examples)


def _tell(line: Line) -> None:
    logger.info(line.message, **line.fields)

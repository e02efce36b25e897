"""The Lambda handler of the canary, which checks the answers of the deployed model.

The canary runs every quarter of an hour. It also runs in each deployment, before requests go to the
new version: CodeDeploy sends an event that names the deployment, and the deployment continues only
if the canary's result is `pass`. AWS describes this hook:
https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from monitor import logging_variables
from monitor.canary import canary_run, own_questions
from monitor.canary.ask_function import SECONDS, asking
from monitor.canary.canary_run import Result, Verdict, failed
from monitor.canary.golden_sentences import GoldenUnreadable, shipped_model
from monitor.canary.own_questions import QuestionsUnreadable

SERVICE: Final = "canary"
VERSION: Final = 1
HOOK: Final = ("DeploymentId", "LifecycleEventHookExecutionId")  # names in CodeDeploy's event
# A question is asked only if the function has at least this number of seconds left. A question is
# tried twice, and each try may take `SECONDS` and 3 s for the connection.
RESERVE: Final = 70
CONFIG: Final = Config(
    connect_timeout=3, read_timeout=SECONDS, retries={"mode": "standard", "total_max_attempts": 2}
)

function = os.environ.get("CANARY_FUNCTION", "")
if not function:
    raise ValueError("CANARY_FUNCTION must be set to the alias or the function that is asked")
deployed = os.environ.get("DEPLOYED_VERSION", "")  # empty for a function that you deploy yourself
logging_variables.ignore(os.environ)
ask = asking(boto3.client("lambda", config=CONFIG))
code_deploy = boto3.client("codedeploy", config=CONFIG)
logger = Logger(service=SERVICE, level="INFO", use_rfc3339=True, utc=True, location=None)
# All stacks write into one namespace. The name of the function tells their metrics apart.
dimensions = {"function_name": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", SERVICE)}
metrics = EphemeralMetrics(
    namespace="PredictionMonitor", service=SERVICE, default_dimensions=dimensions
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: Any, context: LambdaContext) -> dict[str, str]:
    """Run once, write one log line, and report the result to CodeDeploy if it sent the event."""
    deployment, hook = (event.get(name) if isinstance(event, dict) else None for name in HOOK)
    if not (deployment and hook):
        result = _logged(function, "schedule", context)
        metrics.add_metric("CanaryRuns", MetricUnit.Count, 1)
        metrics.add_metric("CanaryFailures", MetricUnit.Count, int(result.verdict == Verdict.FAIL))
        metrics.flush_metrics()
        return {"result": str(result.verdict)}
    status = "Failed"  # stays so if the run raises an exception
    try:
        result = _logged(deployed or function, "deployment", context)
        status = "Succeeded" if result.verdict == Verdict.PASS else "Failed"
    finally:
        code_deploy.put_lifecycle_event_hook_execution_status(
            deploymentId=deployment, lifecycleEventHookExecutionId=hook, status=status
        )
    return {"result": str(result.verdict)}


def _logged(target: str, trigger: str, context: LambdaContext) -> Result:
    """Check the answers of the function `target`, and write the log line `canary`."""
    began = time.monotonic()
    result = _pass(target, began + context.get_remaining_time_in_millis() / 1000 - RESERVE)
    fields = result.fields()
    fields["canary"] |= {
        "function": target,
        "trigger": trigger,
        "seconds": round(time.monotonic() - began, 3),
    }
    logger.info("canary", record_version=VERSION, monitor=fields)
    return result


def _pass(target: str, deadline: float) -> Result:
    try:
        if deployed:
            return canary_run.check(ask, target, shipped_model(), deployed)
        return own_questions.check(ask, target, own_questions.read(), deadline)
    except (GoldenUnreadable, QuestionsUnreadable) as problem:
        return failed(str(problem))

"""Reads the monitor's settings from the environment, and checks them at start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.index_prefix import PREFIX, index_prefix
from monitor.judgement.false_alarm_table import DEFAULT_DAYS

FIELD: Final = re.compile(r"[A-Za-z0-9_@.-]{1,200}")  # the name of a field in the index
DASHBOARD: Final = re.compile(
    r"https?://[^\s#]+/app/dashboards[^\s#]*#/view/prediction-monitor-predictions[^\s#]*"
)
REPORTS: Final = re.compile(r"https?://[^\s#]+[/=]")  # the beginning of a report's address
STACK: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")  # the names that CloudFormation accepts


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the monitor.

    - `predictions` is the pattern of the prediction indices, and `own_index` is the monitor's
      index.
    - `false_alarm_days` is a number of days. At most one false notice is allowed in this time.
    - `by` is a field of the predictions, such as the customer, or empty. A message names the value
      of this field that explains a change.
    - `words` says whether messages quote words that are typical of the texts.
    - `dashboard` is the installer's link to the dashboard *Predictions*, or empty. Messages make
      their links from it.
    - `reports` is the address of the reports, or empty. Messages add a day to it.
    """

    opensearch_url: str
    stack: str
    predictions: str
    own_index: str
    false_alarm_days: float
    by: str
    words: bool
    dashboard: str
    reports: str


def settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from these variables of `environment`.

    Raises `ValueError` that names the variable and its valid values.

    - `OPENSEARCH_URL`: an http(s) address.
    - `STACK`: the value of `@stack` in the documents of the predictions.
    - `INDEX_PREFIX`: the prefix of the names of the prediction indices; `cwl-` if not set.
    - `FALSE_ALARM_DAYS`: a whole number of days, at least 1; 90 if not set.
    - `MONITOR_BY`: the name of a keyword field of the predictions, or empty.
    - `MESSAGE_WORDS`: true or false; false if not set.
    - `DASHBOARD_URL`: the installer's link to the dashboard *Predictions*, or empty.
    - `REPORT_URL`: the beginning of each report's address, up to the day; it may be empty.
    """
    if not environment.get("OPENSEARCH_URL"):
        raise ValueError("OPENSEARCH_URL must be set to the address of OpenSearch")
    stack = stack_name(environment.get("STACK", ""), "STACK")
    prefix = index_prefix(environment.get("INDEX_PREFIX") or PREFIX, "INDEX_PREFIX")
    days = days_of(environment.get("FALSE_ALARM_DAYS") or str(DEFAULT_DAYS), "FALSE_ALARM_DAYS")
    by = field_name(environment.get("MONITOR_BY", ""), "MONITOR_BY")
    words = yes(environment.get("MESSAGE_WORDS") or "false", "MESSAGE_WORDS")
    url = environment["OPENSEARCH_URL"]
    dashboard = dashboard_link(environment.get("DASHBOARD_URL", ""), "DASHBOARD_URL")
    reports = reports_address(environment.get("REPORT_URL", ""), "REPORT_URL")
    own = own_index(stack)
    return Settings(url, stack, f"{prefix}*", own, days, by, words, dashboard, reports)


def own_index(stack: str) -> str:
    """Return the name of the index for a stack's summaries, baselines and decisions.

    The index template and the retention policy of predictions do not apply to this index. They
    apply to names that begin with the prefix of the prediction indices. Such a prefix has no dot
    and ends with a dash (see index_prefix.py). So no prefix is the beginning of this index's name.
    """
    return f"monitor.{stack.lower()}"


def stack_name(text: str, name: str) -> str:
    """Check a stack's name, and return it. Raises `ValueError` that names the setting `name`."""
    if not STACK.fullmatch(text):
        raise ValueError(
            f"{name} must be the name of a stack (letters, digits and -, a letter first),"
            f" not {text!r}"
        )
    return text


def days_of(text: str, name: str) -> float:
    """Read a whole number of days, at least 1.

    Raises `ValueError` that names the setting `name`.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text)):
        raise ValueError(f"{name} must be a whole number of days, 1 or more, not {text!r}")
    return float(text)


def field_name(text: str, name: str) -> str:
    """Check the name of a field, which may be empty, and return it.

    Raises `ValueError` that names the setting `name`.
    """
    if text and not FIELD.fullmatch(text):
        raise ValueError(
            f"{name} must be the name of a keyword field, such as customer, not {text!r}"
        )
    return text


def dashboard_link(text: str, name: str) -> str:
    """Check a link to the dashboard *Predictions*, which may be empty, and return it.

    Raises `ValueError` that names the setting `name`.
    """
    if text and not DASHBOARD.fullmatch(text):
        raise ValueError(
            f"{name} must be the installer's link to the dashboard Predictions, not {text!r}"
        )
    return text


def reports_address(text: str, name: str) -> str:
    """Check the beginning of the reports' addresses, which may be empty, and return it.

    Raises `ValueError` that names the setting `name`.
    """
    if text and not REPORTS.fullmatch(text):
        raise ValueError(f"{name} must be an address that ends with / or =, not {text!r}")
    return text


def yes(text: str, name: str) -> bool:
    """Read true or false. Raises `ValueError` that names the setting `name`."""
    if text not in {"true", "false"}:
        raise ValueError(f"{name} must be true or false, not {text!r}")
    return text == "true"

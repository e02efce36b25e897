"""What can be set, read from the environment once and checked at start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.dial import DEFAULT_DAYS

PREFIX: Final = "cwl-"
INDEX_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,49}-")  # as the shipper takes it
STACK: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")  # as CloudFormation takes it


@dataclass(frozen=True, slots=True)
class Settings:
    """The address of predictions and summaries, their stack, and the days for one false notice."""

    opensearch_url: str
    stack: str
    predictions: str
    own_index: str
    false_alarm_days: float


def settings(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises `ValueError` that names the variable and its valid values.

    - `OPENSEARCH_URL`: an http(s) address.
    - `STACK`: the name that the predictions bear in `@stack`.
    - `INDEX_PREFIX`: the beginning of each index of predictions, `cwl-` where not set.
    - `FALSE_ALARM_DAYS`: a number of days from 1, 90 where not set.
    """
    if not environment.get("OPENSEARCH_URL"):
        raise ValueError("OPENSEARCH_URL must be set to the address of OpenSearch")
    stack = stack_name(environment.get("STACK", ""), "STACK")
    prefix = index_prefix(environment.get("INDEX_PREFIX") or PREFIX, "INDEX_PREFIX")
    days = days_of(environment.get("FALSE_ALARM_DAYS") or str(DEFAULT_DAYS), "FALSE_ALARM_DAYS")
    return Settings(environment["OPENSEARCH_URL"], stack, f"{prefix}*", own_index(stack), days)


def own_index(stack: str) -> str:
    """The index of a stack's summaries, baselines and decisions.

    A prefix of documents has no dot, and ends with a dash: this name begins with none of them, so neither their template
    nor their retention reaches it.
    """
    return f"monitor.{stack.lower()}"


def stack_name(text: str, name: str) -> str:
    """The name of a stack. Raises `ValueError`."""
    if not STACK.fullmatch(text):
        raise ValueError(f"{name} must be the name of a stack (letters, digits and -, a letter first), not {text!r}")
    return text


def index_prefix(text: str, name: str) -> str:
    """A prefix of daily indices. Raises `ValueError`."""
    if not INDEX_PREFIX.fullmatch(text):
        raise ValueError(f"{name} must be small letters, digits and dashes, with a dash at the end, not {text!r}")
    return text


def days_of(text: str, name: str) -> float:
    """A number of days from 1. Raises `ValueError`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text)):
        raise ValueError(f"{name} must be a whole number of days from 1, not {text!r}")
    return float(text)

"""The deployed installer's settings.

The settings are environment variables, so that no event can change them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from installer.index_prefix import PREFIX, index_prefix
from installer.label_colours import OF_THE_MODEL, labels, of_card
from installer.prefix_and_stack import stack_name
from installer.retention import Keep, days
from installer.security import role_arn

SUFFIX: Final = "URL_SUFFIX"  # the end of AWS's host names, such as amazonaws.com
STACK_ID: Final = "STACK_ID"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the deployed installer.

    `secret` is the ARN of a secret with `username` and `password`. Without a secret, requests are
    signed with AWS credentials.
    """

    opensearch: str
    dashboards: str | None
    secret: str | None
    stack: str
    prefix: str
    groups: Sequence[str]
    labels: Sequence[str]
    roles: Mapping[str, Sequence[str]]
    keep: Keep
    audit_log: bool


def read(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises `ValueError` with a sentence about a missing or wrong setting.
    """

    def given(name: str) -> str | None:
        return environment.get(name) or None

    def several(name: str) -> list[str]:
        return [one for one in environment.get(name, "").split(",") if one]

    opensearch = given("OPENSEARCH_URL")
    if opensearch is None:
        raise ValueError("the function's OPENSEARCH_URL is missing: give the domain's address")
    kept, new = given("RETENTION_DAYS"), given("RETENTION_DAYS_OF_A_NEW_POLICY")
    roles = {"shipper": several("SHIPPER_ROLE_ARNS"), "monitor": several("MONITOR_ROLE_ARNS")}
    return Settings(
        opensearch,
        given("DASHBOARDS_URL"),
        given("SECRET_ARN"),
        stack_name(environment.get("STACK", "")),
        index_prefix(environment.get("INDEX_PREFIX", PREFIX), "INDEX_PREFIX"),
        several("LOG_GROUPS"),
        _labels(environment.get("LABELS", "")),
        {kind: [role_arn(arn) for arn in arns] for kind, arns in roles.items() if arns},
        Keep(
            days(kept) if kept else None,
            days(new) if new else None,
            adopt=given("ADOPT_INDICES") == "true",
        ),
        audit_log=given("AUDIT_LOG") == "true",
    )


def _labels(text: str) -> Sequence[str]:
    return of_card() if text == OF_THE_MODEL else labels(text) if text else ()

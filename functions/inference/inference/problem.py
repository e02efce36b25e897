"""The reasons why a request gets no prediction, or why its feedback is not accepted.

Each problem has a name, a status and, if a field is the cause, the field's name.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

STATUS: Final = {
    "body-missing": HTTPStatus.BAD_REQUEST,
    "body-not-base64": HTTPStatus.BAD_REQUEST,
    "body-not-utf8": HTTPStatus.BAD_REQUEST,
    "body-not-json": HTTPStatus.BAD_REQUEST,
    "body-not-an-object": HTTPStatus.BAD_REQUEST,
    "field-missing": HTTPStatus.UNPROCESSABLE_ENTITY,
    "field-ambiguous": HTTPStatus.UNPROCESSABLE_ENTITY,
    "field-invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "label-unknown": HTTPStatus.UNPROCESSABLE_ENTITY,
    "sentence-blank": HTTPStatus.UNPROCESSABLE_ENTITY,
    "sentence-not-unicode": HTTPStatus.UNPROCESSABLE_ENTITY,
    "sentence-too-long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too-many-sentences": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too-many-labels": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "prediction-failed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "feedback-failed": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Problem(Exception):
    """A reason why a request gets no prediction, or why its feedback is not accepted.

    `kind` is a key of `STATUS`. `error_type` is the problem's name in the record. `field` is the
    name of the invalid field, or None.
    """

    def __init__(self, kind: str, detail: str, field: str | None, error_type: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.field = field
        self.error_type = error_type
        self.status = int(STATUS[kind])
        # If the request names another kind of traffic, this value is replaced later.
        self.traffic = "live"


class Refused(Problem):
    """The caller must change the request."""

    def __init__(self, kind: str, detail: str, field: str = "body") -> None:
        super().__init__(kind, detail, field, error_type=kind)


class PredictionFailed(Problem):
    """The model raised an exception.

    The record has the exception's type, but not its message, which may quote the text. The caller
    gets neither the type nor the message.
    """

    def __init__(self, failure: Exception, traffic: str) -> None:
        super().__init__(
            "prediction-failed",
            "The model could not answer this request.",
            None,
            error_type=type(failure).__name__,
        )
        self.traffic = traffic


class FeedbackFailed(Problem):
    """The labels could not be written to the log, so the caller must send them again."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(
            "feedback-failed",
            "The labels could not be recorded; send the request again.",
            None,
            error_type=type(failure).__name__,
        )


def details(problem: Problem) -> dict[str, Any]:
    """Return the problem as RFC 9457 problem details, with `field` as an extension member."""
    return {
        "type": f"urn:prediction-monitor:{problem.kind}",
        "title": problem.kind.replace("-", " ").capitalize(),
        "status": problem.status,
        "detail": problem.detail,
        **({"field": problem.field} if problem.field else {}),
    }

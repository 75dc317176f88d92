"""Problem documents (RFC 9457) and the one table that gives every error its HTTP status.

Services raise `ServiceError` with a kind of this table; the web layer turns it into the document. `type` is stable and
meant for programs, `detail` for people, `errors` names the fields at fault and what to do about each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:alpha-umi:problem:"

Kind = Literal[
    "invalid-request",
    "malformed-request",
    "head-too-large",
    "request-timeout",
    "body-too-large",
    "unsupported-media-type",
    "unauthorized",
    "forbidden",
    "misdirected-request",
    "foreign-origin",
    "not-found",
    "method-not-allowed",
    "unknown-tool",
    "no-tools",
    "tools-loading",
    "tool-schema-invalid",
    "answer-schema-invalid",
    "context-exceeded",
    "unknown-template",
    "output-unreadable",
    "call-invalid",
    "call-unfinished",
    "answer-invalid",
    "engine-not-ready",
    "engine-dead",
    "role-unavailable",
    "storage-unavailable",
    "trajectory-not-found",
    "trajectory-pruned",
    "trajectory-finished",
    "trajectory-failed",
    "trajectory-busy",
    "trajectory-full",
    "no-output-expected",
    "call-id-mismatch",
    "output-already-submitted",
    "output-too-late",
    "idempotency-key-reused",
    "event-not-found",
    "model-not-found",
    "response-not-found",
    "previous-response-not-found",
    "response-finished",
    "conversation-not-found",
    "conversation-locked",
    "item-not-found",
    "websocket-connection-limit-reached",
    "tool-source-invalid",
    "tool-source-exists",
    "tool-source-not-found",
    "owner-limit",
    "overloaded",
    "shutting-down",
    "internal",
]


@dataclass(frozen=True)
class ProblemKind:
    """Status, and a title that does not vary with the case. `retry_after_s` where asking again later may help."""

    status: HTTPStatus
    title: str
    retry_after_s: int | None = None


PROBLEMS: dict[Kind, ProblemKind] = {
    "invalid-request": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid"),
    "malformed-request": ProblemKind(HTTPStatus.BAD_REQUEST, "This is no valid HTTP/1.1"),
    "head-too-large": ProblemKind(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request has too large a head"),
    "request-timeout": ProblemKind(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time"),
    "body-too-large": ProblemKind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request body is too large"),
    "unsupported-media-type": ProblemKind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The request body is not declared as JSON"
    ),
    "unauthorized": ProblemKind(HTTPStatus.UNAUTHORIZED, "A valid bearer key is needed"),
    "forbidden": ProblemKind(HTTPStatus.FORBIDDEN, "The key may not do this"),
    "misdirected-request": ProblemKind(HTTPStatus.MISDIRECTED_REQUEST, "The Host header does not name this service"),
    "foreign-origin": ProblemKind(HTTPStatus.FORBIDDEN, "The request comes from a page of another site"),
    "not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is nothing at this address"),
    "method-not-allowed": ProblemKind(HTTPStatus.METHOD_NOT_ALLOWED, "The method is not allowed here"),
    "unknown-tool": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "A tool of this name is not registered"),
    "no-tools": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "No tool is registered"),
    "tools-loading": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "Sources of tools are still being loaded", 5),
    "tool-schema-invalid": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "A tool's schema cannot be used"),
    "answer-schema-invalid": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The schema of the answer cannot be used"),
    "context-exceeded": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The request does not fit the model's context"),
    "unknown-template": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "There is no template of this name"),
    "output-unreadable": ProblemKind(HTTPStatus.BAD_GATEWAY, "The model's output could not be read"),
    "call-invalid": ProblemKind(HTTPStatus.BAD_GATEWAY, "The model wrote a call that is not allowed"),
    "call-unfinished": ProblemKind(HTTPStatus.BAD_GATEWAY, "The model did not finish its call within the token limit"),
    "answer-invalid": ProblemKind(HTTPStatus.BAD_GATEWAY, "The model wrote an answer that its schema does not allow"),
    "engine-not-ready": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The model cannot answer yet", 5),
    "engine-dead": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The model's engine has died", 10),
    "role-unavailable": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "A role service cannot be reached", 5),
    "storage-unavailable": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The event log cannot be written", 5),
    "trajectory-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such trajectory"),
    "trajectory-pruned": ProblemKind(HTTPStatus.GONE, "The trajectory was deleted"),
    "trajectory-finished": ProblemKind(HTTPStatus.CONFLICT, "The trajectory has ended already"),
    "trajectory-failed": ProblemKind(HTTPStatus.BAD_GATEWAY, "The trajectory has failed"),
    "trajectory-busy": ProblemKind(HTTPStatus.CONFLICT, "The trajectory has not ended yet"),
    "trajectory-full": ProblemKind(HTTPStatus.CONFLICT, "The trajectory has no room for a further turn"),
    "no-output-expected": ProblemKind(HTTPStatus.CONFLICT, "The trajectory does not wait for a tool output"),
    "call-id-mismatch": ProblemKind(HTTPStatus.CONFLICT, "The trajectory waits for the output of another call"),
    "output-already-submitted": ProblemKind(HTTPStatus.CONFLICT, "The output of this call was already submitted"),
    "output-too-late": ProblemKind(HTTPStatus.CONFLICT, "The time for this output is over"),
    "idempotency-key-reused": ProblemKind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "The idempotency key was used for another request"
    ),
    "event-not-found": ProblemKind(HTTPStatus.GONE, "The stream cannot be resumed from this event"),
    "model-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such model"),
    "response-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such response"),
    "previous-response-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no response to continue"),
    "response-finished": ProblemKind(HTTPStatus.CONFLICT, "The response has ended already"),
    "conversation-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such conversation"),
    "conversation-locked": ProblemKind(HTTPStatus.CONFLICT, "The conversation has a response that has not ended"),
    "item-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such item"),
    "websocket-connection-limit-reached": ProblemKind(HTTPStatus.BAD_REQUEST, "The web socket takes no more requests"),
    "tool-source-invalid": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The tool source cannot be used"),
    "tool-source-exists": ProblemKind(HTTPStatus.CONFLICT, "The tool source collides with another one"),
    "tool-source-not-found": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such tool source"),
    "owner-limit": ProblemKind(HTTPStatus.TOO_MANY_REQUESTS, "The owner of the key has used its share", 5),
    "overloaded": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The service has more work than it finishes in time", 5),
    "shutting-down": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The service is shutting down", 5),
    "internal": ProblemKind(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed; this is a defect"),
}
if set(PROBLEMS) != set(get_args(Kind)):
    raise AssertionError("every kind of problem has one row")
# A model wrote a text that its role service could not use: the service itself works.
UNUSABLE_OUTPUT: tuple[Kind, ...] = ("output-unreadable", "call-invalid", "call-unfinished", "answer-invalid")


class FieldProblem(BaseModel):
    """One field at fault: where it stands, what is wrong with it, what to do."""

    field: str
    message: str
    remedy: str | None = None


class Problem(BaseModel):
    """The document that answers a failed request."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldProblem] = Field(default_factory=list)

    @property
    def kind(self) -> str:
        """The last part of `type`."""
        return self.type.removeprefix(TYPE_PREFIX)


class ServiceError(Exception):
    """A failure that has a place in the table.

    `extra` members join the document (RFC 9457, section 3.2), `headers` those of the response.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        errors: Sequence[FieldProblem] = (),
        extra: dict[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail
        named = [] if field is None else [FieldProblem(field=field, message=detail, remedy=remedy)]
        self.errors = [*named, *errors]
        self.extra = extra or {}
        self.headers = headers

    def document(self, request_id: str | None = None) -> Problem:
        """The problem document for a response."""
        row = PROBLEMS[self.kind]
        return Problem(
            type=TYPE_PREFIX + self.kind,
            title=row.title,
            status=row.status.value,
            detail=self.detail,
            request_id=request_id,
            errors=self.errors,
            **self.extra,
        )


def refusal(field: str, detail: str, remedy: str) -> ServiceError:
    """The error of a request that is not valid because of one field."""
    return ServiceError("invalid-request", detail, field=field, remedy=remedy)

"""Errors in the form that OpenAI's clients parse: the same kinds as in problem documents, by one table.

Sources: the official client (`openai/_exceptions.py`, 3.57), and the chapter "Errors" of Open Responses 2026-04-24.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from alpha_umi.contract.problems import PROBLEMS, FieldProblem, Kind, ServiceError

ErrorType = Literal["invalid_request_error", "too_many_requests", "model_error", "server_error"]

# Where clients know another code than the kind itself.
_CODES: dict[Kind, str] = {
    "unauthorized": "invalid_api_key",
    "owner-limit": "rate_limit_exceeded",
    "context-exceeded": "context_length_exceeded",
    "overloaded": "server_is_overloaded",
    "internal": "server_error",
}
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")


class ErrorBody(BaseModel):
    """What failed. `param` is the path of the field at fault, such as `input[0].content`."""

    model_config = ConfigDict(extra="allow")

    message: str
    type: ErrorType
    param: str | None = None
    code: str


class ErrorDocument(BaseModel):
    """The body of a failed request."""

    error: ErrorBody


class WebSocketError(BaseModel):
    """An error on a web socket: the body of a failed request, with the status that it would have."""

    type: Literal["error"] = "error"
    status: int
    error: ErrorBody


def status_of(kind: Kind) -> int:
    """The HTTP status of a kind. Clients expect 400 for a request that is not valid, never 422."""
    status = PROBLEMS[kind].status
    return (HTTPStatus.BAD_REQUEST if status is HTTPStatus.UNPROCESSABLE_ENTITY else status).value


def code_of(kind: Kind) -> str:
    """The `code` of a kind."""
    return _CODES.get(kind, kind.replace("-", "_"))


def error_body(error: ServiceError) -> ErrorBody:
    """The `error` of a response. The message has the remedies; the first field at fault is `param`."""
    first, others = error.errors[:1], error.errors[1:]
    parts = [error.detail + "".join(map(_remedy, first))]
    parts += [f"{each.field}: {each.message}{_remedy(each)}" for each in others]
    fields: dict[str, Any] = {
        "message": "; ".join(parts),
        "type": _type_of(error.kind),
        "param": next((_INDEX.sub(r"[\1]", each.field.removeprefix("query.")) for each in first), None),
        "code": code_of(error.kind),
    }
    return ErrorBody(**error.extra | fields)


def _remedy(problem: FieldProblem) -> str:
    return f" ({problem.remedy})" if problem.remedy else ""


def _type_of(kind: Kind) -> ErrorType:
    match status_of(kind):
        case 429:
            return "too_many_requests"
        case 502:
            return "model_error"
        case status:
            return "server_error" if status >= 500 else "invalid_request_error"

"""Translate every error into a problem document (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.routing import Match

from alpha_umi import telemetry
from alpha_umi.contract.problems import PROBLEM_MEDIA_TYPE, PROBLEMS, FieldProblem, Kind, Problem, ServiceError
from alpha_umi.web.request_id import HEADER as REQUEST_ID

MAX_FIELD_PROBLEMS = 20

# The key of the form in a request's state.
ERROR_FORM: Final = "error_form"
# The response for an error and the id of its request.
ErrorForm = Callable[[ServiceError, str | None], JSONResponse]

_log = telemetry.logger(__name__)
_BY_STATUS: dict[int, Kind] = {
    401: "unauthorized",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    503: "overloaded",
}
_FORM = re.compile(r"\([a-z_:]+\)")
_REMEDIES = {
    "extra_forbidden": "leave the field out; the OpenAPI document lists the known ones",
    "missing": "add the field",
    "json_invalid": "send valid JSON",
}
# Locations of parameters, which are single values: the parts after the name are variants of a union.
_PARAMETERS = frozenset({"query", "header", "path", "cookie"})


def install_problem_handlers(app: FastAPI) -> None:
    """Register handlers that answer every error of an application with a problem document."""

    async def service_error(request: Request, error: Exception) -> JSONResponse:
        return problem_response(request, error) if isinstance(error, ServiceError) else await defect(request, error)

    async def validation_error(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestValidationError) and isinstance(error.body, bytes):
            return problem_response(request, _undeclared_body(request))
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        return problem_response(request, invalid_request(errors))

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 400:
            return problem_response(request, unreadable_body())
        kind = _BY_STATUS.get(status, "invalid-request" if status < 500 else "internal")
        reason = f": {error.detail}" if status in (413, 503) and isinstance(error, HTTPException) else ""
        response = problem_response(request, ServiceError(kind, f"{request.method} {request.url.path}{reason}"))
        if status == 405:
            response.headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
        return response

    async def defect(request: Request, error: Exception) -> JSONResponse:
        # This runs outside of the middlewares, which bind the request id.
        with telemetry.bind(request_id=request.scope.get("state", {}).get("request_id")):
            _log.error("request.failed", method=request.method, exc_info=error)
        return problem_response(request, ServiceError("internal", "the log has the details under this request id"))

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, defect)


def _allowed_methods(request: Request) -> set[str]:
    """The methods of every route of the path; Starlette lists those of the first one only.

    A path that stands in a route as it is does not count as the value of another route's variable.
    """
    matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    matching = [route for route in matching if route.path == request.url.path] or matching
    return {method for route in matching for method in getattr(route, "methods", None) or ()}


def problem_response(request: HTTPConnection, error: ServiceError) -> JSONResponse:
    """The response for an error: a problem document, or the form that a middleware set for this request."""
    row = PROBLEMS[error.kind]
    state = request.scope.setdefault("state", {})
    state["problem"] = error.kind
    form: ErrorForm = state.get(ERROR_FORM, _problem_document)
    response = form(error, state.get("request_id"))
    if row.retry_after_s is not None:
        response.headers["Retry-After"] = str(row.retry_after_s)
    response.headers.update(error.headers)
    if "request_id" in state:
        response.headers[REQUEST_ID] = state["request_id"]
    if error.kind == "unauthorized":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _problem_document(error: ServiceError, request_id: str | None) -> JSONResponse:
    document = error.document(request_id)
    return JSONResponse(document.model_dump(exclude_none=True), document.status, media_type=PROBLEM_MEDIA_TYPE)


def invalid_request(errors: Iterable[Any]) -> ServiceError:
    """The error for pydantic's errors, whose places begin with the part of the request."""
    problems = list(_field_problems(errors))
    first = problems[0].message if problems else "the request is not valid"
    detail = f"{problems[0].field}: {first}" if problems else first
    return ServiceError("invalid-request", detail, errors=problems)


def unreadable_body() -> ServiceError:
    """FastAPI answers 400 for an unreadable body, without a reason."""
    detail = "the body cannot be read: it is not UTF-8, is nested too deeply, or has a number of too many digits"
    return ServiceError("invalid-request", detail, field="body", remedy=_REMEDIES["json_invalid"])


def _undeclared_body(request: Request) -> ServiceError:
    """FastAPI passes a body on as bytes, unread, unless the request declares it as JSON."""
    declared = request.headers.get("content-type")
    detail = "the request declares no Content-Type" if declared is None else f"the Content-Type is {declared[:100]!r}"
    return ServiceError(
        "unsupported-media-type",
        f"{detail}, and the body must be JSON",
        field="Content-Type",
        remedy="send the header `Content-Type: application/json`",
    )


def _field_problems(errors: Iterable[Any]) -> Iterable[FieldProblem]:
    reported: set[str] = set()
    for error in list(errors)[:MAX_FIELD_PROBLEMS]:
        field = _field(error)
        # A parameter with a union type has one error per variant; report it once.
        if error["loc"][0] in _PARAMETERS and field in reported:
            continue
        reported.add(field)
        # Without the input itself.
        message = str(error["msg"]).removeprefix("Value error, ")
        if error["type"] == "json_invalid":
            message = f"{message} at character {error['loc'][-1]}: {error['ctx']['error']}"
        yield FieldProblem(field=field, message=message, remedy=_REMEDIES.get(error["type"]))


def _field(error: Any) -> str:
    """The path of the value. `loc` begins with body, query, header or path; `body` is omitted."""
    place = error["loc"]
    if error["type"] == "json_invalid":
        return "body"
    if place[0] in _PARAMETERS:
        return ".".join(map(str, place[:2]))
    # A part in parentheses is a variant of a union, not a field.
    parts = [str(part) for part in place if part != "body" and not _FORM.fullmatch(str(part))]
    return ".".join(parts) or "body"


_PROBLEM_RESPONSE: dict[str, Any] = {"model": Problem, "description": "Problem document (RFC 9457)"}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": _PROBLEM_RESPONSE, "5XX": _PROBLEM_RESPONSE}

"""The errors of the tools, as small problem documents (RFC 9457).

ToolError
├── NotKnown      404: there is no such country, city, unit, ...; the detail suggests similar names
└── NotPossible   422: every name is known, but the question has no answer
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
_MOST_SUGGESTIONS = 3
_MOST_REASONS = 3


class ToolError(Exception):
    """An error of a tool; its text is for the client."""

    status = HTTPStatus.BAD_REQUEST
    title = "No answer"


class NotKnown(ToolError):
    """There is no such country, city, time zone, unit, ..."""

    status = HTTPStatus.NOT_FOUND
    title = "Not known"


class NotPossible(ToolError):
    """Every name is known, but the question has no answer."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Not possible"


class Problem(BaseModel):
    """Why there is no answer."""

    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong and what may help")]


def not_known(kind: str, name: str, known: Iterable[str]) -> NotKnown:
    """An error with the unknown name and similar known names."""
    close = suggestions(name, known)
    return NotKnown(f"no {kind} is called {name!r}" + (f"; did you mean {' or '.join(close)}?" if close else ""))


def suggestions(query: str, known: Iterable[str]) -> list[str]:
    """Known names that contain the query, shortest first, then names with a similar spelling."""
    spelled = {name.casefold(): name for name in known}
    folded = query.strip().casefold()
    holding = sorted((name for name in spelled if folded in name.replace("/", " ").split()), key=len)
    alike = difflib.get_close_matches(folded, spelled, n=_MOST_SUGGESTIONS)
    return [spelled[name] for name in dict.fromkeys([*holding, *alike])][:_MOST_SUGGESTIONS]


def answer_errors_with_problems(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    app.add_exception_handler(ToolError, _no_answer)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _refused)


def problem(status: int, title: str, detail: str) -> JSONResponse:
    """A problem document as a response."""
    body = Problem(title=title, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, media_type=MEDIA_TYPE)


async def _no_answer(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ToolError)  # noqa: S101  # what the handler is registered for
    return problem(error.status, error.title, str(error))


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    reasons = [_reason(entry) for entry in error.errors()[:_MOST_REASONS]]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Not valid", "; ".join(reasons))


def _reason(entry: dict[str, Any]) -> str:
    where: Sequence[object] = entry["loc"]
    if entry["type"] == "json_invalid":
        return f"body: this is not JSON: {entry['ctx']['error']}"
    # The first part is query, path, header or body; it is the only one if the complete body is invalid.
    name = ".".join(str(part) for part in where[1:] or where)
    return f"{name}: {entry['msg'].removeprefix('Value error, ')}"


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    return problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail))

"""A tool server: an OpenAPI document of some tools, and an endpoint for each.

A tool is `POST /tools/NAME` with its arguments as a JSON object, and answers with text. Failures are problem documents
(RFC 9457). The answers come from `recordings` and `servers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Lifespan

from alpha_umi.contract.problems import PROBLEM_MEDIA_TYPE, TYPE_PREFIX, Problem, ServiceError
from alpha_umi.roles.turns import Tool
from alpha_umi.web.problems import install_problem_handlers
from evaluation.errors import EvaluationError

MAX_BODY_BYTES = 2**20
_OFFERABLE = re.compile(r"(?!_)[A-Za-z0-9_-]{1,64}(?<!_)")
_SCHEMA_KEYS = ("type", "properties", "required")

Arguments = dict[str, Any]


@dataclass(frozen=True)
class ToolAnswer:
    """An answer of a tool. A `status` of 400 or above means failure."""

    content: str
    status: int = 200


class CallRefused(Exception):
    """A tool has no answer to these arguments. `kind` is the last part of the problem's type."""

    def __init__(self, kind: str, title: str, detail: str, *, status: HTTPStatus) -> None:
        super().__init__(detail)
        self.problem = Problem(type=TYPE_PREFIX + kind, title=title, status=status.value, detail=detail)


class CannotBeOffered(EvaluationError):
    """A tool has a name that an orchestrator would change."""


# Raises `CallRefused`. May return an awaitable.
Answering = Callable[[str, Arguments], ToolAnswer | Awaitable[ToolAnswer]]


def create_tool_server(
    title: str, tools: Sequence[Tool], answering: Answering, *, lifespan: Lifespan[FastAPI] | None = None
) -> FastAPI:
    """The application; `lifespan` manages the resources of `answer`. Raises `CannotBeOffered`."""
    app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    install_problem_handlers(app)
    app.add_exception_handler(CallRefused, _refused)
    document = tools_document(title, tools)
    names = {tool.prompt_name for tool in tools}

    @app.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(document)

    @app.post("/tools/{name}")
    async def call(name: str, request: Request) -> Response:
        if name not in names:
            raise ServiceError("not-found", f"there is no tool {name[:64]!r}", remedy="see /openapi.json", field="name")
        answer = await _answer(answering, name, await _body(request))
        return PlainTextResponse(answer.content.encode("utf-8", "replace"), answer.status)

    return app


def tools_document(title: str, tools: Sequence[Tool]) -> dict[str, Any]:
    """The OpenAPI document of some tools. Raises `CannotBeOffered`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": {f"/tools/{tool.prompt_name}": {"post": _operation(tool)} for tool in tools},
    }


def _operation(tool: Tool) -> dict[str, Any]:
    if not _OFFERABLE.fullmatch(tool.prompt_name):
        raise CannotBeOffered(
            f"the tool {tool.prompt_name!r} cannot be offered under its name",
            remedy="use letters, digits, `-` and, inside, `_`",
        )
    operation: dict[str, Any] = {
        "operationId": tool.prompt_name,
        "description": tool.description,
        "x-effect": "read",
        "responses": {"200": {"description": "The answer", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    }
    # A tool without arguments has no body: an empty object would be an argument of its own.
    return operation | _request_body(tool) if tool.parameters.get("properties") else operation


def _request_body(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object"} | {key: tool.parameters[key] for key in _SCHEMA_KEYS if key in tool.parameters}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ServiceError("body-too-large", f"arguments have more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _answer(answering: Answering, name: str, body: bytes) -> ToolAnswer:
    try:
        answer = answering(name, _arguments(body))
        return answer if isinstance(answer, ToolAnswer) else await answer
    except RecursionError as error:
        raise _unreadable("nest too deeply") from error


def _arguments(body: bytes) -> Arguments:
    try:
        value = json.loads(body or b"{}", parse_constant=_no_constant)
    except ValueError as error:
        raise _unreadable("are not JSON that can be read") from error
    if not isinstance(value, dict):
        raise _unreadable("are not an object")
    return value


def _unreadable(what: str) -> ServiceError:
    return ServiceError("invalid-request", f"the arguments {what}", field="body", remedy="send a JSON object")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


async def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, CallRefused):
        raise error
    problem = error.problem
    return JSONResponse(problem.model_dump(exclude_none=True), problem.status, media_type=PROBLEM_MEDIA_TYPE)

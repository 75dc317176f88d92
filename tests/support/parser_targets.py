"""Fuzz targets below HTTP: each parser with its permitted errors, and the properties of its results.

A target takes any bytes and raises nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from alpha_umi.contract.roles import PLAN, PlanAnswer, PlanRequest, ToolModel, TurnModel
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from alpha_umi.contract.trajectories import as_trajectory
from alpha_umi.roles.backbone import parse_step
from alpha_umi.roles.caller import parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import parse_plan
from alpha_umi.roles.template import UnknownTemplate, load_template, render
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.calls.grammar import call_grammar, clear_grammar_cache
from alpha_umi.serving.manifest import MANIFEST_FILE, ManifestUnreadable, load_manifest
from alpha_umi.trajectory import (
    IllegalEvent,
    UnknownEvent,
    dump_event,
    effect_of,
    parse_event,
    replay,
)
from alpha_umi.web.key_file import KeyFileUnusable, read_key_file
from orchestrator.roles.client import RoleClient
from orchestrator.roles.errors import RoleError
from orchestrator.roles.http import RoleHttp
from orchestrator.roles.request import RoleRequest
from orchestrator.tools.errors import ArgumentError, ToolSourceError
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.request import build_request
from orchestrator.tools.openapi.security import Credentials
from orchestrator.tools.sources_file import load_sources_file

# Seconds of one processor that a target may take for a kilobyte.
PACE_S = 0.1
BASE_URL = "http://tools.example/api"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def plan(data: bytes) -> None:
    """A planner's text."""
    with contextlib.suppress(UnreadableOutput):
        result = parse_plan(_text(data))
        assert parse_plan(result.text) == result


def call(data: bytes) -> None:
    """A caller's text."""
    with contextlib.suppress(UnreadableOutput):
        result = parse_call(_text(data))
        assert parse_call(result.text) == result


def step(data: bytes) -> None:
    """A single model's text."""
    with contextlib.suppress(UnreadableOutput):
        result = parse_step(_text(data))
        assert parse_step(result.text) == result


def template(data: bytes) -> None:
    """The name of a template, and what users and tools write into one."""
    text = _text(data)
    with contextlib.suppress(UnknownTemplate):
        load_template(text)
    known = load_template("toolbench")
    history = [Turn("user", text), Turn("planner", text), Turn("caller", text), Turn("observation", text)]
    prompt = render("planner", known, history=history, tools=[Tool("t", text)])
    ends = [prompt.text[at : at + len(prompt.end_of_turn)] for at in prompt.markers]
    assert ends == [prompt.end_of_turn] * 3, "a marker of the template for each turn but the observation's"


def manifest(data: bytes) -> None:
    """A model folder's manifest."""
    path = _folder() / MANIFEST_FILE
    path.write_bytes(data)
    with contextlib.suppress(ManifestUnreadable):
        result = load_manifest(path.parent)
        path.write_text(result.model_dump_json(), encoding="utf-8")
        assert load_manifest(path.parent) == result


def openapi(data: bytes) -> None:
    """An OpenAPI document, and requests of its operations: none leaves the base address."""
    with contextlib.suppress(ToolSourceError):
        operations, _ = parse_document(
            data, source_name="fuzz", base_url=BASE_URL, default_effect=EffectClass.UNKEYED_WRITE
        )
        for operation in operations:
            for value in ("../../x", "a/b?c#d", "%2e%2e", ["..", ""], {"a": 1}, 5, None):
                _request(operation, value)


def sources(data: bytes) -> None:
    """An operator's file of tool sources."""
    path = _folder() / "sources.yaml"
    path.write_bytes(data)
    with contextlib.suppress(ToolSourceError):
        load_sources_file(path, environ={"KEY": "value"})


def schema(data: bytes) -> None:
    """A tool's schema, and the grammar of its calls."""
    parameters = _json(data)
    if isinstance(parameters, dict):
        with contextlib.suppress(ToolSchemaError):
            check_schema(parameters)
            clear_grammar_cache()
            call_grammar([Tool("tool", "", parameters)])


def role_answer(data: bytes) -> None:
    """A role service's response: the first byte selects status and media type, the rest is the body."""
    kind, body = data[:1] or b"\0", data[1:]
    status = (200, 422, 500, 502, 503, 401)[kind[0] % 6]
    media_type = ("application/json", "text/event-stream", "application/problem+json")[kind[0] // 6 % 3]
    streamed = kind[0] // 18 % 2 == 1
    _loop().run_until_complete(_call(status, media_type, body, streamed=streamed))


def trajectory_log(data: bytes) -> None:
    """The rows of a log: what can be replayed can be shown, and is written again as it was read."""
    rows = _json(data)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return
    with contextlib.suppress(UnknownEvent, IllegalEvent):
        events = [parse_event(row) for row in rows]
        assert [parse_event(dump_event(event)) for event in events] == events
        state = replay(events)
        effect_of(state)
        as_trajectory("traj_1", state, created_at=AT, finished_at=None, metadata={}).model_dump_json()


def key_file(data: bytes) -> None:
    """A file of hashed keys."""
    path = _folder() / "keys"
    path.write_bytes(data)
    path.chmod(0o600)
    with contextlib.suppress(KeyFileUnusable):
        entries = read_key_file(path)
        path.write_text("".join(f"{entry.line}\n" for entry in entries), encoding="utf-8")
        assert read_key_file(path) == entries


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        plan,
        call,
        step,
        template,
        manifest,
        openapi,
        sources,
        schema,
        role_answer,
        trajectory_log,
        key_file,
    )
}


def check(name: str, data: bytes) -> None:
    """Run a target; it also fails when it takes too long, three times in a row."""
    allowed = PACE_S * max(1.0, len(data) / 1_024)
    for _ in range(3):
        began = time.process_time()
        TARGETS[name](data)
        took = time.process_time() - began
        if took <= allowed:
            return
    raise AssertionError(f"{name} takes {took:.2f} s for {len(data)} bytes")


def _request(operation: Operation, value: Any) -> None:
    arguments = {parameter.argument: value for parameter in operation.parameters}
    with contextlib.suppress(ArgumentError):
        request = build_request(operation, arguments, idempotency_key="k", credentials=Credentials())
        assert request.url == BASE_URL or request.url.startswith((f"{BASE_URL}/", f"{BASE_URL}?")), request.url
        assert "/../" not in httpx.URL(request.url).path


async def _call(status: int, media_type: str, body: bytes, *, streamed: bool) -> None:
    request = PlanRequest(tools=[ToolModel(name="t")], history=[TurnModel(role="user", content="q")])
    answer = httpx.Response(status, headers={"Content-Type": media_type, "Retry-After": "1"}, content=body)
    http = RoleHttp(httpx.MockTransport(lambda _: answer), token=None)
    client = RoleClient("planner", "http://planner.example", http)
    question = RoleRequest(PLAN, request, "traj_1", 0)
    pieces: list[str] = []
    with contextlib.suppress(RoleError):
        result = await client.call(question, pieces.append if streamed else None)
        assert isinstance(result, PlanAnswer)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _json(data: bytes) -> Any:
    """As a request's body is read; None for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


@cache
def _folder() -> Path:
    """A folder that goes away with the process."""
    return Path(_resources.enter_context(tempfile.TemporaryDirectory()))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    _resources.callback(loop.close)
    _resources.callback(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))
    return loop


_resources = contextlib.ExitStack()
atexit.register(_resources.close)

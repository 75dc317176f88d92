"""Calls that are forwarded to a server of ToolBench's protocol, with real HTTP on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from support.serving_on_loopback import Serve, until
from support.toolbench_server import ToolBenchServer, queries_file

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.retry import NO_RETRY, RetryPolicy
from evaluation.replay.virtual import ServerRefused, VirtualServer, VirtualTools
from recordings.formats.toolbench_queries import ToolBenchApi
from recordings.suites.suite import load_suite

SITES = "popularsitesforquery_for_keyword_analysis"
KEY = "a-key-of-ours"
IDEAS = {"q": "birthday party ideas"}


@pytest.fixture
def tools(tmp_path: Path) -> list[ToolBenchApi]:
    suite = load_suite(str(queries_file(tmp_path)), tmp_path)
    return [tool for each in suite.trajectories for tool in each.tools if isinstance(tool, ToolBenchApi)]


@pytest.fixture
def call(serve: Serve, tools: list[ToolBenchApi]) -> Callable[..., httpx.Response]:
    """Call a tool through the bridge, as an orchestrator does."""

    def calling(virtual: VirtualTools, name: str = SITES, **arguments: object) -> httpx.Response:
        return httpx.post(f"{serve(virtual.application(tools))}/tools/{name}", json=arguments, timeout=30)

    return calling


Call = Callable[..., httpx.Response]


def test_a_call_becomes_the_published_request(serve: Serve, call: Call) -> None:
    server = ToolBenchServer(KEY)
    virtual = VirtualTools(VirtualServer(serve(server.application()), KEY, strip="filter"))
    answer = call(virtual, **IDEAS)
    (call,) = server.calls
    assert call.model_dump() == {
        "category": "Data", "tool_name": "keyword_analysis", "api_name": "popularsitesforquery",
        "tool_input": '{"q": "birthday party ideas"}', "strip": "filter", "toolbench_key": KEY,
    }  # fmt: skip
    assert server.keys == [KEY]
    assert (answer.status_code, answer.text[:34]) == (200, '"[{\\"name\\":\\"pinterest.com\\",\\"sc')
    assert virtual.counts == {"answered": 1}


@pytest.mark.parametrize(
    ("response", "seen", "counted"),
    [
        (JSONResponse({"error": "", "response": {"a": "ü"}}), '{"a": "\\u00fc"}', "answered"),
        (JSONResponse({"error": "Message error...", "response": ""}), '{"message": "Message error..."}', None),
        (JSONResponse({"error": "Unauthorized error...", "response": "no"}), '"no"', "Unauthorized error..."),
        (JSONResponse({"error": "", "response": "x" * 40}), f'"{"x" * 29}...', "answered"),
        (Response("oops", 500), '{"message": "request invalid, ...', "request invalid, data error. status_code=500"),
        (PlainTextResponse("no JSON"), '{"message": "request invalid, ...', "request invalid, data error"),
        (JSONResponse(["no object"]), '{"message": "request invalid, ...', "request invalid, data error"),
        (
            JSONResponse({"error": 3, "response": ""}),
            '{"message": "request invalid, ...',
            "request invalid, data error",
        ),
        (JSONResponse({"error": "", "response": f"your key is {KEY}"}), '"your key is [key]"', "answered"),
        (JSONResponse({"error": f"No {KEY}", "response": ""}), '{"message": "No [key]"}', "another error"),
        (
            JSONResponse({"error": f"request invalid, data error {KEY}", "response": ""}),
            '{"message": "request invalid, ...',
            "another error",
        ),
        (Response(b" " * (4 * 2**20 + 1)), '{"message": "request invalid, ...', "request invalid, data error"),
    ],
)
def test_what_the_planner_sees(serve: Serve, call: Call, response: Response, seen: str, counted: str | None) -> None:
    server = ToolBenchServer(KEY, responses=[response])
    limit = 1024 if counted is None else 30
    virtual = VirtualTools(VirtualServer(serve(server.application()), KEY, max_characters=limit))
    answer = call(virtual, **IDEAS)
    assert (answer.status_code, answer.text) == (200, seen)
    assert virtual.counts == {counted or "Message error...": 1}


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("12", '{"ne\\t": [12, null, "[key]"]}'),
        ("e", '{"n[key]\\t": [12, null, "12"]}'),
        ("null", '{"ne\\t": [12, null, "12"]}'),
        ("t", '{"ne\\t": [12, null, "12"]}'),
    ],
)
def test_a_short_key_breaks_no_answer(serve: Serve, call: Call, key: str, seen: str) -> None:
    server = ToolBenchServer(responses=[JSONResponse({"error": "", "response": {"ne\t": [12, None, "12"]}})])
    virtual = VirtualTools(VirtualServer(serve(server.application()), key))
    answer = call(virtual, **IDEAS)
    assert (answer.status_code, answer.text) == (200, seen)


def test_no_answer_in_time_is_the_published_error(serve: Serve, call: Call) -> None:
    server = ToolBenchServer(KEY, hang_after=0)
    virtual = VirtualTools(VirtualServer(serve(server.application()), KEY, timeout_s=0.3))
    assert call(virtual, **IDEAS).text == '{"message": "Timeout error..."}'
    assert virtual.counts == {"Timeout error...": 1}


def test_a_request_to_a_starting_server_is_retried(serve: Serve, call: Call) -> None:
    server = ToolBenchServer(KEY, responses=[Response("", 503), Response("", 429)])
    virtual = VirtualTools(VirtualServer(serve(server.application()), KEY))
    assert call(virtual, **IDEAS).status_code == 200
    assert (len(server.calls), virtual.counts) == (3, {"answered": 1})


async def test_an_unavailable_server_is_distinguished(call: Call, free_port: int) -> None:
    virtual = VirtualTools(VirtualServer(f"http://user:pass@127.0.0.1:{free_port}", KEY, timeout_s=0.2))
    answer = await asyncio.to_thread(call, virtual, **IDEAS)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:alpha-umi:problem:tool-server-away")
    assert "pass" not in answer.text
    with pytest.raises(Unavailable, match=f"http://127.0.0.1:{free_port}/virtual is unavailable") as away:
        await virtual.ready(NO_RETRY)
    assert "pass" not in str(away.value)


async def test_a_wrong_key_is_remembered(serve: Serve, call: Call) -> None:
    server = ToolBenchServer(KEY)
    virtual = VirtualTools(VirtualServer(serve(server.application()), "another"))
    await virtual.ready(NO_RETRY)
    for _ in range(2):
        answer = await asyncio.to_thread(call, virtual, **IDEAS)
        assert answer.status_code == 503
    assert len(server.calls) == 1
    with pytest.raises(ServerRefused, match="refuses the key") as refused:
        await virtual.ready(NO_RETRY)
    assert "another" not in str(refused.value).replace("another key", "")
    assert "another'" not in repr(virtual.server)


async def test_another_server_is_none(serve: Serve) -> None:
    other = VirtualTools(VirtualServer(f"{serve(ToolBenchServer().application())}/rapidapi"))
    with pytest.raises(ServerRefused, match=r"no tool server at http://127\.0\.0\.1:\d+/rapidapi: status 404"):
        await other.ready(NO_RETRY)


@asynccontextmanager
async def waiting(virtual: VirtualTools) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(virtual.ready(RetryPolicy(wait_s=30, first_pause_s=0.01)))
    yield task
    await task


async def test_a_server_is_waited_for(serve: Serve) -> None:
    application, requests = FastAPI(), []

    @application.get("/virtual")
    async def starting() -> Response:
        requests.append(1)
        return Response("", 503 if len(requests) < 3 else 405)

    async with waiting(VirtualTools(VirtualServer(serve(application)))):
        await until(lambda: len(requests) == 3)

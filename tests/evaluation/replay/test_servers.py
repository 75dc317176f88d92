"""The replay servers over HTTP, with valid and invalid calls."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.serving_on_loopback import Serve

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.turns import Tool, Turn
from evaluation.replay.__main__ import main
from evaluation.replay.recordings import CannotReplay, build_replay, compatible_groups
from evaluation.replay.servers import create_calculator_server, create_python_server, create_replay_server
from evaluation.replay.tool_server import CannotBeOffered, tools_document
from recordings.sandbox import Limits
from recordings.trajectory import RecordedTrajectory

ROOT = Path(__file__).parents[3]
PROBLEM = "urn:alpha-umi:problem:"
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]})
NOW = Tool("now", "The time.")


def recorded(*calls: tuple[str, dict[str, Any], str], name: str = "t", tools: tuple[Tool, ...] = (LOOK, NOW)) -> Any:
    turns = [Turn("user", "Look.")]
    for tool, arguments, content in calls:
        turns += [Turn("planner", "Next: caller."), Turn("caller", write_call(tool, arguments))]
        turns += [Turn("observation", content)]
    return RecordedTrajectory(name, tools, tuple(turns))


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://tools")


def replaying(*calls: tuple[str, dict[str, Any], str]) -> httpx.AsyncClient:
    return client_of(create_replay_server(build_replay([recorded(*calls)])))


async def test_the_exact_call_has_its_recorded_answer() -> None:
    async with replaying(("look", {"at": "it", "n": 5}, '{"seen": true}'), ("now", {}, "noon")) as client:
        answer = await client.post("/tools/look", json={"n": 5.0, "at": "it"})
        assert (answer.status_code, answer.text) == (200, '{"seen": true}')
        assert answer.headers["content-type"].startswith("text/plain")
        assert (await client.post("/tools/now")).text == "noon"
        counts = (await client.get("/counts")).json()
    assert counts == {"answered": {"look": 1, "now": 1}, "not_recorded": {}}


@pytest.mark.parametrize("arguments", [{"at": "that"}, {}, {"at": "it", "more": 1}, {"at": True}, {"at": ["it"]}])
async def test_another_call_is_a_typed_error_and_counted(arguments: dict[str, Any]) -> None:
    async with replaying(("look", {"at": "it"}, "seen")) as client:
        answer = await client.post("/tools/look", json=arguments)
        counts = (await client.get("/counts")).json()
    assert (answer.status_code, answer.json()["type"]) == (404, f"{PROBLEM}call-not-recorded")
    assert "seen" not in answer.text
    assert counts == {"answered": {}, "not_recorded": {"look": 1}}


async def test_a_repeated_call_has_its_answers_in_order() -> None:
    async with replaying(("now", {}, "one"), ("now", {}, "two")) as client:
        assert [(await client.post("/tools/now")).text for _ in range(3)] == ["one", "two", "two"]


async def test_a_failure_is_replayed_with_its_status() -> None:
    async with replaying(
        ("now", {}, 'HTTP 503 from the tool: {"a":1}'), ("now", {}, "HTTP 404 from the tool.")
    ) as client:
        first, second = [await client.post("/tools/now") for _ in range(2)]
    assert [(first.status_code, first.text), (second.status_code, second.text)] == [(503, '{"a":1}'), (404, "")]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", "/tools/look", b"{", 422, "invalid-request"),
        ("POST", "/tools/look", b"[1]", 422, "invalid-request"),
        ("POST", "/tools/look", b'{"at": NaN}', 422, "invalid-request"),
        ("POST", "/tools/look", b"\xff", 422, "invalid-request"),
        ("POST", "/tools/look", b'{"at": ' + b"[" * 100_000, 422, "invalid-request"),
        ("POST", "/tools/look", b'{"at": ' + b"[" * 700 + b"]" * 700 + b"}", 422, "invalid-request"),
        ("POST", "/tools/look", b'{"at": ' + b"9" * 5_000 + b"}", 422, "invalid-request"),
        ("POST", "/tools/look", b" " * (2**20 + 1), 413, "body-too-large"),
        ("POST", "/tools/gone", b"{}", 404, "not-found"),
        ("GET", "/tools/look", b"", 405, "method-not-allowed"),
        ("GET", "/elsewhere", b"", 404, "not-found"),
    ],
)
async def test_bad_requests(method: str, path: str, body: bytes, status: int, kind: str) -> None:
    async with replaying(("look", {"at": "it"}, "seen")) as client:
        answer = await client.request(method, path, content=body)
        counts = (await client.get("/counts")).json()
    assert (answer.status_code, answer.json()["type"]) == (status, PROBLEM + kind)
    assert counts == {"answered": {}, "not_recorded": {}}


async def test_half_a_surrogate_pair_is_no_defect() -> None:
    async with replaying(("look", {"at": "it"}, "seen \ud800")) as client:
        assert (await client.post("/tools/look", json={"at": "it"})).text == "seen ?"
        assert (await client.post("/tools/look", content=b'{"at": "\\ud800"}')).status_code == 404


async def test_the_document_follows_openapi() -> None:
    async with replaying(("look", {"at": "it"}, "seen")) as client:
        document = (await client.get("/openapi.json")).json()
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"]) == {"/tools/look", "/tools/now"}
    assert "requestBody" not in document["paths"]["/tools/now"]["post"]


@pytest.mark.parametrize("name", ["a b", "_private", "", "ends_", "ä", "a" * 63 + "/"])
def test_a_name_that_an_orchestrator_would_change(name: str) -> None:
    with pytest.raises(CannotBeOffered, match="under its name"):
        tools_document("t", [Tool(name)])


def test_a_long_name_is_offered_as_models_see_it() -> None:
    assert list(tools_document("t", [Tool("x" * 10 + "y" * 64)])["paths"]) == [f"/tools/{'y' * 64}"]


def test_trajectories_that_contradict_each_other_are_replayed_apart() -> None:
    other_tool = recorded(("look", {"at": "a"}, "1"), name="b", tools=(Tool("look", "Other."),))
    other_answer = recorded(("look", {"at": "a"}, "2"), name="c")
    first, same = recorded(("look", {"at": "a"}, "1"), name="a"), recorded(("look", {"at": "a"}, "1"), name="d")
    groups = compatible_groups([first, other_tool, other_answer, same])
    assert [[each.id for each in group] for group in groups] == [["a", "d"], ["b"], ["c"]]
    with pytest.raises(CannotReplay, match="'b': another trajectory has another tool of the name 'look'"):
        build_replay([first, other_tool])
    with pytest.raises(CannotReplay, match="'c': another trajectory has the same call"):
        build_replay([first, other_answer])


def test_too_many_tools_for_one_document_are_replayed_apart() -> None:
    half = [tuple(Tool(f"t{half}x{place}") for place in range(260)) for half in range(2)]
    first, second = (recorded((tools[0].name, {}, "1"), name=tools[0].name, tools=tools) for tools in half)
    assert [len(group) for group in compatible_groups([first, second])] == [1, 1]
    with pytest.raises(CannotReplay, match="more than 500 tools"):
        build_replay([first, second])


def test_nothing_to_replay_is_an_error() -> None:
    with pytest.raises(CannotReplay, match="no call was recorded"):
        build_replay([])
    with pytest.raises(CannotReplay, match="no call was recorded"):
        build_replay([recorded(("never_offered", {}, "x"))])


@pytest.mark.parametrize(("expression", "result"), [("3*(4+5)", "27"), ("1/8", "0.125")])
async def test_the_calculator(expression: str, result: str) -> None:
    async with client_of(create_calculator_server()) as client:
        answer = await client.post("/tools/calculator", json={"expression": expression})
    assert json.loads(answer.text) == {"result": result}


@pytest.mark.parametrize(
    "arguments", [{}, {"expression": 5}, {"expression": "1/0"}, {"expression": "9**9**9"}, {"expression": "1", "x": 1}]
)
async def test_what_the_calculator_refuses(arguments: dict[str, Any]) -> None:
    async with client_of(create_calculator_server()) as client:
        answer = await client.post("/tools/calculator", json=arguments)
    assert (answer.status_code, answer.json()["type"]) == (422, f"{PROBLEM}not-computed")


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("48/2", 200, "24.0"),
        ("x = 1", 200, ""),
        ("print('on the way')\n1/0", 422, "on the way\nZeroDivisionError: division by zero (line 2)"),
        ("open('/etc/passwd')", 422, "PermissionError: Permission denied: '/etc/passwd' (line 1)"),
    ],
)
async def test_python(serve: Serve, code: str, status: int, text: str) -> None:
    async with httpx.AsyncClient(base_url=serve(create_python_server())) as client:
        answer = await client.post("/tools/python", json={"code": code})
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("arguments", [{}, {"code": 5}, {"code": None}, {"code": "1", "more": 1}])
async def test_calls_that_python_does_not_run(serve: Serve, arguments: dict[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=serve(create_python_server())) as client:
        answer = await client.post("/tools/python", json=arguments)
    assert (answer.status_code, answer.json()["type"]) == (422, f"{PROBLEM}code-not-run")


async def test_python_has_a_document_and_answers_others_meanwhile(serve: Serve) -> None:
    async with httpx.AsyncClient(base_url=serve(create_python_server(Limits(seconds=2))), timeout=30) as client:
        endless = asyncio.create_task(client.post("/tools/python", json={"code": "while True: pass"}))
        short = await client.post("/tools/python", json={"code": "1 + 1"})
        OpenAPIV31SpecValidator((await client.get("/openapi.json")).json()).validate()
        assert (short.text, endless.done()) == ("2", False)
        assert (await endless).text.startswith("TimeoutError")


@pytest.mark.parametrize("arguments", [[], ["perl"], ["python", "no"], ["python", "70000"], ["python", "1", "2"]])
def test_serving_nothing_says_how(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "python -m evaluation.replay python [PORT]" in capsys.readouterr().err


async def test_a_tool_is_served_on_its_own(free_port: int) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evaluation.replay", "python", str(free_port),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{free_port}"
        assert server.stdout is not None
        assert (await server.stdout.readline()).decode().strip() == f"{address}/openapi.json"
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            await answering(client)
            assert (await client.post("/tools/python", json={"code": "2 ** 10"})).text == "1024"
    finally:
        server.terminate()
        await server.wait()


async def answering(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await client.get("/openapi.json")
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.05)

"""The servers over HTTP, with calls that are right and calls that are not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.turns import Tool, Turn
from evaluation.replay.recordings import CannotReplay, replay_of, together
from evaluation.replay.servers import create_calculator_server, create_replay_server
from evaluation.replay.tool_server import CannotBeOffered, tools_document
from evaluation.suites.recorded import RecordedTrajectory

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
    return client_of(create_replay_server(replay_of([recorded(*calls)])))


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
    groups = together([first, other_tool, other_answer, same])
    assert [[each.id for each in group] for group in groups] == [["a", "d"], ["b"], ["c"]]
    with pytest.raises(CannotReplay, match="'b': another trajectory has another tool of the name 'look'"):
        replay_of([first, other_tool])
    with pytest.raises(CannotReplay, match="'c': another trajectory has the same call"):
        replay_of([first, other_answer])


def test_too_many_tools_for_one_document_are_replayed_apart() -> None:
    half = [tuple(Tool(f"t{half}x{place}") for place in range(260)) for half in range(2)]
    first, second = (recorded((tools[0].name, {}, "1"), name=tools[0].name, tools=tools) for tools in half)
    assert [len(group) for group in together([first, second])] == [1, 1]
    with pytest.raises(CannotReplay, match="more than 500 tools"):
        replay_of([first, second])


def test_nothing_to_replay_is_an_error() -> None:
    with pytest.raises(CannotReplay, match="no call was recorded"):
        replay_of([])
    with pytest.raises(CannotReplay, match="no call was recorded"):
        replay_of([recorded(("never_offered", {}, "x"))])


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

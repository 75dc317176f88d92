"""The caller service: one call, its validation, its repair, and refused requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.role_apps import application, client_of, scripted

from alpha_umi.serving.scripted import Rule
from services.caller import create_router

Json = dict[str, Any]

GOOD = 'Action: sun_times\nAction Input: {"city": "Oslo"}'
THOUGHT = "I ask the tool. Next: caller."


@pytest.fixture
def body(tools: list[Json], history: list[Json]) -> Json:
    return {"tools": tools, "history": [*history, {"role": "planner", "content": THOUGHT}]}


async def ask(rules: list[Rule], body: Json, path: str = "/v1/call") -> tuple[int, Json, Any]:
    engine = scripted(*rules)
    async with client_of(application("caller", create_router, engine, answer_tokens=256)) as client:
        response = await client.post(path, json=body)
        return response.status_code, response.json(), engine


async def test_a_call(body: Json) -> None:
    status, call, engine = await ask([Rule([GOOD + "\n\nObservation: 03:54"])], body)
    assert (status, call["action"]) == (200, {"name": "sun_times", "arguments": {"city": "Oslo"}})
    assert (call["text"], call["repaired"], call["timings"]["attempts"]) == (GOOD, False, 1)
    assert len(engine.prompts) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("I cannot.", "no 'Action:' line"),
        ("Action: sun_time\nAction Input: {}", "did you mean sun_times"),
        ("Action: sun_times\nAction Input: {}", "required property"),
        ('Action: sun_times\nAction Input: {"city": "Oslo", "day": 32}', "sun_times: day: "),
        ("Action: sun_times\nAction Input: {'city': 'Oslo'}", "not JSON"),
        ('Action: sun_times\nAction Input: {"city": "\\ud83d"}', "surrogate"),
        ('Action: sun_times\nAction Input: {"city": "Oslo", "height": 1e999}', "too large"),
    ],
)
@pytest.mark.parametrize("constrained", [True, False])
async def test_one_repair_with_the_error_in_the_prompt(body: Json, bad: str, reason: str, constrained: bool) -> None:
    status, call, engine = await ask([Rule([bad, GOOD])], {**body, "constrained": constrained})
    assert (status, call["repaired"], call["timings"]["attempts"]) == (200, True, 2)
    assert f"caller: {bad}" in engine.prompts[-1]
    assert "observation: No call was made: " in engine.prompts[-1]
    assert reason in engine.prompts[-1]


@pytest.mark.parametrize("constrained", [True, False])
async def test_a_single_attempt_is_not_repaired(body: Json, constrained: bool) -> None:
    bad = "Action: sun_time\nAction Input: {}"
    status, problem, engine = await ask([Rule([bad, GOOD])], {**body, "constrained": constrained, "attempts": 1})
    assert (status, problem["text"], problem["timings"]["attempts"]) == (502, bad, 1)
    assert len(engine.prompts) == 2


async def test_a_call_that_stays_wrong_is_a_typed_failure(body: Json) -> None:
    bad = "Action: sun_time\nAction Input: {}"
    status, problem, engine = await ask([Rule([bad])], body)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:call-invalid")
    assert (problem["text"], len(engine.prompts)) == (bad, 3)
    assert "did you mean sun_times" in problem["detail"]
    assert problem["usage"]["completion_tokens"] > 0
    assert problem["timings"]["attempts"] == 2


async def test_the_thought_may_come_beside_the_history(body: Json, history: list[Json]) -> None:
    apart = {**body, "history": history, "thought": THOUGHT}
    prompts = [
        (await ask([], request, "/v1/call/render"))[1]["prompt"]
        for request in (body, apart, {**body, "thought": THOUGHT})
    ]
    assert prompts[0] == prompts[1] == prompts[2]
    assert prompts[0].count(THOUGHT) == 2  # in the history, and as the thought of this step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thought": "Another. Next: caller."}, "differs from the planner turn"),
        ({"history": [{"role": "user", "content": "x"}]}, "`thought` is needed"),
    ],
)
async def test_two_thoughts_or_none_are_refused(body: Json, change: Json, message: str) -> None:
    status, problem, _ = await ask([], {**body, **change})
    assert (status, message in json.dumps(problem)) == (422, True)


LOOP = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/loop"}]}


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        ({"type": "objec"}, "tools.1.parameters", "objec"),
        (
            {"type": "object", "properties": {"a": {"$ref": "https://example.org/x"}}},
            ".properties.a.$ref",
            "another document",
        ),
        (
            {"type": "object", "properties": {"t": {"$ref": "#/$defs/loop"}}, "$defs": {"loop": LOOP}},
            ".anyOf",
            "itself",
        ),
        (
            {"type": "object", "properties": {"a": {"pattern": "("}}},
            "tools.1.parameters.properties.a.pattern",
            "not a regular",
        ),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, ".properties.a", "nothing is allowed"),
        ({"type": "object", "description": "x" * 600_000}, "tools.1.parameters", "bytes"),
    ],
)
async def test_an_unusable_schema_is_refused_before_generation(
    body: Json, schema: Json, field: str, message: str
) -> None:
    tools = [body["tools"][0], {"name": "other", "parameters": schema}]
    status, problem, engine = await ask([Rule([GOOD])], {**body, "tools": tools})
    assert (status, problem["type"]) == (422, "urn:alpha-umi:problem:tool-schema-invalid")
    assert field in problem["errors"][0]["field"]
    assert message in problem["detail"]
    assert problem["errors"][0]["remedy"]
    assert len(engine.prompts) == 1  # only the canary


async def test_a_part_that_only_the_check_enforces_is_counted(body: Json) -> None:
    properties = {"city": {"type": "string", "pattern": ".*o.{200}"}}
    tools = [{"name": "sun_times", "parameters": {"type": "object", "properties": properties}}]
    async with client_of(application("caller", create_router, scripted(Rule([GOOD])))) as client:
        problem = (await client.post("/v1/call", json={**body, "tools": tools})).json()
        metrics = (await client.get("/metrics")).text
    assert "does not match" in problem["detail"]
    assert 'alpha_umi_role_loosened_grammars_total{reason="pattern",role="caller"} 1.0' in metrics


async def test_a_long_name_is_known_by_its_end(body: Json) -> None:
    name = "a" * 20 + "b" * 64
    tools = [{"name": name, "parameters": {}}]
    status, call, _ = await ask([Rule([f"Action: {name[-64:]}\nAction Input: {{}}"])], {**body, "tools": tools})
    assert (status, call["action"]["name"]) == (200, "b" * 64)


LONG = f'Action: sun_times\nAction Input: {{"city": "{"far " * 300}"}}'


@pytest.mark.parametrize("constrained", [True, False])
async def test_an_unfinished_call_is_written_again_with_more_room(body: Json, constrained: bool) -> None:
    status, call, engine = await ask([Rule([f"{LONG} and on {LONG}", LONG])], {**body, "constrained": constrained})
    assert (status, call["repaired"], call["call_unfinished"]) == (200, True, True)
    assert call["action"]["arguments"] == {"city": "far " * 300}
    assert "the call was not finished within 256 tokens; write a shorter one" in engine.prompts[-1]


async def test_a_call_that_stays_unfinished_is_never_sent(body: Json) -> None:
    status, problem, _ = await ask([Rule([LONG.replace("far ", "far " * 3)])], body)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:call-unfinished")
    assert (problem["call_unfinished"], problem["timings"]["attempts"]) == (True, 2)
    assert problem["detail"].startswith("the call was not finished within 512 tokens")
    status, problem, _ = await ask([Rule([LONG])], {**body, "attempts": 1})
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:call-unfinished")


async def test_a_finished_call_before_the_limit_counts(body: Json) -> None:
    status, call, _ = await ask([Rule([f"{GOOD}\n{'and so on ' * 300}"])], {**body, "constrained": False})
    assert (status, call["text"], call["repaired"], call["call_unfinished"]) == (200, GOOD, False, False)


async def test_a_member_written_twice_is_refused(body: Json) -> None:
    twice = 'Action: sun_times\nAction Input: {"city": "Oslo", "city": "Rome"}'
    status, call, engine = await ask([Rule([twice, GOOD])], {**body, "constrained": False})
    assert (status, call["action"]["arguments"]) == (200, {"city": "Oslo"})
    assert "the member 'city' is written twice" in engine.prompts[-1]


async def test_two_tools_of_one_name_are_refused(body: Json) -> None:
    status, problem, _ = await ask([], {**body, "tools": [{"name": "t"}, {"name": "t"}]})
    assert (status, problem["errors"][0]["field"]) == (422, "tools")
    assert "two tools are called 't'" in problem["errors"][0]["message"]

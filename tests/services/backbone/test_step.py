"""The single model's step: free text, then a call inside the grammar or an answer, and what is said of a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from role_apps import application, client_of, scripted

from alpha_umi.serving.scripted import Rule
from services.backbone.api import create_router

Json = dict[str, Any]
CALL = 'Action: sun_times\nAction Input: {"city": "Oslo"}'


async def step(*rules: Rule, request: Json) -> tuple[int, Json]:
    """Status and body of one request to a backbone that follows the rules."""
    async with client_of(application("backbone", create_router, scripted(*rules))) as client:
        response = await client.post("/v1/step", json=request)
        return response.status_code, response.json()


@pytest.fixture
def request_body(tools: list[Json], history: list[Json]) -> Json:
    return {"tools": tools, "history": history}


async def test_a_call_is_written_inside_the_grammar(request_body: Json) -> None:
    rules = [Rule([CALL], when="I ask for the sun.\n"), Rule(["I ask for the sun.\nAction: sun_tim and so on"])]
    status, answer = await step(*rules, request=request_body)
    assert status == 200
    assert (answer["next"], answer["thought"], answer["text"]) == ("caller", "I ask for the sun.", CALL)
    assert answer["action"] == {"name": "sun_times", "arguments": {"city": "Oslo"}}
    assert (answer["answer"], answer["reason"], answer["timings"]["attempts"]) == (None, None, 1)


async def test_an_answer(request_body: Json) -> None:
    status, answer = await step(Rule(["I know it.\nconclusion: At 03:53."]), request=request_body)
    assert status == 200
    assert (answer["next"], answer["thought"], answer["answer"]) == ("conclusion", "I know it.", "At 03:53.")
    assert answer["action"] is None


async def test_giving_up(request_body: Json) -> None:
    _, answer = await step(Rule(["No tool helps.\nconclusion: give up."]), request=request_body)
    assert (answer["next"], answer["answer"], answer["action"]) == ("give up", None, None)


async def test_a_text_without_either_goes_on_with_one_of_them(request_body: Json) -> None:
    rules = [
        Rule([" At 03:53."], when="mumble\nconclusion:"),
        Rule(["\nconclusion: "], when="mumble"),
        Rule(["mumble"]),
    ]
    status, answer = await step(*rules, request=request_body)
    assert status == 200
    assert (answer["next"], answer["thought"], answer["answer"]) == ("conclusion", "mumble", " At 03:53.")
    assert answer["timings"]["attempts"] == 2


async def test_a_limit_leaves_nothing_but_the_answer(request_body: Json) -> None:
    rule = Rule(["What is known: 03:53."], when="conclusion: ")
    _, answer = await step(rule, request={**request_body, "conclude": True})
    assert (answer["next"], answer["answer"]) == ("conclusion", "What is known: 03:53.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('t\nAction: moon_times\nAction Input: {"city": "Oslo"}', "moon_times"),
        ("t\nAction: sun_times\nAction Input: {}", "city"),
        ("t\nAction: sun_times\nAction Input: Oslo", "JSON"),
        ("t\nAction: sun_times", "Action Input"),
    ],
)
async def test_a_call_that_cannot_be_made_says_why(request_body: Json, text: str, reason: str) -> None:
    status, answer = await step(Rule([text]), request={**request_body, "constrained": False})
    assert status == 200
    assert (answer["next"], answer["action"]) == ("caller", None)
    assert reason in answer["reason"]
    assert answer["text"] == text.partition("\n")[2]


async def test_a_free_model_is_asked_twice_and_then_it_is_unreadable(request_body: Json) -> None:
    free = {**request_body, "constrained": False}
    status, answer = await step(Rule(["mumble", "Now.\nconclusion: At 03:53."]), request=free)
    assert (status, answer["answer"], answer["timings"]["attempts"]) == (200, "At 03:53.", 2)
    status, problem = await step(Rule(["mumble"]), request=free)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert problem["text"] == "mumble"


async def test_the_stream_holds_the_whole_text(request_body: Json) -> None:
    rules = [Rule([CALL], when="I ask.\n"), Rule(["I ask.\nAction:"])]
    async with client_of(application("backbone", create_router, scripted(*rules))) as client:
        body = {**request_body, "stream": True}
        async with aconnect_sse(client, "POST", "/v1/step", json=body) as source:
            events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
    assert events[-1][0] == "done"
    assert events[-1][1]["action"]["name"] == "sun_times"
    assert events[0][1]["text"] == "I"


@pytest.mark.parametrize("change", [{"tools": []}, {"history": []}, {"extra": 1}, {"conclude": "perhaps"}])
async def test_a_bad_request_names_the_field(request_body: Json, change: Json) -> None:
    status, problem = await step(request=request_body | change)
    assert status == 422
    assert problem["errors"][0]["field"] == next(iter(change))


async def test_the_published_prompts(golden: Path) -> None:
    lines = [json.loads(line) for line in (golden / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    chosen = [line for line in lines if line["role"] == "backbone"]
    assert chosen
    async with client_of(application("backbone", create_router, scripted(context=100_000))) as client:
        for line in chosen:
            turns = [
                {"role": {"assistant": "planner"}.get(turn["from"], turn["from"]), "content": turn["value"]}
                for turn in line["history"]
            ]
            body = {"history": turns, "tools": [as_tool(tool) for tool in line["tools"]], "template": "toolbench"}
            response = await client.post("/v1/step/render", json=body)
            assert response.status_code == 200, response.text
            assert response.json()["prompt"] == line["prompt"]


def as_tool(tool: Json) -> Json:
    """The published "type, description" as JSON Schema; without the comma there was no description."""
    properties = {
        name: dict(zip(("type", "description"), text.split(", ", 1), strict=False))
        for name, text in tool["input"].items()
    }
    return {
        "name": tool["Name"],
        "description": tool["function"],
        "parameters": {"type": "object", "properties": properties},
    }

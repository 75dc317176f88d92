"""The summarizer service: a streamed answer, made of what the observations say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.role_apps import application, client_of, scripted

from alpha_umi.serving.scripted import Rule
from services.summarizer import create_router

Json = dict[str, Any]


def history(*observations: str) -> list[Json]:
    turns = [{"role": "user", "content": "How long is the day in Oslo?"}]
    for observation in observations:
        turns += [
            {"role": "planner", "content": "I ask. Next: caller."},
            {"role": "caller", "content": "Action: sun_times\nAction Input: {}"},
            {"role": "observation", "content": observation},
        ]
    return [*turns, {"role": "planner", "content": "Known. Next: conclusion."}]


async def ask(rules: list[Rule], body: Json, path: str = "/v1/summarize") -> tuple[int, Json, Any]:
    engine = scripted(*rules, context=600)
    async with client_of(application("summarizer", create_router, engine)) as client:
        response = await client.post(path, json=body)
        return response.status_code, response.json(), engine


@pytest.mark.parametrize(("observation", "answer"), [("18 h 49 min", "18 h 49 min."), ("5 h 53 min", "5 h 53 min.")])
async def test_figures_come_from_the_observations(observation: str, answer: str) -> None:
    """The same model and question with another observation: another answer, because the prompt carries it."""
    rules = [Rule([" 18 h 49 min.\n"], when="18 h 49 min"), Rule(["5 h 53 min."], when="5 h 53 min")]
    status, summary, engine = await ask(rules, {"history": history(observation)})
    assert (status, summary["answer"]) == (200, answer)
    assert f"observation: {observation}" in engine.prompts[-1]


async def test_the_answer_is_streamed() -> None:
    engine = scripted(Rule(["It is 18 hours."]))
    async with (
        client_of(application("summarizer", create_router, engine)) as client,
        aconnect_sse(client, "POST", "/v1/summarize", json={"history": history("x"), "stream": True}) as source,
    ):
        events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
    assert "".join(data["text"] for kind, data in events if kind == "delta") == "It is 18 hours."
    assert len(events) > 2
    assert (events[-1][0], events[-1][1]["answer"]) == ("done", "It is 18 hours.")


async def test_an_empty_answer_is_written_once_more() -> None:
    status, summary, _ = await ask([Rule(["\n", "Now."])], {"history": history("x")})
    assert (status, summary["answer"], summary["timings"]["attempts"]) == (200, "Now.", 2)


async def test_a_single_attempt_is_final() -> None:
    status, problem, engine = await ask([Rule(["\n", "Now."])], {"history": history("x"), "attempts": 1})
    assert (status, problem["timings"]["attempts"], len(engine.prompts)) == (502, 1, 2)


async def test_an_answer_that_stays_empty_is_a_typed_failure() -> None:
    status, problem, engine = await ask([Rule([""])], {"history": history("x")})
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert len(engine.prompts) == 3


async def test_a_long_history_is_condensed() -> None:
    status, summary, engine = await ask(
        [Rule(["Short."])], {"history": history("word " * 900, "newest 19"), "max_tokens": 32}
    )
    assert (status, summary["truncated"]) == (200, True)
    assert "newest 19" in engine.prompts[-1]


@pytest.mark.parametrize(
    ("newest", "max_tokens", "field", "message"),
    [
        ("word " * 900, 32, "history", "the newest turn needs"),
        ("x", 600, "max_tokens", "600 tokens for the answer leave nothing of the context's 600"),
    ],
)
async def test_what_cannot_fit_is_named(newest: str, max_tokens: int, field: str, message: str) -> None:
    body = {"history": [{"role": "planner", "content": newest}], "max_tokens": max_tokens}
    status, problem, _ = await ask([], body)
    assert (status, problem["type"]) == (422, "urn:alpha-umi:problem:context-exceeded")
    assert problem["errors"][0]["field"] == field
    assert message in problem["detail"]
    assert "longer context" in problem["errors"][0]["remedy"]


async def test_render() -> None:
    status, rendered, _ = await ask([], {"history": history("x")}, "/v1/summarize/render")
    assert status == 200
    assert rendered["prompt"].startswith("Make a conclusion based on the conversation history:\nuser: How long")
    assert rendered["prompt"].endswith("Known. Next: conclusion.</s> conclusion: ")

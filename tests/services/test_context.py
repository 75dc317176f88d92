"""Histories of one, two and twenty contexts with the real tokenizer: long ones are shortened and marked `truncated`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.role_apps import application, client_of, scripted

from alpha_umi.roles.template import AnyPrompt, load_template, render
from alpha_umi.roles.turns import Role, Tool, Turn, TurnRole, tool_document
from alpha_umi.serving.scripted import ScriptedEngine
from alpha_umi.serving.tokens import PromptTokenizer
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

Json = dict[str, Any]

CONTEXT = 8_192  # the embedded model's
ANSWER_TOKENS = 64
INSTRUCTION = "Which of these cities has the longest day in June, and how long is it there?"
NEWEST = "I know enough of Oslo. I ask for the day in Reykjavik. Next: caller."
WORDS = "The sun rises at 03:53 and sets at 22:43; the day lasts 18 h 50 min, twilight 2 h 4 min. "
TOOL = Tool("sun_times", "Sunrise and sunset of a city", {"type": "object", "properties": {"city": {"type": "string"}}})

ROUTERS = {"planner": planner_router, "caller": caller_router, "summarizer": summarizer_router}
PATHS = {"planner": "/v1/plan", "caller": "/v1/call", "summarizer": "/v1/summarize"}
ROLES = sorted(PATHS)


class CountingEngine(ScriptedEngine):
    """A scripted engine with the real model's token counts."""

    tokenizer: PromptTokenizer

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        return len(self.tokenizer.encode(prompt))


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> PromptTokenizer:
    return PromptTokenizer(embedded_model)


@pytest.fixture
async def client(role: Role, tokenizer: PromptTokenizer) -> AsyncIterator[httpx.AsyncClient]:
    engine = CountingEngine(scripted().rules, context=CONTEXT)
    engine.tokenizer = tokenizer
    async with client_of(application(role, ROUTERS[role], engine, answer_tokens=ANSWER_TOKENS)) as result:
        yield result


def history_of(tokenizer: PromptTokenizer, contexts: float) -> list[Turn]:
    """An instruction, steps with observations of mixed sizes, and a newest rationale, of about `contexts` contexts."""
    history = [Turn("user", INSTRUCTION)]
    tokens, step = 0, 0
    while tokens < contexts * CONTEXT:
        added: list[tuple[TurnRole, str]] = [
            ("planner", f"I ask for city {step}. Next: caller."),
            ("caller", f'Action: sun_times\nAction Input: {{"city": "city {step}"}}'),
            ("observation", WORDS * (1 + step * 7 % 13)),
        ]
        history += [Turn(*turn) for turn in added]
        tokens += sum(len(tokenizer.encode(text)) for _, text in added)
        step += 1
    return [*history, Turn("planner", NEWEST)]


def request_of(role: str, history: list[Turn], tools: list[Tool]) -> Json:
    turns = [{"role": turn.role, "content": turn.content} for turn in history]
    offered = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    return {"history": turns, "template": "toolbench-im-end"} | ({} if role == "summarizer" else {"tools": offered})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("contexts", "fits"), [(0.8, True), (1, False), (2, False), (20, False)])
async def test_a_long_history(
    client: httpx.AsyncClient, tokenizer: PromptTokenizer, role: str, contexts: float, fits: bool
) -> None:
    history = history_of(tokenizer, contexts)
    response = await client.post(f"{PATHS[role]}/render", json=request_of(role, history, [TOOL]))
    assert response.status_code == 200, response.text
    rendered = response.json()
    assert rendered["truncated"] is not fits
    # The planner and the caller reserve tokens for their endings.
    assert rendered["prompt_tokens"] <= CONTEXT - ANSWER_TOKENS
    assert INSTRUCTION in rendered["prompt"]
    assert NEWEST in rendered["prompt"]
    assert ("characters left out ...]" in rendered["prompt"]) is not fits
    if role != "summarizer":
        assert tool_document([TOOL]) in rendered["prompt"]
    if not fits:
        # No more is cut than necessary: a further complete observation would not fit.
        assert rendered["prompt_tokens"] > CONTEXT - ANSWER_TOKENS - 500


@pytest.mark.parametrize("role", ["planner"])
async def test_others_are_answered_while_a_long_history_is_shortened(
    client: httpx.AsyncClient, tokenizer: PromptTokenizer, role: str
) -> None:
    body = request_of(role, history_of(tokenizer, 20), [TOOL])
    long = asyncio.create_task(client.post(f"{PATHS[role]}/render", json=body))
    answered = 0
    while not long.done():
        assert (await client.get("/healthz")).status_code == 200
        answered += 1
        await asyncio.sleep(0.001)
    assert (await long).status_code == 200
    assert answered > 10


@pytest.mark.parametrize("role", ["planner", "caller"])
async def test_a_context_smaller_than_the_tools_is_refused(client: httpx.AsyncClient, role: str) -> None:
    tools = [Tool(f"tool_{number}", "what it does " * 20, TOOL.parameters) for number in range(100)]
    history = [Turn("user", INSTRUCTION), Turn("planner", NEWEST)]
    body = request_of(role, history, tools)
    rendering = await client.post(f"{PATHS[role]}/render", json=body)
    asking = await client.post(PATHS[role], json={name: body[name] for name in ("tools", "history")})
    for response in (rendering, asking):
        problem = response.json()
        assert (response.status_code, problem["type"]) == (422, "urn:alpha-umi:problem:context-exceeded")
        assert problem["errors"][0]["field"] == "tools"
        assert "fewer tools" in problem["errors"][0]["remedy"]


def test_the_backbone_is_shortened_like_the_roles(tokenizer: PromptTokenizer) -> None:
    from alpha_umi.roles.shorten import shorten_history

    history, template = history_of(tokenizer, 20), load_template("toolbench-im-end")

    def count(turns: Any) -> int:
        return len(tokenizer.encode(render("backbone", template, history=turns, tools=[TOOL])))

    tokens = count(history)
    started = time.perf_counter()
    shortened = shorten_history(history, budget=CONTEXT, count=count)
    print(f"{tokens} tokens shortened to {count(shortened.history)} in {time.perf_counter() - started:.2f} s")
    assert shortened.truncated
    assert CONTEXT - 500 < count(shortened.history) <= CONTEXT
    assert shortened.history[-1] == history[-1]

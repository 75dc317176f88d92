"""The role services with prompts of the kind chat, for models that were trained for no role."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.role_apps import application, client_of, scripted

from alpha_umi.roles.turns import Role
from alpha_umi.serving.scripted import Rule, ScriptedEngine
from services import backbone, caller, planner, summarizer

Json = dict[str, Any]
ROUTERS: dict[Role, tuple[Any, str]] = {
    "planner": (planner.create_router, "/v1/plan"),
    "caller": (caller.create_router, "/v1/call"),
    "summarizer": (summarizer.create_router, "/v1/summarize"),
    "backbone": (backbone.create_router, "/v1/step"),
}


BEGUN = "I need to find out"


async def ask(
    role: Role, text: str | list[str], body: Json, *, thinking: bool = False, path: str = ""
) -> tuple[int, Json, ScriptedEngine]:
    router, route = ROUTERS[role]
    engine = scripted(Rule([text] if isinstance(text, str) else text))
    async with client_of(application(role, router, engine, template="chat", thinking=thinking)) as client:
        response = await client.post(route + path, json=body)
        return response.status_code, response.json(), engine


@pytest.fixture
def body(tools: list[Json], history: list[Json]) -> Json:
    return {"tools": tools, "history": history}


async def test_the_planner_decides(body: Json) -> None:
    status, plan, engine = await ask("planner", " when the sun rises. Next: caller.", body)
    assert (status, plan["next"], plan["thought"]) == (200, "caller", f"{BEGUN} when the sun rises.")
    assert plan["text"] == f"{BEGUN} when the sun rises. Next: caller."
    assert engine.prompts[-1].endswith(f"\nassistant: {BEGUN}")
    assert engine.prompts[-1].startswith("system: You answer the user's question with the help of tools")
    assert "\nuser: When does the sun rise in Oslo?\n\nTask: do not answer yet." in engine.prompts[-1]


async def test_a_decision_is_still_forced(body: Json) -> None:
    status, plan, engine = await ask("planner", [" nothing.", " conclusion."], body)
    assert (status, plan["text"]) == (200, f"{BEGUN} nothing. Next: conclusion.")
    assert engine.prompts[-1] == f"{engine.prompts[-2]} nothing. Next:"


async def test_a_rationale_that_the_model_does_not_continue_is_still_one(body: Json) -> None:
    status, plan, engine = await ask("planner", ["", " caller."], body)
    assert (status, plan["text"]) == (200, f"{BEGUN} Next: caller.")
    assert engine.prompts[-1] == f"{engine.prompts[-2]} Next:"


async def test_an_unreadable_text_is_written_again_after_the_same_beginning(body: Json) -> None:
    texts = [" it. Next: nobody.", " the time. Next: caller."]
    status, plan, engine = await ask("planner", texts, {**body, "constrained": False})
    assert (status, plan["text"]) == (200, f"{BEGUN} the time. Next: caller.")
    assert engine.prompts[-1] == engine.prompts[-2]


async def test_after_a_result_the_model_begins_by_itself(body: Json) -> None:
    history = [*body["history"], {"role": "observation", "content": "4:12"}]
    status, plan, _ = await ask("planner", "I know that it is 4:12. Next: conclusion.", {**body, "history": history})
    assert (status, plan["text"]) == (200, "I know that it is 4:12. Next: conclusion.")


PUBLISHED = 'Action: sun_times\nAction Input: {"city": "Oslo"}'
AS_JSON = '{"name": "sun_times", "arguments": {"city": "Oslo"}}'


@pytest.mark.parametrize("called", [AS_JSON, PUBLISHED, f"<tool_call>\n{AS_JSON}\n</tool_call>"])
async def test_the_caller_calls(called: str, body: Json) -> None:
    status, call, engine = await ask("caller", called, {**body, "thought": "I ask it. Next: caller."})
    assert (status, call["action"]) == (200, {"name": "sun_times", "arguments": {"city": "Oslo"}})
    assert call["text"] == PUBLISHED, "records have one form"
    assert engine.prompts[-1].endswith("\nassistant: I ask it.\n")


@pytest.mark.parametrize(
    ("called", "reason"),
    [
        ("I call it.", 'no call: the text holds no {"name": ..., "arguments": {...}}'),
        ('{"name": "sun_times", "arguments": ["Oslo"]}', "'arguments' is not a JSON object"),
        ('{"name": "sun_times", "arguments": {"city": }', "'arguments' is not JSON: Expecting value at character 9"),
        ('{"name": "moon", "arguments": {}}', "there is no tool 'moon'"),
    ],
)
async def test_an_unusable_call_is_repaired_with_the_reason(called: str, reason: str, body: Json) -> None:
    status, call, engine = await ask("caller", [called, AS_JSON], {**body, "thought": "I ask it. Next: caller."})
    assert (status, call["text"], call["repaired"]) == (200, PUBLISHED, True)
    assert f"\nassistant: {called}\nuser: Result:\nNo call was made: " in engine.prompts[-1]
    assert reason in engine.prompts[-1]
    assert engine.prompts[-1].endswith("\nassistant: I ask it.\n")


async def test_the_summarizer_answers(history: list[Json]) -> None:
    status, answer, engine = await ask("summarizer", "At 4:12.", {"history": history})
    assert (status, answer["answer"]) == (200, "At 4:12.")
    assert "Task: answer the question now, in one or two sentences" in engine.prompts[-1]


async def test_the_summarizer_sees_the_schema_of_its_answer_also_in_its_repair(history: list[Json]) -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
    request = {"history": history, "answer_schema": schema}
    status, answer, engine = await ask("summarizer", ["{}", '{"at": "4:12"}'], request)
    assert (status, answer["answer"]) == (200, '{"at": "4:12"}')
    for prompt in engine.prompts[-2:]:
        assert prompt.endswith(f"matches this schema:\n{json.dumps(schema)}\n")
    status, rendered, _ = await ask("summarizer", "", request, path="/render")
    assert (status, rendered["prompt"]) == (200, engine.prompts[-2])


async def test_the_single_model_steps(body: Json) -> None:
    text = 'I need the times.\nAction: sun_times\nAction Input: {"city": "Oslo"}'
    status, step, _ = await ask("backbone", text, {**body, "constrained": False})
    assert (status, step["thought"], step["action"]["name"]) == (200, "I need the times.", "sun_times")


@pytest.mark.parametrize("role", ["planner", "caller", "summarizer", "backbone"])
async def test_render_shows_what_the_model_reads(role: Role, body: Json) -> None:
    request = {"history": body["history"]} if role == "summarizer" else body
    request = {**request, "thought": "x"} if role == "caller" else request
    status, rendered, engine = await ask(role, "", request, path="/render")
    assert (status, rendered["template"]) == (200, "chat")
    assert rendered["prompt"].startswith("system: You answer the user's question")
    assert len(engine.prompts) == 1  # the canary alone


async def test_a_trained_models_service_renders_no_chat(body: Json) -> None:
    async with client_of(application("planner", planner.create_router, scripted(), template="toolbench")) as client:
        response = await client.post("/v1/plan/render", json={**body, "template": "chat"})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "urn:alpha-umi:problem:unknown-template")
    assert "this one is served with toolbench" in problem["detail"]
    assert problem["errors"][0] | {"message": ""} == {
        "field": "template",
        "message": "",
        "remedy": "name toolbench, toolbench-im-end",
    }


async def test_thoughts_without_text_are_the_rationale_of_a_forced_decision(body: Json) -> None:
    status, plan, _ = await ask("planner", ["<think>I ask.</think>", " caller."], body, thinking=True)
    assert (status, plan["thought"], plan["next"]) == (200, "I ask.", "caller")


THOUGHTS = "<think>Next: give up? No, I can ask.\nNext: caller it is.</think>\n\nI ask. Next: caller."


async def test_what_the_model_thinks_is_dropped(body: Json) -> None:
    status, plan, _ = await ask("planner", "<think>Give up? No, I can ask for it.</think> it. Next: caller.", body)
    assert (status, plan["thought"]) == (200, f"{BEGUN} it.")
    assert plan["usage"]["completion_tokens"] > 10, "it is counted"


async def test_what_the_model_thinks_is_the_beginning_of_the_rationale(body: Json) -> None:
    status, plan, _ = await ask("planner", THOUGHTS, body, thinking=True)
    thought = "Next give up? No, I can ask.\nNext caller it is.\nI ask."
    assert (status, plan["next"], plan["thought"]) == (200, "caller", thought)
    assert plan["timings"]["attempts"] == 1


async def test_the_rationale_is_streamed_with_the_thoughts(body: Json) -> None:
    engine = scripted(Rule([THOUGHTS]))
    async with (
        client_of(application("planner", planner.create_router, engine, template="chat", thinking=True)) as client,
        aconnect_sse(client, "POST", "/v1/plan", json={**body, "stream": True}) as source,
    ):
        *deltas, done = [json.loads(event.data) async for event in source.aiter_sse()]
    assert "".join(delta["text"] for delta in deltas) + "." == done["text"]


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("role", ["planner", "summarizer"])
async def test_thinking_without_end_is_a_failure_with_its_reason(role: Role, thinking: bool, body: Json) -> None:
    request = {"history": body["history"]} if role == "summarizer" else body
    status, problem, _ = await ask(role, "<think>On and on and", request, thinking=thinking)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert "still thinking" in problem["detail"]
    assert problem["text"] == "<think>On and on and"
    assert problem["usage"]["completion_tokens"] == 4


async def test_the_caller_and_the_summarizer_drop_it(body: Json) -> None:
    called = f"<think>Oslo.</think>\n{AS_JSON}"
    status, call, _ = await ask("caller", called, {**body, "thought": "I ask it. Next: caller."})
    assert (status, call["text"]) == (200, PUBLISHED)
    status, answer, _ = await ask("summarizer", "<think>Hm.</think>At 4:12.", {"history": body["history"]})
    assert (status, answer["answer"]) == (200, "At 4:12.")

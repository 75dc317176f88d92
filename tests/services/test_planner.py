"""The planner service: decisions, and outputs without one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.role_apps import application, client_of, scripted

from alpha_umi.serving.scripted import Rule
from services.planner import create_router

Json = dict[str, Any]


def tool_with(properties: Any) -> Json:
    return {"name": "t", "parameters": {"properties": properties}}


async def ask(rules: list[Rule], body: Json, *, path: str = "/v1/plan", context: int = 4_096) -> tuple[int, Json, Any]:
    engine = scripted(*rules, context=context)
    async with client_of(application("planner", create_router, engine)) as client:
        response = await client.post(path, json=body)
        return response.status_code, response.json(), engine


@pytest.fixture
def body(tools: list[Json], history: list[Json]) -> Json:
    return {"tools": tools, "history": history}


async def test_a_free_decision_ends_the_rationale(body: Json) -> None:
    status, plan, engine = await ask([Rule(["I ask the tool. Next: caller. And then more."])], body)
    assert status == 200
    assert (plan["thought"], plan["next"], plan["text"]) == (
        "I ask the tool.",
        "caller",
        "I ask the tool. Next: caller.",
    )
    assert plan["timings"]["attempts"] == 1
    assert plan["usage"]["completion_tokens"] == 6
    assert len(engine.prompts) == 2  # the canary and this one


async def test_without_a_decision_a_constrained_request_continues_the_same_text(body: Json) -> None:
    rules = [Rule([" conclusion."], when="I wonder. Next:"), Rule(["I wonder."])]
    status, plan, engine = await ask(rules, body)
    assert status == 200
    assert (plan["next"], plan["text"], plan["timings"]["attempts"]) == ("conclusion", "I wonder. Next: conclusion.", 2)
    assert engine.prompts[-1] == engine.prompts[-2] + "I wonder. Next:"


async def test_a_broken_decision_is_written_again(body: Json) -> None:
    rules = [Rule([" give up."], when="So be it. Next:"), Rule(["So be it. Next: dinner."])]
    status, plan, _ = await ask(rules, body)
    assert (status, plan["next"], plan["text"]) == (200, "give up", "So be it. Next: give up.")


async def test_unconstrained_output_gets_one_retry(body: Json) -> None:
    status, plan, engine = await ask([Rule(["mumble", "Better. Next: caller"])], {**body, "constrained": False})
    assert (status, plan["next"], plan["timings"]["attempts"]) == (200, "caller", 2)
    assert len(engine.prompts) == 3


async def test_a_single_attempt_is_final(body: Json) -> None:
    once = {**body, "constrained": False, "attempts": 1}
    status, problem, engine = await ask([Rule(["mumble", "Better. Next: caller"])], once)
    assert (status, problem["text"], problem["timings"]["attempts"]) == (502, "mumble", 1)
    assert len(engine.prompts) == 2


async def test_a_single_attempt_still_ends_in_a_decision_where_grammars_are_on(body: Json) -> None:
    rules = [Rule([" conclusion."], when="I wonder. Next:"), Rule(["I wonder."])]
    status, plan, _ = await ask(rules, {**body, "attempts": 1})
    assert (status, plan["next"]) == (200, "conclusion")


NO_CALL: Json = {"decisions": ["conclusion", "give up"]}


@pytest.mark.parametrize("change", [NO_CALL, {"tools": []}, NO_CALL | {"tools": []}])
async def test_a_decision_that_is_not_allowed_is_written_again_among_those_that_are(body: Json, change: Json) -> None:
    rules = [Rule([" conclusion."], when="I look. Next:"), Rule(["I look. Next: caller."])]
    status, plan, _ = await ask(rules, {**body, **change})
    assert (status, plan["next"], plan["text"], plan["timings"]["attempts"]) == (
        200,
        "conclusion",
        "I look. Next: conclusion.",
        2,
    )


async def test_the_only_decision_is_written_by_construction(body: Json) -> None:
    status, plan, _ = await ask([Rule(["I know. Next: conclusion."])], {**body, "decisions": ["caller"]})
    assert (status, plan["next"], plan["thought"]) == (200, "caller", "I know.")


async def test_without_grammars_a_decision_that_is_not_allowed_is_unreadable(body: Json) -> None:
    request = {**body, **NO_CALL, "constrained": False}
    status, plan, _ = await ask([Rule(["I look. Next: caller", "I stop. Next: give up"])], request)
    assert (status, plan["next"], plan["timings"]["attempts"]) == (200, "give up", 2)
    status, problem, _ = await ask([Rule(["I look. Next: caller"])], request)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert "'caller' is none of conclusion, give up" in problem["detail"]


async def test_the_prompt_without_tools_differs_in_their_list_alone(body: Json) -> None:
    prompts = [
        (await ask([], {**body, "tools": tools}, path="/v1/plan/render"))[1]["prompt"] for tools in (body["tools"], [])
    ]
    head = "You have assess to the following apis:\n"
    listed = prompts[0].removeprefix(head).partition("\nThe conversation history")[0]
    assert prompts[1] == head + prompts[0].removeprefix(head + listed)


@pytest.mark.parametrize("attempts", [0, 3, 1.5, "2"])
async def test_a_number_of_attempts_that_makes_no_sense_is_refused(body: Json, attempts: Any) -> None:
    status, problem, _ = await ask([Rule(["I stop. Next: give up."])], {**body, "attempts": attempts})
    assert (status, problem["errors"][0]["field"]) == (422, "attempts")


async def test_unconstrained_output_that_stays_unreadable_is_a_typed_failure(body: Json) -> None:
    status, problem, engine = await ask([Rule(["mumble"])], {**body, "constrained": False})
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert problem["text"] == "mumble"
    assert problem["usage"]["completion_tokens"] == 2
    assert len(engine.prompts) == 3


async def test_the_rationale_is_streamed_then_the_answer(body: Json) -> None:
    engine = scripted(Rule(["I ask the tool. Next: caller."]))
    async with (
        client_of(application("planner", create_router, engine)) as client,
        aconnect_sse(client, "POST", "/v1/plan", json={**body, "stream": True}) as source,
    ):
        events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
    assert [kind for kind, _ in events] == ["delta"] * (len(events) - 1) + ["done"]
    assert "".join(data["text"] for _, data in events[:-1]) == "I ask the tool. Next: caller"
    assert events[-1][1]["next"] == "caller"


async def test_render_shows_the_prompt_and_generates_nothing(body: Json) -> None:
    status, rendered, engine = await ask([], {**body, "template": "toolbench-im-end"}, path="/v1/plan/render")
    assert status == 200
    assert rendered["template"] == "toolbench-im-end"
    assert rendered["prompt"].startswith('You have assess to the following apis:\n{"Name": "sun_times"')
    assert "user: When does the sun rise in Oslo?<|im_end|>" in rendered["prompt"]
    assert len(engine.prompts) == 1  # the canary alone


async def test_a_long_history_is_shortened_and_says_so(body: Json) -> None:
    long = [
        *body["history"],
        {"role": "planner", "content": "ask Next: caller."},
        {"role": "observation", "content": "word " * 900},
    ]
    status, plan, engine = await ask(
        [Rule(["Seen. Next: caller."])], {**body, "history": [*long, *body["history"]]}, context=600
    )
    assert (status, plan["truncated"]) == (200, True)
    assert "characters left out" in engine.prompts[-1]


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"mood": "good"}, "mood", "leave the field out"),
        ({"decisions": []}, "decisions", "at least 1"),
        ({"decisions": ["caller", "caller"]}, "decisions", "listed twice"),
        ({"decisions": ["dinner"]}, "decisions.0", "Input should be"),
        ({"tools": [], "decisions": ["conclusion", "caller"]}, "decisions", "no tool for the decision 'caller'"),
        ({"history": []}, "history", "at least 1"),
        ({"tools": [{"name": "t"}, {"name": "t"}]}, "tools", "two tools are called 't'"),
        ({"tools": [{"name": "a b"}]}, "tools.0.name", "match pattern"),
        ({"tools": [tool_with("x")]}, "tools.0.parameters", "`properties` is not an object"),
        ({"tools": [tool_with({"a": {"type": 5}})]}, "tools.0.parameters", "neither a name nor a list"),
        ({"tools": [tool_with({"a": {"type": [5]}})]}, "tools.0.parameters", "neither a name nor a list"),
        ({"tools": [tool_with({"a": {"description": 5}})]}, "tools.0.parameters", "is no text"),
        ({"history": [{"role": "system", "content": "x"}]}, "history.0.role", "Input should be"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ],
)
async def test_bad_input_names_the_field(body: Json, change: Json, field: str, word: str) -> None:
    status, problem, _ = await ask([], {**body, **change})
    assert (status, problem["type"]) == (422, "urn:alpha-umi:problem:invalid-request")
    assert problem["errors"][0]["field"] == field
    assert word in json.dumps(problem["errors"][0])


async def test_what_cannot_fit_is_refused(body: Json) -> None:
    status, problem, _ = await ask([], {**body, "history": [{"role": "user", "content": "word " * 900}]}, context=600)
    assert (status, problem["type"]) == (422, "urn:alpha-umi:problem:context-exceeded")


async def test_an_unknown_template_is_named(body: Json) -> None:
    status, problem, _ = await ask([], {**body, "template": "nope"}, path="/v1/plan/render")
    assert (status, problem["errors"][0]["field"]) == (422, "template")

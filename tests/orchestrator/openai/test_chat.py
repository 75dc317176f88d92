"""Chat completions: the message, the reason of its end, the stream, tools and options."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support.chat import THERMOMETER, assistant, complete, message_of, output, post, refusal, streamed, user
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, problem, say
from support.serving_on_loopback import until

SCHEMA = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}


def looks_up(world: World) -> None:
    world.roles.planner = in_turn(decide("Look it up.", "caller"), decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("It costs 12 euros."))


def measures(world: World) -> None:
    world.roles.planner = in_turn(decide("Measure.", "caller"), decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    world.roles.summarizer = in_turn(say("It is warm."))


async def test_an_answer_has_the_rationales_the_servers_calls_and_the_usage(client: Client, world: World) -> None:
    looks_up(world)
    completion = await complete(client, user(), metadata={"who": "me"})
    message = message_of(completion)
    assert completion["id"].startswith("chatcmpl-")
    assert (completion["model"], completion["metadata"]) == ("alpha-umi", {"who": "me"})
    assert (message["content"], message["refusal"]) == ("It costs 12 euros.", None)
    assert message["reasoning_content"] == "Look it up.\n\nI know it."
    assert "tool_calls" not in message
    (served,) = message["alpha_umi"]["tool_calls"]
    assert (served["name"], json.loads(served["arguments"])) == ("look_up", {"item": "lamp"})
    assert (served["status"], served["error"]) == ("completed", None)
    assert "lamp" in served["output"]
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert completion["usage"] == {
        "prompt_tokens": 40,
        "completion_tokens": 20,
        "total_tokens": 60,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 10},
    }


async def test_a_stream_joins_to_the_completion(client: Client, world: World) -> None:
    looks_up(world)
    waited = await complete(client, user())
    looks_up(world)
    stream = await streamed(client, user(), stream_options={"include_usage": True})
    message = {name: value for name, value in message_of(waited).items() if name not in ("refusal", "annotations")}
    ids = [served.pop("id") for each in (message, stream.message) for served in each["alpha_umi"]["tool_calls"]]
    assert len(set(ids)) == 2
    assert stream.message == message
    assert (stream.finish_reason, stream.done) == ("stop", True)
    assert stream.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert stream.chunks[-1]["choices"] == []
    assert (stream.usage, {chunk["usage"] is None for chunk in stream.chunks[:-1]}) == (waited["usage"], {True})
    assert len({chunk["id"] for chunk in stream.chunks}) == 1
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in stream.chunks[:-1]]
    assert len([text for text in contents if text]) > 1


async def test_without_its_option_a_stream_has_no_usage(client: Client) -> None:
    stream = await streamed(client, user())
    assert all("usage" not in chunk for chunk in stream.chunks)
    assert stream.chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_call_of_the_client_is_answered_in_the_next_request(client: Client, world: World) -> None:
    measures(world)
    completion = await complete(client, user(), tools=[THERMOMETER])
    message = message_of(completion)
    assert (message["content"], completion["choices"][0]["finish_reason"]) == (None, "tool_calls")
    (made,) = message["tool_calls"]
    assert (made["type"], made["function"]["name"]) == ("function", "read_thermometer")
    assert json.loads(made["function"]["arguments"]) == {"room": "hall"}
    ended = await complete(client, user(), message, output(made["id"]), tools=[THERMOMETER])
    assert message_of(ended)["content"] == "It is warm."
    # One trajectory: only the usage of the second part counts.
    assert ended["id"].rpartition("_")[0] == completion["id"].rpartition("_")[0]
    assert ended["usage"]["completion_tokens"] == 10


async def test_streamed_arguments_join_to_the_call(client: Client, world: World) -> None:
    measures(world)
    long_room = 'a "room" with \\ and 日本 ' * 20
    world.roles.caller = in_turn(call("read_thermometer", room=long_room))
    stream = await streamed(client, user(), tools=[THERMOMETER])
    (made,) = stream.message["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {"room": long_room}
    assert stream.finish_reason == "tool_calls"
    messages = user(), assistant(None, (made["id"], "read_thermometer", made["function"]["arguments"]))
    ended = await streamed(client, *messages, output(made["id"]), tools=[THERMOMETER])
    assert (ended.message["content"], ended.finish_reason) == ("It is warm.", "stop")


async def test_tools_are_all_registered_ones_or_those_that_are_named_or_none(client: Client, world: World) -> None:
    registered = [tool["name"] for tool in (await client.http.get("/v1/tools")).json()["data"]]
    await complete(client, user())
    await complete(client, user(), tools=[])
    await complete(client, user(), tools=[{"type": "alpha_umi:registered"}, THERMOMETER])
    await complete(client, user(), tools=[{"type": "alpha_umi:registered", "names": ["order"]}])
    await complete(client, user(), tool_choice="none")
    assert world.roles.tools_of("planner") == [registered, [], [*registered, "read_thermometer"], ["order"], []]


async def test_the_choice_of_a_tool_binds_the_planner(client: Client, world: World) -> None:
    named = {"type": "function", "function": {"name": "order"}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    for choice in ("required", named, allowed):
        looks_up(world)
        world.roles.caller = in_turn(call("order", item="lamp"))
        await complete(client, user(), tool_choice=choice)
    requests = world.roles.bodies_of("planner")
    assert [request["decisions"] for request in requests] == [["caller"], None, ["caller"], None, None, None]
    assert [len(names) for names in world.roles.tools_of("planner")] == [3, 3, 1, 3, 1, 1]
    assert (await refusal(client, user(), tools=[], tool_choice="required"))[:2] == (400, "tool_choice")
    unknown = {"type": "function", "function": {"name": "fly"}}
    assert (await refusal(client, user(), tool_choice=unknown))[:2] == (400, "tool_choice.function.name")
    allowed["allowed_tools"] = {"mode": "required", "tools": [named, unknown]}
    status, param, _ = await refusal(client, user(), tool_choice=allowed)
    assert (status, param) == (400, "tool_choice.allowed_tools.tools[1].function.name")


async def test_the_options_reach_the_roles(client: Client, world: World) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "price", "schema": SCHEMA, "strict": True}}
    world.roles.summarizer = in_turn(say('{"price": 12}'))
    sampling = {"temperature": 0.5, "top_p": 0.9, "seed": 7}
    completion = await complete(
        client,
        {"role": "system", "content": "Be brief."},
        user(),
        response_format=form,
        stop="END",
        max_completion_tokens=100,
        **sampling,
    )
    assert json.loads(message_of(completion)["content"]) == {"price": 12}
    (plan,), (answer,) = world.roles.bodies_of("planner"), world.roles.bodies_of("summarizer")
    assert plan["history"] == [{"role": "user", "content": "Be brief.\n\nWhat is it?"}]
    assert {name: plan[name] for name in sampling} == sampling
    assert (answer["answer_schema"], answer["stop"]) == (SCHEMA, ["END"])
    assert (plan["token_budget"], answer["token_budget"]) == (100, 95)
    await complete(client, user(), response_format={"type": "json_object"}, stop=["a", "b"])
    last = world.roles.bodies_of("summarizer")[-1]
    assert (last["answer_schema"], last["stop"]) == ({"type": "object"}, ["a", "b"])


@pytest.mark.parametrize(
    ("response_format", "field"),
    [(None, "content"), ({"type": "text"}, "content"), ({"type": "json_object"}, "refusal")],
)
async def test_a_give_up_is_the_content_and_where_json_is_wanted_a_refusal(
    client: Client, world: World, response_format: dict[str, str] | None, field: str
) -> None:
    world.roles.planner = in_turn(decide("Hopeless.", "give up"))
    wanted = {"response_format": response_format}
    completion = await complete(client, user(), **wanted)
    message = message_of(completion)
    empty = {"content": None, "refusal": None}
    assert {name: message[name] for name in empty} == empty | {field: "There is no answer: the planner gave up."}
    assert message["alpha_umi"] == {"incomplete_details": {"reason": "gave_up"}}
    assert completion["choices"][0]["finish_reason"] == "stop"
    stream = await streamed(client, user(), **wanted)
    for name in ("content", "refusal", "alpha_umi", "reasoning_content"):
        assert (stream.message.get(name) or None) == message[name]
    assert (stream.finish_reason, stream.done) == ("stop", True)


async def test_a_limit_of_tokens_is_a_length_and_another_limit_a_stop_that_names_it(
    client: Client, world: World
) -> None:
    world.roles.planner = in_turn(decide("Look it up.", "caller"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    cut = await complete(client, user(), max_tokens=8)
    assert cut["choices"][0]["finish_reason"] == "length"
    assert message_of(cut)["content"] == "done"
    repeated = await complete(client, user())
    assert repeated["choices"][0]["finish_reason"] == "stop"
    assert message_of(repeated)["alpha_umi"]["incomplete_details"] == {"reason": "repeated_call"}
    stream = await streamed(client, user(), max_tokens=8)
    assert (stream.finish_reason, stream.message["content"]) == ("length", "done")


async def test_a_failure_is_an_error_that_is_not_worth_another_try(client: Client, world: World) -> None:
    world.roles.planner = in_turn(problem("context-exceeded", "the tools do not fit"))
    response = await post(client, user())
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (502, "model_error", "trajectory_failed")
    assert error["reason"] == "planner_failed"
    assert "the tools do not fit" in error["message"]
    assert response.headers["x-should-retry"] == "false"
    stream = await streamed(client, user())
    assert (stream.error or {})["reason"] == "planner_failed"
    assert stream.done


async def test_a_cancellation_is_an_error(client: Client, world: World) -> None:
    world.roles.planner = lambda _: hang()
    waiting = asyncio.create_task(post(client, user()))
    await until(lambda: bool(world.roles.requests))
    (trajectory,) = (await client.http.get("/v1/trajectories")).json()["data"]
    await client.http.post(f"/v1/trajectories/{trajectory['id']}/cancel")
    response = await waiting
    assert (response.status_code, response.json()["error"]["reason"]) == (502, "cancelled")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_its_completion(client: Client, world: World, *, stream: bool) -> None:
    world.roles.planner = lambda _: hang()
    body = {"model": "alpha-umi", "messages": [user()], "stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        async with client.http.stream("POST", "/v1/chat/completions", json=body, timeout=1) as response:
            await response.aread()
    await until(lambda: bool(world.roles.left))
    (trajectory,) = (await client.http.get("/v1/trajectories")).json()["data"]
    await client.finished(trajectory["id"])
    assert (await client.http.get(f"/v1/trajectories/{trajectory['id']}")).json()["status"] == "cancelled"


async def test_a_repeated_request_with_a_key_is_performed_once(client: Client, world: World) -> None:
    body = {"model": "alpha-umi", "messages": [user()]}
    sent = [
        (await client.http.post("/v1/chat/completions", json=body, headers={"Idempotency-Key": "once"}))
        for _ in range(2)
    ]
    assert sent[0].json() == sent[1].json()
    assert sent[1].headers["Idempotent-Replayed"] == "true"
    assert len(world.roles.bodies_of("planner")) == 1


async def test_a_completion_that_is_not_stored_is_deleted_after_its_answer(client: Client, world: World) -> None:
    await complete(client, user(), store=False)
    measures(world)
    waiting = await complete(client, user(), store=False, tools=[THERMOMETER])
    await streamed(client, user(), store=False)
    for _ in range(2):
        await client.orchestrator.response_deletion.delete_unstored()
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []
    world.roles.planner = in_turn(decide("I know it.", "conclusion"))
    made = message_of(waiting)
    ended = await complete(client, user(), made, output(made["tool_calls"][0]["id"]), store=False, tools=[THERMOMETER])
    assert message_of(ended)["content"] == "It is warm."


async def test_an_answer_that_is_written_again_in_other_words_is_an_error_of_the_stream(
    client: Client, world: World
) -> None:
    world.roles.summarizer = in_turn(replace(say("It costs twelve euros."), cut=True), say("Twelve."))
    stream = await streamed(client, user())
    assert stream.message["content"].startswith("It costs twelve")
    assert (stream.error or {})["code"] == "role_unavailable"
    assert "written again" in (stream.error or {})["message"]


async def test_a_rationale_that_is_written_again_is_sent_again(client: Client, world: World) -> None:
    begun = replace(decide("It is not clear to me.", "conclusion"), cut=True)
    world.roles.planner = in_turn(begun, decide("Clear.", "conclusion"))
    stream = await streamed(client, user())
    assert stream.message["reasoning_content"].endswith("\n\nClear.")
    assert (stream.finish_reason, stream.message["content"]) == ("stop", "done")


async def test_a_stream_that_the_process_ends_has_an_error(client: Client, world: World) -> None:
    world.roles.planner = lambda _: hang()
    stream = asyncio.create_task(streamed(client, user()))
    await until(lambda: bool(world.roles.requests))
    await client.orchestrator.runs.drain()
    ended = await stream
    assert ((ended.error or {})["code"], ended.finish_reason) == ("shutting_down", None)


UNSUPPORTED: dict[str, Any] = {
    "n": 2,
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"50256": -100},
    "frequency_penalty": 0.5,
    "presence_penalty": 1,
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "max_completion_tokens": 0,
    "stream_options": {"include_usage": True},
    "top_k": 5,
}


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_what_is_not_supported_is_refused_by_name(client: Client, name: str) -> None:
    status, param, _ = await refusal(client, user(), **{name: UNSUPPORTED[name]})
    assert (status, param) == (400, name)


async def test_values_that_change_nothing_are_accepted(client: Client) -> None:
    neutral: dict[str, Any] = {
        "n": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "frequency_penalty": 0.0,
        "presence_penalty": 0, "modalities": ["text"], "parallel_tool_calls": True, "user": "u", "store": True,
        "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s", "stream": None, "stop": None,
        "reasoning_effort": "low", "verbosity": "high",
    }  # fmt: skip
    assert message_of(await complete(client, user(), **neutral))["content"] == "done"


async def test_a_model_is_named_and_known(client: Client) -> None:
    assert (await refusal(client, user(), model=None))[:2] == (400, "model")
    assert (await refusal(client, user(), model="gpt-9"))[:2] == (404, "model")


async def test_an_entry_of_the_tools_that_cannot_be_used_is_named(client: Client) -> None:
    function = dict(THERMOMETER["function"])
    registered = {"type": "alpha_umi:registered", "names": ["order", "fly"]}
    broken = {"type": "function", "function": function | {"parameters": {"type": "array"}}}
    unreadable = {"type": "function", "function": function | {"parameters": {"type": "object", "properties": 3}}}
    cases: list[tuple[list[Any], str]] = [
        ([THERMOMETER, registered], "tools[1].names[1]"),
        ([{"type": "alpha_umi:registered"}, broken], "tools[1].function.parameters.type"),
        ([unreadable], "tools[0].function.parameters"),
        ([{"type": "custom", "custom": {"name": "c"}}], "tools[0]"),
        ([THERMOMETER, THERMOMETER], "tools[1].function.name"),
        ([{"type": "function", "function": {"name": "two words"}}], "tools[0].function.name"),
    ]
    for tools, param in cases:
        assert (await refusal(client, user(), tools=tools))[:2] == (400, param)


@pytest.mark.parametrize(
    ("field", "value"), [("stop", ["END"]), ("response_format", {"type": "json_object"})], ids=lambda value: str(value)
)
async def test_the_single_model_refuses_what_it_cannot_do(world: World, field: str, value: Any) -> None:
    async with world.orchestrator(backbone_url=world.roles_url) as client:
        fields = {"model": "alpha-umi-single", "messages": [user()], field: value}
        answer = await client.http.post("/v1/chat/completions", json=fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert world.roles.requests == []

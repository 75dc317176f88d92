"""Responses over HTTP: how a request begins, continues, branches and ends, and what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, say
from support.serving_on_loopback import until

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SHOP = {"type": "alpha_umi:registered", "names": ["look_up"]}
Document = dict[str, Any]


async def post(client: Client, path: str = "", headers: Document | None = None, **body: Any) -> httpx.Response:
    fields = {"model": "alpha-umi"} | body if not path else body
    return await client.http.post(f"/v1/responses{path}", json=fields, headers=headers)


async def create(client: Client, text: Any = "Hello", **body: Any) -> Document:
    response = await post(client, input=text, **body)
    assert response.status_code == 200, response.text
    document: Document = response.json()
    return document


async def error(client: Client, text: Any = "Hello", **body: Any) -> tuple[int, str | None, str]:
    """Status, field and code of a refusal."""
    response = await post(client, input=text, **body)
    fields = response.json()["error"]
    return response.status_code, fields["param"], fields["code"]


async def read(client: Client, response_id: str) -> httpx.Response:
    return await client.http.get(f"/v1/responses/{response_id}")


def place(response: Document) -> tuple[str, int]:
    """Trajectory and first row."""
    _, number, seq = response["id"].split("_")
    return f"traj_{number}", int(seq)


def histories(world: World) -> list[list[tuple[str, str]]]:
    """What the planner has seen, request by request."""
    return [[(turn["role"], turn["content"]) for turn in body["history"]] for body in world.roles.bodies_of("planner")]


def script_call(world: World) -> None:
    """A call of the client's tool, then answers."""
    world.roles.planner = in_turn(decide("look", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("weather", city="Bonn"))
    world.roles.summarizer = in_turn(say("Sun."))


async def opened(client: Client, world: World, **body: Any) -> tuple[Document, str]:
    """A response that ended with a call, and the call's id."""
    script_call(world)
    response = await create(client, "Weather?", **{"tools": [WEATHER]} | body)
    assert (response["status"], response["output"][-1]["type"]) == ("completed", "function_call")
    return response, response["output"][-1]["call_id"]


def output_of(call_id: str, text: str = "sun") -> Document:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


# Beginning.


async def test_a_text_is_answered_and_the_request_is_shown_again(client: Client, world: World) -> None:
    given = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "user": "u",
        "service_tier": "flex",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "truncation": "auto",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 100,
        "max_tool_calls": 3,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "parallel_tool_calls": True,
    }
    response = await create(client, "Hello", tools=[], **given)
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output"][-1]["content"][0]["text"] == "done"
    assert response["status"] == "completed"
    shown = given | {"parallel_tool_calls": False, "tools": [], "tool_choice": "auto", "store": True}
    del shown["include"]
    assert {name: response[name] for name in shown} == shown
    assert response["text"] == {"format": {"type": "text"}}
    assert (await read(client, response["id"])).json() == response
    assert histories(world) == [[("user", "Be brief.\n\nHello")]]
    (sent,) = world.roles.bodies_of("planner")
    assert (sent["temperature"], sent["top_p"], sent["tools"]) == (0.5, 0.9, [])


async def test_without_tools_every_registered_one_is_offered(client: Client, world: World) -> None:
    await create(client)
    await create(client, tools=[SHOP, WEATHER])
    await create(client, tools=[{"type": "alpha_umi:registered"}])
    everything, chosen, registered = (
        [tool["name"] for tool in body["tools"]] for body in world.roles.bodies_of("planner")
    )
    assert (chosen, registered) == (["look_up", "weather"], everything)
    assert len(everything) > 1


async def test_a_conversation_in_the_request_is_the_history_of_the_turn(client: Client, world: World) -> None:
    items = [
        {"role": "developer", "content": "In German."},
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "look"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        output_of("c"),
    ]
    response = await create(client, items, tools=[WEATHER], instructions="Be brief.")
    assert histories(world) == [
        [
            ("user", "Be brief.\n\nIn German.\n\nWeather?"),
            ("planner", "look Next: caller."),
            ("caller", "Action: weather\nAction Input: {}"),
            ("observation", "sun"),
        ]
    ]
    listed = (await client.http.get(f"/v1/responses/{response['id']}/input_items", params={"order": "asc"})).json()
    assert [item["type"] for item in listed["data"]] == [
        "message", "message", "reasoning", "function_call", "function_call_output",
    ]  # fmt: skip


async def test_what_a_response_wrote_can_be_sent_back(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("look", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    first = await create(client, "Price?", tools=[SHOP])
    assert [item["type"] for item in first["output"]] == ["reasoning", "alpha_umi:tool_call", "reasoning", "message"]
    assert first["output"][1]["content"] == []
    again = [{"role": "user", "content": "Price?"}, *first["output"], {"role": "user", "content": "And?"}]
    await create(client, again, tools=[SHOP])
    assert histories(world)[-1][:-1] == [
        *histories(world)[1],
        ("planner", "I know it Next: conclusion."),
        ("conclusion", "done"),
    ]


@pytest.mark.parametrize(
    ("choice", "offered", "decisions"),
    [
        ("none", [], ["conclusion", "give up"]),
        ("required", ["look_up", "weather"], ["caller"]),
        ({"type": "function", "name": "weather"}, ["weather"], ["caller"]),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "weather"}]}, ["weather"], None),
        ({"type": "allowed_tools", "mode": "required", "tools": [SHOP]}, ["look_up"], ["caller"]),
    ],
)
async def test_tool_choice(
    client: Client, world: World, choice: Any, offered: list[str], decisions: list[str] | None
) -> None:
    script_call(world)
    world.roles.planner = in_turn(decide("I know it", "conclusion" if choice == "none" else "caller"))
    await post(client, input="Hello", tools=[SHOP, WEATHER], tool_choice=choice, background=True)
    await until(lambda: bool(world.roles.bodies_of("planner")))
    (sent, *_) = world.roles.bodies_of("planner")
    assert ([tool["name"] for tool in sent["tools"]], sent["decisions"]) == (offered, decisions)


async def test_the_answer_is_written_inside_a_schema(client: Client, world: World) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    forms: list[tuple[Document, Document]] = [
        ({"type": "json_schema", "name": "x", "schema": schema}, schema),
        ({"type": "json_object"}, {"type": "object"}),
    ]
    for form, wanted in forms:
        response = await post(client, input="Hello", text={"format": form})
        assert response.json()["text"]["format"]["type"] == form["type"]
        assert world.roles.bodies_of("summarizer")[-1]["answer_schema"] == wanted


# Continuing.


async def test_a_message_continues_the_trajectory(client: Client, world: World) -> None:
    first = await create(client, "One", tools=[])
    second = await create(client, "Two", previous_response_id=first["id"])
    assert place(second)[0] == place(first)[0]
    assert second["previous_response_id"] == first["id"]
    assert [role for role, _ in histories(world)[-1]] == ["user", "planner", "conclusion", "user"]
    assert len((await read(client, first["id"])).json()["output"]) == 2


async def test_two_answers_to_one_response(client: Client, world: World) -> None:
    first = await create(client, "One", tools=[])
    second = await create(client, "Two", previous_response_id=first["id"])
    branch = await create(client, "Three", previous_response_id=first["id"])
    third = await create(client, "Four", previous_response_id=branch["id"])
    assert place(second)[0] == place(first)[0] != place(branch)[0] == place(third)[0]
    assert [content for role, content in histories(world)[-1] if role == "user"] == ["One", "Three", "Four"]


@pytest.mark.parametrize("changed", [{"tools": [WEATHER]}, {"model": "alpha-umi-dfsdt"}, {"store": False}])
async def test_other_tools_another_model_or_no_storage_begin_a_new_trajectory(
    client: Client, world: World, changed: Document
) -> None:
    first = await create(client, "One", tools=[])
    second = await create(client, "Two", previous_response_id=first["id"], **changed)
    assert place(second)[0] != place(first)[0]
    assert [role for role, _ in histories(world)[-1]] == ["user", "planner", "conclusion", "user"]


async def test_the_same_tools_named_again_continue_the_trajectory(client: Client, world: World) -> None:
    first = await create(client, "One", tools=[SHOP, WEATHER])
    second = await create(client, "Two", tools=[SHOP, WEATHER], previous_response_id=first["id"])
    assert (place(second)[0], second["tools"]) == (place(first)[0], first["tools"])


async def test_items_after_a_response_begin_a_new_trajectory(client: Client, world: World) -> None:
    first = await create(client, "One", tools=[])
    items = [
        {"role": "user", "content": "Two"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "3"},
    ]
    second = await create(client, items, previous_response_id=first["id"])
    assert place(second)[0] != place(first)[0]
    assert [content for role, content in histories(world)[-1] if role in ("user", "conclusion")] == [
        "One", "done", "Two", "2", "3",
    ]  # fmt: skip


async def test_concurrent_answers_to_one_response_are_two_branches(client: Client) -> None:
    first = await create(client, "One", tools=[])
    both = await asyncio.gather(*(create(client, text, previous_response_id=first["id"]) for text in ("a", "b")))
    assert len({place(each)[0] for each in both}) == 2
    assert place(first)[0] in {place(each)[0] for each in both}


async def test_a_response_without_an_answer_can_be_continued(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("I cannot", "give up"), decide("now", "conclusion"))
    first = await create(client, "One", tools=[])
    assert (first["status"], first["incomplete_details"]) == ("incomplete", {"reason": "gave_up"})
    second = await create(client, "Two", previous_response_id=first["id"])
    assert (place(second)[0], second["status"]) == (place(first)[0], "completed")


async def test_references_are_resolved(client: Client, world: World) -> None:
    first = await create(client, "One", tools=[])
    references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    items = [{"role": "user", "content": "One"}, *references, {"role": "user", "content": "Two"}]
    await create(client, items, tools=[])
    assert [role for role, _ in histories(world)[-1]] == ["user", "planner", "conclusion", "user"]
    listed = (await client.http.get(f"/v1/responses/{first['id']}/input_items")).json()["data"]
    await create(client, [{"id": listed[0]["id"]}], previous_response_id=first["id"])
    assert histories(world)[-1][-1] == ("user", "One")
    status, field, _ = await error(client, [{"type": "item_reference", "id": "msg_1"}])
    assert (status, field) == (400, "input[0].id")


async def test_a_long_history_reaches_the_roles(client: Client, world: World) -> None:
    calls = [
        item
        for number in range(400)
        for item in (
            {"type": "function_call", "call_id": str(number), "name": "weather", "arguments": "{}"},
            output_of(str(number)),
        )
    ]
    await create(client, [{"role": "user", "content": "Weather?"}, *calls], tools=[WEATHER])
    assert len(histories(world)[-1]) == 1 + 3 * 400


# Conversations.


async def conversation(client: Client, *items: Document) -> str:
    response = await client.http.post("/v1/conversations", json={"items": list(items)})
    return str(response.json()["id"])


async def test_a_conversation_goes_on_in_one_trajectory(client: Client, world: World) -> None:
    name = await conversation(client, {"role": "user", "content": "I am Ann."})
    first = await create(client, "One", tools=[], conversation=name)
    second = await create(client, "Two", conversation={"id": name})
    assert first["conversation"] == second["conversation"] == {"id": name}
    assert place(first)[0] == place(second)[0]
    assert [content for role, content in histories(world)[-1] if role == "user"] == ["I am Ann.\n\nOne", "Two"]
    listed = (await client.http.get(f"/v1/conversations/{name}/items", params={"order": "asc"})).json()["data"]
    assert [item["role"] for item in listed if item["type"] == "message"] == [
        "user", "user", "assistant", "user", "assistant",
    ]  # fmt: skip


async def test_a_conversation_waits_for_the_output_of_its_open_call(client: Client, world: World) -> None:
    script_call(world)
    name = await conversation(client)
    first = await create(client, "Weather?", tools=[WEATHER], conversation=name)
    assert (await error(client, "Hello?", conversation=name))[:2] == (400, "input")
    second = await create(client, [output_of(first["output"][-1]["call_id"])], conversation=name)
    assert (place(second)[0], second["status"]) == (place(first)[0], "completed")


async def test_a_conversation_has_one_response_at_a_time(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    name = await conversation(client)
    await create(client, conversation=name, background=True)
    assert await error(client, conversation=name) == (409, "conversation", "conversation_locked")


# Calls of the client's tools.


async def test_the_output_of_an_open_call_goes_on_in_its_trajectory(client: Client, world: World) -> None:
    first, call_id = await opened(client, world, instructions="Be brief.")
    second = await create(client, [output_of(call_id)], previous_response_id=first["id"], instructions="Be brief.")
    assert place(second)[0] == place(first)[0]
    assert [item["type"] for item in second["output"]] == ["reasoning", "message"]
    assert histories(world)[-1][-1] == ("observation", "sun")
    assert (await read(client, first["id"])).json() == first
    third = await create(client, "And?", previous_response_id=second["id"])
    assert place(third)[0] == place(first)[0]


@pytest.mark.parametrize(
    "changed",
    [{"temperature": 1.0}, {"max_output_tokens": 16}, {"max_tool_calls": 1}, {"tool_choice": "none"}],
)
async def test_an_output_with_other_options_goes_on_in_its_trajectory(
    client: Client, world: World, changed: Document
) -> None:
    first, call_id = await opened(client, world, max_tool_calls=1, max_output_tokens=500)
    second = await create(client, [output_of(call_id)], previous_response_id=first["id"], **changed)
    assert (place(second)[0], second["status"]) == (place(first)[0], "completed")
    planner = world.roles.bodies_of("planner")[-1]
    assert planner["temperature"] == changed.get("temperature", 0.0)
    assert planner["token_budget"] == changed.get("max_output_tokens")
    assert bool(planner["tools"]) == ("tool_choice" not in changed)


async def test_the_limits_of_a_request_are_those_of_its_response(client: Client, world: World) -> None:
    """A client that sends them with every output of a call."""
    script_call(world)
    world.roles.planner = in_turn(decide("look", "caller"), decide("look", "caller"), decide("I know it", "conclusion"))
    limits = {"max_tool_calls": 1, "max_output_tokens": 16, "tools": [WEATHER]}
    response = first = await create(client, "Weather?", **limits)
    for text in ("sun", "rain"):
        call_id = response["output"][-1]["call_id"]
        response = await create(client, [output_of(call_id, text)], previous_response_id=response["id"], **limits)
    assert (response["status"], place(response)[0]) == ("completed", place(first)[0])


async def test_a_call_can_be_demanded_with_every_output(client: Client, world: World) -> None:
    script_call(world)
    world.roles.planner = in_turn(decide("look", "caller"))
    demand = {"tool_choice": "required", "tools": [WEATHER]}
    first = await create(client, "Weather?", **demand)
    call_id = first["output"][-1]["call_id"]
    second = await create(client, [output_of(call_id)], previous_response_id=first["id"], **demand)
    assert (place(second)[0], second["output"][-1]["type"]) == (place(first)[0], "function_call")
    assert world.roles.bodies_of("planner")[-1]["decisions"] == ["caller"]


@pytest.mark.parametrize("changed", [{"tools": [WEATHER, SHOP]}, {"instructions": "Be long."}])
async def test_an_output_with_other_tools_or_instructions_begins_a_new_trajectory(
    client: Client, world: World, changed: Document
) -> None:
    first, call_id = await opened(client, world, instructions="Be brief.")
    second = await create(client, [output_of(call_id)], previous_response_id=first["id"], **changed)
    assert (place(second)[0] != place(first)[0], second["status"]) == (True, "completed")
    instructions = changed.get("instructions", "Be brief.")
    assert histories(world)[-1][0] == ("user", f"{instructions}\n\nWeather?")
    assert histories(world)[-1][-1] == ("observation", "sun")
    assert (await read(client, first["id"])).json() == first
    trajectory = f"/v1/trajectories/{place(first)[0]}"
    await until_cancelled(client, trajectory)


async def until_cancelled(client: Client, trajectory: str) -> None:
    for _ in range(200):
        if (await client.http.get(trajectory)).json()["status"] == "cancelled":
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the trajectory was not cancelled")


async def test_an_output_and_a_message_begin_a_new_trajectory(client: Client, world: World) -> None:
    first, call_id = await opened(client, world)
    items = [output_of(call_id), {"role": "user", "content": "In short."}]
    second = await create(client, items, previous_response_id=first["id"])
    assert place(second)[0] != place(first)[0]
    assert [role for role, _ in histories(world)[-1]] == [
        "user", "planner", "caller", "observation", "conclusion", "user",
    ]  # fmt: skip


async def test_outputs_that_no_call_waits_for(client: Client, world: World) -> None:
    first, call_id = await opened(client, world)
    previous = {"previous_response_id": first["id"]}
    refused = (400, "input[0].call_id", "invalid_request")
    assert await error(client, [output_of("call_other")], **previous) == (400, "input", "invalid_request")
    assert await error(client, [output_of("call_other"), output_of(call_id)], **previous) == refused
    assert await error(client, [output_of(call_id), output_of(call_id)], **previous) == (
        400, "input[1].call_id", "invalid_request",
    )  # fmt: skip
    status, field, _ = await error(client, "Hello?", **previous)
    assert (status, field) == (400, "input")
    second = await create(client, [output_of(call_id)], **previous)
    assert await error(client, [output_of(call_id)], **previous) == refused
    assert await error(client, [output_of(call_id)], previous_response_id=second["id"]) == refused


async def test_an_output_after_the_deadline_is_not_lost(world: World) -> None:
    async with world.orchestrator(client_tool_timeout_s=0.05) as client:
        script_call(world)
        world.roles.planner = in_turn(decide("look", "caller"), decide("I know it", "conclusion"))
        first = await create(client, "Weather?", tools=[WEATHER])
        trajectory = f"/v1/trajectories/{place(first)[0]}"
        while (await client.http.get(trajectory)).json()["finished_at"] is None:
            await asyncio.sleep(0.02)
        assert (await read(client, first["id"])).json() == first
        items = [output_of(first["output"][-1]["call_id"])]
        second = await create(client, items, previous_response_id=first["id"])
        assert (place(second)[0] != place(first)[0], second["status"]) == (True, "completed")
        assert histories(world)[-1][-1] == ("observation", "sun")


# Ends.


async def test_background_cancel_and_delete(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    response = await post(client, input="Hello", background=True)
    document = response.json()
    assert (response.status_code, document["status"] in ("queued", "in_progress")) == (200, True)
    assert await error(client, "More", previous_response_id=document["id"]) == (
        409, "previous_response_id", "trajectory_busy",
    )  # fmt: skip
    cancelled = await post(client, f"/{document['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = await post(client, f"/{document['id']}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "response_finished")
    deleted = await client.http.delete(f"/v1/responses/{document['id']}")
    assert deleted.json() == {"id": document["id"], "object": "response.deleted", "deleted": True}
    for gone in (await read(client, document["id"]), await client.http.delete(f"/v1/responses/{document['id']}")):
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "response_not_found")
    assert (await client.http.get(f"/v1/trajectories/{place(document)[0]}")).status_code == 410
    actions = [row["action"] for row in (await client.http.get("/v1/audit")).json()["data"]]
    assert actions[:2] == ["response.deleted", "response.cancelled"]


async def test_a_response_that_runs_is_cancelled_and_deleted(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    document = (await post(client, input="Hello", background=True)).json()
    await until(lambda: bool(world.roles.requests))
    assert (await client.http.delete(f"/v1/responses/{document['id']}")).status_code == 200
    await until(lambda: world.roles.left == ["planner"])
    assert (await client.http.get(f"/v1/trajectories/{place(document)[0]}")).status_code == 410


async def test_a_trajectory_goes_with_its_last_response(client: Client) -> None:
    first = await create(client, "One", tools=[])
    second = await create(client, "Two", previous_response_id=first["id"])
    await client.http.delete(f"/v1/responses/{first['id']}")
    assert await error(client, "More", previous_response_id=first["id"]) == (
        404, "previous_response_id", "previous_response_not_found",
    )  # fmt: skip
    assert (await read(client, second["id"])).json() == second
    await client.http.delete(f"/v1/responses/{second['id']}")
    assert (await client.http.get(f"/v1/trajectories/{place(first)[0]}")).status_code == 410


async def test_a_response_that_is_not_stored_is_deleted_when_it_ended(client: Client, world: World) -> None:
    script_call(world)
    open_call = await create(client, "Weather?", tools=[WEATHER], store=False)
    ended = await create(client, store=False)
    assert ended["store"] is False
    for each in (open_call, ended):
        assert (await read(client, each["id"])).status_code == 404
        assert await error(client, previous_response_id=each["id"]) == (
            404, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip
    for _ in range(2):
        await client.orchestrator.response_deletion.delete_unstored()
    for each in (open_call, ended):
        assert (await client.http.get(f"/v1/trajectories/{place(each)[0]}")).status_code == 404
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_a_client_that_leaves_cancels_what_it_waits_for_alone(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    request = asyncio.create_task(post(client, input="Hello"))
    await until(lambda: bool(world.roles.requests))
    request.cancel()
    await until(lambda: world.roles.left == ["planner"])
    background = (await post(client, input="Hello", background=True)).json()
    assert (await read(client, background["id"])).json()["status"] in ("queued", "in_progress")


async def test_a_client_that_leaves_a_stream_cancels_its_response(client: Client, world: World) -> None:
    world.roles.planner = in_turn(replace(hang(), deltas=("It is ", "far ")))
    fields = {"model": "alpha-umi", "input": "Hello", "stream": True}
    async with aconnect_sse(client.http, "POST", "/v1/responses", json=fields) as source:
        async for event in source.aiter_sse():
            response_id = event.json()["response"]["id"]
            # The end of the loop closes the connection.
            await until(lambda: bool(world.roles.requests))
            break
    await until(lambda: world.roles.left == ["planner"])
    await until_cancelled(client, f"/v1/trajectories/{place({'id': response_id})[0]}")
    assert (await read(client, response_id)).json()["status"] == "cancelled"


async def test_a_stream_of_what_is_not_stored_has_its_end(client: Client, world: World) -> None:
    fields = {"model": "alpha-umi", "input": "Hello", "stream": True, "store": False}
    async with aconnect_sse(client.http, "POST", "/v1/responses", json=fields) as source:
        kinds = []
        async for event in source.aiter_sse():
            await client.orchestrator.response_deletion.delete_unstored()
            kinds.append(event.event)
    assert "response.completed" in kinds
    await client.orchestrator.response_deletion.delete_unstored()
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_a_request_is_carried_out_once_under_its_key(client: Client, world: World) -> None:
    first, again = [await post(client, input="Hello", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(world.roles.bodies_of("planner")) == 1
    other = await post(client, input="Other", headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")


@pytest.mark.parametrize("store", [True, False])
async def test_the_key_of_a_deleted_response_leads_to_none(client: Client, store: bool) -> None:
    fields: Document = {"input": "Hello", "store": store, "headers": {"Idempotency-Key": "k"}}
    response = (await post(client, **fields)).json()
    if store:
        await client.http.delete(f"/v1/responses/{response['id']}")
    else:
        await client.orchestrator.response_deletion.delete_unstored()
    for stream in (False, True):
        error = await post(client, stream=stream, **fields)
        assert error.status_code == 404
        assert (error.json()["error"]["code"], error.json()["error"]["param"]) == (
            "response_not_found",
            "Idempotency-Key",
        )


async def test_limits_are_reasons_of_an_incomplete_response(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("look", "caller"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    response = await create(client, tools=[SHOP], max_tool_calls=1)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_tool_calls"})
    response = await create(client, tools=[SHOP], max_output_tokens=16)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


# Pages of items.


async def test_items_of_a_request_come_in_pages(client: Client) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    response = await create(client, items, tools=[])
    path = f"/v1/responses/{response['id']}/input_items"
    pages, after = [], None
    while True:
        params: Document = {"limit": 2, "order": "asc"} | ({} if after is None else {"after": after})
        page = (await client.http.get(path, params=params)).json()
        pages += [item["content"][0]["text"] for item in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert pages == ["0", "1", "2", "3", "4"]
    newest = (await client.http.get(path)).json()["data"]
    assert newest[0]["content"] == [{"type": "input_text", "text": "4"}]
    wrong = await client.http.get(path, params={"after": "msg_1"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "after")


# Bad input.


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"model": None}, "model", "invalid_request"),
        ({"unknown": 1}, "unknown", "invalid_request"),
        ({"prompt": {"id": "p"}}, "prompt", "invalid_request"),
        ({"n": 2}, "n", "invalid_request"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_request"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]", "invalid_request"),
        ({"presence_penalty": 0.5}, "presence_penalty", "invalid_request"),
        ({"max_output_tokens": 1}, "max_output_tokens", "invalid_request"),
        ({"background": True, "store": False}, "background", "invalid_request"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "conversation", "invalid_request"),
        ({"conversation": "conv_1", "store": False}, "store", "invalid_request"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "invalid_request"),
        (
            {"tools": [SHOP, {"type": "alpha_umi:registered", "names": ["a", "nothing"]}]},
            "tools[1].names[0]",
            "unknown_tool",
        ),
        ({"tools": [SHOP, WEATHER, WEATHER]}, "tools[2].name", "invalid_request"),
        ({"tools": [WEATHER | {"parameters": {"type": "objekt"}}]}, "tools[0].parameters.type", "tool_schema_invalid"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "invalid_request"),
        ({"tools": [], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name", "invalid_request"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice", "invalid_request"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format", "invalid_request"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "objekt"}}}},
            "text.format.schema.type",
            "answer_schema_invalid",
        ),
        ({"input": None}, "input", "invalid_request"),
        ({"input": []}, "input", "invalid_request"),
        ({"input": " "}, "input", "invalid_request"),
        ({"input": [{"type": "computer_call"}]}, "input[0]", "invalid_request"),
        (
            {"input": [{"type": "compaction", "encrypted_content": "x"}]},
            "input[0].encrypted_content",
            "invalid_request",
        ),
        ({"input": [{"role": "assistant", "content": "x"}]}, "input", "invalid_request"),
        ({"instructions": "x" * 999_999, "input": "xx"}, "instructions", "invalid_request"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(client: Client, body: Document, field: str, code: str) -> None:
    response = await client.http.post("/v1/responses", json={"model": "alpha-umi", "input": "Hello"} | body)
    fields = response.json()["error"]
    assert (response.status_code, fields["param"], fields["code"]) == (400, field, code), fields
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


@pytest.mark.parametrize("named", ["resp_1", "resp_" + "0" * 32 + "_1", "traj_" + "0" * 32, "x" * 100])
async def test_there_is_nothing_to_continue(client: Client, named: str) -> None:
    assert await error(client, previous_response_id=named) == (
        404, "previous_response_id", "previous_response_not_found",
    )  # fmt: skip


async def test_a_large_body_is_refused_with_the_limit(client: Client) -> None:
    items = [{"role": "user", "content": "x" * 900_000}, {"role": "assistant", "content": "y"}] * 12
    response = await post(client, input=items)
    assert response.status_code == 413
    assert "6291456" in response.json()["error"]["message"]


async def test_a_place_needs_a_stream(client: Client) -> None:
    response = await create(client)
    refused = await client.http.get(f"/v1/responses/{response['id']}", params={"starting_after": 3})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")


@pytest.mark.parametrize(
    ("headers", "name"),
    [({}, "response.reasoning.delta"), ({"x-stainless-lang": "js"}, "response.reasoning_text.delta")],
)
async def test_openai_clients_get_their_own_names_of_a_rationale(
    client: Client, headers: dict[str, str], name: str
) -> None:
    """Their helpers end a stream at a name that they do not know."""
    body = {"model": "alpha-umi", "input": "Hello", "tools": [], "stream": True}
    first = await client.stream("POST", "/v1/responses", json=body, headers=headers)
    response_id = first[0].json()["response"]["id"]
    again = await client.stream("GET", f"/v1/responses/{response_id}?stream=true", headers=headers)
    for events in (first, again):
        rationale = {event.event for event in events if "reasoning" in event.event}
        assert rationale == {name, name.replace("delta", "done")}
        assert all(event.json()["type"] == event.event for event in events if event.data != "[DONE]")

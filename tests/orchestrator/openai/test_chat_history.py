"""Chat completions with a conversation: continued where a trajectory holds it, else read as a history."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.chat import THERMOMETER, assistant, complete, message_of, output, post, refusal, user
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, in_turn, say

from alpha_umi.contract.openai.chat import CreateChatCompletion
from alpha_umi.roles.planner import write_plan
from alpha_umi.web.key_file import Grant, new_key
from orchestrator.openai.chat_history import ChatHistory, read_history

SYSTEM = {"role": "system", "content": "Be brief."}
CALLED = 'Action: read_thermometer\nAction Input: {\n  "room": "hall"\n}'
ARGUMENTS = '{"room":"hall"}'


def read(*messages: dict[str, Any], **fields: Any) -> ChatHistory:
    body = {"model": "alpha-umi", "messages": messages} | fields
    return read_history(CreateChatCompletion.model_validate_json(json.dumps(body)))


def turns(*messages: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in read(*messages).everything.turns()]


def trajectory_of(completion: dict[str, Any]) -> str:
    return str(completion["id"]).removeprefix("chatcmpl-").partition("_")[0]


def newest_history(world: World) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in world.roles.bodies_of("planner")[-1]["history"]]


def test_messages_are_turns() -> None:
    assert turns(SYSTEM, user("a"), user("b"), assistant("c"), user("d")) == [
        ("user", "a\n\nb"),
        ("planner", write_plan("", "conclusion")),
        ("conclusion", "c"),
        ("user", "d"),
    ]
    assert (
        read(SYSTEM, user(), {"role": "developer", "content": "In German."}).instructions == "Be brief.\n\nIn German."
    )


def test_several_calls_of_a_message_are_one_step_after_the_other() -> None:
    calls = ("a", "read_thermometer", ARGUMENTS), ("b", "read_thermometer", ARGUMENTS)
    expected = [
        ("user", "What is it?"),
        ("planner", write_plan("Measure.", "caller")),
        ("caller", CALLED),
        ("observation", "1"),
        ("planner", write_plan("", "caller")),
        ("caller", CALLED),
        ("observation", "2"),
    ]
    assert turns(user(), assistant("Measure.", *calls), output("b", "2"), SYSTEM, output("a", "1")) == expected


def test_ids_of_calls_may_repeat_in_later_messages() -> None:
    made = assistant(None, ("call_0", "read_thermometer", ARGUMENTS))
    history = turns(user(), made, output("call_0", "1"), made, output("call_0", "2"))
    assert [content for role, content in history if role == "observation"] == ["1", "2"]


def test_the_assistants_extensions_are_read_as_well() -> None:
    served = {"id": "call_1", "name": "look_up", "arguments": "{}", "output": "12", "status": "completed"}
    answered = assistant("It costs 12.") | {
        "reasoning_content": "Look it up.",
        "alpha_umi": {"tool_calls": [served]},
        "refusal": None,
        "annotations": [],
    }
    assert turns(user(), answered, user("And now?"))[1:5] == [
        ("planner", write_plan("Look it up.", "caller")),
        ("caller", "Action: look_up\nAction Input: {}"),
        ("observation", "12"),
        ("planner", write_plan("", "conclusion")),
    ]


def test_what_is_not_read_is_named_in_its_place() -> None:
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAAA"}},
    ]
    assert turns(user(parts)) == [("user", "Look:\n[image: not read]\n[file a.pdf: not read]")]


def test_a_digest_does_not_depend_on_notation() -> None:
    made = ("call_1", "read_thermometer", '{"a": 1, "b": 2}')
    written = ("call_1", "read_thermometer", '{"b":2,"a":1}')
    one = read(user(), assistant(None, made), output("call_1"))
    other = read(
        user([{"type": "text", "text": "What is it?"}]),
        assistant("", written) | {"reasoning_content": "Measure."},
        output("call_1"),
    )
    assert one.digest == other.digest
    assert one.prefix == read(user()).digest != one.digest
    assert one.digest != read(user(), assistant(None, made), output("call_1"), model="alpha-umi-dfsdt").digest
    assert one.digest != read(user(), assistant(None, made), output("call_1"), tools=[THERMOMETER]).digest


MADE = assistant(None, ("call_1", "read_thermometer", ARGUMENTS))


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([SYSTEM], "messages"),
        ([user(" ")], "messages"),
        ([user(), assistant("done")], "messages"),
        ([user(), output("call_1")], "messages[1].tool_call_id"),
        ([output("call_1"), user()], "messages[0].tool_call_id"),
        ([user(), MADE], "messages[1].tool_calls[0].id"),
        ([user(), MADE, user("well?")], "messages[1].tool_calls[0].id"),
        ([user(), MADE, output("call_2")], "messages[2].tool_call_id"),
        ([user(), MADE, output("call_1"), output("call_1")], "messages[3].tool_call_id"),
        ([user(), assistant(None, ("a", "f", "no JSON")), output("a")], "messages[1].tool_calls[0].function.arguments"),
        ([{"role": "narrator", "content": "x"}], "messages[0]"),
        ([user() | {"mood": "sad"}], "messages[0].mood"),
        ([user([{"type": "video"}])], "messages[0].content[0]"),
        ([user([{"type": "text", "text": 5}])], "messages[0].content[0].text"),
        ([{"role": "function", "name": "f", "content": "x"}], "messages[0]"),
    ],
)
async def test_a_conversation_that_cannot_be_read_is_refused(
    client: Client, messages: list[dict[str, Any]], param: str
) -> None:
    assert (await refusal(client, *messages))[:2] == (400, param)


async def test_the_next_message_continues_the_trajectory(client: Client, world: World) -> None:
    first = await complete(client, SYSTEM, user())
    second = await complete(client, SYSTEM, user(), message_of(first), user("And now?"))
    repeated = SYSTEM, user(), assistant("done "), user("And now?"), assistant("done")
    third = await complete(client, *repeated, user([{"type": "text", "text": "?"}]))
    assert trajectory_of(first) == trajectory_of(second) == trajectory_of(third)
    assert len({first["id"], second["id"], third["id"]}) == 3
    trajectory = (await client.http.get(f"/v1/trajectories/traj_{trajectory_of(first)}")).json()
    assert [message["content"] for message in trajectory["messages"]] == [
        "What is it?", "done", "And now?", "done", "?", "done",
    ]  # fmt: skip
    assert second["usage"] == first["usage"]


async def test_a_conversation_that_no_trajectory_holds_is_the_history_of_a_new_one(
    client: Client, world: World
) -> None:
    first = await complete(client, user())
    others = [
        await complete(client, user(), assistant("something else"), user("And now?")),
        await complete(client, user(), message_of(first), user("And now?"), tools=[THERMOMETER]),
        await complete(client, user(), message_of(first), user("And now?"), model="alpha-umi-dfsdt"),
        await complete(client, SYSTEM, user(), message_of(first), user("And now?")),
    ]
    assert len({trajectory_of(each) for each in (first, *others)}) == 5
    assert newest_history(world)[-2:] == [("conclusion", "done"), ("user", "Be brief.\n\nAnd now?")]


async def test_a_conversation_after_a_give_up_goes_on(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("Hopeless.", "give up"), decide("Of course.", "conclusion"))
    first = await complete(client, user())
    second = await complete(client, user(), message_of(first), user("Really?"))
    assert trajectory_of(first) == trajectory_of(second)
    assert message_of(second)["content"] == "done"


async def test_requests_on_the_same_conversation_get_an_answer_each(client: Client) -> None:
    first = await complete(client, user())
    messages = user(), message_of(first), user("And now?")
    answers = await asyncio.gather(*(complete(client, *messages) for _ in range(3)))
    assert len({trajectory_of(each) for each in answers}) == 3
    assert trajectory_of(first) in {trajectory_of(each) for each in answers}


async def test_owners_do_not_continue_each_others_conversations(world: World) -> None:
    keys = {owner: new_key(grant=Grant(owner, frozenset({"use"}))) for owner in ("ann", "bob")}
    path = world.folder / "keys"
    path.write_text("".join(f"{key.entry.line}\n" for key in keys.values()), encoding="utf-8")
    path.chmod(0o600)
    async with world.orchestrator(api_keys_file=path) as client:
        made = {}
        for owner, key in keys.items():
            client.http.headers["Authorization"] = f"Bearer {key.text}"
            made[owner] = await complete(client, user())
        second = await complete(client, user(), assistant("done"), user("And now?"))
    assert trajectory_of(second) == trajectory_of(made["bob"])


def measures(world: World, calls: int = 1) -> None:
    world.roles.planner = in_turn(*[decide("Measure.", "caller")] * calls, decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    world.roles.summarizer = in_turn(say("It is warm."))


async def test_each_call_of_a_turn_is_answered_on_one_trajectory(client: Client, world: World) -> None:
    measures(world, calls=3)
    messages: list[dict[str, Any]] = [user()]
    completions = []
    for _ in range(4):
        completions.append(await complete(client, *messages, tools=[THERMOMETER]))
        messages.append(message_of(completions[-1]))
        if made := messages[-1].get("tool_calls"):
            messages.append(output(made[0]["id"], f"{len(messages)} °C"))
    assert len({trajectory_of(each) for each in completions}) == 1
    assert messages[-1]["content"] == "It is warm."
    # The next message continues it, too.
    measures(world)
    further = await complete(client, *messages, user("And now?"), tools=[THERMOMETER])
    assert trajectory_of(further) == trajectory_of(completions[0])


async def test_an_output_that_is_sent_twice_is_answered_twice(client: Client, world: World) -> None:
    measures(world)
    first = await complete(client, user(), tools=[THERMOMETER])
    made = message_of(first)
    messages = user(), made, output(made["tool_calls"][0]["id"])
    measures(world)
    world.roles.planner = lambda _: decide("I know it.", "conclusion")
    answers = await asyncio.gather(*(complete(client, *messages, tools=[THERMOMETER]) for _ in range(2)))
    assert {message_of(each)["content"] for each in answers} == {"It is warm."}
    assert len({trajectory_of(each) for each in (first, *answers)}) == 2


@pytest.mark.parametrize("changed", [{"temperature": 0.5}, {"max_tokens": 500}, {"tool_choice": "required"}])
async def test_other_options_after_a_call_continue_its_trajectory(
    client: Client, world: World, changed: dict[str, Any]
) -> None:
    measures(world)
    first = await complete(client, user(), tools=[THERMOMETER])
    made = message_of(first)
    measures(world)
    world.roles.planner = lambda _: decide("I know it.", "conclusion")
    messages = user(), made, output(made["tool_calls"][0]["id"])
    second = await complete(client, *messages, tools=[THERMOMETER], **changed)
    assert trajectory_of(first) == trajectory_of(second)
    assert newest_history(world)[-2:] == [("caller", CALLED), ("observation", "21 °C")]


async def test_a_required_call_may_be_answered_with_a_free_choice(client: Client, world: World) -> None:
    measures(world)
    first = await complete(client, user(), tools=[THERMOMETER], tool_choice="required")
    made = message_of(first)
    second = await complete(client, user(), made, output(made["tool_calls"][0]["id"]), tools=[THERMOMETER])
    assert trajectory_of(first) == trajectory_of(second)


async def test_an_output_and_a_message_are_a_history(client: Client, world: World) -> None:
    measures(world)
    first = await complete(client, user(), tools=[THERMOMETER])
    made = message_of(first)
    world.roles.planner = in_turn(decide("I know it.", "conclusion"))
    messages = user(), made, output(made["tool_calls"][0]["id"]), user("Quick!")
    second = await complete(client, *messages, tools=[THERMOMETER])
    assert message_of(second)["content"] == "It is warm."
    assert newest_history(world)[-1] == ("user", "Quick!")


async def test_a_restart_changes_nothing(world: World) -> None:
    measures(world)
    async with world.orchestrator() as client:
        first = await complete(client, user(), tools=[THERMOMETER])
    made = message_of(first)
    messages = [user(), made, output(made["tool_calls"][0]["id"])]
    async with world.orchestrator() as client:
        second = await complete(client, *messages, tools=[THERMOMETER])
    async with world.orchestrator() as client:
        third = await complete(client, *messages, message_of(second), user("And now?"), tools=[THERMOMETER])
    assert trajectory_of(first) == trajectory_of(second) == trajectory_of(third)


async def test_a_conversation_that_is_not_stored_is_not_continued(client: Client) -> None:
    first = await complete(client, user(), store=False)
    second = await complete(client, user(), message_of(first), user("And now?"))
    assert trajectory_of(first) != trajectory_of(second)


async def test_a_long_conversation_is_read_and_one_that_is_too_long_is_refused(client: Client) -> None:
    text = "word " * 20_000
    messages = [user(text) if number % 2 == 0 else assistant(text) for number in range(51)]
    assert message_of(await complete(client, *messages))["content"] == "done"
    response = await post(client, *messages, *messages, *messages)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert "6291456 bytes" in response.json()["error"]["message"]
    status, param, text = await refusal(client, *[user("x"), assistant("y")] * 3_330, user("z"))
    assert (status, param) == (400, "messages")
    assert "turns" in text

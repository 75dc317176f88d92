"""`/v1/conversations` over HTTP: items, pages, metadata, bad input; and how a conversation is continued."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from support.orchestrator_world import Client, World
from support.scripted_roles import hang, in_turn

from alpha_umi.contract.openai.input_items import InputMessage
from alpha_umi.contract.problems import ServiceError
from alpha_umi.trajectory import Limits, TrajectoryCreated
from alpha_umi.web.keys import DEFAULT_OWNER
from orchestrator.openai.item_documents import item_document
from orchestrator.runs.manager import Run
from orchestrator.store import TurnRecord

PATH = "/v1/conversations"
HELLO = {"role": "user", "content": "Hello"}


async def create(client: Client, *items: dict[str, Any], **fields: Any) -> str:
    response = await client.http.post(PATH, json={"items": items, **fields})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def read(client: Client, path: str, **query: Any) -> dict[str, Any]:
    response = await client.http.get(f"{PATH}/{path}", params=query)
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result


def texts(documents: Sequence[dict[str, Any]]) -> list[str]:
    return [part["text"] for document in documents for part in document.get("content", ())]


async def respond(client: Client, conversation_id: str, text: str) -> Run:
    """What a request in a conversation does: begin a turn, with its record."""
    item = InputMessage(role="user", content=text)
    document = {"input": [item_document(item, f"msg_{uuid.uuid4().hex}")]}
    orchestrator = client.orchestrator
    async with orchestrator.conversations.continuation(conversation_id, owner=DEFAULT_OWNER):
        return await orchestrator.runs.create(
            TrajectoryCreated(text, (), Limits()),
            await orchestrator.tool_sets.save({}),
            owner=DEFAULT_OWNER,
            metadata={},
            background=True,
            turn=TurnRecord(DEFAULT_OWNER, "responses", document, conversation=conversation_id),
        )


async def test_a_conversation_is_created_read_updated_and_deleted(client: Client) -> None:
    conversation_id = await create(client, HELLO, metadata={"topic": "tides"})
    shown = await read(client, conversation_id)
    assert (shown["object"], shown["metadata"]) == ("conversation", {"topic": "tides"})
    updated = await client.http.post(f"{PATH}/{conversation_id}", json={"metadata": {"topic": "moon"}})
    assert updated.json() == {**shown, "metadata": {"topic": "moon"}}
    deleted = await client.http.delete(f"{PATH}/{conversation_id}")
    assert deleted.json() == {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
    assert (await client.http.get(f"{PATH}/{conversation_id}")).status_code == 404


async def test_every_kind_of_item_comes_back_and_can_be_sent_again(client: Client) -> None:
    parts = [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": "data:image/png;base64,AA"}]
    sent: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": parts},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "10"},
        {"type": "message", "role": "assistant", "content": "It is ten.", "phase": "final_answer"},
    ]
    conversation_id = await create(client, *sent)
    shown = (await read(client, f"{conversation_id}/items", order="asc"))["data"]
    assert [item["type"] for item in shown] == [item["type"] for item in sent]
    assert shown[0]["content"][1] == {**parts[1], "detail": "auto"}
    assert shown[4]["content"] == [{"type": "output_text", "text": "It is ten.", "annotations": [], "logprobs": []}]
    for item in shown:
        assert await read(client, f"{conversation_id}/items/{item['id']}") == item
    again = await client.http.post(f"{PATH}/{conversation_id}/items", json={"items": shown})
    assert [item["type"] for item in again.json()["data"]] == [item["type"] for item in sent]
    assert len({item["id"] for item in shown + again.json()["data"]}) == 10


async def test_items_are_paged_in_both_orders(client: Client) -> None:
    conversation_id = await create(client, *({"role": "user", "content": str(n)} for n in range(3)))
    for n in (3, 4):
        await (await respond(client, conversation_id, str(n))).settled()
    for order, expected in (("asc", list("0123")), ("desc", list("4321"))):
        pages: list[dict[str, Any]] = []
        query: dict[str, Any] = {"order": order, "limit": 2}
        while True:
            page = await read(client, f"{conversation_id}/items", **query)
            pages += page["data"]
            assert len(page["data"]) <= 2
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
        users = [item for item in pages if item.get("role") == "user"]
        assert texts(users)[:4] == expected
        answers = [item for item in pages if item.get("role") == "assistant"]
        assert texts(answers) == ["done", "done"]
        assert len({item["id"] for item in pages}) == len(pages) == 9
        for item in pages:
            assert await read(client, f"{conversation_id}/items/{item['id']}") == item


async def test_it_is_continued_at_its_newest_response_with_what_was_added_since(client: Client) -> None:
    conversation_id = await create(client, HELLO)
    conversations = client.orchestrator.conversations
    async with conversations.continuation(conversation_id, owner=DEFAULT_OWNER) as first:
        assert first.previous is None
        assert [getattr(item, "role", "") for item in first.items] == ["user"]
    run = await respond(client, conversation_id, "And now?")
    await run.settled()
    added = await client.http.post(f"{PATH}/{conversation_id}/items", json={"items": [HELLO]})
    assert added.status_code == 200, added.text
    async with conversations.continuation(conversation_id, owner=DEFAULT_OWNER) as second:
        assert second.previous is not None
        assert (second.previous.trajectory_id, second.previous.seq) == (run.id, 1)
        assert [getattr(item, "id", None) for item in second.items] == [added.json()["first_id"]]


async def test_it_is_locked_while_a_response_runs_and_while_one_begins(world: World, client: Client) -> None:
    world.roles.planner = in_turn(hang())
    conversation_id = await create(client, HELLO)
    conversations = client.orchestrator.conversations
    async with conversations.continuation(conversation_id, owner=DEFAULT_OWNER):
        refused = await client.http.post(f"{PATH}/{conversation_id}/items", json={"items": [HELLO]})
        assert refused.status_code == 409
    run = await respond(client, conversation_id, "Wait")
    with pytest.raises(ServiceError, match="another request continues"):
        await respond(client, conversation_id, "Me, too")
    items = await read(client, f"{conversation_id}/items")
    assert texts(items["data"]) == ["Hello"], "a response that runs shows nothing yet"
    run.driver.cancel("cancelled by the client")
    await asyncio.wait_for(run.settled(), 10)
    async with conversations.continuation(conversation_id, owner=DEFAULT_OWNER) as continuation:
        assert continuation.previous is not None


async def test_an_added_item_is_deleted_and_that_of_a_response_is_not(client: Client) -> None:
    conversation_id = await create(client, HELLO)
    (item,) = (await read(client, f"{conversation_id}/items"))["data"]
    deleted = await client.http.delete(f"{PATH}/{conversation_id}/items/{item['id']}")
    assert deleted.json()["id"] == conversation_id
    assert (await client.http.get(f"{PATH}/{conversation_id}/items/{item['id']}")).status_code == 404
    await (await respond(client, conversation_id, "Hi")).settled()
    answer = (await read(client, f"{conversation_id}/items"))["data"][0]
    refused = await client.http.delete(f"{PATH}/{conversation_id}/items/{answer['id']}")
    assert refused.status_code in (400, 422)
    assert "delete the response" in refused.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"title": "x"}),
        ("", {"items": [HELLO] * 21}),
        ("", {"items": [{"type": "item_reference", "id": "msg_1"}]}),
        ("", {"items": [{"type": "image_generation_call", "id": "x"}]}),
        ("", {"metadata": {"x": "y" * 513}}),
        ("", {"metadata": {str(n): "" for n in range(17)}}),
        ("/items", {"items": []}),
        ("/items", {"items": [{"role": "pirate", "content": "x"}]}),
        ("/items", {}),
    ],
)
async def test_bad_input_is_refused_and_changes_nothing(client: Client, path: str, body: dict[str, Any]) -> None:
    conversation_id = await create(client, HELLO)
    response = await client.http.post(f"{PATH}/{conversation_id}{path}" if path else PATH, json=body)
    assert response.status_code in (400, 422), response.text
    assert len((await read(client, f"{conversation_id}/items"))["data"]) == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "order=up", "after=msg_none", "before=x"])
async def test_a_bad_query_is_refused(client: Client, query: str) -> None:
    conversation_id = await create(client, HELLO)
    response: httpx.Response = await client.http.get(f"{PATH}/{conversation_id}/items?{query}")
    assert response.status_code in (400, 404, 422), response.text


async def test_it_survives_a_restart(world: World) -> None:
    async with world.orchestrator() as first:
        conversation_id = await create(first, HELLO)
    async with world.orchestrator() as second:
        assert texts((await read(second, f"{conversation_id}/items"))["data"]) == ["Hello"]

"""Compaction: the order of the conversation comes back, results are shortened, garbage is refused."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from support.orchestrator_world import Client

from alpha_umi.contract.openai.input_items import Compaction, InputItem, InputMessage
from alpha_umi.contract.problems import ServiceError
from orchestrator.openai.compact import RESULT_BYTES, compacted
from orchestrator.openai.compaction import expanded_items, packed
from orchestrator.openai.input_items import supplied_conversation

PATH = "/v1/responses/compact"
ITEMS: TypeAdapter[list[InputItem]] = TypeAdapter(list[InputItem])


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": text}


def called(number: int, output: str) -> list[dict[str, Any]]:
    call = {"type": "function_call", "call_id": f"c{number}", "name": "look_up", "arguments": '{"item": "lamp"}'}
    return [call, {"type": "function_call_output", "call_id": f"c{number}", "output": output}]


def compaction(content: str) -> Compaction:
    return Compaction(type="compaction", encrypted_content=content)


def turns(items: list[InputItem]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in supplied_conversation(items).turns()]


blocks = st.lists(st.sampled_from(["user", "assistant", "called", "developer"]), min_size=1, max_size=10)


@given(blocks=blocks, cut=st.integers(0, 10))
def test_a_conversation_without_rationales_is_the_same_after_a_compaction(blocks: list[str], cut: int) -> None:
    """Also when a part of it was compacted, and then all of it."""
    documents: list[dict[str, Any]] = [user("Begin")]
    for number, block in enumerate(blocks):
        if block == "called":
            documents += called(number, f"result {number}")
        else:
            documents.append({"type": "message", "role": block, "content": f"text {number}"})
    items = ITEMS.validate_python(documents)
    messages, content = compacted(items[:cut])
    rest = [*messages, compaction(content), *items[cut:]]
    ends = [*ITEMS.validate_python([user("And now?")])]
    assert turns([*rest, *ends]) == turns([*items, *ends])
    messages, content = compacted(rest)
    assert turns([*messages, compaction(content), *ends]) == turns([*items, *ends])
    assert compacted(rest) == compacted(rest), "no model, and no chance"


def test_results_are_shortened_and_rationales_left_out() -> None:
    reasoning = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "secret thought"}]}
    long = json.dumps([{"price": n} for n in range(2_000)])
    served = {"type": "alpha_umi:tool_call", "name": "order", "arguments": "{}", "output": long}
    items = ITEMS.validate_python([user("Look"), reasoning, *called(1, long), served, assistant("Done.")])
    messages, content = compacted(items)
    assert [message.content for message in messages] == ["Look"]
    back = turns([*messages, compaction(content), *ITEMS.validate_python([user("Thanks")])])
    assert "secret thought" not in str(back)
    results = [text for role, text in back if role == "observation"]
    assert len(results) == 2
    for result in results:
        assert len(result.encode()) <= RESULT_BYTES
        assert '"price":0' in result


def test_older_messages_may_be_left_out_and_the_newest_keep_their_places() -> None:
    items = ITEMS.validate_python([user("one"), assistant("1"), user("two"), assistant("2")])
    (_, two), content = compacted(items)
    back = [placed.item for placed in expanded_items([two, compaction(content)])]
    assert [item.content for item in back if isinstance(item, InputMessage)] == ["1", "two", "2"]


def _with(document: Any) -> str:
    return "alpha_umi.1." + base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode())).decode()


@pytest.mark.parametrize(
    "content",
    [
        "garbage",
        "alpha_umi.1.",
        "alpha_umi.1.!!!",
        "alpha_umi.1." + base64.urlsafe_b64encode(b"no zlib").decode(),
        "alpha_umi.2." + _with([None])[12:],
        _with({"a": 1}),
        _with([{"type": "message", "role": "pirate", "content": ""}]),
        _with([{"type": "compaction", "encrypted_content": ""}]),
        _with([None])[:-8],
        "é",
    ],
    ids=range(10),
)
def test_garbage_is_refused_by_its_field(content: str) -> None:
    with pytest.raises(ServiceError, match="no compaction of this server") as refused:
        expanded_items([compaction(content)])
    assert refused.value.errors[0].field == "input.0.encrypted_content"


@pytest.mark.parametrize(
    ("contents", "refused_at"),
    [
        ([_with([None] * 50_001)], 0),
        # 50 MB of JSON in a few kilobytes.
        (
            [
                "alpha_umi.1."
                + base64.urlsafe_b64encode(zlib.compress(b"[" + b"null," * 10_000_000 + b"null]")).decode()
            ],
            0,
        ),
        ([_with([None] * 20_000)] * 500, 2),
        ([_with([{"type": "message", "role": "assistant", "content": "x" * 900_000}] * 3)] * 500, 2),
    ],
    ids=["values", "bytes", "values together", "bytes together"],
)
def test_what_unpacks_to_too_much_is_refused(contents: list[str], refused_at: int) -> None:
    with pytest.raises(ServiceError, match=r"may hold 6291456 bytes and 50000 values of JSON") as refused:
        expanded_items([compaction(content) for content in contents])
    assert refused.value.errors[0].field == f"input.{refused_at}.encrypted_content"


@pytest.mark.parametrize("entry", [{"content": "x" * 7_000_000}, {"content": ["a"] * 50_000}])
def test_what_cannot_be_read_again_is_not_written(entry: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="may hold"):
        packed([entry], field_name="input")


async def test_the_route_returns_the_messages_and_one_compaction(client: Client) -> None:
    body = {"model": "alpha-umi", "input": [user("Tuesday?"), assistant("Yes.")], "prompt_cache_key": "k"}
    response = await client.http.post(PATH, json=body)
    assert response.status_code == 200, response.text
    document = response.json()
    assert document["object"] == "response.compaction"
    message, item = document["output"]
    assert (message["role"], message["content"]) == ("user", [{"type": "input_text", "text": "Tuesday?"}])
    assert set(item) == {"type", "id", "encrypted_content"}
    assert document["usage"]["total_tokens"] == 0
    again = await client.http.post(PATH, json={**body, "input": [*document["output"], user("So?")]})
    assert [item["type"] for item in again.json()["output"]] == ["message", "message", "compaction"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": "x"}, 400, "model"),
        ({"model": "gpt-none", "input": "x"}, 404, "model"),
        ({"model": "alpha-umi"}, 400, "input"),
        ({"model": "alpha-umi", "input": "x", "previous_response_id": "resp_1"}, 404, "previous_response_id"),
        ({"model": "alpha-umi", "input": "x", "tools": []}, 400, "tools"),
        ({"model": "alpha-umi", "input": [{"type": "item_reference", "id": "msg_1"}]}, 400, "input"),
        (
            {"model": "alpha-umi", "input": [{"type": "compaction", "encrypted_content": "x"}]},
            400,
            "input[0].encrypted_content",
        ),
    ],
)
async def test_bad_requests_name_the_field(client: Client, body: dict[str, Any], status: int, param: str) -> None:
    response = await client.http.post(PATH, json=body)
    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param


async def test_a_chain_of_responses_is_compacted_as_the_items_that_it_stands_for(client: Client) -> None:
    async def respond(text: str, **fields: Any) -> str:
        body = {"model": "alpha-umi", "input": text, "tools": [], **fields}
        response = await client.http.post("/v1/responses", json=body)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    async def compact(response: str) -> list[str]:
        body = {"model": "alpha-umi", "previous_response_id": response, "input": "And then?"}
        document = (await client.http.post(PATH, json=body)).json()
        return [item["content"][0]["text"] for item in document["output"] if item["type"] == "message"]

    first = await respond("One")
    branches = [await respond(text, previous_response_id=first) for text in ("Two", "Three")]
    assert [await compact(branch) for branch in branches] == [
        ["One", "Two", "And then?"],
        ["One", "Three", "And then?"],
    ]
    body = {"items": [user("Zero")]}
    conversation = (await client.http.post("/v1/conversations", json=body)).json()["id"]
    for text in ("One", "Two"):
        newest = await respond(text, conversation=conversation)
    assert await compact(newest) == ["Zero", "One", "Two", "And then?"]
    assert await compact(await respond("Apart", previous_response_id=newest)) == [
        *("Zero", "One", "Two", "Apart"),
        "And then?",
    ]
    unstored = await respond("Secret", store=False)
    refused = await client.http.post(PATH, json={"model": "alpha-umi", "previous_response_id": unstored})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "previous_response_not_found")

"""Dear requests to the standard interfaces, and many web sockets. Everybody else must not notice them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import zlib
from functools import partial
from typing import Any

import aiohttp

from benchmarks.trust.prices import GOAL, GROWN_MB, HEALTH_S, client_tool, nested, one_by_one, patterns
from benchmarks.trust.process import health_of, memory_of
from benchmarks.trust.services import instruction
from benchmarks.trust.system import System, system
from benchmarks.trust.table import Check, Form, Outcome

MODEL = "alpha-umi"
RESPONSES, CHAT, CONVERSATIONS = "/v1/responses", "/v1/chat/completions", "/v1/conversations"
COMPACT = f"{RESPONSES}/compact"
# What a body may have.
ITEMS, CHARACTERS = 6_401, 6_000_000
Json = dict[str, Any]
Items = list[Json]


def messages(count: int) -> Items:
    """Messages in turn, as many characters as a body may have."""
    text = "word " * (CHARACTERS // count // 5 - 12)
    return [{"role": ("assistant", "user")[(count - number) % 2], "content": text} for number in range(count - 1)] + [
        {"role": "user", "content": instruction("dear", steps=0)}
    ]


def calls(count: int) -> Items:
    """Calls with their outputs."""
    items: Items = [{"role": "user", "content": instruction("dear", steps=0)}]
    for number in range(count):
        arguments = json.dumps({"order": "x" * 100, "numbers": list(range(20))})
        items += [
            {"type": "function_call", "call_id": f"c{number}", "name": "survey", "arguments": arguments},
            {"type": "function_call_output", "call_id": f"c{number}", "output": "y" * 200},
        ]
    return items


def chat_calls(count: int) -> Items:
    """The same as messages of chat completions, all calls in few messages."""
    listed: Items = [{"role": "user", "content": instruction("dear", steps=0)}]
    for begin in range(0, count, 1_000):
        numbers = range(begin, min(begin + 1_000, count))
        function = {"name": "survey", "arguments": json.dumps({"order": "x" * 100})}
        listed.append(
            {
                "role": "assistant",
                "tool_calls": [{"id": f"c{n}", "type": "function", "function": function} for n in numbers],
            }
        )
        listed += [{"role": "tool", "tool_call_id": f"c{number}", "content": "y" * 200} for number in numbers]
    return listed


def bombs(count: int) -> Items:
    """Compactions of a few kilobytes that unpack to megabytes each."""
    entry = {"type": "message", "role": "assistant", "content": "a" * 900_000}
    text = json.dumps([entry] * 6).encode()
    content = "alpha_umi.1." + base64.urlsafe_b64encode(zlib.compress(text, 9)).decode()
    return [{"type": "compaction", "encrypted_content": content} for _ in range(count)]


def many_entries(count: int) -> Items:
    """Compactions with as many entries as one may have."""
    text = json.dumps([{"type": "message", "role": "assistant", "content": "a"}] * ITEMS).encode()
    content = "alpha_umi.1." + base64.urlsafe_b64encode(zlib.compress(text, 9)).decode()
    return [{"type": "compaction", "encrypted_content": content} for _ in range(count)]


def function(tool: Json) -> Json:
    """A client's tool as an item of `tools`."""
    return {"type": "function", **tool}


def json_format(schema: Json) -> Json:
    """A `text` field that asks for a schema."""
    return {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object", "properties": schema}}}


def dear_kinds() -> dict[str, tuple[str, Json]]:
    """Requests by name: path and body."""
    question: Json = {"model": MODEL, "input": instruction("dear", steps=0)}
    user = {"role": "user", "content": instruction("dear", steps=0)}
    words = [f"word-{number}" for number in range(20_000)]
    listed = [
        {"role": "user", "content": [{"type": "input_text", "text": "word " * 180}] * 1_000},
        {"role": "assistant", "content": "a"},
        user,
    ]
    return {
        "messages": (RESPONSES, {"model": MODEL, "input": messages(ITEMS)}),
        "five messages": (RESPONSES, {"model": MODEL, "input": messages(7)}),
        "calls": (RESPONSES, {"model": MODEL, "input": calls(2_200)}),
        "parts": (RESPONSES, {"model": MODEL, "input": listed}),
        "wrong items": (RESPONSES, {"model": MODEL, "input": [{"type": "function_call"}] * ITEMS}),
        "items of no type": (RESPONSES, {"model": MODEL, "input": [{"a": 1}] * ITEMS}),
        "wrong parts": (
            RESPONSES,
            {"model": MODEL, "input": [{"role": "user", "content": [{"type": "x"}] * 4}] * 3_000},
        ),
        "unknown fields": (RESPONSES, question | {f"field{number}": None for number in range(15_000)}),
        "deep input": (RESPONSES, {"model": MODEL, "input": [{"role": "user", "content": nested(300)}]}),
        "a text as image": (
            RESPONSES,
            {
                "model": MODEL,
                "input": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_image", "image_url": "data:image/png;base64," + "A" * CHARACTERS},
                            {"type": "input_text", "text": "x"},
                        ],
                    }
                ],
            },
        ),
        "5,000 functions": (
            RESPONSES,
            question
            | {
                "tools": [function({"name": f"t{number}", "parameters": {"type": "object"}}) for number in range(5_000)]
            },
        ),
        "a schema of words": (RESPONSES, question | {"text": json_format({"a": {"enum": words}})}),
        "a deep schema": (RESPONSES, question | {"text": json_format({"a": nested(150)})}),
        "a schema of patterns": (RESPONSES, question | {"text": json_format(patterns(2_000))}),
        "tools of patterns": (RESPONSES, question | {"tools": [function(client_tool(patterns(2_000)))]}),
        "allowed tools": (
            RESPONSES,
            question
            | {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "x"}] * 1_000,
                }
            },
        ),
        "chat messages": (CHAT, {"model": MODEL, "messages": messages(ITEMS)}),
        "chat calls": (CHAT, {"model": MODEL, "messages": chat_calls(1_900)}),
        "wrong chat messages": (CHAT, {"model": MODEL, "messages": [{"role": "tool"}] * ITEMS}),
        "chat parts": (
            CHAT,
            {
                "model": MODEL,
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "w " * 450}] * 1_000},
                    {"role": "assistant", "content": "a"},
                    user,
                ],
            },
        ),
        "a chat schema": (
            CHAT,
            {
                "model": MODEL,
                "messages": [user],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"a": {"enum": words}}}},
                },
            },
        ),
        "a conversation": (CONVERSATIONS, {"items": [{"role": "user", "content": "word " * 52_000}] * 20}),
        "a conversation of bombs": (CONVERSATIONS, {"items": bombs(20)}),
        "compact messages": (COMPACT, {"model": MODEL, "input": messages(ITEMS)}),
        "compact calls": (COMPACT, {"model": MODEL, "input": calls(2_200)}),
        "compact bombs": (COMPACT, {"model": MODEL, "input": bombs(500)}),
        "compact entries": (COMPACT, {"model": MODEL, "input": many_entries(200)}),
        "bombs": (RESPONSES, {"model": MODEL, "input": [*bombs(500), user]}),
        "entries": (RESPONSES, {"model": MODEL, "input": [*many_entries(200), user]}),
    }


async def _flood(form: Form) -> Outcome:
    """Sockets of one key that send as fast as they can: large requests behind a response, and garbage."""
    count = form.count(200, 50)
    async with system(keys=1, seconds=1.0) as tested:
        with memory_of(tested.orchestrator) as grown:
            async with health_of(tested.orchestrator) as health:
                ends = await asyncio.gather(*(_flooding(tested, number) for number in range(count)))
        started = time.monotonic()
        body = {"model": MODEL, "input": instruction("afterwards", steps=0)}
        status = (await tested.ask("POST", RESPONSES, body)).status
        seconds = time.monotonic() - started
    return Outcome(
        f"{count} sockets: {sum(ends)} were closed or refused; /healthz worst {health.worst * 1e3:.0f} ms; "
        f"+{grown.mb:.0f} MB; a response afterwards {status}",
        form.within(health.worst, HEALTH_S) and form.fits(grown.mb, GROWN_MB) and status == 200 and all(ends)
        and form.within(seconds, 10),
    )  # fmt: skip


async def _flooding(tested: System, number: int) -> bool:
    """One socket. Whether the server closes or refuses it."""
    headers = {"Authorization": f"Bearer {tested.keys[0]}"}
    request = {"type": "response.create", "model": MODEL, "input": instruction(f"flood-{number}", steps=0)}
    pieces = [json.dumps(request), *[json.dumps(request | {"input": "word " * 12_000})] * 64]
    if number % 2:
        pieces = ["{" * 1_000] * 5_000
    try:
        async with tested.session.ws_connect(tested.orchestrator.url + RESPONSES, headers=headers) as socket:
            async with asyncio.timeout(60):
                reading = asyncio.create_task(_read(socket))
                for piece in pieces:
                    await socket.send_str(piece)
                await reading
    except (aiohttp.ClientError, OSError):
        return True
    except TimeoutError:
        return False
    return True


async def _read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


CHECKS = [
    Check("dear-responses", "single requests to the OpenAI interfaces, of every dear kind", f"{GOAL}, no 5xx",
          partial(one_by_one, kinds=dear_kinds)),
    Check("socket-flood", "200 web sockets that send without pause", f"{GOAL}, all are closed, others are answered",
          _flood, short=False),
]  # fmt: skip

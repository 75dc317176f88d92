"""Requests for chat completions over real HTTP, and what their answers hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from alpha_umi.contract.openai.chat import ChatCompletion
from support.orchestrator_world import Client

THERMOMETER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "read_thermometer",
        "description": "Temperature of a room",
        "parameters": {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]},
    },
}


def user(content: Any = "What is it?") -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": content}


def assistant(content: str | None = None, *calls: tuple[str, str, str]) -> dict[str, Any]:
    """A message of the assistant; calls are id, name and JSON text."""
    functions = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
    return {"role": "assistant", "content": content} | ({"tool_calls": functions} if functions else {})


def output(call_id: str, content: str = "21 °C") -> dict[str, Any]:
    """The output of a call."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


async def post(client: Client, *messages: dict[str, Any], **fields: Any) -> httpx.Response:
    """`POST /v1/chat/completions`."""
    body = {"model": "alpha-umi", "messages": list(messages)} | fields
    response: httpx.Response = await client.http.post("/v1/chat/completions", json=body)
    return response


async def complete(client: Client, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A completion that is not streamed."""
    response = await post(client, *messages, **fields)
    assert response.status_code == 200, response.text
    ChatCompletion.model_validate_json(response.content)
    result: dict[str, Any] = response.json()
    return result


def message_of(completion: dict[str, Any]) -> dict[str, Any]:
    """The message of a completion."""
    message: dict[str, Any] = completion["choices"][0]["message"]
    return message


async def refusal(client: Client, *messages: dict[str, Any], **fields: Any) -> tuple[int, str, str]:
    """Status, field and message of a request that is refused."""
    response = await post(client, *messages, **fields)
    error = response.json()["error"]
    return response.status_code, error["param"], error["message"]


@dataclass
class Streamed:
    """A stream: its chunks, and what their deltas join to. `error` is that of a stream that failed."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    message: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False

    def add(self, data: str) -> None:
        """One event."""
        assert not self.done
        if data == "[DONE]":
            self.done = True
            return
        chunk = json.loads(data)
        self.error = chunk.get("error")
        if self.error is not None:
            return
        self.chunks.append(chunk)
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            assert self.finish_reason is None
            self.finish_reason = choice["finish_reason"]
            self._join(choice["delta"])

    def _join(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            match name:
                case "tool_calls":
                    self._join_call(*value)
                case "alpha_umi":
                    held = self.message.setdefault(name, {})
                    if "tool_calls" in value:
                        held.setdefault("tool_calls", []).extend(value["tool_calls"])
                    held |= {key: each for key, each in value.items() if key != "tool_calls"}
                case _:
                    self.message[name] = self.message.get(name, "") + value

    def _join_call(self, delta: dict[str, Any]) -> None:
        calls = self.message.setdefault("tool_calls", [])
        if "id" in delta:
            calls.append({"id": delta["id"], "type": delta["type"], "function": {**delta["function"]}})
        else:
            calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]


async def streamed(client: Client, *messages: dict[str, Any], **fields: Any) -> Streamed:
    """A streamed completion."""
    body = {"model": "alpha-umi", "messages": list(messages), "stream": True} | fields
    result = Streamed()
    async with aconnect_sse(client.http, "POST", "/v1/chat/completions", json=body) as source:
        async for event in source.aiter_sse():
            assert (event.event, event.id) == ("message", "")
            result.add(event.data)
    return result

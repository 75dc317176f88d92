"""`/mcp` over real HTTP with the SDK's own client, in both eras of the protocol."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, in_turn, say

ERAS = ["legacy", "2026-07-28"]


@contextlib.asynccontextmanager
async def mcp_client(client: Client, mode: str, **headers: str) -> AsyncIterator[McpClient]:
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(f"{client.http.base_url}/mcp", http_client=http)
        async with McpClient(transport, mode=mode) as connected:
            yield connected


def two_steps(world: World) -> None:
    world.roles.planner = in_turn(decide("Look the lamp up.", "caller"), decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("The lamp costs 9."))


@pytest.mark.parametrize("mode", ERAS)
async def test_a_run_reports_its_steps_and_answers(world: World, mode: str) -> None:
    two_steps(world)
    reported: list[tuple[float, float | None, str | None]] = []

    async def progress(step: float, total: float | None, message: str | None) -> None:
        reported.append((step, total, message))

    async with world.orchestrator(mcp=True) as client, mcp_client(client, mode) as mcp:
        tools = await mcp.list_tools()
        assert [tool.name for tool in tools.tools] == ["run", "get_trajectory"]
        arguments: dict[str, Any] = {"instruction": "What does a lamp cost?", "max_steps": 4}
        result = await mcp.call_tool("run", arguments, progress_callback=progress)
        assert not result.is_error
        assert [block.text for block in result.content] == ["The lamp costs 9."]
        trajectory = result.structured_content
        assert trajectory == (await client.http.get(f"/v1/trajectories/{trajectory['id']}")).json()
        assert reported == [(1, 4, "Look the lamp up."), (2, 4, "I know it.")]
        again = await mcp.call_tool("get_trajectory", {"id": trajectory["id"]})
        assert again.structured_content == trajectory

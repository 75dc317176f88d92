"""`alpha-umi mcp`: an orchestrator's tools on standard input and output, as a desktop client starts it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client as McpClient
from mcp.shared.exceptions import MCPError
from support.mcp_clients import ERAS, bridge, texts
from support.orchestrator_process import free_port, orchestrator_process
from support.orchestrator_world import World, surroundings
from support.scripted_roles import call, decide, hang, in_turn, say
from support.serving_on_loopback import until


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with surroundings(tmp_path) as started:
        yield started


@pytest.mark.parametrize("mode", ERAS)
async def test_it_offers_what_the_orchestrator_offers(world: World, mode: str) -> None:
    world.roles.planner = in_turn(decide("Look the lamp up.", "caller"), decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("The lamp costs 9."))
    reported: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append(message)

    key = secrets.token_hex(32)
    async with (
        world.orchestrator(mcp_tools=True, api_keys=key) as client,
        McpClient(bridge(str(client.http.base_url), key=key), mode=mode) as mcp,
    ):
        tools = [tool.name for tool in (await mcp.list_tools()).tools]
        assert tools == ["run", "get_trajectory", "look_up", "reserve", "order"]
        result = await mcp.call_tool("run", {"instruction": "What is it?"}, progress_callback=progress)
        assert (result.is_error, texts(result)) == (False, ["The lamp costs 9."])
        assert result.structured_content["status"] == "completed"
        assert reported == ["Look the lamp up.", "I know it."]
        assert "lamp" in texts(await mcp.call_tool("look_up", {"item": "lamp"}))[0]
        assert (await mcp.call_tool("run", {})).is_error
        with pytest.raises(MCPError, match="Unknown tool"):
            await mcp.call_tool("nothing", {})


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("leaves", [False, True])
async def test_a_call_that_is_cancelled_or_a_client_that_leaves_cancels_the_trajectory(
    world: World, mode: str, leaves: bool
) -> None:
    world.roles.planner = lambda _: hang()
    async with world.orchestrator() as client:
        async with McpClient(bridge(str(client.http.base_url)), mode=mode) as mcp:
            calling = asyncio.create_task(mcp.call_tool("run", {"instruction": "What is it?"}))
            await until(lambda: client.orchestrator.runs.active_count == 1)
            if not leaves:
                calling.cancel()
                await until(lambda: client.orchestrator.runs.active_count == 0)
        calling.cancel()
        await until(lambda: client.orchestrator.runs.active_count == 0)
        statuses = [each["status"] for each in (await client.http.get("/v1/trajectories")).json()["data"]]
        assert statuses == ["cancelled"]


@pytest.mark.parametrize("mode", ERAS)
async def test_it_says_what_is_wrong_and_goes_on_when_it_is_not_any_more(world: World, mode: str) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    key = secrets.token_hex(32)
    async with McpClient(bridge(address, key=key), mode=mode) as mcp:
        with pytest.raises(MCPError, match=f"the orchestrator at {address} cannot be reached"):
            await mcp.list_tools()
        for settings, refusal in (
            ({"mcp": "false"}, "does not serve MCP: .* ALPHA_UMI_MCP=false"),
            ({"api_keys": secrets.token_hex(32)}, "A valid bearer key is needed"),
            ({"api_keys": key}, None),
        ):
            with orchestrator_process({**world.environment(), "port": port, **settings}):
                if refusal is None:
                    assert len((await mcp.list_tools()).tools) == 2
                else:
                    with pytest.raises(MCPError, match=refusal):
                        await mcp.list_tools()

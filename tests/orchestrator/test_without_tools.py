"""Trajectories without tools through the whole system: real services over real HTTP, scripted models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from support.orchestrator_world import Client, World
from support.role_apps import application, scripted
from support.scripted_roles import decide, in_turn, say
from support.serving_on_loopback import Serve
from support.stub_tools import StubTools
from support.system import orchestrated, serve_roles

from alpha_umi.serving.scripted import Rule
from services.backbone import create_router

QUESTION = {"instruction": "What is 2 + 2?", "tools": []}
# Both models write a call first, which they are not allowed.
PLANNER = [Rule([" conclusion."], when="I know it. Next:"), Rule(["I know it. Next: caller."])]
BACKBONE = [Rule([" 4."], when="I know it.\nconclusion:"), Rule(["I know it.\nAction: calculator"])]


@pytest.fixture
async def system(serve: Serve, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    roles = serve_roles(serve, planner=PLANNER, summarizer=[Rule(["4."])])
    single = serve(application("backbone", create_router, scripted(*BACKBONE)))
    tools = serve(StubTools().app())
    async with orchestrated(roles, tools, tmp_path, backbone_url=single) as client:
        yield client


@pytest.mark.parametrize("strategy", ["chain", "dfsdt", "single"])
async def test_an_answer_without_a_call(system: httpx.AsyncClient, strategy: str) -> None:
    response = await system.post("/v1/trajectories", json=QUESTION | {"strategy": strategy})
    assert response.status_code == 200, response.text
    trajectory = response.json()
    assert (trajectory["status"], trajectory["answer"], trajectory["tools"]) == ("completed", "4.", [])
    (step,) = trajectory["steps"]
    assert (step["thought"], step["next"], step["action"]) == ("I know it.", "conclusion", None)
    again = (await system.post(f"/v1/trajectories/{trajectory['id']}/messages", json={"content": "Sure?"})).json()
    assert (again["status"], again["answer"], len(again["steps"])) == ("completed", "4.", 2)


async def test_the_roles_are_offered_no_tool_and_no_call(client: Client, world: World) -> None:
    result = await client.run(**QUESTION)
    assert result["status"] == "completed"
    (body,) = world.roles.bodies_of("planner")
    assert (body["tools"], body["decisions"]) == ([], ["conclusion", "give up"])


@pytest.mark.parametrize("policy", ["conclusion", "caller"])
async def test_a_planner_that_decides_for_a_call_is_unreadable(world: World, policy: str) -> None:
    world.roles.planner, world.roles.summarizer = in_turn(decide("I call.", "caller")), in_turn(say("4."))
    async with world.orchestrator(on_parse_failure=policy) as client:
        result = await client.run(**QUESTION)
    assert (result["status"], result["answer"]) == ("completed", "4.")
    (step,) = result["steps"]
    assert (step["thought"], step["next"], step["roles"]["planner"]["unreadable"]) == ("I call.", "conclusion", True)


async def test_no_registered_tool_is_needed(world: World) -> None:
    async with world.orchestrator(tool_sources=None) as client:
        assert (await client.run(**QUESTION))["status"] == "completed"

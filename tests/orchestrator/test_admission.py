"""Load: what is accepted is finished, the rest is refused before anything is stored, and rates of owners."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from support.orchestrator_process import free_port
from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, call, decide, in_turn, problem
from support.serving_on_loopback import serving, until

ASK = {"name": "ask_user", "description": "Ask the user", "parameters": {"type": "object", "properties": {}}}
NARROW = {"max_running": 1, "max_queued": 2}


def hold(world: World) -> asyncio.Event:
    """The planner answers once the event is set."""
    released = asyncio.Event()
    reply = decide("nothing to do", "conclusion")
    world.roles.planner = lambda _: Reply(reply.body, until=released)
    return released


async def submit(client: Client, *, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    content = {"instruction": "What is it?", "background": True} | body
    return await client.http.post("/v1/trajectories", json=content, headers=headers)


def refused(response: httpx.Response, status: int, kind: str, reason: str) -> None:
    document = response.json()
    assert (response.status_code, document["type"], document["reason"]) == (
        status, f"urn:alpha-umi:problem:{kind}", reason,
    )  # fmt: skip
    assert 1 <= int(response.headers["Retry-After"]) <= 120


async def stored(client: Client) -> list[str]:
    page = (await client.http.get("/v1/trajectories", params={"limit": 100})).json()
    return [each["id"] for each in reversed(page["data"])]


async def test_few_proceed_at_a_time_and_all_are_finished(world: World) -> None:
    released = hold(world)
    async with world.orchestrator(max_running=2) as client:
        ids = [(await submit(client)).json()["id"] for _ in range(6)]
        await until(lambda: len(world.roles.bodies_of("planner")) == 2)
        metrics = (await client.http.get("/metrics")).text
        assert "alpha_umi_trajectories_running 2.0" in metrics
        assert "alpha_umi_trajectories_queued 4.0" in metrics
        assert "alpha_umi_trajectories_capacity 2.0" in metrics
        released.set()
        assert {(await client.finished(each))["status"] for each in ids} == {"completed"}


async def test_an_owner_beyond_its_share_is_refused_before_anything_is_stored(world: World) -> None:
    released = hold(world)
    async with world.orchestrator(**NARROW, max_queued_per_owner=2) as client:
        accepted = [await submit(client, key=str(number)) for number in range(3)]
        assert [each.headers["x-ratelimit-remaining-requests"] for each in accepted] == ["2", "1", "0"]
        again = await submit(client, key="3")
        refused(again, 429, "owner-limit", "owner-queue")
        assert again.headers["x-ratelimit-limit-requests"] == "3"
        assert again.headers["x-ratelimit-remaining-requests"] == "0"
        assert again.headers["x-ratelimit-reset-requests"].endswith("s")
        ids = await stored(client)
        assert ids == [each.json()["id"] for each in accepted]
        # Repeating, reading and cancelling are no new work.
        replayed = await submit(client, key="1")
        assert (replayed.status_code, replayed.headers["Idempotent-Replayed"]) == (202, "true")
        assert (await client.http.get(f"/v1/trajectories/{ids[2]}")).json()["status"] == "running"
        cancelled = await client.http.post(f"/v1/trajectories/{ids[2]}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert len(world.roles.bodies_of("planner")) == 1
        # The key of the refused request is free.
        assert (await submit(client, key="3")).status_code == 202
        released.set()
        for each in await stored(client):
            await client.finished(each)
        assert (await submit(client)).status_code == 202
        assert 'requests_refused_total{reason="owner-queue"} 1.0' in (await client.http.get("/metrics")).text


async def test_a_server_with_too_much_work_refuses(world: World) -> None:
    released = hold(world)
    async with world.orchestrator(**NARROW, max_queued_per_owner=10) as client:
        answers = await asyncio.gather(*(submit(client) for _ in range(20)))
        accepted = [each.json()["id"] for each in answers if each.status_code == 202]
        assert len(accepted) == 3
        for each in answers:
            if each.status_code != 202:
                refused(each, 503, "overloaded", "queue")
        assert len(await stored(client)) == 3
        released.set()
        assert {(await client.finished(each))["status"] for each in accepted} == {"completed"}


async def test_one_owner_s_queue_does_not_delay_another_one(world: World) -> None:
    released = hold(world)
    keys = [f"a-key-of-more-than-128-bits-{name}-Xk3Vq9Lw" for name in ("operator", "ann", "ben")]
    async with world.orchestrator(max_running=1, max_queued=40, api_keys=",".join(keys)) as client:

        async def of(key: str, name: str) -> httpx.Response:
            content = {"instruction": name, "background": True}
            headers = {"Authorization": f"Bearer {key}"}
            return await client.http.post("/v1/trajectories", json=content, headers=headers)

        answers = [await of(keys[1], f"ann {number}") for number in range(30)]
        refusals = [each for each in answers if each.status_code == 429]
        # One proceeds, and twenty may wait.
        assert len(refusals) == 9
        assert [(await of(keys[2], f"ben {number}")).status_code for number in range(3)] == [202] * 3
        released.set()
        await until(lambda: len(world.roles.bodies_of("summarizer")) == 24)
        order = [body["history"][0]["content"] for body in world.roles.bodies_of("planner")]
        assert order[:7] == ["ann 0", "ann 1", "ben 0", "ann 2", "ben 1", "ann 3", "ben 2"]


async def test_a_refused_message_changes_nothing(world: World) -> None:
    async with world.orchestrator(**NARROW, max_queued_per_owner=0) as client:
        ended = await client.run()
        released = hold(world)
        running = (await submit(client)).json()["id"]
        path = f"/v1/trajectories/{ended['id']}"
        answer = await client.http.post(f"{path}/messages", json={"content": "And then?"})
        refused(answer, 429, "owner-limit", "owner-queue")
        assert (await client.http.get(path)).json() == ended
        released.set()
        await client.finished(running)
        answer = await client.http.post(f"{path}/messages", json={"content": "And then?"})
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")


async def test_a_trajectory_that_waits_for_its_client_lets_others_proceed(world: World) -> None:
    world.roles.planner = in_turn(decide("ask", "caller"), decide("nothing to do", "conclusion"))
    world.roles.caller = in_turn(call("ask_user"))
    async with world.orchestrator(max_running=1, max_queued=2, max_queued_per_owner=1) as client:
        waiting = await client.run(tools=[ASK])
        assert waiting["status"] == "requires_action"
        assert (await client.run())["status"] == "completed"
        released = hold(world)
        running = (await submit(client)).json()["id"]
        refused(await submit(client), 429, "owner-limit", "owner-queue")
        output = {"call_id": waiting["steps"][-1]["action"]["call_id"], "content": "blue"}
        given = await client.http.post(
            f"/v1/trajectories/{waiting['id']}/tool_outputs", json={"outputs": [output], "background": True}
        )
        assert given.status_code == 202
        released.set()
        for each in (running, waiting["id"]):
            assert (await client.finished(each))["status"] == "completed"


async def test_a_turn_is_resumed_after_an_outage_only_if_there_is_room(world: World) -> None:
    away = free_port()
    world.roles.planner = in_turn(decide("ask", "caller"), decide("done", "conclusion"))
    world.roles.caller = in_turn(call("ask_user"))
    settings = {"planner_url": f"http://127.0.0.1:{away}", "trajectory_timeout_s": 6, "max_running": 1, "max_queued": 0}
    async with world.orchestrator(**settings) as client:
        failed = await submit(client, key="k")
        assert (await client.finished(failed.json()["id"]))["error"]["code"] == "planner_unavailable"
        async with serving(world.roles.application(), port=away):
            other = await client.run(tools=[ASK])
            assert other["status"] == "requires_action"
            refused(await submit(client, key="k"), 429, "owner-limit", "owner-queue")
            await client.http.post(f"/v1/trajectories/{other['id']}/cancel")
            resumed = await submit(client, key="k")
            assert (resumed.status_code, resumed.json()["id"]) == (202, failed.json()["id"])
            assert (await client.finished(failed.json()["id"]))["status"] == "completed"


async def test_what_waits_for_its_turn_is_resumed_by_the_next_process(world: World) -> None:
    hold(world)
    async with world.orchestrator(max_running=1) as client:
        ids = [(await submit(client)).json()["id"] for _ in range(4)]
    world.roles.planner = in_turn(decide("nothing to do", "conclusion"))
    async with world.orchestrator(max_running=1) as client:
        assert {(await client.finished(each))["status"] for each in ids} == {"completed"}


async def test_requests_and_trajectories_a_minute(world: World) -> None:
    async with world.orchestrator(rate_requests=4, rate_trajectories=2) as client:
        # Refused for another reason: it counts as a request, and not as a trajectory.
        assert (await submit(client, tools=["no_such_tool"])).status_code == 422
        first = await submit(client, key="first")
        assert {name: value for name, value in first.headers.items() if name.startswith("x-ratelimit-remaining")} == {
            "x-ratelimit-remaining-requests": "2",
            "x-ratelimit-remaining-trajectories": "1",
        }
        assert (await submit(client)).status_code == 202
        refused(await submit(client), 429, "owner-limit", "trajectories")
        assert (await submit(client, key="first")).status_code == 202
        source = {"kind": "openapi", "name": "shop", "url": "http://127.0.0.1:1/"}
        assert (await client.http.post("/v1/tool-sources", json=source)).status_code == 409
        refused(await client.http.post("/v1/tool-sources", json=source), 429, "owner-limit", "requests")
        calls = await client.http.post("/v1/tools/look_up/calls", json={"arguments": {"item": "lamp"}})
        refused(calls, 429, "owner-limit", "requests")
        assert len(await stored(client)) == 2


async def test_tokens_a_minute_also_after_a_restart(world: World) -> None:
    async with world.orchestrator(rate_tokens=10) as client:
        used = (await client.run())["usage"]
        assert used["prompt_tokens"] + used["completion_tokens"] > 10
        refused(await submit(client), 429, "owner-limit", "tokens")
    async with world.orchestrator(rate_tokens=10) as client:
        refused(await submit(client), 429, "owner-limit", "tokens")
    async with world.orchestrator() as client:
        await client.run()


async def test_a_failed_role_gives_its_slot_back(world: World) -> None:
    world.roles.planner = in_turn(problem("output-unreadable", "no decision", text="x"))
    async with world.orchestrator(max_running=1) as client:
        for _ in range(3):
            await client.run()


@pytest.mark.parametrize(
    ("settings", "capacities", "expected"),
    [
        ({}, [None, None], (64, 1_024, 225)),
        ({}, [4, 8], (64, 64, 225)),
        ({}, [256, None], (64, 1_024, 225)),
        ({"trajectory_timeout_s": 40}, [256, 128], (128, 512, 10)),
        ({"max_running": 3}, [256], (3, 3, None)),
    ],
)
def test_the_default_follows_from_the_smallest_role(
    world: World, settings: dict[str, Any], capacities: list[int | None], expected: tuple[int, int, float | None]
) -> None:
    assert world.settings(**settings).running_bounds(capacities) == expected

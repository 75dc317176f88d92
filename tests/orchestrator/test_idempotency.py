"""`Idempotency-Key`: repeated and concurrent requests, other bodies, other keys, expiry, and refused requests."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn

from orchestrator.log import utc_now
from orchestrator.store import StoreUnavailable

PROBLEM = "urn:alpha-umi:problem:"
BODY: dict[str, Any] = {"instruction": "What is it?"}
CREATE = "/v1/trajectories"
REPLAYED = "idempotent-replayed"


async def post(client: Client, path: str = CREATE, key: str = "k-1", **body: Any) -> Any:
    return await client.http.post(path, json=body or BODY, headers={"Idempotency-Key": key})


async def ids(client: Client) -> list[str]:
    return [result["id"] for result in (await client.http.get(CREATE)).json()["data"]]


async def test_the_same_request_is_carried_out_once(client: Client, world: World) -> None:
    first = await post(client)
    second = await post(client)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")
    assert second.headers["location"] == first.headers["location"]
    assert len(await ids(client)) == 1
    assert len(world.roles.bodies_of("planner")) == 1


async def test_the_digest_is_of_the_parsed_request(client: Client) -> None:
    first = await post(client)
    body: dict[str, Any]
    for body in (
        {"metadata": {}, "tools": None, "instruction": "What is it?"},
        BODY | {"strategy": "chain", "stream": False},
        BODY | {"background": True},
    ):
        again = await post(client, **body)
        assert again.json()["id"] == first.json()["id"], body
        assert again.status_code == (202 if body.get("background") else 200)


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (BODY, "be94555025c0ea10be5c428b34ff18de19e70f38e118847b98fd36fa6ab07557"),
        (
            BODY | {"tools": ["look_up"], "max_steps": 3},
            "bf47643019cda583fc42b3b08c1cc67f8ec7839d63024712a9202dd398ab096f",
        ),
    ],
)
async def test_a_request_of_before_an_upgrade_is_the_same_after_it(
    client: Client, world: World, body: dict[str, Any], digest: str
) -> None:
    """The digests are the same as in the release before the later fields."""
    await post(client, **body)
    with closing(sqlite3.connect(f"file:{world.folder}/log.db?mode=ro", uri=True)) as log:
        assert log.execute("SELECT digest FROM idempotency_keys").fetchall() == [(digest,)]


async def test_another_body_under_the_same_key(client: Client) -> None:
    first = (await post(client)).json()
    for change in ({"instruction": "What?"}, {"max_steps": 3}, {"tools": ["look_up"]}, {"metadata": {"a": "b"}}):
        refused = await post(client, **BODY | change)
        document = refused.json()
        assert (refused.status_code, document["type"]) == (422, f"{PROBLEM}idempotency-key-reused")
        assert (document["errors"][0]["field"], document["trajectory_id"]) == ("Idempotency-Key", first["id"])
    assert await ids(client) == [first["id"]]


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "schlüssel", "tab\there"])
async def test_keys_that_are_none(client: Client, key: str) -> None:
    for path, body in (
        (CREATE, BODY),
        (f"{CREATE}/traj_x/messages", {"content": "a"}),
        (f"{CREATE}/traj_x/tool_outputs", {"outputs": [{"call_id": "a", "content": "b"}]}),
    ):
        response = await client.http.post(path, json=body, headers=[(b"Idempotency-Key", key.encode())])
        (error,) = response.json()["errors"]
        assert response.status_code == 422
        assert "Idempotency-Key" in error["field"]
        assert "1 to 255 visible ASCII characters" in error["message"]
    assert await ids(client) == []


async def test_the_longest_key_and_every_character(client: Client) -> None:
    visible = "".join(map(chr, range(33, 127)))
    for key in (visible, "k" * 255):
        assert (await post(client, key=key)).status_code == 200
        assert (await post(client, key=key)).headers[REPLAYED] == "true"


async def test_two_keys_are_one_too_many(client: Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await client.http.post(CREATE, json=BODY, headers=headers)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_many_at_once_make_one_trajectory(client: Client, world: World) -> None:
    responses = await asyncio.gather(*(post(client) for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["id"] for response in responses}) == 1
    assert sorted(REPLAYED in response.headers for response in responses) == [False] + [True] * 19
    assert len(await ids(client)) == 1
    assert len(world.roles.bodies_of("planner")) == 1


async def test_a_repetition_joins_a_trajectory_that_still_runs(client: Client, world: World) -> None:
    """A repetition may block, stream from the first event, or run in the background."""
    proceed = asyncio.Event()
    world.roles.planner = in_turn(hang())
    first = asyncio.create_task(post(client))
    await world.roles.requested.wait()
    at_once = await post(client, **BODY | {"background": True})
    assert (at_once.status_code, at_once.json()["status"], at_once.headers[REPLAYED]) == (202, "running", "true")
    waiting = asyncio.create_task(post(client))
    streaming = asyncio.create_task(
        client.stream("POST", CREATE, json=BODY | {"stream": True}, headers={"Idempotency-Key": "k-1"})
    )
    run = client.orchestrator.runs.find(at_once.json()["id"], owner="default")
    assert run is not None
    async with asyncio.timeout(10):
        while run.lease_count < 3:
            await asyncio.sleep(0)
    assert not first.done()
    assert not waiting.done()
    await client.http.post(f"{CREATE}/{run.id}/cancel")
    proceed.set()
    assert (await waiting).json() == (await first).json()
    events = await streaming
    assert [event.event for event in events if not event.event.endswith(".delta")] == [
        "trajectory.created", "trajectory.cancelled", "trajectory.finished",
    ]  # fmt: skip


async def test_a_client_that_leaves_is_expected_back(client: Client, world: World) -> None:
    for way in ("wait", "stream"):
        world.roles.planner = in_turn(hang())
        world.roles.requested.clear()
        request = asyncio.create_task(post(client, key=way, **BODY | {"stream": way == "stream"}))
        await world.roles.requested.wait()
        (trajectory_id, *_) = await ids(client)
        run = client.orchestrator.runs.find(trajectory_id, owner="default")
        assert run is not None
        async with asyncio.timeout(10):
            while run.lease_count == 0:
                await asyncio.sleep(0)
            request.cancel()
            while run.lease_count:
                await asyncio.sleep(0)
        again = await post(client, key=way, **BODY | {"background": True})
        assert (again.json()["id"], again.json()["status"]) == (trajectory_id, "running")
        await client.http.post(f"{CREATE}/{trajectory_id}/cancel")


async def test_a_repetition_after_the_end_streams_everything(client: Client) -> None:
    await post(client)
    events = await client.stream("POST", CREATE, json=BODY | {"stream": True}, headers={"Idempotency-Key": "k-1"})
    assert [event.event for event in events] == [
        "trajectory.created", "planner.decided", "summarizer.answered", "trajectory.finished",
    ]  # fmt: skip


async def test_a_request_that_was_refused_is_not_remembered(client: Client) -> None:
    refused = await post(client, **BODY | {"tools": ["look_down"]})
    assert refused.status_code == 422
    mended = await post(client, **BODY | {"tools": ["look_up"]})
    assert (mended.status_code, REPLAYED in mended.headers) == (200, False)


async def test_a_repetition_needs_no_tool_that_is_gone(client: Client) -> None:
    first = await post(client, **BODY | {"tools": ["look_up"]})
    assert (await client.http.delete("/v1/tool-sources/shop")).status_code == 204
    again = await post(client, **BODY | {"tools": ["look_up"]})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


async def test_keys_of_different_api_keys_are_apart(world: World) -> None:
    one, two = "one-0a4f9d27c6e8b153f7d21a", "two-b83e61d90f7c2a459e06c1"
    async with world.orchestrator(api_keys=f"{one},{two}") as client:
        seen = set()
        for owner in (one, two, one, two):
            client.http.headers["Authorization"] = f"Bearer {owner}"
            trajectory_id = (await post(client)).json()["id"]
            seen.add((owner, trajectory_id))
            assert await ids(client) == [trajectory_id]
        assert len(seen) == 2


async def test_keys_count_for_72_hours(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (await post(client)).json()["id"]
    runs, observed = client.orchestrator.runs, client.orchestrator.store.observed_time
    monkeypatch.setattr(runs._dependencies.log_writer, "now", lambda: utc_now() + timedelta(days=30))
    assert (await post(client)).json()["id"] == first, "the wall clock does not count"
    hours = 71.9
    monkeypatch.setattr(observed, "monotonic", lambda: time.monotonic() + hours * 3_600)
    assert (await post(client)).json()["id"] == first
    hours = 72.1
    assert (await post(client)).json()["id"] != first
    assert (await post(client, **BODY | {"max_steps": 2})).status_code == 422


async def test_a_message_with_a_key_is_added_once(client: Client) -> None:
    trajectory_id = (await post(client)).json()["id"]
    path = f"{CREATE}/{trajectory_id}/messages"
    responses = await asyncio.gather(*(post(client, path, content="And now?") for _ in range(8)))
    assert {response.status_code for response in responses} == {200}
    assert sorted(REPLAYED in response.headers for response in responses) == [False] + [True] * 7
    result = (await client.http.get(f"{CREATE}/{trajectory_id}")).json()
    assert len(result["messages"]) == 4
    refused = await post(client, path, content="And then?")
    assert (refused.status_code, refused.json()["type"]) == (422, f"{PROBLEM}idempotency-key-reused")
    body = {"content": "And now?", "stream": True}
    events = await client.stream("POST", path, json=body, headers={"Idempotency-Key": "k-1"})
    assert [event.event for event in events] == [
        "trajectory.continued", "planner.decided", "summarizer.answered", "trajectory.finished",
    ]  # fmt: skip


async def test_an_output_with_a_key_is_given_once(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("measure", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer"))
    result = (await post(client, **BODY | {"tools": [{"name": "read_thermometer"}]})).json()
    path = f"{CREATE}/{result['id']}/tool_outputs"
    output = {"call_id": result["steps"][0]["action"]["call_id"], "content": "21 °C"}
    responses = await asyncio.gather(*(post(client, path, outputs=[output]) for _ in range(8)))
    assert {response.status_code for response in responses} == {200}
    assert {response.json()["status"] for response in responses} == {"completed"}
    assert sorted(REPLAYED in response.headers for response in responses) == [False] + [True] * 7
    refused = await post(client, path, outputs=[output | {"content": "22 °C"}])
    assert (refused.status_code, refused.json()["type"]) == (422, f"{PROBLEM}idempotency-key-reused")
    new_key = await post(client, path, key="k-2", outputs=[output])
    assert (new_key.status_code, new_key.json()["type"]) == (409, f"{PROBLEM}output-already-submitted")


async def test_a_repetition_after_a_restart(world: World) -> None:
    world.roles.planner = in_turn(hang())
    async with world.orchestrator() as client:
        first = await post(client, **BODY | {"background": True})
        await world.roles.requested.wait()
    world.roles.planner = in_turn(decide("I know it", "conclusion"))
    async with world.orchestrator() as client:
        again = await post(client)
        assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "completed")


@pytest.mark.parametrize("what", ["creation", "message"])
async def test_a_request_whose_commit_only_seemed_to_fail_continues(
    client: Client, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """An I/O error can follow a successful commit: then no run exists until the client repeats the request."""
    path, body = CREATE, BODY
    if what == "message":
        path, body = f"{CREATE}/{(await client.run())['id']}/messages", {"content": "And now?"}
    method = "create" if what == "creation" else "append"
    real = getattr(client.orchestrator.store, method)

    async def lossy(*arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        await real(*arguments, **options)
        raise StoreUnavailable("I/O error")

    monkeypatch.setattr(client.orchestrator.store, method, lossy)
    failed = await post(client, path, **body)
    assert (failed.status_code, failed.json()["type"]) == (503, f"{PROBLEM}storage-unavailable")
    result = await post(client, path, **body)
    assert (result.status_code, result.headers[REPLAYED]) == (200, "true")
    assert result.json()["status"] == "completed"
    assert len(result.json()["messages"]) == (2 if what == "creation" else 4)
    assert len(await ids(client)) == 1

"""A full disk, rows of another writer, a damaged log: no false acknowledgement, and no lost outcome."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Any

from pysqlite3 import dbapi2 as sqlite3
from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, call, decide, hang, in_turn
from support.serving_on_loopback import until

from orchestrator.store import EventStore

PROBLEM = "urn:alpha-umi:problem:"
LARGE = "x" * 30_000


async def pragma(store: EventStore, text: str) -> Any:
    with store._writer.connect() as connection:
        return (connection.exec_driver_sql(f"PRAGMA {text}")).scalar()


async def fill_disk(store: EventStore) -> None:
    """SQLite reports a full disk when the file must grow."""
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")


async def free_disk(store: EventStore) -> None:
    await pragma(store, "max_page_count = 1000000")


async def test_a_full_disk_refuses_creation_and_passes(client: Client) -> None:
    store = client.orchestrator.store
    await fill_disk(store)
    for options in ({}, {"background": True}, {"stream": True}):
        response = await client.create(instruction=LARGE, **options)
        assert (response.status_code, response.json()["type"]) == (503, f"{PROBLEM}storage-unavailable")
        assert response.headers["retry-after"]
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []
    await free_disk(store)
    assert (await client.run(instruction=LARGE))["status"] == "completed"


async def test_an_outcome_outlasts_a_full_disk(client: Client, world: World) -> None:
    """The tool is called once; its outcome is committed when there is space, and the trajectory continues."""
    world.roles.planner = in_turn(decide("order it", "caller"), decide(LARGE, "conclusion"))
    world.roles.caller = in_turn(call("order", item="lamp" * 2_000))
    world.shop.hang = True
    trajectory_id = await client.start()
    await world.shop.entered.wait()
    store = client.orchestrator.store
    await fill_disk(store)
    world.shop.release.set()
    await until(lambda: client.orchestrator.readiness._log_writer.pending_appends > 0)
    ready = await client.http.get("/readyz")
    assert (ready.status_code, ready.json()["type"]) == (503, f"{PROBLEM}storage-unavailable")
    assert (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()["status"] == "running"
    await free_disk(store)
    result = await client.finished(trajectory_id)
    assert (result["status"], result["steps"][0]["observation"]["is_error"]) == ("completed", False)
    assert len(world.shop.executed("order")) == 1
    assert (await client.http.get("/readyz")).status_code == 200


def append_row(folder: Any, trajectory_id: str, kind: str, payload: dict[str, Any]) -> None:
    """Write to the log from another connection."""
    with closing(sqlite3.connect(folder / "log.db", isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO events SELECT trajectory_id, MAX(seq) + 1, ?, ?, MAX(at) FROM events WHERE trajectory_id = ?",
            (kind, json.dumps(payload), trajectory_id),
        )
        connection.execute("UPDATE trajectories SET last_seq = last_seq + 1 WHERE id = ?", (trajectory_id,))


async def test_a_trajectory_that_another_writer_appended_to_is_abandoned(client: Client, world: World) -> None:
    def decide_after_intruder(_: dict[str, Any]) -> Reply:
        append_row(world.folder, world.roles.requests[-1][2]["x-trajectory-id"], "role.failed", {"role": "planner"})
        return decide("nothing to do", "conclusion")

    world.roles.planner = decide_after_intruder
    response = await client.create()
    assert (response.status_code, response.json()["type"]) == (500, f"{PROBLEM}internal")
    trajectory_id = response.json()["trajectory_id"]
    cancelled = await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    assert (cancelled.status_code, "damaged" in cancelled.json()["detail"]) == (500, True)
    assert world.roles.bodies_of("summarizer") == []


async def test_a_log_of_a_newer_version_is_listed_and_not_driven(world: World) -> None:
    world.roles.planner = in_turn(hang())
    async with world.orchestrator() as client:
        trajectory_id = await client.start()
        await world.roles.requested.wait()
    append_row(world.folder, trajectory_id, "planner.dreamed", {})
    world.roles.planner = in_turn(decide("nothing to do", "conclusion"))
    async with world.orchestrator() as client:
        fine = await client.run()
        listed = (await client.http.get("/v1/trajectories")).json()["data"]
        assert [result["id"] for result in listed] == [fine["id"], trajectory_id]
        assert (listed[1]["status"], listed[1]["error"]["code"]) == ("running", "log_unreadable")
        async with asyncio.timeout(5):
            shown = await client.events(trajectory_id)
        assert [event.event for event in shown] == ["trajectory.created"]

"""Deletion over HTTP: by the owner, by age, regularly; with an export before, and 410 after."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.orchestrator_world import Client, World
from support.scripted_roles import hang, in_turn


async def test_the_owner_deletes_a_trajectory(client: Client) -> None:
    trajectory = await client.run()
    path = f"/v1/trajectories/{trajectory['id']}"
    assert (await client.http.delete(path)).status_code == 204
    for method, below in (("GET", ""), ("GET", "/events"), ("DELETE", ""), ("POST", "/cancel")):
        answer = await client.http.request(method, path + below)
        assert (answer.status_code, answer.json()["type"]) == (410, "urn:alpha-umi:problem:trajectory-pruned")
    assert (await client.http.delete("/v1/trajectories/traj_unknown")).status_code == 404


async def test_a_running_trajectory_is_not_deleted(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    trajectory_id = await client.start()
    answer = await client.http.delete(f"/v1/trajectories/{trajectory_id}")
    assert (answer.status_code, answer.json()["errors"][0]["remedy"][:16]) == (409, "cancel it first:")
    await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    assert (await client.http.delete(f"/v1/trajectories/{trajectory_id}")).status_code == 204


async def test_a_repetition_of_a_deleted_request_is_no_second_execution(client: Client) -> None:
    body, headers = {"instruction": "What does the lamp cost?"}, {"Idempotency-Key": "once"}
    first = await client.http.post("/v1/trajectories", json=body, headers=headers)
    assert (await client.http.delete(f"/v1/trajectories/{first.json()['id']}")).status_code == 204
    assert (await client.http.post("/v1/trajectories", json=body, headers=headers)).status_code == 410
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_old_trajectories_are_pruned_by_age_and_status(client: Client) -> None:
    ids = [(await client.run())["id"] for _ in range(3)]

    async def prune(**body: object) -> object:
        return (await client.http.post("/v1/prune", json=body)).json()

    assert await prune(older_than_s=3_600) == {"deleted": 0, "has_more": False, "unreadable": []}
    assert await prune(older_than_s=0, status=["cancelled"]) == {"deleted": 0, "has_more": False, "unreadable": []}
    assert await prune(older_than_s=0) == {"deleted": 3, "has_more": False, "unreadable": []}
    assert {(await client.http.get(f"/v1/trajectories/{each}")).status_code for each in ids} == {410}


@pytest.mark.parametrize("page_bytes", [1, 2**20])
async def test_trajectories_are_exported_and_deleted_after_the_retention_period(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page_bytes: int
) -> None:
    monkeypatch.setattr("orchestrator.retention.PAGE_BYTES", page_bytes)
    # The first round may be in the microsecond of the end.
    monkeypatch.setattr("orchestrator.retention.EVERY_S", 0.1)
    folder = tmp_path / "exports"
    folder.mkdir()
    # An earlier process was killed while it wrote a line.
    for day in (0, 1):
        path = folder / f"trajectories-{datetime.now(UTC) + timedelta(days=day):%Y-%m-%d}.jsonl"
        path.write_text('{"complete": true}\n{"trajectory": {"id": "' + "x" * 100_000, encoding="utf-8")
        path.chmod(0o600)
    async with world.orchestrator() as client:
        trajectory = await client.run()
    async with world.orchestrator(retention=0.000_001, retention_export=folder) as client:

        async def deleted() -> bool:
            return (await client.http.get(f"/v1/trajectories/{trajectory['id']}")).status_code == 410

        async with asyncio.timeout(20):
            while not await deleted():
                await asyncio.sleep(0.05)
    [file] = [path for path in folder.iterdir() if trajectory["id"] in path.read_text(encoding="utf-8")]
    assert file.stat().st_mode & 0o777 == 0o600
    first, line = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert first == {"complete": True}
    assert line["trajectory"]["id"] == trajectory["id"]
    assert [event["seq"] for event in line["events"]] == list(range(1, len(line["events"]) + 1))
    assert line["events"][-1]["type"] == "trajectory.finished"


async def test_nothing_is_deleted_that_cannot_be_exported(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    async with world.orchestrator(retention_export=folder) as client:
        trajectory = await client.run()
        folder.rmdir()
        answer = await client.http.post("/v1/prune", json={"older_than_s": 0})
        assert (answer.status_code, "nothing was deleted" in answer.json()["detail"]) == (503, True)
        assert (await client.http.get(f"/v1/trajectories/{trajectory['id']}")).status_code == 200


async def test_a_log_that_cannot_be_read_does_not_stop_the_others(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.retention.BATCH", 2)
    monkeypatch.setattr("orchestrator.retention.EVERY_S", 0.1)
    folder = tmp_path / "exports"
    folder.mkdir()
    async with world.orchestrator() as client:
        ids = [(await client.run())["id"] for _ in range(5)]
    with closing(sqlite3.connect(world.folder / "log.db")) as log, log:
        log.execute("UPDATE events SET payload = '{' WHERE trajectory_id = ? AND seq = 3", ids[:1])
        log.execute("UPDATE trajectories SET metadata = '{' WHERE id IN (?, ?)", ids[1:3])
    async with world.orchestrator(retention_export=folder) as client:
        pruned = [(await client.http.post("/v1/prune", json={"older_than_s": 0})).json() for _ in range(3)]
        assert [(batch["deleted"], batch["has_more"]) for batch in pruned] == [(1, True), (1, True), (0, False)]
        assert [batch["unreadable"] for batch in pruned] == [ids[:3]] * 3
        # Without an export it can be deleted.
        assert (await client.http.delete(f"/v1/trajectories/{ids[0]}")).status_code == 204
    async with world.orchestrator(retention=0.000_001, retention_export=folder) as client:
        last = (await client.run())["id"]
        async with asyncio.timeout(20):
            while (await client.http.get(f"/v1/trajectories/{last}")).status_code != 410:
                await asyncio.sleep(0.05)
            while (act := (await client.http.get("/v1/audit")).json()["data"][0])["key_id"]:
                await asyncio.sleep(0.05)
    assert (act["action"], act["details"]["deleted"]) == ("trajectories.pruned", 1)
    lines = [line for file in folder.iterdir() for line in file.read_text(encoding="utf-8").splitlines()]
    assert [json.loads(line)["trajectory"]["id"] for line in lines if line.endswith("]}")] == [*ids[3:], last]


async def test_no_jump_of_the_clock_makes_a_new_end_look_old(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one back before the end, nor one forward before the deletion."""
    trajectories = client.orchestrator.runs._dependencies.log_writer
    now, jump = trajectories.now, timedelta(days=-60)
    monkeypatch.setattr(trajectories, "now", lambda: now() + jump)
    monkeypatch.setattr(client.orchestrator.retention, "_now", lambda: now() + jump)
    path = f"/v1/trajectories/{(await client.run())['id']}"
    for days in (0, 60):
        jump = timedelta(days=days)
        assert (await client.http.post("/v1/prune", json={"older_than_s": 86_400})).json()["deleted"] == 0
    assert (await client.http.get(path)).status_code == 200

"""Trajectories look the same from a run, from a snapshot and from a replayed log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite3
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, in_turn, say

from orchestrator.log import read_stored_log
from orchestrator.runs import driver, views

LIST = "/v1/trajectories"


@pytest.fixture
def database(client: Client, world: World) -> Iterator[sqlite3.Connection]:
    """A connection of another program to the log."""
    with closing(sqlite3.connect(world.folder / "log.db", isolation_level=None)) as connection:
        yield connection


def snapshots(database: sqlite3.Connection) -> list[Any]:
    return list(database.execute("SELECT trajectory_id, seq, version, summary, steps FROM summaries"))


async def shown(client: Client, trajectory_id: str) -> Any:
    """A trajectory by its id, after a check that the lists show the same."""
    alone = (await client.http.get(f"{LIST}/{trajectory_id}")).json()
    (with_steps,) = (await client.http.get(LIST, params={"include": "steps"})).json()["data"]
    (summary,) = (await client.http.get(LIST)).json()["data"]
    assert with_steps == alone
    assert summary == {name: value for name, value in alone.items() if name != "steps"}
    return alone


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM summaries",
        "UPDATE summaries SET seq = seq - 1, summary = '{}'",
        "UPDATE summaries SET version = 'of an earlier version', summary = '{}'",
    ],
)
async def test_a_snapshot_that_does_not_fit_is_made_again(
    client: Client, world: World, database: sqlite3.Connection, damage: str
) -> None:
    world.roles.planner = in_turn(decide("look", "caller"), decide("done", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("It costs 40. \u00fc"))
    result = await client.run(metadata={"user": "ada"})
    (made,) = snapshots(database)
    assert await shown(client, result["id"]) == result
    database.execute(damage)
    assert await shown(client, result["id"]) == result
    assert snapshots(database) == [made]


async def test_a_further_turn_replaces_the_snapshot(client: Client, world: World, database: sqlite3.Connection) -> None:
    world.roles.planner = in_turn(decide("done", "conclusion"), decide("done again", "conclusion"))
    world.roles.summarizer = in_turn(say("one"), say("two"))
    first = await client.run()
    path = f"{LIST}/{first['id']}"
    second = (await client.http.post(f"{path}/messages", json={"content": "And now?"})).json()
    assert (first["answer"], second["answer"], len(second["steps"])) == ("one", "two", 2)
    assert await shown(client, first["id"]) == second
    assert len(snapshots(database)) == 1
    assert (await client.http.delete(path)).status_code == 204
    assert snapshots(database) == []


async def test_a_page_is_bounded_in_bytes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [(await client.run())["id"] for _ in range(4)]
    size = len((await client.http.get(f"{LIST}/{ids[0]}")).content)
    monkeypatch.setattr(views, "MAX_PAGE_BYTES", size * 3 // 2)
    page = (await client.http.get(LIST, params={"include": "steps"})).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[:1:-1], True)
    page = (await client.http.get(LIST, params={"include": "steps", "after": ids[2]})).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[1::-1], False)


async def test_the_end_is_recorded_also_without_a_snapshot(
    client: Client, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("it has no JSON form")

    monkeypatch.setattr(driver, "snapshot_of", fails)
    result = await client.run()
    assert result["status"] == "completed"
    assert snapshots(database) == []
    assert await shown(client, result["id"]) == result


async def test_who_reads_one_log_at_a_time_holds_its_states_once(client: Client) -> None:
    trajectory = await client.run()
    store = client.orchestrator.store
    row = await store.get(trajectory["id"], owner="default")
    first, second = [[logged async for logged in read_stored_log(store, row)] for _ in range(2)]
    assert all(one.after is other.after for one, other in zip(first, second, strict=True))

"""The stream of every course contains what the first release sent, and replays to the original state."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import ServerSentEvent
from pysqlite3 import dbapi2 as sqlite3
from support.orchestrator_world import World
from support.scripted_roles import call, decide, in_turn, say, step_to_answer
from support.stream_courses import COURSES, SETTINGS, normalised, stream_of

from alpha_umi.contract.stream_events import machine_events, read_stream_event
from alpha_umi.contract.trajectories import differing_fields
from alpha_umi.trajectory import State, replay
from orchestrator.log import read_log
from orchestrator.store import open_store
from orchestrator.stream.follow import follow
from orchestrator.stream.serialization import serialized

GOLDEN = Path(__file__).parent / "golden_streams"
ADDED_KINDS = {"limit.reached", "role.failed", "trajectory.cancelled"}


def file_of(name: str) -> Path:
    return GOLDEN / f"{name.replace(',', '').replace(' ', '_')}.jsonl"


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(name).read_text(encoding="utf-8").splitlines()]


def without_additions(events: list[ServerSentEvent], trajectory_id: str, name: str) -> list[dict[str, Any]]:
    """The normalised events without kinds and fields that the golden file does not have."""
    shown = [normalised(event, trajectory_id) for event in events if event.event not in ADDED_KINDS]
    for event, golden in zip(shown, recorded(name), strict=True):
        event["data"] = fields_of(golden["data"], event["data"])
    return shown


def fields_of(golden: Any, value: Any) -> Any:
    """The value with only those fields of its objects that the golden value has."""
    if isinstance(golden, dict) and isinstance(value, dict):
        return {key: fields_of(golden[key], item) for key, item in value.items() if key in golden}
    if isinstance(golden, list) and isinstance(value, list) and len(golden) == len(value):
        return [fields_of(*pair) for pair in zip(golden, value, strict=True)]
    return value


async def state_in_the_log(folder: Path, trajectory_id: str) -> State:
    async with open_store(f"sqlite:///{folder}/log.db") as store:
        return list(read_log(await store.events(trajectory_id)))[-1].after


@pytest.mark.parametrize("name", COURSES)
async def test_a_stream_is_as_it_was_and_reads_back(name: str, world: World) -> None:
    trajectory_id, events = await stream_of(name, world)
    assert without_additions(events, trajectory_id, name) == recorded(name)

    stream = [read_stream_event(event.event, event.data, event.id) for event in events]
    state = replay(machine_events(stream))
    assert state == await state_in_the_log(world.folder, trajectory_id)
    trajectory = stream[-1].context.trajectory
    assert trajectory is not None
    assert differing_fields(trajectory, state) == []


async def test_a_database_of_the_released_schema_has_the_same_streams(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as database:
        database.executescript((GOLDEN / "log_of_schema_2.sql").read_text(encoding="utf-8"))
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        for name in COURSES:
            row = await store.get(name, owner="default")
            sent = [event async for event in serialized(follow(store, row, None), row)]
            events = [ServerSentEvent(event.event, event.data, event.id) for event in sent]
            assert without_additions(events, name, name) == recorded(name), name
            assert all(event.event != "reconnect" for event in events)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("chain looks up", rows) for rows in range(1, 12)]
    + [("single unreadable to caller", rows) for rows in range(1, 5)]
    + [("client tool", 6)],
)
async def test_an_unfinished_trajectory_of_the_released_schema_is_continued(name: str, rows: int, world: World) -> None:
    """As an orchestrator of that schema leaves it that is stopped after any row, an intent alone included."""
    with contextlib.closing(sqlite3.connect(world.folder / "log.db")) as database:
        database.executescript((GOLDEN / "log_of_schema_2.sql").read_text(encoding="utf-8"))
        database.execute("DELETE FROM events WHERE trajectory_id != ? OR seq > ?", (name, rows))
        database.execute("DELETE FROM trajectories WHERE id != ?", (name,))
        database.execute("UPDATE trajectories SET status = 'running', finished_at = NULL, last_seq = ?", (rows,))
        database.commit()
    world.roles.planner = in_turn(decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp-0"))
    world.roles.summarizer = in_turn(say("Done."))
    world.roles.backbone = in_turn(step_to_answer("", "Done."))
    async with world.orchestrator(**SETTINGS.get(name, {}) | {"backbone_url": world.roles_url}) as client:
        events = await client.events(name)
    assert events[-1].event == "trajectory.finished"
    assert events[-1].json()["status"] == "completed"
    async with open_store(f"sqlite:///{world.folder}/log.db") as store:
        log = await store.events(name)
    assert len(log) > rows
    intents = [row.payload["effect"] for row in log if row.type == "effect.intended"]
    assert len(intents) == len(set(intents))


@pytest.mark.parametrize("payload", ["{", "[]", '{"limits": 5}', "[" * 100_000])
async def test_a_damaged_row_of_the_released_schema_stays_as_it_was(payload: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as database:
        database.executescript((GOLDEN / "log_of_schema_2.sql").read_text(encoding="utf-8"))
        damage = "UPDATE events SET payload = ? WHERE trajectory_id = 'chain answers' AND seq = 1"
        database.execute(damage, (payload,))
        database.commit()
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        assert [item async for item in follow(store, await store.get("chain answers", owner="default"), None)] == []
        assert list(read_log(await store.events("chain gives up")))[-1].after.status == "gave_up"

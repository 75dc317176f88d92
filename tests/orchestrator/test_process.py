"""`python -m orchestrator`: one line and exit code 2 when it cannot start; a quick, clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from support.orchestrator_process import OrchestratorProcess, orchestrator_process, refusal, variables
from support.orchestrator_world import World
from support.scripted_roles import call, decide, hang, in_turn

from alpha_umi.web.key_file import create_key


def test_the_command_itself(tmp_path: Path) -> None:
    environment = {**os.environ, **variables({"max_steps": "0", "port": "none", "role_timeout_s": "-1"})}
    result = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    for variable in ("ALPHA_UMI_PORT:", "ALPHA_UMI_MAX_STEPS:", "ALPHA_UMI_ROLE_TIMEOUT_S:"):
        assert variable in line


@pytest.mark.parametrize(
    ("settings", "output"),
    [
        ({"planner_url": "nowhere"}, "ALPHA_UMI_PLANNER_URL"),
        ({"host": "0.0.0.0"}, "ALPHA_UMI_API_KEYS"),
        (
            {"api_keys": "one-0a4f9d27c6e8b153f7d21a,changeme"},
            "ALPHA_UMI_API_KEYS (entry 2): Value error, a key needs 128",
        ),
        ({"role_token": "short"}, "ALPHA_UMI_ROLE_TOKEN: Value error, a key needs 128 random bits: make one with"),
        ({"api_keys_file": "/nowhere/keys"}, "/nowhere/keys: No such file"),
        ({"api_keys_file": __file__}, "test_process.py: line 1 is not"),
        ({"host": "192.0.2.1", "api_keys": "key-3d90c7f15be8a2466f01b7"}, "cannot listen on 192.0.2.1"),
        ({"database_url": "mysql://root:very-secret@x/y"}, "database"),
        ({"database_url": "sqlite:////proc/nowhere/log.db"}, "/proc/nowhere"),
        ({"tool_sources": "/nowhere/tools.yaml"}, "/nowhere/tools.yaml"),
        ({"failpoint": "somewhere"}, "ALPHA_UMI_FAILPOINT"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_it_refuses_bad_settings(tmp_path: Path, settings: dict[str, Any], output: str) -> None:
    code, errors = refusal({"database_url": f"sqlite:///{tmp_path}/log.db"} | settings)
    assert code == 2
    (line,) = errors.splitlines()
    assert line.startswith("orchestrator: ")
    assert output in line
    assert "very-secret" not in line


def test_it_refuses_keys_that_others_can_write(tmp_path: Path) -> None:
    create_key(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o660)
    code, errors = refusal({"api_keys_file": tmp_path / "keys", "database_url": "sqlite:////nowhere/log.db"})
    assert (code, len(errors.splitlines())) == (2, 1)
    assert f"{tmp_path}/keys: others can write to it" in errors


async def test_a_file_of_keys_opens_other_addresses_and_revokes(tmp_path: Path) -> None:
    made, other = create_key(tmp_path / "keys"), create_key(tmp_path / "keys")
    settings = {"host": "0.0.0.0", "api_keys_file": tmp_path / "keys"}
    with orchestrator_process(settings | {"database_url": f"sqlite:///{tmp_path}/log.db"}) as started:
        async with httpx.AsyncClient(base_url=started.address) as http, asyncio.timeout(20):
            headers = {"Authorization": f"Bearer {made.text}"}
            while (await http.get("/healthz")).status_code != 200:
                await asyncio.sleep(0.01)
            assert (await http.get("/v1/tools")).status_code == 401
            assert (await http.get("/v1/tools", headers=headers)).status_code == 200
            (tmp_path / "keys").write_text(other.entry.line)
            while (await http.get("/v1/tools", headers=headers)).status_code != 401:
                await asyncio.sleep(0.05)
            assert (await http.get("/v1/tools", headers={"Authorization": f"Bearer {other.text}"})).status_code == 200


def test_it_refuses_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, errors = refusal({"port": port, "database_url": f"sqlite:///{tmp_path}/log.db"})
    assert (code, errors.splitlines()) == (
        2,
        [f"orchestrator: port {port} on 127.0.0.1 is taken by another program; choose another port"],
    )


async def test_it_refuses_a_database_that_another_one_has(world: World) -> None:
    async with world.orchestrator():
        code, errors = await asyncio.to_thread(refusal, world.environment())
    (line,) = errors.splitlines()
    assert code == 2
    assert "log.db" in line


def end(started: OrchestratorProcess) -> float:
    """Seconds from SIGTERM to the end."""
    before = time.monotonic()
    assert started.process.pid is not None
    os.kill(started.process.pid, signal.SIGTERM)
    started.process.join(15)
    return time.monotonic() - before


async def noticed(started: OrchestratorProcess) -> None:
    """Wait until an orchestrator that is shutting down refuses work."""
    async with asyncio.timeout(5), httpx.AsyncClient(base_url=started.address) as http:
        while (await http.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.01)


async def test_sigterm_ends_streams_and_leaves_trajectories_to_the_next_start(world: World) -> None:
    world.roles.planner = in_turn(hang())
    settings = world.environment()
    with orchestrator_process(settings) as first:
        async with httpx.AsyncClient(base_url=first.address, timeout=20) as http:
            body = {"instruction": "What?"}
            waiting = asyncio.create_task(http.post("/v1/trajectories", json=body))
            async with aconnect_sse(http, "POST", "/v1/trajectories", json=body | {"stream": True}) as source:
                events = aiter(source.aiter_sse())
                assert (await anext(events)).event == "trajectory.created"
                while len(world.roles.requests) < 2:
                    await asyncio.sleep(0.01)
                ending = asyncio.create_task(asyncio.to_thread(end, first))
                rest = [event.event async for event in events if not event.event.endswith(".delta")]
            assert rest == ["reconnect"]
            response = await waiting
            assert (response.status_code, response.json()["type"]) == (503, "urn:alpha-umi:problem:shutting-down")
            assert await ending < 10
            assert first.process.exitcode == 0
    world.roles.planner = in_turn(decide("nothing to do", "conclusion"))
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            listed = (await http.get("/v1/trajectories")).json()["data"]
            assert response.json()["trajectory_id"] in [result["id"] for result in listed]
            for result in listed:
                async with aconnect_sse(http, "GET", f"/v1/trajectories/{result['id']}/events") as source:
                    rows = [event async for event in source.aiter_sse()]
                assert rows[-1].json()["status"] == "completed"
    assert len(listed) == 2


async def test_sigterm_waits_for_a_tool_call(world: World) -> None:
    world.roles.planner = in_turn(decide("order it", "caller"), decide("ordered", "conclusion"))
    world.roles.caller = in_turn(call("order", item="lamp"))
    world.shop.hang = True
    settings = world.environment()
    with orchestrator_process(settings) as first:
        async with httpx.AsyncClient(base_url=first.address, timeout=20) as http:
            created = await http.post("/v1/trajectories", json={"instruction": "Order!", "background": True})
            await world.shop.entered.wait()
            ending = asyncio.create_task(asyncio.to_thread(end, first))
            await noticed(first)
            world.shop.release.set()
            assert await ending < 10
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            path = f"/v1/trajectories/{created.json()['id']}/events"
            async with aconnect_sse(http, "GET", path) as source:
                rows = [event async for event in source.aiter_sse()]
    result = rows[-1].json()
    assert (result["status"], result["steps"][0]["observation"]["is_error"]) == ("completed", False)
    assert len(world.shop.executed("order")) == 1


async def test_sigterm_is_quick_when_nothing_happens(world: World) -> None:
    with orchestrator_process(world.environment()) as started:
        assert await asyncio.to_thread(end, started) < 3
        assert started.process.exitcode == 0
        assert started.errors.read_text() == ""


# How much of twenty blocks of a megabyte the process has after they were freed; before, a larger one was.
RETAINED_MB = """
import resource
from pathlib import Path
from orchestrator.__main__ import _return_large_blocks
def resident_mb(): return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
_return_large_blocks()
bytearray(31_000_000)
before = resident_mb()
blocks = [bytearray(1_000_000) for _ in range(20)]
del blocks
print(resident_mb() - before)
"""


def test_it_gives_large_blocks_back() -> None:
    result = subprocess.run([sys.executable, "-c", RETAINED_MB], capture_output=True, text=True, timeout=60, check=True)
    assert float(result.stdout) < 5

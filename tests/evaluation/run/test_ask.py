"""Questions to a real orchestrator that is interrupted or whose roles fail; language models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.generated_suites import sums
from support.orchestrator_process import OrchestratorProcess, free_port, orchestrator_process, settings_for
from support.restarted_orchestrator import RestartedOrchestrator
from support.scripted_roles import ScriptedRoles, in_turn, problem
from support.serving_on_loopback import Serve, until
from support.trajectory_suites import computing

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.client.retry import RetryPolicy
from evaluation.replay.servers import create_calculator_server
from evaluation.run.ask import RunOptions, RunResult, run_trajectory
from evaluation.run.tool_source import registered_source
from recordings.trajectory import RecordedTrajectory

LONG = RetryPolicy(wait_s=30, first_pause_s=0.01, longest_pause_s=0.05)
OPTIONS = RunOptions(max_steps=4)


def settings_of(serve: Serve, roles: ScriptedRoles, folder: Path) -> dict[str, Any]:
    return {"port": free_port(), **settings_for(serve(roles.application()), folder)}


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[RecordedTrajectory, ...]:
    return sums(tmp_path, 4).trajectories


@contextlib.contextmanager
def held(roles: ScriptedRoles) -> Iterator[asyncio.Event]:
    """The summarizer does not answer before the event."""
    answer, event = roles.summarizer, asyncio.Event()
    roles.summarizer = lambda request: replace(answer(request), until=event)
    yield event


def listed(address: str, **query: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{address}/v1/trajectories", params=query).json()["data"])


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_a_restarted_orchestrator_gets_no_request_twice(
    serve: Serve, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path, ending: str
) -> None:
    roles = computing()
    orchestrator = RestartedOrchestrator(settings_of(serve, roles, tmp_path))
    tools = serve(create_calculator_server())
    try:
        async with OrchestratorClient(orchestrator.address, retry=LONG, resume=LONG) as client:
            async with registered_source(client, "sums", tools):
                with held(roles):
                    pending = [asyncio.create_task(run_trajectory(client, each, OPTIONS)) for each in recorded]
                    await until(lambda: len(roles.bodies_of("summarizer")) == 4)
                    await asyncio.to_thread(getattr(orchestrator, ending))
                roles.summarizer = computing().summarizer
                await asyncio.to_thread(orchestrator.start)
                done: list[RunResult] = await asyncio.gather(*pending)
            assert len(listed(orchestrator.address)) == 4
    finally:
        orchestrator.close()
    assert [each.trajectory.answer for each in done] == ["It is 2.", "It is 4.", "It is 7.", "It is 8."]
    # Every event is there once, from before the restart and from after it.
    names = [[event.type for event in each.events] for each in done]
    assert (
        names
        == [
            [
                "trajectory.created",
                "planner.decided",
                "caller.called",
                "tool.observed",
                "planner.decided",
                "summarizer.answered",
                "trajectory.finished",
            ]
        ]
        * 4
    )


@contextlib.asynccontextmanager
async def calculating(
    serve: Serve, roles: ScriptedRoles, folder: Path, policy: RetryPolicy = LONG, **settings: Any
) -> AsyncIterator[tuple[OrchestratorClient, OrchestratorProcess]]:
    """An orchestrator that has a calculator, and a client of it."""
    tools = serve(create_calculator_server())
    with orchestrator_process(settings_of(serve, roles, folder) | settings) as running:
        async with OrchestratorClient(running.address, retry=policy, resume=policy) as client:
            with contextlib.suppress(Unavailable):
                async with registered_source(client, "sums", tools):
                    yield client, running


async def test_an_orchestrator_that_stays_unavailable(
    serve: Serve, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    roles, brief = computing(), RetryPolicy(wait_s=0.3, first_pause_s=0.01)
    async with calculating(serve, roles, tmp_path, brief) as (client, running):
        with held(roles):
            pending = asyncio.create_task(run_trajectory(client, recorded[0], OPTIONS))
            await until(lambda: bool(roles.bodies_of("summarizer")))
            running.process.kill()
            with pytest.raises(Unavailable, match="is unavailable: "):
                await pending


async def test_a_cancelled_run_cancels_its_trajectory(
    serve: Serve, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    roles = computing()
    async with calculating(serve, roles, tmp_path) as (client, running):
        with held(roles):
            pending = asyncio.create_task(run_trajectory(client, recorded[0], OPTIONS))
            await until(lambda: bool(roles.bodies_of("summarizer")))
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
        assert [each["status"] for each in listed(running.address)] == ["cancelled"]


async def test_a_trajectory_runs_again_after_a_role_was_unavailable(
    serve: Serve, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    roles = computing()
    plan, roles.planner, roles.ready = roles.planner, in_turn(problem("engine-not-ready", "it loads")), False
    # The orchestrator waits for its roles until the deadline of a turn.
    async with calculating(serve, roles, tmp_path, trajectory_timeout_s=5) as (client, running):
        pending = asyncio.create_task(run_trajectory(client, recorded[0], OPTIONS))
        await until(lambda: any(each["status"] == "failed" for each in listed(running.address)), seconds=30)
        # It has been seen that the roles are not ready.
        checks = roles.readiness_checks
        await until(lambda: roles.readiness_checks > checks + 2, seconds=30)
        roles.planner, roles.ready = plan, True
        done = await pending
        assert [each["status"] for each in listed(running.address)] == ["completed", "failed"]
    assert done.trajectory.answer == "It is 2."


async def test_a_failure_of_a_model_is_final(
    serve: Serve, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    roles = computing()
    roles.planner = in_turn(problem("context-exceeded", "the tools do not fit"))
    async with calculating(serve, roles, tmp_path) as (client, running):
        done = await run_trajectory(client, recorded[0], OPTIONS)
        assert len(listed(running.address)) == 1
    assert done.trajectory.error is not None
    assert (done.trajectory.status, done.trajectory.error.code) == ("failed", "planner_failed")

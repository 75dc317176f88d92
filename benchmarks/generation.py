"""Overhead of generating predictions over the engine alone, on the same generations.

`evaluate generate` uses one engine for all roles, through the services' applications in the same process or over HTTP
on loopback; the engine records its generations. Then the same generations (prompts, bounds, grammars) are sent directly
to the same engine: all at once, and in order with the concurrency of the steps. The first computes shared prefixes
several times, the second has them in the prefix cache; the faster one counts. The cache is emptied before each. `ratio`
is the throughput in tokens/s, prompts and answers together, divided by the engine's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import uvicorn
from rich.console import Console

from alpha_umi import telemetry
from alpha_umi.client.roles import RoleServices
from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import create_shared_application
from alpha_umi.serving.assembly import role_parts
from alpha_umi.serving.engine import Chunk
from alpha_umi.serving.loading import RoleEngine
from alpha_umi.serving.shared import EngineView
from alpha_umi.serving.vllm_engine import VllmEngine
from benchmarks.processes import free_port
from benchmarks.recording import Recorded, RecordingEngine
from benchmarks.report import Row
from benchmarks.serving_system import ROUTERS
from cli.in_process import LoadedRoles, ModelChoice, load_roles, services_in_process
from evaluation.files.step_run import CaseRecord, RunRecord
from evaluation.run.steps import Task, generate
from recordings.cases import StepCase

TITLE = "Generating predictions beside the same generations sent directly to the engine"
GENERATED = 64
WARM_UP = 2
Way = Literal["in process", "over HTTP"]
WAYS: tuple[Way, ...] = ("in process", "over HTTP")


def measure_generation(
    model: Path | None, cases: Sequence[StepCase], levels: Sequence[int], ways: Sequence[Way] = WAYS
) -> list[Row]:
    """A row for each way and each concurrency; `model` None is the embedded one."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    return [row for way in ways for row in asyncio.run(_measure(model, cases, levels, way))]


async def _measure(model: Path | None, cases: Sequence[StepCase], levels: Sequence[int], way: Way) -> list[Row]:
    roles = load_roles(ModelChoice(None if model is None else str(model)), [*ROUTERS], Console(stderr=True))
    telemetry.configure_logs(service="benchmark", form="console", level="ERROR")
    engines = {role: _recording(role, engine) for role, engine in roles.engines.items()}
    recording = {role: RoleEngine(engines[role], roles.engines[role].model) for role in engines}
    reached = _in_process if way == "in process" else _over_http
    async with reached(replace(roles, engines=recording)) as services:
        # Warm-up on steps that are not measured.
        await _generated(services, [_reworded(case) for case in cases[:WARM_UP]], 1)
        return [{"engine reached": way, **await _compared(services, engines, cases, at_once)} for at_once in levels]


def _recording(role: Role, engine: RoleEngine) -> RecordingEngine:
    view = engine.engine
    if not isinstance(view, EngineView) or not isinstance(view.shared.engine, VllmEngine):
        raise TypeError("only vLLM's engines are measured")
    return RecordingEngine(role, view, view.shared.engine, directed=False)


def _reworded(case: StepCase) -> StepCase:
    first, *others = case.history
    return replace(case, history=(replace(first, content=f"Please: {first.content}"), *others))


async def _compared(
    services: RoleServices, engines: Mapping[Role, RecordingEngine], cases: Sequence[StepCase], at_once: int
) -> Row:
    await _reset(engines)
    generated_s = await _generated(services, cases, at_once)
    recorded = [record for engine in engines.values() for record in engine.recorded]
    alone = [await _alone(engines, recorded, limit) for limit in (len(recorded), at_once)]
    speed, own = _tokens(recorded) / generated_s, max(tokens / seconds for tokens, seconds in alone)
    return {
        "at once": at_once,
        "steps": len(cases),
        "generations": len(recorded),
        "tokens": _tokens(recorded),
        "cached": sum(record.cached_tokens for record in recorded),
        "seconds": generated_s,
        "tokens/s": speed,
        "engine at once, s": alone[0][1],
        "engine in order, s": alone[1][1],
        "its tokens/s": own,
        "ratio": speed / own,
    }


async def _alone(
    engines: Mapping[Role, RecordingEngine], recorded: Sequence[Recorded], limit: int
) -> tuple[int, float]:
    """Tokens and seconds of the same generations in their original order, `limit` at a time."""
    await _reset(engines)
    slots = asyncio.Semaphore(limit)

    async def repeat(record: Recorded) -> Chunk | None:
        async with slots:
            return await engines[record.role].repeat(record)

    started = time.perf_counter()
    chunks = await asyncio.gather(*map(repeat, sorted(recorded, key=lambda record: record.started_at)))
    return _tokens(filter(None, chunks)), time.perf_counter() - started


def _tokens(generations: Iterable[Recorded | Chunk]) -> int:
    """Tokens of prompts and answers."""
    return sum(generation.prompt_tokens + generation.completion_tokens for generation in generations)


async def _reset(engines: Mapping[Role, RecordingEngine]) -> None:
    for engine in engines.values():
        await engine.reset()
        engine.recorded.clear()


async def _generated(services: RoleServices, cases: Sequence[StepCase], at_once: int) -> float:
    """Seconds for the predictions of all steps."""
    about = RunRecord(suite="measured", cases=len(cases), constrained=True, template="any", models={})
    task = Task(about, tuple(map(CaseRecord.of, cases)), {}, "chain")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = await generate(services, task, Path(folder) / "run.jsonl", concurrency=at_once)
        seconds = time.perf_counter() - started
    if done.errors:
        raise RuntimeError(f"predictions are missing: {dict(done.errors)}")
    return seconds


@contextlib.asynccontextmanager
async def _in_process(roles: LoadedRoles) -> AsyncIterator[RoleServices]:
    with tempfile.TemporaryDirectory() as folder:
        async with services_in_process(roles, Path(folder) / "log", wait_s=0) as services:
            yield services


@contextlib.asynccontextmanager
async def _over_http(roles: LoadedRoles) -> AsyncIterator[RoleServices]:
    parts = role_parts(roles.engines, ROUTERS, roles.answer_tokens)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_shared_application(parts), port=port, log_config=None, access_log=False, lifespan="on")
    )
    serving = asyncio.create_task(server.serve())
    try:
        for context, _ in parts:
            await context.host.wait_ready()
        async with RoleServices({role: [f"http://127.0.0.1:{port}"] for role in roles.engines}) as services:
            yield services
    finally:
        server.should_exit = True
        await serving

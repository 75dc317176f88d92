"""The complete system around recording engines, in each engine layout.

The role services run in this process; engines, orchestrator and tools are separate processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import httpx
import uvicorn

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import create_role_application
from alpha_umi.serving.assembly import MakeRouter, RoleContext
from alpha_umi.serving.host import Canary, RoleHost, ServedModel
from alpha_umi.serving.manifest import load_manifest
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.shared import SharedEngine
from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions
from benchmarks.processes import free_port, running
from benchmarks.random_model import write_adapters
from benchmarks.recording import Recorded, RecordingEngine
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

Layout = Literal["three", "shared"]
LAYOUTS: tuple[Layout, ...] = ("three", "shared")
ROUTERS: dict[Role, MakeRouter] = {
    "planner": planner_router,
    "caller": caller_router,
    "summarizer": summarizer_router,
}
# As `alpha-umi up` sets them for the embedded model.
ANSWER_TOKENS = {"planner": 96, "caller": 256, "summarizer": 128}
STEPS = 4
TIMEOUT_S = 3_600.0
# Of a GPU's memory, for all engines together.
GPU_SHARE = 0.9


@dataclass
class System:
    """The running system: a client of its orchestrator, and its engines by role."""

    client: httpx.AsyncClient
    engines: dict[Role, RecordingEngine]
    started_s: float

    async def reset(self) -> None:
        """Empty the caches and the records of all engines."""
        for engine in self.engines.values():
            await engine.reset()
            engine.recorded.clear()

    def recorded(self) -> list[Recorded]:
        """All generations since the last reset."""
        return [record for engine in self.engines.values() for record in engine.recorded]


@contextlib.asynccontextmanager
async def system(layout: Layout, model: VllmOptions) -> AsyncIterator[System]:
    """Run the system with `three` engines, or one that is `shared` with adapters, until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        started = time.perf_counter()
        engines = _engines(layout, model, folder)
        addresses = {
            role: await stack.enter_async_context(_role_service(role, model.model, engine))
            for role, engine in engines.items()
        }
        async with httpx.AsyncClient(trust_env=False) as probe:
            await asyncio.gather(*(_ready(probe, address) for address in addresses.values()))
        started_s = time.perf_counter() - started
        client = await _orchestrator(stack, folder, addresses)
        yield System(client, engines, started_s)


def _engines(layout: Layout, model: VllmOptions, folder: Path) -> dict[Role, RecordingEngine]:
    if layout == "three":
        share = GPU_SHARE / len(ROUTERS)
        own = [VllmEngine(replace(model, gpu_memory_utilization=share)) for _ in ROUTERS]
        return {role: RecordingEngine(role, engine, engine) for role, engine in zip(ROUTERS, own, strict=True)}
    adapters = write_adapters(folder / "adapters", model.model, [*ROUTERS])
    engine = VllmEngine(replace(model, gpu_memory_utilization=GPU_SHARE, adapters=adapters))
    shared = SharedEngine(engine)
    return {role: RecordingEngine(role, shared.bind_adapter(role), engine) for role in ROUTERS}


async def _orchestrator(
    stack: contextlib.AsyncExitStack, folder: Path, addresses: dict[Role, str]
) -> httpx.AsyncClient:
    """A client of an orchestrator over these role services and the example tools."""
    tools = await _process(stack, ["examples.tool_api", "--port={port}"], "/openapi.json", {})
    settings = {
        "ALPHA_UMI_DATABASE_URL": f"sqlite:///{folder}/log.db",
        "ALPHA_UMI_TOOL_SOURCES": _write_sources(folder, tools),
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
        "ALPHA_UMI_MAX_REPEATS": str(STEPS + 1),
        "ALPHA_UMI_TRAJECTORY_TIMEOUT_S": str(TIMEOUT_S),
        **{f"ALPHA_UMI_{role.upper()}_URL": address for role, address in addresses.items()},
    }
    orchestrator = await _process(stack, ["orchestrator"], "/readyz", settings)
    limits = httpx.Limits(max_connections=None)
    client = httpx.AsyncClient(base_url=orchestrator, timeout=TIMEOUT_S, limits=limits, trust_env=False)
    return await stack.enter_async_context(client)


def _write_sources(folder: Path, tools: str) -> str:
    """Path of a tool sources file with the example tools."""
    file = folder / "sources.json"
    source = {"name": "examples", "kind": "openapi", "url": f"{tools}/openapi.json", "effect": "read"}
    file.write_text(json.dumps({"sources": [source]}), encoding="utf-8")
    return str(file)


async def _process(
    stack: contextlib.AsyncExitStack, command: Sequence[str], ready_path: str, settings: dict[str, str]
) -> str:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = [part.format(port=port) for part in command]
    process = running(arguments, address + ready_path, environment={**settings, "ALPHA_UMI_PORT": str(port)})
    # The event loop stays free: the orchestrator sends requests to it during start-up.
    await asyncio.to_thread(stack.enter_context, process)
    return address


@contextlib.asynccontextmanager
async def _role_service(role: Role, model: Path, engine: RecordingEngine) -> AsyncIterator[str]:
    manifest = load_manifest(model)
    # The weights may be random, so any canary text is accepted.
    served = ServedModel(role, manifest.name, load_template(manifest.template), Canary(manifest.canary.prompt, ""))
    context = RoleContext(RoleHost(engine, served), RoleMetrics(role), ANSWER_TOKENS[role])
    port = free_port()
    config = uvicorn.Config(
        create_role_application(context, ROUTERS[role]), port=port, log_config=None, access_log=False, lifespan="on"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def _ready(probe: httpx.AsyncClient, address: str) -> None:
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if (await probe.get(f"{address}/readyz")).is_success:
                return
        await asyncio.sleep(0.1)


def cpu_options(model: Path, *, context: int) -> VllmOptions:
    """Options for serving the embedded model on a CPU."""
    return VllmOptions(model, context=context, kv_cache_gib=0.5)

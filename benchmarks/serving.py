"""What the services cost over the bare engine: `python -m benchmarks.serving [--json FILE] [--quick]`.

The whole system with real engines and an example tool API carries out instructions; the role services' engines remember
what they were asked. Then the very same generations (prompts, bounds, grammars) are sent straight to the same engines,
by turns, with the caches emptied before each turn. `ratio` is the system's time by the engines' own, tool calls
included.

The role services run in this process, each with an engine process of its own; orchestrator and tools are processes.
The model is the embedded one, or the one of `--model`. It need not be any good: only the lengths of its texts count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import RoleName
from alpha_umi.serving.application import create_role_application
from alpha_umi.serving.context import MakeRouter, RoleContext
from alpha_umi.serving.host import Canary, RoleHost, ServedModel
from alpha_umi.serving.manifest import load_manifest
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.vllm_engine import VllmOptions
from alpha_umi.serving.weights import cache_folder, ensure_backbone
from benchmarks.processes import free_port, running
from benchmarks.recording import Recorded, RecordingEngine
from benchmarks.report import Row, show, write_json
from services.caller.api import create_router as caller_router
from services.planner.api import create_router as planner_router
from services.summarizer.api import create_router as summarizer_router

ROUTERS: dict[RoleName, MakeRouter] = {
    "planner": planner_router,
    "caller": caller_router,
    "summarizer": summarizer_router,
}
# As `alpha-umi up` sets them for the embedded model.
ANSWER_TOKENS = {"planner": 96, "caller": 256, "summarizer": 128}
CONTEXT = 4_096
STEPS = 4
TIMEOUT_S = 3_600.0
TITLE = "Whole trajectories beside the same generations sent straight to the engines"
INSTRUCTIONS = Path(__file__).parent.parent / "examples" / "instructions.jsonl"


@dataclass
class System:
    """The running system: a client of its orchestrator, and its engines by role."""

    client: httpx.AsyncClient
    engines: dict[str, RecordingEngine]
    started_s: float

    async def forget(self) -> None:
        """Empty every engine's cache and memory."""
        for engine in self.engines.values():
            await engine.forget()
            engine.recorded.clear()

    def recorded(self) -> list[Recorded]:
        """Everything that the engines were asked since."""
        return [record for engine in self.engines.values() for record in engine.recorded]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--model", type=Path, help="model folder with its manifest, for all three roles")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4], help="trajectories at once (1 4)")
    parser.add_argument("--quick", action="store_true", help="one trajectory at a time, two in all")
    chosen = parser.parse_args()
    model = chosen.model or ensure_backbone(cache_folder())
    levels = [1] if chosen.quick else chosen.concurrency
    rows = asyncio.run(_measure(model, levels, rounds=2 if chosen.quick else 6))
    write_json(chosen.json, TITLE, rows)


async def _measure(model: Path, levels: Sequence[int], *, rounds: int) -> list[Row]:
    async with system(model) as running_system:
        await _carry_out(running_system, _requests(1))  # first uses of grammars and caches
        rows: list[Row] = []
        for at_once in levels:
            requests = _requests(max(rounds, at_once))
            row, recorded = await _compare(running_system, requests, at_once)
            rows.append(row)
            if at_once == 1:
                steps = _by_step(recorded, running_system.engines)
    show(TITLE, rows)
    show("Prompt cache and time to the first token, one trajectory at a time", steps)
    start = {name: engine.started_s for name, engine in running_system.engines.items()}
    show("Start-up, seconds", [{**start, "three services, together": running_system.started_s}])
    return rows


async def _compare(running_system: System, requests: Sequence[Row], at_once: int) -> tuple[Row, list[Recorded]]:
    """Both ways by turns, so that whatever else the machine does slows both down."""
    through_services = straight = 0.0
    everything: list[Recorded] = []
    for start in range(0, len(requests), at_once):
        await running_system.forget()
        through_services += await _carry_out(running_system, requests[start : start + at_once])
        recorded = running_system.recorded()
        await running_system.forget()
        straight += await _repeat(running_system, recorded)
        everything += recorded
    row: Row = {
        "at once": at_once,
        "trajectories": len(requests),
        "generations": len(everything),
        "services, s": through_services,
        "engines alone, s": straight,
        "ratio": through_services / straight,
        "outside the engines": 1 - sum(record.total_s for record in everything) / through_services
        if at_once == 1
        else None,
        "tokens/s": sum(record.completion_tokens for record in everything) / through_services,
    }
    return row, everything


async def _carry_out(running_system: System, requests: Sequence[Row]) -> float:
    """Seconds for all trajectories, side by side. Raises `httpx.HTTPStatusError`."""

    async def carry_out(request: Row) -> None:
        (await running_system.client.post("/v1/trajectories", json=request)).raise_for_status()

    return await _timed(carry_out(request) for request in requests)


async def _repeat(running_system: System, recorded: Sequence[Recorded]) -> float:
    """Seconds for the same generations: those of one trajectory one after the other, trajectories side by side."""

    async def repeat(records: Sequence[Recorded]) -> None:
        for record in records:
            await running_system.engines[record.role].repeat(record)

    return await _timed(repeat(records) for records in _by_trajectory(recorded).values())


def _by_trajectory(recorded: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    trajectories: dict[str, list[Recorded]] = defaultdict(list)
    for record in sorted(recorded, key=_place):
        trajectories[_trajectory(record)].append(record)
    return trajectories


async def _timed(work: Iterable[Any]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - started


def _by_step(recorded: Sequence[Recorded], engines: Mapping[str, RecordingEngine]) -> list[Row]:
    """Hit rates and medians of the time to the first token, by role and step.

    `of the prompt` is the share of tokens that came from the cache, `of what was seen` their share of the longest
    beginning that the role's prompts have in common with the one before.
    """
    seen = _seen_tokens(recorded, engines)
    groups: dict[tuple[str, int], list[Recorded]] = defaultdict(list)
    for record in recorded:
        groups[record.role, _place(record)[1]].append(record)
    return [
        {
            "role": role,
            "step": step + 1,
            "prompt tokens": statistics.median(record.prompt_tokens for record in records),
            "from the cache, of the prompt": _share(records, [record.prompt_tokens for record in records]),
            "of what was seen": _share(records, [seen[id(record)] for record in records]),
            "TTFT, s": statistics.median(record.ttft_s for record in records),
        }
        for (role, step), records in sorted(groups.items())
    ]


def _share(records: Sequence[Recorded], tokens: Sequence[int]) -> float | None:
    return sum(record.cached_tokens for record in records) / sum(tokens) if sum(tokens) else None


def _seen_tokens(recorded: Sequence[Recorded], engines: Mapping[str, RecordingEngine]) -> dict[int, int]:
    """Tokens of the beginning that each prompt shares with the one before it, of the same role and trajectory."""
    seen: dict[int, int] = {}
    for records in _by_trajectory(recorded).values():
        before: dict[str, str] = {}
        for record in records:
            text = _text(record)
            common = os.path.commonprefix([text, before.get(record.role, "")])  # noqa: RUF071 - characters are meant
            seen[id(record)] = engines[record.role].count_tokens(common) if common else 0
            before[record.role] = text
    return seen


def _text(record: Recorded) -> str:
    prompt = record.generation.prompt
    return (prompt if isinstance(prompt, str) else prompt.text) + record.generation.continuation


def _trajectory(record: Recorded) -> str:
    """Request ids begin with `TRAJECTORY-STEP-`."""
    return record.request_id.split("-")[0]


def _place(record: Recorded) -> tuple[str, int, int]:
    """What a trajectory's generations are sorted by: the step, then the order of the roles."""
    return _trajectory(record), int(record.request_id.split("-")[1]), [*ROUTERS].index(record.role)


def _requests(number: int) -> list[Row]:
    """Instructions of the examples with all their tools on offer; worded anew where one is used again."""
    lines = [json.loads(line) for line in INSTRUCTIONS.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line["calls"]]
    chosen = [lines[place % len(lines)] for place in range(number)]
    return [
        {
            "instruction": f"{line['instruction']} ({place})",
            "max_steps": STEPS,
        }
        for place, line in enumerate(chosen)
    ]


@contextlib.asynccontextmanager
async def system(model: Path) -> AsyncIterator[System]:
    """The whole system; ended with the block."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        started = time.perf_counter()
        engines: dict[str, RecordingEngine] = {}
        addresses = {}
        for role in ROUTERS:
            engines[role] = RecordingEngine.load(role, _options(model))
            addresses[role] = await stack.enter_async_context(_role_service(role, model, engines[role]))
        async with httpx.AsyncClient(trust_env=False) as probe:
            await asyncio.gather(*(_ready(probe, address) for address in addresses.values()))
        started_s = time.perf_counter() - started
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
        http = httpx.AsyncClient(base_url=orchestrator, timeout=TIMEOUT_S, trust_env=False)
        yield System(await stack.enter_async_context(http), engines, started_s)


def _write_sources(folder: str, tools: str) -> str:
    """The path of a file that names the example tools."""
    file = Path(folder, "sources.json")
    source = {"name": "examples", "kind": "openapi", "url": f"{tools}/openapi.json", "effect": "read"}
    file.write_text(json.dumps({"sources": [source]}), encoding="utf-8")
    return str(file)


def _options(model: Path) -> VllmOptions:
    context = min(CONTEXT, load_manifest(model).context)
    return VllmOptions(model, context=context, kv_cache_gib=0.5, threads=os.cpu_count())


async def _process(
    stack: contextlib.AsyncExitStack, command: Sequence[str], ready_path: str, settings: dict[str, str]
) -> str:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = [part.format(port=port) for part in command]
    process = running(arguments, address + ready_path, environment={**settings, "ALPHA_UMI_PORT": str(port)})
    # It waits without the event loop, which meanwhile has to answer the orchestrator's own question.
    await asyncio.to_thread(stack.enter_context, process)
    return address


@contextlib.asynccontextmanager
async def _role_service(role: RoleName, model: Path, engine: RecordingEngine) -> AsyncIterator[str]:
    manifest = load_manifest(model)
    # Any text will do: the weights may be random.
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


if __name__ == "__main__":  # engines are started in processes that import this module again
    main()

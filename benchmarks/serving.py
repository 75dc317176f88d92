"""Overhead of the services over the bare engine: `python -m benchmarks.serving [--json FILE] [--quick]`.

The complete system with real engines and an example tool API runs instructions; the engines of the role services record
their generations. Then the same generations (prompts, bounds, grammars) are sent directly to the same engines. Both
alternate, with the caches emptied in between. `ratio` is the system's time divided by the engines' own, tool calls
included.

The model is the embedded one, or that of `--model`. Its quality does not matter, only the lengths of its texts. So on a
GPU large models can be measured without their weights, in both layouts and with more concurrency:

    python -m benchmarks.serving --shape 7b --layout three shared --concurrency 1 16 128
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alpha_umi import telemetry
from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import load_manifest
from alpha_umi.serving.vllm_engine import VllmOptions
from alpha_umi.serving.weights import cache_folder, ensure_backbone
from benchmarks.random_model import SHAPES, write_configuration
from benchmarks.recording import Recorded, RecordingEngine
from benchmarks.report import Row, show, write_json
from benchmarks.serving_system import LAYOUTS, ROUTERS, STEPS, Layout, System, cpu_options, system

CONTEXT = 4_096
TITLE = "Trajectories beside the same generations sent directly to the engines"
INSTRUCTIONS = Path(__file__).parent.parent / "examples" / "instructions.jsonl"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--model", type=Path, help="model folder with its manifest, for all three roles")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead of a model")
    parser.add_argument("--layout", choices=LAYOUTS, nargs="+", default=["three"], help="three engines, one shared")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4], help="trajectories at once (1 4)")
    parser.add_argument("--quick", action="store_true", help="one trajectory at a time, two in all")
    chosen = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    telemetry.configure_logs(service="benchmark", form="console", level="ERROR")
    levels = [1] if chosen.quick else chosen.concurrency
    with tempfile.TemporaryDirectory() as folder:
        options = _options(chosen.model or ensure_backbone(cache_folder()), chosen.shape, Path(folder))
        tables = asyncio.run(measure(options, chosen.layout, levels, rounds=2 if chosen.quick else 6))
    show(TITLE, tables.times)
    show("Prompt cache and time to the first token, one trajectory at a time", tables.steps)
    show("Start-up, seconds", tables.starts)
    write_json(chosen.json, TITLE, [*tables.times, *tables.steps, *tables.starts])


def _options(model: Path, shape: str | None, folder: Path) -> VllmOptions:
    context = min(CONTEXT, load_manifest(model).context)
    if shape is None:
        return cpu_options(model, context=context)
    configured = write_configuration(folder / shape, shape, model)
    return replace(cpu_options(configured, context=context), load_format="dummy")


@dataclass(frozen=True)
class Tables:
    """Rows: trajectories beside the engines alone, roles by step, and start-up times."""

    times: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    starts: list[Row] = field(default_factory=list)


async def measure(options: VllmOptions, layouts: Sequence[Layout], levels: Sequence[int], *, rounds: int) -> Tables:
    """Every layout at every level of concurrency, about `rounds` trajectories each, in three rounds or more."""
    tables = Tables()
    for layout in layouts:
        async with system(layout, options) as running_system:
            await _run(running_system, _requests(1))  # first uses of grammars and caches
            for at_once in levels:
                row, recorded = await _compare(
                    running_system, at_once, rounds=max(1, rounds // at_once, min(rounds, 3))
                )
                tables.times.append({"engines": layout, **row})
                if at_once == 1:
                    steps = _by_step(recorded, running_system.engines)
                    tables.steps.extend({"engines": layout, **step} for step in steps)
            tables.starts.append({"engines": layout, **_starts(running_system)})
    return tables


def _starts(running_system: System) -> Row:
    engines: Row = {role: engine.started_s for role, engine in running_system.engines.items()}
    return {**engines, "all services": running_system.started_s}


async def _compare(running_system: System, at_once: int, *, rounds: int) -> tuple[Row, list[Recorded]]:
    """Alternate between both. `ratio` is the median over the rounds, so that other load on the machine affects few."""
    services: list[float] = []
    engines: list[float] = []
    everything: list[Recorded] = []
    requests = _requests(rounds * at_once)
    for start in range(0, len(requests), at_once):
        await running_system.reset()
        services.append(await _run(running_system, requests[start : start + at_once]))
        recorded = running_system.recorded()
        await running_system.reset()
        engines.append(await _repeat(running_system, recorded))
        everything += recorded
    row: Row = {
        "at once": at_once,
        "rounds": rounds,
        "generations": len(everything),
        "services, s": sum(services),
        "engines alone, s": sum(engines),
        "ratio": statistics.median(one / other for one, other in zip(services, engines, strict=True)),
        "outside the engines": 1 - sum(record.total_s for record in everything) / sum(services)
        if at_once == 1
        else None,
        "tokens/s": sum(record.completion_tokens for record in everything) / sum(services),
    }
    return row, everything


async def _run(running_system: System, requests: Sequence[Row]) -> float:
    """Seconds for all trajectories, run concurrently. Raises `httpx.HTTPStatusError`."""

    async def run(request: Row) -> None:
        (await running_system.client.post("/v1/trajectories", json=request)).raise_for_status()

    return await _timed(run(request) for request in requests)


async def _repeat(running_system: System, recorded: Sequence[Recorded]) -> float:
    """Seconds for the same generations: sequential within a trajectory, trajectories concurrently."""

    async def repeat(records: Sequence[Recorded]) -> None:
        for record in records:
            await running_system.engines[record.role].repeat(record)

    return await _timed(repeat(records) for records in _by_trajectory(recorded).values())


def _by_trajectory(recorded: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    trajectories: dict[str, list[Recorded]] = defaultdict(list)
    for record in sorted(recorded, key=_sort_key):
        trajectories[_trajectory(record)].append(record)
    return trajectories


async def _timed(work: Iterable[Any]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - started


def _by_step(recorded: Sequence[Recorded], engines: Mapping[Role, RecordingEngine]) -> list[Row]:
    """Hit rates and medians of the time to the first token, by role and step.

    `cached, of the prompt` is the share of prompt tokens from the cache, `cached, of the known prefix` their share of
    the longest prefix that the prompt shares with an earlier prompt of the role in the trajectory. Generations that
    continue a text of the role, such as the planner's choice of the next role, are excluded.
    """
    recorded = [record for record in recorded if not record.generation.continuation]
    known = _known_prefix_tokens(recorded, engines)
    groups: dict[tuple[str, int], list[Recorded]] = defaultdict(list)
    for record in recorded:
        groups[record.role, _sort_key(record)[1]].append(record)
    return [
        {
            "role": role,
            "step": step + 1,
            "prompt tokens": statistics.median(record.prompt_tokens for record in records),
            "cached, of the prompt": _share(records, [record.prompt_tokens for record in records]),
            "cached, of the known prefix": _share(records, [known[id(record)] for record in records]),
            "TTFT, s": statistics.median(record.ttft_s for record in records),
        }
        for (role, step), records in sorted(groups.items())
    ]


def _share(records: Sequence[Recorded], tokens: Sequence[int]) -> float | None:
    return sum(record.cached_tokens for record in records) / sum(tokens) if sum(tokens) else None


def _known_prefix_tokens(recorded: Sequence[Recorded], engines: Mapping[Role, RecordingEngine]) -> dict[int, int]:
    """Tokens of the longest prefix that each prompt shares with an earlier one of the same role and trajectory."""
    known: dict[int, int] = {}
    for records in _by_trajectory(recorded).values():
        earlier: dict[str, list[str]] = defaultdict(list)
        for record in records:
            text = _text(record)
            common = max((_common(text, other) for other in earlier[record.role]), key=len, default="")
            known[id(record)] = engines[record.role].count_tokens(common) if common else 0
            earlier[record.role].append(text)
    return known


def _common(one: str, other: str) -> str:
    return os.path.commonprefix([one, other])  # noqa: RUF071 - characters are meant


def _text(record: Recorded) -> str:
    prompt = record.generation.prompt
    return (prompt if isinstance(prompt, str) else prompt.text) + record.generation.continuation


def _trajectory(record: Recorded) -> str:
    """Request ids begin with `TRAJECTORY-STEP-`."""
    return record.request_id.split("-")[0]


def _sort_key(record: Recorded) -> tuple[str, int, int]:
    """Sort key of generations: trajectory, step, order of the roles."""
    return _trajectory(record), int(record.request_id.split("-")[1]), [*ROUTERS].index(record.role)


def _requests(number: int) -> list[Row]:
    """Example instructions with all tools; a number makes repeated ones distinct."""
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


if __name__ == "__main__":  # engines are started in processes that import this module again
    main()

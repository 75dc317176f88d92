"""What the services cost over the bare engine: `python -m benchmarks.serving [--json FILE] [--quick]`.

The whole system with real engines and an example tool API carries out instructions; the role services' engines remember
what they were asked. Then the very same generations (prompts, bounds, grammars) are sent straight to the same engines,
by turns, with the caches emptied before each turn. `ratio` is the system's time by the engines' own, tool calls
included.

The model is the embedded one, or the one of `--model`. It need not be any good: only the lengths of its texts count. So
on a GPU large models can be measured without their weights, in both layouts and at more concurrency:

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
TITLE = "Whole trajectories beside the same generations sent straight to the engines"
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
    """Rows: whole trajectories beside the engines alone, roles by step, and how long everything took to start."""

    times: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    starts: list[Row] = field(default_factory=list)


async def measure(options: VllmOptions, layouts: Sequence[Layout], levels: Sequence[int], *, rounds: int) -> Tables:
    """Every layout at every level of concurrency, about `rounds` trajectories each, in three rounds or more."""
    tables = Tables()
    for layout in layouts:
        async with system(layout, options) as running_system:
            await _carry_out(running_system, _requests(1))  # first uses of grammars and caches
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
    """Both ways by turns. `ratio` is the median of the rounds': whatever else the machine does spoils few of them."""
    services: list[float] = []
    engines: list[float] = []
    everything: list[Recorded] = []
    requests = _requests(rounds * at_once)
    for start in range(0, len(requests), at_once):
        await running_system.forget()
        services.append(await _carry_out(running_system, requests[start : start + at_once]))
        recorded = running_system.recorded()
        await running_system.forget()
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


def _by_step(recorded: Sequence[Recorded], engines: Mapping[Role, RecordingEngine]) -> list[Row]:
    """Hit rates and medians of the time to the first token, by role and step.

    `of the prompt` is the share of tokens that came from the cache, `of what was seen` their share of the longest
    beginning that the prompt has in common with one of the role's earlier prompts of the trajectory. What goes on from
    a text that the role wrote just now, as the planner's choice of the next role, is left out.
    """
    recorded = [record for record in recorded if not record.generation.continuation]
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


def _seen_tokens(recorded: Sequence[Recorded], engines: Mapping[Role, RecordingEngine]) -> dict[int, int]:
    """Tokens of the longest beginning that each prompt shares with an earlier one of the same role and trajectory."""
    seen: dict[int, int] = {}
    for records in _by_trajectory(recorded).values():
        earlier: dict[str, list[str]] = defaultdict(list)
        for record in records:
            text = _text(record)
            common = max((_common(text, other) for other in earlier[record.role]), key=len, default="")
            seen[id(record)] = engines[record.role].count_tokens(common) if common else 0
            earlier[record.role].append(text)
    return seen


def _common(one: str, other: str) -> str:
    return os.path.commonprefix([one, other])  # noqa: RUF071 - characters are meant


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


if __name__ == "__main__":  # engines are started in processes that import this module again
    main()

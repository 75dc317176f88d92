"""What variants cost beside Single-LLM, as Markdown: storage, time, tokens and memory, as their runs wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.results.tables import NO_FIGURE, table
from benchmarks.variants.runs import SINGLE, VariantRun

HEADER = (
    "variant", "served, MB", "x single-llm", "as whole models", "training, s", "x single-llm", "tokens", "tokens/s",
    "peak memory, MB", "device",
)  # fmt: skip
Costs = Mapping[str, Any]


def costs_table(runs: Sequence[VariantRun], *, seeds: bool) -> str:
    """A row for each run that is complete."""
    known = {run: costs for run in runs if (costs := run.costs()) is not None}
    rows = []
    for run, costs in known.items():
        single = known.get(VariantRun(run.folder, SINGLE, run.seed))
        name = run.variant + (f", seed {run.seed}" if seeds else "")
        rows.append([name, *_cells(costs, single, _models(run))])
    return table(HEADER, rows)


def tokens_lines(runs: Sequence[VariantRun]) -> str:
    """A line for each complete run: the tokens of its stages, and where a stage was taken over from."""
    lines = []
    for run in runs:
        if (costs := run.costs()) is not None:
            stages = "; ".join(_stage(name, stage) for name, stage in costs["stages"].items())
            lines.append(f"- {run.variant}, seed {run.seed}: {stages}")
    return "\n".join(lines)


def _cells(costs: Costs, single: Costs | None, models: int) -> Iterator[str]:
    yield f"{costs['served_bytes'] / 1e6:,.0f}"
    yield NO_FIGURE if single is None else f"{costs['served_bytes'] / single['served_bytes']:.2f}"
    # Single-LLM is one whole model.
    yield f"{models:.2f}"
    yield f"{costs['seconds']:,.0f}"
    comparable = single is not None and _machine(costs) == _machine(single)
    yield f"{costs['seconds'] / single['seconds']:.2f}" if comparable and single is not None else NO_FIGURE
    yield f"{costs['tokens']:,}"
    yield f"{costs['tokens'] / costs['seconds']:,.0f}" if costs["seconds"] else NO_FIGURE
    yield f"{costs['peak_memory_bytes'] / 1e6:,.0f}"
    yield _machine(costs)


def _models(run: VariantRun) -> int:
    """How many models are served, whole or as adapters."""
    return sum(bool(stage["serves"]) for stage in run.identity()["variant"]["stages"])


def _machine(costs: Costs) -> str:
    used = {(stage["processes"], stage["device"]) for stage in costs["stages"].values()}
    return ", ".join(f"{count} x {device}" if count > 1 else device for count, device in sorted(used))


def _stage(name: str, stage: Mapping[str, Any]) -> str:
    taken = stage.get("reused_from")
    source = f", trained once, as {taken['stage']} of {taken['variant']}" if taken else ""
    return f"{name} {stage['tokens']:,} tokens (steps: {stage['steps']:,}){source}"

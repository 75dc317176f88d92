"""What trainings cost, what serving their models takes, and how their losses fell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from evaluation.page.blocks import Block, Chart, Gallery, Paragraph, Section, Table
from evaluation.page.charts import Bar, Line, bars, lines
from evaluation.reporting.trainings import LossLine, StageCosts, Training
from evaluation.reporting.written import NO_FIGURE, number

# Points of a curve: each is the mean of the steps before it, since the losses of single batches hide the course.
POINTS: Final = 25
_MEGABYTE: Final = 1e6


def training_section(trainings: Sequence[Training]) -> Section:
    """Storage and cost, and the loss curves."""
    if not trainings:
        told = "No training was given: add --training FOLDER, the folder of `alpha-umi train run`, once for each."
        return Section("Training: cost, storage and losses", [Paragraph(told)], "training")
    blocks: list[Block] = [
        Paragraph(
            "Storage is what is served: with LoRA the backbone once and an adapter for each model. Time and memory are "
            "those of the machine that trained; only equal machines can be compared."
        ),
        _totals(trainings),
        _stages(trainings),
        Gallery([*_cost_bars(trainings), *(_curves(each) for each in trainings if any(each.losses.values()))]),
    ]
    return Section("Training: cost, storage and losses", blocks, "training")


def _totals(trainings: Sequence[Training]) -> Table:
    rows = [
        [
            each.name, each.costs.variant, f"{each.costs.served_bytes / _MEGABYTE:,.0f}", _ratio(each),
            f"{each.costs.seconds:,.0f}", f"{each.costs.tokens:,}", f"{each.costs.peak_memory_bytes / _MEGABYTE:,.0f}",
            "yes" if each.costs.complete else "not yet",
        ]
        for each in trainings
    ]  # fmt: skip
    header = ["training", "variant", "served, MB", "x the backbone", "seconds", "tokens", "peak memory, MB", "complete"]
    return Table("What each training cost, and what serving its models takes", header, rows, (0, 1))


def _ratio(training: Training) -> str:
    ratio = training.costs.storage_ratio
    return NO_FIGURE if ratio is None else f"{ratio:.2f}"


def _stages(trainings: Sequence[Training]) -> Table:
    rows = [[each.name, name, *_stage(stage)] for each in trainings for name, stage in each.costs.stages.items()]
    header = ["training", "stage", "steps", "tokens", "seconds", "tokens/s", "peak memory, MB", "model, MB", "on"]
    return Table("The stages of each training", header, rows, (0, 1, 8))


def _stage(stage: StageCosts) -> Iterator[str]:
    yield f"{stage.steps:,}"
    yield f"{stage.tokens:,}"
    yield f"{stage.seconds:,.0f}"
    yield f"{stage.tokens_per_second:,.0f}"
    yield f"{stage.peak_memory_bytes / _MEGABYTE:,.0f}"
    yield f"{stage.bytes / _MEGABYTE:,.1f}"
    taken = f"; reused from {stage.reused_from.stage} of {stage.reused_from.variant}" if stage.reused_from else ""
    yield (f"{stage.processes} x {stage.device}" if stage.processes > 1 else stage.device) + taken


def _cost_bars(trainings: Sequence[Training]) -> Iterator[Chart]:
    sizes = [(each.name, each.costs.served_bytes / _MEGABYTE) for each in trainings]
    yield bars("Served, MB", [Bar(name, size, text=number(size)) for name, size in sizes])
    times = [(each.name, each.costs.seconds) for each in trainings]
    yield bars("Trained, seconds", [Bar(name, seconds, text=number(seconds)) for name, seconds in times])


def _curves(training: Training) -> Chart:
    series = [_stage_line(name, steps) for name, steps in training.losses.items() if steps]
    title = f"Losses of {training.name}: training, averaged; rings: held out"
    return lines(title, series, x="step of the stage", y="loss of target tokens (nats)", points=False)


def _stage_line(name: str, steps: Sequence[LossLine]) -> Line:
    count = min(POINTS, len(steps))
    ends = [(place + 1) * len(steps) // count for place in range(count)]
    parts = [steps[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    held_out = [(each.step, each.dev_loss) for each in steps if each.dev_loss is not None]
    means = [sum(each.loss for each in part) / len(part) for part in parts]
    return Line(name, [part[-1].step for part in parts], means, rings=held_out)

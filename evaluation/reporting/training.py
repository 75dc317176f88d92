"""Training runs in a report: costs, loss curves, and metrics by the number of training tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from evaluation.files.published import Pair
from evaluation.metrics import METRICS, Metric
from evaluation.page.blocks import Block, Chart, Gallery, Paragraph, Section, Table
from evaluation.page.charts import Bar, Line, bars, lines
from evaluation.reporting.format import NO_FIGURE, number
from evaluation.reporting.inputs import StepsRun
from evaluation.results import FigureReport
from recordings.errors import DuplicateId, FileUnreadable
from recordings.reading import not_the_format, parse_json, read_text

COSTS: Final = "costs.json"
LOSSES: Final = "losses.jsonl"
_REMEDY: Final = "name the folder that `alpha-umi train run` wrote with --output"
# The source in the manifest of a model that `alpha-umi train export` wrote.
_MADE: Final = re.compile(
    r"trained by alpha-umi train (\S+) \(stage (\S+), seed \d+, ([\d,]+) tokens of the data \w+\)"
)


class _TrainingFile(BaseModel):
    # Other versions may have written further fields.
    model_config = ConfigDict(extra="ignore", frozen=True)


class ReusedFrom(_TrainingFile):
    """The stage of another run that was copied instead of training this one."""

    variant: str
    stage: str


class StageCosts(_TrainingFile):
    """The cost of a stage: seconds, tokens, bytes."""

    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    processes: int
    device: str
    bytes: int
    # Older versions of training wrote `taken_over`.
    reused_from: Annotated[ReusedFrom | None, Field(validation_alias=AliasChoices("reused_from", "taken_over"))] = None


class Costs(_TrainingFile):
    """The cost of a training by stage and in total; `served_bytes` is the disk space that serving its models needs."""

    variant: str
    stages: dict[str, StageCosts]
    complete: bool
    tokens: int
    seconds: float
    peak_memory_bytes: int
    backbone_bytes: int
    served_bytes: int
    storage_ratio: float | None


class LossLine(_TrainingFile):
    """A step of a stage."""

    step: int
    loss: float
    dev_loss: float | None = None


@dataclass(frozen=True)
class Training:
    """A training, with its unique name."""

    name: str
    folder: Path
    costs: Costs
    losses: Mapping[str, Sequence[LossLine]]

    @property
    def stages(self) -> frozenset[tuple[str, str, int]]:
        """Variant, stage and tokens of each stage, as in the manifests of its models."""
        return frozenset((self.costs.variant, name, stage.tokens) for name, stage in self.costs.stages.items())


def training_files(folders: Sequence[Path]) -> list[Path]:
    """The files that are read from the folders; they may not exist."""
    return [path for folder in folders for path in (folder / COSTS, *sorted(folder.glob(f"*/{LOSSES}")))]


def read_trainings(folders: Sequence[Path]) -> list[Training]:
    """Read the folders. Raises `EvaluationError` for a folder without a training, or one that is given twice."""
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if resolved.count(folder.resolve()) > 1:
            raise DuplicateId(f"{folder} is given twice", remedy="name each training once")
    return [_read(folder, _name(folder, resolved)) for folder in folders]


def training_of(run: StepsRun, trainings: Sequence[Training]) -> Training | None:
    """The training of all models of a run, according to their manifests; None if it is not among `trainings`."""
    made_by = [_made(model) for model in run.run.about.models.values()]
    matches = [each for each in trainings if made_by and all(made in each.stages for made in made_by)]
    return matches[0] if len(matches) == 1 else None


def _made(model: Mapping[str, Any]) -> tuple[str, str, int] | None:
    manifest = model.get("manifest")
    source = manifest.get("source") if isinstance(manifest, dict) else None
    match = _MADE.match(source) if isinstance(source, str) else None
    return None if match is None else (match[1], match[2], int(match[3].replace(",", "")))


def _read(folder: Path, name: str) -> Training:
    path = folder / COSTS
    if not path.is_file():
        raise FileUnreadable(f"{folder} is not the folder of a training: it has no {COSTS}", remedy=_REMEDY)
    try:
        costs = Costs.model_validate(parse_json(read_text(path), str(path), cut_remedy=_REMEDY, remedy=_REMEDY))
    except ValidationError as error:
        raise not_the_format(str(path), error, _REMEDY) from error
    return Training(name, folder, costs, {stage: _losses(folder / stage / LOSSES) for stage in costs.stages})


def _losses(path: Path) -> list[LossLine]:
    """The complete lines of a file; empty if there is no file, as for a reused stage."""
    losses: list[LossLine] = []
    for line in read_text(path).splitlines() if path.is_file() else ():
        try:
            losses.append(LossLine.model_validate(json.loads(line)))
        except (ValueError, ValidationError):
            # A killed run leaves a partial line.
            break
    return losses


def _name(folder: Path, others: Sequence[Path]) -> str:
    """The shortest unique end of the folder's path, without a final `run`, which every variant's folder has."""
    parts = folder.resolve().parts
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if end != ("run",) and sum(other.parts[-length:] == end for other in others) == 1:
            return "/".join(end).removesuffix("/run")
    return str(folder)


_HOW = (
    "No curve: a curve needs runs over the same steps, of one variant trained with different amounts. Train the "
    "variant more than once with another --max-tokens, generate a run for each, and give all of them together with "
    "--training FOLDER for each training. The manifests of the models name the training of a run."
)
# Points of a curve. Each is the mean of the preceding steps, because losses of single batches are noisy.
POINTS: Final = 25
_MEGABYTE: Final = 1e6


def training_section(trainings: Sequence[Training]) -> Section:
    """Storage, cost, and loss curves."""
    if not trainings:
        message = "No training was given: add --training FOLDER, the folder of `alpha-umi train run`, once for each."
        return Section("Training: cost, storage and losses", [Paragraph(message)], "training")
    blocks: list[Block] = [
        Paragraph(
            "Storage is that of the served models: with LoRA the backbone once and an adapter for each model. Time and "
            "memory are those of the machine that trained; only equal machines can be compared."
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
    return Table("The cost of each training, and the storage of its models", header, rows, (0, 1))


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


_DRAWN: Final = frozenset({"plan_em", "action_em", "f1", "rouge"})
Made = tuple[StepsRun, Training]


def scaling_section(runs: Sequence[StepsRun], trainings: Sequence[Training]) -> Section:
    """The scaling curves, or how to get them."""
    made = [(run, training) for run in runs if (training := training_of(run, trainings)) is not None]
    curves = [chart for metric in METRICS if metric.name in _DRAWN for chart in _scaling_curves(metric, made)]
    blocks: list[Block] = [Gallery(curves)] if curves else [Paragraph(_HOW)]
    return Section("More data: figures over the amount of training", blocks, "scaling")


def _scaling_curves(metric: Metric[Pair], made: Sequence[Made]) -> Iterator[Chart]:
    """One chart per suite: only runs over the same cases are in one chart."""
    for (suite, cases), of_suite in groupby(sorted(made, key=_cases), _cases):
        if series := list(_series(metric, list(of_suite))):
            of = f"{suite}, cases {cases[:8]}"
            yield lines(f"{suite}: {metric.title}", series, of=of, x="tokens of training, all stages", y=metric.title)


def _series(metric: Metric[Pair], made: Sequence[Made]) -> Iterator[Line]:
    """One line for each variant and mode with at least two amounts of training."""
    for name, group in groupby(sorted(made, key=lambda each: (_label(each), each[1].costs.tokens)), _label):
        points = [(training.costs.tokens, run.report.figures[metric.name]) for run, training in group]
        if len({tokens for tokens, figure in points if figure.value is not None}) > 1:
            yield _line(name, [(tokens, figure) for tokens, figure in points if figure.value is not None])


def _line(name: str, points: Sequence[tuple[int, FigureReport]]) -> Line:
    figures = [figure for _, figure in points]
    values = [figure.value or 0.0 for figure in figures]
    lows = [value if figure.low is None else figure.low for figure, value in zip(figures, values, strict=True)]
    highs = [value if figure.high is None else figure.high for figure, value in zip(figures, values, strict=True)]
    return Line(name, [tokens for tokens, _ in points], values, lows, highs)


def _cases(each: Made) -> tuple[str, str]:
    return each[0].run.about.suite, each[0].cases_digest


def _label(each: Made) -> str:
    return f"{each[1].costs.variant}, {each[0].mode}"

"""Train a variant: its stages in order, in a folder from which the same command resumes.

OUTPUT/run.json                     the identity of the run; a run with another identity is refused
OUTPUT/STAGE/losses.jsonl           one line a step
OUTPUT/STAGE/checkpoints/           the last checkpoints of an incomplete stage
OUTPUT/STAGE/model/                 a complete stage: weights and stage.json
OUTPUT/losses.png, costs.json       loss curves, and the costs of the stages
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alpha_umi.serving.manifest import ModelManifest
from training.data import PreparedData, open_data
from training.errors import RecipeUnusable
from training.loop.attention import Attention
from training.loop.batches import StepPlan
from training.loop.checkpoint import Progress, require_same
from training.loop.losses import draw, read_losses
from training.loop.model import attention_of, backbone_of, device_of, identity_of, load_model, save_model, uses_bf16
from training.loop.observer import NullObserver, Observer
from training.loop.processes import Processes
from training.loop.stage import StageLoop, StageTask
from training.recipes.loading import require_settings
from training.recipes.model import BACKBONE, Config, Stage, Variant, numbers
from training.records import (
    CURVES,
    LOSSES,
    RUN_FILE,
    STAGE_FILE,
    StageRecord,
    read_identity,
    read_stage,
    stage_folder,
    write_costs,
    write_stage,
)
from training.reuse import reuse_stage
from training.writing import write_file, write_folder

PACKAGES = ("alpha-umi", "torch", "transformers", "accelerate", "peft", "safetensors")
# Fields of a config that change what a run needs, but not its result.
_NOT_IN_IDENTITY = {
    "about",
    "micro_tokens",
    "prefixes",
    "checkpoint_every",
    "keep_checkpoints",
    "parallel",
    "checkpoint_activations",
    "device",
    "evaluate_every",
    "dev_examples",
}


@dataclass(frozen=True)
class RunRequest:
    """The request of a run. `stages` selects some stages; `max_tokens` bounds the tokens of all stages together.

    Stages that the run in the folder `reuse` has trained in the same way are copied.
    """

    variant: Variant
    config: Config
    data: Path
    output: Path
    seed: int = 0
    max_tokens: int | None = None
    stages: tuple[str, ...] = ()
    reuse: Path | None = None
    observer: Observer = field(default_factory=NullObserver)
    stop: Callable[[], bool] = lambda: False


def train(request: RunRequest) -> None:
    """Run the training, or resume it. Raises `TrainingError`."""
    chosen = _chosen(request.variant, request.stages)
    require_settings(request.variant, request.config)
    device = device_of(request.config)
    bf16 = uses_bf16(request.config, device)
    attention = attention_of(request.config, device)
    backbone, manifest = backbone_of(request.config)
    data = open_data(request.data, request.config, backbone)
    run = _Run(request, backbone, manifest, data, Processes(request.config, device, bf16=bf16), bf16, attention)
    run.prepare()
    for stage in chosen:
        run.stage(stage)
    run.finish()


@dataclass
class _Run:
    request: RunRequest
    backbone: Path
    manifest: ModelManifest
    data: PreparedData
    processes: Processes
    bf16: bool
    attention: Attention | None

    def prepare(self) -> None:
        """Write the identity of the run, or compare it with that of the folder."""
        path = self.request.output / RUN_FILE
        identity = self._identity()
        if path.is_file():
            require_same(path, read_identity(self.request.output), identity)
        elif self.processes.is_main:
            document = {
                "identity": identity,
                "mixture": self.data.record.mixture,
                "versions": _versions(),
                "trained_on": self.data.record.trained_on,
            }
            write_file(path, json.dumps(document, indent=2) + "\n")
        self.processes.wait()

    def stage(self, stage: Stage) -> None:
        """Train a stage, unless it is complete."""
        home = self.request.output / stage.name
        folder = stage_folder(self.request.output, stage.name)
        if (folder / STAGE_FILE).is_file():
            # A damaged record is reported before the next stages are trained.
            read_stage(folder)
        else:
            self._train(stage, home, folder)
        if self.processes.is_main:
            shutil.rmtree(home / "checkpoints", ignore_errors=True)
            self.request.observer.on_done(stage.name)
        self.processes.wait()

    def finish(self) -> None:
        """Write the loss curves and the costs."""
        if self.processes.is_main:
            names = [stage.name for stage in self.request.variant.stages]
            lines = {name: read_losses(self.request.output / name / LOSSES) for name in names}
            draw(self.request.output / CURVES, {name: rows for name, rows in lines.items() if rows})
            write_costs(self.request.output, names, self.backbone)
        self.processes.wait()
        self.processes.leave()

    def _train(self, stage: Stage, home: Path, folder: Path) -> None:
        start = self._start(stage)
        task = self._task(stage, home, start)
        if self._reuse(task):
            return
        seed = self.request.seed
        module = load_model(
            self.request.config, self.backbone, start, seed=seed, bf16=self.bf16, attention=self.attention
        )
        request = self.request
        loop = StageLoop(task, module, self.processes, observer=request.observer, stop=request.stop, bf16=self.bf16)
        progress = loop.run(seed)
        weights = loop.weights()
        if self.processes.is_main:
            write_folder(folder, lambda partial: self._save(loop, weights, task, progress, partial))
        self.processes.wait()

    def _reuse(self, task: StageTask) -> bool:
        other = self.request.reuse
        if other is None or (task.folder / "checkpoints").is_dir():
            return False
        reused = reuse_stage(other, task) if self.processes.is_main else False
        return self.processes.sum(float(reused))[0] > 0

    def _task(self, stage: Stage, home: Path, start: Path | None) -> StageTask:
        seen = self.data.stage(stage, seed=self.request.seed)
        settings = numbers(stage, self.request.config)
        plan = StepPlan(
            seen.lengths,
            settings.batch,
            settings.epochs,
            self.request.seed,
            self._allowance(stage),
            settings.pack,
            seen.origins,
        )
        before = [] if start is None else read_stage(start).trained_on
        return StageTask(
            name=stage.name,
            folder=home,
            train=seen.train,
            dev=seen.dev,
            plan=plan,
            settings=settings,
            config=self.request.config,
            shares=self.attention is not None,
            identity={**self._identity(), "stage": stage.name},
            versions=_versions(),
            trained_on=sorted(seen.instructions.union(before)),
        )

    def _save(
        self, loop: StageLoop, weights: dict[str, Any], task: StageTask, progress: Progress, partial: Path
    ) -> None:
        save_model(loop.module, weights, partial, self.backbone, lora=self.request.config.lora is not None)
        # An adapter is served in bfloat16, a full model in the format of its files.
        file_bytes = sum(path.stat().st_size for path in partial.iterdir())
        served = sum(2 * tensor.numel() for tensor in weights.values()) if self.request.config.lora else file_bytes
        write_stage(partial, self._record(task, progress, served))

    def _record(self, task: StageTask, progress: Progress, served: int) -> StageRecord:
        last = read_losses(task.folder / LOSSES)[-1]
        return StageRecord(
            identity=dict(task.identity),
            steps=progress.step,
            examples=len(task.train),
            tokens=progress.tokens,
            computed_tokens=progress.computed_tokens,
            seconds=round(progress.seconds, 1),
            tokens_per_second=round(progress.tokens / progress.seconds, 1),
            peak_memory_bytes=progress.peak_memory,
            processes=self.processes.count,
            device=self.processes.device.type,
            bytes=served,
            bf16=self.bf16,
            loss=last["loss"],
            dev_loss=last.get("dev_loss"),
            versions=dict(task.versions),
            trained_on=tuple(task.trained_on),
        )

    def _start(self, stage: Stage) -> Path | None:
        if stage.start == BACKBONE:
            return None
        folder = stage_folder(self.request.output, stage.start)
        if not (folder / STAGE_FILE).is_file():
            raise RecipeUnusable(
                f"stage {stage.name} starts from {stage.start}, which is not trained yet in {self.request.output}",
                remedy=f"train {stage.start} first",
            )
        return folder

    def _allowance(self, stage: Stage) -> int | None:
        """The stage's share of `max_tokens`, in proportion to its tokens in an unbounded run; None without a bound."""
        if self.request.max_tokens is None:
            return None
        planned = {item.name: self._planned(item) for item in self.request.variant.stages}
        if (total := sum(planned.values())) <= self.request.max_tokens:
            return None
        return self.request.max_tokens * planned[stage.name] // total

    def _planned(self, stage: Stage) -> int:
        seen = self.data.stage(stage, seed=self.request.seed)
        return round(numbers(stage, self.request.config).epochs * sum(seen.lengths))

    def _identity(self) -> dict[str, Any]:
        """The identity of the run, as JSON."""
        return {
            **requested_identity(self.request.variant, self.request.config, self.request.seed, self.request.max_tokens),
            "data_digest": self.data.record.digest,
            "template": self.data.record.template,
            "template_digest": self.data.record.template_digest,
            "backbone": identity_of(self.manifest),
            "bf16": self.bf16,
        }


def requested_identity(variant: Variant, config: Config, seed: int, max_tokens: int | None) -> dict[str, Any]:
    """The part of a run's identity that follows from the request alone, not from data or machine."""
    return {
        "variant": variant.model_dump(mode="json", by_alias=True, exclude={"about"}),
        "config": config.model_dump(mode="json", exclude=_NOT_IN_IDENTITY),
        "seed": seed,
        "max_tokens": max_tokens,
    }


def _chosen(variant: Variant, names: Sequence[str]) -> list[Stage]:
    known = [stage.name for stage in variant.stages]
    for name in names:
        if name not in known:
            raise RecipeUnusable(f"variant {variant.name} has no stage {name!r}", remedy=f"known: {', '.join(known)}")
    return [stage for stage in variant.stages if not names or stage.name in names]


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}

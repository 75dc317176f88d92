"""The loop of one stage.

It uses accelerate instead of transformers' Trainer. The loss is computed for target tokens only and divided by the
target tokens of the complete step, whatever the number of processes and rounds. A step's examples and learning rate
follow from its number, so that a killed run resumes with exactly the same losses. A checkpoint is atomic and contains
no pickles.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from training.errors import LossNotFinite, Stopped
from training.examples import Tokenized
from training.loop import checkpoint as checkpoints
from training.loop import state
from training.loop.batches import StepPlan, learning_rate, rounds
from training.loop.checkpoint import Checkpoint, Progress
from training.loop.losses import LossFile
from training.loop.objective import TargetLoss, collate, targets
from training.loop.observer import Observer, StepRecord
from training.loop.processes import Processes
from training.loop.trees import Share, build_tree, divide
from training.loop.updating import make_updater
from training.recipes.model import MICRO_TOKENS, Config, StageSettings


@dataclass(frozen=True)
class StageTask:
    """Data and settings of a stage. `folder` gets `losses.jsonl` and `checkpoints/`.

    With `shares`, common prefixes of a step's examples are computed once.
    """

    name: str
    folder: Path
    train: Sequence[Tokenized]
    dev: Sequence[Tokenized]
    plan: StepPlan
    settings: StageSettings
    config: Config
    shares: bool
    identity: Mapping[str, Any]
    versions: Mapping[str, str]
    trained_on: Sequence[str]


class StageLoop:
    """Trains a module. Created for each stage and each time that a run is resumed."""

    def __init__(
        self,
        task: StageTask,
        module: TargetLoss,
        processes: Processes,
        *,
        observer: Observer,
        stop: Callable[[], bool],
        bf16: bool,
    ) -> None:
        self._task, self._processes, self._observer, self._stop = task, processes, observer, stop
        self.module = module
        processes.reset_peak_memory()
        self._updater = make_updater(module, processes, task.config, bf16=bf16)
        self._model = self._updater.model
        self._losses = LossFile(task.folder / "losses.jsonl", writes=processes.is_main)
        self._steps = task.plan.steps()
        self._saved = 0

    def run(self, seed: int) -> Progress:
        """Train to the last step, from the last checkpoint if there is one.

        Raises `LossNotFinite`, `Stopped` (after a checkpoint), `CannotWrite` and `RunDiffers`.
        """
        progress = self._resume(seed)
        if self._processes.is_main:
            self._observer.on_stage(self._task.name, first_step=progress.step + 1, steps=self._steps)
        self._model.train()
        while progress.step < self._steps:
            progress, stopped = self._advance(progress)
            if stopped and progress.step < self._steps:
                self._save(progress)
                raise Stopped(
                    f"stopped after step {progress.step} of {self._steps} in the stage {self._task.name}",
                    remedy="run the same command again: it resumes from there",
                )
            if progress.step % self._task.config.checkpoint_every == 0 and progress.step < self._steps:
                self._save(progress)
        return progress

    def weights(self) -> dict[str, Any]:
        """The trained weights, gathered on the CPU. Collective: every process must call it."""
        return self._updater.weights()

    def _advance(self, before: Progress) -> tuple[Progress, bool]:
        """Run one step. Returns the progress and whether a stop was requested."""
        began = time.monotonic()
        step = before.step + 1
        rate = learning_rate(step, self._steps, self._task.settings)
        loss, norm, stopped, computed = self._train(step, rate)
        took = time.monotonic() - began
        tokens = self._task.plan.tokens(step)
        dev = self._dev_loss() if step % self._task.config.evaluate_every == 0 or step == self._steps else None
        progress = replace(
            before,
            step=step,
            tokens=before.tokens + tokens,
            computed_tokens=before.computed_tokens + computed,
            seconds=before.seconds + time.monotonic() - began,
            peak_memory=max(before.peak_memory, self._processes.peak_memory()),
        )
        record = StepRecord(
            step,
            loss,
            rate,
            norm,
            progress.tokens,
            progress.computed_tokens,
            round(tokens / took, 1),
            round(progress.seconds, 3),
            dev,
        )
        self._losses.append(record)
        if self._processes.is_main:
            self._observer.on_step(record)
        return progress, stopped

    def _train(self, step: int, rate: float) -> tuple[float, float, bool, int]:
        """Returns the mean loss of the step's target tokens, the gradient norm, whether a stop was requested, and the
        computed tokens."""
        chosen = self._task.plan.examples(step)
        target_count = sum(targets(self._task.train[example]) for example in chosen)
        summed = 0.0
        parts, computed = self._rounds(chosen, self._task.train)
        for number, mine in enumerate(parts):
            last = number == len(parts) - 1
            with self._updater.computing(last=last):
                loss = self._loss(mine, self._task.train)
                # Gradients are averaged over the processes, and the sum is needed.
                self._updater.backward(loss * (self._processes.count / target_count), last=last)
            summed += loss.item()
        total, stops = self._processes.sum(summed, float(self._stop()))
        norm = self._updater.update(rate)
        self._require_finite(step, total / target_count, norm, rate)
        return total / target_count, norm, stops > 0, computed

    def _loss(self, shares: Sequence[Share], examples: Sequence[Tokenized]) -> Any:
        trees = [build_tree([examples[number] for number in share.examples]) for share in shares]
        batch = collate(trees, padded=not self._task.shares)
        device = self._processes.device
        return self._model(*(None if part is None else part.to(device) for part in batch))

    def _dev_loss(self) -> float | None:
        """Mean loss of the dev examples' target tokens; None without examples, and if a stop is requested."""
        if not (dev := self._task.dev):
            return None
        self._model.eval()
        summed = 0.0
        with torch.no_grad(), self._processes.precision():
            for mine in self._rounds(range(len(dev)), dev)[0]:
                # The rest may take minutes on a CPU. Several processes must stay in step, and continue.
                if self._processes.count == 1 and self._stop():
                    self._model.train()
                    return None
                summed += self._loss(mine, dev).item()
        self._model.train()
        return self._processes.sum(summed)[0] / sum(map(targets, dev))

    def _rounds(self, chosen: Sequence[int], examples: Sequence[Tokenized]) -> tuple[list[list[Share]], int]:
        """The micro-batch of this process in each round, and the computed tokens of all processes."""
        configured = self._task.config.micro_tokens
        micro_tokens = MICRO_TOKENS[self._processes.device.type] if configured == "auto" else configured
        count, padded = self._processes.count, not self._task.shares
        if padded:
            shares = [Share((number,), len(examples[number].input_ids)) for number in chosen]
        else:
            shares = divide(chosen, examples, limit=micro_tokens, parts=count)
        lengths = [share.tokens for share in shares]
        planned = rounds(range(len(shares)), lengths, processes=count, micro_tokens=micro_tokens, padded=padded)
        mine = [[shares[number] for number in micros[self._processes.number]] for micros in planned]
        return mine, sum(lengths)

    def _require_finite(self, step: int, loss: float, norm: float, rate: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            checkpoint = (
                f"the checkpoint of step {self._saved} remains" if self._saved else "there is no checkpoint yet"
            )
            raise LossNotFinite(
                f"stage {self._task.name}, step {step}: the loss is {loss} and the gradient's norm {norm} at a "
                f"learning rate of {rate:.3g}; {checkpoint}",
                remedy="lower the learning rate or raise the warm-up in the config, and start in a new folder",
            )

    def _resume(self, seed: int) -> Progress:
        last = checkpoints.load_last(self._task.folder / "checkpoints", self._task.identity)
        # Each process has its own seed; random numbers are only drawn with dropout.
        torch.manual_seed(seed * 1000 + self._processes.number)
        if last is None:
            self._losses.start(0)
            return Progress()
        self._updater.restore(last.weights, last.optimizer)
        rows = last.random["states"]
        if self._processes.number < len(rows):
            state.set_random_state(self._processes.device, rows[self._processes.number])
        self._losses.start(last.progress.step)
        self._saved = last.progress.step
        return last.progress

    def _save(self, progress: Progress) -> None:
        weights = self.weights()
        optimizer = self._updater.optimizer()
        rows = self._processes.rows(state.random_state(self._processes.device))
        if self._processes.is_main:
            checkpoint = Checkpoint(
                identity=self._task.identity,
                progress=progress,
                versions=self._task.versions,
                trained_on=self._task.trained_on,
                weights=weights,
                optimizer=optimizer,
                random={"states": rows},
            )
            keep = self._task.config.keep_checkpoints
            checkpoints.save(self._task.folder / "checkpoints", checkpoint, keep=keep)
        self._saved = progress.step
        self._processes.wait()

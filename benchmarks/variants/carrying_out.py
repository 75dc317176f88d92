"""Train, export and measure what is not there yet, each by the command that does so alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import cache
from pathlib import Path

from benchmarks.processes import ProcessFailed, long_command
from benchmarks.results.runs import MODES, Mode
from benchmarks.variants.runs import DONOR, FIRST_STAGE, SINGLE, VariantRun, Wanted, read_whole
from evaluation.suites.data import data_folder
from evaluation.suites.sample import sample_steps
from evaluation.suites.suite import load_suite
from training.examples import read_record
from training.loop.checkpoint import require_same
from training.recipes.loading import load_config
from training.recipes.model import Variant
from training.run import asked
from training.run_folder import RUN_FILE

_FIRST = (DONOR, SINGLE)


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Keep a second command out of the folder; the open file is for what this one starts, which may outlive it.

    Raises `ProcessFailed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise ProcessFailed(f"another command, or what one has left, is at work in {folder}; wait for it") from None
        yield file.fileno()


@dataclass(frozen=True)
class Work:
    """All that is asked for, in the folder that is `locked` by an open file. `tell` hears what was done."""

    wanted: Wanted
    locked: int
    tell: Callable[[str], None]

    def runs(self) -> Iterator[tuple[Variant, VariantRun]]:
        """The order of the work: whose first stage others take over comes first."""
        chosen = self.wanted.variants
        ordered = sorted(chosen, key=lambda each: _FIRST.index(each.name) if each.name in _FIRST else len(_FIRST))
        for seed in self.wanted.seeds:
            for variant in ordered:
                yield variant, VariantRun(self.wanted.folder, variant.name, seed)

    def check(self) -> None:
        """Hold all that is there against what is asked for, before any work. Raises `TrainingError`."""
        for variant, run in self.runs():
            if run.begun():
                self._require_as_wanted(variant, run, self._bound(run))

    def train(self, variant: Variant, run: VariantRun) -> None:
        """Train a variant and export it. Raises `ProcessFailed`, and `TrainingError` for a run that is another's."""
        bound = self._bound(run)
        if run.costs() is None:
            self._train(variant, run, bound)
            self.tell(f"{run.home.name}: trained")
        else:
            self._require_as_wanted(variant, run, bound)
        if not run.models.is_dir():
            self._export(run, run.models)
            self.tell(f"{run.home.name}: exported")

    def measure(self, variant: Variant, run: VariantRun) -> None:
        """Have its predictions written, for each suite in both modes. Raises `ProcessFailed`, `EvaluationError`."""
        missing = [
            (suite, mode) for suite in self.wanted.suites for mode in MODES if not self._is_measured(run, suite, mode)
        ]
        for suite, mode in missing:
            self._generate(variant, run, suite, mode)
            self.tell(f"{run.home.name}: {suite} {mode}")
        shutil.rmtree(run.merged, ignore_errors=True)

    def _train(self, variant: Variant, run: VariantRun, bound: int | None) -> None:
        donor = VariantRun(run.folder, DONOR, run.seed)
        begun = run.variant != DONOR and donor.stage_tokens(FIRST_STAGE) is not None
        self._command(
            run, "train", "run", self._file(variant, run), "--config", self.wanted.config,
            "--data", str(self.wanted.data), "--output", str(run.trained), "--seed", str(run.seed),
            *(("--max-tokens", str(bound)) if bound is not None else ()),
            *(("--take-over", str(donor.trained)) if begun else ()),
        )  # fmt: skip

    def _file(self, variant: Variant, run: VariantRun) -> str:
        """The recipe as it was read, so that a file of the user's own is found as well."""
        run.home.mkdir(parents=True, exist_ok=True)
        path = run.home / "variant.yaml"
        # JSON is YAML.
        path.write_text(variant.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
        return str(path)

    def _bound(self, run: VariantRun) -> int | None:
        """The tokens that a run may take; a shared first stage is bounded to what it got."""
        if self.wanted.max_tokens is None or not (self.wanted.share_global and run.variant == SINGLE):
            return self.wanted.max_tokens
        return VariantRun(run.folder, DONOR, run.seed).stage_tokens(FIRST_STAGE)

    def _require_as_wanted(self, variant: Variant, run: VariantRun, bound: int | None) -> None:
        """What is there may come from a machine with other number formats, but has to be what is asked for."""
        wanted = {
            **asked(variant, load_config(self.wanted.config), run.seed, bound),
            "data_digest": read_record(self.wanted.data).digest,
        }
        if bound is None and self.wanted.max_tokens is not None:
            # That of a shared first stage is known when the stage is trained.
            del wanted["max_tokens"]
        there = run.identity()
        require_same(run.trained / RUN_FILE, {name: there[name] for name in wanted}, wanted)

    def _export(self, run: VariantRun, target: Path, *options: str) -> None:
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._command(run, "train", "export", str(run.trained), "--output", str(partial), *options)
        partial.rename(target)

    def _generate(self, variant: Variant, run: VariantRun, suite: str, mode: Mode) -> None:
        single = any("backbone" in stage.serves for stage in variant.stages)
        self._command(
            run, "evaluate", "generate", "--in-process", "--models", str(self._whole_models(run)),
            "--constrained" if mode == "constrained" else "--unconstrained",
            "--strategy", "single" if single else "chain", "--suite", suite, "--limit", str(self.wanted.steps),
            "--output", str(run.predictions(suite, mode)),
        )  # fmt: skip

    def _whole_models(self, run: VariantRun) -> Path:
        """An engine a role, as with `alpha-umi up`: a CPU is slow with adapters."""
        if run.identity()["config"]["lora"] is None:
            return run.models
        if not run.merged.is_dir():
            self._export(run, run.merged, "--merged")
        return run.merged

    def _is_measured(self, run: VariantRun, suite: str, mode: Mode) -> bool:
        found = read_whole(run.predictions(suite, mode))
        return found is not None and found.about.cases == _cases(suite, self.wanted.steps)

    def _command(self, run: VariantRun, *arguments: str) -> None:
        long_command(*arguments, log=run.log, inherits=[self.locked])


@cache
def _cases(suite: str, limit: int) -> int:
    return len(sample_steps(load_suite(suite, data_folder(os.environ)).trajectories, limit))

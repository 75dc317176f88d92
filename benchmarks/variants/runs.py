"""The folder behind the tables: for each variant and seed what was trained, exported and measured.

FOLDER/VARIANT-SEED/run/                the run of `alpha-umi train`, with losses.png and costs.json
FOLDER/VARIANT-SEED/models/             what it was exported to: adapters, or whole models without LoRA
FOLDER/VARIANT-SEED/merged/             whole models of the adapters, only while they are measured
FOLDER/VARIANT-SEED/SUITE-MODE.jsonl    predictions of `alpha-umi evaluate generate`
FOLDER/VARIANT-SEED/commands.log        what these commands printed

What is whole there is left as it is, so the folder can be taken to another machine and gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.results.runs import Mode
from evaluation.errors import CutShort
from evaluation.files.step_run import Run, read_run
from training.costs import COSTS
from training.recipes.model import Variant
from training.run_folder import RUN_FILE, STAGE_FILE, stage_folder
from training.stage_record import read_identity, read_run_record, read_stage

Held = TypeVar("Held")

# What the others are compared with, and whose first stage it is.
SINGLE, FIRST_STAGE, DONOR = "single-llm", "global", "alpha-umi"
# As the paper's table has them.
VARIANTS = (
    SINGLE, "single-llm-multi-task", "multi-llm-one-stage", "alpha-umi-without-reuse", DONOR, "two-components",
)  # fmt: skip


@dataclass(frozen=True)
class VariantRun:
    """One variant with one seed, by the folder of all of them."""

    folder: Path
    variant: str
    seed: int

    @property
    def home(self) -> Path:
        """Where all of it lies."""
        return self.folder / f"{self.variant}-{self.seed}"

    @property
    def trained(self) -> Path:
        """The run of the training."""
        return self.home / "run"

    @property
    def models(self) -> Path:
        """The folder that holds a model folder a role."""
        return self.home / "models"

    @property
    def merged(self) -> Path:
        """The same as whole models, while they are needed."""
        return self.home / "merged"

    @property
    def log(self) -> Path:
        """What commands printed."""
        return self.home / "commands.log"

    def predictions(self, suite: str, mode: Mode) -> Path:
        """The file of the predictions for a suite, which is named or a file itself."""
        return self.home / f"{Path(suite).stem}-{mode}.jsonl"

    def costs(self) -> dict[str, Any] | None:
        """What the training has cost; None as long as it is not complete."""
        path = self.trained / COSTS
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {"complete": False}
        return found if found["complete"] else None

    def identity(self) -> dict[str, Any]:
        """What the training was made of. Raises `RecordUnusable`, also where none was begun."""
        return read_identity(self.trained)

    def mixture(self) -> str | None:
        """The name of the mixture that the data was made from, where it is known. Raises `RecordUnusable`."""
        return read_run_record(self.trained).mixture

    def begun(self) -> bool:
        """Whether there is a training, complete or not."""
        return (self.trained / RUN_FILE).is_file()

    def stage_tokens(self, stage: str) -> int | None:
        """The tokens that a complete stage was trained with. Raises `RecordUnusable`."""
        folder = stage_folder(self.trained, stage)
        return read_stage(folder).tokens if (folder / STAGE_FILE).is_file() else None


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `max_tokens` bounds each variant's training; `steps` are measured of each suite.

    `share_global`: Single-LLM is the first stage of the recommended variant, also where a bound makes that shorter.
    """

    folder: Path
    data: Path
    config: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    suites: tuple[str, ...]
    steps: int
    max_tokens: int | None = None
    share_global: bool = False


def read_whole(path: Path) -> Run | None:
    """The predictions of a file; None as long as some are missing. Raises `EvaluationError` for a broken file."""
    run = read_ended(path, read_run)
    if run is None:
        return None
    final = [each for each in run.predictions if each.error is None or not each.error.may_pass]
    return run if len(final) == run.about.cases else None


def read_ended(path: Path, read: Callable[[Path], Held]) -> Held | None:
    """What a file holds; None where there is none, or its last line is not ended: who goes on with it cuts that off."""
    try:
        return read(path) if path.is_file() else None
    except CutShort:
        return None


def table_order(folder: Path, variants: Sequence[str], seeds: Sequence[int]) -> list[VariantRun]:
    """The runs as they stand in the tables: a variant's seeds below one another."""
    return [VariantRun(folder, variant, seed) for variant in variants for seed in seeds]

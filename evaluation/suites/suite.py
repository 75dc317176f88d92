"""A suite with its data: the trajectories, the steps in them, and the digests of their instructions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import EmptySuite, NotTheFormat
from evaluation.files.jsonl import refuse_duplicates
from evaluation.instructions import instruction_digest
from evaluation.steps import StepCase
from evaluation.suites import (
    bfcl,
    gsm8k,
    gsm8k_python,
    math,
    own,
    rotbench,
    seal_tools,
    toolalpaca,
    toolbench,
    toolbench_queries,
)
from evaluation.suites.cases import OF_STEPS, step_cases, steps_without_reference
from evaluation.suites.data import data_path
from evaluation.suites.definition import (
    IN_PARTS,
    WITHOUT_STEPS,
    SuiteFile,
    digests_path,
    read_definition,
    read_digests,
    suite_path,
)
from evaluation.suites.errors import REMEDY, DataDiffers, DataMissing
from evaluation.suites.recorded import Loaded, RecordedTrajectory

PART = ":"


@dataclass(frozen=True)
class Suite:
    """A suite as it was loaded. `left_out` counts trajectories and steps that cannot be measured, by the reason."""

    definition: SuiteFile
    parts: tuple[str, ...]
    trajectories: tuple[RecordedTrajectory, ...]
    left_out: dict[str, int]

    @property
    def label(self) -> str:
        """The suite as it is named, with its parts where they were chosen."""
        chosen = self.parts != self.definition.parts
        return self.definition.name + (PART + ",".join(self.parts) if chosen else "")

    @property
    def trajectories_left_out(self) -> dict[str, int]:
        """The trajectories among what is left out: as a whole, one with a step without a reference can be asked."""
        return {reason: count for reason, count in self.left_out.items() if reason not in OF_STEPS}

    @property
    def cases(self) -> tuple[StepCase, ...]:
        """The steps that have a reference, in order."""
        return tuple(case for trajectory in self.trajectories for case in step_cases(trajectory))

    @property
    def digests(self) -> frozenset[str]:
        """The digests of the instructions."""
        return frozenset(instruction_digest(trajectory.instruction) for trajectory in self.trajectories)


def load_suite(name: str, data: Path, *, as_recorded: bool = True) -> Suite:
    """Load a suite from a folder of data: `NAME`, a suite's file, or some parts of one, `NAME:PART,PART`.

    Unless `as_recorded` is false, its instructions must be those whose digests were recorded. Raises `EvaluationError`:
    what is missing, what the data is not, or that nothing is in it.
    """
    suite, _, wanted = name.partition(PART)
    path = suite_path(suite)
    definition = read_definition(path)
    parts = tuple(filter(None, wanted.split(","))) or definition.parts
    at = data_path(data, definition.data, suite=definition.name, source=definition.source)
    loaded = _load(definition, at, parts)
    refuse_duplicates([trajectory.id for trajectory in loaded.trajectories], f"{at}: trajectories")
    left_out = Counter(loaded.left_out) + steps_without_reference(loaded.trajectories)
    found = Suite(definition, parts, loaded.trajectories, dict(left_out))
    if not (found.trajectories if definition.loader in WITHOUT_STEPS else found.cases):
        what = "nothing to ask" if definition.loader in WITHOUT_STEPS else "no step to measure"
        raise EmptySuite(f"the suite {definition.name!r} has {what}: {at}", remedy=REMEDY)
    if as_recorded and parts == definition.parts:
        _refuse_other_data(found, digests_path(path), at)
    return found


def suite_digests(name: str, data: Path) -> frozenset[str]:
    """The digests of a suite's instructions: those that were recorded, else those of its data.

    Raises `EvaluationError`.
    """
    suite, _, wanted = name.partition(PART)
    recorded = None if wanted else read_digests(digests_path(suite_path(suite)))
    return recorded if recorded is not None else load_suite(name, data).digests


def known_digests(name: str, data: Path) -> frozenset[str]:
    """The digests of a suite's instructions; none where they were not recorded and its data is not at hand either.

    Who has not got a suite's data does not measure on it. Raises `EvaluationError`.
    """
    try:
        return suite_digests(name, data)
    except DataMissing:
        return frozenset()


def suite_files(name: str, data: Path) -> list[Path]:
    """The files that a suite is read from, whether they are there or not. Raises `EvaluationError`."""
    path = suite_path(name.partition(PART)[0])
    definition = read_definition(path)
    at = data / definition.data
    inside = {
        "rotbench": [at / f"{part}{rotbench.SUFFIX}" for part in rotbench.tool_sets(at)],
        "toolbench-queries": [at / f"{part}{toolbench_queries.SUFFIX}" for part in toolbench_queries.query_parts(at)],
        "trajectories": own.files(at),
        "bfcl": [file for part in bfcl.CATEGORIES for file in bfcl.files(at, part)],
    }
    return [path, digests_path(path), *inside.get(definition.loader, [at])]


def _load(definition: SuiteFile, path: Path, parts: tuple[str, ...]) -> Loaded:
    if parts and definition.loader not in IN_PARTS:
        raise NotTheFormat(
            f"the suite {definition.name!r} has no parts",
            remedy=f"leave the parts away; only {' and '.join(sorted(IN_PARTS))} have some",
        )
    match definition.loader:
        case "rotbench":
            return rotbench.load(path, parts)
        case "toolbench-queries":
            return toolbench_queries.load(path, parts)
        case "toolbench":
            return toolbench.load(path)
        case "bfcl":
            return bfcl.load(path, parts)
        case "gsm8k":
            return gsm8k.load(path)
        case "gsm8k-python":
            return gsm8k_python.load(path)
        case "math":
            return math.load(path)
        case "seal-tools":
            return seal_tools.load(path)
        case "toolalpaca-golden":
            return toolalpaca.load(path)
        case "trajectories":
            return own.load(path)


def _refuse_other_data(suite: Suite, recorded_at: Path, data: Path) -> None:
    recorded = read_digests(recorded_at)
    if recorded is not None and recorded != suite.digests:
        raise DataDiffers(
            f"{data} has other instructions than {recorded_at}: {len(suite.digests - recorded)} are new and "
            f"{len(recorded - suite.digests)} are missing",
            remedy=f"put the data of {suite.definition.source} there, or make a suite of your own for this data",
        )

"""A suite with its data: the trajectories, the steps in them, and the digests of their instructions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from recordings.cases import STEP_REASONS, StepCase, step_cases, steps_without_reference
from recordings.contamination import instruction_digest
from recordings.errors import REMEDY, DataDiffers, DataMissing, EmptySuite, NotTheFormat
from recordings.formats import (
    bfcl,
    gsm8k,
    math,
    rotbench,
    seal_tools,
    toolalpaca_golden,
    toolbench,
    toolbench_queries,
    trajectories,
)
from recordings.reading import refuse_duplicates
from recordings.suites.definition import (
    LOADERS_WITH_PARTS,
    LOADERS_WITHOUT_STEPS,
    SuiteFile,
    data_path,
    digests_path,
    read_definition,
    read_digests,
    suite_names,
    suite_path,
)
from recordings.trajectory import Loaded, RecordedTrajectory

PART_SEPARATOR = ":"


@dataclass(frozen=True)
class Suite:
    """A loaded suite. `excluded` counts excluded trajectories and steps by reason."""

    definition: SuiteFile
    parts: tuple[str, ...]
    trajectories: tuple[RecordedTrajectory, ...]
    excluded: dict[str, int]

    @property
    def label(self) -> str:
        """The suite's name, with its parts unless they are the default."""
        chosen = self.parts != self.definition.parts
        return self.definition.name + (PART_SEPARATOR + ",".join(self.parts) if chosen else "")

    @property
    def excluded_trajectories(self) -> dict[str, int]:
        """The excluded trajectories. A trajectory with a step without a reference can still be run."""
        return {reason: count for reason, count in self.excluded.items() if reason not in STEP_REASONS}

    @property
    def cases(self) -> tuple[StepCase, ...]:
        """The steps that have a reference, in order."""
        return tuple(case for trajectory in self.trajectories for case in step_cases(trajectory))

    @property
    def digests(self) -> frozenset[str]:
        """The digests of the instructions."""
        return frozenset(instruction_digest(trajectory.instruction) for trajectory in self.trajectories)


def load_suite(name: str, data: Path, *, as_recorded: bool = True) -> Suite:
    """Load a suite from a folder of data.

    `name` is a suite of the project, a suite's file, or parts of one (`NAME:PART,PART`). With `as_recorded`, the
    digests of its instructions must equal the recorded ones. Raises `DataError`.
    """
    base, _, chosen = name.partition(PART_SEPARATOR)
    path = suite_path(base)
    definition = read_definition(path)
    parts = tuple(filter(None, chosen.split(","))) or definition.parts
    at = data_path(data, definition.data, suite=definition.name, source=definition.source)
    loaded = _load(definition, at, parts)
    refuse_duplicates([trajectory.id for trajectory in loaded.trajectories], f"{at}: trajectories")
    excluded = Counter(loaded.excluded) + steps_without_reference(loaded.trajectories)
    suite = Suite(definition, parts, loaded.trajectories, dict(excluded))
    if not (suite.trajectories if definition.loader in LOADERS_WITHOUT_STEPS else suite.cases):
        what = "no trajectory" if definition.loader in LOADERS_WITHOUT_STEPS else "no step with a reference"
        raise EmptySuite(f"the suite {definition.name!r} has {what}: {at}", remedy=REMEDY)
    if as_recorded and parts == definition.parts:
        _refuse_other_data(suite, digests_path(path), at)
    return suite


def suite_digests(name: str, data: Path) -> frozenset[str]:
    """The recorded digests of a suite's instructions; without recorded ones, those of its data.

    Raises `DataError`.
    """
    base, _, chosen = name.partition(PART_SEPARATOR)
    recorded = None if chosen else read_digests(digests_path(suite_path(base)))
    return recorded if recorded is not None else load_suite(name, data).digests


def known_digests(name: str, data: Path) -> frozenset[str]:
    """As `suite_digests`, but empty if there are neither recorded digests nor data. Raises `DataError`."""
    try:
        return suite_digests(name, data)
    except DataMissing:
        return frozenset()


def suite_files(name: str, data: Path) -> list[Path]:
    """The files that a suite is read from; they may not exist. Raises `DataError`."""
    path = suite_path(name.partition(PART_SEPARATOR)[0])
    definition = read_definition(path)
    at = data / definition.data
    inside = {
        "rotbench": [at / f"{part}{rotbench.SUFFIX}" for part in rotbench.tool_sets(at)],
        "toolbench-queries": [at / f"{part}{toolbench_queries.SUFFIX}" for part in toolbench_queries.query_parts(at)],
        "trajectories": trajectories.files(at),
        "bfcl": [file for part in bfcl.CATEGORIES for file in bfcl.files(at, part)],
    }
    return [path, digests_path(path), *inside.get(definition.loader, [at])]


def _load(definition: SuiteFile, path: Path, parts: tuple[str, ...]) -> Loaded:
    if parts and definition.loader not in LOADERS_WITH_PARTS:
        raise NotTheFormat(
            f"the suite {definition.name!r} has no parts",
            remedy=f"omit the parts; only {' and '.join(sorted(LOADERS_WITH_PARTS))} have parts",
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
            return gsm8k.load_python(path)
        case "math":
            return math.load(path)
        case "seal-tools":
            return seal_tools.load(path)
        case "toolalpaca-golden":
            return toolalpaca_golden.load(path)
        case "trajectories":
            return trajectories.load(path)


def _refuse_other_data(suite: Suite, recorded_at: Path, data: Path) -> None:
    recorded = read_digests(recorded_at)
    if recorded is not None and recorded != suite.digests:
        raise DataDiffers(
            f"{data} has other instructions than {recorded_at}: {len(suite.digests - recorded)} are new and "
            f"{len(recorded - suite.digests)} are missing",
            remedy=f"put the data of {suite.definition.source} there, or make a suite of your own for this data",
        )


class ListedSuite(BaseModel):
    """A suite of the project. `data` is the path of its data; `instructions` counts the recorded digests."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    licence: str
    source: str
    instructions: int
    data: Path
    at_hand: bool


def listed_suites(data: Path) -> list[ListedSuite]:
    """All suites of the project, without reading their data. Raises `DataError` for a broken catalogue."""
    return [_listed(read_definition(suite_path(name)), data) for name in suite_names()]


def _listed(definition: SuiteFile, data: Path) -> ListedSuite:
    at = data / definition.data
    return ListedSuite(
        name=definition.name,
        title=definition.title,
        licence=definition.licence,
        source=definition.source,
        instructions=len(read_digests(digests_path(suite_path(definition.name))) or ()),
        data=at,
        at_hand=at.exists() and _has_parts(definition, at),
    )


def _has_parts(definition: SuiteFile, at: Path) -> bool:
    match definition.loader:
        case "rotbench":
            return set(definition.parts) <= set(rotbench.tool_sets(at))
        case "bfcl":
            return all(file.is_file() for part in definition.parts for file in bfcl.files(at, part))
        case "toolbench-queries":
            return set(definition.parts) <= set(toolbench_queries.query_parts(at))
    return True

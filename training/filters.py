"""Filters on training data: contamination with evaluation suites, the dev split, duplicates, and invalid Unicode.

Public data also shares instructions with evaluations that are not suites of the project (RoTBench, BFCL v4, STE, and
Seal-Tools in Hammer's conversion). Their digests are in `mixtures/other-evaluations.digests`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recordings.contamination import instruction_digest, overlapping
from recordings.errors import FileUnreadable, NotTheFormat
from recordings.reading import read_text
from recordings.suites.definition import read_definition, read_digests, suite_names, suite_path
from recordings.suites.suite import known_digests, suite_digests
from recordings.trajectory import RecordedTrajectory

OTHER_EVALUATIONS: Final = Path(__file__).parent / "mixtures" / "other-evaluations.digests"
DUPLICATE: Final = "a duplicate: the same messages of the user and the same tools"
IN_DEV: Final = "an instruction of the dev split"
NO_UNICODE: Final = "text that is not Unicode"
_COLUMN: Final = "instruction"


@dataclass(frozen=True)
class ContaminationFilter:
    """The contents of evaluations: digests of instructions by the evaluation's name, and suites by tool set."""

    instructions: Mapping[str, frozenset[str]]
    tool_sets: Mapping[str, str]

    def reason(self, trajectory: RecordedTrajectory) -> str | None:
        """The reason to exclude a trajectory from training; None if there is none. Every turn of the user counts."""
        suite = self.tool_sets.get(tool_set(trajectory))
        if suite is not None:
            return f"a tool set of the suite {suite}"
        texts = [turn.content for turn in trajectory.turns if turn.role == "user"]
        return next(
            (f"an instruction of {name}" for name, known in self.instructions.items() if overlapping(texts, known)),
            None,
        )


@dataclass
class Deduplicator:
    """Excludes trajectories that were selected before, and instructions of dev from train."""

    _selected: set[tuple[tuple[str, ...], frozenset[str]]] = field(default_factory=set)
    _dev_instructions: set[str] = field(default_factory=set)

    def reason(self, trajectory: RecordedTrajectory, *, dev: bool) -> str | None:
        """The reason to exclude a trajectory; if None, it is remembered. All of dev must come before train."""
        digests = tuple(instruction_digest(turn.content) for turn in trajectory.turns if turn.role == "user")
        if not dev and not self._dev_instructions.isdisjoint(digests):
            return IN_DEV
        key = (digests, frozenset(tool.name for tool in trajectory.tools))
        if key in self._selected:
            return DUPLICATE
        self._selected.add(key)
        if dev:
            self._dev_instructions.add(digests[0])
        return None


@dataclass(frozen=True)
class Filters:
    """All filters, in order: Unicode, contamination, duplicates."""

    contamination: ContaminationFilter
    deduplicator: Deduplicator = field(default_factory=Deduplicator)

    def reason(self, trajectory: RecordedTrajectory, *, dev: bool) -> str | None:
        """The reason to exclude a trajectory from a split; None if there is none."""
        if not is_unicode(trajectory):
            return NO_UNICODE
        return self.contamination.reason(trajectory) or self.deduplicator.reason(trajectory, dev=dev)


def make_filters(suites: Sequence[str], data: Path, overlaps: Path | None) -> Filters:
    """The filters of a mixture; the arguments are those of `contamination_filter`. Raises `DataError`."""
    return Filters(contamination_filter(suites, data, overlaps))


def contamination_filter(suites: Sequence[str], data: Path, overlaps: Path | None) -> ContaminationFilter:
    """A filter for all suites of the project, further `suites`, other evaluations, and a table of `overlaps`.

    Raises `DataError`.
    """
    digests = {f"the suite {name}": known_digests(name, data) for name in suite_names()}
    digests |= {f"the suite {name}": suite_digests(name, data) for name in suites}
    digests["another evaluation"] = read_digests(OTHER_EVALUATIONS) or frozenset()
    definitions = [read_definition(suite_path(name.partition(":")[0])) for name in (*suite_names(), *suites)]
    tool_sets = {part: each.name for each in definitions if each.loader == "rotbench" for part in each.parts}
    if overlaps is not None:
        digests[overlaps.name] = read_overlaps(overlaps)
    return ContaminationFilter(digests, tool_sets)


def read_overlaps(path: Path) -> frozenset[str]:
    """The digests of the column `instruction` in a table with tab-separated columns. Raises `DataError`."""
    if not path.is_file():
        raise FileUnreadable(f"{path} is not there", remedy="put the table there, or omit `overlaps`")
    rows = csv.DictReader(read_text(path).split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    if _COLUMN not in (rows.fieldnames or ()):
        raise NotTheFormat(f"{path} has no column {_COLUMN!r}", remedy="name the columns in the first line")
    digests = []
    for number, row in enumerate(rows, start=2):
        if not row[_COLUMN]:
            raise NotTheFormat(f"{path}, line {number} has no {_COLUMN}", remedy="complete the line, with its tabs")
        digests.append(instruction_digest(row[_COLUMN]))
    return frozenset(digests)


def tool_set(trajectory: RecordedTrajectory) -> str:
    """The tool set of a trajectory of a source with tool sets."""
    return trajectory.id.partition("/")[0]


def is_unicode(trajectory: RecordedTrajectory) -> bool:
    """Whether all texts can be encoded in UTF-8, which fails for lone surrogates."""
    texts = [turn.content for turn in trajectory.turns] + [
        f"{tool.name}{tool.description}{tool.parameters}" for tool in trajectory.tools
    ]
    return all(map(_encodes, texts))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

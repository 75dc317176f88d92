"""Which trajectories are not learned from: what somebody measures on, what is kept for dev, and repetitions.

Beside the suites of the project there are evaluations elsewhere. The instructions that they share with the public data
which is read here (RoTBench, BFCL v4, STE, and Seal-Tools in Hammer's conversion) are known by digest:
`mixtures/other-evaluations.digests`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evaluation.contamination import overlapping
from evaluation.errors import FileUnreadable, NotTheFormat
from evaluation.files.jsonl import read_text
from evaluation.instructions import instruction_digest
from evaluation.suites.definition import read_definition, read_digests, suite_names, suite_path
from evaluation.suites.recorded import RecordedTrajectory
from evaluation.suites.suite import known_digests, suite_digests

OTHERS: Final = Path(__file__).parent / "mixtures" / "other-evaluations.digests"
REPEATED: Final = "the user said the same before, with the same tools"
OF_DEV: Final = "an instruction of the dev split"
NO_UNICODE: Final = "text that is not Unicode"
_COLUMN: Final = "instruction"


@dataclass(frozen=True)
class Guard:
    """What must not be learned from: instructions by digest under the name of who measures on them, and tool sets."""

    instructions: Mapping[str, frozenset[str]]
    tool_sets: Mapping[str, str]

    def reason(self, trajectory: RecordedTrajectory) -> str | None:
        """Why the trajectory must not be learned from; None where it may. Every turn of the user counts."""
        held_by = self.tool_sets.get(tool_set(trajectory))
        if held_by is not None:
            return f"a tool set of the suite {held_by}"
        said = [turn.content for turn in trajectory.turns if turn.role == "user"]
        return next(
            (f"an instruction of {name}" for name, known in self.instructions.items() if overlapping(said, known)), None
        )


@dataclass
class Seen:
    """What was taken already, to leave out repetitions."""

    said: set[tuple[tuple[str, ...], frozenset[str]]] = field(default_factory=set)
    of_dev: set[str] = field(default_factory=set)

    def reason(self, trajectory: RecordedTrajectory, *, dev: bool) -> str | None:
        """Why a trajectory is not taken, or None, and then it is remembered. Dev goes first."""
        said = tuple(instruction_digest(turn.content) for turn in trajectory.turns if turn.role == "user")
        if not dev and not self.of_dev.isdisjoint(said):
            return OF_DEV
        key = (said, frozenset(tool.name for tool in trajectory.tools))
        if key in self.said:
            return REPEATED
        self.said.add(key)
        if dev:
            self.of_dev.add(said[0])
        return None


def guard(own_suites: Iterable[str], data: Path, overlaps: Path | None) -> Guard:
    """The guard of all suites of the project, the user's own, other evaluations, and a table of the user's.

    Raises `EvaluationError`.
    """
    names = [*suite_names(), *own_suites]
    digests = {f"the suite {name}": known_digests(name, data) for name in suite_names()}
    digests |= {f"the suite {name}": suite_digests(name, data) for name in own_suites}
    digests["another evaluation"] = read_digests(OTHERS) or frozenset()
    definitions = [read_definition(suite_path(name.partition(":")[0])) for name in names]
    held = {part: each.name for each in definitions if each.loader == "rotbench" for part in each.parts}
    if overlaps is not None:
        digests[overlaps.name] = read_overlaps(overlaps)
    return Guard(digests, held)


def read_overlaps(path: Path) -> frozenset[str]:
    """The digests of the instructions in a table with tabs, one of whose columns is `instruction`.

    Raises `EvaluationError`.
    """
    if not path.is_file():
        raise FileUnreadable(f"{path} is not there", remedy="put the table there, or leave `overlaps` out")
    rows = csv.DictReader(read_text(path).split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    if _COLUMN not in (rows.fieldnames or ()):
        raise NotTheFormat(f"{path} has no column {_COLUMN!r}", remedy="name the columns in the first line")
    found = []
    for number, row in enumerate(rows, start=2):
        if not row[_COLUMN]:
            raise NotTheFormat(f"{path}, line {number} has no {_COLUMN}", remedy="write it whole, with its tabs")
        found.append(instruction_digest(row[_COLUMN]))
    return frozenset(found)


def tool_set(trajectory: RecordedTrajectory) -> str:
    """The tool set of a trajectory, where its source has some."""
    return trajectory.id.partition("/")[0]


def is_unicode(trajectory: RecordedTrajectory) -> bool:
    """Whether all its texts can be written down and tokenized: half a surrogate pair can be neither."""
    shown = [turn.content for turn in trajectory.turns] + [
        f"{tool.name}{tool.description}{tool.parameters}" for tool in trajectory.tools
    ]
    return all(_encodes(text) for text in shown)


def counted(reasons: Iterable[str | None]) -> dict[str, int]:
    """How often each reason was given."""
    return dict(Counter(reason for reason in reasons if reason is not None))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

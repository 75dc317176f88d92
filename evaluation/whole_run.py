"""The file of whole trajectories: what ran, then a line for each trajectory that an orchestrator ended.

JSON lines that can be resumed, as the file of predictions can: a trajectory that has a line is not run again. The line
has the trajectory's events, from which everything else follows, so that it can be measured again without the
orchestrator. Tools have lines of their own, each before the first trajectory that was offered it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from alpha_umi.contract.roles import ToolModel, WireModel
from alpha_umi.contract.trajectories import Strategy, Trajectory, as_trajectory, differing_fields
from alpha_umi.roles.turns import Role, Tool
from alpha_umi.trajectory import Event, IllegalEvent, State, Transition, transitions
from evaluation.files.jsonl import (
    ANOTHER_FILE,
    OtherRun,
    ResumableJsonl,
    json_lines,
    parse_header_and_records,
    require_version,
    resume_jsonl,
)
from evaluation.files.step_run import Count, Name
from evaluation.metrics.trajectory import Measured
from evaluation.offered_tools import ToolLines, ToolRecord, require_lines
from evaluation.quantities import pluralize
from evaluation.whole import Judge, measure
from recordings.errors import NotTheFormat, some
from recordings.formats import gsm8k
from recordings.formats import math as math_answers
from recordings.reading import not_the_format, read_text, refuse_duplicates
from recordings.trajectory import RecordedTrajectory

# How an answer is held against the expected one: by its last number, as a formula, or as the same text.
Comparing = Literal["last-number", "formula", "text"]
_JUDGES: Final[Mapping[Comparing, Judge | None]] = {
    "last-number": gsm8k.is_right,
    "formula": math_answers.is_right,
    "text": None,
}
# Lines of the other file that is kept in this way (`run_file`).
STEP_KINDS = ("run", "case", "prediction")
STEP_REMEDY = (
    "give a file of `alpha-umi evaluate trajectories`, which needs one of its own; `alpha-umi evaluate score` without "
    "--format reads steps"
)


VERSION: Final = 2
_SEARCH_LIMITS: Final = frozenset({"max_depth", "max_width"})


class ToolServerRecord(WireModel):
    """How a server of ToolBench's tools was asked: how it strips answers, and where they are cut."""

    strip: Name
    max_characters: Count


class WholeRunRecord(WireModel):
    """What ran: the suite, how many of its trajectories, and the steps and tokens after which an answer was demanded.

    `max_repeats` is how often the same call might bring the same result before a trajectory was ended; null, like the
    other limits, for the orchestrator's setting. `constrained`: the roles wrote inside grammars; null where the
    orchestrator did not say, as earlier files do not.
    `compared` says how an answer is held against the expected one. `models` is empty where the orchestrator's role
    services could not be asked for them. `excluded` counts what of the suite cannot be a trajectory, by the
    reason; earlier files do not say. `tool_server` is there where one answered.
    """

    kind: Literal["whole-run"] = "whole-run"
    version: Literal[2] = 2
    suite: Name
    trajectories: Count
    max_steps: int | None = None
    max_tokens: int | None = None
    max_repeats: int | None = None
    strategy: Strategy = "chain"
    constrained: bool | None = None
    compared: Comparing = "text"
    models: dict[Role, dict[str, Any]] = Field(default_factory=dict)
    excluded: dict[str, Count] = Field(default_factory=dict)
    tool_server: ToolServerRecord | None = None


class AskedRecord(WireModel):
    """The trajectory of a recorded instruction; `expected` is its answer where that can be compared.

    `id`, the times and `metadata` are those of the orchestrator; `events` are those of its stream, with the ends of all
    turns. `trajectory` follows from them. `offered` are the numbers of the tools that the models saw, in order.
    """

    kind: Literal["asked"] = "asked"
    recorded: Name
    expected: str | None = None
    offered: list[Count] | None = None
    id: str
    created_at: datetime
    finished_at: datetime | None
    metadata: dict[str, str] = Field(default_factory=dict)
    events: tuple[Annotated[Event, Field(discriminator="type")], ...]
    _transitions: tuple[Transition, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _replay(self) -> Self:
        try:
            self._transitions = tuple(transitions(self.events))
        except IllegalEvent as error:
            raise ValueError(str(error)) from error
        return self

    @classmethod
    def of(cls, trajectory: Trajectory, events: Sequence[Event], recorded: str, expected: str | None) -> AskedRecord:
        """The record of a trajectory. Raises `ValueError` for events that do not lead to it."""
        record = cls(
            recorded=recorded,
            expected=expected,
            id=trajectory.id,
            created_at=trajectory.created_at,
            finished_at=trajectory.finished_at,
            metadata=trajectory.metadata,
            events=tuple(events),
        )
        if different := differing_fields(trajectory, record.state):
            raise ValueError(f"its events lead to other {', '.join(different)} than it has")
        return record

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """The events with the states around them."""
        return self._transitions

    @property
    def state(self) -> State:
        """The state that the events lead to."""
        return self._transitions[-1].after if self._transitions else State()

    @cached_property
    def trajectory(self) -> Trajectory:
        """The trajectory as the orchestrator shows it."""
        return as_trajectory(
            self.id,
            self.state,
            created_at=self.created_at,
            finished_at=self.finished_at,
            metadata=self.metadata,
        )


@dataclass(frozen=True)
class WholeRun:
    """A whole file."""

    about: WholeRunRecord
    asked: tuple[AskedRecord, ...]
    tools: Mapping[int, ToolRecord] = field(default_factory=dict)

    def offered(self, record: AskedRecord) -> tuple[Tool, ...] | None:
        """The tools of a trajectory as its models were shown them; None where the file does not tell them."""
        return None if record.offered is None else tuple(self.tools[number].as_tool() for number in record.offered)

    def measured(self) -> list[Measured]:
        """Every trajectory, measured."""
        judge = _JUDGES[self.about.compared]
        return [measure(record.trajectory, expected=record.expected, judge=judge) for record in self.asked]

    def limit_values(self, name: str) -> list[str]:
        """Every value that a limit had in these trajectories; none for a limit of a search in other strategies."""
        if name in _SEARCH_LIMITS and self.about.strategy != "dfsdt":
            return []
        return sorted({repr(getattr(record.state.limits, name)) for record in self.asked})


class GrowingWholeRun:
    """An open file. `asked` are the trajectories that it had when it was opened."""

    def __init__(self, lines: ResumableJsonl[WholeRun]) -> None:
        self.path = lines.path
        self.asked = () if lines.existing is None else lines.existing.asked
        self._lines = lines
        self._tools = ToolLines({} if lines.existing is None else lines.existing.tools)

    def append(self, record: AskedRecord, tools: Mapping[str, ToolModel]) -> AskedRecord:
        """Write a line, after those of its tools that have none yet; the record as it was written.

        `tools` are what the orchestrator has, by name. Raises `FileUnwritable`.
        """
        names = record.trajectory.tools
        if all(name in tools for name in names):
            numbers, new = self._tools.take_in([tools[name] for name in names])
            for tool in new:
                self._lines.append(_line(tool))
            record = record.model_copy(update={"offered": numbers})
        self._lines.append(_line(record))
        return record


# Called with each line that is written.
OnAsked = Callable[[AskedRecord], None]
WholeLine = WholeRunRecord | ToolRecord | AskedRecord
_RECORD: TypeAdapter[WholeLine] = TypeAdapter(Annotated[WholeLine, Field(discriminator="kind")])


def read_whole_run(path: Path) -> WholeRun:
    """Read a file. Raises `EvaluationError`."""
    return _parse(read_text(path), path)


@contextlib.contextmanager
def growing_whole_run(
    path: Path, about: WholeRunRecord, recorded: Sequence[RecordedTrajectory]
) -> Iterator[GrowingWholeRun]:
    """Begin the file of a run, or take up the one that is there; it is ours until the block ends.

    Raises `OtherRun` for a file of another run, what `growing_lines` raises, and what `read_whole_run` raises for a
    file that is no run, or damaged in its middle. Such a file stays as it was.
    """
    with resume_jsonl(path, _line(about), lambda text: _same(path, _parse(text, path), about, recorded)) as lines:
        yield GrowingWholeRun(lines)


def _same(path: Path, there: WholeRun, about: WholeRunRecord, recorded: Sequence[RecordedTrajectory]) -> WholeRun:
    kept = (
        "suite",
        "trajectories",
        "max_steps",
        "max_tokens",
        "max_repeats",
        "strategy",
        "constrained",
        "compared",
        "tool_server",
    )
    for name in kept:
        old, wanted = getattr(there.about, name), getattr(about, name)
        # Earlier files do not say whether inside grammars.
        if old != wanted and not (name == "constrained" and None in (old, wanted)):
            raise OtherRun(
                f"{path} is another run: its `{name}` is {old!r}, and now it would be {wanted!r}", remedy=ANOTHER_FILE
            )
    if there.about.models != about.models:
        raise OtherRun(f"{path} is another run: it has other `models` than there are now", remedy=ANOTHER_FILE)
    known = {trajectory.id for trajectory in recorded}
    unknown = [record.recorded for record in there.asked if record.recorded not in known]
    if unknown:
        raise OtherRun(f"{path} has trajectories that the suite has not: {some(unknown)}", remedy=ANOTHER_FILE)
    return there


def _parse(text: str, path: Path) -> WholeRun:
    records = list(_records(text, path))
    tools = [record for record in records if isinstance(record, ToolRecord)]
    lines = [record for record in records if not isinstance(record, ToolRecord)]
    about, kept = parse_header_and_records(
        lines, WholeRunRecord, AskedRecord, path, kind="whole-run", empty="ask first"
    )
    refuse_duplicates([record.recorded for record in kept], f"{path}: trajectories")
    require_lines(tools, {record.recorded: record.offered or () for record in kept}, path)
    if len(kept) > about.trajectories:
        raise NotTheFormat(
            f"{path} has {pluralize(len(kept), 'trajectory')}, its first line says {about.trajectories:,}",
            remedy="measure them anew",
        )
    return WholeRun(about, kept, {tool.id: tool for tool in tools})


def _records(text: str, path: Path) -> Iterator[WholeLine]:
    for place, line, value in json_lines(text, path, "asked"):
        if isinstance(value, dict) and value.get("kind") in STEP_KINDS:
            raise NotTheFormat(f"{path} is a file of predictions for steps", remedy=STEP_REMEDY)
        require_version(value, place, VERSION)
        try:
            # From the text, because a time is text in JSON only.
            yield _RECORD.validate_json(line)
        except ValidationError as error:
            raise not_the_format(place, error) from error


def _line(record: WholeLine) -> str:
    return record.model_dump_json() + "\n"

"""The file of a trajectory run: JSON Lines with a header (`trajectory-run`), every `tool`, and each `trajectory`.

The file can be resumed: a trajectory that has a line does not run again. Its line has its events, from which everything
else is derived, so it can be measured again without the orchestrator. A tool's line precedes the first trajectory that
was offered it (`files.offered_tools`).
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
from alpha_umi.quantities import pluralize
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
from evaluation.files.offered_tools import ToolRecord, ToolTable, require_lines
from evaluation.files.step_run import Count, Name
from evaluation.metrics.trajectory import Judge, Measured, measure
from recordings.errors import NotTheFormat, some
from recordings.formats import gsm8k
from recordings.formats import math as math_answers
from recordings.reading import not_the_format, read_text, refuse_duplicates
from recordings.trajectory import RecordedTrajectory

# How an answer is compared with the expected one: by its last number, as a formula, or as equal text.
Comparing = Literal["last-number", "formula", "text"]
_JUDGES: Final[Mapping[Comparing, Judge | None]] = {
    "last-number": gsm8k.is_right,
    "formula": math_answers.is_right,
    "text": None,
}
# Record kinds of a step run (`files.step_run`).
STEP_KINDS = ("run", "case", "prediction")
STEP_REMEDY = (
    "give a file of `alpha-umi evaluate trajectories`, which needs one of its own; `alpha-umi evaluate score` without "
    "--format reads steps"
)


VERSION: Final = 2
_SEARCH_LIMITS: Final = frozenset({"max_depth", "max_width"})


class ToolServerRecord(WireModel):
    """Settings of a server of ToolBench's tools: how answers are stripped, and at how many characters they are cut."""

    strip: Name
    max_characters: Count


class TrajectoryRunRecord(WireModel):
    """The header record: the suite, the number of its trajectories that run, and the settings.

    A limit (`max_steps`, `max_tokens`, `max_repeats`) is null where the orchestrator's setting applied. `constrained`:
    the roles wrote inside grammars; null where the orchestrator did not report it. `compared`: how answers are
    compared with the expected ones. `models` is empty where the role services were not reachable. `excluded` counts the
    suite's entries that cannot be a trajectory, by reason. `tool_server`: the server of ToolBench's tools, if any.
    """

    kind: Literal["trajectory-run"] = "trajectory-run"
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


class TrajectoryRecord(WireModel):
    """The trajectory of a recorded instruction (`recorded`); `expected` is its answer where that can be compared.

    `id`, the times and `metadata` are the orchestrator's. `events` are those of its stream; `trajectory` is derived
    from them. `offered` are the ids of the tools that the models saw, in order; null where they are not known.
    """

    kind: Literal["trajectory"] = "trajectory"
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
    def of(cls, trajectory: Trajectory, events: Sequence[Event], recorded: str, expected: str | None) -> Self:
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
class TrajectoryRun:
    """A file that was read."""

    about: TrajectoryRunRecord
    records: tuple[TrajectoryRecord, ...]
    tools: Mapping[int, ToolRecord] = field(default_factory=dict)

    def offered(self, record: TrajectoryRecord) -> tuple[Tool, ...] | None:
        """The tools of a trajectory as the models saw them; None where the file does not have them."""
        return None if record.offered is None else tuple(self.tools[number].as_tool() for number in record.offered)

    def measured(self) -> list[Measured]:
        """Every trajectory, measured."""
        judge = _JUDGES[self.about.compared]
        return [measure(record.trajectory, expected=record.expected, judge=judge) for record in self.records]

    def limit_values(self, name: str) -> list[str]:
        """Every value that a limit had in these trajectories; none for a limit of a search in other strategies."""
        if name in _SEARCH_LIMITS and self.about.strategy != "dfsdt":
            return []
        return sorted({repr(getattr(record.state.limits, name)) for record in self.records})


class ResumableTrajectoryRun:
    """An open file. `records` are the trajectories that it had when it was opened."""

    def __init__(self, lines: ResumableJsonl[TrajectoryRun]) -> None:
        self.path = lines.path
        self.records = () if lines.existing is None else lines.existing.records
        self._lines = lines
        self._tools = ToolTable({} if lines.existing is None else lines.existing.tools)

    def append(self, record: TrajectoryRecord, tools: Mapping[str, ToolModel]) -> TrajectoryRecord:
        """Write a record after the tools that have no line yet; returns it with the ids of its tools.

        `tools` are the orchestrator's, by name. Raises `FileUnwritable`.
        """
        names = record.trajectory.tools
        if all(name in tools for name in names):
            numbers, new = self._tools.intern([tools[name] for name in names])
            for tool in new:
                self._lines.append(_line(tool))
            record = record.model_copy(update={"offered": numbers})
        self._lines.append(_line(record))
        return record


# Called with each record that is written.
OnRecord = Callable[[TrajectoryRecord], None]
TrajectoryLine = TrajectoryRunRecord | ToolRecord | TrajectoryRecord
_RECORD: TypeAdapter[TrajectoryLine] = TypeAdapter(Annotated[TrajectoryLine, Field(discriminator="kind")])


def read_trajectory_run(path: Path) -> TrajectoryRun:
    """Read a file. Raises `EvaluationError`."""
    return _parse(read_text(path), path)


@contextlib.contextmanager
def resume_trajectory_run(
    path: Path, about: TrajectoryRunRecord, recorded: Sequence[RecordedTrajectory]
) -> Iterator[ResumableTrajectoryRun]:
    """Begin the file of a run, or resume an existing one. The file is locked until the block ends.

    Raises `OtherRun` for a file of another run, and what `resume_jsonl` and `read_trajectory_run` raise. The file is
    not changed then.
    """
    with resume_jsonl(
        path, _line(about), lambda text: _require_same_run(path, _parse(text, path), about, recorded)
    ) as lines:
        yield ResumableTrajectoryRun(lines)


def _require_same_run(
    path: Path, existing: TrajectoryRun, about: TrajectoryRunRecord, recorded: Sequence[RecordedTrajectory]
) -> TrajectoryRun:
    settings = (
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
    for name in settings:
        old, new = getattr(existing.about, name), getattr(about, name)
        # An orchestrator that is not reachable does not report `constrained`.
        if old != new and not (name == "constrained" and None in (old, new)):
            raise OtherRun(
                f"{path} is another run: its `{name}` is {old!r}, and now it would be {new!r}", remedy=ANOTHER_FILE
            )
    if existing.about.models != about.models:
        raise OtherRun(f"{path} is another run: it has other `models` than there are now", remedy=ANOTHER_FILE)
    known = {trajectory.id for trajectory in recorded}
    unknown = [record.recorded for record in existing.records if record.recorded not in known]
    if unknown:
        raise OtherRun(f"{path} has trajectories that are not in the suite: {some(unknown)}", remedy=ANOTHER_FILE)
    return existing


def _parse(text: str, path: Path) -> TrajectoryRun:
    records = list(_records(text, path))
    tools = [record for record in records if isinstance(record, ToolRecord)]
    lines = [record for record in records if not isinstance(record, ToolRecord)]
    about, trajectories = parse_header_and_records(
        lines, TrajectoryRunRecord, TrajectoryRecord, path, kind="trajectory-run", empty="ask first"
    )
    refuse_duplicates([record.recorded for record in trajectories], f"{path}: trajectories")
    require_lines(tools, {record.recorded: record.offered or () for record in trajectories}, path)
    if len(trajectories) > about.trajectories:
        raise NotTheFormat(
            f"{path} has {pluralize(len(trajectories), 'trajectory')}, its header has {about.trajectories:,}",
            remedy="measure them anew",
        )
    return TrajectoryRun(about, trajectories, {tool.id: tool for tool in tools})


def _records(text: str, path: Path) -> Iterator[TrajectoryLine]:
    for place, line, value in json_lines(text, path, "trajectory"):
        if isinstance(value, dict) and value.get("kind") in STEP_KINDS:
            raise NotTheFormat(f"{path} is a file of predictions for steps", remedy=STEP_REMEDY)
        require_version(value, place, VERSION)
        try:
            # From the text, because a time is text in JSON only.
            yield _RECORD.validate_json(line)
        except ValidationError as error:
            raise not_the_format(place, error) from error


def _line(record: TrajectoryLine) -> str:
    return record.model_dump_json() + "\n"

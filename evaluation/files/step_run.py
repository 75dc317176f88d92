"""The file of a step run: JSON Lines with a header (`run`), every case (`case`), and each prediction (`prediction`).

The header and the cases come first, so that a killed run can resume, and its cases without predictions count as
missing. Scores are computed from the raw texts; `parsed` records how they were parsed at the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator

from alpha_umi.client.errors import INVALID_RESPONSE
from alpha_umi.contract.roles import ToolModel, TurnModel, WireModel, as_history, as_tools
from alpha_umi.roles.caller import Call, parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role
from evaluation.errors import NoReference
from evaluation.files.jsonl import ANOTHER_FILE, OtherRun, ResumableJsonl, json_lines, require_version, resume_jsonl
from evaluation.files.outputs import Prediction, RoleText, read_prediction
from evaluation.files.published import Pair, pair
from recordings.cases import Reference, StepCase
from recordings.contamination import instruction_digest
from recordings.errors import FORMAT_REMEDY, CutShort, EmptySuite, NotTheFormat, some
from recordings.reading import not_the_format, read_text, refuse_duplicates

Name = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class CallRecord(WireModel):
    """A call. `arguments` is the JSON object exactly as it was written."""

    name: Name
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _an_object(cls, arguments: str) -> str:
        try:
            _call("any", arguments)
        except UnreadableOutput as error:
            raise ValueError(f"it is not the text of a JSON object: {error}") from error
        return arguments

    @classmethod
    def of(cls, call: Call) -> Self:
        """The record of a call."""
        return cls(name=call.name, arguments=call.arguments_text)

    def as_call(self) -> Call:
        """The call in the roles' form."""
        read = _call("any", self.arguments)
        return Call(self.name, read.arguments, read.arguments_text)


class ReferenceRecord(WireModel):
    """The reference of a step."""

    decision: Decision
    rationale: str
    call: CallRecord | None = None
    answer: str | None = None


class CaseRecord(WireModel):
    """A step to predict. `instruction_sha256` is the digest by which training excludes its instruction."""

    kind: Literal["case"] = "case"
    id: Name
    trajectory: Name
    step: Annotated[int, Field(ge=1)]
    instruction_sha256: Digest
    tools: list[ToolModel]
    history: list[TurnModel]
    reference: ReferenceRecord

    @classmethod
    def of(cls, case: StepCase) -> Self:
        """The record of a case."""
        return cls(
            id=case.id,
            trajectory=case.trajectory,
            step=case.step,
            instruction_sha256=instruction_digest(case.instruction),
            tools=[
                ToolModel(name=tool.name, description=tool.description, parameters=dict(tool.parameters))
                for tool in case.tools
            ],
            history=[TurnModel(role=turn.role, content=turn.content) for turn in case.history],
            reference=_reference_record(case.reference),
        )

    def as_case(self) -> StepCase:
        """The case of the record."""
        reference = Reference(
            self.reference.decision,
            self.reference.rationale,
            self.reference.call.as_call() if self.reference.call else None,
            self.reference.answer,
        )
        return StepCase(self.id, self.trajectory, self.step, as_tools(self.tools), as_history(self.history), reference)


class OutputRecord(WireModel):
    """The output of one role: its raw text, the digest of the exact prompt, tokens and milliseconds."""

    role: Role
    prompt_sha256: Digest
    text: str
    prompt_tokens: Count
    completion_tokens: Count
    cached_tokens: Count = 0
    ttft_ms: Annotated[float, Field(ge=0)] = 0
    total_ms: Annotated[float, Field(ge=0)]
    attempts: Annotated[int, Field(ge=1)] = 1
    truncated: bool = False


class ParsedRecord(WireModel):
    """The parsed texts. `unreadable` is the reason why a part is missing."""

    decision: Decision | None = None
    rationale: str = ""
    call: CallRecord | None = None
    answer: str | None = None
    unreadable: str | None = None


class ErrorRecord(WireModel):
    """Why a role has no output: the last part of the problem's type, the HTTP status if any, and a message."""

    role: Role
    problem: Name
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    detail: str

    @property
    def may_pass(self) -> bool:
        """Whether the service failed, not the request: then a retry may succeed."""
        return self.status is not None and (self.status >= 500 or self.problem == INVALID_RESPONSE)


class PredictionRecord(WireModel):
    """The outputs of a case. With an `error` the output of that role is missing, possibly all are."""

    kind: Literal["prediction"] = "prediction"
    id: Name
    error: ErrorRecord | None = None
    outputs: list[OutputRecord]
    parsed: ParsedRecord

    @field_validator("outputs")
    @classmethod
    def _something(cls, outputs: list[OutputRecord], info: ValidationInfo) -> list[OutputRecord]:
        if not outputs and info.data.get("error") is None:
            raise ValueError("there is neither an output nor an error")
        return outputs

    @field_validator("outputs")
    @classmethod
    def _a_role_once(cls, outputs: list[OutputRecord]) -> list[OutputRecord]:
        roles = [output.role for output in outputs]
        if len(set(roles)) < len(roles):
            raise ValueError("a role is listed twice; a step has one output of each")
        return outputs

    @classmethod
    def of(cls, case_id: str, outputs: Iterable[OutputRecord], error: ErrorRecord | None = None) -> Self:
        """The record of a case's outputs, with their parsed form."""
        retained = list(outputs)
        read = _read(retained)
        parsed = ParsedRecord(
            decision=read.decision,
            rationale=read.rationale,
            call=CallRecord.of(read.call) if read.call else None,
            answer=read.answer,
            unreadable=read.unreadable,
        )
        return cls(id=case_id, error=error, outputs=retained, parsed=parsed)

    def as_prediction(self) -> Prediction | None:
        """The prediction, parsed from the raw texts; None without outputs."""
        return _read(self.outputs) if self.outputs else None


VERSION: Final = 1


class RunRecord(WireModel):
    """The header record: the suite with its number of cases, the settings, and the manifest of each role's model.

    `attempts` is the maximum number of outputs until one can be used. `excluded` counts the cases of the full suite
    that cannot be measured, by reason; earlier files lack it.
    """

    kind: Literal["run"] = "run"
    version: Literal[1] = 1
    suite: Name
    cases: Count
    constrained: bool
    attempts: Annotated[int, Field(ge=1)] = 2
    template: Name
    models: dict[Role, dict[str, Any]]
    # Files of earlier versions have `excluded`.
    excluded: dict[str, Count] = Field(default_factory=dict, validation_alias=AliasChoices("excluded", "left_out"))


Record = RunRecord | CaseRecord | PredictionRecord


def _read(outputs: Iterable[OutputRecord]) -> Prediction:
    return read_prediction([RoleText(output.role, output.text) for output in outputs])


def _reference_record(reference: Reference) -> ReferenceRecord:
    return ReferenceRecord(
        decision=reference.decision,
        rationale=reference.rationale,
        call=CallRecord.of(reference.call) if reference.call else None,
        answer=reference.answer,
    )


def _call(name: str, arguments: str) -> Call:
    return parse_call(f"Action: {name}\nAction Input: {arguments}")


# Record kinds of trajectory files: of this version, and of version 1, which is refused with its own remedy.
TRAJECTORY_KINDS = ("trajectory-run", "tool", "trajectory", *"whole-run asked".split())  # noqa: SIM905
TRAJECTORY_REMEDY = "score it with --format trajectories; predictions need a file of their own"
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


@dataclass(frozen=True)
class Run:
    """A complete file. For a case that was retried after a failure of a service, the last prediction counts."""

    about: RunRecord
    cases: tuple[CaseRecord, ...]
    predictions: tuple[PredictionRecord, ...]

    def pairs(self) -> list[Pair]:
        """Every case, in order, with its prediction."""
        by_id = {prediction.id: prediction.as_prediction() for prediction in self.predictions}
        return [pair(case.as_case(), by_id.get(case.id)) for case in self.cases]


def read_run(path: Path) -> Run:
    """Read the file of a run. Raises `EvaluationError` for another or an inconsistent file."""
    return parse_run(read_text(path), path)


def parse_run(text: str, path: Path) -> Run:
    """Read the text of a run, which came from `path`. Raises `EvaluationError` as `read_run` does."""
    records = list(_records(text, path))
    if not records:
        raise EmptySuite(f"{path} is empty", remedy="generate it first")
    if not isinstance(records[0], RunRecord):
        raise NotTheFormat(f"{path} does not begin with a `run` line", remedy=FORMAT_REMEDY)
    if sum(isinstance(record, RunRecord) for record in records) > 1:
        raise NotTheFormat(f"{path} has a second `run` line", remedy="keep each run in a file of its own")
    predictions = [record for record in records if isinstance(record, PredictionRecord)]
    run = Run(
        records[0],
        tuple(record for record in records if isinstance(record, CaseRecord)),
        tuple(_last_of_each(predictions, path)),
    )
    _check_ids(path, run)
    return run


def write_run(path: Path, run: Run) -> None:
    """Write a complete file."""
    records: tuple[Record, ...] = (run.about, *run.cases, *run.predictions)
    path.write_text("".join(map(record_line, records)), encoding="utf-8")


def record_line(record: Record) -> str:
    """A record as its line, with the line end."""
    return record.model_dump_json() + "\n"


def _records(text: str, path: Path) -> Iterator[Record]:
    if text.lstrip().startswith("["):
        raise NotTheFormat(f"{path} is a list, not lines of records", remedy="is it --format published?")
    for place, _, value in json_lines(text, path, "prediction"):
        if isinstance(value, dict) and value.get("kind") in TRAJECTORY_KINDS:
            raise NotTheFormat(f"{path} is a file of trajectories", remedy=TRAJECTORY_REMEDY)
        require_version(value, place, VERSION)
        try:
            yield _RECORD.validate_python(value)
        except ValidationError as error:
            raise not_the_format(place, error) from error


def _last_of_each(predictions: Sequence[PredictionRecord], path: Path) -> Iterable[PredictionRecord]:
    """A second prediction is valid only after one that a service's failure made incomplete."""
    retained: dict[str, PredictionRecord] = {}
    again = []
    for prediction in predictions:
        there = retained.pop(prediction.id, None)
        if there is not None and not (there.error and there.error.may_pass):
            again.append(prediction.id)
        retained[prediction.id] = prediction
    refuse_duplicates([*retained, *again], f"{path}: predictions")
    return retained.values()


def _check_ids(path: Path, run: Run) -> None:
    cases = [case.id for case in run.cases]
    predictions = [prediction.id for prediction in run.predictions]
    refuse_duplicates(cases, f"{path}: cases")
    if len(cases) != run.about.cases:
        raise CutShort(
            f"{path} has {len(cases):,} cases, its header has {run.about.cases:,}", remedy="generate the file again"
        )
    known = set(cases)
    orphans = [name for name in predictions if name not in known]
    if orphans:
        raise NoReference(
            f"{path}: no case for the prediction {some(orphans)}", remedy="add its case, with the reference, or drop it"
        )


class ResumableStepRun:
    """An open file of a run. `predictions` are those that it had when it was opened."""

    def __init__(self, lines: ResumableJsonl[Run]) -> None:
        self.path = lines.path
        self.predictions = () if lines.existing is None else lines.existing.predictions
        self._lines = lines

    def append(self, prediction: PredictionRecord) -> None:
        """Write a line. Raises `FileUnwritable`."""
        self._lines.append(record_line(prediction))


@contextlib.contextmanager
def resume_step_run(path: Path, about: RunRecord, cases: Sequence[CaseRecord]) -> Iterator[ResumableStepRun]:
    """Create the file of a run, or resume the existing one; it is locked until the block ends.

    Raises `OtherRun` for a file of another suite, model or setting, what `resume_jsonl` raises, and what `read_run`
    raises for a file that is not a run, or is damaged. The file is then not changed.
    """
    head = "".join([record_line(about), *map(record_line, cases)])
    with resume_jsonl(path, head, lambda text: _same(path, parse_run(text, path), about, tuple(cases))) as lines:
        yield ResumableStepRun(lines)


def _same(path: Path, there: Run, about: RunRecord, cases: tuple[CaseRecord, ...]) -> Run:
    for field in ("suite", "cases", "constrained", "attempts", "template", "models"):
        old, wanted = getattr(there.about, field), getattr(about, field)
        if old != wanted:
            raise OtherRun(f"{path} is another run: its `{field}` {_difference(old, wanted)}", remedy=ANOTHER_FILE)
    if there.cases != cases:
        raise OtherRun(f"{path} has other cases than the suite now", remedy=ANOTHER_FILE)
    return there


def _difference(old: object, wanted: object) -> str:
    """The difference; for models only the fields that differ."""
    if not isinstance(old, dict) or not isinstance(wanted, dict):
        return f"is {old!r}, and now it would be {wanted!r}"
    differing = next(name for name in (*old, *wanted) if old.get(name) != wanted.get(name))
    return f"has another {differing!r} than there is now"

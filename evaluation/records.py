"""The lines of a run's file: what ran, the cases, and the predictions with everything a score is made of.

Scores are read from the raw texts; `parsed` shows how they were read when they were written. `run_file` puts the lines
together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, Field, ValidationInfo, field_validator

from alpha_umi.client.errors import INVALID_RESPONSE
from alpha_umi.contract.roles import ToolModel, TurnModel, WireModel, as_history, as_tools
from alpha_umi.roles.caller import Call, parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role
from evaluation.outputs import Prediction, RoleText, read_prediction
from recordings.cases import Reference, StepCase
from recordings.contamination import instruction_digest

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
            raise ValueError(f"it is no JSON object as text: {error}") from error
        return arguments

    @classmethod
    def of(cls, call: Call) -> Self:
        """The record of a call."""
        return cls(name=call.name, arguments=call.arguments_text)

    def as_call(self) -> Call:
        """The call as the roles know it."""
        read = _call("any", self.arguments)
        return Call(self.name, read.arguments, read.arguments_text)


class ReferenceRecord(WireModel):
    """What is right at a step."""

    decision: Decision
    rationale: str
    call: CallRecord | None = None
    answer: str | None = None


class CaseRecord(WireModel):
    """A step to predict. `instruction_sha256` is the digest by which training leaves its instruction out."""

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
        """The case as it was."""
        reference = Reference(
            self.reference.decision,
            self.reference.rationale,
            self.reference.call.as_call() if self.reference.call else None,
            self.reference.answer,
        )
        return StepCase(self.id, self.trajectory, self.step, as_tools(self.tools), as_history(self.history), reference)


class OutputRecord(WireModel):
    """What one role wrote: its raw text, the digest of the exact prompt, tokens and milliseconds."""

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
    """How the raw texts were read. `unreadable` says why something is missing."""

    decision: Decision | None = None
    rationale: str = ""
    call: CallRecord | None = None
    answer: str | None = None
    unreadable: str | None = None


class ErrorRecord(WireModel):
    """Why a role wrote nothing: the last part of the problem's type, the HTTP status if there was one, and words."""

    role: Role
    problem: Name
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    detail: str

    @property
    def may_pass(self) -> bool:
        """Whether the service failed, not the request: then the same request may be answered another time."""
        return self.status is not None and (self.status >= 500 or self.problem == INVALID_RESPONSE)


class PredictionRecord(WireModel):
    """What was written for a case. With an `error` the output of that role is missing, and maybe every one."""

    kind: Literal["prediction"] = "prediction"
    id: Name
    error: ErrorRecord | None = None
    outputs: list[OutputRecord]
    parsed: ParsedRecord

    @field_validator("outputs")
    @classmethod
    def _something(cls, outputs: list[OutputRecord], info: ValidationInfo) -> list[OutputRecord]:
        if not outputs and info.data.get("error") is None:
            raise ValueError("there is no output, and no error that says why")
        return outputs

    @field_validator("outputs")
    @classmethod
    def _a_role_once(cls, outputs: list[OutputRecord]) -> list[OutputRecord]:
        roles = [output.role for output in outputs]
        if len(set(roles)) < len(roles):
            raise ValueError("a role stands twice; a step has one output of each")
        return outputs

    @classmethod
    def of(cls, case_id: str, outputs: Iterable[OutputRecord], error: ErrorRecord | None = None) -> Self:
        """The record of a case's outputs, with their reading."""
        kept = list(outputs)
        read = _read(kept)
        parsed = ParsedRecord(
            decision=read.decision,
            rationale=read.rationale,
            call=CallRecord.of(read.call) if read.call else None,
            answer=read.answer,
            unreadable=read.unreadable,
        )
        return cls(id=case_id, error=error, outputs=kept, parsed=parsed)

    def as_prediction(self) -> Prediction | None:
        """The prediction, read from the raw texts; None where nothing was written."""
        return _read(self.outputs) if self.outputs else None


VERSION: Final = 1


class RunRecord(WireModel):
    """What ran: the suite with its number of cases, how it was asked, and the manifest of each role's model.

    `attempts` is how often a model might write until its output could be used. `excluded` counts what of the whole
    suite cannot be measured, by the reason; earlier files do not say.
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

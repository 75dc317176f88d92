"""What role services answer: an output, an output that cannot be used, or a failure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from alpha_umi.contract.problems import Problem
from alpha_umi.contract.roles import RenderAnswer, RoleAnswer, Timings, UsageModel
from alpha_umi.roles.turns import RoleName
from evaluation.files.step_run import NOT_UNDERSTOOD, ErrorRecord

Answer = TypeVar("Answer", bound=RoleAnswer)
Body = TypeVar("Body", bound=BaseModel)

UNUSABLE: Final = ("output-unreadable", "call-invalid")


class RoleFailed(Exception):
    """A role has no output for a request."""

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record.detail)
        self.record = record


@dataclass(frozen=True)
class Told(Generic[Answer]):
    """What a role told: the answer, or (None) the `text` that its service could not use, and what either cost."""

    answer: Answer | None
    text: str
    usage: UsageModel
    timings: Timings
    truncated: bool
    prompt_sha256: str


class _UnusableOutput(BaseModel):
    """What the problem document of an output that could not be used tells of it."""

    text: str
    usage: UsageModel = UsageModel()
    timings: Timings = Timings()


def read_told(role: RoleName, wrote: httpx.Response, rendered: httpx.Response, answer: type[Answer]) -> Told[Answer]:
    """What a role told, and the digest of the prompt that was rendered for it. Raises `RoleFailed`."""
    shown = _read(role, rendered, RenderAnswer)
    digest = hashlib.sha256(shown.prompt.encode("utf-8", "surrogatepass")).hexdigest()
    if problem_kind(wrote) in UNUSABLE:
        unusable = _parsed(role, wrote, _UnusableOutput)
        return Told(None, unusable.text, unusable.usage, unusable.timings, shown.truncated, digest)
    read = _read(role, wrote, answer)
    return Told(read, "", read.usage, read.timings, read.truncated, digest)


def problem_kind(response: httpx.Response) -> str:
    """The kind of the problem document; empty where there is none."""
    problem = _problem(response)
    return "" if problem is None else problem.kind


def reason_of(response: httpx.Response) -> str:
    """Why there is no answer."""
    problem = _problem(response)
    return f"status {response.status_code}" if problem is None else problem.detail


def _read(role: RoleName, response: httpx.Response, form: type[Body]) -> Body:
    """The answer. Raises `RoleFailed` for anything else."""
    if not response.is_success:
        kind = problem_kind(response) or "no-problem-document"
        raise _failed(role, kind, response.status_code, reason_of(response))
    return _parsed(role, response, form)


def _parsed(role: RoleName, response: httpx.Response, form: type[Body]) -> Body:
    try:
        return form.model_validate_json(response.content)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, wrong["loc"])) or "the body"
        detail = f"the answer cannot be read: {place}: {wrong['msg']}"
        raise _failed(role, NOT_UNDERSTOOD, response.status_code, detail) from error


def _failed(role: RoleName, problem: str, status: int, detail: str) -> RoleFailed:
    return RoleFailed(ErrorRecord(role=role, problem=problem, status=status, detail=detail))


def _problem(response: httpx.Response) -> Problem | None:
    if response.is_success:
        return None
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None

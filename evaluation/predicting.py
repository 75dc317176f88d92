"""What role models write at a step that is given with its history: the planner, then the role that it decides for.

With the strategy `single` it is the single model alone. After what cannot be read nobody is asked: that is a
prediction, too, and counted as one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from alpha_umi.contract.roles import (
    CallAnswer,
    CallRequest,
    PlanAnswer,
    PlanRequest,
    StepAnswer,
    StepRequest,
    SummarizeAnswer,
    SummarizeRequest,
    TurnModel,
)
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.backbone import BackboneStep
from alpha_umi.roles.turns import RoleName
from evaluation.files.step_run import CaseRecord, ErrorRecord, OutputRecord, PredictionRecord
from evaluation.role_responses import Answer, RoleFailed, Told
from evaluation.role_services import RoleServices

StepStrategy = Literal["chain", "single"]
Request = TypeVar("Request", bound=BaseModel)

ROLES_OF: dict[Strategy, tuple[RoleName, ...]] = {
    "chain": ("planner", "caller", "summarizer"),
    "dfsdt": ("planner", "caller", "summarizer"),
    "single": ("backbone",),
}


def attempts_of(*, constrained: bool) -> int:
    """How often a model may write: inside grammars as it is served, with a repair; free as in the paper, once."""
    return 2 if constrained else 1


@dataclass(frozen=True)
class Predictor:
    """Asks the services. `constrained: false` leaves the models on their own, as in the paper."""

    services: RoleServices
    strategy: StepStrategy = "chain"
    constrained: bool = True

    async def predict(self, case: CaseRecord) -> PredictionRecord:
        """The prediction for a case; a role that has no output is an error in it.

        Raises `ServiceAway` and `ServiceRefuses`, which are not the case's fault.
        """
        outputs: list[OutputRecord] = []
        try:
            async for output in self._single(case) if self.strategy == "single" else self._chain(case):
                outputs.append(output)
        except RoleFailed as failed:
            return PredictionRecord.of(case.id, outputs, failed.record)
        return PredictionRecord.of(case.id, outputs)

    async def _chain(self, case: CaseRecord) -> AsyncIterator[OutputRecord]:
        asked = self._asked(case)
        plan = await self._ask(case, "planner", _request("planner", PlanRequest, asked), PlanAnswer)
        yield _output("planner", plan, plan.answer.text if plan.answer else plan.text)
        if plan.answer is None:
            return
        history = [*case.history, TurnModel(role="planner", content=plan.answer.text)]
        if plan.answer.next == "caller":
            request = _request("caller", CallRequest, {**asked, "history": history})
            call = await self._ask(case, "caller", request, CallAnswer)
            yield _output("caller", call, call.answer.text if call.answer else call.text)
        elif plan.answer.next == "conclusion":
            wanted = {"history": history, "attempts": asked["attempts"]}
            told = _request("summarizer", SummarizeRequest, wanted)
            summary = await self._ask(case, "summarizer", told, SummarizeAnswer)
            yield _output("summarizer", summary, summary.answer.answer if summary.answer else summary.text)

    async def _single(self, case: CaseRecord) -> AsyncIterator[OutputRecord]:
        step = await self._ask(case, "backbone", _request("backbone", StepRequest, self._asked(case)), StepAnswer)
        yield _output("backbone", step, _whole_text(step.answer) if step.answer else step.text)

    def _asked(self, case: CaseRecord) -> dict[str, object]:
        way = {"constrained": self.constrained, "attempts": attempts_of(constrained=self.constrained)}
        return {"tools": case.tools, "history": case.history, **way}

    async def _ask(self, case: CaseRecord, role: RoleName, request: BaseModel, answer: type[Answer]) -> Told[Answer]:
        # The steps of a trajectory begin alike, and a replica remembers what it has read.
        return await self.services.ask(role, request, answer, near=case.trajectory)


def _request(role: RoleName, form: type[Request], fields: dict[str, object]) -> Request:
    """Raises `RoleFailed` for a case that no service would take."""
    try:
        return form.model_validate(fields)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        detail = f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
        raise RoleFailed(ErrorRecord(role=role, problem="invalid-request", detail=detail)) from error


def _output(role: RoleName, told: Told[Answer], text: str) -> OutputRecord:
    return OutputRecord(
        role=role,
        prompt_sha256=told.prompt_sha256,
        text=text,
        prompt_tokens=told.usage.prompt_tokens,
        completion_tokens=told.usage.completion_tokens,
        cached_tokens=told.usage.cached_tokens,
        ttft_ms=told.timings.ttft_ms,
        total_ms=told.timings.total_ms,
        attempts=told.timings.attempts,
        truncated=told.truncated,
    )


def _whole_text(step: StepAnswer) -> str:
    """The single model's text, of which its service tells the parts."""
    lead = f"{step.thought}\n" if step.thought else ""
    # What is no usable call is told as it was written.
    return lead + step.text if step.next == "caller" else BackboneStep(lead, step.next, answer=step.answer).text

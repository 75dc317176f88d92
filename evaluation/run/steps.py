"""Predict the steps of a suite with the role services, and write the predictions to a file.

Each step is sent with its recorded history: first to the planner, then to the role of its decision; with the strategy
`single` only to the single model. After an output that cannot be parsed the prediction ends, and is scored as it is.
The file can be resumed: steps that have a line are not predicted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from alpha_umi.client.errors import RoleRequestFailed, Unavailable
from alpha_umi.client.roles import Answer, Request, RoleResponse, RoleServices
from alpha_umi.contract.roles import CALL, PLAN, STEP, SUMMARIZE, RoleSpec, StepAnswer, TurnModel
from alpha_umi.contract.validation import explain
from alpha_umi.roles.backbone import BackboneStep
from alpha_umi.roles.turns import Role
from evaluation.concurrency import run_concurrently
from evaluation.errors import RunInterrupted
from evaluation.files.step_run import (
    CaseRecord,
    ErrorRecord,
    OutputRecord,
    PredictionRecord,
    ResumableStepRun,
    RunRecord,
    resume_step_run,
)
from evaluation.run.models import fetch_models
from recordings.contamination import Finding
from recordings.errors import EmptySuite
from recordings.suites.definition import LOADERS_WITHOUT_STEPS
from recordings.suites.sample import sample_steps
from recordings.suites.suite import Suite

StepStrategy = Literal["chain", "single"]


@dataclass(frozen=True)
class Task:
    """The steps to predict, and the models. `findings` are the models' contamination with the suite."""

    about: RunRecord
    cases: tuple[CaseRecord, ...]
    findings: Mapping[Role, Finding]
    strategy: StepStrategy


@dataclass(frozen=True)
class Generated:
    """A complete file. `before` predictions it had at the beginning; `errors` counts those without all outputs.

    `failed` of these are failures of a service: they are predicted again when the file is resumed.
    """

    cases: int
    before: int
    errors: Mapping[str, int]
    failed: int = 0


# Called with each prediction, also with those that the file had before.
OnPrediction = Callable[[PredictionRecord], None]


async def plan_task(
    services: RoleServices,
    suite: Suite,
    *,
    limit: int | None = None,
    strategy: StepStrategy = "chain",
    constrained: bool,
) -> Task:
    """The steps of a suite, or a sample of `limit`, for the models behind the services.

    Raises `EmptySuite`, and what `fetch_models` raises.
    """
    if suite.definition.loader in LOADERS_WITHOUT_STEPS:
        raise EmptySuite(
            f"the suite {suite.label!r} has no recorded step", remedy="run it with `alpha-umi evaluate trajectories`"
        )
    cases = tuple(map(CaseRecord.of, sample_steps(suite.trajectories, limit)))
    if not cases:
        raise EmptySuite(f"the suite {suite.definition.name!r} has no step", remedy="sample at least one")
    models = await fetch_models(services, strategy, suite.digests)
    about = RunRecord(
        suite=suite.label,
        cases=len(cases),
        constrained=constrained,
        attempts=attempts_of(constrained=constrained),
        template=", ".join(sorted({model.template for model in models.infos.values()})),
        models=models.to_record(),
        excluded=suite.excluded,
    )
    return Task(about, cases, models.findings, strategy)


async def generate(
    services: RoleServices,
    task: Task,
    path: Path,
    *,
    concurrency: int = 8,
    on_prediction: OnPrediction = lambda prediction: None,
) -> Generated:
    """Predict every case that has no line in the file at `path`, and again where a service failed.

    Raises what `growing_file.growing_run` raises, `ServiceMismatch`, and `RunInterrupted` when a service stayed
    unavailable; the file can be resumed after any of them.
    """
    predictor = Predictor(services, task.strategy, task.about.constrained)
    with resume_step_run(path, task.about, task.cases) as file:
        written = _Written(file, on_prediction)
        remaining = written.remaining(task.cases)
        before = written.count

        async def predict(case: CaseRecord) -> None:
            written.add(await predictor.predict(case))

        try:
            await run_concurrently(remaining, predict, concurrency)
        except Unavailable as error:
            progress = f"{path} has {written.count} of {len(task.cases)} predictions"
            raise RunInterrupted(error.message, progress=progress) from error
        return Generated(len(task.cases), before, dict(written.errors), written.failed)


class _Written:
    """The open file, and counts of its predictions."""

    def __init__(self, file: ResumableStepRun, on_prediction: OnPrediction) -> None:
        self.count = 0
        self.failed = 0
        self.errors: Counter[str] = Counter()
        self._file = file
        self._on_prediction = on_prediction

    def remaining(self, cases: Sequence[CaseRecord]) -> Iterator[CaseRecord]:
        """The cases without a line, or with one that a failure of a service spoilt."""
        existing = [prediction for prediction in self._file.predictions if not _may_pass(prediction)]
        for prediction in existing:
            self._note(prediction)
        known = {prediction.id for prediction in existing}
        return (case for case in cases if case.id not in known)

    def add(self, prediction: PredictionRecord) -> None:
        """Write a line."""
        self._file.append(prediction)
        self._note(prediction)

    def _note(self, prediction: PredictionRecord) -> None:
        self.count += 1
        if prediction.error is not None:
            self.errors[f"{prediction.error.role}: {prediction.error.problem}"] += 1
            self.failed += _may_pass(prediction)
        self._on_prediction(prediction)


def _may_pass(prediction: PredictionRecord) -> bool:
    return prediction.error is not None and prediction.error.may_pass


def attempts_of(*, constrained: bool) -> int:
    """Attempts per output: with grammars as in serving, with a repair; without, as in the paper, one."""
    return 2 if constrained else 1


@dataclass(frozen=True)
class Predictor:
    """Predicts steps with the role services. `constrained: false` uses no grammars and no repair, as in the paper."""

    services: RoleServices
    strategy: StepStrategy = "chain"
    constrained: bool = True

    async def predict(self, case: CaseRecord) -> PredictionRecord:
        """The prediction for a case, with an error if a role had no output.

        Raises `Unavailable` and `ServiceMismatch`, which the case did not cause.
        """
        outputs: list[OutputRecord] = []
        try:
            async for output in self._single(case) if self.strategy == "single" else self._chain(case):
                outputs.append(output)
        except RoleRequestFailed as error:
            record = ErrorRecord(role=error.role, problem=error.problem, status=error.status, detail=error.detail)
            return PredictionRecord.of(case.id, outputs, record)
        return PredictionRecord.of(case.id, outputs)

    async def _chain(self, case: CaseRecord) -> AsyncIterator[OutputRecord]:
        fields = self._fields(case)
        plan = await self._request(case, PLAN, fields)
        yield _output("planner", plan, plan.answer.text if plan.answer else plan.text)
        if plan.answer is None:
            return
        history = [*case.history, TurnModel(role="planner", content=plan.answer.text)]
        if plan.answer.next == "caller":
            call = await self._request(case, CALL, {**fields, "history": history})
            yield _output("caller", call, call.answer.text if call.answer else call.text)
        elif plan.answer.next == "conclusion":
            summary = await self._request(case, SUMMARIZE, {"history": history, "attempts": fields["attempts"]})
            yield _output("summarizer", summary, summary.answer.answer if summary.answer else summary.text)

    async def _single(self, case: CaseRecord) -> AsyncIterator[OutputRecord]:
        step = await self._request(case, STEP, self._fields(case))
        yield _output("backbone", step, _text_of_step(step.answer) if step.answer else step.text)

    def _fields(self, case: CaseRecord) -> dict[str, object]:
        decoding = {"constrained": self.constrained, "attempts": attempts_of(constrained=self.constrained)}
        return {"tools": case.tools, "history": case.history, **decoding}

    async def _request(
        self, case: CaseRecord, spec: RoleSpec[Request, Answer], fields: dict[str, object]
    ) -> RoleResponse[Answer]:
        """Raises `RoleRequestFailed` also for a case that no service would accept."""
        try:
            request = spec.request.model_validate(fields)
        except ValidationError as error:
            raise RoleRequestFailed(spec.role, "invalid-request", explain(error)) from error
        # Prompts of one trajectory have a common prefix, which a replica caches.
        return await self.services.request(spec, request, affinity=case.trajectory)


def _output(role: Role, response: RoleResponse[Answer], text: str) -> OutputRecord:
    return OutputRecord(
        role=role,
        prompt_sha256=response.prompt_sha256,
        text=text,
        prompt_tokens=response.usage.prompt_tokens,
        completion_tokens=response.usage.completion_tokens,
        cached_tokens=response.usage.cached_tokens,
        ttft_ms=response.timings.ttft_ms,
        total_ms=response.timings.total_ms,
        attempts=response.timings.attempts,
        truncated=response.truncated,
    )


def _text_of_step(step: StepAnswer) -> str:
    """The raw text of the single model, rebuilt from the parts of its service's response."""
    lead = f"{step.thought}\n" if step.thought else ""
    # An unusable call contains the raw text.
    return lead + step.text if step.next == "caller" else BackboneStep(lead, step.next, answer=step.answer).text

"""Generate predictions: every step of a suite is put to the role services, and what they write goes to a file.

The file can be taken up: steps that have a line are not asked again, whatever ended the run before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.roles.turns import RoleName
from evaluation.asked_models import models_of
from evaluation.contamination import Finding
from evaluation.errors import EmptySuite, ServiceAway
from evaluation.files.step_run import CaseRecord, PredictionRecord, ResumableStepRun, RunRecord, resume_step_run
from evaluation.predicting import Predictor, StepStrategy, attempts_of
from evaluation.role_services import RoleServices
from evaluation.suites.definition import WITHOUT_STEPS
from evaluation.suites.sample import sample_steps
from evaluation.suites.suite import Suite
from evaluation.workers import work_through


@dataclass(frozen=True)
class Task:
    """What is put to which models. `findings` say what their manifests tell of the suite's instructions."""

    about: RunRecord
    cases: tuple[CaseRecord, ...]
    findings: Mapping[RoleName, Finding]
    strategy: StepStrategy


@dataclass(frozen=True)
class Generated:
    """A finished file. `before` predictions were there at the beginning; `errors` counts those without all outputs.

    `failed` of these are a service's failure, and are asked for again when the file is taken up.
    """

    cases: int
    before: int
    errors: Mapping[str, int]
    failed: int = 0


# Called with each prediction, also with those that were there before.
OnPrediction = Callable[[PredictionRecord], None]


async def plan_task(
    services: RoleServices,
    suite: Suite,
    *,
    limit: int | None = None,
    strategy: StepStrategy = "chain",
    constrained: bool,
) -> Task:
    """What there is to do: the steps of a suite, or a sample of `limit`, for the models behind the services.

    Raises `EvaluationError`: a service that is not there or runs another role, a broken manifest, no step.
    """
    if suite.definition.loader in WITHOUT_STEPS:
        raise EmptySuite(
            f"the suite {suite.label!r} has no recorded step", remedy="ask it with `alpha-umi evaluate trajectories`"
        )
    cases = tuple(map(CaseRecord.of, sample_steps(suite.trajectories, limit)))
    if not cases:
        raise EmptySuite(f"the suite {suite.definition.name!r} has no step to ask", remedy="ask for at least one")
    models = await models_of(services, strategy, suite.digests)
    about = RunRecord(
        suite=suite.label,
        cases=len(cases),
        constrained=constrained,
        attempts=attempts_of(constrained=constrained),
        template=", ".join(sorted({model.template for model in models.infos.values()})),
        models=models.kept(),
        left_out=suite.left_out,
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
    """Ask for every case that has no line in the file at `path`, so many at a time, and again where a service failed.

    Raises what `resume_step_run` raises, `ServiceRefuses`, and `ServiceAway` when a service stayed away; the
    file can be taken up after any of them.
    """
    predictor = Predictor(services, task.strategy, task.about.constrained)
    with resume_step_run(path, task.about, task.cases) as file:
        written = _Written(file, on_prediction)
        todo = written.take_up(task.cases)
        before = written.count
        try:
            await _all(predictor, todo, written, concurrency)
        except ServiceAway as error:
            progress = f"{path} has {written.count} of {len(task.cases)} predictions"
            raise ServiceAway(
                f"{error.message}; {progress}",
                remedy="run the same command again when it is back: it goes on from there",
                progress=progress,
            ) from error
        return Generated(len(task.cases), before, dict(written.errors), written.failed)


class _Written:
    """Keeps the file, and the count of what is in it."""

    def __init__(self, file: ResumableStepRun, on_prediction: OnPrediction) -> None:
        self.count = 0
        self.failed = 0
        self.errors: Counter[str] = Counter()
        self._file = file
        self._on_prediction = on_prediction

    def take_up(self, cases: Sequence[CaseRecord]) -> Iterator[CaseRecord]:
        """The cases that have no line yet, or one that a service's failure spoilt."""
        there = [prediction for prediction in self._file.predictions if not _may_pass(prediction)]
        for prediction in there:
            self._note(prediction)
        known = {prediction.id for prediction in there}
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


async def _all(predictor: Predictor, todo: Iterator[CaseRecord], written: _Written, concurrency: int) -> None:
    async def predict(case: CaseRecord) -> None:
        written.add(await predictor.predict(case))

    await work_through(todo, predict, concurrency)

"""Generate predictions: every step of a suite is put to the role services, and what they write goes to a file.

The file can be taken up: steps that have a line are not asked again, whatever ended the run before.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpha_umi.contract.roles import ModelInfo
from alpha_umi.roles.turns import RoleName
from evaluation.contamination import TRAINED_ON, Finding, check_manifest
from evaluation.errors import EmptySuite, ServiceAway
from evaluation.growing_file import GrowingRun, growing_run
from evaluation.predicting import ROLES_OF, Predictor, Strategy
from evaluation.records import CaseRecord, PredictionRecord, RunRecord
from evaluation.role_services import RoleServices
from evaluation.suites.sample import sample_steps
from evaluation.suites.suite import PART, Suite

FOUND = "trained_on_suite"


@dataclass(frozen=True)
class Task:
    """What is put to which models. `findings` say what their manifests tell of the suite's instructions."""

    about: RunRecord
    cases: tuple[CaseRecord, ...]
    findings: Mapping[RoleName, Finding]
    strategy: Strategy


@dataclass(frozen=True)
class Generated:
    """A finished file. `before` predictions were there at the beginning; `errors` counts those without all outputs."""

    cases: int
    before: int
    errors: Mapping[str, int]


# Called with each prediction, also with those that were there before.
OnPrediction = Callable[[PredictionRecord], None]


async def plan_task(
    services: RoleServices, suite: Suite, *, limit: int | None = None, strategy: Strategy = "chain", constrained: bool
) -> Task:
    """What there is to do: the steps of a suite, or a sample of `limit`, for the models behind the services.

    Raises `EvaluationError`: a service that is not there or runs another role, a broken manifest, no step.
    """
    cases = tuple(map(CaseRecord.of, sample_steps(suite.trajectories, limit)))
    if not cases:
        raise EmptySuite(f"the suite {suite.definition.name!r} has no step to ask", remedy="ask for at least one")
    models = {role: await services.model(role) for role in ROLES_OF[strategy]}
    findings = {role: check_manifest(_manifest(model), suite.digests) for role, model in models.items()}
    about = RunRecord(
        suite=_label(suite),
        cases=len(cases),
        constrained=constrained,
        template=", ".join(sorted({model.template for model in models.values()})),
        models={role: _kept(models[role], findings[role]) for role in models},
    )
    return Task(about, cases, findings, strategy)


async def generate(
    services: RoleServices,
    task: Task,
    path: Path,
    *,
    concurrency: int = 8,
    on_prediction: OnPrediction = lambda prediction: None,
) -> Generated:
    """Ask for every case that has no line in the file at `path`, so many at a time.

    Raises what `growing_file.growing_run` raises, `ServiceRefuses`, and `ServiceAway` when a service stayed away; the
    file can be taken up after any of them.
    """
    predictor = Predictor(services, task.strategy, task.about.constrained)
    with growing_run(path, task.about, task.cases) as file:
        written = _Written(file, on_prediction)
        todo = written.take_up(task.cases)
        try:
            await _all(predictor, todo, written, concurrency)
        except ServiceAway as error:
            progress = f"{path} has {written.count} of {len(task.cases)} predictions"
            raise ServiceAway(
                f"{error.message}; {progress}",
                remedy="run the same command again when it is back: it goes on from there",
                progress=progress,
            ) from error
        return Generated(len(task.cases), len(file.predictions), dict(written.errors))


class _Written:
    """Keeps the file, and the count of what is in it."""

    def __init__(self, file: GrowingRun, on_prediction: OnPrediction) -> None:
        self.count = 0
        self.errors: Counter[str] = Counter()
        self._file = file
        self._on_prediction = on_prediction

    def take_up(self, cases: Sequence[CaseRecord]) -> Iterator[CaseRecord]:
        """The cases that have no line yet."""
        for prediction in self._file.predictions:
            self._note(prediction)
        known = {prediction.id for prediction in self._file.predictions}
        return (case for case in cases if case.id not in known)

    def add(self, prediction: PredictionRecord) -> None:
        """Write a line."""
        self._file.append(prediction)
        self._note(prediction)

    def _note(self, prediction: PredictionRecord) -> None:
        self.count += 1
        if prediction.error is not None:
            self.errors[f"{prediction.error.role}: {prediction.error.problem}"] += 1
        self._on_prediction(prediction)


async def _all(predictor: Predictor, todo: Iterator[CaseRecord], written: _Written, concurrency: int) -> None:
    """Workers that share the cases; the first that cannot go on ends all of them."""

    async def work() -> None:
        for case in todo:
            written.add(await predictor.predict(case))

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
    except ExceptionGroup as failed:
        # Whatever kept one from going on: that the others met it as well is no news.
        raise failed.exceptions[0] from None


def _label(suite: Suite) -> str:
    """The suite as it is named, with its parts where they were chosen."""
    chosen = suite.parts != suite.definition.parts
    return suite.definition.name + (PART + ",".join(suite.parts) if chosen else "")


def _manifest(model: ModelInfo) -> Mapping[str, Any]:
    return model.manifest or {}


def _kept(model: ModelInfo, finding: Finding) -> dict[str, Any]:
    """What a run says of a model: all that stays the same when its service is started again.

    Of what it was trained on only what concerns the suite, because the list can be as long as the rest of the file.
    """
    described = model.model_dump(mode="json", exclude={"created", "object", "owned_by", "manifest"})
    manifest = {name: value for name, value in _manifest(model).items() if name != TRAINED_ON}
    found = {"verdict": finding.verdict, "instructions": finding.instructions, "total": finding.total}
    return described | {"manifest": manifest or None, FOUND: found}

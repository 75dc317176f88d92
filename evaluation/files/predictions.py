"""Read predictions from a file, in either format, with their costs: tokens and milliseconds of each role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from alpha_umi.contract.roles import WireModel
from alpha_umi.roles.turns import Role
from evaluation.files import Format
from evaluation.files.published import Pair, read_published_file
from evaluation.files.step_run import OutputRecord, PredictionRecord, RunRecord, read_run
from recordings.errors import EmptySuite, NotTheFormat


class CostReport(WireModel):
    """The cost of one role: sums of tokens, and the median and the 95th percentile of milliseconds per text.

    `again` texts took more than one attempt. `failed` counts errors in place of a text.
    """

    texts: int
    prompt_tokens: int
    completion_tokens: int
    truncated: int
    again: int
    failed: int
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Predictions:
    """Cases with their predictions. `about` and `costs` are known only for records.

    `unanswered` cases can still get a prediction: they were not run, or a service failed. A refused request is final.
    """

    pairs: tuple[Pair, ...]
    about: RunRecord | None
    costs: dict[Role, CostReport]
    unanswered: tuple[str, ...]


def read_predictions(path: Path, form: Format) -> Predictions:
    """Read a file. Raises `EvaluationError`, also if it has no steps."""
    if form is Format.TRAJECTORIES:
        raise NotTheFormat(
            "a file of trajectories has no predictions", remedy="only `evaluate score` and `evaluate compare` read them"
        )
    read = _published(path) if form is Format.PUBLISHED else _run(path)
    if not read.pairs:
        raise EmptySuite(f"there is no step in {path}", remedy="name a file with at least one case")
    return read


def _published(path: Path) -> Predictions:
    pairs = tuple(read_published_file(path))
    return Predictions(pairs, None, {}, tuple(each.case.id for each in pairs if each.prediction is None))


def _run(path: Path) -> Predictions:
    run = read_run(path)
    final = {each.id for each in run.predictions if each.error is None or not each.error.may_pass}
    unanswered = tuple(case.id for case in run.cases if case.id not in final)
    return Predictions(tuple(run.pairs()), run.about, role_costs(run.predictions), unanswered)


def role_costs(predictions: Sequence[PredictionRecord]) -> dict[Role, CostReport]:
    """The cost of each role that was called."""
    outputs = [output for prediction in predictions for output in prediction.outputs]
    failed = Counter(prediction.error.role for prediction in predictions if prediction.error)
    roles: tuple[Role, ...] = get_args(Role)
    by_role = {role: [output for output in outputs if output.role == role] for role in roles}
    return {role: _cost(wrote, failed[role]) for role, wrote in by_role.items() if wrote or failed[role]}


def _cost(outputs: Sequence[OutputRecord], failed: int) -> CostReport:
    median, p95 = np.quantile([output.total_ms for output in outputs] or [0.0], [0.5, 0.95])
    return CostReport(
        texts=len(outputs),
        prompt_tokens=sum(output.prompt_tokens for output in outputs),
        completion_tokens=sum(output.completion_tokens for output in outputs),
        truncated=sum(output.truncated for output in outputs),
        again=sum(output.attempts > 1 for output in outputs),
        failed=failed,
        median_ms=float(median),
        p95_ms=float(p95),
    )

"""What the predictions of a run cost: texts, tokens and milliseconds of each role, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from alpha_umi.roles.turns import RoleName
from evaluation.files.step_run import OutputRecord, PredictionRecord


@dataclass(frozen=True)
class RoleCost:
    """What one role cost: sums of tokens, and the median and the 95th percentile of milliseconds a text.

    `again` texts took more than one attempt; `failed` times there was an error in the place of a text.
    """

    texts: int
    prompt_tokens: int
    completion_tokens: int
    truncated: int
    again: int
    failed: int
    median_ms: float
    p95_ms: float


def role_costs(predictions: Sequence[PredictionRecord]) -> dict[RoleName, RoleCost]:
    """The cost of each role that was asked."""
    outputs = [output for prediction in predictions for output in prediction.outputs]
    failed = Counter(prediction.error.role for prediction in predictions if prediction.error)
    roles: tuple[RoleName, ...] = get_args(RoleName)
    by_role = {role: [output for output in outputs if output.role == role] for role in roles}
    return {role: _cost(wrote, failed[role]) for role, wrote in by_role.items() if wrote or failed[role]}


def _cost(outputs: Sequence[OutputRecord], failed: int) -> RoleCost:
    median, p95 = np.quantile([output.total_ms for output in outputs] or [0.0], [0.5, 0.95])
    return RoleCost(
        texts=len(outputs),
        prompt_tokens=sum(output.prompt_tokens for output in outputs),
        completion_tokens=sum(output.completion_tokens for output in outputs),
        truncated=sum(output.truncated for output in outputs),
        again=sum(output.attempts > 1 for output in outputs),
        failed=failed,
        median_ms=float(median),
        p95_ms=float(p95),
    )

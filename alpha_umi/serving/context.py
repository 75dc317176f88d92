"""What a role's router works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter

from alpha_umi.serving.host import RoleHost
from alpha_umi.serving.metrics import RoleMetrics


@dataclass(frozen=True)
class RoleContext:
    """One role's model, its metrics, and the bound of a generation in tokens unless a request says otherwise."""

    host: RoleHost
    metrics: RoleMetrics
    answer_tokens: int


MakeRouter = Callable[[RoleContext], APIRouter]

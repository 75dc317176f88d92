"""The parts of a role application: engine, host, metrics and router of each role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter

from alpha_umi.roles.turns import Role
from alpha_umi.serving.host import RoleHost
from alpha_umi.serving.loading import RoleEngine
from alpha_umi.serving.metrics import RoleMetrics

OnLost = Callable[[], None]


@dataclass(frozen=True)
class RoleContext:
    """One role's model, its metrics, and the default bound of a generation in tokens."""

    host: RoleHost
    metrics: RoleMetrics
    answer_tokens: int


MakeRouter = Callable[[RoleContext], APIRouter]
RolePart = tuple[RoleContext, MakeRouter]


def role_context(role: RoleEngine, metrics: RoleMetrics, answer_tokens: int, on_lost: OnLost) -> RoleContext:
    """The context of one role; `on_lost` is called once when its engine cannot be used any more."""
    return RoleContext(RoleHost(role.engine, role.model, on_lost=on_lost), metrics, answer_tokens)


def role_parts(
    engines: Mapping[Role, RoleEngine],
    routers: Mapping[Role, MakeRouter],
    answer_tokens: Mapping[Role, int],
    on_lost: OnLost = lambda: None,
) -> list[RolePart]:
    """The parts of an application with several roles, whose metrics share a registry."""
    metrics = RoleMetrics("shared")
    return [
        (role_context(engine, metrics.of_role(role), answer_tokens[role], on_lost), routers[role])
        for role, engine in engines.items()
    ]

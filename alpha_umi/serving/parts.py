"""What the applications of roles are put together from: an engine, its host, the metrics and routes of each role."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import RolePart
from alpha_umi.serving.context import MakeRouter, RoleContext
from alpha_umi.serving.host import RoleHost
from alpha_umi.serving.loading import RoleEngine
from alpha_umi.serving.metrics import RoleMetrics

OnLost = Callable[[], None]


def role_context(role: RoleEngine, metrics: RoleMetrics, answer_tokens: int, on_lost: OnLost) -> RoleContext:
    """What the router of one role works with."""
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

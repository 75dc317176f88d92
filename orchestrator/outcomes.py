"""Effects that leave the process, and the events of those that gave no ordinary answer."""

from __future__ import annotations

import hashlib
import json
from typing import assert_never

from alpha_umi import telemetry
from alpha_umi.roles.turns import Role
from alpha_umi.trajectory import (
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    BackboneUnreadable,
    CallUnreadable,
    Event,
    ObservationReceived,
    PlannerUnreadable,
    RoleFailed,
    RunTool,
)

RoleEffect = AskPlanner | AskCaller | AskSummarizer | AskBackbone
SendEffect = RoleEffect | RunTool

_log = telemetry.logger(__name__)


def role_of(effect: RoleEffect) -> Role:
    """Who is asked."""
    match effect:
        case AskPlanner():
            return "planner"
        case AskCaller():
            return "caller"
        case AskSummarizer():
            return "summarizer"
        case AskBackbone():
            return "backbone"
        case _ as never:
            assert_never(never)


def failure_of(effect: SendEffect, reason: str, *, latency_ms: int = 0) -> Event:
    """The event of an effect that failed."""
    if isinstance(effect, RunTool):
        return ObservationReceived(effect.call_id, f"The call failed: {reason}", is_error=True, latency_ms=latency_ms)
    return RoleFailed(role_of(effect), reason, latency_ms)


def log_outcome(event: Event) -> None:
    """Say what came of an effect where it was not the usual: the texts themselves are in the event log."""
    match event:
        case RoleFailed():
            _log.warning("role.failed", role=event.role, reason=event.reason, ms=event.latency_ms)
        case PlannerUnreadable() | CallUnreadable() | BackboneUnreadable():
            _log.warning("role.unreadable", kind=type(event).__name__, reason=event.reason, ms=event.latency_ms)
        case ObservationReceived():
            _log.info("tool.called", call_id=event.call_id, is_error=event.is_error, ms=event.latency_ms)
        case _:
            _log.debug("role.answered", kind=type(event).__name__)


def unknown_outcome(effect: RunTool, reason: str) -> ObservationReceived:
    """The observation of a call that left, or may have left, and whose answer nobody saw."""
    return ObservationReceived(
        effect.call_id,
        f"UNKNOWN: {reason} It is not known whether the call was executed; it was not sent again.",
        is_error=True,
    )


def idempotency_key(trajectory_id: str, effect: RunTool) -> str:
    """The same for every send of the same call, different for every other call. 64 hexadecimal digits."""
    call = json.dumps([effect.name, dict(effect.arguments)], sort_keys=True)
    digest = hashlib.sha256(call.encode()).hexdigest()
    return hashlib.sha256(f"{trajectory_id}:{effect.key}:{digest}".encode()).hexdigest()

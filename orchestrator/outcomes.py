"""Outcomes of effects that leave the process: failures, unknown outcomes, and the idempotency key of a call."""

from __future__ import annotations

import hashlib
import json

from alpha_umi import telemetry
from alpha_umi.trajectory import (
    Event,
    PlannerDecided,
    RoleFailed,
    RunTool,
    SendEffect,
    StepTaken,
    ToolObserved,
    effect_key,
    role_of,
)

_log = telemetry.logger(__name__)


def failure_of(effect: SendEffect, reason: str, *, latency_ms: int = 0) -> Event:
    """The event of an effect that failed."""
    if isinstance(effect, RunTool):
        return ToolObserved(effect.call_id, f"The call failed: {reason}", is_error=True, latency_ms=latency_ms)
    return RoleFailed(role_of(effect), reason, latency_ms)


def log_outcome(event: Event) -> None:
    """Log the outcome of an effect, without the texts: those are in the event log."""
    match event:
        case RoleFailed():
            _log.warning("role.failed", role=event.role, reason=event.reason, ms=event.latency_ms)
        case PlannerDecided(unreadable=True) | StepTaken(unreadable=True):
            _log.warning("role.unreadable", kind=event.type, reason=event.reason, ms=event.latency_ms)
        case ToolObserved(call_id=None):
            _log.warning("role.unreadable", kind=event.type, reason=event.content, ms=event.latency_ms)
        case ToolObserved():
            _log.info("tool.called", call_id=event.call_id, is_error=event.is_error, ms=event.latency_ms)
        case _:
            _log.debug("role.answered", kind=event.type)


def unknown_outcome(effect: RunTool, reason: str) -> ToolObserved:
    """The observation of a call that was sent, or may have been, and whose response is lost."""
    return ToolObserved(
        effect.call_id,
        f"UNKNOWN: {reason} It is not known whether the call was executed; it was not sent again.",
        is_error=True,
    )


def idempotency_key(trajectory_id: str, effect: RunTool) -> str:
    """The same for every send of the same call, different for every other call. 64 hexadecimal digits."""
    call = json.dumps([effect.name, dict(effect.arguments)], sort_keys=True)
    digest = hashlib.sha256(call.encode()).hexdigest()
    return hashlib.sha256(f"{trajectory_id}:{effect_key(effect)}:{digest}".encode()).hexdigest()

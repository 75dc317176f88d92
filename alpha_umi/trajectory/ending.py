"""Transitions that end a turn: limits, failures, cancellation, and the record of the end."""

from __future__ import annotations

from alpha_umi.trajectory.copies import replace
from alpha_umi.trajectory.effects import Status
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import Cancelled, LimitReached, RoleFailed, TrajectoryFinished, TurnResumed
from alpha_umi.trajectory.state import Failure, Interruption, Phase, State, total

REPEATED_CALL = Failure("repeated_call", "the same call brought the same result again and again")


def exhausted_budget(state: State) -> Failure | None:
    """The budget of steps or tokens that the request has exhausted; None if there is none."""
    limits, usage = state.limits, total(state.request_steps)
    if len(state.request_steps) >= limits.max_steps:
        return Failure("max_steps", f"the limit of {limits.max_steps} steps was reached")
    if limits.max_tokens is not None and usage.prompt_tokens + usage.completion_tokens >= limits.max_tokens:
        return Failure("max_tokens", f"the limit of {limits.max_tokens} tokens was reached")
    output_tokens = state.options.max_output_tokens
    if output_tokens is not None and usage.completion_tokens >= output_tokens:
        return output_exhausted(output_tokens)
    return None


def output_exhausted(max_output_tokens: int) -> Failure:
    """The turn has written as many tokens as its request allows."""
    return Failure("max_output_tokens", f"the limit of {max_output_tokens} output tokens was reached")


def exhaust(state: State, why: Failure) -> State:
    """A limit ends the turn: the next effect requests an answer from what is known."""
    closing = Phase.CONCLUDING if state.strategy == "single" else Phase.SUMMARIZING
    return replace(state, phase=closing, outcome="exhausted", error=why, in_flight=None)


def end(state: State, outcome: Status, error: Failure | None) -> State:
    """The turn has ended; the next effect records it."""
    return replace(state, phase=Phase.ENDING, outcome=outcome, error=error, in_flight=None)


def end_answered(state: State, outcome: Status, *, unfinished: bool) -> State:
    """The turn ends with its answer; if the token limit cut that, it has reached the output limit of its request."""
    output_tokens = state.options.max_output_tokens
    if unfinished and output_tokens is not None and state.error is None:
        return end(state, "exhausted", output_exhausted(output_tokens))
    return end(state, outcome, state.error)


def reach_limit(state: State, event: LimitReached) -> State:
    """The deadline has passed: request an answer, or end the turn if an answer was being generated."""
    why = Failure(event.limit, "the time limit of the trajectory was reached")
    if state.is_closing:
        return end(state, "exhausted", state.error or why)
    return exhaust(state, why)


def fail(state: State, event: RoleFailed) -> State:
    """A role failed. A turn that an outage has ended can be resumed."""
    if not event.unavailable:
        return end(state, "failed", Failure(f"{event.role}_failed", event.reason))
    why = Failure(f"{event.role}_unavailable", event.reason)
    return replace(end(state, "failed", why), interrupted=Interruption(state.phase, state.outcome, state.error))


def resume(state: State, event: TurnResumed) -> State:
    """Continue the turn where an outage has ended it. Raises `IllegalEvent` if none has."""
    if state.interrupted is None:
        raise IllegalEvent("no outage of a role has ended the turn")
    return replace(state, **vars(state.interrupted), interrupted=None)


def cancel(state: State, event: Cancelled) -> State:
    """The client cancelled the trajectory."""
    return end(state, "cancelled", Failure("cancelled", event.reason))


def finish(state: State, event: TrajectoryFinished) -> State:
    """The end is recorded."""
    return replace(state, phase=Phase.FINISHED)


def outcome_of(state: State) -> Status:
    """The status with which the turn ends."""
    if state.outcome is None:
        raise AssertionError("a trajectory ends only with an outcome")
    return state.outcome

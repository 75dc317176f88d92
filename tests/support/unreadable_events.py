"""Events of unreadable outputs, as the orchestrator writes them."""

from __future__ import annotations

from alpha_umi.roles.caller import NO_CALL
from alpha_umi.trajectory import PlannerDecided, StepTaken, ToolObserved, UnreadablePolicy, Usage


def unreadable_plan(
    text: str, reason: str, policy: UnreadablePolicy = "conclusion", usage: Usage | None = None
) -> PlannerDecided:
    """The planner's output holds no decision."""
    return PlannerDecided(text.strip(), policy, text, unreadable=True, reason=reason, usage=usage or Usage())


def unreadable_call(text: str, reason: str, usage: Usage | None = None) -> ToolObserved:
    """The caller's output holds no call."""
    content = NO_CALL + reason
    return ToolObserved(None, content, is_error=True, text=text, usage=usage or Usage(), attempts=0)


def unreadable_step(
    text: str, reason: str, policy: UnreadablePolicy = "conclusion", *, concludes: bool = False
) -> StepTaken:
    """The single model's output holds neither a call nor a conclusion."""
    thought = text.strip()
    answer = thought if policy == "conclusion" and thought and not concludes else None
    return StepTaken(thought, policy, text, reason=reason, answer=answer, unreadable=True)

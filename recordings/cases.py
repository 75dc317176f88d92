"""Step cases: the steps of a recorded trajectory, each with its recorded history (teacher forcing).

Each planner turn with a decision is a step, together with the call or answer that follows. The published evaluation
builds its steps in the same way (`build_infer_samples` of `GLPFT/inference_utils/toolbench/infer_pipeline.py` in
X-PLUG/Multi-LLM-Agent). Turns without a decision stay in the history and count as steps, but have no case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alpha_umi.roles.caller import Call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision, Plan, parse_plan
from alpha_umi.roles.turns import Tool, Turn
from recordings.trajectory import RecordedTrajectory
from recordings.turns import read_call

NO_DECISION = "a planner turn without a decision"
NO_CALL = "a call that cannot be read"
NO_ANSWER = "a conclusion without an answer"
# Counted by loaders, because such a call has no turn.
NO_HISTORY = "a call whose history is not recorded"
# Also without a turn: a single call cannot be the reference.
NO_SINGLE_CALL = "a question that wants several calls at once"
NO_OTHER_TOOL = "a question without a tool on offer"
STEP_REASONS = (NO_DECISION, NO_CALL, NO_ANSWER, NO_HISTORY, NO_SINGLE_CALL, NO_OTHER_TOOL)


def step_cases(trajectory: RecordedTrajectory) -> Iterator[StepCase]:
    """The steps that have a reference."""
    for step, place in enumerate(_planner_places(trajectory), start=1):
        reference = _reference(trajectory.turns, place)
        if isinstance(reference, Reference):
            yield StepCase(
                id=f"{trajectory.id}/{step}",
                trajectory=trajectory.id,
                step=step,
                tools=trajectory.tools,
                history=trajectory.turns[:place],
                reference=reference,
            )


def steps_without_reference(trajectories: Iterable[RecordedTrajectory]) -> Counter[str]:
    """The number of steps without a reference, by reason."""
    results = (_reference(each.turns, place) for each in trajectories for place in _planner_places(each))
    return Counter(reason for reason in results if isinstance(reason, str))


def _planner_places(trajectory: RecordedTrajectory) -> Iterator[int]:
    return (place for place, turn in enumerate(trajectory.turns) if turn.role == "planner")


def _reference(turns: tuple[Turn, ...], place: int) -> Reference | str:
    """The reference of a step, or the reason why there is none."""
    try:
        plan = parse_plan(turns[place].content)
    except UnreadableOutput:
        return NO_DECISION
    return _with_result(plan, turns[place + 1] if place + 1 < len(turns) else None)


def _with_result(plan: Plan, following: Turn | None) -> Reference | str:
    if plan.next == "give up":
        return Reference(plan.next, plan.thought)
    if plan.next == "conclusion":
        answered = following is not None and following.role == "conclusion"
        return Reference(plan.next, plan.thought, answer=following.content) if following and answered else NO_ANSWER
    call = read_call(following) if following is not None and following.role == "caller" else None
    return NO_CALL if call is None else Reference(plan.next, plan.thought, call=call)


@dataclass(frozen=True)
class Reference:
    """The reference of a step. `call` belongs to the decision `caller`, `answer` to `conclusion`."""

    decision: Decision
    rationale: str
    call: Call | None = None
    answer: str | None = None


@dataclass(frozen=True)
class StepCase:
    """A step with its recorded history.

    `id` is unique within a suite; `trajectory` is the id of the step's trajectory, and `step` counts from 1. The first
    turn of `history` is the instruction.
    """

    id: str
    trajectory: str
    step: int
    tools: tuple[Tool, ...]
    history: tuple[Turn, ...]
    reference: Reference

    @property
    def instruction(self) -> str:
        """The first turn of the user; empty if the history has none."""
        return next((turn.content for turn in self.history if turn.role == "user"), "")

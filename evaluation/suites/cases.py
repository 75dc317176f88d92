"""The steps of a recorded trajectory, each with the history that was recorded before it (teacher forcing).

Each planner turn with a decision is a step, and what follows it belongs to it: the call or the answer. The published
evaluation takes its steps in this way (`build_infer_samples` of `GLPFT/inference_utils/toolbench/infer_pipeline.py` in
X-PLUG/Multi-LLM-Agent). Turns without a decision stay in the history and count as steps, but nothing is asked there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Plan, parse_plan
from alpha_umi.roles.turns import Turn
from evaluation.cases import Reference, StepCase
from evaluation.suites.recorded import RecordedTrajectory, read_call

NO_DECISION = "a planner turn without a decision"
NO_CALL = "a call that cannot be read"
NO_ANSWER = "a conclusion without an answer"
# A loader counts it: there is no turn of such a call.
NO_HISTORY = "a call whose history is not recorded"
# Nor are there turns where one call cannot be what is wanted.
NO_SINGLE_CALL = "a question that wants several calls at once"
NO_OTHER_TOOL = "a question without a tool on offer"
OF_STEPS = (NO_DECISION, NO_CALL, NO_ANSWER, NO_HISTORY, NO_SINGLE_CALL, NO_OTHER_TOOL)


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
    """How many steps have none, by the reason."""
    found = (_reference(each.turns, place) for each in trajectories for place in _planner_places(each))
    return Counter(reason for reason in found if isinstance(reason, str))


def _planner_places(trajectory: RecordedTrajectory) -> Iterator[int]:
    return (place for place, turn in enumerate(trajectory.turns) if turn.role == "planner")


def _reference(turns: tuple[Turn, ...], place: int) -> Reference | str:
    """What is right at a step, or why that is not known."""
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

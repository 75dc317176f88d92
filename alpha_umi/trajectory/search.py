"""Transitions of the strategy `dfsdt`: depth-first search with backtracking over the steps of a chain.

Steps are as in a chain. From a dead end the search backtracks to the nearest step with fewer children than `max_width`,
and the planner's prompt lists those children. The search ends at the first conclusion, when no such step is left, or
when a budget is exhausted.

Source: `DFS_tree_search` without filter (`DFS_woFilter_w2`) of OpenBMB/ToolBench, in `toolbench/inference/Algorithms/
DFS.py`. Its rules: a give-up backtracks two steps, so that a give-up at the first step ends the search; every other
dead end backtracks one step. A search without an answer has given up if the planner gave up on any branch.

Three rules are ours: a repeated call is a dead end; when a budget ends the search, or no branch gave up, the summarizer
answers from the current branch; and earlier children are listed for the planner only and are not stored in the branch,
as the comments of that code intend.
"""

from __future__ import annotations

import json
from typing import Final

from alpha_umi.roles.candidates import Candidate, show_candidates
from alpha_umi.roles.turns import Turn
from alpha_umi.trajectory.copies import replace
from alpha_umi.trajectory.ending import end, exhaust, exhausted_budget
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import Backtracked
from alpha_umi.trajectory.limits import DeadEndReason
from alpha_umi.trajectory.state import DeadEnd, Failure, Phase, State, Step
from alpha_umi.trajectory.tree import branch, children, leaves, steps_after

# Steps from the dead end to the first step from which the search may continue.
BACKTRACK_STEPS: Final[dict[DeadEndReason, int]] = {"gave_up": 2, "max_depth": 1, "repeated_call": 1}


def abandon_branch(state: State, reason: DeadEndReason) -> State:
    """The branch is a dead end: backtrack, if there is a step left to continue from and budget for it."""
    retained = _backtrack_depth(state, BACKTRACK_STEPS[reason])
    if retained is None:
        return _without_answer(state)
    why = exhausted_budget(state)
    if why is not None:
        return exhaust(state, why)
    return replace(state, phase=Phase.BACKTRACKING, dead_end=DeadEnd(reason, retained), in_flight=None)


def _backtrack_depth(state: State, back: int) -> int | None:
    """How many steps of the branch are retained; None if each of them has `max_width` children."""
    steps = branch(state)
    for retained in range(len(steps) - back, -1, -1):
        if len(children(state, _place(steps, retained))) < state.limits.max_width:
            return retained
    return None


def _place(steps: tuple[Step, ...], retained: int) -> int | None:
    return steps[retained - 1].index if retained else None


def _without_answer(state: State) -> State:
    branches = len(leaves(state))
    gave_up = sum(step.next == "give up" for step in state.turn_steps)
    if gave_up:
        why = f"no branch of the search led to an answer; the planner gave up on {gave_up} of {branches}"
        return end(state, "gave_up", Failure("gave_up", why))
    why = f"no branch of the search led to an answer; {branches} were tried"
    return exhaust(state, Failure("search_exhausted", why))


def backtrack_target(state: State) -> tuple[int | None, DeadEndReason]:
    """The step from which the search continues (None: the instruction), and the reason to backtrack."""
    if state.dead_end is None:
        raise AssertionError("a search backtracks only from a dead end")
    return _place(branch(state), state.dead_end.retained), state.dead_end.reason


def backtrack(state: State, event: Backtracked) -> State:
    """Abandon the end of the branch. Raises `IllegalEvent` unless the event has the target of the state."""
    place, reason = backtrack_target(state)
    if (event.to, event.reason) != (place, reason):
        raise IllegalEvent(f"the search backtracks to step {place} because of {reason}")
    left = steps_after(state, place)
    gone = {step.index for step in left}
    return replace(
        state,
        phase=Phase.PLANNING,
        steps=tuple(replace(step, abandoned=True) if step.index in gone else step for step in state.steps),
        history=state.history[: -sum(step.turns for step in left)],
        tip=place,
        dead_end=None,
    )


def planner_history(state: State) -> tuple[Turn, ...]:
    """The planner's history: the branch, and the earlier children of its last step, if there are any."""
    before = children(state, state.tip)
    if not before:
        return state.history
    observation = None if state.tip is None else state.steps[state.tip].observation
    shown = show_candidates([_candidate(step) for step in before], observation.content if observation else "")
    return (*state.history, Turn("user", shown))


def _candidate(step: Step) -> Candidate:
    output = "" if step.observation is None else step.observation.content
    if step.action is None:
        return Candidate("", "", output)
    return Candidate(step.action.name, json.dumps(dict(step.action.arguments)), output)

"""The steps of a turn as a tree, by `Step.parent`. A chain has one branch, a search may have several."""

from __future__ import annotations

from alpha_umi.trajectory.state import State, Step


def branch(state: State) -> tuple[Step, ...]:
    """The steps of the current branch, from the first of the turn to `state.tip`."""
    steps: list[Step] = []
    place = state.tip
    while place is not None:
        steps.append(state.steps[place])
        place = steps[-1].parent
    return tuple(reversed(steps))


def steps_after(state: State, place: int | None) -> tuple[Step, ...]:
    """The steps of the branch after one of them (None: after the instruction of this turn)."""
    return tuple(step for step in branch(state) if place is None or step.index > place)


def children(state: State, place: int | None) -> tuple[Step, ...]:
    """The children of a step in order (None: of the instruction of this turn)."""
    return tuple(step for step in state.turn_steps if step.parent == place)


def leaves(state: State) -> tuple[Step, ...]:
    """The last steps of all branches of this turn."""
    inner = {step.parent for step in state.turn_steps}
    return tuple(step for step in state.turn_steps if step.index not in inner)

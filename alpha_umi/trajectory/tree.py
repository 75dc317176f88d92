"""The steps of a turn as the tree that they are.

A chain has one branch; a search leaves branches and begins others. Everything here follows from `Step.parent`.
"""

from __future__ import annotations

from alpha_umi.trajectory.state import State, Step


def branch(state: State) -> tuple[Step, ...]:
    """The steps of this turn from its beginning to where the trajectory stands."""
    steps: list[Step] = []
    place = state.tip
    while place is not None:
        steps.append(state.steps[place])
        place = steps[-1].parent
    return tuple(reversed(steps))


def steps_after(state: State, place: int | None) -> tuple[Step, ...]:
    """The steps of the branch that come after one of them (None: the question of this turn)."""
    return tuple(step for step in branch(state) if place is None or step.index > place)


def children(state: State, place: int | None) -> tuple[Step, ...]:
    """The steps that followed a step (None: the question of this turn), in order."""
    return tuple(step for step in state.turn_steps if step.parent == place)


def leaves(state: State) -> tuple[Step, ...]:
    """The last steps of all branches of this turn."""
    inner = {step.parent for step in state.turn_steps}
    return tuple(step for step in state.turn_steps if step.index not in inner)

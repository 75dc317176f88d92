import dataclasses

import pytest

from alpha_umi.trajectory import State
from alpha_umi.trajectory.copies import replace


def test_a_copy_is_what_dataclasses_makes() -> None:
    state = State(instruction="Add.", tools=("add",))
    copy = replace(state, instruction="Subtract.", turn_start=1)
    assert copy == dataclasses.replace(state, instruction="Subtract.", turn_start=1)
    assert state == State(instruction="Add.", tools=("add",))


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="State lacks one of the fields instructions"):
        replace(State(), instructions="Add.")  # type: ignore[call-arg]

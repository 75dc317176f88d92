"""All formats that training reads, and the check of the order of turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from alpha_umi.roles.turns import TurnRole
from recordings.errors import NotTheFormat
from recordings.formats import (
    answer_trees,
    api_bank,
    fireact,
    gsm8k,
    llama_factory,
    rotbench,
    seal_tools,
    toolalpaca,
    toolbench,
    toolrl,
    trajectories,
)
from recordings.reading import OnInvalid
from recordings.trajectory import Loaded, RecordedTrajectory

Format = Literal[
    "rotbench",
    "toolbench",
    "toolbench-trees",
    "toolalpaca",
    "fireact",
    "gsm8k",
    "seal-tools",
    "api-bank",
    "toolrl",
    "llama-factory",
    "trajectories",
]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_READERS: Final[Mapping[Format, Callable[[Path, OnInvalid], Loaded]]] = {
    "toolbench": toolbench.load,
    "toolbench-trees": answer_trees.load,
    "toolalpaca": toolalpaca.load,
    "fireact": fireact.load,
    "gsm8k": gsm8k.load,
    "seal-tools": seal_tools.load,
    "api-bank": api_bank.load,
    "toolrl": toolrl.load,
    "llama-factory": llama_factory.load,
    "trajectories": trajectories.load,
}
# The roles that each role's turn may follow. Published data has rationales without a following turn, and observations
# after an answer; a call or an answer without a decision before it means that turns are missing.
_AFTER: Final[Mapping[TurnRole, frozenset[TurnRole]]] = {
    "user": frozenset({"user", "planner", "caller", "observation", "conclusion"}),
    "planner": frozenset({"user", "planner", "caller", "observation", "conclusion"}),
    "caller": frozenset({"planner"}),
    "observation": frozenset({"planner", "caller", "observation", "conclusion"}),
    "conclusion": frozenset({"planner"}),
}


def read_source(form: Format, path: Path, on_invalid: OnInvalid, parts: Sequence[str] = ()) -> Loaded:
    """The trajectories of a source; `parts` are tool sets, of `rotbench` alone.

    Invalid entries, and trajectories with an invalid order of turns, are passed to `on_invalid` and skipped. Raises
    `DataError` for an unreadable file.
    """
    loaded = rotbench.load(path, parts, on_invalid) if form == "rotbench" else _READERS[form](path, on_invalid)
    valid = []
    for trajectory in loaded.trajectories:
        fault = order_fault(trajectory)
        if fault is None:
            valid.append(trajectory)
        else:
            on_invalid(NotTheFormat(f"{path}, trajectory {trajectory.id!r}: {fault}", remedy="correct its turns"))
    return Loaded(tuple(valid), loaded.excluded)


def order_fault(trajectory: RecordedTrajectory) -> str | None:
    """The first error in the order of turns; None if it is valid."""
    turns = trajectory.turns
    if turns[0].role != "user":
        return f"it begins with a turn of the {turns[0].role}, not of the user"
    for number in range(1, len(turns)):
        role, before = turns[number].role, turns[number - 1].role
        if before not in _AFTER[role]:
            return f"turn {number + 1} is the {role}'s and follows one of the {before}"
    return None

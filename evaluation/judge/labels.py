"""The labels of a verdict, by procedure: which there are, which a readable verdict always has, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ProcedureName = Literal["toolbench-pass", "stabletoolbench-pass", "toolbench-win", "toolalpaca"]
Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelSet:
    """Labels and their values: those that are always there, and those that may be."""

    always: Values
    sometimes: Values

    def complaint(self, labels: Mapping[str, str], *, whole: bool) -> str:
        """What is wrong with some labels, empty if nothing is; `whole` ones lack none."""
        known = {**self.always, **self.sometimes}
        for label, value in labels.items():
            if label not in known:
                return f"`labels` has {label!r}; there are {_named(known)}"
            if value not in known[label]:
                return f"`labels.{label}` is {value!r}, and not one of {_named(known[label])}"
        missing = [label for label in self.always if whole and label not in labels]
        return f"`labels` lacks {_named(missing)}" if missing else ""


def _named(names: Mapping[str, object] | tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(repr, names))


_ANSWER: Final = ("Solved", "Unsolved", "Unsure")
_SIDE: Final = ("candidate", "reference")
_WORD: Final = ("Yes", "No", "Uncertain", "No call")
LABELS: Final[Mapping[ProcedureName, LabelSet]] = {
    "toolbench-pass": LabelSet(
        {
            "answer_status": _ANSWER,
            "task_status": ("Solvable", "Unsolvable", "Unsure"),
            "passes": ("Passed", "Failed", "Unsure"),
            "drawn": ("Passed", "Failed"),
        },
        {},
    ),
    "stabletoolbench-pass": LabelSet({"answer_status": _ANSWER}, {}),
    "toolbench-win": LabelSet(
        {"preferred": _SIDE},
        {"answer_status.candidate": _ANSWER, "answer_status.reference": _ANSWER, "first": _SIDE},
    ),
    "toolalpaca": LabelSet({"process": _WORD, "response": _WORD}, {}),
}

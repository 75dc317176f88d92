"""Tables 1 and 2 of the paper as data (`paper.yaml`), laid beside figures of ours."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

import yaml
from pydantic import Field

from alpha_umi.contract.roles import WireModel


class PaperRow(WireModel):
    """A row: the model, what groups it (its size, or the method), and a figure a column; null where there is none."""

    group: str
    model: str
    figures: list[float | None]


class PaperTable(WireModel):
    """A table: the columns of its figures, and with how many decimal places they were printed.

    `suites` are those of ours that hold the same questions; `judged` names, for a judge's procedure, the figures that
    belong under columns, in which PART stands for each part of ToolBench's questions, and for the average of all.
    """

    title: str
    places: int
    columns: list[str]
    suites: list[str]
    judged: dict[str, dict[str, str]] = Field(default_factory=dict)
    rows: list[PaperRow]


class Paper(WireModel):
    """Where the figures were read, and the tables."""

    source: str
    note: str
    table_1: list[PaperTable]
    table_2: PaperTable


# The metrics of ours that stand under the columns of Table 1.
STATIC_METRICS: Final = ("plan_em", "action_em", "hallu_rate", "f1", "rouge")

# The paper's names of the parts of ToolBench's questions, by ours, with which the ids of questions begin.
PARTS: Final = {
    "G1_instruction": "I1-Inst.", "G1_tool": "I1-Tool", "G1_category": "I1-Cat.",
    "G2_instruction": "I2-Inst.", "G2_category": "I2-Cat.", "G3_instruction": "I3-Inst.",
}  # fmt: skip
PART: Final = "PART"
AVERAGE: Final = "average"


def part_of(question: str) -> str | None:
    """The part of ToolBench's questions that one is of, by its id (`G1_tool/7`); None for any other."""
    part, found, _ = question.partition("/")
    return part if found and part in PARTS else None


@cache
def paper() -> Paper:
    """The figures as they were published, in percent."""
    text = (resources.files("evaluation.reporting") / "paper.yaml").read_text(encoding="utf-8")
    return Paper.model_validate(yaml.safe_load(text))

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
    belong under columns, in which PART stands for the part of the suite.
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


@cache
def paper() -> Paper:
    """The figures as they were published, in percent."""
    text = (resources.files("evaluation.reporting") / "paper.yaml").read_text(encoding="utf-8")
    return Paper.model_validate(yaml.safe_load(text))

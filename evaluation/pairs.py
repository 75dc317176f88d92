"""A case with what was predicted for it: what every metric looks at."""

from __future__ import annotations

from dataclasses import dataclass

from alpha_umi.roles.turns import Tool
from evaluation.outputs import Prediction
from evaluation.published_text import PublishedStep, prediction_text, read_published, reference_text
from evaluation.steps import StepCase


@dataclass(frozen=True)
class Pair:
    """A case and its prediction, each in the strict reading and in the published one.

    `prediction` and `published_prediction` are None together: nothing was predicted, which every metric counts.
    """

    case: StepCase
    published_reference: PublishedStep
    prediction: Prediction | None
    published_prediction: PublishedStep | None

    @property
    def offered(self) -> dict[str, Tool]:
        """The offered tools by the names that the role models see."""
        return {tool.shown_name: tool for tool in self.case.tools}


def pair(case: StepCase, prediction: Prediction | None) -> Pair:
    """Put a case and its prediction together."""
    return Pair(
        case,
        read_published(reference_text(case.reference)),
        prediction,
        None if prediction is None else read_published(prediction_text(prediction)),
    )

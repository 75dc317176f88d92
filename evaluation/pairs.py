"""A case with what was predicted for it: what every metric looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from alpha_umi.roles.turns import Tool
from evaluation.outputs import Prediction
from evaluation.published_text import PublishedStep, prediction_text, read_published, reference_text
from recordings.cases import StepCase


@dataclass(frozen=True)
class Pair:
    """A case and its prediction, and the texts of both in the published form.

    `prediction` and `prediction_text` are None together: nothing was predicted (`Metric.missing` says how that counts).
    """

    case: StepCase
    prediction: Prediction | None
    reference_text: str
    prediction_text: str | None

    @cached_property
    def published_reference(self) -> PublishedStep:
        """The reference in the published reading."""
        return read_published(self.reference_text)

    @cached_property
    def published_prediction(self) -> PublishedStep | None:
        """The prediction in the published reading."""
        return None if self.prediction_text is None else read_published(self.prediction_text)

    @cached_property
    def offered(self) -> dict[str, Tool]:
        """The offered tools by the names that the role models see."""
        return {tool.prompt_name: tool for tool in self.case.tools}


def pair(case: StepCase, prediction: Prediction | None) -> Pair:
    """Put a case and its prediction together."""
    wrote = None if prediction is None else prediction_text(prediction)
    return Pair(case, prediction, reference_text(case.reference), wrote)

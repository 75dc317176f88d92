"""Verdicts of a judge, which stand beside the run that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evaluation.judge.judge_report import JudgeReport, judge_report
from evaluation.judge.verdicts import VerdictRecord, Verdicts, read_verdicts
from evaluation.page.blocks import Block, Paragraph
from evaluation.page.shortened import verbatim
from evaluation.report import FigureReport
from evaluation.reporting.drawing import Drawing
from evaluation.reporting.paper import part_of


@dataclass(frozen=True)
class Judged:
    """A file of verdicts, and what they come to."""

    path: Path
    found: Verdicts
    report: JudgeReport

    @property
    def title(self) -> str:
        """By which procedure, and by whom."""
        about = self.found.about
        return f"{about.procedure}, {about.model}" + (f", {about.repeat} times each" if about.repeat > 1 else "")

    @cached_property
    def figures_by_part(self) -> dict[str, dict[str, FigureReport]]:
        """The figures of each part of ToolBench's questions that was judged; nothing of other questions."""
        parts: dict[str, list[VerdictRecord]] = {}
        for verdict in self.found.verdicts:
            if part := part_of(verdict.recorded):
                parts.setdefault(part, []).append(verdict)
        return {part: self._figures(said) for part, said in parts.items()}

    def _figures(self, said: Sequence[VerdictRecord]) -> dict[str, FigureReport]:
        found = Verdicts(self.found.about, tuple(said))
        return judge_report(found, resamples=self.report.resamples, seed=self.report.seed).figures

    def on(self, recorded: str) -> list[VerdictRecord]:
        """The verdicts on a trajectory."""
        return [verdict for verdict in self.found.verdicts if verdict.recorded == recorded]

    def blocks(self, recorded: str) -> Iterator[Block]:
        """What was said of a trajectory, with what the judge wrote."""
        for verdict in self.on(recorded):
            said = ", ".join(f"{label}: {value}" for label, value in verdict.labels.items())
            told = said or "nothing that means anything"
            yield Paragraph(f"Verdict {verdict.repeat + 1} ({self.title}; {verdict.basis}): {told}.")
            for question in verdict.questions:
                yield verbatim(f"The judge wrote to {question.name}", "\n".join(question.texts) or "(nothing)")


def read_judged(path: Path, drawing: Drawing) -> Judged:
    """Read a file of verdicts. Raises `EvaluationError`."""
    found = read_verdicts(path)
    return Judged(path, found, judge_report(found, resamples=drawing.resamples, seed=drawing.seed))

"""What has to be read before the figures of runs: what a suite leaves out, and what makes them look better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.notes import excluded_sentence, trained_on_sentences
from evaluation.page.blocks import Paragraph
from evaluation.quantities import pluralize
from evaluation.reporting.given import AnyRun, StepsRun


def remarks(runs: Sequence[AnyRun]) -> Iterator[Paragraph]:
    """Of runs that stand side by side; what their suite leaves out is said once."""
    told = {sentence for run in runs if (sentence := excluded_sentence(run.run.about.excluded))}
    yield from (Paragraph(f"{sentence[0].upper()}{sentence[1:]}.") for sentence in sorted(told))
    for run in runs:
        warned = [*trained_on_sentences(run.run.about.models), *_missing(run)]
        yield from (Paragraph(f"{run.named.title}: {sentence}.", warning=True) for sentence in warned)


def _missing(run: AnyRun) -> Iterator[str]:
    if isinstance(run, StepsRun) and run.report.missing:
        yield f"{pluralize(len(run.report.missing), 'step')} without a prediction, counted as wrong"
    elif not isinstance(run, StepsRun) and run.report.not_asked:
        yield f"not asked yet, and counted as failed: {pluralize(run.report.not_asked, 'trajectory')}"

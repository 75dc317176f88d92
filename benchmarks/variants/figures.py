"""What the variants did on a suite, read from the files of their predictions: scores, and each beside Single-LLM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.results.runs import MODES, Mode
from benchmarks.variants.runs import SINGLE, VariantRun, read_whole
from evaluation.compare import compare
from evaluation.files.published import Pair
from evaluation.files.step_run import RunRecord
from evaluation.results import ComparisonReport, ScoreReport, comparison_report, score_report
from evaluation.scoring import score


@dataclass(frozen=True)
class Measured:
    """One variant with one seed in one mode. `beside` is what differs from Single-LLM with that seed on equal steps."""

    run: VariantRun
    mode: Mode
    about: RunRecord
    scores: ScoreReport
    beside: ComparisonReport | None


def measured(runs: Iterable[VariantRun], suite: str) -> list[Measured]:
    """Those runs of which all predictions are there, mode by mode.

    Raises `EvaluationError`, also where two of them are of other steps.
    """
    runs = list(runs)
    return [found for mode in MODES for found in _of_mode(runs, suite, mode)]


def _of_mode(runs: list[VariantRun], suite: str, mode: Mode) -> Iterator[Measured]:
    read = {run: found for run in runs if (found := read_whole(run.predictions(suite, mode))) is not None}
    pairs = {run: found.pairs() for run, found in read.items()}
    for run, found in read.items():
        yield Measured(run, mode, found.about, score_report(score(pairs[run]), None, {}), _beside_single(run, pairs))


def _beside_single(run: VariantRun, pairs: Mapping[VariantRun, list[Pair]]) -> ComparisonReport | None:
    single = VariantRun(run.folder, SINGLE, run.seed)
    if run == single or single not in pairs:
        return None
    return comparison_report(compare(pairs[single], pairs[run]))

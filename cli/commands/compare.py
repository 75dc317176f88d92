"""`evaluate compare`: two files beside each other, and the gate that a release goes through."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import EXIT_WORSE, UsageProblem
from cli.evaluation_errors import reported
from cli.evaluation_options import FileFormat, Report, Resamples, Seed, predictions
from cli.options import AsJson, messages, output
from cli.run_notes import print_warnings
from cli.targets import require_apart
from evaluation.files import Format
from evaluation.replacing import write_whole
from evaluation.statistics import Correction

if TYPE_CHECKING:
    from evaluation.compared_files import Look
    from evaluation.report import ComparisonReport

First = Annotated[Path, predictions("What to compare with")]
Second = Annotated[Path, predictions("What to compare")]
# A fall of so many points should not go by unseen.
NOTICE = 5.0


def compare(
    first: First,
    second: Second,
    form: FileFormat = Format.RECORDS,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    fail_below: Annotated[
        bool, typer.Option("--fail-below", help="Exit with 3 where the second is worse beyond the interval.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="With --fail-below: look at this figure, again for another; all unless told."),
    ] = None,
    correction: Annotated[
        Correction | None,
        typer.Option(help="With --fail-below: what is done about many looks at one sample; holm unless told."),
    ] = None,
    notice: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help=f"With --fail-below: name figures that hide a fall of these points; {NOTICE:g}."
        ),
    ] = None,
    report_file: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare two files of predictions for the same cases: each difference with a 95 % interval.

    The bootstrap is paired. A case without a prediction is counted as wrong. With --format trajectories both files are
    of `evaluate trajectories`, compared question by question. With --fail-below the command is a gate: it exits with 3
    when the second is worse. Exits with 2 when the files cannot be compared.
    """
    require_apart([first, second], {"--output": report_file})
    with reported():
        from evaluation.compared_files import compare_files

        look = _look(metric, correction, notice) if _is_gate(fail_below, metric, correction, notice) else None
        report = compare_files(first, second, form, resamples=resamples, seed=seed, look=look)
        if report_file is not None:
            write_whole(report_file, report.model_dump_json(indent=2) + "\n")
    _print(report, as_json=as_json)
    if report.gate is not None and not report.gate.passed:
        raise typer.Exit(EXIT_WORSE)


def _is_gate(fail_below: bool, metric: list[str] | None, correction: Correction | None, notice: float | None) -> bool:
    given = {"--metric": bool(metric), "--correction": correction is not None, "--notice": notice is not None}
    if not fail_below and any(given.values()):
        option = next(name for name, is_given in given.items() if is_given)
        raise UsageProblem(f"{option} says what --fail-below looks at", remedy="add --fail-below, or leave it away")
    return fail_below


def _look(metric: list[str] | None, correction: Correction | None, notice: float | None) -> Look:
    from evaluation.compared_files import Look

    return Look(tuple(metric or ()), correction or Correction.HOLM, (NOTICE if notice is None else notice) / 100)


def _print(report: ComparisonReport, *, as_json: bool) -> None:
    from cli.comparison_view import print_comparison, print_gate

    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_comparison(output(), report)
    beside = messages() if as_json else output()
    for where, compared in (("in the first, ", report.first), ("in the second, ", report.second)):
        print_warnings(beside, [] if compared is None else compared.trained_on, where)
    if report.gate is not None:
        print_gate(beside, report, report.gate)

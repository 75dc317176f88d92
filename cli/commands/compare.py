"""`evaluate compare`: the differences of two files with intervals, and the release gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpha_umi.atomic import write_file
from cli.errors import EXIT_WORSE, UsageProblem, translate_evaluation_errors
from cli.options import AsJson, FileFormat, Report, Resamples, Seed, check_distinct_files, messages, output, predictions
from evaluation.files import Format
from evaluation.statistics import Correction

if TYPE_CHECKING:
    from evaluation.compare import GateOptions
    from evaluation.results import ComparisonReport

First = Annotated[Path, predictions("What to compare with")]
Second = Annotated[Path, predictions("What to compare")]
# A fall of these points should be detectable.
MDE_TARGET = 5.0


def compare(
    first: First,
    second: Second,
    form: FileFormat = Format.RECORDS,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    fail_below: Annotated[
        bool, typer.Option("--fail-below", help="Exit with 3 if the second file is worse beyond the interval.")
    ] = False,
    metric: Annotated[
        list[str] | None, typer.Option(help="With --fail-below: a metric to check; repeatable. Default: all.")
    ] = None,
    correction: Annotated[
        Correction | None,
        typer.Option(help="With --fail-below: the correction for multiple comparisons. Default: holm."),
    ] = None,
    mde_target: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help=f"With --fail-below: list metrics that cannot detect a fall of these points; {MDE_TARGET:g}.",
        ),
    ] = None,
    report_file: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare two files of predictions for the same cases: each difference with a 95 % interval.

    The bootstrap is paired. A case without a prediction counts as wrong. With --format trajectories both files are of
    `evaluate trajectories`; they are paired by question. With --fail-below the command is a gate: it exits with 3 when
    the second is worse. Exits with 2 when the files cannot be compared.
    """
    check_distinct_files([first, second], {"--output": report_file})
    with translate_evaluation_errors():
        from evaluation.compare import compare_files
        from evaluation.results import comparison_report

        gate = _gate(metric, correction) if _is_gate(fail_below, metric, correction, mde_target) else None
        compared = compare_files(first, second, form, resamples=resamples, seed=seed, gate=gate)
        target = (MDE_TARGET if mde_target is None else mde_target) / 100
        report = comparison_report(
            compared.comparison, compared.first, compared.second, compared.gate, mde_target=target
        )
        if report_file is not None:
            write_file(report_file, report.model_dump_json(indent=2) + "\n")
    _print(report, as_json=as_json)
    if report.gate is not None and not report.gate.passed:
        raise typer.Exit(EXIT_WORSE)


def _is_gate(
    fail_below: bool, metric: list[str] | None, correction: Correction | None, mde_target: float | None
) -> bool:
    given = {"--metric": bool(metric), "--correction": correction is not None, "--mde-target": mde_target is not None}
    if not fail_below and any(given.values()):
        option = next(name for name, is_given in given.items() if is_given)
        raise UsageProblem(
            f"{option} applies only with --fail-below", remedy="add --fail-below, or leave the option out"
        )
    return fail_below


def _gate(metric: list[str] | None, correction: Correction | None) -> GateOptions:
    from evaluation.compare import GateOptions

    return GateOptions(tuple(metric or ()), correction or Correction.HOLM)


def _print(report: ComparisonReport, *, as_json: bool) -> None:
    from cli.evaluation_view import comparison_blocks, gate_blocks, warnings
    from evaluation.page.terminal import print_blocks

    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_blocks(output(), comparison_blocks(report))
    beside = messages() if as_json else output()
    for where, compared in (("in the first, ", report.first), ("in the second, ", report.second)):
        print_blocks(beside, warnings([] if compared is None else compared.trained_on, where))
    if report.gate is not None:
        print_blocks(beside, gate_blocks(report, report.gate))

"""How good role models are: `generate` and `trajectories` ask them; `score` and `compare` read what they wrote.

`suites` lists what there is to measure on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpha_umi.atomic import write_file
from cli.commands.bfcl import bfcl
from cli.commands.compare import compare
from cli.commands.drift import drift
from cli.commands.generate import generate
from cli.commands.judge import judge
from cli.commands.report import report
from cli.commands.seal_tools import seal_tools
from cli.commands.suites import suites
from cli.commands.trajectories import trajectories
from cli.errors import UsageProblem, translate_evaluation_errors
from cli.options import AsJson, FileFormat, Report, Resamples, Seed, check_distinct_files, messages, output, predictions
from cli.reporting import ReportingGroup
from evaluation.files import Format

if TYPE_CHECKING:
    from evaluation.files.predictions import Predictions

app = typer.Typer(
    cls=ReportingGroup, no_args_is_help=True, help="Measure role models by steps, or by whole trajectories."
)
app.command()(generate)
app.command()(trajectories)
app.command()(bfcl)
app.command()(judge)
app.command("seal-tools")(seal_tools)
app.command()(suites)
app.command()(compare)
app.command()(drift)
app.command()(report)


File = Annotated[Path, predictions("Predictions")]
Published = Annotated[
    Path | None,
    typer.Option("--write-published", help="Write the predictions here in the published format.", dir_okay=False),
]


@app.command()
def score(
    file: File,
    form: FileFormat = Format.RECORDS,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    report_file: Report = None,
    published_file: Published = None,
    as_json: AsJson = False,
) -> None:
    """Score predictions: every metric with its number of steps and a 95 % interval.

    With --format published --json the seven published figures are printed under their published names, and nothing
    else. A case without a prediction is counted as wrong. With --format trajectories the file is one of `evaluate
    trajectories`. Exits with 2 when the file cannot be scored.
    """
    check_distinct_files([file], {"--output": report_file, "--write-published": published_file})
    if form is Format.TRAJECTORIES:
        _score_trajectories(file, report_file, published_file, resamples=resamples, seed=seed, as_json=as_json)
        return
    with translate_evaluation_errors():
        from cli.evaluation_view import missing_blocks, print_report, score_blocks
        from evaluation.files.published import write_published_file
        from evaluation.page.terminal import print_blocks
        from evaluation.results import published_figures, score_report
        from evaluation.scoring import score as score_pairs

        read = _read(file, form)
        scores = score_pairs(read.pairs, resamples=resamples, seed=seed)
        report = score_report(scores, read.about, read.costs)
        if published_file is not None:
            write_published_file(published_file, read.pairs)
        published = as_json and form is Format.PUBLISHED
        if published:
            if report_file is not None:
                write_file(report_file, report.model_dump_json(indent=2) + "\n")
            print_blocks(messages(), missing_blocks(report.missing))
            typer.echo(json.dumps(published_figures(scores), indent=2))
        else:
            print_report(output(), score_blocks(report), report, report_file, as_json)


def _score_trajectories(
    file: Path, report_file: Path | None, published_file: Path | None, *, resamples: int, seed: int, as_json: bool
) -> None:
    if published_file is not None:
        raise UsageProblem("--write-published: whole trajectories are no predictions", remedy="leave it away")
    with translate_evaluation_errors():
        from cli.evaluation_view import print_report, trajectory_blocks
        from evaluation.files.trajectory_run import read_trajectory_run
        from evaluation.results import trajectory_report

        report = trajectory_report(read_trajectory_run(file), resamples=resamples, seed=seed)
        print_report(output(), trajectory_blocks(report), report, report_file, as_json)


def _read(file: Path, form: Format) -> Predictions:
    from evaluation.files.predictions import read_predictions

    return read_predictions(file, form)

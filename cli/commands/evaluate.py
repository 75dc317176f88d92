"""`evaluate`: the group of evaluation commands, and those that read one file: `score`, `bfcl`, `seal-tools`.

`generate` and `trajectories` run models; the other commands read the files that these write. `suites` lists the suites.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alpha_umi.atomic import write_file
from alpha_umi.plain_text import plain_line
from cli.commands.compare import compare
from cli.commands.drift import drift
from cli.commands.generate import generate
from cli.commands.judge import judge
from cli.commands.report import report
from cli.commands.trajectories import trajectories
from cli.errors import UsageProblem, translate_evaluation_errors
from cli.options import AsJson, FileFormat, Report, Resamples, Seed, check_distinct_files, messages, output, predictions
from evaluation.files import Format

if TYPE_CHECKING:
    from evaluation.files.predictions import Predictions
    from recordings.suites.suite import ListedSuite


File = Annotated[Path, predictions("Predictions")]
Published = Annotated[
    Path | None,
    typer.Option("--write-published", help="Write the predictions here in the published format.", dir_okay=False),
]


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

    With --format published --json only the seven published figures are printed, under their published names. A case
    without a prediction counts as wrong. With --format trajectories the file is one of `evaluate trajectories`. Exits
    with 2 when the file cannot be scored.
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
        raise UsageProblem("--write-published: a file of trajectories has no predictions", remedy="leave it out")
    with translate_evaluation_errors():
        from cli.evaluation_view import print_report, trajectory_blocks
        from evaluation.files.trajectory_run import read_trajectory_run
        from evaluation.results import trajectory_report

        report = trajectory_report(read_trajectory_run(file), resamples=resamples, seed=seed)
        print_report(output(), trajectory_blocks(report), report, report_file, as_json)


def _read(file: Path, form: Format) -> Predictions:
    from evaluation.files.predictions import read_predictions

    return read_predictions(file, form)


def bfcl(
    file: Annotated[Path, typer.Argument(help="The file of a run of the suite `bfcl`.")], as_json: AsJson = False
) -> None:
    """Check the calls of a run with BFCL's own package, in an environment of its own.

    `make bfcl-setup` makes that environment, or ALPHA_UMI_BFCL_PYTHON names the Python of another. `evaluate score`
    computes the project's own metrics of the same file. Exits with 2 when the file cannot be checked.
    """
    with translate_evaluation_errors():
        from cli.evaluation_view import bfcl_blocks, print_report
        from evaluation.files import Format
        from evaluation.files.predictions import read_predictions
        from evaluation.official.bfcl import bfcl_report, checker_python

        python = checker_python(os.environ)
        report = bfcl_report(read_predictions(file, Format.RECORDS).pairs, python)
    print_report(output(), bfcl_blocks(report), report, None, as_json)


def seal_tools(
    file: Annotated[Path, typer.Argument(help="The file of a run of the suite `seal-tools`.")],
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Score a run as Seal-Tools does: format ACC, and P, R and F1 of tools and of parameters.

    Each has its denominator and a 95 % interval over requests. `evaluate score` computes the project's own metrics of
    the same file. Exits with 2 when the file cannot be scored.
    """
    with translate_evaluation_errors():
        from cli.evaluation_view import print_report, seal_tools_blocks
        from evaluation.files import Format
        from evaluation.files.predictions import read_predictions
        from evaluation.official.seal_tools import seal_tools_report

        report = seal_tools_report(read_predictions(file, Format.RECORDS).pairs, resamples=resamples, seed=seed)
    print_report(output(), seal_tools_blocks(report), report, None, as_json)


def suites(as_json: AsJson = False) -> None:
    """List the suites of the project: title, licence, and whether their data is available.

    ALPHA_UMI_DATA names the folder of the data. No data is read.
    """
    with translate_evaluation_errors():
        from recordings.suites.definition import DATA_VARIABLE, data_folder
        from recordings.suites.suite import listed_suites

        folder = data_folder(os.environ)
        listed = listed_suites(folder)
    if as_json:
        typer.echo(json.dumps([suite.model_dump(mode="json") for suite in listed], indent=2))
        return
    _print(output(), listed)
    if not all(suite.at_hand for suite in listed):
        message = f"put the missing data at the paths above, or name another folder than {folder} with {DATA_VARIABLE}"
        messages().print(Text(plain_line(message), style="yellow"), soft_wrap=True)


def _print(console: Console, listed: list[ListedSuite]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("suite", no_wrap=True)
    table.add_column("what it is")
    table.add_column("instructions", justify="right", no_wrap=True)
    table.add_column("data", no_wrap=True)
    for suite in listed:
        at_hand = Text("present", style="green") if suite.at_hand else Text("missing", style="yellow")
        table.add_row(suite.name, suite.title, f"{suite.instructions:,}", at_hand)
    console.print(table)
    for suite in listed:
        _print_origin(console, suite)


def _print_origin(console: Console, suite: ListedSuite) -> None:
    """The licence of a suite, the path of its data, and, if the data is missing, its source."""
    console.print(Text(f"\n{suite.name}: {suite.licence}"), soft_wrap=True)
    console.print(Text(f"  {plain_line(str(suite.data))}", style="dim"), soft_wrap=True)
    if not suite.at_hand:
        console.print(Text(f"  missing: {plain_line(suite.source)}", style="yellow"), soft_wrap=True)


app = typer.Typer(no_args_is_help=True, help="Measure role models by steps, or by trajectories.")
app.command()(generate)
app.command()(trajectories)
app.command()(bfcl)
app.command()(judge)
app.command("seal-tools")(seal_tools)
app.command()(suites)
app.command()(compare)
app.command()(drift)
app.command()(report)
app.command()(score)

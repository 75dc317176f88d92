"""`evaluate report`: runs, trainings and verdicts as an HTML page and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.atomic import write_files
from alpha_umi.plain_text import plain_line
from alpha_umi.quantities import pluralize
from cli.errors import translate_evaluation_errors
from cli.options import Resamples, Seed, check_distinct_files, messages

TITLE = "Runs of role models"


def report(
    runs: Annotated[list[Path], typer.Argument(help="Files of runs, of steps and of trajectories.")],
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Write one self-contained HTML page here.", dir_okay=False)
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write the tables here, as Markdown.", dir_okay=False)
    ] = None,
    trainings: Annotated[
        list[Path] | None, typer.Option("--training", help="A folder of `train run`; repeatable.", show_default=False)
    ] = None,
    verdicts: Annotated[
        list[Path] | None,
        typer.Option("--verdicts", help="A file of `evaluate judge`; repeatable.", show_default=False),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=50, help="Examples for each number; 0 for none.")] = 3,
    title: Annotated[str, typer.Option(help="Title of the report.")] = TITLE,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
) -> None:
    """Compare runs side by side: metrics with intervals, errors, and the steps behind every number.

    Without --output and --markdown the Markdown is printed. Runs of different suites or cases get sections of their
    own. Exits with 2 when a file is not a run, or cannot be read.
    """
    with translate_evaluation_errors():
        from evaluation.page.html import render_page
        from evaluation.page.markdown import render_markdown
        from evaluation.reporting.document import Report, report_sections
        from evaluation.reporting.inputs import BootstrapOptions, read_runs, with_verdicts
        from evaluation.reporting.training import read_trainings, training_files

        read = [*runs, *(verdicts or []), *training_files(trainings or [])]
        check_distinct_files(read, {"--output": output_file, "--markdown": markdown_file})
        bootstrap = BootstrapOptions(resamples, seed)
        all_runs = with_verdicts(read_runs(runs, bootstrap), verdicts or [], bootstrap)
        given = Report(all_runs, read_trainings(trainings or []), bootstrap, examples)
        sections = report_sections(given)
        outputs = [(output_file, render_page), (markdown_file, render_markdown)]
        write_files({path: render(title, sections) for path, render in outputs if path is not None})
    if output_file is None and markdown_file is None:
        typer.echo(render_markdown(title, sections), nl=False)
    for path in filter(None, (output_file, markdown_file)):
        messages().print(f"{plain_line(str(path))}: {pluralize(len(runs), 'run')}", markup=False)

"""`evaluate drift`: which role goes wrong in live traffic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpha_umi.atomic import write_file
from cli.errors import EXIT_WORSE, translate_evaluation_errors
from cli.options import AsJson, Resamples, Seed, check_distinct_files, output

if TYPE_CHECKING:
    from evaluation.drift.report import DriftReport


def drift(
    exports: Annotated[list[Path], typer.Argument(help="Files of `alpha-umi export`, or of `show --json`.")],
    window: Annotated[str, typer.Option(help="Length of a window: a number and m, h, d or w.")] = "1d",
    reference: Annotated[
        Path | None,
        typer.Option(help="An export to hold the windows against; the first windows by default.", show_default=False),
    ] = None,
    reference_windows: Annotated[int, typer.Option(min=1, help="So many first windows are the reference.")] = 1,
    page_file: Annotated[
        Path | None, typer.Option("--output", help="Write a page of all figures to this file, HTML.", dir_okay=False)
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out lines that are no trajectory.")] = False,
    fail_on_alarm: Annotated[
        bool,
        typer.Option(
            "--fail-on-alarm",
            help="Exit with 3 where a role goes wrong in the newest window that is over, or in the running one.",
        ),
    ] = False,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Lay windows of time over served trajectories, and say which role goes wrong.

    Each role's figures (gave up, repairs, unreadable outputs, repeated calls, unknown tools, failures, milliseconds,
    tokens) are held against a reference. Exits with 2 when the exports cannot be used.
    """
    check_distinct_files([*exports, *([reference] if reference else [])], {"--output": page_file})
    with translate_evaluation_errors():
        from evaluation.drift.page import drift_page
        from evaluation.drift.report import drift_report
        from evaluation.drift.served import read_served
        from evaluation.drift.windows import drift as drift_of
        from evaluation.drift.windows import window_length

        length = window_length(window)
        served = read_served(exports, skip_broken=skip_broken)
        basis = () if reference is None else read_served([reference], skip_broken=skip_broken).trajectories
        drift = drift_of(
            served.trajectories,
            length,
            reference=basis,
            reference_windows=reference_windows,
            resamples=resamples,
            seed=seed,
        )
        report = drift_report(drift, served.excluded, now=datetime.now(UTC), resamples=resamples, seed=seed)
        if page_file is not None:
            write_file(page_file, drift_page(drift, report))
    _print(report, as_json=as_json)
    if fail_on_alarm and report.alarming_roles:
        raise typer.Exit(EXIT_WORSE)


def _print(report: DriftReport, *, as_json: bool) -> None:
    from cli.evaluation_view import drift_blocks, print_report

    print_report(output(), drift_blocks(report), report, None, as_json)

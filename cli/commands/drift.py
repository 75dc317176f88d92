"""`evaluate drift`: changes of each role in live traffic."""

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
        typer.Option(help="An export to compare the windows with. Default: the first windows.", show_default=False),
    ] = None,
    reference_windows: Annotated[int, typer.Option(min=1, help="Number of first windows that form the reference.")] = 1,
    page_file: Annotated[
        Path | None, typer.Option("--output", help="Write an HTML page of all metrics to this file.", dir_okay=False)
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Skip lines that are not trajectories.")] = False,
    fail_on_alarm: Annotated[
        bool,
        typer.Option(
            "--fail-on-alarm", help="Exit with 3 if a role has an alarm in the newest full window or a later one."
        ),
    ] = False,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Group served trajectories into time windows, and report the roles that got worse.

    Each role's metrics (gave up, repairs, unreadable outputs, repeated calls, unknown tools, failures, milliseconds,
    tokens) are compared with a reference. Exits with 2 when the exports cannot be used.
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

"""`evaluate judge`: a language model judges whole trajectories."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from alpha_umi.contract.http import is_loopback
from cli.errors import UsageProblem, translate_evaluation_errors
from cli.generation_view import progress_bar
from cli.local.signals import run_until_signal
from cli.options import AsJson, Resamples, Seed, check_distinct_files, checked_address, messages, output, read_key
from evaluation.quantities import pluralize

if TYPE_CHECKING:
    from evaluation.judge.chat_client import JudgeAddress
    from evaluation.judge.judge import JudgeTask
    from evaluation.judge.verdicts import Verdicts

KEY_VARIABLE = "ALPHA_UMI_JUDGE_KEY"


class ProcedureChoice(StrEnum):
    """The published procedures."""

    PASSES = "toolbench-pass"
    SOLVES = "stabletoolbench-pass"
    WINS = "toolbench-win"
    TOOLALPACA = "toolalpaca"


def judge(
    run: Annotated[Path, typer.Argument(help="The file of a run of whole trajectories.")],
    judge_url: Annotated[str, typer.Option(envvar="ALPHA_UMI_JUDGE_URL", help="Its chat completions: http://HOST/v1.")],
    judge_model: Annotated[str, typer.Option(envvar="ALPHA_UMI_JUDGE_MODEL", help="The name of its model.")],
    output_file: Annotated[
        Path, typer.Option("--output", help="The file of verdicts; one that is there is taken up.", dir_okay=False)
    ],
    procedure: Annotated[
        ProcedureChoice | None,
        typer.Option(
            help="How it is judged; by default toolbench-win with --against, else stabletoolbench-pass.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="For toolbench-win: the file of the run that it has to beat.", dir_okay=False)
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Verdicts on each trajectory.")] = 1,
    judge_key_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the judge's key; else {KEY_VARIABLE} has it.", dir_okay=False),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Suite with the tools or golden calls; by default that of the run.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Verdicts that are asked at a time.")] = 4,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a judge that is unavailable.")] = 120.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one of its answers.")] = 120.0,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="Write the whole report to this file, as JSON.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a language model judge whole trajectories, by the published procedures of ToolBench and ToolAlpaca.

    Verdicts are kept with what the judge wrote; a file that is there is taken up. Exits with 1 when the judge went away
    (the file is kept), 2 when it does not take questions, or nothing can be judged as it was given.
    """
    chosen = procedure or (ProcedureChoice.SOLVES if against is None else ProcedureChoice.WINS)
    if (chosen is ProcedureChoice.WINS) != (against is not None):
        raise UsageProblem("toolbench-win, and nothing else, compares two runs", remedy="name the other with --against")
    read = [run] if against is None else [run, against]
    check_distinct_files(read, {"--output": output_file, "--report": report_file})
    key = read_key(judge_key_file, "--judge-key-file", KEY_VARIABLE)
    with translate_evaluation_errors():
        from cli.evaluation_view import print_report, verdict_blocks
        from evaluation.judge.chat_client import JudgeAddress
        from evaluation.judge.judge import JudgeTarget, plan_judging
        from evaluation.judge.report import judge_report
        from recordings.suites.definition import data_folder

        address = JudgeAddress(checked_address(judge_url, "--judge-url"), judge_model, key, timeout)
        task = plan_judging(
            JudgeTarget(run, chosen.value, against, suite), judge_model, repeat, data_folder(os.environ)
        )
        if task.not_run:
            absent = f"not run yet, and so in no figure: {pluralize(task.not_run, 'trajectory')} of the run"
            messages().print(absent, style="yellow", soft_wrap=True)
        verdicts = run_until_signal(_judged(address, task, output_file, concurrency, wait))
        report = judge_report(verdicts, resamples=resamples, seed=seed)
        print_report(output(), verdict_blocks(report), report, report_file, as_json)


async def _judged(address: JudgeAddress, task: JudgeTask, path: Path, concurrency: int, wait_s: float) -> Verdicts:
    from alpha_umi.client.retry import RetryPolicy
    from evaluation.judge.chat_client import Judge
    from evaluation.judge.judge import judge_all

    # A proxy of the environment is for other machines.
    outside = not is_loopback(httpx.URL(address.url).host)
    async with Judge(address, RetryPolicy(wait_s=wait_s), trust_env=outside) as judge:
        with progress_bar(messages(), task.about.trajectories * task.about.repeat) as advance:
            return await judge_all(judge, task, path, concurrency=concurrency, on_verdict=lambda _: advance())

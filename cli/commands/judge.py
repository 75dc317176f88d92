"""`evaluate judge`: a language model rates trajectories."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from alpha_umi.contract.http import is_loopback
from alpha_umi.quantities import pluralize
from cli.errors import UsageProblem, translate_evaluation_errors
from cli.generation_view import progress_bar
from cli.local.signals import run_until_signal
from cli.options import (
    AsJson,
    ReportFile,
    Resamples,
    Seed,
    check_distinct_files,
    checked_address,
    messages,
    output,
    read_key,
)

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
    run: Annotated[Path, typer.Argument(help="A file of `evaluate trajectories`.")],
    judge_url: Annotated[
        str,
        typer.Option(envvar="ALPHA_UMI_JUDGE_URL", help="Base address of the chat completions API: http://HOST/v1."),
    ],
    judge_model: Annotated[str, typer.Option(envvar="ALPHA_UMI_JUDGE_MODEL", help="Name of the judge's model.")],
    output_file: Annotated[
        Path, typer.Option("--output", help="The file of verdicts; an existing one is resumed.", dir_okay=False)
    ],
    procedure: Annotated[
        ProcedureChoice | None,
        typer.Option(
            help="The procedure. Default: toolbench-win with --against, else stabletoolbench-pass.", show_default=False
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="For toolbench-win: the file of the other run.", dir_okay=False)
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Verdicts on each trajectory.")] = 1,
    judge_key_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the judge's API key. Default: the variable {KEY_VARIABLE}.", dir_okay=False),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Suite with the tools or golden calls. Default: that of the run.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Concurrent verdicts.")] = 4,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a judge that is unavailable.")] = 120.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Timeout of one answer, in seconds.")] = 120.0,
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    report_file: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Rate trajectories with a language model, by the published procedures of ToolBench and ToolAlpaca.

    Verdicts are stored with the judge's texts; an existing file is resumed. Exits with 1 when the judge became
    unavailable (the file stays), 2 when it refuses requests or the arguments cannot be used.
    """
    chosen = procedure or (ProcedureChoice.SOLVES if against is None else ProcedureChoice.WINS)
    if (chosen is ProcedureChoice.WINS) != (against is not None):
        raise UsageProblem("only toolbench-win compares two runs", remedy="name the other with --against")
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
            absent = f"not run yet, in no figure: {pluralize(task.not_run, 'trajectory')} of the run"
            messages().print(absent, style="yellow", soft_wrap=True)
        verdicts = run_until_signal(_judged(address, task, output_file, concurrency, wait))
        report = judge_report(verdicts, resamples=resamples, seed=seed)
        print_report(output(), verdict_blocks(report), report, report_file, as_json)


async def _judged(address: JudgeAddress, task: JudgeTask, path: Path, concurrency: int, wait_s: float) -> Verdicts:
    from alpha_umi.client.retry import RetryPolicy
    from evaluation.judge.chat_client import Judge
    from evaluation.judge.judge import judge_all

    # Loopback: ignore proxy variables.
    outside = not is_loopback(httpx.URL(address.url).host)
    async with Judge(address, RetryPolicy(wait_s=wait_s), trust_env=outside) as judge:
        with progress_bar(messages(), task.about.trajectories * task.about.repeat) as advance:
            return await judge_all(judge, task, path, concurrency=concurrency, on_verdict=lambda _: advance())

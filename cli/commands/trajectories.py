"""`evaluate trajectories`: run the instructions of a suite on an orchestrator, with tools that this command serves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from alpha_umi.contract.http import is_loopback
from alpha_umi.contract.trajectories import MAX_STEPS, MAX_TOKENS
from alpha_umi.roles.turns import Role
from cli.commands.questions import StrategyName
from cli.errors import translate_evaluation_errors
from cli.generation_view import print_calls, print_excluded, print_findings, print_unknown_models, progress_bar
from cli.local.signals import run_until_signal
from cli.local.state import RunRecord
from cli.options import (
    ApiKey,
    AsJson,
    ReportFile,
    RunFile,
    StateDir,
    SuiteName,
    Url,
    check_distinct_files,
    checked_address,
    messages,
    orchestrator_address,
    output,
    read_key,
    state_folder,
)

if TYPE_CHECKING:
    from alpha_umi.client.orchestrator import Readiness
    from alpha_umi.contract.trajectories import Strategy
    from evaluation.replay.virtual import VirtualServer
    from evaluation.results import TrajectoryReport
    from evaluation.run.models import RoleModels
    from recordings.suites.suite import Suite

TOOLBENCH_KEY_VARIABLE = "ALPHA_UMI_TOOLBENCH_KEY"


class StripName(StrEnum):
    """How a ToolBench tool server shortens answers."""

    TRUNCATE = "truncate"
    FILTER = "filter"
    RANDOM = "random"


ToolServer = Annotated[
    str | None,
    typer.Option(
        help="A ToolBench tool server: http://HOST:8080, or the full address if its path is not /virtual.",
        show_default=False,
    ),
]
ToolKeyFile = Annotated[
    Path | None,
    typer.Option(
        help=f"A file with its key. Default: the variable {TOOLBENCH_KEY_VARIABLE}.", dir_okay=False, show_default=False
    ),
]
ToolTimeout = Annotated[float, typer.Option(min=0.1, max=600, help="Timeout of a call of the tool server, in seconds.")]
Strip = Annotated[StripName, typer.Option(help="How the tool server shortens answers.")]
MaxObservation = Annotated[int, typer.Option(min=1, help="Maximum characters of an answer that the planner sees.")]


def trajectories(
    suite: SuiteName,
    output_file: RunFile,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Run a sample of this many trajectories.", show_default=False)
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Maximum number of steps; then an answer is requested.", show_default=False),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_TOKENS, help="Token budget of all models; then an answer is requested.", show_default=False
        ),
    ] = None,
    max_repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_STEPS,
            help=f"Equal calls with equal results that end a trajectory; {MAX_STEPS}: no limit.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Concurrent trajectories.")] = 4,
    strategy: Annotated[
        StrategyName, typer.Option(help="The three role models, a search with them, or the single model.")
    ] = StrategyName.CHAIN,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for an orchestrator or a tool server that is unavailable.")
    ] = 120.0,
    tool_server: ToolServer = None,
    tool_key_file: ToolKeyFile = None,
    tool_timeout: ToolTimeout = 15.0,
    strip: Strip = StripName.TRUNCATE,
    max_observation: MaxObservation = 1024,
    url: Url = None,
    api_key: ApiKey = None,
    role_token: Annotated[
        str | None,
        typer.Option(
            envvar="ALPHA_UMI_ROLE_TOKEN",
            help="Token of the role services behind the orchestrator, which report their models.",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    report_file: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Run the trajectories of a suite on an orchestrator, without the internet, and measure them.

    Tools that replay their recorded answers (a calculator for GSM8K) are served here and registered for the time of
    the run. ToolBench's questions need a server of its tools, which is called through this command. An existing file
    is resumed. Exits with 1 when the orchestrator or the tool server stayed unavailable (the file stays), 2 when the
    command cannot be carried out as it was given.
    """
    address = orchestrator_address(url, state_dir)
    named = _virtual_server(tool_server, tool_key_file, tool_timeout, strip, max_observation)
    with translate_evaluation_errors():
        from cli.evaluation_view import print_report, trajectory_blocks
        from recordings.suites.definition import data_folder
        from recordings.suites.suite import load_suite, suite_files

        data = data_folder(os.environ)
        check_distinct_files(suite_files(suite, data), {"--output": output_file, "--report": report_file})
        loaded = load_suite(suite, data)
        up = state_folder(state_dir).read_run()
        run = _Run(
            loaded,
            output_file,
            limit,
            max_steps,
            max_tokens,
            max_repeats,
            concurrency,
            strategy.value,
            wait,
            up,
            role_token,
            named,
        )
        report = run_until_signal(run.at(address, api_key))
        print_report(output(), trajectory_blocks(report), report, report_file, as_json)


@dataclass(frozen=True)
class _Run:
    """The options of one run. `up`: the services that were started on this machine; `role_token`: the option's."""

    suite: Suite
    path: Path
    limit: int | None
    max_steps: int | None
    max_tokens: int | None
    max_repeats: int | None
    concurrency: int
    strategy: Strategy
    wait_s: float
    up: RunRecord | None
    role_token: str | None = field(repr=False)
    tool_server: VirtualServer | None

    async def at(self, address: str, api_key: str | None) -> TrajectoryReport:
        """Run on the orchestrator at `url`."""
        from alpha_umi.client.orchestrator import OrchestratorClient
        from alpha_umi.client.retry import NO_RETRY, RetryPolicy
        from evaluation.replay.virtual import VirtualTools
        from evaluation.results import trajectory_report
        from evaluation.run.ask import RunOptions
        from evaluation.run.trajectories import measure_trajectories, plan_trajectories, require_tools

        virtual = None if self.tool_server is None else VirtualTools(self.tool_server)
        require_tools(self.suite, virtual)
        if virtual is not None:
            await virtual.ready(NO_RETRY)
        policy = RetryPolicy(wait_s=self.wait_s)
        async with OrchestratorClient(address, api_key=api_key, retry=policy, resume=policy) as client:
            print_excluded(messages(), self.suite.excluded_trajectories)
            readiness = await client.without_retry().ready()
            task = plan_trajectories(
                self.suite,
                limit=self.limit,
                max_steps=self.max_steps,
                max_tokens=self.max_tokens,
                max_repeats=self.max_repeats,
                strategy=self.strategy,
                models=await self._models(readiness),
                constrained=readiness.constrained,
                virtual=virtual,
            )
            options = RunOptions(self.strategy, self.max_steps, self.max_tokens, self.max_repeats, tools=virtual)
            with progress_bar(messages(), task.about.trajectories) as advance:
                done = await measure_trajectories(
                    client, task, self.path, options, concurrency=self.concurrency, on_result=lambda _: advance()
                )
        if virtual is not None:
            print_calls(messages(), virtual.counts)
        return trajectory_report(done)

    async def _models(self, readiness: Readiness) -> RoleModels | None:
        from evaluation.run.models import ModelsUnknown, discover_models

        try:
            models = await discover_models(readiness, self.strategy, self.suite.digests, self._token)
        except ModelsUnknown as unknown:
            print_unknown_models(messages(), unknown)
            return None
        print_findings(messages(), {role: info.id for role, info in models.infos.items()}, models.findings)
        return models

    def _token(self, role: Role, url: str) -> str | None:
        """The token of the services that run here is sent only to these; others get that of --role-token."""
        own = self.up is not None and self.up.url_of(role) == url
        return self.up.role_token if self.up is not None and own else self.role_token


def _virtual_server(
    url: str | None, key_file: Path | None, timeout_s: float, strip: StripName, max_characters: int
) -> VirtualServer | None:
    """The ToolBench tool server, or None without a `url`. Raises `UsageProblem`."""
    if url is None:
        return None
    from evaluation.replay.virtual import VirtualServer

    key = read_key(key_file, "--tool-key-file", TOOLBENCH_KEY_VARIABLE)
    address = checked_address(url, "--tool-server")
    # Loopback: ignore proxy variables.
    trust_env = not is_loopback(httpx.URL(address).host)
    return VirtualServer(address, key, strip.value, max_characters, timeout_s, trust_env=trust_env)

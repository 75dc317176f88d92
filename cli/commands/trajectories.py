"""`evaluate trajectories`: whole instructions of a suite for a running orchestrator, with tools of ours."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpha_umi.contract.trajectories import MAX_STEPS, MAX_TOKENS
from alpha_umi.roles.turns import RoleName
from cli.client import is_loopback
from cli.commands.questions import StrategyName
from cli.evaluation_errors import reported
from cli.generation_view import print_calls, print_findings, print_left_out, print_unknown_models, progress_bar
from cli.interrupts import run_until_signal
from cli.options import ApiKey, AsJson, StateDir, Url, messages, orchestrator_address, output, state_folder
from cli.state import RunRecord
from cli.targets import require_apart
from cli.tool_server import MaxObservation, Strip, StripName, ToolKeyFile, ToolServer, ToolTimeout, virtual_server

if TYPE_CHECKING:
    from alpha_umi.contract.trajectories import Strategy
    from evaluation.asked_models import AskedModels
    from evaluation.orchestrator import Readiness
    from evaluation.replay.virtual import VirtualServer
    from evaluation.results import TrajectoryReport
    from evaluation.suites.suite import Suite


def trajectories(
    suite: Annotated[str, typer.Option(help="Name of a suite, or its file; parts of it behind a colon.")],
    output_file: Annotated[
        Path, typer.Option("--output", help="The file of the run; one that is there is taken up.", dir_okay=False)
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask for a sample of so many trajectories.", show_default=False)
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, max=64, help="Steps after which an answer is demanded.", show_default=False)
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_TOKENS, help="Tokens of all models after which an answer is demanded.", show_default=False
        ),
    ] = None,
    max_repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_STEPS,
            help=f"Equal calls with equal results that end one; {MAX_STEPS}: none.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Trajectories that are asked at a time.")] = 4,
    strategy: Annotated[
        StrategyName, typer.Option(help="Three models in turn, as a search, or a single one.")
    ] = StrategyName.CHAIN,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds that the orchestrator, or the tool server, may be away.")
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
            help="Token of the role services, which are asked for their models where the orchestrator says they are.",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="Write the whole report to this file, as JSON.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running orchestrator for whole trajectories of a suite, without the internet, and measure them.

    Tools that answer as they were recorded (a calculator for GSM8K) are served here and registered for the time of the
    run. ToolBench's questions have a server of its tools, which is asked through this command. A file that is there is
    taken up. Exits with 1 when the orchestrator or the tool server went away (the file is kept), 2 when the run cannot
    be as it was given.
    """
    address = orchestrator_address(url, state_dir)
    named = virtual_server(tool_server, tool_key_file, tool_timeout, strip, max_observation)
    with reported():
        from cli.evaluation_view import print_report, trajectory_blocks
        from evaluation.suites.data import data_folder
        from evaluation.suites.suite import load_suite, suite_files

        data = data_folder(os.environ)
        require_apart(suite_files(suite, data), {"--output": output_file, "--report": report_file})
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
            patience,
            up,
            role_token,
            named,
        )
        report = run_until_signal(run.at(address, api_key))
        print_report(output(), trajectory_blocks(report), report, report_file, as_json)


@dataclass(frozen=True)
class _Run:
    """One run, as it was given. `up` is what was started on this machine, `role_token` what the user named."""

    suite: Suite
    path: Path
    limit: int | None
    max_steps: int | None
    max_tokens: int | None
    max_repeats: int | None
    concurrency: int
    strategy: Strategy
    patience_s: float
    up: RunRecord | None
    role_token: str | None = field(repr=False)
    tool_server: VirtualServer | None

    async def at(self, address: str, api_key: str | None) -> TrajectoryReport:
        """Carry it out."""
        from evaluation.asking import Asking
        from evaluation.orchestrator import AT_ONCE, client_of, ready
        from evaluation.patience import Patience
        from evaluation.replay.virtual import VirtualTools
        from evaluation.results import trajectory_report
        from evaluation.trajectories import measure_whole, plan_whole, require_tools

        virtual = None if self.tool_server is None else VirtualTools(self.tool_server)
        require_tools(self.suite, virtual)
        if virtual is not None:
            await virtual.ready(AT_ONCE)
        # A proxy of the environment is for other machines.
        async with client_of(address, api_key=api_key, trust_env=not is_loopback(address)) as client:
            print_left_out(messages(), self.suite.trajectories_left_out)
            readiness = await ready(client)
            task = plan_whole(
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
            patience = Patience(away_s=self.patience_s)
            asking = Asking(
                self.strategy, self.max_steps, self.max_tokens, patience, max_repeats=self.max_repeats, tools=virtual
            )
            with progress_bar(messages(), task.about.trajectories) as advance:
                done = await measure_whole(
                    client, task, self.path, asking, concurrency=self.concurrency, on_asked=lambda _: advance()
                )
        if virtual is not None:
            print_calls(messages(), virtual.counts)
        return trajectory_report(done)

    async def _models(self, readiness: Readiness) -> AskedModels | None:
        from evaluation.reached_models import ModelsUnknown, reached_models

        try:
            models = await reached_models(readiness, self.strategy, self.suite.digests, self._token)
        except ModelsUnknown as unknown:
            print_unknown_models(messages(), unknown)
            return None
        print_findings(messages(), {role: info.id for role, info in models.infos.items()}, models.findings)
        return models

    def _token(self, role: RoleName, url: str) -> str | None:
        """What is up has its own token, which is shown to nobody else; all others are shown the one that was named."""
        own = self.up is not None and self.up.url_of(role) == url
        return self.up.role_token if self.up is not None and own else self.role_token

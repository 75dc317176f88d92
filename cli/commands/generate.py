"""`evaluate generate`: put the steps of a suite to role services."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpha_umi.roles.turns import RoleName
from cli.commands.questions import StrategyName
from cli.evaluation_errors import reported
from cli.generation_view import print_findings, print_generated, progress_bar
from cli.options import StateDir, messages, output
from cli.role_access import RoleAccess, role_access

if TYPE_CHECKING:
    from evaluation.generate import Generated
    from evaluation.predicting import Strategy
    from evaluation.suites.suite import Suite


def _address_of(role: RoleName) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(
        f"--{role}-url",
        envvar=f"ALPHA_UMI_{role.upper()}_URL",
        help=f"Address of the {role}, or several, comma separated; by default the one that is up.",
        show_default=False,
    )
    return info


PlannerUrl = Annotated[str | None, _address_of("planner")]
CallerUrl = Annotated[str | None, _address_of("caller")]
SummarizerUrl = Annotated[str | None, _address_of("summarizer")]
BackboneUrl = Annotated[str | None, _address_of("backbone")]


def generate(
    suite: Annotated[str, typer.Option(help="Name of a suite, or its file; parts of it behind a colon.")],
    output_file: Annotated[
        Path, typer.Option("--output", help="The file of the run; one that is there is taken up.", dir_okay=False)
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask for a sample of so many steps.", show_default=False)
    ] = None,
    constrained: Annotated[
        bool, typer.Option("--constrained/--free", help="Whether the models write inside grammars.")
    ] = True,
    strategy: Annotated[StrategyName, typer.Option(help="Three models in turn, or a single one.")] = StrategyName.CHAIN,
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Steps that are asked at a time.")] = 8,
    patience: Annotated[float, typer.Option(min=0, help="Seconds that a service may be away on the way.")] = 120.0,
    planner_url: PlannerUrl = None,
    caller_url: CallerUrl = None,
    summarizer_url: SummarizerUrl = None,
    backbone_url: BackboneUrl = None,
    role_token: Annotated[
        str | None, typer.Option(envvar="ALPHA_UMI_ROLE_TOKEN", help="Token of the services.", show_default=False)
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Ask the role services for every step of a suite, and write what they write to a file, line by line.

    A file that is there is taken up: steps that it has are not asked again. Exits with 1 when a service went away on
    the way (the file is kept), 2 when the run cannot be as it was given.
    """
    named: dict[RoleName, str | None] = (
        {"backbone": backbone_url}
        if strategy is StrategyName.SINGLE
        else {"planner": planner_url, "caller": caller_url, "summarizer": summarizer_url}
    )
    access = role_access(named, role_token, state_dir)
    with reported():
        from evaluation.suites.data import data_folder
        from evaluation.suites.suite import load_suite

        loaded = load_suite(suite, data_folder(os.environ))
        run = _Run(loaded, output_file, limit, strategy.value, constrained, concurrency, patience)
        generated = asyncio.run(run.at(access))
    print_generated(output(), output_file, generated)


@dataclass(frozen=True)
class _Run:
    """One run, as it was given."""

    suite: Suite
    path: Path
    limit: int | None
    strategy: Strategy
    constrained: bool
    concurrency: int
    patience_s: float

    async def at(self, access: RoleAccess) -> Generated:
        """Carry it out."""
        from evaluation.generate import generate as generate_into
        from evaluation.generate import plan_task
        from evaluation.role_services import Patience, role_services

        patience = Patience(away_s=self.patience_s)
        async with role_services(access.addresses, token=access.token, patience=patience) as services:
            task = await plan_task(
                services, self.suite, limit=self.limit, strategy=self.strategy, constrained=self.constrained
            )
            print_findings(messages(), {role: model["id"] for role, model in task.about.models.items()}, task.findings)
            with progress_bar(messages(), task.about.cases) as advance:
                return await generate_into(
                    services, task, self.path, concurrency=self.concurrency, on_prediction=lambda _: advance()
                )

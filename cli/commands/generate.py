"""`evaluate generate`: predict the steps of a suite with role services, or with engines in this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from alpha_umi.roles.turns import Role
from cli.errors import EXIT_FAILED, UsageProblem, translate_evaluation_errors
from cli.generation_view import loading, print_excluded, print_findings, print_generated, progress_bar
from cli.in_process import LoadedRoles, ModelChoice, engine_failed, load_roles, redirect_output, services_in_process
from cli.local.services import HOST, Ports
from cli.local.signals import run_until_signal
from cli.local.state import RunRecord
from cli.options import RunFile, StateDir, SuiteName, checked_address, messages, output, state_folder

if TYPE_CHECKING:
    from alpha_umi.client.roles import RoleServices
    from evaluation.run.steps import Generated, StepStrategy
    from recordings.suites.suite import Suite

# Concurrent steps: for services, which may be shared; and in process, to keep an engine's batch full.
OF_SERVICES = 8
IN_PROCESS = 64


def _address_of(role: Role) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(
        f"--{role}-url",
        envvar=f"ALPHA_UMI_{role.upper()}_URL",
        help=f"Address of the {role}, or several, comma separated. Default: the running one.",
        show_default=False,
    )
    return info


PlannerUrl = Annotated[str | None, _address_of("planner")]
CallerUrl = Annotated[str | None, _address_of("caller")]
SummarizerUrl = Annotated[str | None, _address_of("summarizer")]
BackboneUrl = Annotated[str | None, _address_of("backbone")]


def _folder(name: str, what: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(name, help=f"With --in-process: {what}", show_default=False)
    return info


class StepStrategyName(StrEnum):
    """The models that write a step. A search (`dfsdt`) needs trajectories."""

    CHAIN = "chain"
    SINGLE = "single"


def generate(
    suite: SuiteName,
    output_file: RunFile,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Predict a sample of this many steps.", show_default=False)
    ] = None,
    constrained: Annotated[
        bool, typer.Option("--constrained/--unconstrained", help="Grammar-constrained decoding, or free generation.")
    ] = True,
    strategy: Annotated[
        StepStrategyName, typer.Option(help="The three role models, or the single model.")
    ] = StepStrategyName.CHAIN,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=512,
            help=f"Concurrent steps. Default: {OF_SERVICES}; {IN_PROCESS} with --in-process.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a service that is unavailable.")] = 120.0,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run the models in this process, without services.")
    ] = False,
    model: Annotated[str | None, _folder("--model", "the model folder of all roles, or a hub id.")] = None,
    models: Annotated[
        str | None, _folder("--models", "a folder (or hub id) with a model folder for each role.")
    ] = None,
    adapters: Annotated[
        str | None, _folder("--adapters", "a folder (or hub id) with an adapter for each role.")
    ] = None,
    planner_url: PlannerUrl = None,
    caller_url: CallerUrl = None,
    summarizer_url: SummarizerUrl = None,
    backbone_url: BackboneUrl = None,
    role_token: Annotated[
        str | None, typer.Option(envvar="ALPHA_UMI_ROLE_TOKEN", help="Token of the services.", show_default=False)
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Predict every step of a suite with the role services, and write the predictions to a file, line by line.

    An existing file is resumed: its steps are not predicted again. Exits with 1 when a service failed or stayed
    unavailable, or an engine died (the file stays), 2 when the command cannot be carried out as it was given.
    """
    choice = ModelChoice(model, models, adapters)
    named: dict[Role, str | None] = (
        {"backbone": backbone_url}
        if strategy is StepStrategyName.SINGLE
        else {"planner": planner_url, "caller": caller_url, "summarizer": summarizer_url}
    )
    _require_one_way(named, choice, in_process=in_process)
    access = None if in_process else role_access(named, role_token, state_dir)
    with translate_evaluation_errors():
        from recordings.suites.definition import data_folder
        from recordings.suites.suite import load_suite

        loaded = load_suite(suite, data_folder(os.environ))
        at_once = concurrency or (IN_PROCESS if in_process else OF_SERVICES)
        run = _Run(loaded, output_file, limit, strategy.value, constrained, at_once, wait)
        generated = run.in_process(choice) if access is None else run_until_signal(run.of_services(access))
    print_generated(output(), output_file, generated)
    if generated.failed:
        raise typer.Exit(EXIT_FAILED)


def _require_one_way(named: Mapping[Role, str | None], choice: ModelChoice, *, in_process: bool) -> None:
    """Raises `UsageProblem` for service addresses with --in-process, and for model folders without it."""
    if in_process:
        for role, url in named.items():
            if url:
                raise UsageProblem(
                    f"--in-process uses no service, but the {role}'s address is {url}",
                    remedy=f"leave out --in-process, or --{role}-url and ALPHA_UMI_{role.upper()}_URL",
                )
    elif choice != ModelChoice():
        raise UsageProblem("--model, --models and --adapters are for models in this process", remedy="add --in-process")


@dataclass(frozen=True)
class _Run:
    """The options of one run."""

    suite: Suite
    path: Path
    limit: int | None
    strategy: StepStrategy
    constrained: bool
    concurrency: int
    wait_s: float

    async def of_services(self, access: RoleAccess) -> Generated:
        """Run with the services of `access`."""
        from alpha_umi.client.retry import RetryPolicy
        from alpha_umi.client.roles import RoleServices

        policy = RetryPolicy(wait_s=self.wait_s)
        async with RoleServices(access.addresses, token=access.token, retry=policy) as services:
            return await self._carried_out(services, messages())

    def in_process(self, choice: ModelChoice) -> Generated:
        """Run with engines in this process; their log is next to the file."""
        from evaluation.run.models import ROLES_OF

        roles = load_roles(choice, ROLES_OF[self.strategy], messages())
        log = self.path.with_name(f"{self.path.name}.log")
        with redirect_output(log) as console:
            return run_until_signal(self._with_engines(roles, log, console))

    async def _with_engines(self, roles: LoadedRoles, log: Path, console: Console) -> Generated:
        from alpha_umi.client.errors import Unavailable
        from evaluation.errors import RunInterrupted

        async with contextlib.AsyncExitStack() as stack:
            with loading(console, log):
                ready = services_in_process(roles, log, wait_s=self.wait_s if roles.remote else 0)
                services = await stack.enter_async_context(ready)
            try:
                return await self._carried_out(services, console)
            except (RunInterrupted, Unavailable) as error:
                message = "an engine died" + (f"; {error.progress}" if isinstance(error, RunInterrupted) else "")
                raise engine_failed(message, log, again="run the same command again to resume; ") from error

    async def _carried_out(self, services: RoleServices, console: Console) -> Generated:
        from evaluation.run.steps import generate as generate_into
        from evaluation.run.steps import plan_task

        task = await plan_task(
            services, self.suite, limit=self.limit, strategy=self.strategy, constrained=self.constrained
        )
        print_excluded(console, task.about.excluded)
        print_findings(console, {role: model["id"] for role, model in task.about.models.items()}, task.findings)
        with progress_bar(console, task.about.cases) as advance:
            return await generate_into(
                services, task, self.path, concurrency=self.concurrency, on_prediction=lambda _: advance()
            )


DEFAULT_PORTS = Ports(backbone=8004).of_roles()


@dataclass(frozen=True)
class RoleAccess:
    """Base addresses of each role's replicas, and the bearer token for all of them."""

    addresses: Mapping[Role, tuple[str, ...]]
    token: str | None = field(repr=False)


def role_access(urls: Mapping[Role, str | None], token: str | None, state_dir: Path | None) -> RoleAccess:
    """The services at `urls` (comma-separated), else those that are up here, else those at the default ports.

    The token of the services that are up is sent only to these. Raises `UsageProblem`, `StateUnusable`.
    """
    run = None if all(urls.values()) else state_folder(state_dir).read_run()
    addresses = {role: _addresses(role, text, run) for role, text in urls.items()}
    return RoleAccess(addresses, token or _token(urls, run))


def _addresses(role: Role, text: str | None, run: RunRecord | None) -> tuple[str, ...]:
    if not text:
        up = None if run is None else run.url_of(role)
        return (up or f"http://{HOST}:{DEFAULT_PORTS[role]}",)
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    if not addresses:
        raise UsageProblem(f"--{role}-url: {text!r} is not an address", remedy="write it as http://HOST:PORT")
    return tuple(checked_address(url, f"--{role}-url") for url in addresses)


def _token(urls: Mapping[Role, str | None], run: RunRecord | None) -> str | None:
    return None if run is None or any(urls.values()) else run.role_token

"""A few steps generated into a file, by role services that are asked over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alpha_umi.roles.turns import RoleName
from evaluation.files.step_run import Run, read_run
from evaluation.generate import Generated, generate, plan_task
from evaluation.patience import Patience
from evaluation.role_services import RoleServices, role_services
from support.generated_suites import sums
from support.system import Roles

BRIEF = Patience(away_s=0.3, first_pause_s=0.01)
LONG = Patience(away_s=20, first_pause_s=0.01, longest_pause_s=0.05)


def addresses_of(roles: Roles) -> dict[RoleName, list[str]]:
    return {"planner": [roles.planner], "caller": [roles.caller], "summarizer": [roles.summarizer]}


@asynccontextmanager
async def asking(roles: Roles, patience: Patience = BRIEF, token: str | None = None) -> AsyncIterator[RoleServices]:
    async with role_services(addresses_of(roles), patience=patience, token=token) as services:
        yield services


async def generated(
    roles: Roles, folder: Path, *, count: int = 3, patience: Patience = BRIEF, **options: Any
) -> tuple[Generated, Run]:
    """All steps of some sums, in a file that may be there."""
    async with asking(roles, patience) as services:
        task = await plan_task(services, sums(folder, count), constrained=options.pop("constrained", True))
        done = await generate(services, task, folder / "run.jsonl", **options)
    return done, read_run(folder / "run.jsonl")

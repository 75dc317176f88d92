"""Generate a few steps into a file, with role services over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alpha_umi.client.retry import RetryPolicy
from alpha_umi.client.roles import RoleServices
from alpha_umi.roles.turns import Role
from evaluation.files.step_run import Run, read_run
from evaluation.run.steps import Generated, generate, plan_task
from support.generated_suites import sums
from support.system import Roles

BRIEF = RetryPolicy(wait_s=0.3, first_pause_s=0.01)
LONG = RetryPolicy(wait_s=20, first_pause_s=0.01, longest_pause_s=0.05)


def addresses_of(roles: Roles) -> dict[Role, list[str]]:
    return {"planner": [roles.planner], "caller": [roles.caller], "summarizer": [roles.summarizer]}


@asynccontextmanager
async def services_of(roles: Roles, retry: RetryPolicy = BRIEF, **options: Any) -> AsyncIterator[RoleServices]:
    async with RoleServices(addresses_of(roles), retry=retry, **options) as services:
        yield services


async def generated(
    roles: Roles,
    folder: Path,
    *,
    count: int = 3,
    retry: RetryPolicy = BRIEF,
    answer_timeout_s: float = 600,
    **options: Any,
) -> tuple[Generated, Run]:
    """Generate all steps of some sums; the file may exist."""
    async with services_of(roles, retry, answer_timeout_s=answer_timeout_s) as services:
        task = await plan_task(services, sums(folder, count), constrained=options.pop("constrained", True))
        done = await generate(services, task, folder / "run.jsonl", **options)
    return done, read_run(folder / "run.jsonl")

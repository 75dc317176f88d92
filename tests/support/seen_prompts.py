"""Trajectories through real services, whose scripted engines record the exact prompts that they receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.template import PlannerLabel
from alpha_umi.roles.turns import Role
from alpha_umi.serving.assembly import MakeRouter
from alpha_umi.serving.scripted import Rule, ScriptedEngine
from evaluation.files.trajectory_run import TrajectoryRun
from evaluation.run.ask import RunOptions
from evaluation.run.models import discover_models
from evaluation.run.trajectories import measure_trajectories, plan_trajectories
from orchestrator.app import create_app
from orchestrator.assembly import assembled
from orchestrator.settings import OrchestratorSettings
from recordings.suites.suite import Suite, load_suite
from services.backbone import create_router as backbone_router
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router
from support.role_apps import CANARY_PROMPT, application, scripted
from support.serving_on_loopback import serving
from support.trajectory_suites import shop_file

ROUTERS: Mapping[Role, MakeRouter] = {
    "planner": planner_router,
    "caller": caller_router,
    "summarizer": summarizer_router,
    "backbone": backbone_router,
}


@dataclass
class Watched:
    """Role services whose engines write these texts, one a request, and their prompts. `context` counts words."""

    texts: Mapping[Role, Sequence[str]]
    context: int = 4_096
    planner_label: PlannerLabel = "assistant"
    engines: dict[Role, ScriptedEngine] = field(default_factory=dict)

    async def serve(self, stack: AsyncExitStack) -> dict[str, str]:
        """Settings of an orchestrator that asks them; they are served as long as the stack is open."""
        self.engines = {role: scripted(Rule(texts), context=self.context) for role, texts in self.texts.items()}
        served = [(role, serving(self._application(role))) for role in self.texts]
        return {f"{role}_url": await stack.enter_async_context(address) for role, address in served}

    def seen(self, role: Role) -> list[str]:
        """The prompts of a role's engine, including forced prefixes."""
        return [prompt for prompt in self.engines[role].prompts if CANARY_PROMPT not in prompt]

    def _application(self, role: Role) -> Any:
        return application(role, ROUTERS[role], self.engines[role], planner_label=self.planner_label)


async def priced(folder: Path, watched: Watched, *, strategy: Strategy = "chain", **limits: Any) -> TrajectoryRun:
    """The trajectory of the question for a lamp's price, whose tool knows no other, in `trajectories.jsonl`."""
    suite = load_suite(str(shop_file(folder, "lamp")), folder)
    async with AsyncExitStack() as stack:
        urls = _urls(await watched.serve(stack))
        log = f"sqlite:///{folder}/log.db"
        settings = OrchestratorSettings(database_url=log, allow_loopback_tools=True, **urls)
        orchestrator = await stack.enter_async_context(assembled(settings))
        address = await stack.enter_async_context(serving(create_app(orchestrator)))
        return await _run(address, suite, folder / "trajectories.jsonl", strategy, limits)


async def _run(address: str, suite: Suite, path: Path, strategy: Strategy, limits: Mapping[str, Any]) -> TrajectoryRun:
    async with OrchestratorClient(address) as client:
        models = await discover_models(await client.ready(), strategy, suite.digests, lambda role, url: None)
        task = plan_trajectories(suite, strategy=strategy, models=models, **limits)
        return await measure_trajectories(client, task, path, RunOptions(strategy, **limits))


def _urls(served: Mapping[str, str]) -> dict[str, Any]:
    """The address of a running role for roles that are not called."""
    anyone = next(iter(served.values()))
    return {"planner_url": anyone, "caller_url": anyone, "summarizer_url": anyone} | dict(served)

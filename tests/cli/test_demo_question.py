"""The question of `demo`: real role services report their models; only the engines are scripted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.role_apps import application, scripted
from support.serving_on_loopback import Serve

from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import CanaryText, ModelManifest
from cli.commands.lifecycle import INSTRUCTION, UNTUNED_INSTRUCTION, demo_question
from cli.local.state import ROLES, ProcessIdentity, RunRecord, ServiceRecord
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

pytestmark = pytest.mark.usefixtures("quiet")

ROUTERS = {"planner": planner_router, "caller": caller_router, "summarizer": summarizer_router}
TRAINED: dict[Role, Role] = {role: role for role in ROLES}
Serving = Callable[[Mapping[Role, Role]], RunRecord]


@pytest.fixture
def up(serve: Serve) -> Serving:
    """Serve roles with models of these manifest roles; returns the run record of a start."""

    def record(role: Role, made_for: Role) -> ServiceRecord:
        manifest = ModelManifest(
            name="m", role=made_for, template="toolbench", context=4_096, base="b", source="s",
            canary=CanaryText(prompt="?", expected="!"),
        )  # fmt: skip
        url = serve(application(role, ROUTERS[role], scripted(), keys=["token"], manifest=manifest))
        process = ProcessIdentity(pid=1, started=0)
        return ServiceRecord(name=role, url=url, ready_url=f"{url}/readyz", log=Path("log"), process=process)

    return lambda models: RunRecord(
        role_token="token", services=tuple(record(role, made_for) for role, made_for in models.items())
    )


def test_trained_roles_get_all_tools(up: Serving) -> None:
    request = demo_question(up(TRAINED))
    assert (request.instruction, request.tools, request.max_steps) == (INSTRUCTION, None, None)


@pytest.mark.parametrize("untuned", [ROLES, ("caller",)])
def test_an_untuned_role_gets_one_tool(up: Serving, untuned: tuple[Role, ...]) -> None:
    request = demo_question(up({**TRAINED, **dict.fromkeys(untuned, "backbone")}))
    assert (request.instruction, request.tools, request.max_steps) == (UNTUNED_INSTRUCTION, ["text_metrics"], 2)


def test_a_service_that_does_not_report_counts_as_untuned(up: Serving) -> None:
    run = up(TRAINED).model_copy(update={"role_token": "another"})
    assert demo_question(run).tools == ["text_metrics"]

"""Put the example questions to a running orchestrator, all example tools on offer, and keep what became of each.

The file is one of whole trajectories (`evaluation.whole_run`): it is gone on with, and refused for other models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from alpha_umi.contract.trajectories import ToolList
from alpha_umi.roles.turns import Role, Tool, Turn
from benchmarks.examples.questions import Question, require_same
from cli.client import is_loopback
from evaluation.asked_models import AskedModels
from evaluation.asking import Asking
from evaluation.errors import EvaluationError
from evaluation.orchestrator import client_of, read, ready
from evaluation.patience import Patience
from evaluation.reached_models import ModelsUnknown, reached_models
from evaluation.tool_source import MARK, cancel_marked
from evaluation.whole_run import OnAsked, WholeRunRecord, ask_all, growing_whole_run
from examples.tool_api.app import create_app
from recordings.contamination import instruction_digest
from recordings.trajectory import RecordedTrajectory

SUITE: Final = "examples"
PATIENCE: Final = Patience(away_s=120)


class ToolsMissing(EvaluationError):
    """The orchestrator does not offer all example tools."""


@dataclass(frozen=True)
class Target:
    """The orchestrator that is asked, its key, and the token of the role services that are asked for their models."""

    url: str
    key: str | None = field(default=None, repr=False)
    role_token: str | None = field(default=None, repr=False)


async def ask_questions(
    target: Target,
    questions: Sequence[Question],
    path: Path,
    *,
    max_steps: int,
    concurrency: int = 1,
    on_asked: OnAsked = lambda record: None,
) -> None:
    """Ask what has no line in the file at `path`; `on_asked` is called with all lines.

    Raises `ToolsMissing`, `NotTheFormat` for a file of other questions, and what `growing_whole_run` and `ask_all`
    raise. What a killed run left is cancelled.
    """
    # A proxy of the environment is for other machines.
    async with client_of(target.url, api_key=target.key, trust_env=not is_loopback(target.url)) as client:
        tools = await _example_tools(client)
        models = await _models(client, target.role_token, questions)
        recorded = [
            RecordedTrajectory(question.id, tools, (Turn("user", question.instruction),)) for question in questions
        ]
        about = WholeRunRecord(
            suite=SUITE,
            trajectories=len(recorded),
            max_steps=max_steps,
            models={} if models is None else models.kept(),
        )
        with growing_whole_run(path, about, recorded) as file:
            require_same(questions, {record.recorded: record for record in file.asked})
            for record in file.asked:
                on_asked(record)
            await cancel_marked(client, SUITE, PATIENCE)
            asking = Asking(max_steps=max_steps, patience=PATIENCE, marks={MARK: SUITE})
            await ask_all(client, file, recorded, asking, concurrency=concurrency, on_asked=on_asked)


def example_tool_names() -> list[str]:
    """The operations of the example tool API."""
    paths = create_app().openapi()["paths"].values()
    return [operation["operationId"] for methods in paths for operation in methods.values()]


async def _example_tools(client: httpx.AsyncClient) -> tuple[Tool, ...]:
    offered = await read(ToolList, client, "GET", "/v1/tools", patience=PATIENCE)
    tools = {tool.name: Tool(tool.name, tool.description, tool.parameters) for tool in offered.data}
    names = example_tool_names()
    if missing := [name for name in names if name not in tools]:
        raise ToolsMissing(
            f"the orchestrator does not offer the example tools {', '.join(missing)}",
            remedy="register the example tool API with it, as `alpha-umi up` does",
        )
    return tuple(tools[name] for name in names)


async def _models(client: httpx.AsyncClient, token: str | None, questions: Sequence[Question]) -> AskedModels | None:
    digests = frozenset(instruction_digest(question.instruction) for question in questions)

    def token_of(role: Role, url: str) -> str | None:
        return token

    try:
        return await reached_models(await ready(client, patience=PATIENCE), "chain", digests, token_of)
    except ModelsUnknown:
        return None

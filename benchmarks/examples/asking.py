"""Put the example questions to a running orchestrator, all example tools on offer, and keep what became of each.

The file is one of whole trajectories (`evaluation.whole_run`): it is gone on with, and refused for other models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.client.retry import RetryPolicy
from alpha_umi.roles.turns import RoleName, Tool, Turn
from benchmarks.examples.questions import Question, require_same
from evaluation.errors import EvaluationError
from evaluation.instructions import instruction_digest
from evaluation.run.ask import RunOptions, run_all
from evaluation.run.models import ModelsUnknown, RoleModels, discover_models
from evaluation.run.tool_source import METADATA_KEY, cancel_stale
from evaluation.suites.recorded import RecordedTrajectory
from evaluation.whole_run import OnAsked, WholeRunRecord, growing_whole_run
from examples.tool_api.app import create_app

SUITE: Final = "examples"
POLICY: Final = RetryPolicy(wait_s=120)


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
    async with OrchestratorClient(target.url, api_key=target.key, retry=POLICY, resume=POLICY) as client:
        tools = await _example_tools(client)
        models = await _models(client, target.role_token, questions)
        recorded = [
            RecordedTrajectory(question.id, tools, (Turn("user", question.instruction),)) for question in questions
        ]
        about = WholeRunRecord(
            suite=SUITE,
            trajectories=len(recorded),
            max_steps=max_steps,
            models={} if models is None else models.to_record(),
        )
        with growing_whole_run(path, about, recorded) as file:
            require_same(questions, {record.recorded: record for record in file.asked})
            for record in file.asked:
                on_asked(record)
            await cancel_stale(client, SUITE)
            options = RunOptions(max_steps=max_steps, metadata={METADATA_KEY: SUITE})
            await run_all(client, file, recorded, options, concurrency=concurrency, on_result=on_asked)


def example_tool_names() -> list[str]:
    """The operations of the example tool API."""
    paths = create_app().openapi()["paths"].values()
    return [operation["operationId"] for methods in paths for operation in methods.values()]


async def _example_tools(client: OrchestratorClient) -> tuple[Tool, ...]:
    offered = await client.tools()
    tools = {tool.name: Tool(tool.name, tool.description, tool.parameters) for tool in offered.data}
    names = example_tool_names()
    if missing := [name for name in names if name not in tools]:
        raise ToolsMissing(
            f"the orchestrator does not offer the example tools {', '.join(missing)}",
            remedy="register the example tool API with it, as `alpha-umi up` does",
        )
    return tuple(tools[name] for name in names)


async def _models(client: OrchestratorClient, token: str | None, questions: Sequence[Question]) -> RoleModels | None:
    digests = frozenset(instruction_digest(question.instruction) for question in questions)

    def token_of(role: RoleName, url: str) -> str | None:
        return token

    try:
        return await discover_models(await client.ready(), "chain", digests, token_of)
    except ModelsUnknown:
        return None

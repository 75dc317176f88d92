"""`python -m benchmarks.example_questions`: how many example questions the running system answers correctly.

The questions of `examples/instructions.jsonl` are sent to the orchestrator that `alpha-umi up` started, each with all
example tools. An answer is correct if it contains every fact of its question. The trajectories are written to a
trajectory run file: an interrupted command continues it, and `alpha-umi evaluate report FILE --output PAGE` shows their
steps. `runs/examples.sh` starts the system, runs this module and prints both.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from rich.console import Console

from alpha_umi.client.errors import ClientError
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.client.retry import RetryPolicy
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role, Tool, Turn
from benchmarks.processes import ROOT
from benchmarks.report import Row, show
from cli.errors import EXIT_INTERRUPTED, CommandError
from cli.local.signals import ending_signals_interrupt, run_until_signal
from cli.options import orchestrator_address, own_key, state_folder
from evaluation.files.trajectory_run import (
    TrajectoryRecord,
    TrajectoryRun,
    TrajectoryRunRecord,
    read_trajectory_run,
    resume_trajectory_run,
)
from evaluation.run.ask import RunOptions, run_all
from evaluation.run.models import ModelsUnknown, RoleModels, discover_models
from evaluation.run.tool_source import METADATA_KEY, cancel_stale
from evaluation.statistics.bootstrap import wilson_interval
from examples.facts import Fact, missing_facts
from examples.tool_api.app import create_app
from recordings.contamination import instruction_digest
from recordings.errors import DataError, NotTheFormat
from recordings.trajectory import RecordedTrajectory

SUITE: Final = "examples"
INSTRUCTIONS: Final = ROOT / "examples" / "instructions.jsonl"
RETRY: Final = RetryPolicy(wait_s=120)


class ToolsMissing(DataError):
    """The orchestrator does not offer all example tools."""


@dataclass(frozen=True)
class Question:
    """An instruction, and the facts that a correct answer contains."""

    id: str
    instruction: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Target:
    """An orchestrator, its API key, and the token of its role services, which report their models."""

    url: str
    key: str | None = field(default=None, repr=False)
    role_token: str | None = field(default=None, repr=False)


def read_questions(path: Path = INSTRUCTIONS) -> tuple[Question, ...]:
    """The questions of a JSON Lines file."""
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(Question(entry["id"], entry["instruction"], tuple(entry["facts"])) for entry in entries)


async def run_questions(
    target: Target,
    questions: Sequence[Question],
    path: Path,
    *,
    max_steps: int,
    strategy: Strategy = "chain",
    concurrency: int = 1,
) -> None:
    """Send the questions that have no record in the file at `path`.

    Trajectories that an interrupted run left unfinished are cancelled. Raises `ToolsMissing`, `NotTheFormat` for a file
    of other questions, and what `resume_trajectory_run` and `run_all` raise.
    """
    async with OrchestratorClient(target.url, api_key=target.key, retry=RETRY, resume=RETRY) as client:
        tools = await _example_tools(client)
        models = await _models(client, target.role_token, questions, strategy)
        recorded = [RecordedTrajectory(each.id, tools, (Turn("user", each.instruction),)) for each in questions]
        about = TrajectoryRunRecord(
            suite=SUITE,
            trajectories=len(recorded),
            max_steps=max_steps,
            strategy=strategy,
            models={} if models is None else models.to_record(),
        )
        with resume_trajectory_run(path, about, recorded) as file:
            _check_same_questions(questions, file.records)
            await cancel_stale(client, SUITE)
            options = RunOptions(strategy=strategy, max_steps=max_steps, metadata={METADATA_KEY: SUITE})
            await run_all(client, file, recorded, options, concurrency=concurrency)


def score(questions: Sequence[Question], run: TrajectoryRun) -> list[Row]:
    """A table row per question; `missing` lists the facts that its answer lacks. Raises `NotTheFormat`."""
    _check_same_questions(questions, run.records)
    records = {record.recorded: record for record in run.records}
    return [_row(question, records.get(question.id)) for question in questions]


def example_tool_names() -> list[str]:
    """The operations of the example tool API."""
    paths = create_app().openapi()["paths"].values()
    return [operation["operationId"] for methods in paths for operation in methods.values()]


def main() -> None:
    """Run the missing questions and print the table."""
    options = _options()
    try:
        target, questions = _target(options), read_questions(options.questions)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with ending_signals_interrupt():
            run_until_signal(
                run_questions(
                    target, questions, options.output, max_steps=options.max_steps, strategy=options.strategy,
                    concurrency=options.concurrency,
                )
            )  # fmt: skip
        rows = score(questions, read_trajectory_run(options.output))
    except (DataError, CommandError, ClientError) as error:
        raise SystemExit(f"error: {error}" + (f"\n  → {error.remedy}" if error.remedy else "")) from error
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command continues the run")
        raise SystemExit(EXIT_INTERRUPTED) from None
    correct = sum(row["correct"] == "yes" for row in rows)
    interval = wilson_interval(correct, len(rows))
    show(
        f"{correct} of {len(rows)} answers contain every fact "
        f"(95 % interval {100 * interval.low:.0f} to {100 * interval.high:.0f} %)",
        rows,
    )


def _target(options: argparse.Namespace) -> Target:
    run = state_folder(options.state_dir).read_run()
    url = orchestrator_address(options.url, options.state_dir)
    # Key and token of the running system are sent to no other one.
    if options.url is None and run is not None:
        return Target(url, options.key or own_key(), run.role_token)
    return Target(url, options.key, os.environ.get("ALPHA_UMI_ROLE_TOKEN"))


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


async def _models(
    client: OrchestratorClient, token: str | None, questions: Sequence[Question], strategy: Strategy
) -> RoleModels | None:
    digests = frozenset(instruction_digest(question.instruction) for question in questions)

    def token_of(role: Role, url: str) -> str | None:
        return token

    try:
        return await discover_models(await client.ready(), strategy, digests, token_of)
    except ModelsUnknown:
        return None


def _check_same_questions(questions: Sequence[Question], records: Sequence[TrajectoryRecord]) -> None:
    """Raises `NotTheFormat` where the file has another instruction under the id of a question."""
    instructions = {record.recorded: record.trajectory.instruction for record in records}
    for question in questions:
        if instructions.get(question.id, question.instruction) != question.instruction:
            raise NotTheFormat(
                f"the file has another instruction for {question.id!r}: {instructions[question.id]!r}",
                remedy="start a new run with another --output",
            )


def _row(question: Question, record: TrajectoryRecord | None) -> Row:
    if record is None:
        return {"question": question.instruction, "correct": "no", "status": "not run"}
    trajectory = record.trajectory
    missing = missing_facts(trajectory.answer, question.facts)
    return {
        "question": question.instruction,
        "correct": "no" if missing else "yes",
        "status": trajectory.status,
        "steps": len(trajectory.steps),
        "tokens": f"{trajectory.usage.prompt_tokens:,} + {trajectory.usage.completion_tokens:,}",
        "answer": " ".join((trajectory.answer or "").split()),
        "missing": ", ".join(map(str, missing)),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.example_questions", description=(__doc__ or "").partition(": ")[2].splitlines()[0]
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, help="trajectory run file; an existing one is continued")
    add("--questions", type=Path, default=INSTRUCTIONS, help="JSON Lines: id, instruction, facts")
    add("--strategy", choices=get_args(Strategy), default="chain", help="`single`: the single model answers")
    add("--url", help="address of the orchestrator; by default the one that is up")
    add("--key", default=os.environ.get("ALPHA_UMI_API_KEY"), help="its API key")
    add("--state-dir", type=Path, help="state folder of `alpha-umi up`")
    add("--max-steps", type=int, default=6, help="steps after which an answer is demanded")
    add("--concurrency", type=int, default=1, help="trajectories in flight")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Judge trajectories: plan the verdicts, and write a line for each one as soon as it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alpha_umi.client.errors import Unavailable
from alpha_umi.contract.trajectories import Trajectory
from evaluation.concurrency import run_concurrently
from evaluation.errors import CasesDiffer, RunInterrupted
from evaluation.files.trajectory_run import TrajectoryRun, read_trajectory_run
from evaluation.judge.case import Case, Labels, Procedure
from evaluation.judge.chat_client import Judge, TooLong
from evaluation.judge.questions import JudgeSession, Prompts, UnparseableJudgement, load_prompts, prompts_digest
from evaluation.judge.solution import shown_tools
from evaluation.judge.toolalpaca import golden_solutions, toolalpaca
from evaluation.judge.tooleval import stabletoolbench_pass, toolbench_pass, toolbench_win
from evaluation.judge.verdicts import (
    Basis,
    JudgeRunRecord,
    ProcedureName,
    PromptsRecord,
    VerdictRecord,
    Verdicts,
    read_verdicts,
    resume_verdicts,
)
from recordings.errors import EmptySuite, NotTheFormat, some
from recordings.reading import read_text
from recordings.suites.definition import data_path, read_definition, suite_path
from recordings.suites.suite import PART_SEPARATOR, load_suite

PROCEDURES: Final[Mapping[ProcedureName, tuple[Procedure, str]]] = {
    "toolbench-pass": (toolbench_pass, "tooleval"),
    "stabletoolbench-pass": (stabletoolbench_pass, "tooleval"),
    "toolbench-win": (toolbench_win, "tooleval"),
    "toolalpaca": (toolalpaca, "toolalpaca"),
}
OnVerdict = Callable[[VerdictRecord], None]


@dataclass(frozen=True)
class JudgeTask:
    """The trajectories to judge, and the questions. `not_run` trajectories of the run are not there yet."""

    about: JudgeRunRecord
    cases: Sequence[Case]
    procedure: Procedure
    prompts: Prompts
    not_run: int


@dataclass(frozen=True)
class JudgeTarget:
    """The runs and the procedure. `suite` has the tools and golden calls; by default that of the run."""

    run: Path
    procedure: ProcedureName
    against: Path | None = None
    suite: str | None = None


def plan_judging(target: JudgeTarget, model: str, repeat: int, data: Path) -> JudgeTask:
    """The verdicts to make for a file of trajectories, `repeat` for each. Raises `EvaluationError`."""
    run = read_trajectory_run(target.run)
    other = None if target.against is None else _other(target, run)
    cases = _cases(target, run, other, data)
    if not cases:
        raise EmptySuite(f"{target.run} has no trajectory to judge", remedy="ask first")
    procedure, questions = PROCEDURES[target.procedure]
    prompts = load_prompts(questions)
    about = JudgeRunRecord(
        procedure=target.procedure,
        prompts=PromptsRecord(name=prompts.name, version=prompts.version, sha256=prompts_digest(questions)),
        model=model,
        suite=run.about.suite,
        run_sha256=_digest(target.run),
        against_sha256=None if target.against is None else _digest(target.against),
        trajectories=len(cases),
        repeat=repeat,
    )
    return JudgeTask(about, cases, procedure, prompts, run.about.trajectories - len(run.records))


async def judge_all(
    judge: Judge, task: JudgeTask, path: Path, *, concurrency: int, on_verdict: OnVerdict = lambda verdict: None
) -> Verdicts:
    """Judge every case that has no verdict in the file at `path`; returns the complete file.

    Raises what `growing_verdicts` and `Judge.ask` raise; the file can be resumed after any of them.
    """
    with resume_verdicts(path, task.about) as file:
        there = {(verdict.recorded, verdict.repeat) for verdict in file.verdicts}
        judge.known = any(verdict.basis in ("judge", "nonsense") for verdict in file.verdicts)
        for verdict in file.verdicts:
            on_verdict(verdict)
        all_of_them = [(case, repeat) for repeat in range(task.about.repeat) for case in task.cases]
        todo = [each for each in all_of_them if (each[0].recorded, each[1]) not in there]
        written = len(there)

        async def work(each: tuple[Case, int]) -> None:
            nonlocal written
            verdict = await _verdict(judge, task, *each)
            file.append(verdict)
            written += 1
            on_verdict(verdict)

        try:
            if todo:
                await judge.ready()
            await run_concurrently(todo, work, concurrency)
        except Unavailable as error:
            progress = f"{path} has {written} of {len(all_of_them)} verdicts"
            raise RunInterrupted(error.message, progress=progress) from error
    return read_verdicts(path)


async def _verdict(judge: Judge, task: JudgeTask, case: Case, repeat: int) -> VerdictRecord:
    session, labels = JudgeSession(judge, task.prompts), Labels()
    basis: Basis = "judge"
    try:
        await task.procedure(session, case, repeat, labels)
        basis = "judge" if session.questions else "rule"
    except UnparseableJudgement:
        basis = "nonsense"
    except TooLong:
        basis = "too-long"
    return VerdictRecord(recorded=case.recorded, repeat=repeat, basis=basis, labels=labels, questions=session.questions)


def _other(target: JudgeTarget, run: TrajectoryRun) -> TrajectoryRun:
    """The run to compare with. Raises `EvaluationError`."""
    if target.against is None:
        raise ValueError("there is no other run")
    other = read_trajectory_run(target.against)
    if other.about.suite != run.about.suite:
        raise CasesDiffer(
            f"{target.run} is of the suite {run.about.suite!r}, and {target.against} of {other.about.suite!r}",
            remedy="compare runs of one suite",
        )
    return other


def _cases(target: JudgeTarget, run: TrajectoryRun, other: TrajectoryRun | None, data: Path) -> list[Case]:
    trajectories = _by_recorded_id(run)
    match target.procedure:
        case "toolbench-win":
            references = {} if other is None else _by_recorded_id(other)
            return [
                Case(name, trajectories.get(name), references.get(name))
                for name in dict.fromkeys([*trajectories, *references])
            ]
        case "toolbench-pass":
            return _with_tools(target, trajectories, target.suite or run.about.suite, data)
        case "toolalpaca":
            return _with_golden(target, trajectories, target.suite or run.about.suite, data)
        case "stabletoolbench-pass":
            return [Case(name, trajectory) for name, trajectory in trajectories.items()]


def _by_recorded_id(run: TrajectoryRun) -> dict[str, Trajectory]:
    return {record.recorded: record.trajectory for record in run.records}


def _with_tools(target: JudgeTarget, trajectories: Mapping[str, Trajectory], suite: str, data: Path) -> list[Case]:
    offered = {each.id: each.tools for each in load_suite(suite, data).trajectories}
    _require_known(trajectories, offered, target.run, suite)
    finish = load_prompts("tooleval").finish
    return [
        Case(name, trajectory, tools=shown_tools(offered[name], finish)) for name, trajectory in trajectories.items()
    ]


def _with_golden(target: JudgeTarget, trajectories: Mapping[str, Trajectory], suite: str, data: Path) -> list[Case]:
    definition = read_definition(suite_path(suite.partition(PART_SEPARATOR)[0]))
    if definition.loader != "toolalpaca-golden":
        raise NotTheFormat(
            f"the suite {definition.name!r} has no golden calls",
            remedy="judge a run of ToolAlpaca, or name its --suite",
        )
    known = golden_solutions(data_path(data, definition.data, suite=definition.name, source=definition.source))
    _require_known((each.instruction for each in trajectories.values()), known, target.run, suite)
    return [Case(name, trajectory, golden=known[trajectory.instruction]) for name, trajectory in trajectories.items()]


def _require_known(names: Iterable[str], known: Mapping[str, object], run: Path, suite: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CasesDiffer(
            f"{run} has trajectories that the suite {suite!r} has not: {some(unknown)}",
            remedy="name the suite that it is of with --suite",
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(read_text(path).encode()).hexdigest()

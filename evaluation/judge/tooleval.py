"""ToolBench's automatic evaluation (ToolEval): pass rate and win rate.

The questions, their order, and the rules without a question are those of `toolbench/tooleval` in OpenBMB/ToolBench:
`eval_pass_rate.py`, `eval_preference.py`, `evaluators/registered_cls/rtl.py` and `base.py`. StableToolBench, whose
instructions are known to be solvable, only judges whether they were solved. Random choices are seeded by the trajectory
and the number of the verdict. In `select_better_answer` the published code also asks whether the task can be solved if
neither answer solves it, and does not use the answer: that question is omitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Literal

from alpha_umi.contract.trajectories import Trajectory
from evaluation.judge.case import Case, Labels
from evaluation.judge.questions import JudgeSession
from evaluation.judge.solution import compared_solution, has_finished, solution_of

Side = Literal["candidate", "reference"]
SIDES: Final[tuple[Side, Side]] = ("candidate", "reference")
# Whether it passes, by the status of the answer (first) and of the task (`is_passed`).
PASSES: Final[Mapping[tuple[str, str], str]] = {
    ("Solved", "Solvable"): "Passed",
    ("Unsolved", "Solvable"): "Failed",
    ("Unsolved", "Unsure"): "Unsure",
    ("Unsolved", "Unsolvable"): "Passed",
    ("Unsure", "Solvable"): "Unsure",
    ("Unsure", "Unsure"): "Unsure",
    ("Unsure", "Unsolvable"): "Passed",
}


async def toolbench_pass(session: JudgeSession, case: Case, repeat: int, labels: Labels) -> None:
    """Whether a trajectory passes: `answer_status`, `task_status`, `passes`, and `drawn`, which is never unsure."""
    trajectory = _candidate(case)
    if not has_finished(trajectory):
        labels |= {"answer_status": "Unsolved", "task_status": "Solvable", "passes": "Failed", "drawn": "Failed"}
        return
    labels["answer_status"] = await _answer_status(session, case.instruction, solution_of(trajectory))
    task = json.dumps({"query": case.instruction, "available_tools": list(case.tools)})
    solved = labels["answer_status"] == "Solved"
    labels["task_status"] = "Solvable" if solved else await session.choose("check_task_solvable", task=task)
    labels["passes"] = PASSES[labels["answer_status"], labels["task_status"]]
    unsure = labels["passes"] == "Unsure"
    labels["drawn"] = case.rng(repeat).choice(["Passed", "Failed"]) if unsure else labels["passes"]


async def stabletoolbench_pass(session: JudgeSession, case: Case, repeat: int, labels: Labels) -> None:
    """Whether a solvable task was solved: `answer_status`."""
    trajectory = _candidate(case)
    finished = has_finished(trajectory)
    status = await _answer_status(session, case.instruction, solution_of(trajectory)) if finished else "Unsolved"
    labels["answer_status"] = status


async def toolbench_win(session: JudgeSession, case: Case, repeat: int, labels: Labels) -> None:
    """The better of two trajectories: `preferred`, with the `answer_status` of both, and the one presented `first`."""
    if case.candidate is None or case.reference is None:
        labels["preferred"] = "reference" if case.candidate is None else "candidate"
        return
    rng = case.rng(repeat)
    order = rng.sample(SIDES, 2)
    shown = {"candidate": compared_solution(case.candidate), "reference": compared_solution(case.reference)}
    for side in order:
        labels[f"answer_status.{side}"] = await _answer_status(session, case.instruction, shown[side])
    left = _left(labels, order)
    if len(left) == 1:
        labels["preferred"] = left[0]
    elif _same(shown["candidate"], shown["reference"]):
        labels["preferred"] = rng.choice(left)
    else:
        labels["first"] = order[0]
        first, second = (json.dumps(shown[side]) for side in order)
        index = await session.choose("select_better_answer", query=case.instruction, answer_0=first, answer_1=second)
        labels["preferred"] = order[int(index)]


async def _answer_status(session: JudgeSession, query: str, solution: dict[str, object]) -> str:
    final = str(solution["final_answer"])
    if not final or "give_up_and_restart" in final:
        return "Unsolved"
    status = await session.choose("check_answer_status", query=query, answer=final)
    if status != "Unsure":
        return status
    return await session.choose("parse_answer_status", query=query, answer=json.dumps(solution))


def _left(labels: Labels, order: list[Side]) -> list[Side]:
    """The trajectories that solve the task; if none does, those that are unsure; else both."""
    for status in ("Solved", "Unsure"):
        if sides := [side for side in order if labels[f"answer_status.{side}"] == status]:
            return sides
    return order


def _same(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(one[part] == other[part] for part in ("final_answer", "answer_details"))


def _candidate(case: Case) -> Trajectory:
    if case.candidate is None:
        raise ValueError(f"{case.recorded} has no trajectory")
    return case.candidate

"""A trajectory as ToolBench's evaluation shows it to a judge.

`conclusion` and `give up` stand for calls of its function `Finish`, and a thought and a call are a node each. The form
is that of `toolbench/tooleval/convert_to_answer_format.py` in OpenBMB/ToolBench, the arguments of `Finish` that of
`collab_agent_parser` in X-PLUG/Multi-LLM-Agent. A trajectory whose steps contain no final decision called no `Finish`,
even if an answer was forced at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from alpha_umi.contract.trajectories import StepModel, Trajectory
from alpha_umi.roles.turns import Tool
from recordings.formats.toolbench_queries import ToolBenchApi

FINISH = "Finish"
GAVE_UP = '{"response":"chose to give up and restart"}'
FINAL_CHARACTERS = 1000
Node = dict[str, Any]


def has_finished(trajectory: Trajectory) -> bool:
    """Whether it ended with a decision (`conclusion` or `give up`)."""
    return trajectory.status in ("completed", "gave_up")


def final_answer(trajectory: Trajectory) -> str:
    """The arguments of `Finish`; empty if it gave up or has no final decision."""
    return _finish("give_answer", trajectory.answer or "") if trajectory.status == "completed" else ""


def solution_of(trajectory: Trajectory) -> dict[str, Any]:
    """`{"method", "total_steps", "final_answer", "answer_details"}`; a search is shown by the branch it ended on."""
    nodes = [_node("system", ""), _node("user", ""), *_nodes(trajectory)]
    for node, following in pairwise(nodes):
        node["next"] = [following]
    return {
        "method": trajectory.strategy,
        "total_steps": len(nodes),
        "final_answer": final_answer(trajectory),
        "answer_details": nodes[:1],
    }


def compared_solution(trajectory: Trajectory) -> dict[str, Any]:
    """The form for comparisons: without the method, and with a truncated final answer."""
    solution = solution_of(trajectory)
    return {
        "total_steps": solution["total_steps"],
        "final_answer": solution["final_answer"][:FINAL_CHARACTERS],
        "answer_details": solution["answer_details"],
    }


def shown_tools(tools: Sequence[Tool], finish: dict[str, Any]) -> list[dict[str, Any]]:
    """The offered tools, and `Finish`."""
    return [*map(_function, tools), finish]


def _function(tool: Tool) -> dict[str, Any]:
    if isinstance(tool, ToolBenchApi):
        return dict(tool.function)
    return {"name": tool.prompt_name, "description": tool.description, "parameters": dict(tool.parameters)}


def _nodes(trajectory: Trajectory) -> Iterator[Node]:
    for step in _branch(trajectory.steps):
        if step.thought.strip():
            yield _node("assistant", step.thought)
        if step.action is not None:
            seen = "" if step.observation is None else step.observation.content
            yield _tool(step.action.name, json.dumps(step.action.arguments), seen)
    if trajectory.status == "completed":
        yield _tool(FINISH, final_answer(trajectory), "")
    elif trajectory.status == "gave_up":
        yield _tool(FINISH, json.dumps({"return_type": "give_up_and_restart"}), GAVE_UP)


def _branch(steps: Sequence[StepModel]) -> list[StepModel]:
    """The branch on which a search ended; all of its steps if every one was abandoned."""
    return [step for step in steps if not step.abandoned] or list(steps)


def _node(role: str, message: Any) -> Node:
    return {"role": role, "message": message, "next": []}


def _tool(name: str, arguments: str, response: str) -> Node:
    return _node("tool", {"name": name, "arguments": arguments, "response": response})


def _finish(kind: str, answer: str) -> str:
    return json.dumps({"return_type": kind, "final_answer": answer})

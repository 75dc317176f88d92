"""Trajectories and tools as the orchestrator shows them (`GET /v1/trajectories/{id}`, `GET /v1/tools`)."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Sequence, Set
from typing import Any, Final

from examples.practice.course import Call, Course, Json, Question

# The time of all questions: fixed, so that the same seed gives the same file.
WRITTEN: Final = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
_NO_LATENCY: Final = {"planner": 0, "caller": 0, "tool": 0, "summarizer": 0, "backbone": 0}
_NO_USAGE: Final = {"prompt_tokens": 0, "completion_tokens": 0}


def trajectory(number: int, question: Question, course: Course, tools: Sequence[str]) -> Json:
    """A finished course as a trajectory. No model generated its texts, so its tokens and milliseconds are 0."""
    decisions = [*_steps(course.calls), _last_step(len(course.calls), question)]
    messages = [{"role": "user", "content": question.instruction}]
    if question.answer is not None:
        messages.append({"role": "assistant", "content": question.answer})
    return {
        "id": f"practice_{number:05}",
        "object": "trajectory",
        "status": question.status,
        "instruction": question.instruction,
        "tools": list(tools),
        "strategy": "chain",
        "steps": decisions,
        "messages": messages,
        "answer": question.answer,
        "error": None,
        "usage": _NO_USAGE,
        "metadata": {},
        "created_at": f"{WRITTEN:%Y-%m-%dT%H:%M:%SZ}",
        "finished_at": f"{WRITTEN:%Y-%m-%dT%H:%M:%SZ}",
    }


def tool_sets(draw: random.Random, known: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Tool sets to offer: all tools in their order, all in another order, and smaller ones.

    They are few because training computes the common prefix of a tool set's trajectories once.
    """
    sets = [tuple(known), tuple(draw.sample(known, len(known)))]
    # Each tool is in several of the smaller sets: they are drawn from shuffled rounds of all tools.
    rounds = [name for _ in range(count) for name in draw.sample(known, len(known))]
    while len(sets) < count:
        size = draw.randrange(3, 9)
        sets.append(tuple(dict.fromkeys(rounds[:size])))
        del rounds[:size]
    return sets


def offered(
    draw: random.Random, sets: Sequence[tuple[str, ...]], needed: Set[str], lacks: str | None, all_tools: float
) -> tuple[str, ...]:
    """A tool set with all needed tools and without the one that must lack.

    `all_tools` is the share of all tools, of which one in five are in the other order. Raises `LookupError` if there
    is no tool set.
    """
    fitting = [each for each in sets[2:] if needed <= set(each) and lacks not in each]
    if lacks is None and (not fitting or draw.random() < all_tools):
        return draw.choices(sets[:2], (4, 1))[0]
    if not fitting:
        raise LookupError("no tool set")
    return draw.choice(fitting)


def _steps(calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    for index, call in enumerate(calls):
        action = {"call_id": f"call_{index + 1}", "name": call.tool, "arguments": call.arguments, "expires_at": None}
        observation = {"content": call.observation, "is_error": call.is_error, "truncated": False}
        yield _step(index, call.thought, "caller", action, observation)


def _last_step(index: int, question: Question) -> dict[str, Any]:
    return _step(index, question.thought, "give up" if question.answer is None else "conclusion", None, None)


def _step(index: int, thought: str, decision: str, action: Json | None, observation: Json | None) -> dict[str, Any]:
    return {
        "index": index + 1,
        "thought": thought,
        "next": decision,
        "action": action,
        "observation": observation,
        "latency_ms": _NO_LATENCY,
        "usage": _NO_USAGE,
        "truncated": False,
    }

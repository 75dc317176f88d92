"""Trajectories and tools as the orchestrator shows them (`GET /v1/trajectories/{id}`, `GET /v1/tools`)."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Iterator, Sequence
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


def offered(draw: random.Random, known: Sequence[str], needed: Iterable[str], most: int) -> list[str]:
    """The needed tools among others, at most `most` (or as many as are needed), in random order.

    Short lists are more frequent than long ones, which dominate the time of a training.
    """
    tools = list(dict.fromkeys(needed))
    others = [tool for tool in known if tool not in tools]
    room = max(1, most - len(tools))
    tools += draw.sample(others, int(draw.random() ** 2 * (min(room, len(others)) + 1)))
    draw.shuffle(tools)
    return tools or [draw.choice(known)]


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

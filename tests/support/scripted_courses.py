"""Courses of trajectories. The instruction names the course, so that one script serves concurrent trajectories."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from alpha_umi.roles.planner import Decision
from support.scripted_roles import Reply, ScriptedRoles, call, decide, problem, say
from support.shop_api import Shop


@dataclass(frozen=True)
class Course:
    """Sequential tool calls, then a decision; `status` is the final status unless it is cancelled.

    With `held_by`, the planner or the shop does not answer before `release`.
    """

    calls: tuple[str, ...] = ()
    decision: Decision = "conclusion"
    status: str = "completed"
    held_by: Literal["planner", "shop"] | None = None
    unreadable: bool = False


COURSES = {
    "answers": Course(),
    "gives up": Course(decision="give up", status="gave_up"),
    "is unreadable": Course(unreadable=True),
    "looks up": Course(("look_up",)),
    "writes": Course(("reserve", "order")),
    "does everything": Course(("order", "look_up", "reserve", "order")),
    "repeats itself": Course(("look_up",) * 20, status="exhausted"),
    "waits for the planner": Course(("order",), held_by="planner"),
    "waits for a write": Course(("order",), held_by="shop"),
    "waits for a keyed write": Course(("reserve",), held_by="shop"),
}


@dataclass
class Courses:
    """The courses of trajectories in a world, and those that are released."""

    roles: ScriptedRoles
    shop: Shop
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roles.planner, self.roles.caller, self.roles.summarizer = self._plan, self._call, lambda _: say("Done.")

    def instruction(self, name: str) -> str:
        """A new instruction for a course."""
        text = f"{name} #{next(self.numbers)}"
        if COURSES[name].held_by:
            self.gates[text] = asyncio.Event()
        if COURSES[name].held_by == "shop":
            self.shop.gates[item_of(text)] = self.gates[text]
        return text

    def release(self, instruction: str) -> None:
        """Release a held trajectory, also after restarts."""
        if instruction in self.gates:
            self.gates[instruction].set()

    def _plan(self, request: dict[str, Any]) -> Reply:
        instruction = request["history"][0]["content"]
        course = course_of(instruction)
        if course.unreadable:
            return problem("output-unreadable", "no decision", text="mumble")
        if observed(request) < len(course.calls):
            return decide("One more call.", "caller")
        until = self.gates[instruction] if course.held_by == "planner" else None
        return replace(decide("All is known.", course.decision), until=until)

    def _call(self, request: dict[str, Any]) -> Reply:
        instruction = request["history"][0]["content"]
        return call(course_of(instruction).calls[observed(request)], item=item_of(instruction))


def course_of(instruction: str) -> Course:
    """The course that an instruction names."""
    return COURSES[instruction.partition(" #")[0]]


def item_of(instruction: str) -> str:
    """The item of a trajectory's calls, unique in the shop's records."""
    return f"lamp-{instruction.partition(' #')[2]}"


def observed(request: dict[str, Any]) -> int:
    """The number of observations."""
    return sum(turn["role"] == "observation" for turn in request["history"])

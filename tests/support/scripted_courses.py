"""Courses that trajectories can take. The instruction names one, so that one script serves any number at once."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from scripted_roles import Reply, call, decide, problem, say
from scripted_roles import ScriptedRoles as Roles

from alpha_umi.roles.planner import Decision


@dataclass(frozen=True)
class Course:
    """Tools called one after the other, then a decision; `status` is how the trajectory ends unless it is cancelled.

    The planner says nothing before a `held` one is released.
    """

    calls: tuple[str, ...] = ()
    decision: Decision = "conclusion"
    status: str = "completed"
    held: bool = False
    unreadable: bool = False


COURSES = {
    "answers": Course(),
    "gives up": Course(decision="give up", status="gave_up"),
    "is unreadable": Course(unreadable=True),
    "looks up": Course(("look_up",)),
    "writes": Course(("reserve", "order")),
    "does everything": Course(("order", "look_up", "reserve", "order")),
    "repeats itself": Course(("look_up",) * 20, status="exhausted"),
    "is held": Course(("order",), held=True),
}


@dataclass
class Courses:
    """The scripts of the roles, and the courses that are released."""

    numbers: itertools.count[int] = field(default_factory=itertools.count)
    released: dict[str, asyncio.Event] = field(default_factory=dict)

    def instruction(self, name: str) -> str:
        """A new instruction for a course."""
        return f"{name} #{next(self.numbers)}"

    def release(self, instruction: str) -> None:
        """Let the planner answer a held trajectory from now on."""
        self._gate(instruction).set()

    def install(self, roles: Roles) -> None:
        """Let the roles follow the courses."""
        roles.planner, roles.caller, roles.summarizer = self._plan, self._call, lambda _: say("That is all.")

    def _plan(self, request: dict[str, Any]) -> Reply:
        course, instruction = course_of(request["history"][0]["content"]), request["history"][0]["content"]
        if course.unreadable:
            return problem("output-unreadable", "no decision", text="mumble")
        if observed(request) < len(course.calls):
            return decide("One more call.", "caller")
        answer = decide("All is known.", course.decision)
        return Reply(answer.body, deltas=answer.deltas, until=self._gate(instruction)) if course.held else answer

    def _call(self, request: dict[str, Any]) -> Reply:
        instruction = request["history"][0]["content"]
        return call(course_of(instruction).calls[observed(request)], item=item_of(instruction))

    def _gate(self, instruction: str) -> asyncio.Event:
        return self.released.setdefault(instruction, asyncio.Event())


def course_of(instruction: str) -> Course:
    """The course that an instruction names."""
    return COURSES[instruction.partition(" #")[0]]


def item_of(instruction: str) -> str:
    """What a trajectory's calls are about: nothing else in the shop's journal has this name."""
    return f"lamp-{instruction.partition(' #')[2]}"


def observed(request: dict[str, Any]) -> int:
    """How many calls have come back."""
    return sum(turn["role"] == "observation" for turn in request["history"])

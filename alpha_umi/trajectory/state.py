"""The state of a trajectory, computed from its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.trajectory.copies import replace
from alpha_umi.trajectory.effects import Status
from alpha_umi.trajectory.events import CallOutput, EffectIntended, RoleOutput, TurnOptions, Usage
from alpha_umi.trajectory.limits import DeadEndReason, Limits


class Phase(StrEnum):
    """The phase of a trajectory. It determines the next effect."""

    NEW = "new"
    PLANNING = "planning"
    CALLING = "calling"
    RUNNING_TOOL = "running_tool"
    REQUIRING = "requiring"
    WAITING = "waiting"
    BACKTRACKING = "backtracking"
    SUMMARIZING = "summarizing"
    STEPPING = "stepping"
    CONCLUDING = "concluding"
    ENDING = "ending"
    FINISHED = "finished"


@dataclass(frozen=True)
class Action:
    """A call. `expires_at` is set while the client must execute it."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    expires_at: str | None = None


@dataclass(frozen=True)
class Observation:
    """The result of a call, or the reason why there was no call. `truncated` is that of the event.

    `has_body`: the log has the result before it was shortened. It is not part of the state, because it may be long.
    """

    content: str
    is_error: bool = False
    truncated: bool = False
    has_body: bool = False


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a step per role and for the tool."""

    planner: int = 0
    caller: int = 0
    tool: int = 0
    summarizer: int = 0
    backbone: int = 0


@dataclass(frozen=True)
class RoleUsage:
    """Cost of a role in one step: generations (0: not recorded), tokens, and whether the output was unreadable."""

    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    unreadable: bool = False

    def add(self, output: RoleOutput, *, unreadable: bool = False) -> RoleUsage:
        """The sum with a further role call."""
        return RoleUsage(self.attempts + output.attempts, self.usage + output.usage, self.unreadable or unreadable)


@dataclass(frozen=True)
class Step:
    """One planner decision with its call and observation. `truncated`: a role saw a shortened history.

    `roles` is the usage per role. `parent` is the step before it on its branch, None for the first of a turn.
    `abandoned`: a search has backtracked from it. `call_unfinished`: the token limit cut an attempt at the call.
    `tools_offered` are the step's tools; None: all of the trajectory's. `digest` is that of the call and its
    observation, for the comparison of steps.
    """

    index: int
    thought: str
    next: Decision
    action: Action | None = None
    observation: Observation | None = None
    latency_ms: Latency = field(default_factory=Latency)
    usage: Usage = field(default_factory=Usage)
    truncated: bool = False
    roles: Mapping[Role, RoleUsage] = field(default_factory=dict)
    parent: int | None = None
    abandoned: bool = False
    call_unfinished: bool = False
    tools_offered: tuple[str, ...] | None = None
    digest: bytes = field(default=b"", repr=False)

    @property
    def turns(self) -> int:
        """The number of turns that the completed step adds to the history."""
        return 1 if self.observation is None else 3

    def with_usage(self, role: Role, output: RoleOutput, *, unreadable: bool = False) -> Step:
        """The step with the cost of a further role call: time and tokens are added."""
        latency = replace(self.latency_ms, **{role: getattr(self.latency_ms, role) + output.latency_ms})
        usage = self.roles.get(role, RoleUsage()).add(output, unreadable=unreadable)
        return replace(
            self,
            latency_ms=latency,
            usage=self.usage + output.usage,
            truncated=self.truncated or output.truncated,
            roles={**self.roles, role: usage},
            call_unfinished=self.call_unfinished or (isinstance(output, CallOutput) and output.call_unfinished),
        )


@dataclass(frozen=True)
class Failure:
    """Why a trajectory ended without success: a stable `code`, and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class Interruption:
    """The fields of a state that a failure has replaced."""

    phase: Phase
    outcome: Status | None
    error: Failure | None


@dataclass(frozen=True)
class DeadEnd:
    """Why a branch is a dead end, and how many of its steps the next branch retains."""

    reason: DeadEndReason
    retained: int


@dataclass(frozen=True)
class Message:
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True)
class State:
    """The state of a trajectory.

    `outcome` is the final status, once it is determined. `turn_start` is the index of the first step of the newest user
    turn; `answer`, `error` and `outcome` belong to that turn. `messages` are those of user and assistant.

    `request_start` is the index of the first step since the newest request: a user turn, or an output with limits or
    options. The limits of steps and of tokens, and a call that a request demands, count from there.

    `interrupted` is what an outage of a role has ended in the newest turn, which can be resumed.

    `options` are those of the newest request, `tool_set` and `retrieve` those of `TrajectoryCreated`. `in_flight` is
    the intent of the current effect.

    `tip` is the parent of the next step, None at the beginning of a turn; `history` has the turns up to it, without
    abandoned branches. `dead_end` is set while a search must backtrack.
    """

    phase: Phase = Phase.NEW
    instruction: str = ""
    tools: tuple[str, ...] = ()
    client_tools: tuple[Tool, ...] = ()
    tool_set: str | None = None
    retrieve: bool | None = None
    strategy: str = "chain"
    limits: Limits = field(default_factory=Limits)
    options: TurnOptions = field(default_factory=TurnOptions)
    history: tuple[Turn, ...] = ()
    steps: tuple[Step, ...] = ()
    answer: str | None = None
    error: Failure | None = None
    outcome: Status | None = None
    in_flight: EffectIntended | None = None
    interrupted: Interruption | None = None
    turn_start: int = 0
    request_start: int = 0
    messages: tuple[Message, ...] = ()
    tip: int | None = None
    dead_end: DeadEnd | None = None

    @property
    def status(self) -> Status:
        """`running` until the end is recorded, except `requires_action` while the client must act."""
        if self.phase is Phase.FINISHED and self.outcome is not None:
            return self.outcome
        return "requires_action" if self.phase is Phase.WAITING else "running"

    @property
    def is_closing(self) -> bool:
        """Whether the answer is being generated, so that only the end can follow."""
        return self.phase in (Phase.SUMMARIZING, Phase.CONCLUDING)

    @property
    def turn_steps(self) -> tuple[Step, ...]:
        """Steps since the newest user turn."""
        return self.steps[self.turn_start :]

    @property
    def request_steps(self) -> tuple[Step, ...]:
        """Steps since the newest request."""
        return self.steps[self.request_start :]

    @property
    def usage(self) -> Usage:
        """Tokens of all steps together."""
        return total(self.steps)

    def with_last_step(self, **changes: Any) -> State:
        """The same state with some fields of its newest step changed."""
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], **changes)))


def total(steps: Iterable[Step]) -> Usage:
    """Tokens of some steps together."""
    usages = [step.usage for step in steps]
    return Usage(sum(usage.prompt_tokens for usage in usages), sum(usage.completion_tokens for usage in usages))

"""Wire models of the orchestrator. Unknown fields are refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, field_validator

from alpha_umi.contract.client_turns import OfferedTool, not_blank
from alpha_umi.contract.roles import ANY_NOTATION, WireModel
from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role
from alpha_umi.trajectory import State, Status
from alpha_umi.trajectory.state import RoleUsage

MAX_INSTRUCTION_CHARACTERS = 32_000
MAX_STEPS = 64
MAX_TOKENS = 10_000_000
MAX_TOOLS = 5_000

Strategy = Literal["chain", "single", "dfsdt"]
MetadataName = Annotated[str, Field(max_length=64)]
# The bound also keeps out what is no Unicode, which an unbounded text may hold and no log can.
MetadataText = Annotated[str, Field(max_length=512)]


class Prune(WireModel):
    """`POST /v1/prune`. `all_owners` needs the scope `operate`."""

    older_than_s: Annotated[float, Field(ge=0, le=10**9, description="Seconds since the end of a trajectory")]
    status: list[Status] = Field(default=[], max_length=8, description="Only trajectories with one of these statuses")
    all_owners: bool = False


class Pruned(WireModel):
    """A batch of trajectories was deleted. `unreadable` are ids of those that cannot be exported, and were not."""

    deleted: int
    has_more: bool
    unreadable: list[str] = Field(default_factory=list)


class CreateTrajectory(WireModel):
    """`POST /v1/trajectories`."""

    instruction: Annotated[str, Field(min_length=1, max_length=MAX_INSTRUCTION_CHARACTERS)]
    tools: Annotated[list[OfferedTool], Field(max_length=MAX_TOOLS)] | None = Field(
        default=None,
        description="Names of registered tools, and definitions of tools that the client executes; every registered "
        "tool when omitted, none for an empty list",
    )
    retrieve: bool | None = Field(
        default=None,
        description="Whether each step is offered only the tools that fit its instruction and newest thought; when "
        "omitted, if there are more tools than a prompt holds",
    )
    strategy: Strategy = Field(
        default="chain",
        description="Planner, caller and summarizer in turn (`chain`), the same as a depth-first search that "
        "backtracks from dead ends (`dfsdt`), or a single model that does it all (`single`)",
    )
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS), ANY_NOTATION] | None = Field(
        default=None, description="Steps after which an answer is requested; in a search, on all branches together"
    )
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS), ANY_NOTATION] | None = Field(
        default=None,
        description="Prompt and completion tokens of all roles together after which an answer is requested",
    )
    max_depth: Annotated[int, Field(ge=1, le=MAX_STEPS), ANY_NOTATION] | None = Field(
        default=None, description="Steps of a branch after which a search backtracks; only with `dfsdt`"
    )
    max_repeats: Annotated[int, Field(ge=1, le=MAX_STEPS), ANY_NOTATION] | None = Field(
        default=None,
        description="How often the same call may return the same result before the turn, or a branch of a search, is "
        f"ended; {MAX_STEPS} ends none",
    )
    stream: bool = False
    background: bool = False
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=16)] = Field(default_factory=dict)

    _check_text = field_validator("instruction")(not_blank)

    @field_validator("tools")
    @classmethod
    def _distinct(cls, tools: list[OfferedTool] | None) -> list[OfferedTool] | None:
        names = [tool for tool in tools or [] if isinstance(tool, str)]
        if len(set(names)) != len(names):
            raise ValueError("a tool is listed twice; list each once")
        return tools


class MessageModel(WireModel):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: str


class StepAction(WireModel):
    """A call. `expires_at` is the deadline while the client must execute it."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    expires_at: datetime | None = None


class StepObservation(WireModel):
    """The result of a call, or the reason why there was no call. `truncated`: `content` is a shortened form of it."""

    content: str
    is_error: bool
    truncated: bool


class StepLatency(WireModel):
    """Milliseconds per role and for the tool."""

    planner: int
    caller: int
    tool: int
    summarizer: int
    backbone: int = 0


class TokenUsage(WireModel):
    """Tokens of the role models."""

    prompt_tokens: int
    completion_tokens: int


class RoleUsageModel(WireModel):
    """Usage of a role in a step: generations, tokens, and whether its output was unreadable.

    `attempts` above 1 include a repair: a second generation, or a decision inside a grammar. 0: not recorded.
    """

    attempts: int
    prompt_tokens: int
    completion_tokens: int
    unreadable: bool = False


class StepModel(WireModel):
    """One planner decision with its call and observation. `truncated`: a role saw a shortened history.

    `parent` is the step before it on its branch, null for the first of a turn. `abandoned`: a search has backtracked
    from it. `roles` is the usage per role; null in exports of earlier versions. `call_unfinished`: the token limit cut
    an attempt at the call. `tools_offered` are the tools of the step; null: all of the trajectory's.
    """

    index: int
    thought: str
    next: Decision
    action: StepAction | None
    observation: StepObservation | None
    latency_ms: StepLatency
    usage: TokenUsage
    truncated: bool
    parent: int | None = None
    abandoned: bool = False
    roles: dict[Role, RoleUsageModel] | None = None
    call_unfinished: bool = False
    tools_offered: list[str] | None = None


class TrajectoryError(WireModel):
    """Why a trajectory did not complete: a stable code and a sentence."""

    code: str
    detail: str


class TrajectorySummary(WireModel):
    """A trajectory in a list. `status`, `answer`, `error` and `finished_at` are those of the newest user turn.

    `waiting_for` is the role that it waits for now, because the role's service is unavailable.
    """

    id: str
    object: Literal["trajectory"] = "trajectory"
    status: Status
    waiting_for: Role | None = None
    instruction: str
    tools: list[str]
    strategy: str
    messages: list[MessageModel]
    answer: str | None
    error: TrajectoryError | None
    usage: TokenUsage
    metadata: dict[str, str]
    created_at: datetime
    finished_at: datetime | None


class Trajectory(TrajectorySummary):
    """A trajectory with its steps."""

    steps: list[StepModel]


Listed = TypeVar("Listed", bound=TrajectorySummary)


class TrajectoryList(WireModel, Generic[Listed]):
    """`GET /v1/trajectories`: trajectories with `include=steps`, else summaries."""

    object: Literal["list"] = "list"
    data: list[Listed]
    has_more: bool


class ToolInfo(WireModel):
    """One tool on offer."""

    name: str
    description: str
    parameters: dict[str, Any]
    source: str
    effect: str


class ToolList(WireModel):
    """`GET /v1/tools`."""

    object: Literal["list"] = "list"
    data: list[ToolInfo]


def as_summary(
    trajectory_id: str,
    state: State,
    *,
    created_at: datetime,
    finished_at: datetime | None,
    metadata: dict[str, str],
) -> TrajectorySummary:
    """The wire form of a machine state, without the steps."""
    return TrajectorySummary(
        id=trajectory_id,
        status=state.status,
        instruction=state.instruction,
        tools=list(state.tools),
        strategy=state.strategy,
        messages=[MessageModel(role=message.role, content=message.content) for message in state.messages],
        answer=state.answer,
        error=None if state.error is None else TrajectoryError(code=state.error.code, detail=state.error.detail),
        usage=TokenUsage(**vars(state.usage)),
        metadata=metadata,
        created_at=created_at,
        finished_at=finished_at,
    )


def as_steps(state: State) -> list[StepModel]:
    """The wire form of a machine state's steps."""
    return [
        StepModel(
            index=step.index,
            thought=step.thought,
            next=step.next,
            action=None
            if step.action is None
            else StepAction(
                call_id=step.action.call_id,
                name=step.action.name,
                arguments=dict(step.action.arguments),
                expires_at=_time(step.action.expires_at),
            ),
            observation=None
            if step.observation is None
            else StepObservation(
                content=step.observation.content,
                is_error=step.observation.is_error,
                truncated=step.observation.truncated,
            ),
            latency_ms=StepLatency(**vars(step.latency_ms)),
            usage=TokenUsage(**vars(step.usage)),
            truncated=step.truncated,
            parent=step.parent,
            abandoned=step.abandoned,
            roles={role: _role_usage(usage) for role, usage in step.roles.items()},
            call_unfinished=step.call_unfinished,
            tools_offered=None if step.tools_offered is None else list(step.tools_offered),
        )
        for step in state.steps
    ]


def as_trajectory(
    trajectory_id: str,
    state: State,
    *,
    created_at: datetime,
    finished_at: datetime | None,
    metadata: dict[str, str],
) -> Trajectory:
    """The wire form of a machine state."""
    summary = as_summary(trajectory_id, state, created_at=created_at, finished_at=finished_at, metadata=metadata)
    return Trajectory(**dict(summary), steps=as_steps(state))


def differing_fields(trajectory: Trajectory, state: State) -> list[str]:
    """The fields in which a trajectory differs from a state."""
    replayed = as_trajectory(
        trajectory.id,
        state,
        created_at=trajectory.created_at,
        finished_at=trajectory.finished_at,
        metadata=trajectory.metadata,
    )
    return [name for name in Trajectory.model_fields if getattr(replayed, name) != getattr(trajectory, name)]


def _role_usage(usage: RoleUsage) -> RoleUsageModel:
    return RoleUsageModel(attempts=usage.attempts, **vars(usage.usage), unreadable=usage.unreadable)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

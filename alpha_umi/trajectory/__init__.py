"""The trajectory machine: events in, a new state and one explicit effect out. No I/O.

    NEW ── created ─────────> PLANNING ── caller ──> CALLING ── call made ──> RUNNING_TOOL ─┐
                               ^  │                     │ unreadable                        │ observation
                               └──┼─────────────────────┴───────────<──────────────────────┘
                                  ├── conclusion, or a limit ──> SUMMARIZING ── answer ──> ENDING ──> FINISHED
                                  └── give up, failure, cancelled ───────────────────────> ENDING

A call of a tool that the client executes goes through REQUIRING and WAITING instead of RUNNING_TOOL. The strategy
`single` has STEPPING instead of planning and calling, and CONCLUDING for the answer after a limit. A further user turn
leads from FINISHED to the next step. With the strategy `dfsdt` a dead end (give up, maximum depth, repeated call) leads
through BACKTRACKING to PLANNING at an earlier step. A cancellation is legal in every open phase; a limit and a role's
failure are legal while an effect is being performed. `machine.TRANSITIONS` is the complete table.
"""

from alpha_umi.trajectory.effects import (
    FINAL,
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    AwaitOutput,
    Backtrack,
    Effect,
    Finish,
    RequireAction,
    RoleEffect,
    RunTool,
    SendEffect,
    Status,
    effect_key,
    role_of,
)
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import (
    EVENT_TYPES,
    ActionRequired,
    AnswerWritten,
    Backtracked,
    CallMade,
    Cancelled,
    EffectIntended,
    Event,
    LimitReached,
    MessageAdded,
    PlannerDecided,
    RoleFailed,
    RoleOutput,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    TurnOptions,
    TurnResumed,
    UnknownEvent,
    Usage,
    dump_event,
    parse_event,
)
from alpha_umi.trajectory.limits import Limits, UnreadablePolicy
from alpha_umi.trajectory.machine import TRANSITIONS, Transition, advance, effect_of, replay, transitions
from alpha_umi.trajectory.moves import STRATEGIES, assumed_decision
from alpha_umi.trajectory.search import planner_history
from alpha_umi.trajectory.state import Action, Failure, Latency, Message, Observation, Phase, State, Step, total
from alpha_umi.trajectory.tree import branch, leaves, steps_after

__all__ = [
    "EVENT_TYPES",
    "FINAL",
    "STRATEGIES",
    "TRANSITIONS",
    "Action",
    "ActionRequired",
    "AnswerWritten",
    "AskBackbone",
    "AskCaller",
    "AskPlanner",
    "AskSummarizer",
    "AwaitOutput",
    "Backtrack",
    "Backtracked",
    "CallMade",
    "Cancelled",
    "Effect",
    "EffectIntended",
    "Event",
    "Failure",
    "Finish",
    "IllegalEvent",
    "Latency",
    "LimitReached",
    "Limits",
    "Message",
    "MessageAdded",
    "Observation",
    "Phase",
    "PlannerDecided",
    "RequireAction",
    "RoleEffect",
    "RoleFailed",
    "RoleOutput",
    "RunTool",
    "SendEffect",
    "State",
    "Status",
    "Step",
    "StepTaken",
    "ToolObserved",
    "TrajectoryCreated",
    "TrajectoryFinished",
    "Transition",
    "TurnOptions",
    "TurnResumed",
    "UnknownEvent",
    "UnreadablePolicy",
    "Usage",
    "advance",
    "assumed_decision",
    "branch",
    "dump_event",
    "effect_key",
    "effect_of",
    "leaves",
    "parse_event",
    "planner_history",
    "replay",
    "role_of",
    "steps_after",
    "total",
    "transitions",
]

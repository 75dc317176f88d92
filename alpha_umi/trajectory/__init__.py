"""The trajectory machine: events in, a new state and one explicit effect out. No I/O.

    NEW ── question asked ──> PLANNING ── caller ──> CALLING ── call made ──> RUNNING_TOOL ─┐
                               ^  │                     │ unreadable                        │ observation
                               └──┼─────────────────────┴───────────<──────────────────────┘
                                  ├── conclusion, or a limit ──> SUMMARIZING ── answer ──> ENDING ──> FINISHED
                                  └── give up, failure, cancelled ───────────────────────> ENDING

A call of a tool that the client executes goes through REQUIRING and WAITING instead of RUNNING_TOOL. The strategy
`single` has STEPPING for planning and calling, and CONCLUDING for the answer after a limit. A further user turn leads
from FINISHED back to the next step. With the strategy `dfsdt` a dead end (give up, too deep, a repeated call) leads
through BACKTRACKING to an earlier place and PLANNING there. A cancellation is legal in every open phase; a limit and a
role's failure while somebody is asked. `machine.TRANSITIONS` is the whole table.
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
    RunTool,
    Status,
)
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import (
    ActionRequired,
    AnswerWritten,
    BackboneUnreadable,
    Backtracked,
    CallMade,
    CallUnreadable,
    Cancelled,
    Event,
    Finished,
    Intended,
    LimitReached,
    MessageAdded,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    RoleFailed,
    StepTaken,
    UnknownEvent,
    Usage,
    pack,
    unpack,
)
from alpha_umi.trajectory.limits import Limits, UnreadablePolicy
from alpha_umi.trajectory.machine import TRANSITIONS, advance, effect_of, replay
from alpha_umi.trajectory.moves import STRATEGIES
from alpha_umi.trajectory.search import planner_history
from alpha_umi.trajectory.state import Action, Failure, Latency, Message, Observation, Phase, State, Step
from alpha_umi.trajectory.tree import behind, branch, leaves

__all__ = [
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
    "BackboneUnreadable",
    "Backtrack",
    "Backtracked",
    "CallMade",
    "CallUnreadable",
    "Cancelled",
    "Effect",
    "Event",
    "Failure",
    "Finish",
    "Finished",
    "IllegalEvent",
    "Intended",
    "Latency",
    "LimitReached",
    "Limits",
    "Message",
    "MessageAdded",
    "Observation",
    "ObservationReceived",
    "Phase",
    "PlannerDecided",
    "PlannerUnreadable",
    "QuestionAsked",
    "RequireAction",
    "RoleFailed",
    "RunTool",
    "State",
    "Status",
    "Step",
    "StepTaken",
    "UnknownEvent",
    "UnreadablePolicy",
    "Usage",
    "advance",
    "behind",
    "branch",
    "effect_of",
    "leaves",
    "pack",
    "planner_history",
    "replay",
    "unpack",
]

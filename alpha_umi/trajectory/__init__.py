"""The trajectory machine: events in, a new state and one explicit effect out. No I/O.

    NEW ── question asked ──> PLANNING ── caller ──> CALLING ── call made ──> RUNNING_TOOL ─┐
                               ^  │                     │ unreadable                        │ observation
                               └──┼─────────────────────┴───────────<──────────────────────┘
                                  ├── conclusion, or a limit ──> SUMMARIZING ── answer ──> ENDING ──> FINISHED
                                  └── give up, failure, cancelled ───────────────────────> ENDING

A limit, a role's failure and a cancellation are legal in every open phase. `machine.TRANSITIONS` is the whole table.
"""

from alpha_umi.trajectory.effects import (
    FINAL,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    Effect,
    Finish,
    RunTool,
    Status,
)
from alpha_umi.trajectory.events import (
    AnswerWritten,
    CallMade,
    CallUnreadable,
    Cancelled,
    Event,
    Finished,
    Intended,
    LimitReached,
    Limits,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    RoleFailed,
    UnknownEvent,
    UnreadablePolicy,
    Usage,
    pack,
    unpack,
)
from alpha_umi.trajectory.machine import STRATEGIES, TRANSITIONS, IllegalEvent, advance, effect_of, replay
from alpha_umi.trajectory.state import Action, Failure, Latency, Observation, Phase, State, Step

__all__ = [
    "FINAL",
    "STRATEGIES",
    "TRANSITIONS",
    "Action",
    "AnswerWritten",
    "AskCaller",
    "AskPlanner",
    "AskSummarizer",
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
    "Observation",
    "ObservationReceived",
    "Phase",
    "PlannerDecided",
    "PlannerUnreadable",
    "QuestionAsked",
    "RoleFailed",
    "RunTool",
    "State",
    "Status",
    "Step",
    "UnknownEvent",
    "UnreadablePolicy",
    "Usage",
    "advance",
    "effect_of",
    "pack",
    "replay",
    "unpack",
]

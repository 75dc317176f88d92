"""Transitions that all strategies share: user turns, calls and observations.

Each function returns the next state. `machine.TRANSITIONS` says in which phase it is legal.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal

from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role, Turn, TurnRole
from alpha_umi.trajectory import search
from alpha_umi.trajectory.copies import replace
from alpha_umi.trajectory.ending import REPEATED_CALL, end, exhaust, exhausted_budget
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import (
    ActionRequired,
    MessageAdded,
    PlannerDecided,
    RoleOutput,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TurnOptions,
)
from alpha_umi.trajectory.state import Action, Failure, Message, Observation, Phase, State, Step
from alpha_umi.trajectory.tree import branch

STRATEGIES = ("chain", "single", "dfsdt")
_SPEAKERS: Final[dict[TurnRole, Literal["user", "assistant"]]] = {"user": "user", "conclusion": "assistant"}
# The published preprocessing writes a missing answer like this.
NO_ANSWER = "none"


def create(state: State, event: TrajectoryCreated) -> State:
    """The instruction starts the first turn. Raises `IllegalEvent` for an unknown strategy or an unfit history."""
    if event.strategy not in STRATEGIES:
        raise IllegalEvent(f"no strategy {event.strategy!r}; known: {', '.join(STRATEGIES)}")
    opened = replace(
        state,
        instruction=event.instruction,
        tools=event.tools,
        client_tools=event.client_tool_definitions,
        tool_set=event.tool_set,
        retrieve=event.retrieve,
        strategy=event.strategy,
        limits=event.limits,
        options=event.options or TurnOptions(),
    )
    if not event.history:
        return _begin_turn(opened, event.instruction)
    if event.history[-1].role not in ("user", "observation") or event.instruction not in _user_messages(event.history):
        raise IllegalEvent("the history ends neither with the instruction nor with an observation after it")
    messages = tuple(Message(_SPEAKERS[turn.role], turn.content) for turn in event.history if turn.role in _SPEAKERS)
    history = _instructed(event.history, opened.options.instructions)
    return replace(opened, phase=_decision_phase(opened), history=history, messages=messages)


def add_message(state: State, event: MessageAdded) -> State:
    """A user message starts a further turn. If the previous turn has no answer, the history gets an empty one."""
    unanswered = state.answer is None and state.strategy != "single"
    history = (*state.history, Turn("conclusion", NO_ANSWER)) if unanswered else state.history
    continued = replace(
        state,
        history=history,
        answer=None,
        error=None,
        outcome=None,
        limits=event.limits or state.limits,
        options=event.options or TurnOptions(),
    )
    return _begin_turn(continued, event.content)


def _begin_turn(state: State, content: str) -> State:
    return replace(
        state,
        phase=_decision_phase(state),
        interrupted=None,
        history=_instructed((*state.history, Turn("user", content)), state.options.instructions),
        messages=(*state.messages, Message("user", content)),
        turn_start=len(state.steps),
        request_start=len(state.steps),
        tip=None,
        dead_end=None,
    )


def _instructed(history: tuple[Turn, ...], instructions: str | None) -> tuple[Turn, ...]:
    """The history with instructions before the newest message of the user."""
    if instructions is None:
        return history
    place = max(index for index, turn in enumerate(history) if turn.role == "user")
    turn = Turn("user", f"{instructions}\n\n{history[place].content}")
    return (*history[:place], turn, *history[place + 1 :])


def _user_messages(history: tuple[Turn, ...]) -> list[str]:
    return [turn.content for turn in history if turn.role == "user"]


def _decision_phase(state: State) -> Phase:
    """The phase in which the next step is decided."""
    return Phase.STEPPING if state.strategy == "single" else Phase.PLANNING


def add_step(state: State, step: Step, text: str) -> State:
    """The state with a new step; `text` is the planner's turn for the history."""
    return replace(
        state,
        steps=(*state.steps, replace(step, parent=state.tip)),
        history=(*state.history, Turn("planner", text)),
        in_flight=None,
        tip=step.index,
    )


def give_up(state: State) -> State:
    """The model gave up: the turn ends without an answer; in a search, only the branch ends."""
    if state.strategy == "dfsdt":
        return search.abandon_branch(state, "gave_up")
    return end(state, "gave_up", Failure("gave_up", "the planner gave up"))


def check_policy(state: State, event: PlannerDecided | StepTaken) -> None:
    """Raises `IllegalEvent` if the decision assumed for unreadable output is not that of the policy."""
    if event.unreadable and event.next != (assumed := assumed_decision(state)):
        raise IllegalEvent(f"an unreadable decision counts as {assumed!r}, not as {event.next!r}")


def assumed_decision(state: State) -> Decision:
    """The decision that an unreadable output counts as; a turn without tools concludes instead of calling one."""
    tools = state.tools if state.options.tools is None else state.options.tools
    policy = state.limits.on_unreadable
    return policy if tools or policy != "caller" else "conclusion"


def add_usage(state: State, role: Role, output: RoleOutput, *, unreadable: bool = False) -> State:
    """The state with the cost of a role call added to the newest step; unchanged if there is no step."""
    if not state.steps:
        return state
    step = state.steps[-1].with_usage(role, output, unreadable=unreadable)
    return replace(state, steps=(*state.steps[:-1], step))


def add_call(state: State, action: Action, text: str) -> State:
    """The state with a call. The client executes it if the tool is a client tool."""
    for_client = any(tool.name == action.name for tool in state.client_tools)
    return replace(
        state.with_last_step(action=action),
        phase=Phase.REQUIRING if for_client else Phase.RUNNING_TOOL,
        history=(*state.history, Turn("caller", text)),
        in_flight=None,
    )


def record_call_error(state: State, content: str, text: str) -> State:
    """The observation says why there was no call; the planner decides again. `text` is the caller's output."""
    noted = state.with_last_step(observation=Observation(content, is_error=True))
    return _after_observation(replace(noted, history=(*state.history, Turn("caller", text))))


def require_action(state: State, event: ActionRequired) -> State:
    """The call is published to the client, with its deadline."""
    action = _pending_action(state, event.call_id)
    waiting = state.with_last_step(action=replace(action, expires_at=event.expires_at))
    return replace(waiting, phase=Phase.WAITING)


def observe(state: State, event: ToolObserved) -> State:
    """The result of the call. What its request sets holds from now on."""
    action = _pending_action(state, event.call_id)
    if event.limits is not None or event.options is not None:
        limits, options = event.limits or state.limits, event.options or state.options
        state = replace(state, limits=limits, options=options, request_start=len(state.steps))
    return _after_observation(
        state.with_last_step(
            action=replace(action, expires_at=None),
            observation=Observation(event.content, event.is_error, event.truncated, event.body is not None),
            latency_ms=replace(state.steps[-1].latency_ms, tool=event.latency_ms),
        )
    )


def _pending_action(state: State, call_id: str | None) -> Action:
    action = current_action(state)
    if call_id != action.call_id:
        raise IllegalEvent(f"no call {call_id!r} is waiting for an observation")
    return action


def _after_observation(state: State) -> State:
    """Continue with the next step, unless a limit ends the turn or the branch of a search."""
    observation = state.steps[-1].observation
    content = observation.content if observation else ""
    state = state.with_last_step(digest=_digest(state.steps[-1].action, content))
    observed = replace(state, history=(*state.history, Turn("observation", content)), in_flight=None)
    repeated, searches = _repeats(state) >= state.limits.max_repeats, state.strategy == "dfsdt"
    if repeated:
        return search.abandon_branch(observed, "repeated_call") if searches else exhaust(observed, REPEATED_CALL)
    if searches and len(branch(state)) >= state.limits.max_depth:
        return search.abandon_branch(observed, "max_depth")
    why = exhausted_budget(observed)
    return replace(observed, phase=_decision_phase(observed)) if why is None else exhaust(observed, why)


def _repeats(state: State) -> int:
    """The number of steps of this branch with the same call and observation as the newest one."""
    newest = state.steps[-1].digest
    return sum(step.digest == newest for step in branch(state))


def _digest(action: Action | None, content: str) -> bytes:
    """Of a call and its observation: comparing the texts of all steps would take long."""
    call = None if action is None else [action.name, action.arguments]
    digest = hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), digest_size=16)
    digest.update(content.encode(errors="surrogatepass"))
    return digest.digest()


def add_answer(state: State, answer: str) -> State:
    """The state with an answer."""
    return replace(
        state,
        answer=answer,
        history=(*state.history, Turn("conclusion", answer)),
        messages=(*state.messages, Message("assistant", answer)),
    )


def current_action(state: State) -> Action:
    """The newest call."""
    action = state.steps[-1].action
    if action is None:
        raise AssertionError("a tool runs only after a call was made")
    return action

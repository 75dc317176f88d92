"""Every stream replays to the original state; invalid events are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.unreadable_events import unreadable_call, unreadable_plan, unreadable_step

from alpha_umi.contract.stream_events import (
    EventNotUnderstood,
    Reconnect,
    StreamEvent,
    TextDelta,
    UnknownKind,
    machine_events,
    read_stream_event,
)
from alpha_umi.contract.trajectories import differing_fields
from alpha_umi.roles.turns import Tool
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    AwaitOutput,
    Backtrack,
    Backtracked,
    CallMade,
    Cancelled,
    Effect,
    EffectIntended,
    Event,
    Finish,
    LimitReached,
    Limits,
    MessageAdded,
    PlannerDecided,
    RequireAction,
    RoleEffect,
    RoleFailed,
    RunTool,
    SendEffect,
    State,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    Transition,
    Usage,
    advance,
    dump_event,
    effect_key,
    effect_of,
    parse_event,
    replay,
    role_of,
    transitions,
)
from orchestrator.log import LoggedEvent
from orchestrator.store import TrajectoryRow
from orchestrator.stream.serialization import serialize

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = TrajectoryRow("t", NOW, None, "running", "", "chain", ())
TEXTS = st.sampled_from(["", "a thought", "Next: conclusion.", "č ☃\n\x00", "1 2\r\n"])
DECISIONS = st.sampled_from(["caller", "caller", "conclusion", "give up"])
CREATED = st.builds(
    TrajectoryCreated,
    TEXTS,
    st.just(("tool",)),
    st.builds(
        Limits,
        max_steps=st.integers(1, 5),
        max_repeats=st.integers(1, 3),
        on_unreadable=st.sampled_from(["caller", "conclusion", "give up"]),
        max_tokens=st.none() | st.integers(1, 100),
        max_depth=st.integers(1, 3),
        max_width=st.integers(1, 2),
    ),
    st.sampled_from(["chain", "single", "dfsdt"]),
    st.sampled_from([(), (Tool("tool", "what it does", {"type": "object"}),)]),
)
COST = {"usage": Usage(3, 2), "latency_ms": 7, "attempts": 2}


def outcome(effect: Effect, state: State, data: st.DataObject) -> Event:
    """Any event that can follow from an effect."""
    policy, text, step = state.limits.on_unreadable, data.draw(TEXTS), len(state.steps)
    match effect:
        case AskPlanner():
            decided = PlannerDecided(text, data.draw(DECISIONS), text, truncated=data.draw(st.booleans()), **COST)
            return data.draw(st.sampled_from([decided, decided, unreadable_plan(text, "no decision", policy)]))
        case AskCaller():
            call = CallMade(f"call_{step}", "tool", {"n": data.draw(st.integers(0, 1))}, text, **COST)
            return data.draw(st.sampled_from([call, call, unreadable_call(text, "no call", Usage(1, 1))]))
        case RunTool(call_id=call_id) | AwaitOutput(call_id=call_id):
            return ToolObserved(call_id, text, data.draw(st.booleans()), data.draw(st.booleans()), 5)
        case RequireAction(call_id=call_id):
            return ActionRequired(call_id, NOW.isoformat())
        case Backtrack(to=to, reason=reason):
            return Backtracked(to, reason)
        case AskSummarizer():
            return AnswerWritten(text, **COST)
        case AskBackbone(conclude=conclude):
            steps = [
                StepTaken(text, "caller", text, f"call_{step}", "tool", {"n": 1}, **COST),
                StepTaken(text, "caller", text, reason="no such tool"),
                StepTaken(text, "conclusion", text, answer=text),
                StepTaken(text, "give up"),
                unreadable_step(text, "neither", policy, concludes=conclude),
            ]
            return data.draw(st.sampled_from(steps))
        case Finish():
            return TrajectoryFinished()


def interruption(effect: Effect) -> Event | None:
    """An event that ends the turn, or hastens its end, where the effect can be interrupted."""
    if isinstance(effect, Finish):
        return None
    if isinstance(effect, RequireAction | AwaitOutput):
        return Cancelled("cancelled by the client")
    return LimitReached("deadline")


def course(created: TrajectoryCreated, turns: int, data: st.DataObject) -> list[Event]:
    """A trajectory from its creation to the end of its last turn, with intents as the orchestrator writes them."""
    events: list[Event] = [created]
    state = replay(events)
    while True:
        effect = effect_of(state)
        if effect is None:
            turns -= 1
            if not turns:
                return events
            event: Event = MessageAdded(data.draw(TEXTS))
        elif data.draw(st.integers(0, 14)) == 0 and (interrupted := interruption(effect)) is not None:
            failed = [RoleFailed(role_of(effect), "it is down", 9)] if isinstance(effect, RoleEffect) else []
            event = data.draw(st.sampled_from([interrupted, Cancelled("gone"), *failed]))
        else:
            if isinstance(effect, SendEffect):
                events.append(EffectIntended(effect_key(effect)))
                state = advance(state, events[-1])
            event = outcome(effect, state, data)
        events.append(event)
        state = advance(state, event)


def logged(events: list[Event]) -> Iterator[LoggedEvent]:
    for seq, transition in enumerate(transitions(events), start=1):
        yield LoggedEvent(transition.before, transition.event, transition.after, seq, NOW)


def sent(log: list[LoggedEvent]) -> list[StreamEvent]:
    """The events that a client receives for a log."""
    sent = [each for each in log if not isinstance(each.event, TrajectoryFinished) or each is log[-1]]
    stream = [serialize(each, ROW) for each in sent]
    return [read_stream_event(event.event, event.data, event.id) for event in stream if event is not None]


@given(CREATED, st.integers(1, 3), st.data())
@settings(max_examples=300, deadline=None)
def test_a_stream_reads_back_as_its_state(created: TrajectoryCreated, turns: int, data: st.DataObject) -> None:
    events = course(created, turns, data)
    log = list(logged(events))
    stream = sent(log)
    state = replay(machine_events(stream))
    assert state == log[-1].after
    assert list(machine_events(stream)) == [event for event in events if not isinstance(event, EffectIntended)]
    assert stream[-1].context.trajectory is not None
    assert differing_fields(stream[-1].context.trajectory, state) == []
    assert [parse_event(json.loads(json.dumps(dump_event(event)))) for event in events] == events


@given(CREATED, st.data())
@settings(max_examples=100, deadline=None)
def test_a_part_of_a_stream_reads_back_as_its_state_but_for_the_intent(
    created: TrajectoryCreated, data: st.DataObject
) -> None:
    log = list(logged(course(created, 2, data)))
    end = data.draw(st.integers(1, len(log)))
    reached = replay(machine_events(sent(log[:end])))
    wanted = log[end - 1].after
    if reached != wanted:
        assert wanted.in_flight is not None or wanted.phase == "finished"
        assert vars(reached) | {"in_flight": wanted.in_flight} == vars(wanted)


def test_live_text_and_reconnect_are_no_events_of_the_machine() -> None:
    delta = read_stream_event("planner.delta", '{"step": 2, "text": "I "}')
    assert delta.event == TextDelta("planner", 2, "I ")
    assert read_stream_event("reconnect", '{"reason": "restart"}').event == Reconnect("restart")
    assert list(machine_events([delta])) == []


@pytest.mark.parametrize("data", ['{"step": 2}', "no JSON"])
def test_an_unknown_kind_can_be_skipped_but_not_replayed(data: str) -> None:
    item = read_stream_event("planner.dreamt", data, "7")
    assert item.event == UnknownKind("planner.dreamt")
    with pytest.raises(EventNotUnderstood, match=r"'planner\.dreamt' \(id 7\) has an unknown kind: use the version"):
        list(machine_events([item]))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("planner.decided", "{", "the event 'planner.decided' cannot be read"),
        ("planner.decided", "[]", "its data is no JSON object"),
        ("planner.decided", "{}", "thought: Field required"),
        ("planner.decided", '{"thought": 5, "next": "caller", "text": ""}', "thought: Input should be a valid string"),
        ("planner.decided", '{"thought": "", "next": "dance", "text": ""}', "next: Input should be"),
        ("caller.called", '{"call_id": "", "name": "", "arguments": {"a": NaN}, "text": ""}', "has no JSON form"),
        ("planner.delta", '{"step": "x", "text": ""}', "step: Input should be a valid integer"),
        ("trajectory.finished", "{}", "cannot be read: id: Field required"),
        ("search.backtracked", '{"to": null, "reason": "gave_up", "abandoned": 5}', "abandoned: "),
    ],
)
def test_what_is_no_event_is_refused(name: str, data: str, message: str) -> None:
    with pytest.raises(EventNotUnderstood) as refused:
        read_stream_event(name, data)
    assert message in str(refused.value)


def test_old_fields_of_the_creation_stay_for_earlier_clients() -> None:
    created = TrajectoryCreated("q", ("a", "b"), Limits(max_steps=3), "dfsdt", (Tool("b"),))
    (event,) = logged([created])
    shown = serialize(event, ROW)
    assert shown is not None
    data: dict[str, Any] = json.loads(shown.data)
    assert data["client_tools"] == ["b"]
    assert {name: data[name] for name in ("max_steps", "max_depth", "max_width")} == {
        "max_steps": 3, "max_depth": 4, "max_width": 2,
    }  # fmt: skip
    assert data["limits"]["max_steps"] == 3
    assert isinstance(event, Transition)

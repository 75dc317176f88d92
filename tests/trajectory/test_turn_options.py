"""Turns with options of their request, and conversations that a client continues."""

from __future__ import annotations

import json

import pytest

from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    CallMade,
    Failure,
    IllegalEvent,
    Limits,
    MessageAdded,
    PlannerDecided,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    TurnOptions,
    Usage,
    assumed_decision,
    dump_event,
    effect_of,
    parse_event,
    replay,
)
from alpha_umi.trajectory.effects import AskPlanner, Finish

CONVERSATION = (
    Turn("user", "Hello"),
    Turn("conclusion", "Good day"),
    Turn("user", "Weather?"),
    Turn("planner", "Look it up.\nNext: caller."),
    Turn("caller", "Action: weather\nAction Input: {}"),
    Turn("observation", "sun"),
)


def test_a_conversation_of_the_client_continues_with_the_planner() -> None:
    state = replay([TrajectoryCreated("Weather?", ("weather",), history=CONVERSATION)])
    assert (effect_of(state), state.history) == (AskPlanner(0), CONVERSATION)
    assert [(m.role, m.content) for m in state.messages] == [
        ("user", "Hello"),
        ("assistant", "Good day"),
        ("user", "Weather?"),
    ]


@pytest.mark.parametrize("history", [CONVERSATION[:2], CONVERSATION[:4], (Turn("observation", "sun"),)])
def test_a_conversation_that_nothing_follows_is_illegal(history: tuple[Turn, ...]) -> None:
    with pytest.raises(IllegalEvent):
        replay([TrajectoryCreated("Hello", (), history=history[1:] if len(history) == 2 else history)])


def test_instructions_stand_before_the_newest_user_message_of_the_history() -> None:
    options = TurnOptions(instructions="Be brief.")
    for created, content in (
        (TrajectoryCreated("Hi", (), options=options), "Be brief.\n\nHi"),
        (TrajectoryCreated("Weather?", (), history=CONVERSATION, options=options), "Be brief.\n\nWeather?"),
    ):
        state = replay([created])
        assert [turn.content for turn in state.history if turn.role == "user"][-1] == content
        assert state.messages[-1].content == created.instruction


def test_options_and_limits_of_a_turn_end_with_it() -> None:
    first = [
        TrajectoryCreated("Hi", (), options=TurnOptions(instructions="Be brief.", max_output_tokens=100)),
        PlannerDecided("Done.", "conclusion", "Done.\nNext: conclusion."),
        AnswerWritten("Hello"),
        TrajectoryFinished(),
    ]
    state = replay([*first, MessageAdded("More", limits=Limits(max_steps=2))])
    assert (state.options, state.limits.max_steps, state.history[-1].content) == (TurnOptions(), 2, "More")


def test_limits_and_options_of_an_output_hold_from_there() -> None:
    weather = Tool("weather", "", {})
    calls = [
        PlannerDecided("Look.", "caller", "Look.\nNext: caller.", usage=Usage(10, 60)),
        CallMade("c", "weather", {}, "Action: weather\nAction Input: {}"),
        ActionRequired("c", "2030-01-01T00:00:00+00:00"),
    ]
    first = TrajectoryCreated(
        "Hi",
        ("weather",),
        Limits(max_steps=1),
        client_tool_definitions=(weather,),
        options=TurnOptions(max_output_tokens=100),
    )
    plain = replay([first, *calls, ToolObserved("c", "sun")])
    assert plain.error == Failure("max_steps", "the limit of 1 steps was reached")
    renewed = ToolObserved("c", "sun", limits=Limits(max_steps=2), options=TurnOptions(max_output_tokens=50))
    assert parse_event(dump_event(renewed)) == renewed
    state = replay([first, *calls, renewed])
    assert (effect_of(state), state.limits.max_steps, state.options.max_output_tokens) == (AskPlanner(1), 2, 50)
    assert (state.request_steps, len(state.turn_steps)) == ((), 1)
    state = replay([*calls, ToolObserved("c", "rain")], state)
    assert state.error == Failure("max_output_tokens", "the limit of 50 output tokens was reached")


def test_an_answer_that_the_output_limit_cut_exhausts_the_turn() -> None:
    for options, outcome in ((TurnOptions(max_output_tokens=100), "exhausted"), (TurnOptions(), "completed")):
        events = [
            TrajectoryCreated("Hi", (), options=options),
            PlannerDecided("Done.", "conclusion", "Done.\nNext: conclusion.", usage=Usage(10, 5)),
            AnswerWritten("Hel", unfinished=True),
        ]
        state = replay(events)
        assert (effect_of(state), state.answer) == (Finish(outcome), "Hel")
        created = TrajectoryCreated("Hi", (), strategy="single", options=options)
        state = replay([created, StepTaken("Done.", "conclusion", answer="Hel", unfinished=True)])
        assert (effect_of(state), state.answer) == (Finish(outcome), "Hel")


@pytest.mark.parametrize(
    ("tools", "options", "assumed"),
    [
        (("a",), None, "caller"),
        ((), None, "conclusion"),
        (("a",), TurnOptions(tools=()), "conclusion"),
    ],
)
def test_an_unreadable_decision_calls_no_tool_where_there_is_none(
    tools: tuple[str, ...], options: TurnOptions | None, assumed: str
) -> None:
    state = replay([TrajectoryCreated("Hi", tools, limits=Limits(on_unreadable="caller"), options=options)])
    assert assumed_decision(state) == assumed


def test_options_and_history_survive_the_log() -> None:
    options = TurnOptions(
        temperature=0.5, stop=("END",), tools=("a",), must_call=True, answer_schema={"type": "object"}
    )
    for event in (
        TrajectoryCreated("Weather?", ("a",), history=CONVERSATION, options=options),
        MessageAdded("More", options=options, limits=Limits()),
    ):
        assert parse_event(dump_event(event)) == event


def test_an_event_has_one_text_whoever_made_it() -> None:
    """A stream that is live equals one that is read from the log."""
    for event in (
        PlannerDecided("Done.", "conclusion", "Done.\nNext: conclusion.", usage=Usage(10, 5)),
        AnswerWritten("Hello", usage=Usage(10, 5), latency_ms=3),
    ):
        stored = dump_event(event)
        read = parse_event(dict(reversed(stored.items())))
        assert json.dumps(dump_event(read)) == json.dumps(stored)

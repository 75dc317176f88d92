"""The strategy `dfsdt`: where it backtracks to, the planner's history, and termination."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.unreadable_events import unreadable_call, unreadable_plan

from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.trajectory import (
    FINAL,
    ActionRequired,
    AnswerWritten,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    AwaitOutput,
    Backtrack,
    Backtracked,
    CallMade,
    Cancelled,
    Event,
    Finish,
    IllegalEvent,
    LimitReached,
    Limits,
    MessageAdded,
    Phase,
    PlannerDecided,
    RequireAction,
    RunTool,
    State,
    Step,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    UnreadablePolicy,
    Usage,
    advance,
    branch,
    dump_event,
    effect_of,
    leaves,
    parse_event,
    planner_history,
    replay,
)

EXPIRES_AT = "2030-01-01T00:00:00+00:00"


class Searching:
    """A search that is driven by the test; automatic events follow at once."""

    def __init__(self, **limits: object) -> None:
        question = TrajectoryCreated("question", ("tool",), Limits(**{"max_steps": 60} | limits), "dfsdt")  # type: ignore[arg-type]
        self.events: list[Event] = [question]
        self.state = replay(self.events)

    def do(self, *events: Event) -> State:
        for event in events:
            self.state = advance(self.state, event)
            self.events.append(event)
            while isinstance(effect := effect_of(self.state), Backtrack):
                back = Backtracked(effect.to, effect.reason)
                self.state = advance(self.state, back)
                self.events.append(back)
        return self.state

    def call(self, what: object = None, output: str | None = None) -> State:
        index = len(self.state.steps)
        made = CallMade(f"call_{index}", "tool", {"a": index if what is None else what}, f"call {index}")
        observed = ToolObserved(f"call_{index}", f"output {index}" if output is None else output)
        return self.do(PlannerDecided("think", "caller", f"think {index} Next: caller."), made, observed)

    def give_up(self) -> State:
        return self.do(PlannerDecided("no way", "give up", "no way Next: give up."))

    @property
    def left(self) -> list[int]:
        return [step.index for step in self.state.steps if step.abandoned]

    @property
    def back(self) -> list[Backtracked]:
        return [event for event in self.events if isinstance(event, Backtracked)]


def test_the_first_conclusion_ends_it() -> None:
    search = Searching()
    search.call()
    ended = search.do(
        PlannerDecided("known", "conclusion", "known Next: conclusion."), AnswerWritten("19"), TrajectoryFinished()
    )
    assert (ended.status, ended.answer, ended.error) == ("completed", "19", None)
    assert [(step.parent, step.abandoned) for step in ended.steps] == [(None, False), (0, False)]


def test_a_give_up_skips_the_place_before_it() -> None:
    """Back two steps: the third step gives up, so what follows the first one is tried again."""
    search = Searching()
    search.call()
    search.call()
    state = search.give_up()
    assert search.back == [Backtracked(0, "gave_up")]
    assert (state.tip, search.left, effect_of(state)) == (0, [1, 2], AskPlanner(3))
    assert [turn.content for turn in state.history] == ["question", "think 0 Next: caller.", "call 0", "output 0"]
    search.call()
    assert search.state.steps[-1].parent == 0


def test_a_give_up_at_the_second_step_begins_anew() -> None:
    search = Searching()
    search.call()
    state = search.give_up()
    assert (state.tip, search.left, state.history) == (None, [0, 1], (Turn("user", "question"),))


def test_a_give_up_at_the_first_step_ends_it_as_published() -> None:
    state = Searching().give_up()
    assert effect_of(state) == Finish("gave_up")
    assert state.error is not None
    assert state.error.detail.endswith("the planner gave up on 1 of 1")


def test_too_deep_tries_the_place_before_once_more() -> None:
    search = Searching(max_depth=2)
    search.call()
    search.call()
    assert search.back == [Backtracked(0, "max_depth")]
    search.call()
    assert search.back[1:] == [Backtracked(None, "max_depth")]
    assert search.left == [0, 1, 2]


def test_a_conclusion_at_the_greatest_depth_is_one() -> None:
    search = Searching(max_depth=2)
    search.call()
    state = search.do(PlannerDecided("known", "conclusion", "known Next: conclusion."))
    assert effect_of(state) == AskSummarizer(2)


def test_a_repeated_call_is_a_dead_end_of_its_branch_only() -> None:
    search = Searching(max_repeats=2, max_depth=6)
    search.call("same", "output")
    search.call("same", "output")
    assert search.back == [Backtracked(0, "repeated_call")]
    search.call("other", "output")
    assert len(search.back) == 1


def test_the_complete_published_tree_has_thirty_steps() -> None:
    search = Searching()
    while isinstance(effect_of(search.state), AskPlanner):
        search.call()
    assert len(search.state.steps) == 30
    assert len(leaves(search.state)) == 16
    assert effect_of(search.state) == AskSummarizer(30)
    assert search.state.error is not None
    assert search.state.error.code == "search_exhausted"
    assert [step.index for step in branch(search.state)] == [
        step.index for step in search.state.steps if not step.abandoned
    ]


def test_a_tree_with_a_give_up_in_it_has_given_up() -> None:
    """As published: of a tree without an answer a give-up is the outcome, whatever ended the other branches."""
    search = Searching(max_depth=2)
    search.call()
    search.give_up()
    while isinstance(effect_of(search.state), AskPlanner):
        search.call()
    assert effect_of(search.state) == Finish("gave_up")


def test_a_width_of_one_never_goes_back() -> None:
    search = Searching(max_width=1, max_depth=2)
    search.call()
    search.call()
    assert search.back == []
    assert isinstance(effect_of(search.state), AskSummarizer)


def test_the_budget_of_steps_is_one_for_all_branches() -> None:
    search = Searching(max_steps=3, max_depth=2)
    for _ in range(3):
        search.call()
    assert effect_of(search.state) == AskSummarizer(3)
    assert search.state.error is not None
    assert search.state.error.code == "max_steps"
    # The summarizer is asked about the branch in hand: nothing was left for a place that is not tried any more.
    assert [step.index for step in branch(search.state)] == [0, 2]


@pytest.mark.parametrize(("max_tokens", "code"), [(29, "max_tokens"), (30, "max_tokens"), (31, None)])
@pytest.mark.parametrize("strategy", ["chain", "dfsdt"])
def test_the_budget_of_tokens_is_one_for_all_roles(strategy: str, max_tokens: int, code: str | None) -> None:
    events = [
        TrajectoryCreated("question", ("tool",), Limits(max_tokens=max_tokens), strategy),
        PlannerDecided("think", "caller", "think Next: caller.", usage=Usage(10, 2)),
        CallMade("c", "tool", {}, "call", usage=Usage(15, 3)),
        ToolObserved("c", "x"),
    ]
    state = replay(events)
    assert (state.error.code if state.error else None) == code
    assert isinstance(effect_of(state), AskSummarizer if code else AskPlanner)


def test_every_turn_has_a_budget_of_tokens_of_its_own() -> None:
    question = TrajectoryCreated("question", ("tool",), Limits(max_tokens=10))
    decided = PlannerDecided("known", "conclusion", "known Next: conclusion.", usage=Usage(40, 2))
    state = replay([question, decided, AnswerWritten("19"), TrajectoryFinished(), MessageAdded("and now?")])
    for event in (PlannerDecided("t", "caller", "t"), CallMade("c", "tool", {}, "c"), ToolObserved("c", "x")):
        state = advance(state, event)
    assert effect_of(state) == AskPlanner(2)


def test_the_planner_alone_is_shown_what_was_tried_before() -> None:
    search = Searching(max_depth=2)
    search.call()
    search.call("one", "x" * 3_000)
    shown = planner_history(search.state)
    assert shown[:-1] == search.state.history
    assert shown[-1].role == "user"
    assert shown[-1].content.startswith("This is not the first time you try this task, all previous trails failed.\n")
    rest = shown[-1].content.partition("actions candidates:\n")[2]
    listed, _, former = rest.partition("\nagain, your former observation: ")
    assert json.loads(listed) == [
        {
            "name": "tool",
            "arguments": '{"a": "one"}',
            "function_output": "x" * 1_024,
            "mento-carlo-action-value": 0.0,
        }
    ]
    assert former.startswith("output 0\n\nRemember you are now in the intermediate state of a trail")
    search.do(PlannerDecided("think", "caller", "think Next: caller."))
    assert all("previous actions" not in turn.content for turn in search.state.history)
    assert planner_history(replay([TrajectoryCreated("question", ("tool",), strategy="dfsdt")])) == (
        Turn("user", "question"),
    )


def test_a_call_that_could_not_be_made_is_shown_by_its_reason() -> None:
    search = Searching(max_depth=1)
    search.do(PlannerDecided("think", "caller", "think Next: caller."), unreadable_call("?", "no such tool"))
    content = planner_history(search.state)[-1].content
    assert '"function_output": "No call was made: no such tool"' in content
    assert "former observation" not in content


@pytest.mark.parametrize(
    "wrong", [Backtracked(1, "gave_up"), Backtracked(None, "gave_up"), Backtracked(0, "max_depth")]
)
def test_backtracking_to_another_step_is_refused(wrong: Backtracked) -> None:
    search = Searching()
    search.call()
    search.call()
    dead = advance(search.state, PlannerDecided("no way", "give up", "no way Next: give up."))
    assert effect_of(dead) == Backtrack(2, 0, "gave_up")
    with pytest.raises(IllegalEvent, match="backtracks to step 0"):
        advance(dead, wrong)


def test_a_dead_end_can_be_cancelled_and_run_out_of_time() -> None:
    search = Searching()
    search.call()
    dead = advance(search.state, PlannerDecided("no way", "give up", "no way Next: give up."))
    assert dead.phase is Phase.BACKTRACKING
    assert effect_of(advance(dead, Cancelled())) == Finish("cancelled")
    assert effect_of(advance(dead, LimitReached("deadline"))) == AskSummarizer(2)


@pytest.mark.parametrize("policy", ["conclusion", "caller", "give up"])
def test_the_policy_decides_where_the_planner_did_not(policy: UnreadablePolicy) -> None:
    search = Searching(on_unreadable=policy)
    search.call()
    state = search.do(unreadable_plan("mumble", "no decision", policy))
    wanted = {"conclusion": AskSummarizer(2), "caller": AskCaller(1), "give up": AskPlanner(2)}
    assert effect_of(state) == wanted[policy]


def test_a_further_turn_searches_from_the_branch_that_won() -> None:
    search = Searching()
    search.call()
    search.give_up()
    search.call()
    search.do(
        PlannerDecided("known", "conclusion", "known Next: conclusion."), AnswerWritten("19"), TrajectoryFinished()
    )
    state = search.do(MessageAdded("and now?"))
    assert (state.tip, state.turn_start) == (None, 4)
    assert [turn.role for turn in state.history] == [
        "user", "planner", "caller", "observation", "planner", "conclusion", "user",
    ]  # fmt: skip
    assert planner_history(state) == state.history
    ended = search.give_up()
    assert effect_of(ended) == Finish("gave_up")


DECISIONS = st.sampled_from(["caller", "caller", "caller", "caller", "give up", "give up", "conclusion"])
OUTPUTS = st.sampled_from(["", "one", "two", "Next: conclusion."])
LIMITS = st.builds(
    Limits,
    max_steps=st.integers(1, 40),
    max_repeats=st.integers(1, 3),
    on_unreadable=st.sampled_from(["caller", "conclusion", "give up"]),
    max_tokens=st.none() | st.integers(1, 300),
    max_depth=st.integers(1, 5),
    max_width=st.integers(1, 3),
)
CLIENT_TOOLS = st.sampled_from([(), (Tool("tool"),)])


def reaction(state: State, data: st.DataObject) -> Event:
    """Any answer of the role or tool."""
    match effect_of(state):
        case AskPlanner() if data.draw(st.integers(0, 9)) == 0:
            return unreadable_plan("?", "no decision", state.limits.on_unreadable, Usage(3, 1))
        case AskPlanner(step):
            decision = data.draw(DECISIONS)
            return PlannerDecided("thought", decision, f"thought {step} Next: {decision}.", usage=Usage(3, 1))
        case AskCaller() if data.draw(st.integers(0, 9)) == 0:
            return unreadable_call("?", "no call", Usage(2, 1))
        case AskCaller(step):
            return CallMade(
                f"call_{step}", "tool", {"a": data.draw(st.integers(0, 2))}, f"call {step}", usage=Usage(2, 1)
            )
        case RequireAction(call_id=call_id):
            return ActionRequired(call_id, EXPIRES_AT)
        case RunTool(call_id=call_id) | AwaitOutput(call_id=call_id):
            return ToolObserved(call_id, data.draw(OUTPUTS))
        case Backtrack(to=to, reason=reason):
            return Backtracked(to, reason)
        case AskSummarizer():
            return AnswerWritten("answer")
        case Finish():
            return TrajectoryFinished()
        case effect:
            raise AssertionError(effect)


def events_of(events: Sequence[Event], steps: Sequence[Step]) -> list[Event]:
    """The events of some steps of a search. A decision begins a step."""
    chosen, index = list[Event](), -1
    wanted = {step.index for step in steps}
    for event in events:
        index += isinstance(event, PlannerDecided)
        if index in wanted and not isinstance(event, Backtracked):
            chosen.append(event)
    return chosen


@given(LIMITS, CLIENT_TOOLS, st.data())
@settings(max_examples=150, deadline=None)
def test_any_search_ends_within_its_budget(limits: Limits, client_tools: tuple[Tool, ...], data: st.DataObject) -> None:
    question = TrajectoryCreated("question", ("tool",), limits, "dfsdt", client_tools)
    endless = Limits(max_steps=1_000, max_repeats=1_000, on_unreadable=limits.on_unreadable)
    events: list[Event] = [question]
    state = advance(State(), question)
    while (effect := effect_of(state)) is not None:
        standing = branch(state)
        # What is not abandoned is the branch on which the search stands.
        assert [step.index for step in standing] == [step.index for step in state.steps if not step.abandoned]
        if isinstance(effect, AskPlanner):
            # A chain that had gone this way, and no other, would have had this history.
            chain = replay([replace(question, strategy="chain", limits=endless), *events_of(events, standing)])
            assert chain.history == state.history
            assert len(standing) < limits.max_depth
            shown = planner_history(state)
            assert shown[: len(state.history)] == state.history
            assert len(shown) - len(state.history) in (0, 1)
        events.append(reaction(state, data))
        state = advance(state, events[-1])
        assert len(state.steps) <= limits.max_steps
        assert len(events) <= 6 * limits.max_steps + 3
    assert state.status in FINAL
    stored = [parse_event(json.loads(json.dumps(dump_event(event)))) for event in events]
    assert stored == events
    reached = State()
    for number, event in enumerate(stored, start=1):
        reached = advance(reached, event)
        assert replay(stored[:number]) == reached
    assert reached == state

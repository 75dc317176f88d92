"""Every course of a trajectory as a response: order, numbers, and the same stream live, replayed and resumed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysqlite3 import dbapi2 as sqlite3
from support.response_streams import check_stream
from support.stream_courses import COURSES

from alpha_umi.contract.openai.response_events import EVENT_TYPES, ResponseEvent
from alpha_umi.contract.stream_events import TextDelta
from alpha_umi.roles.turns import Tool
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    CallMade,
    EffectIntended,
    Event,
    LimitReached,
    Limits,
    MessageAdded,
    Phase,
    PlannerDecided,
    RoleFailed,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    TurnOptions,
    TurnResumed,
    Usage,
    transitions,
)
from orchestrator.log import LoggedEvent, read_log
from orchestrator.openai.ids import place_of, response_id
from orchestrator.openai.projection import NUMBERS_A_ROW, Projection
from orchestrator.store import TurnRow, open_store
from orchestrator.stream.broadcast import Unlogged

DOCUMENT = {"model": "alpha-umi", "input": ["hidden"], "metadata": {"a": "b"}, "reasoning": {"summary": None}}
TRAJECTORY = "traj_" + "0123456789abcdef" * 2
Item = LoggedEvent | Unlogged
# Text of a role call that ended without an output.
PREVIEW = "This was never finished"


@cache
def logs() -> dict[str, list[LoggedEvent]]:
    """The logs of all courses, as an orchestrator wrote them."""
    script = Path(__file__).parent.parent / "golden_streams" / "log_of_schema_2.sql"

    async def read(folder: str) -> dict[str, list[LoggedEvent]]:
        async with open_store(f"sqlite:///{folder}/log.db") as store:
            return {name: list(read_log(await store.events(name))) for name in COURSES}

    with TemporaryDirectory() as folder:
        with contextlib.closing(sqlite3.connect(f"{folder}/log.db")) as database:
            database.executescript(script.read_text(encoding="utf-8"))
        return asyncio.run(read(folder))


def turn_at(logged: LoggedEvent, **document: Any) -> TurnRow:
    return TurnRow(
        owner="default",
        interface="responses",
        document=DOCUMENT | document,
        trajectory_id=TRAJECTORY,
        seq=logged.seq,
        at=logged.at,
    )


def responses_of(log: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """The rows from the beginning of each response on; the log may go on after its end."""
    starts = [
        index
        for index, logged in enumerate(log)
        if isinstance(logged.event, TrajectoryCreated | MessageAdded)
        or (
            isinstance(logged.event, ToolObserved) and logged.before.phase is Phase.WAITING and not logged.event.expired
        )
    ]
    return [list(log[start:]) for start in starts]


def streamed(items: Sequence[Item], *, after: int = -1, **document: Any) -> list[dict[str, Any]]:
    """The data of a stream's events after a number."""
    first = items[0]
    assert isinstance(first, LoggedEvent)
    projection = Projection(turn_at(first, **document))
    events = [event for item in items for event in projection.feed(item)]
    assert projection.is_terminal
    return [data_of(event) for event in events if event.sequence_number > after]


def data_of(event: ResponseEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data())
    assert data["type"] in EVENT_TYPES
    return data


def written(logged: LoggedEvent) -> tuple[str, str] | None:
    """The role and its raw text, whose end the row is; text that a row does not have is a preview."""
    match logged.event:
        case PlannerDecided(text=text):
            return "planner", text
        case AnswerWritten(answer=answer):
            return "summarizer", f" {answer}\n"
        case StepTaken(thought=thought, next=decision, text=text):
            return "backbone", f"{thought}\n{'Action:' if decision == 'caller' else 'conclusion:'} {text}"
        case _ if logged.before.in_flight is not None and logged.after.outcome is not None:
            role = "summarizer" if logged.before.phase is Phase.SUMMARIZING else "planner"
            return role, PREVIEW
        case _:
            return None


def live(log: Sequence[LoggedEvent], cuts: Sequence[int] = (), *, missed: int = 0) -> list[Item]:
    """The rows with the roles' text between them, cut at some places; without the first `missed` characters."""
    items: list[Item] = []
    for logged in log:
        if logged is not log[0] and (text := written(logged)) is not None:
            role, content = text
            places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
            for start, end in itertools.pairwise(places):
                if start >= missed:
                    delta = TextDelta(role, 0, content[start:end])  # type: ignore[arg-type]
                    items.append(Unlogged(delta, logged.seq - 1, start=start))
        items.append(logged)
    return items


def without_deltas(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if not event["type"].endswith(".delta")]


@pytest.mark.parametrize("name", COURSES)
def test_the_stream_of_a_course_has_the_order_of_the_specification(name: str) -> None:
    for log in responses_of(logs()[name]):
        check_response(log)


def check_response(log: list[LoggedEvent]) -> None:
    events = streamed(log)
    final = check_stream(events)
    assert final["id"] == response_id(TRAJECTORY, log[0].seq)
    assert final["metadata"] == {"a": "b"}
    assert "input" not in final
    assert final["created_at"] <= final["completed_at"]
    in_summary = check_stream(streamed(log, reasoning={"summary": "auto"}))
    for item in in_summary["output"]:
        if item["type"] == "reasoning":
            texts = [part["text"] for part in item["content"] if part["text"]]
            assert [part["text"] for part in item["summary"]] == texts


@pytest.mark.parametrize("name", COURSES)
def test_a_stream_is_the_same_live_replayed_and_resumed(name: str) -> None:
    for log in responses_of(logs()[name]):
        replayed = streamed(log)
        for cuts in ([], [5], range(200)):
            events = streamed(live(log, cuts))
            check_stream(events, exact_deltas=False)
            assert without_deltas(events) == without_deltas(replayed)
            if PREVIEW not in str([written(logged) for logged in log]):
                assert events == replayed
        # A reader that connects while a role writes misses the beginning of its text.
        assert without_deltas(streamed(live(log, range(200), missed=3))) == without_deltas(replayed)
        for index, event in enumerate(replayed):
            assert streamed(log, after=event["sequence_number"]) == replayed[index + 1 :]


WORDS = st.lists(st.text("abcé日Next:.\n", min_size=1, max_size=40), min_size=1).map(" ".join).map(str.strip)


def log_of(*events: Event) -> list[LoggedEvent]:
    at = logs()["chain answers"][0].at
    return [
        LoggedEvent(**vars(transition), seq=seq, at=at) for seq, transition in enumerate(transitions(events), start=1)
    ]


def answered(thought: str, answer: str) -> list[LoggedEvent]:
    return log_of(
        TrajectoryCreated("Go.", ()),
        EffectIntended("planner:0"),
        PlannerDecided(thought, "conclusion", f"{thought} Next: conclusion.", usage=Usage(10, 5)),
        EffectIntended("summarizer:1"),
        AnswerWritten(answer, usage=Usage(20, 7)),
        TrajectoryFinished(),
    )


@settings(max_examples=50)
@given(WORDS, WORDS, st.lists(st.integers(min_value=0, max_value=500)))
def test_any_text_is_the_same_however_it_arrives(thought: str, answer: str, cuts: list[int]) -> None:
    log = answered(thought, answer)
    events = streamed(live(log, cuts))
    check_stream(events)
    assert events == streamed(log)


def test_the_events_that_close_an_item_have_the_text_that_counts() -> None:
    """The role was called once more after it had written something else."""
    log = answered("I know it", "It is 42")
    other = [Unlogged(TextDelta("planner", 0, "I do not know "), 2), Unlogged(TextDelta("summarizer", 1, "No, "), 4)]
    events = streamed([*log[:2], other[0], *log[2:4], other[1], *log[4:]])
    final = check_stream(events, exact_deltas=False)
    assert without_deltas(events) == without_deltas(streamed(log))
    assert [event["delta"] for event in events if "delta" in event] == ["I", " do", " not", " know", "No,"]
    assert [item["content"][0]["text"] for item in final["output"]] == ["I know it", "It is 42"]


def test_text_of_another_row_is_ignored() -> None:
    log = answered("I know it", "It is 42")
    late = Unlogged(TextDelta("planner", 0, "I know it Next: conclusion."), 2)
    assert streamed([*log[:3], late, *log[3:], late]) == streamed(log)


def test_numbers_come_from_the_rows() -> None:
    events = streamed(answered("I know it", "It is 42"))
    assert [(*divmod(event["sequence_number"], NUMBERS_A_ROW), event["type"].split(".", 1)[1]) for event in events] == [
        (0, 0, "created"),
        (1, 0, "in_progress"),
        (2, 0, "output_item.added"),
        (2, 1, "content_part.added"),
        (2, 2, "reasoning.delta"),
        (2, 3, "reasoning.delta"),
        (2, 4, "reasoning.delta"),
        (2, 4_990, "reasoning.done"),
        (2, 4_991, "content_part.done"),
        (2, 4_996, "output_item.done"),
        (4, 0, "output_item.added"),
        (4, 1, "content_part.added"),
        (4, 2, "output_text.delta"),
        (4, 3, "output_text.delta"),
        (4, 4, "output_text.delta"),
        (4, 4_990, "output_text.done"),
        (4, 4_991, "content_part.done"),
        (4, 4_996, "output_item.done"),
        (5, 9_999, "completed"),
    ]
    assert [event["response"]["status"] for event in events if "response" in event] == [
        "queued", "in_progress", "completed",
    ]  # fmt: skip


def test_texts_of_any_length_keep_their_numbers_apart() -> None:
    long = "word " * 30_000
    check_stream(streamed(answered(long.strip(), long.strip()), reasoning={"summary": "auto"}, background=True))


def test_usage_counts_the_tokens_of_the_rows() -> None:
    usage = streamed(answered("I know it", "It is 42"))[-1]["response"]["usage"]
    assert usage == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 42,
    }


def test_a_background_response_is_queued_first() -> None:
    log = answered("I know it", "It is 42")
    kinds = [event["type"] for event in streamed(log, background=True)]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("chain answers", "completed", None),
        ("chain gives up", "incomplete", "gave_up"),
        ("chain repeats itself", "incomplete", "repeated_call"),
        ("chain max steps", "incomplete", "max_steps"),
        ("chain max tokens", "incomplete", "max_tokens"),
        ("chain deadline", "incomplete", "deadline"),
        ("single deadline", "incomplete", "deadline"),
        ("chain planner failed", "failed", "planner_failed"),
        ("chain cancelled", "cancelled", None),
        ("chain cancelled in a call", "cancelled", None),
        ("client tool", "completed", None),
        ("client tool expired", "completed", None),
        ("search gives up", "incomplete", "gave_up"),
        ("search exhausted", "incomplete", "max_steps"),
    ],
)
def test_the_end_says_why(name: str, status: str, reason: str | None) -> None:
    final = streamed(responses_of(logs()[name])[0])[-1]["response"]
    assert final["status"] == status
    assert (final["incomplete_details"] or {}).get("reason") == (reason if status == "incomplete" else None)
    assert (final["error"] or {}).get("code") == (reason if status == "failed" else None)
    if name == "chain max steps":
        limited = streamed(responses_of(logs()[name])[0], max_tool_calls=1)[-1]["response"]
        assert limited["incomplete_details"] == {"reason": "max_tool_calls"}


@pytest.mark.parametrize("bound", [9, None], ids=["of the request", "of the role"])
def test_an_answer_that_a_bound_cut_is_incomplete(bound: int | None) -> None:
    log = log_of(
        TrajectoryCreated("Go.", (), options=TurnOptions(max_output_tokens=bound)),
        EffectIntended("planner:0"),
        PlannerDecided("I know it", "conclusion", "I know it Next: conclusion."),
        EffectIntended("summarizer:1"),
        AnswerWritten("It is", unfinished=True),
        TrajectoryFinished(),
    )
    final = check_stream(streamed(log))
    assert final["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]


def test_an_answer_of_the_single_model_that_a_bound_cut_is_incomplete() -> None:
    log = log_of(
        TrajectoryCreated("Go.", (), strategy="single"),
        EffectIntended("backbone:0"),
        StepTaken("I know it", "conclusion", answer="It is", unfinished=True),
        TrajectoryFinished(),
    )
    final = check_stream(streamed(log))
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]


def test_calls_of_the_server_and_of_the_client() -> None:
    first, second, third = (check_stream(streamed(log)) for log in responses_of(logs()["client tool"]))
    for response in (first, second):
        call = response["output"][-1]
        assert (call["type"], call["name"], json.loads(call["arguments"])) == (
            "function_call", "read_thermometer", {"room": "hall"},
        )  # fmt: skip
    assert [item["type"] for item in third["output"]] == ["reasoning", "message"]

    made = check_stream(streamed(logs()["chain looks up"]))["output"][1]
    assert (made["type"], made["status"], made["error"]) == ("alpha_umi:tool_call", "completed", None)
    assert made["output"]
    assert json.loads(made["arguments"])
    unknown = check_stream(streamed(logs()["chain cancelled in a call"]))["output"][1]
    assert (unknown["status"], unknown["output"]) == ("failed", None)
    assert unknown["error"]


@pytest.mark.parametrize("size", range(1, 200, 7))
def test_argument_deltas_join_to_the_json(size: int) -> None:
    arguments = {"text": 'é "日 ' * size, "values": [1.5, None, {"a": True}]}
    log = log_of(
        TrajectoryCreated("Go.", ("f",), client_tool_definitions=(Tool("f"),)),
        EffectIntended("planner:0"),
        PlannerDecided("Call it", "caller", "Call it Next: caller."),
        EffectIntended("caller:0"),
        CallMade("call_1", "f", arguments, ""),
        ActionRequired("call_1", "2026-01-01T00:00:00+00:00"),
    )
    events = streamed(log)
    assert json.loads(check_stream(events)["output"][-1]["arguments"]) == arguments
    deltas = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert "".join(deltas) == json.dumps(arguments, ensure_ascii=False)


def test_a_resumed_turn_ends_once() -> None:
    """Its first end is left out by who reads the log."""
    events = (
        TrajectoryCreated("Go.", ()),
        EffectIntended("planner:0"),
        RoleFailed("planner", "it is away", unavailable=True),
        TrajectoryFinished(),
        TurnResumed(),
        EffectIntended("planner:0"),
        PlannerDecided("I know it", "conclusion", "I know it Next: conclusion."),
        EffectIntended("summarizer:1"),
        AnswerWritten("It is 42"),
        TrajectoryFinished(),
    )
    log = log_of(*events)
    assert check_stream(streamed([*log[:3], *log[4:]]))["status"] == "completed"


def test_a_call_that_a_limit_prevents_has_failed() -> None:
    log = log_of(
        TrajectoryCreated("Go.", ("f",), Limits()),
        EffectIntended("planner:0"),
        PlannerDecided("Call it", "caller", "Call it Next: caller."),
        EffectIntended("caller:0"),
        CallMade("call_1", "f", {}, ""),
        LimitReached("deadline"),
        EffectIntended("summarizer:1"),
        AnswerWritten("It is 42"),
        TrajectoryFinished(),
    )
    _, call, message = check_stream(streamed(log))["output"]
    assert (call["status"], call["error"]) == ("failed", "the time limit of the trajectory was reached")
    assert message["status"] == "completed"


def test_a_response_that_goes_on_is_shown_as_it_is() -> None:
    log = logs()["chain looks up"]
    projection = Projection(turn_at(log[0]))
    shown = []
    for logged in log:
        projection.feed(logged)
        resource = projection.resource()
        shown.append((resource["status"], resource["completed_at"] is None, resource["usage"] is None))
    assert shown == [("queued", True, True)] + [("in_progress", True, True)] * (len(log) - 2) + [
        ("completed", False, False)
    ]


def test_ids_name_their_row() -> None:
    assert place_of(response_id(TRAJECTORY, 12), "resp_") == (TRAJECTORY, 12)
    assert place_of(response_id(TRAJECTORY, 12), "chatcmpl-") is None
    for other in ("resp_", "resp_1", response_id(TRAJECTORY, 1) + "0" * 9, "resp_" + "g" * 32 + "_1", "x\n"):
        assert place_of(other, "resp_") is None

"""A response as a view of its rows of the log: its items, the events of its stream, and the resource.

    projection = Projection(turn)
    for item in rows_and_live_text:
        send(projection.feed(item))
    projection.resource()

The rows alone decide items, events and numbers, so that a stream is the same live, replayed, and resumed at any number.
Row r of a response that begins with row b has the numbers from (r - b) * 10,000 on. Text that a role is writing belongs
to the row that its end will have. It is sent as those of the row's deltas that are certain already; if the role writes
something else in the end, the events that close the item have the text that counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from alpha_umi.contract.openai.output_items import (
    FunctionCallItem,
    MessageItem,
    OutputItem,
    ReasoningItem,
    ToolCallItem,
    output_text,
    reasoning_text,
    summary_text,
)
from alpha_umi.contract.openai.response_events import EventType, ResponseEvent
from alpha_umi.contract.stream_events import TextDelta
from alpha_umi.roles.backbone import ANSWER, CALL
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    CallMade,
    Cancelled,
    EffectIntended,
    Event,
    LimitReached,
    MessageAdded,
    Phase,
    PlannerDecided,
    RoleFailed,
    RoleOutput,
    State,
    StepTaken,
    ToolObserved,
    TrajectoryFinished,
    Usage,
)
from orchestrator.log import LoggedEvent
from orchestrator.openai.ids import made_id, response_id
from orchestrator.openai.pieces import GrowingText, argument_pieces, text_pieces
from orchestrator.store import TurnRow
from orchestrator.stream.broadcast import Unlogged

NUMBERS_A_ROW: Final = 10_000
# A row writes at most two items. Each has a range of numbers: what opens it and its deltas from the start, what closes
# it from here. The last number of a row is that of a terminal event.
_ITEM_NUMBERS: Final = 5_000
_CLOSING: Final = 4_990
_TERMINAL: Final = NUMBERS_A_ROW - 1

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
_STATUSES: Final[Mapping[str, ResponseStatus]] = {
    "completed": "completed",
    "exhausted": "incomplete",
    "gave_up": "incomplete",
    "failed": "failed",
    "cancelled": "cancelled",
    "requires_action": "completed",
}
# There is no event for a cancelled response.
_ENDS: Final[Mapping[ResponseStatus, EventType]] = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",
}
# The phases in which a role's text is sent while it is written, and the words that end the text of the item.
_ENDINGS: Final[Mapping[Phase, Sequence[str]]] = {
    Phase.PLANNING: ("Next:",),
    Phase.STEPPING: (CALL, ANSWER),
    Phase.SUMMARIZING: (),
}
# Making an encoder takes longer than writing the arguments of a call.
_JSON: Final = json.JSONEncoder(ensure_ascii=False)

Kind = Literal["reasoning", "message"]


@dataclass
class _Text:
    """An item whose text a role writes. `pieces` of it were sent; `seen` characters of the role's output arrived."""

    item: ReasoningItem | MessageItem
    growing: GrowingText
    index: int | None = None
    seen: int = 0


class Projection:
    """Folds the rows of one response, in order and from its first one on, and the text that is written between them.

    `status` is that after the newest row, `seq` its number. Without `with_events` it makes the resource alone.
    """

    def __init__(self, turn: TurnRow, *, with_events: bool = True) -> None:
        self._with_events = with_events
        self.status: ResponseStatus = "queued"
        self._turn = turn
        self.seq = turn.seq - 1
        # The row whose events are being made.
        self._row = self.seq
        self._at = turn.at
        self._state = State()
        self._output: list[OutputItem] = []
        self._usage = self._planner_usage = Usage()
        self._events: list[ResponseEvent] = []
        self._live: _Text | None = None
        self._running: ToolCallItem | None = None
        self._is_cut = False

    @property
    def is_terminal(self) -> bool:
        """Whether the response has ended."""
        return self.status in _ENDS

    def begin(self, state: State) -> None:
        """Take the first row, which has led to this state. Its events are among those of the next `feed`."""
        self.seq = self._row = self._turn.seq
        self._state = state
        self._send_resource("response.created", 0)
        if self._turn.document.get("background"):
            self._send_resource("response.queued", 1)

    def feed(self, item: LoggedEvent | Unlogged) -> list[ResponseEvent]:
        """The events that a row, or some text, adds to the stream; none after the end."""
        if not self.is_terminal:
            if isinstance(item, LoggedEvent):
                self._fold(item)
            elif isinstance(item.event, TextDelta) and item.after == self.seq:
                self._write_live(item.event.text, start=item.start)
        events, self._events = self._events, []
        return events

    def resource(self) -> dict[str, Any]:
        """The response after the rows so far. The fields of its request are those of the turn's document."""
        has_ended, conversation = self.is_terminal, self._turn.conversation
        return {
            "id": response_id(self._turn.trajectory_id, self._turn.seq),
            "object": "response",
            "created_at": int(self._turn.at.timestamp()),
            "completed_at": int(self._at.timestamp()) if has_ended else None,
            "status": self.status,
            **{name: value for name, value in self._turn.document.items() if name != "input"},
            "conversation": None if conversation is None else {"id": conversation},
            "incomplete_details": {"reason": self._reason()} if self.status == "incomplete" else None,
            "error": self._error() if self.status == "failed" else None,
            "output": list(self._output),
            "usage": self._usage_fields() if has_ended else None,
        }

    def _fold(self, logged: LoggedEvent) -> None:
        event = logged.event
        if isinstance(event, MessageAdded) and logged.seq > self._turn.seq:
            # The row before a further turn was the end of this one. Its time is that of the row before it.
            self._row, self._state = logged.seq - 1, logged.before
            self._end()
            return
        if logged.seq == self._turn.seq:
            self.begin(logged.after)
            return
        self.seq = self._row = logged.seq
        self._at, self._state = logged.at, logged.after
        if (usage := _usage_of(event)) is not None:
            self._usage += usage
        match event:
            # Every other row is one.
            case EffectIntended():
                if self.status == "queued":
                    self.status = "in_progress"
                    self._send_resource("response.in_progress", 0)
            case PlannerDecided():
                self._planner_usage += event.usage
                self._write("reasoning", event.thought)
            case StepTaken():
                self._step(event, logged.before)
            case CallMade():
                self._call(event.call_id, event.name, event.arguments)
            case ToolObserved():
                self._observe(event.content, is_error=event.is_error)
            case AnswerWritten():
                self._answer(event.answer, unfinished=event.unfinished)
            case LimitReached() | RoleFailed() | Cancelled():
                self._interrupt(logged.before)
            case ActionRequired() | TrajectoryFinished():
                self._end()
        self._live = None

    def _end(self) -> None:
        status = _STATUSES[self._state.status]
        self.status = "incomplete" if self._is_cut and status == "completed" else status
        self._send_resource(_ENDS[self.status], _TERMINAL)

    def _step(self, event: StepTaken, before: State) -> None:
        """The single model's rationale, then its call or its answer; after a limit, the answer alone."""
        if before.phase is Phase.STEPPING:
            self._write("reasoning", event.thought)
        if event.call_id is not None and event.name is not None and event.arguments is not None:
            self._call(event.call_id, event.name, event.arguments, base=_ITEM_NUMBERS)
        elif event.answer is not None and self._state.answer is not None:
            self._answer(event.answer, unfinished=event.unfinished, base=_ITEM_NUMBERS)

    def _answer(self, text: str, *, unfinished: bool, base: int = 0) -> None:
        """The answer; `unfinished`: a bound of the request, or the role's own one, cut it."""
        self._is_cut = unfinished
        self._write("message", text, is_complete=not unfinished, base=base)

    def _interrupt(self, before: State) -> None:
        """A limit, a failure or the client ended what was under way. Some text of a role may have been sent."""
        error = self._state.error
        self._observe("" if error is None else error.detail, is_error=True)
        if before.in_flight is not None and before.phase in _ENDINGS:
            self._write(_kind(before.phase), "", is_complete=self._state.phase is not Phase.ENDING)

    # Items with text. The numbers of an item count from `base` on.

    def _write_live(self, text: str, *, start: int) -> None:
        phase = self._state.phase
        if phase not in _ENDINGS:
            return
        self._row = self.seq + 1
        if self._live is None:
            self._live = self._new_text(_kind(phase), _ENDINGS[phase])
        # Text after a gap is not sent.
        if start == self._live.seen:
            self._live.seen += len(text)
            number = len(self._live.growing.pieces)
            if pieces := self._live.growing.add(text):
                self._send_pieces(self._live, pieces, number)

    def _write(self, kind: Kind, text: str, *, is_complete: bool = True, base: int = 0) -> None:
        """The rest of the item whose text the row has. If other text was sent, nothing but its end."""
        writing, self._live = self._live or self._new_text(kind), None
        sent, pieces = writing.growing.pieces, text_pieces(text) if self._with_events else []
        self._send_pieces(writing, pieces[len(sent) :] if pieces[: len(sent)] == sent else [], len(sent), base=base)
        item, place, number = writing.item, self._place(writing), base + _CLOSING
        item["status"] = "completed" if is_complete else "incomplete"
        if item["type"] == "reasoning":
            item["content"] = [reasoning_text(text)]
            self._send("response.reasoning.done", number, **place, content_index=0, text=text)
        else:
            item["content"] = [output_text(text)]
            self._send("response.output_text.done", number, **place, content_index=0, text=text, logprobs=[])
        self._send("response.content_part.done", number + 1, **place, content_index=0, part=item["content"][0])
        if text and item["type"] == "reasoning" and (self._turn.document.get("reasoning") or {}).get("summary"):
            self._summarize(item, place, text, number + 2)
        self._send("response.output_item.done", number + 6, output_index=place["output_index"], item=dict(item))

    def _new_text(self, kind: Kind, endings: Sequence[str] = ()) -> _Text:
        item: ReasoningItem | MessageItem
        if kind == "reasoning":
            item = {"type": kind, "id": self._id("rs_"), "status": "in_progress", "summary": [], "content": []}
        else:
            item_id = self._id("msg_")
            item = {"type": kind, "id": item_id, "status": "in_progress", "role": "assistant", "content": []}
        return _Text(item, GrowingText(endings))

    def _send_pieces(self, writing: _Text, pieces: Sequence[str], number: int, *, base: int = 0) -> None:
        """The deltas from `number` on, after what opens the item."""
        is_reasoning = writing.item["type"] == "reasoning"
        if writing.index is None:
            writing.index = self._add(writing.item, base)
            part = reasoning_text("") if is_reasoning else output_text("")
            self._send("response.content_part.added", base + 1, **self._place(writing), content_index=0, part=part)
        place = self._place(writing)
        for at, piece in enumerate(pieces, start=base + 2 + number):
            if is_reasoning:
                self._send("response.reasoning.delta", at, **place, content_index=0, delta=piece)
            else:
                self._send("response.output_text.delta", at, **place, content_index=0, delta=piece, logprobs=[])

    def _summarize(self, item: ReasoningItem, place: Mapping[str, Any], text: str, number: int) -> None:
        """The rationale once more as a summary, for a request that wants one."""
        item["summary"] = [summary_text(text)]
        place = {**place, "summary_index": 0}
        self._send("response.reasoning_summary_part.added", number, **place, part=summary_text(""))
        self._send("response.reasoning_summary_text.delta", number + 1, **place, delta=text)
        self._send("response.reasoning_summary_text.done", number + 2, **place, text=text)
        self._send("response.reasoning_summary_part.done", number + 3, **place, part=summary_text(text))

    # Calls.

    def _call(self, call_id: str, name: str, arguments: Mapping[str, Any], *, base: int = 0) -> None:
        text = _JSON.encode(dict(arguments))
        if self._state.phase is Phase.REQUIRING:
            self._call_function(call_id, name, text, base)
            return
        self._running = {
            "type": "alpha_umi:tool_call",
            "id": self._id("tc_"),
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": text,
            "output": None,
            "error": None,
            "content": [],
        }
        self._add(self._running, base)

    def _call_function(self, call_id: str, name: str, arguments: str, base: int) -> None:
        """A call for the client, which ends the response."""
        item: FunctionCallItem = {
            "type": "function_call",
            "id": self._id("fc_"),
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }
        index = self._add(item, base)
        place = {"item_id": item["id"], "output_index": index}
        for at, piece in enumerate(argument_pieces(arguments), start=base + 1):
            self._send("response.function_call_arguments.delta", at, **place, delta=piece)
        item["arguments"], item["status"] = arguments, "completed"
        number = base + _CLOSING
        self._send("response.function_call_arguments.done", number, **place, name=name, arguments=arguments)
        self._send("response.output_item.done", number + 1, output_index=index, item=dict(item))

    def _observe(self, content: str, *, is_error: bool) -> None:
        """The result of the call that is running, if one is."""
        item, self._running = self._running, None
        if item is not None:
            item["status"] = "failed" if is_error else "completed"
            item["output"], item["error"] = (None, content) if is_error else (content, None)
            self._send("response.output_item.done", 0, output_index=len(self._output) - 1, item=dict(item))

    def _add(self, item: OutputItem, number: int) -> int:
        """Open an item; its index."""
        self._output.append(item)
        index = len(self._output) - 1
        self._send("response.output_item.added", number, output_index=index, item=dict(item))
        return index

    def _id(self, prefix: str) -> str:
        return made_id(prefix, self._turn.trajectory_id, self._row)

    @staticmethod
    def _place(writing: _Text) -> dict[str, Any]:
        return {"item_id": writing.item["id"], "output_index": writing.index}

    def _send_resource(self, kind: EventType, number: int) -> None:
        if self._with_events:
            self._send(kind, number, response=self.resource())

    def _send(self, kind: EventType, number: int, **fields: Any) -> None:
        if not self._with_events:
            return
        at = (self._row - self._turn.seq) * NUMBERS_A_ROW + number
        self._events.append(ResponseEvent(kind, at, fields))

    # The end.

    def _reason(self) -> str:
        """Why the response is incomplete."""
        without_error = "max_output_tokens" if self._is_cut else "gave_up"
        code = without_error if self._state.error is None else self._state.error.code
        limits_calls = self._turn.document.get("max_tool_calls") is not None
        return "max_tool_calls" if code == "max_steps" and limits_calls else code

    def _error(self) -> dict[str, str]:
        error = self._state.error
        if error is None:
            raise AssertionError("a turn fails for a reason")
        return {"code": error.code, "message": error.detail}

    def _usage_fields(self) -> dict[str, Any]:
        usage = self._usage
        return {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": self._planner_usage.completion_tokens},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }


def _kind(phase: Phase) -> Kind:
    return "message" if phase is Phase.SUMMARIZING else "reasoning"


def _usage_of(event: Event) -> Usage | None:
    return event.usage if isinstance(event, RoleOutput | ToolObserved) else None

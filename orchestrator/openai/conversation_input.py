"""A conversation that a client supplies, as turns of a history. Pure: messages, calls and outputs in, turns out.

Responses, chat completions and conversations read their own items and call one method for each. A turn of the assistant
has the form that the roles write: a planner's turn, then a call with its observation, or an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, assert_never

from alpha_umi.contract.openai import chat
from alpha_umi.contract.openai.input_items import ContentPart, FilePart, ImagePart, RefusalPart, TextPart
from alpha_umi.contract.problems import refusal
from alpha_umi.contract.roles import MAX_TURN_CHARACTERS, MAX_TURNS
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Turn
from alpha_umi.trajectory.moves import NO_ANSWER

# Reading more of them takes milliseconds.
FEW_TURNS = 20


def content_text(content: str | Sequence[ContentPart | chat.Part]) -> str:
    """The text of a message. Images and files, which no role model can read, are named in their place."""
    return content if isinstance(content, str) else "\n".join(map(_part_text, content))


def _part_text(part: ContentPart | chat.Part) -> str:
    match part:
        case TextPart() | chat.TextPart():
            return part.text
        case RefusalPart():
            return part.refusal
        case ImagePart() | chat.ImagePart():
            return "[image: not read]"
        case FilePart() | chat.FilePart():
            name = part.filename if isinstance(part, FilePart) else part.file.filename
            return f"[file {name}: not read]" if name else "[file: not read]"
        case _ as never:
            assert_never(never)


@dataclass(frozen=True)
class _Text:
    role: Literal["user", "assistant", "rationale"]
    text: str


@dataclass(frozen=True)
class _Call:
    call_id: str
    name: str
    arguments: Mapping[str, Any]
    place: str


@dataclass(frozen=True)
class CallOutput:
    """The output of a call. `place` is the field of the request that has it."""

    call_id: str
    text: str
    place: str


@dataclass
class SuppliedConversation:
    """Collects what one request supplies, in its order. `field_name` is the field of the request that has it."""

    field_name: str = "input"
    instructions: list[str] = field(default_factory=list)
    outputs: dict[str, CallOutput] = field(default_factory=dict)
    _entries: list[_Text | _Call] = field(default_factory=list)
    _calls: dict[str, _Call] = field(default_factory=dict)

    def instruct(self, text: str) -> None:
        """A message of the system or the developer."""
        self.instructions.append(text)

    def user(self, text: str) -> None:
        """A message of the user."""
        self._entries.append(_Text("user", text))

    def assistant(self, text: str) -> None:
        """A message of the assistant: an answer, or the rationale of a call that follows."""
        self._entries.append(_Text("assistant", text))

    def rationale(self, text: str) -> None:
        """The rationale of the next call or answer."""
        self._entries.append(_Text("rationale", text))

    def call(self, call_id: str, name: str, arguments: str, *, place: str) -> None:
        """A call of the assistant; `arguments` is JSON text. Raises `ServiceError`."""
        if call_id in self._calls:
            raise refusal(f"{place}.call_id", f"the call {call_id!r} is there twice", "send each call once")
        call = _Call(call_id, name, _arguments(arguments, place), place)
        self._calls[call_id] = call
        self._entries.append(call)

    def output(self, call_id: str, text: str, *, place: str) -> None:
        """The output of a call before it, in this conversation or the one that it continues. Raises `ServiceError`."""
        if call_id in self.outputs:
            detail = f"the call {call_id!r} has two outputs"
            raise refusal(f"{place}.call_id", detail, "send the output of each call once")
        self.outputs[call_id] = CallOutput(call_id, text, place)

    @property
    def is_large(self) -> bool:
        """Whether making its turns takes milliseconds: of a call it writes JSON."""
        return len(self._entries) > FEW_TURNS or bool(self._calls)

    @property
    def has_message(self) -> bool:
        """Whether the user says something."""
        return any(isinstance(entry, _Text) and entry.role == "user" for entry in self._entries)

    @property
    def message(self) -> str | None:
        """The user's text, if there is nothing but messages of the user and instructions."""
        texts = [entry.text for entry in self._entries if isinstance(entry, _Text) and entry.role == "user"]
        return "\n\n".join(texts) if texts and len(texts) == len(self._entries) and not self.outputs else None

    @property
    def only_output(self) -> CallOutput | None:
        """The output, if there is nothing but one."""
        return next(iter(self.outputs.values())) if len(self.outputs) == 1 and not self._entries else None

    def turns(self, before: tuple[Turn, ...] = (), *, open_call: str | None = None) -> tuple[Turn, ...]:
        """`before` and the turns of this conversation: a history that ends with a user's message or an observation.

        `open_call` is the id of the call with which `before` ends. Raises `ServiceError`.
        """
        self._require_outputs(open_call)
        writer = _Writer(list(before))
        if open_call is not None:
            writer.observe(self.outputs[open_call].text)
        elif before and before[-1].role != "conclusion":
            writer.close()
        for entry in self._entries:
            if isinstance(entry, _Call):
                writer.call(entry, self.outputs[entry.call_id].text)
            else:
                writer.text(entry)
        writer.end_assistant()
        self._require_end(writer.turns)
        return tuple(writer.turns)

    def _require_outputs(self, open_call: str | None) -> None:
        calls = {call_id: call.place for call_id, call in self._calls.items()}
        if open_call is not None:
            calls[open_call] = self.field_name
        for call_id, place in calls.items():
            if call_id not in self.outputs:
                detail = f"no output of the call {call_id!r} is there"
                raise refusal(place, detail, "send its output, and then further messages")
        for output in self.outputs.values():
            if output.call_id not in calls:
                detail = f"no call {output.call_id!r} waits for an output"
                raise refusal(f"{output.place}.call_id", detail, "send the output of each open call once")

    def _require_end(self, turns: list[Turn]) -> None:
        if not turns or turns[-1].role not in ("user", "observation"):
            detail = "there is nothing to answer" if not turns else "the newest message is the assistant's"
            raise refusal(self.field_name, detail, "end with a message of the user or the output of a call")
        if turns[-1].role == "user" and not turns[-1].content.strip():
            raise refusal(self.field_name, "the newest message is blank", "write the instruction")
        if all(turn.role != "user" for turn in turns):
            raise refusal(self.field_name, "no message of the user is there", "send the user's message first")
        if len(turns) > MAX_TURNS:
            detail = f"the conversation has {len(turns)} turns, allowed are {MAX_TURNS}"
            raise refusal(self.field_name, detail, "send the newest messages only")
        longest = max(len(turn.content) for turn in turns)
        if longest > MAX_TURN_CHARACTERS:
            detail = f"messages of one speaker have {longest} characters together, allowed are {MAX_TURN_CHARACTERS}"
            raise refusal(self.field_name, detail, "send a shorter text")


@dataclass
class _Writer:
    """Writes turns. Texts of the assistant wait until it is known what follows them."""

    turns: list[Turn]
    rationale: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)

    def text(self, entry: _Text) -> None:
        if entry.role == "user":
            self._add_user(entry.text)
        elif entry.role == "assistant":
            self.answer.append(entry.text)
        else:
            if self.answer:
                self.end_assistant()
            self.rationale.append(entry.text)

    def call(self, call: _Call, output: str) -> None:
        self._plan("\n\n".join([*self.rationale, *self.answer]), "caller")
        self.turns.append(Turn("caller", write_call(call.name, call.arguments)))
        self.observe(output)

    def observe(self, output: str) -> None:
        self.turns.append(Turn("observation", output))

    def end_assistant(self) -> None:
        """Write the texts of the assistant that wait: an answer, or a rationale that nothing followed."""
        rationale = "\n\n".join(self.rationale)
        if self.answer:
            answer = "\n\n".join(self.answer)
            self._plan(rationale, "conclusion")
            self.turns.append(Turn("conclusion", answer))
        elif rationale:
            self._plan(rationale, "give up")

    def close(self) -> None:
        """A turn without an answer gets an empty one, as it does when a trajectory gets a further turn."""
        self.turns.append(Turn("conclusion", NO_ANSWER))

    def _add_user(self, text: str) -> None:
        self.end_assistant()
        if self.turns and self.turns[-1].role == "user":
            text = f"{self.turns.pop().content}\n\n{text}"
        elif self.turns and self.turns[-1].role != "conclusion":
            self.close()
        self.turns.append(Turn("user", text))

    def _plan(self, rationale: str, decision: Literal["caller", "conclusion", "give up"]) -> None:
        self.turns.append(Turn("planner", write_plan(rationale, decision)))
        self.rationale, self.answer = [], []


def _arguments(text: str, place: str) -> Mapping[str, Any]:
    try:
        arguments = json.loads(text or "{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        detail = "the arguments are no JSON object"
        raise refusal(f"{place}.arguments", detail, "send the JSON of an object")
    return arguments


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)

"""A chat completion as a view of a response: the message of the assistant, or the chunks of its stream.

How a turn ends, and what a client reads of it:

| the response | `finish_reason` | also |
| --- | --- | --- |
| completed with an answer | `stop` | |
| waits for a call of the client | `tool_calls` | |
| incomplete: a limit of tokens, or no answer | `length` | `alpha_umi.incomplete_details` |
| incomplete: another limit, with an answer from what was known | `stop` | `alpha_umi.incomplete_details` |
| incomplete: the planner gave up | `stop` | `alpha_umi.incomplete_details`; `content` says so, or `refusal` |
| failed, cancelled | an error | |

A give-up is no error, because the client would send the request again. An application that shows `content` shows why
there is no answer. Where the request wants JSON, `content` is null, and a program finds it in `refusal`, which official
clients check before they parse an answer. Some clients show both, so that only one is set.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

from sse_starlette import ServerSentEvent

from alpha_umi.contract.openai.errors import ErrorDocument, error_body
from alpha_umi.contract.openai.response_events import ResponseEvent
from alpha_umi.contract.problems import Kind, ServiceError
from alpha_umi.contract.stream_events import Reconnect
from alpha_umi.trajectory import State
from alpha_umi.web.documentation import Responses
from orchestrator.assembly import Orchestrator
from orchestrator.openai.ids import made_id
from orchestrator.openai.response_view import ResponseView, response_events
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.store import TrajectoryRow, TurnRow
from orchestrator.stream.follow import Followed
from orchestrator.stream.serialization import SEPARATOR

# `data` of an event is a chunk, an error, or `[DONE]`; events have no name.
CHAT_STREAM: Final[Responses] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
GAVE_UP: Final = "There is no answer: the planner gave up."
_TOKEN_LIMITS: Final = frozenset({"max_output_tokens", "max_tokens"})
_PART_OF: Final = {"reasoning": "reasoning_content", "message": "content"}


def completion(turn: TurnRow, response: Mapping[str, Any]) -> dict[str, Any]:
    """The chat completion of a response that has ended. Raises `ServiceError` for one that failed."""
    message, finish_reason = _message(response)
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    return {**_head(turn, "chat.completion"), "choices": [choice], "usage": _usage(response)}


def answer_text(state: State) -> str:
    """The content of the message with which a turn that has ended was answered."""
    return GAVE_UP if state.outcome == "gave_up" else state.answer or ""


def _head(turn: TurnRow, kind: str) -> dict[str, Any]:
    return {
        "id": made_id("chatcmpl-", turn.trajectory_id, turn.seq),
        "object": kind,
        "created": int(turn.at.timestamp()),
        "service_tier": turn.document.get("service_tier") or "default",
        **{name: turn.document.get(name) for name in ("model", "metadata")},
    }


def _message(response: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The assistant's message, and the reason why it ends."""
    output = response["output"]
    thoughts = [_text(item) for item in output if item["type"] == "reasoning"]
    calls = [_call(item, index=None) for item in output if item["type"] == "function_call"]
    fields, finish_reason = _ending(response)
    extension = {"tool_calls": [_server_call(item) for item in output if item["type"] == "alpha_umi:tool_call"]}
    extension = {name: value for name, value in {**extension, **fields.pop("alpha_umi", {})}.items() if value}
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **fields}
    if thoughts:
        message["reasoning_content"] = "\n\n".join(filter(None, thoughts))
    if calls:
        message["tool_calls"] = calls
    if extension:
        message["alpha_umi"] = extension
    return message, finish_reason


def _ending(response: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What the message has because of how the response ended, and the reason. Raises `ServiceError`."""
    answer = next((_text(item) for item in response["output"] if item["type"] == "message"), None)
    match response["status"]:
        case "completed" if answer is None:
            return {}, "tool_calls"
        case "completed":
            return {"content": answer}, "stop"
        case "incomplete":
            reason = response["incomplete_details"]["reason"]
            extension = {"alpha_umi": {"incomplete_details": {"reason": reason}}}
            if reason == "gave_up":
                field = "content" if response["response_format"] == "text" else "refusal"
                return {field: GAVE_UP, **extension}, "stop"
            is_cut = answer is None or reason in _TOKEN_LIMITS
            return {"content": answer or "", **extension}, "length" if is_cut else "stop"
        case _:
            raise _failure(response)


def _failure(response: Mapping[str, Any]) -> ServiceError:
    """The error of a response that failed. Only after an outage may the same request succeed."""
    error = response["error"] or {"code": "cancelled", "message": "the trajectory was cancelled"}
    is_outage = error["code"].endswith("_unavailable")
    kind: Kind = "role-unavailable" if is_outage else "trajectory-failed"
    headers = {} if is_outage else {"x-should-retry": "false"}
    return ServiceError(kind, error["message"], extra={"reason": error["code"]}, headers=headers)


def _text(item: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in item["content"])


def _call(item: Mapping[str, Any], *, index: int | None) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item["arguments"]}
    placed = {} if index is None else {"index": index}
    return {**placed, "id": item["call_id"], "type": "function", "function": function}


def _server_call(item: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: item[name] for name in ("name", "arguments", "output", "status", "error")}
    return {"id": item["call_id"], **fields}


def _usage(response: Mapping[str, Any]) -> dict[str, Any]:
    usage = response["usage"]
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": usage["input_tokens_details"],
        "completion_tokens_details": usage["output_tokens_details"],
    }


class ChatStream:
    """Turns the events of a response into chunks."""

    def __init__(self, turn: TurnRow, *, include_usage: bool) -> None:
        self._head = _head(turn, "chat.completion.chunk")
        self._include_usage = include_usage
        # The text of the present item that was sent.
        self._sent = ""
        self._has_reasoned = False

    def chunks(self, event: ResponseEvent) -> Iterator[dict[str, Any]]:
        """The chunks of an event. Raises `ServiceError` where the completion fails."""
        match event.type:
            case "response.created":
                yield self._chunk({"role": "assistant", "content": ""})
            case "response.reasoning.delta":
                yield self._text("reasoning", event.fields["delta"])
            case "response.output_text.delta":
                yield self._text("message", event.fields["delta"])
            case "response.function_call_arguments.delta":
                call = {"index": 0, "function": {"arguments": event.fields["delta"]}}
                yield self._chunk({"tool_calls": [call]})
            case "response.output_item.added":
                self._sent = ""
                if event.fields["item"]["type"] == "function_call":
                    yield self._chunk({"tool_calls": [_call({**event.fields["item"], "arguments": ""}, index=0)]})
            case "response.output_item.done":
                yield from self._close(event.fields["item"])
            case "response.completed" | "response.failed" | "response.incomplete":
                yield from self._end(event.fields["response"])

    def _text(self, kind: str, text: str) -> dict[str, Any]:
        """A piece of a text. A blank line divides the rationales of two steps."""
        divided = kind == "reasoning" and self._has_reasoned and not self._sent
        self._has_reasoned = self._has_reasoned or kind == "reasoning"
        self._sent += text
        return self._chunk({_PART_OF[kind]: f"\n\n{text}" if divided else text})

    def _close(self, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if item["type"] == "alpha_umi:tool_call":
            yield self._chunk({"alpha_umi": {"tool_calls": [_server_call(item)]}})
        elif item["type"] in _PART_OF and item["status"] == "completed":
            text = _text(item)
            if text.startswith(self._sent):
                if text != self._sent:
                    yield self._text(item["type"], text[len(self._sent) :])
            elif item["type"] == "reasoning":
                # It was written again after an outage.
                yield self._chunk({"reasoning_content": f"\n\n{text}"})
            else:
                detail = "the answer was written again, in other words, after an outage; send the request again"
                raise ServiceError("role-unavailable", detail)

    def _end(self, response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        fields, finish_reason = _ending(response)
        if any(item["type"] == "message" for item in response["output"]):
            # It was sent already.
            fields.pop("content", None)
        yield self._chunk(fields, finish_reason)
        if self._include_usage:
            yield {**self._head, "choices": [], "usage": _usage(response)}

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head, "choices": [choice], **({"usage": None} if self._include_usage else {})}


class ChatView(ResponseView):
    """The answers to requests for chat completions. One that is not `stored` is deleted after its answer."""

    def __init__(self, orchestrator: Orchestrator, owner: str, *, include_usage: bool, stored: bool) -> None:
        super().__init__(orchestrator, owner)
        self._deletion = None if stored else orchestrator.response_deletion
        self._include_usage = include_usage

    def headers(self, accepted: AcceptedRequest) -> Mapping[str, str]:
        """None: a chat completion cannot be read again. It is held until it is answered."""
        if self._deletion is not None:
            self._deletion.hold(accepted.trajectory_id, self)
        return {}

    async def document(self, accepted: AcceptedRequest) -> bytes:
        """The completion. Raises `ServiceError` if it failed."""
        turn = await self._turn(accepted)
        return json.dumps(completion(turn, await self.resource(accepted))).encode()

    async def events(
        self, accepted: AcceptedRequest, row: TrajectoryRow, items: AsyncGenerator[Followed, None]
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """The chunks. A stream that ends early or fails has an error as its last one."""
        async with aclosing(items):
            turn = await self._turn(accepted)
            async with aclosing(response_events(turn, items)) as events:
                try:
                    stream = ChatStream(turn, include_usage=self._include_usage)
                    async for event in events:
                        if isinstance(event, Reconnect):
                            raise ServiceError("shutting-down", event.reason)
                        for chunk in stream.chunks(event):
                            yield _event(json.dumps(chunk))
                except ServiceError as error:
                    yield _event(ErrorDocument(error=error_body(error)).model_dump_json())
        yield _event("[DONE]")


def _event(data: str) -> ServerSentEvent:
    return ServerSentEvent(data, sep=SEPARATOR)

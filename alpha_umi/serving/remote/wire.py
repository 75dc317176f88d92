"""The streamed answers of OpenAI's `POST /completions` and `POST /chat/completions`.

Chunks of text, the last with its finish reason, then one chunk with the usage, then `[DONE]`. What a server names
differently is read in each of its spellings; fields that nothing here uses are ignored.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Annotated

from httpx_sse import EventSource
from pydantic import AliasChoices, AliasPath, BaseModel, Field

from alpha_umi.serving.engine import Chunk, EngineRefused, EngineUnavailable, FinishReason
from alpha_umi.serving.remote.errors import ErrorDetail, Server

_DONE = "[DONE]"
_FILTERED = "content_filter"
_REASONS: dict[str, FinishReason] = {
    "stop": "stop", "repetition": "stop", "tool_calls": "stop", "function_call": "stop", "length": "length",
}  # fmt: skip


class ServedModel(BaseModel):
    """An entry of `GET /models`. The tokens of its context are an extension: of vLLM and SGLang, of OpenRouter, of
    Groq, of Mistral, of llama.cpp."""

    id: str
    context: Annotated[
        int | None,
        Field(
            validation_alias=AliasChoices(
                "max_model_len", "context_length", "context_window", "max_context_length", AliasPath("meta", "n_ctx")
            )
        ),
    ] = None


class ServedModels(BaseModel):
    """`GET /models`."""

    data: list[ServedModel]


class Function(BaseModel):
    """A part of a call: the name in its first part, the arguments as pieces of JSON text."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(BaseModel):
    """A part of one of the calls of a message."""

    index: int = 0
    function: Function = Function()


class Delta(BaseModel):
    """A part of a message. A reasoning model's thinking stands apart, under one of two names or both."""

    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    """A part of an answer: `text` of a completion, `delta` of a chat completion."""

    text: str = ""
    delta: Delta = Delta()
    finish_reason: str | None = None


class _Cached(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Cached | None = None


class _StreamChunk(BaseModel):
    model: str | None = None
    choices: list[Choice] = []
    usage: _Usage | None = None
    error: ErrorDetail | None = None


def is_same_model(named: str, answering: str) -> bool:
    """Whether a server's name for a model may stand for the one that a request names.

    Servers answer with the version, the tag or the last part of a name: `gpt-4o` is `gpt-4o-2024-08-06`, `qwen3` is
    `qwen3:latest`, `org/name` is `name`; but `gpt-4o` is not `gpt-4o-mini`, and `qwen3` is not `qwen3:8b`.
    """
    names = [_plain(named), _plain(answering)]
    if not all("/" in name for name in names):
        names = [name.rpartition("/")[2] for name in names]
    short, long = sorted(names, key=len)
    return re.fullmatch(re.escape(short) + r"([-:@]v?\d[\d.-]*)?", long) is not None


def _plain(name: str) -> str:
    return name.lower().removesuffix("latest").rstrip("-:@")


async def chunks_of(
    source: EventSource, server: Server, read: Callable[[Choice], str], *, model: str, prompt_tokens: int
) -> AsyncGenerator[Chunk, None]:
    """The chunks of a streamed answer, whose text `read` takes from its parts.

    The last one is held back until the usage, which follows it. If a server sends no usage with each chunk, every part
    counts as one token until then; `prompt_tokens` counts unless the server does. Raises `EngineUnavailable` if the
    answer breaks off, `EngineRefused` if another model gives it or a filter withholds it, and the engine errors of
    `server`.
    """
    latest, last = Chunk("", prompt_tokens, 0), None
    async for event in source.aiter_sse():
        if event.data == _DONE:
            break
        received = _StreamChunk.model_validate_json(event.data)
        if received.error is not None:
            raise _failed(received.error, server)
        if received.model and not is_same_model(model, received.model):
            raise EngineRefused(
                f"the server at {server.address} answers as {received.model!r} where {model!r} is named; correct "
                "ALPHA_UMI_ROLE_REMOTE_MODEL, or the server's list of models"
            )
        # After the end some servers repeat an empty part beside the usage.
        for choice in received.choices[:1] if last is None else ():
            latest = replace(
                latest,
                text=read(choice),
                completion_tokens=latest.completion_tokens + _is_piece(choice),
                finish_reason=_reason(choice.finish_reason, server),
            )
        latest = _counted(latest, received.usage)
        if latest.finish_reason is not None:
            last = latest
        elif received.choices and latest.text:
            yield latest
    if last is None:
        raise EngineUnavailable(f"the server at {server.address} ended its answer early")
    yield last


def _is_piece(choice: Choice) -> bool:
    delta = choice.delta
    texts = (choice.text, delta.content, delta.refusal, delta.reasoning, delta.reasoning_content)
    return any(texts) or bool(delta.tool_calls)


def _counted(chunk: Chunk, usage: _Usage | None) -> Chunk:
    if usage is None:
        return chunk
    details = usage.prompt_tokens_details
    return replace(
        chunk,
        prompt_tokens=usage.prompt_tokens or chunk.prompt_tokens,
        completion_tokens=usage.completion_tokens or chunk.completion_tokens,
        cached_tokens=chunk.cached_tokens if details is None else details.cached_tokens or 0,
    )


def _reason(reason: str | None, server: Server) -> FinishReason | None:
    if not reason:
        return None
    if reason == _FILTERED:
        raise EngineRefused(f"the server at {server.address} withholds its answer ({reason})")
    if reason not in _REASONS:
        raise EngineUnavailable(f"the server at {server.address} ended its answer with {reason!r}")
    return _REASONS[reason]


def _failed(error: ErrorDetail, server: Server) -> Exception:
    status = error.code if isinstance(error.code, int) else 500
    return server.failure(status, error.message)

"""The wire format of a completions server: OpenAI's `POST /completions`, streamed, with vLLM's extensions.

It follows vLLM's `CompletionRequest` and its stream: chunks of text, the last with its finish reason, then one chunk
with the usage, then `[DONE]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, assert_never

from httpx_sse import EventSource
from pydantic import BaseModel

from alpha_umi.serving.engine import Choices, Chunk, Constraint, EngineUnavailable, FinishReason, Generation, Grammar
from alpha_umi.serving.remote_errors import ErrorDetail, Server

_DONE = "[DONE]"
_REASONS: dict[str, FinishReason] = {"stop": "stop", "repetition": "stop", "length": "length"}
# Override the server's defaults for the model (vLLM reads them from its generation_config.json).
_NO_DEFAULTS = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class ServedModel(BaseModel):
    """An entry of `GET /models`; `max_model_len` is vLLM's extension."""

    id: str
    max_model_len: int | None = None


class ServedModels(BaseModel):
    """`GET /models`."""

    data: list[ServedModel]


class _Choice(BaseModel):
    text: str = ""
    finish_reason: str | None = None


class _Cached(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None


class _StreamChunk(BaseModel):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: ErrorDetail | None = None


def completion_request(generation: Generation, ids: list[int], *, model: str, extensions: bool) -> dict[str, Any]:
    """The body of a request for one streamed completion."""
    body = {
        "model": model,
        "prompt": ids,
        "max_tokens": generation.max_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if generation.seed is not None:
        body["seed"] = generation.seed
    return {**body, **_extensions(generation)} if extensions else body


def _extensions(generation: Generation) -> dict[str, Any]:
    body: dict[str, Any] = {
        **_NO_DEFAULTS,
        "stop": list(generation.stop),
        "include_stop_str_in_output": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    if generation.constraint is not None:
        body["structured_outputs"] = _structured(generation.constraint)
    return body


def _structured(constraint: Constraint) -> dict[str, Any]:
    match constraint:
        case Choices(texts):
            return {"choice": list(texts)}
        case Grammar(lark):
            return {"grammar": lark}
    assert_never(constraint)


async def chunks_of(source: EventSource, server: Server, *, prompt_tokens: int) -> AsyncGenerator[Chunk, None]:
    """The chunks of a streamed answer. Raises `EngineUnavailable` if it breaks off, and the engine errors of `server`.

    The last one is held back until the usage, which follows it. If a server sends no usage with each chunk, every piece
    counts as one token until then.
    """
    latest, last = Chunk("", prompt_tokens, 0), None
    async for event in source.aiter_sse():
        if event.data == _DONE:
            break
        received = _StreamChunk.model_validate_json(event.data)
        if received.error is not None:
            raise _failed(received.error, server)
        for choice in received.choices[:1]:
            latest = replace(
                latest,
                text=choice.text,
                completion_tokens=latest.completion_tokens + bool(choice.text),
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


def _counted(chunk: Chunk, usage: _Usage | None) -> Chunk:
    if usage is None:
        return chunk
    details = usage.prompt_tokens_details
    cached = chunk.cached_tokens if details is None else details.cached_tokens or 0
    return replace(chunk, completion_tokens=usage.completion_tokens, cached_tokens=cached)


def _reason(reason: str | None, server: Server) -> FinishReason | None:
    if reason is None:
        return None
    if reason not in _REASONS:
        raise EngineUnavailable(f"the server at {server.address} ended its answer with {reason!r}")
    return _REASONS[reason]


def _failed(error: ErrorDetail, server: Server) -> Exception:
    status = error.code if isinstance(error.code, int) else 500
    return server.failure(status, error.message)


async def apply_stop_strings(chunks: AsyncGenerator[Chunk, None], stop: Sequence[str]) -> AsyncGenerator[Chunk, None]:
    """End at the first stop string and include it in the text, as servers without the extension cannot."""
    written = ""
    longest = max(map(len, stop), default=0)
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            start = max(0, len(written) - longest)
            written += chunk.text
            ends = [at + len(word) for word in stop if (at := written.find(word, start)) >= 0]
            if ends:
                surplus = len(written) - min(ends)
                yield replace(chunk, text=chunk.text[: len(chunk.text) - surplus], finish_reason="stop")
                return
            yield chunk

"""Let a role's model write: fit the prompt to the context, generate, and keep the tally of one request."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import RenderAnswer, Timings, UsageModel
from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.fitting import fit
from alpha_umi.roles.template import Prompt, Template, UnknownTemplate, load_template
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.engine import Chunk, EngineAway, EngineDead, EngineRefused, FinishReason, Generation
from alpha_umi.serving.host import RoleHost


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that leaves room for the answer. `truncated`: the history was shortened for it."""

    prompt: Prompt
    tokens: int
    template: Template
    truncated: bool

    @property
    def sha256(self) -> str:
        """The digest of the prompt's text."""
        return hashlib.sha256(self.prompt.text.encode("utf-8", "surrogatepass")).hexdigest()

    def as_answer(self) -> RenderAnswer:
        """The answer of the render endpoints."""
        return RenderAnswer(
            prompt=self.prompt.text,
            prompt_tokens=self.tokens,
            template=self.template.name,
            truncated=self.truncated,
        )


async def fit_prompt(
    host: RoleHost,
    *,
    history: Sequence[Turn],
    tools: Sequence[Tool] = (),
    answer_tokens: int,
    template: str | None = None,
) -> FittedPrompt:
    """Render the role's prompt, its history shortened where prompt and answer exceed the context.

    In a thread, because a long history takes a while to tokenize and other requests do not wait for it.
    Raises `ServiceError`: `unknown-template`, `context-exceeded`.
    """
    chosen = host.model.template if template is None else _template(template)

    def fitted() -> FittedPrompt:
        found = fit(
            host.model.role,
            chosen,
            history=history,
            tools=tools,
            budget=host.engine.context - answer_tokens,
            count=host.engine.count_tokens,
            planner_label=host.model.planner_label,
        )
        return FittedPrompt(found.prompt, found.tokens, chosen, found.truncated)

    try:
        return await asyncio.to_thread(fitted)
    except ContextExceeded as error:
        raise _too_long(error, host.engine.context, answer_tokens, with_tools=bool(tools)) from error


def _too_long(error: ContextExceeded, context: int, answer_tokens: int, *, with_tools: bool) -> ServiceError:
    """Names what takes the room: the answer alone, or else the tools with the newest turn, or that turn."""
    longer = "serve the model with a longer context"
    if error.budget <= 0:
        detail = f"{answer_tokens} tokens for the answer leave nothing of the context's {context} for the prompt"
        return ServiceError("context-exceeded", detail, field="max_tokens", remedy=f"ask for fewer, or {longer}")
    if not with_tools:
        detail = f"the newest turn needs {error.needed} tokens, and the context leaves {error.budget}"
        return ServiceError("context-exceeded", detail, field="history", remedy=f"shorten that turn, or {longer}")
    remedy = f"offer fewer tools, shorten the newest turn, or {longer}"
    return ServiceError("context-exceeded", str(error), field="tools", remedy=remedy)


def _template(name: str) -> Template:
    try:
        return load_template(name)
    except UnknownTemplate as error:
        raise ServiceError("unknown-template", str(error), field="template") from error


@dataclass
class Tally:
    """Tokens and times of one request, over all its generations. `prompt` is that of the first one."""

    prompt: FittedPrompt
    started: float = field(default_factory=time.perf_counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    attempts: int = 1
    first_token: float | None = None
    finish_reason: FinishReason | None = None

    def usage(self) -> UsageModel:
        """Token counts for the answer."""
        return UsageModel(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
        )

    def timings(self) -> Timings:
        """Milliseconds for the answer."""
        first = self.first_token or time.perf_counter()
        return Timings(
            ttft_ms=round((first - self.started) * 1_000),
            total_ms=round((time.perf_counter() - self.started) * 1_000),
            attempts=self.attempts,
        )

    def spent_on(self, text: str) -> dict[str, Any]:
        """What the problem document of an output that cannot be used says beside the reason."""
        return {
            "text": text,
            "usage": self.usage().model_dump(),
            "timings": self.timings().model_dump(),
            "truncated": self.prompt.truncated,
            "prompt_sha256": self.prompt.sha256,
        }

    def add(self, newest: Chunk, previous: Chunk | None) -> None:
        """Count one chunk; `previous` is the one before it in the same generation."""
        self.first_token = self.first_token or time.perf_counter()
        self.finish_reason = newest.finish_reason
        if previous is None:
            self.prompt_tokens += newest.prompt_tokens
        # A remote engine tells what was cached with its last chunk only.
        self.cached_tokens += newest.cached_tokens - (previous.cached_tokens if previous else 0)
        self.completion_tokens += newest.completion_tokens - (previous.completion_tokens if previous else 0)


async def write(context: RoleContext, generation: Generation, tally: Tally, *, request_id: str) -> AsyncIterator[str]:
    """Generate, piece by piece. Raises `ServiceError` when the engine is dead, away, or refuses."""
    previous: Chunk | None = None
    generation_id = f"{request_id}-{tally.attempts}-{tally.completion_tokens}"
    chunks = context.host.engine.generate(generation, request_id=generation_id)
    try:
        async for chunk in chunks:
            if tally.first_token is None:
                context.metrics.count_first_token(time.perf_counter() - tally.started)
            tally.add(chunk, previous)
            previous = chunk
            if chunk.text:
                yield chunk.text
    except EngineDead as error:
        raise context.host.declare_dead(error) from error
    except EngineAway as error:
        raise ServiceError("engine-not-ready", str(error)) from error
    except EngineRefused as error:
        raise ServiceError("internal", f"the engine refused the request: {error}") from error
    finally:
        if previous is not None:
            context.metrics.count_generation(previous)
        await _close(chunks)


async def write_all(context: RoleContext, generation: Generation, tally: Tally, *, request_id: str) -> str:
    """Generate to the end."""
    return "".join([piece async for piece in write(context, generation, tally, request_id=request_id)])


async def _close(chunks: AsyncIterator[Chunk]) -> None:
    closing = getattr(chunks, "aclose", None)
    if closing is not None:
        await closing()

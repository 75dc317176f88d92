"""Text generation for one role request: fit the prompt to the context, generate, count tokens and times."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import RenderAnswer, RoleAnswer, Sampling, Timings, UsageModel
from alpha_umi.roles.chat import render_prompt
from alpha_umi.roles.errors import ContextExceeded, UnreadableOutput
from alpha_umi.roles.fitting import fit
from alpha_umi.roles.template import (
    AnyPrompt,
    AnyTemplate,
    ChatPrompt,
    ChatTemplate,
    UnknownTemplate,
    load_any_template,
    template_names,
)
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.engine import (
    Chunk,
    Engine,
    EngineDead,
    EngineRefused,
    EngineUnavailable,
    Generation,
    PromptTooLong,
)
from alpha_umi.serving.host import RoleHost
from alpha_umi.serving.metrics import ExtraGeneration
from alpha_umi.serving.stop_strings import apply_stop_strings
from alpha_umi.serving.thinking import without_thinking

# A greedy generation would repeat its own failed output.
RETRY_TEMPERATURE = 0.7
# How many times the token limit the repair of an unfinished call has, as far as the context leaves them.
REPAIR_ROOM = 2
# Times that a prompt is fitted again after a server refused it as too long, and the share of the room that is left each
# time. It applies to this request alone: the next one may be refused for another reason, or not at all.
MAX_REFUSALS = 8
REFUSED_SHARE = 0.8


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that leaves enough of the context for the answer. `truncated`: the history was shortened to fit."""

    prompt: AnyPrompt
    tokens: int
    template: AnyTemplate
    truncated: bool

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompt's text, in hexadecimal; of the messages' text, which needs no tokenizer, for a chat."""
        return hashlib.sha256(self.prompt.text.encode("utf-8", "surrogatepass")).hexdigest()

    def as_answer(self, engine: Engine) -> RenderAnswer:
        """The response of the render endpoints: the text that the engine's model reads."""
        return RenderAnswer(
            prompt=engine.text_of(self.prompt),
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
    answer_schema: Mapping[str, Any] | None = None,
    share: float = 1.0,
) -> FittedPrompt:
    """Render the role's prompt; shorten the history where prompt and answer exceed the context.

    `answer_tokens` are reserved for the answer, and the prompt gets a `share` of the others. Tokenizing runs in a
    thread, because a long history takes a while and other requests must not wait for it. Raises `ServiceError`:
    `unknown-template`, `context-exceeded`.
    """
    chosen = host.model.template if template is None else _template(template, host.model.template)

    def fitted() -> FittedPrompt:
        result = fit(
            lambda turns: render_prompt(
                host.model.role,
                chosen,
                history=turns,
                tools=tools,
                planner_label=host.model.planner_label,
                thinking=host.model.thinking,
                answer_schema=answer_schema,
            ),
            history,
            budget=int(share * (host.engine.context - answer_tokens)),
            count=host.engine.count_tokens,
        )
        return FittedPrompt(result.prompt, result.tokens, chosen, result.truncated)

    try:
        return await asyncio.to_thread(fitted)
    except ContextExceeded as error:
        raise _too_long(error, host.engine.context, answer_tokens, with_tools=bool(tools)) from error


def _too_long(error: ContextExceeded, context: int, answer_tokens: int, *, with_tools: bool) -> ServiceError:
    """The error names what exceeds the context: the answer alone, the tools with the newest turn, or that turn."""
    longer = "serve the model with a longer context"
    if error.budget <= 0:
        detail = f"{answer_tokens} tokens for the answer leave nothing of the context's {context} for the prompt"
        return ServiceError("context-exceeded", detail, field="max_tokens", remedy=f"ask for fewer, or {longer}")
    if not with_tools:
        detail = f"the newest turn needs {error.needed} tokens, and the context leaves {error.budget}"
        return ServiceError("context-exceeded", detail, field="history", remedy=f"shorten that turn, or {longer}")
    remedy = f"offer fewer tools, shorten the newest turn, or {longer}"
    return ServiceError("context-exceeded", str(error), field="tools", remedy=remedy)


def _template(name: str, served: AnyTemplate) -> AnyTemplate:
    try:
        template = load_any_template(name)
    except UnknownTemplate as error:
        raise ServiceError("unknown-template", str(error), field="template") from error
    if isinstance(template, ChatTemplate) and not isinstance(served, ChatTemplate):
        # The model's own chat template was not run when the model was loaded, and is never run for a request.
        detail = f"{name} needs a model that is served as it is, and this one is served with {served.name}"
        raise ServiceError("unknown-template", detail, field="template", remedy=f"name {', '.join(template_names())}")
    return template


@dataclass
class GenerationStats:
    """Token counts and times of one request, summed over all its generations."""

    started: float = field(default_factory=time.perf_counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    attempts: int = 1
    first_token: float | None = None

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

    def add(self, newest: Chunk, previous: Chunk | None) -> None:
        """Count one chunk; `previous` is the one before it in the same generation."""
        self.first_token = self.first_token or time.perf_counter()
        # A remote engine reports the prompt's tokens and the cached ones with its last chunk only.
        self.prompt_tokens += newest.prompt_tokens - (previous.prompt_tokens if previous else 0)
        self.cached_tokens += newest.cached_tokens - (previous.cached_tokens if previous else 0)
        self.completion_tokens += newest.completion_tokens - (previous.completion_tokens if previous else 0)


@dataclass
class GenerationSession:
    """The generations of one request: the prompt, the sampling options, and the statistics of all of them.

    A repair replaces `fitted`, which `fit_again` makes once more; `prompt_sha256` is that of the first prompt that
    was answered. `cut_at` is the token limit of the newest generation if it ended its text, `call_unfinished` whether
    it ended a call so.
    """

    context: RoleContext
    request: Sampling
    request_id: str
    fitted: FittedPrompt
    fit_again: Callable[..., Awaitable[FittedPrompt]]
    prompt_sha256: str
    stats: GenerationStats = field(default_factory=GenerationStats)
    cut_at: int | None = None
    call_unfinished: bool = False

    @classmethod
    async def open(
        cls,
        context: RoleContext,
        request: Sampling,
        request_id: str,
        *,
        history: Sequence[Turn],
        tools: Sequence[Tool] = (),
        answer_tokens: int | None = None,
        answer_schema: Mapping[str, Any] | None = None,
    ) -> Self:
        """Fit the prompt. `answer_tokens` are reserved for the answer; the request's bound if None.

        Raises `ServiceError`: `context-exceeded`.
        """
        fit_again = partial(
            fit_prompt,
            context.host,
            history=history,
            tools=tools,
            answer_tokens=answer_tokens or token_bound(context, request),
            answer_schema=answer_schema,
        )
        fitted = await fit_again()
        return cls(context, request, request_id, fitted, fit_again, fitted.sha256)

    def generation(self, **changes: Any) -> Generation:
        """A generation with the request's sampling options, except for `changes` (fields of `Generation`)."""
        generation = Generation(
            self.fitted.prompt,
            max_tokens=token_bound(self.context, self.request),
            temperature=self.request.temperature,
            top_p=self.request.top_p,
            seed=self.request.seed,
        )
        return replace(generation, **changes)

    def retry_sampling(self) -> dict[str, Any]:
        """Changes for a second attempt without constraints."""
        return {"temperature": max(self.request.temperature, RETRY_TEMPERATURE), "seed": self.request.seed or 1}

    def count_extra(self, kind: ExtraGeneration) -> None:
        """Count a further generation of this request, and its cause."""
        self.stats.attempts += 1
        self.context.metrics.count_extra(kind)

    def count_unfinished_call(self) -> None:
        """Note that the token limit cut a call of this request."""
        self.call_unfinished = True
        self.context.metrics.count_unfinished_call()

    async def begin_repair(
        self, history: Sequence[Turn], tools: Sequence[Tool], *, answer_tokens: int | None = None
    ) -> None:
        """Count a repair, and fit the prompt of its history. Raises `ServiceError`: `context-exceeded`."""
        self.count_extra("repair")
        reserved = answer_tokens or token_bound(self.context, self.request)
        self.fit_again = partial(self.fit_again, history=history, tools=tools, answer_tokens=reserved)
        self.fitted = await self.fit_again()

    def more_tokens(self, continuation: str = "") -> int:
        """The token limit of the repair of an unfinished call, which continues a text."""
        engine, bound = self.context.host.engine, token_bound(self.context, self.request)
        left = engine.context - self.fitted.tokens - (engine.count_tokens(continuation) if continuation else 0)
        return max(bound, min(REPAIR_ROOM * bound, left, self.request.token_budget or left))

    @property
    def begun(self) -> str:
        """The text of the prompt with which the answer begins."""
        prompt = self.fitted.prompt
        return (prompt.begun or "") if isinstance(prompt, ChatPrompt) else ""

    @property
    def is_cut_by_request(self) -> bool:
        """Whether a bound that the request sets has ended the newest text."""
        budget = self.request.token_budget
        return self.cut_at is not None and (
            self.request.max_tokens is not None or (budget is not None and self.cut_at >= budget)
        )

    async def stream(self, generation: Generation) -> AsyncIterator[str]:
        """Generate piece by piece, without the block in which the model thinks.

        A prompt that a server refuses as too long is fitted again, into the context that the server names, or else into
        less. Raises `ServiceError` when the engine is dead, unavailable, or refuses, and `output-unreadable` for a
        block that does not end.
        """
        engine, share = self.context.host.engine, 1.0
        for _ in range(MAX_REFUSALS):
            context = engine.context
            try:
                async with contextlib.aclosing(self._pieces(generation)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except PromptTooLong as error:
                refusal = error
            if engine.context == context:
                share *= REFUSED_SHARE
            self.fitted = await self.fit_again(share=share)
            if self.stats.first_token is None:
                self.prompt_sha256 = self.fitted.sha256
            generation = replace(generation, prompt=self.fitted.prompt)
        remedy = "set ALPHA_UMI_ROLE_MAX_MODEL_LEN of the service to the context of the server"
        raise ServiceError("context-exceeded", str(refusal), field="history", remedy=remedy) from refusal

    async def _pieces(self, generation: Generation) -> AsyncGenerator[str, None]:
        """Raises `PromptTooLong` before the first piece, and the `ServiceError` of any other failure."""
        previous: Chunk | None = None
        generation_id = f"{self.request_id}-{self.stats.attempts}-{self.stats.completion_tokens}"
        metrics = self.context.metrics
        chunks = self._chunks(generation, generation_id)
        try:
            async for chunk in chunks:
                if self.stats.first_token is None:
                    metrics.count_first_token(time.perf_counter() - self.stats.started)
                self.stats.add(chunk, previous)
                previous = chunk
                if chunk.text:
                    yield chunk.text
        except UnreadableOutput as error:
            raise self.unreadable(error, error.text) from error
        except EngineDead as error:
            raise self.context.host.declare_dead(error) from error
        except EngineUnavailable as error:
            raise ServiceError("engine-not-ready", str(error)) from error
        except EngineRefused as error:
            if previous is None and isinstance(error, PromptTooLong):
                raise
            raise ServiceError("internal", f"the engine refused the request: {error}") from error
        finally:
            if previous is not None:
                metrics.count_generation(previous)
                self.cut_at = generation.max_tokens if previous.finish_reason == "length" else None
            await chunks.aclose()

    def _chunks(self, generation: Generation, generation_id: str) -> AsyncGenerator[Chunk, None]:
        engine, shown = self.context.host.engine, self.context.host.model.thinking
        if not (isinstance(generation.prompt, ChatPrompt) and generation.prompt.thinking):
            return without_thinking(engine.generate(generation, request_id=generation_id), shown=shown)
        # What stops the text must not stop the thinking before it.
        chunks = engine.generate(replace(generation, stop=()), request_id=generation_id)
        return apply_stop_strings(without_thinking(chunks, shown=shown), generation.stop)

    async def text(self, generation: Generation) -> str:
        """Generate to the end. Raises what `stream` raises."""
        return "".join([piece async for piece in self.stream(generation)])

    def unreadable(self, error: UnreadableOutput, text: str) -> ServiceError:
        """The problem `output-unreadable`, with the text, its usage and timings."""
        return ServiceError("output-unreadable", error.reason, extra=self.as_extra(text))

    def as_extra(self, text: str) -> dict[str, Any]:
        """Extra fields of the problem document for an unusable output: its text, and the fields of an answer."""
        unfinished = {"call_unfinished": True} if self.call_unfinished else {}
        return {"text": text, **RoleAnswer(**self.answer_fields()).model_dump(), **unfinished}

    def answer_fields(self) -> dict[str, Any]:
        """The fields of every `RoleAnswer`."""
        return {
            "usage": self.stats.usage(),
            "timings": self.stats.timings(),
            "truncated": self.fitted.truncated,
            "prompt_sha256": self.prompt_sha256,
        }


def token_bound(context: RoleContext, request: Sampling) -> int:
    """The bound of one generation in tokens: the request's, else the service's; its budget if that is lower."""
    bound = request.max_tokens or context.answer_tokens
    return min(bound, request.token_budget or bound)

"""An engine that records its generations with their times, so that they can be repeated on it directly."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.roles.turns import Role
from alpha_umi.serving.engine import Choices, Chunk, Engine, EngineStats, Generation
from alpha_umi.serving.vllm_engine import VllmEngine


@dataclass
class Recorded:
    """One generation. `ttft_s` and `total_s` are seconds from the request to the first and last chunk; `started_at` is
    the time of the request (`time.perf_counter`)."""

    role: Role
    request_id: str
    generation: Generation
    ttft_s: float = 0.0
    total_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    started_at: float = field(default_factory=time.perf_counter)


@dataclass
class RecordingEngine:
    """Wraps a role's engine, `inner`, of the engine `process`. `recorded` has all generations except the canary.

    If `directed`, the planner is forced to choose `caller`, so that trajectories reach their step limit with any
    weights.
    """

    role: Role
    inner: Engine
    process: VllmEngine
    recorded: list[Recorded] = field(default_factory=list)
    started_s: float = 0.0
    directed: bool = True

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.inner.context

    @property
    def capacity(self) -> int | None:
        """Generations that run at once."""
        return self.inner.capacity

    async def start(self) -> None:
        """Load the model, and record the time it took."""
        before = time.perf_counter()
        await self.inner.start()
        self.started_s = time.perf_counter() - before

    async def stop(self) -> None:
        """End the engine process."""
        await self.inner.stop()

    async def check(self) -> None:
        """Raises `EngineDead` when the engine has died."""
        await self.inner.check()

    def stats(self) -> EngineStats | None:
        """The load of the engine."""
        return self.inner.stats()

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Number of tokens of a prompt."""
        return self.inner.count_tokens(prompt)

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return self.inner.text_of(prompt)

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate and record."""
        record = Recorded(self.role, request_id, _directed(generation) if self.directed else generation)
        if not request_id.startswith("canary"):
            self.recorded.append(record)
        before = time.perf_counter()
        async for chunk in self.inner.generate(record.generation, request_id=request_id):
            record.ttft_s = record.ttft_s or time.perf_counter() - before
            record.prompt_tokens, record.cached_tokens = chunk.prompt_tokens, chunk.cached_tokens
            record.completion_tokens = chunk.completion_tokens
            record.total_s = time.perf_counter() - before
            yield chunk

    async def repeat(self, record: Recorded) -> Chunk | None:
        """Repeat a generation on the engine. Returns the last chunk, which has all counts."""
        request_id = f"again-{time.perf_counter_ns()}-{record.request_id}"
        last = None
        async for chunk in self.inner.generate(record.generation, request_id=request_id):
            last = chunk
        return last

    async def reset(self) -> None:
        """Empty the prefix cache, so that every measurement starts with a cold one."""
        await self.process.reset_prefix_cache()


def _directed(generation: Generation) -> Generation:
    match generation.constraint:
        case Choices(texts):
            return replace(generation, constraint=Choices(tuple(text for text in texts if "caller" in text) or texts))
        case _:
            return generation

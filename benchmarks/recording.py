"""An engine that remembers what it was asked and when it answered, so that the same can be asked of it directly."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from alpha_umi.roles.template import Prompt
from alpha_umi.roles.turns import RoleName
from alpha_umi.serving.engine import Chunk, EngineStats, Generation
from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions


@dataclass
class Recorded:
    """One generation. Times are seconds from the request on, to the first piece and to the last."""

    role: RoleName
    request_id: str
    generation: Generation
    ttft_s: float = 0.0
    total_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class RecordingEngine:
    """The engine port around vLLM's. `recorded` grows by every generation but the canary."""

    role: RoleName
    inner: VllmEngine
    recorded: list[Recorded] = field(default_factory=list)
    started_s: float = 0.0

    @classmethod
    def load(cls, role: RoleName, options: VllmOptions) -> RecordingEngine:
        """An engine that is not started yet."""
        return cls(role, VllmEngine(options))

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.inner.context

    async def start(self) -> None:
        """Load the model, and remember how long that took."""
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
        """How busy the engine is."""
        return self.inner.stats()

    def count_tokens(self, prompt: Prompt | str) -> int:
        """Tokens of a prompt."""
        return self.inner.count_tokens(prompt)

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate and remember."""
        record = Recorded(self.role, request_id, generation)
        if request_id != "canary":
            self.recorded.append(record)
        before = time.perf_counter()
        async for chunk in self.inner.generate(generation, request_id=request_id):
            record.ttft_s = record.ttft_s or time.perf_counter() - before
            record.prompt_tokens, record.cached_tokens = chunk.prompt_tokens, chunk.cached_tokens
            record.completion_tokens = chunk.completion_tokens
            record.total_s = time.perf_counter() - before
            yield chunk

    async def repeat(self, record: Recorded) -> None:
        """Ask the engine itself for a generation once more."""
        request_id = f"again-{time.perf_counter_ns()}"
        async for _ in self.inner.generate(record.generation, request_id=request_id):
            pass

    async def forget(self) -> None:
        """Empty the prefix cache, so that what comes next finds the engine as what came before did."""
        await self.inner.reset_prefix_cache()

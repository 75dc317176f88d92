"""One engine for several roles: each has a view of it, with an adapter of its own or with the same model.

Each role's host starts, watches and stops its view. The engine starts with the first view and stops after the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import Chunk, Engine, EngineStats, Generation


class SharedEngine:
    """An engine, and the number of its views in use."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._views = 0
        self._start: asyncio.Task[None] | None = None

    def bind_adapter(self, adapter: str) -> EngineView:
        """A view that generates with an adapter."""
        self._views += 1
        return EngineView(self, adapter, adapter)

    def view(self, role: str) -> EngineView:
        """A view without an adapter, for a role whose model the engine runs."""
        self._views += 1
        return EngineView(self, role, None)

    async def start(self) -> None:
        """Load the model once. Raises the error that prevents it, in every view."""
        if self._start is None or _failed(self._start):
            self._start = asyncio.create_task(self.engine.start())
        # A cancelled view does not cancel the loading for the others.
        await asyncio.shield(self._start)

    async def release(self) -> None:
        """Release a view; the last one stops the engine."""
        self._views -= 1
        if self._views > 0:
            return
        if self._start is not None:
            self._start.cancel()
            await asyncio.gather(self._start, return_exceptions=True)
        await self.engine.stop()


class EngineView:
    """The engine port on a shared engine; all generations have the same adapter, or none. `name` is this view's."""

    def __init__(self, shared: SharedEngine, name: str, adapter: str | None) -> None:
        self.shared = shared
        self.name = name
        self.adapter = adapter

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.shared.engine.context

    @property
    def capacity(self) -> int | None:
        """Generations of all views together."""
        return self.shared.engine.capacity

    async def start(self) -> None:
        """Load the model for all views. Raises the error that prevents it."""
        await self.shared.start()

    async def stop(self) -> None:
        """Release this view."""
        await self.shared.release()

    async def check(self) -> None:
        """Raises `EngineDead` when the engine has died, `EngineUnavailable` when it cannot answer now."""
        await self.shared.engine.check()

    def stats(self) -> EngineStats | None:
        """The statistics of the engine, of all views together."""
        return self.shared.engine.stats()

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Number of tokens of a prompt, as `generate` sends it."""
        return self.shared.engine.count_tokens(prompt)

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return self.shared.engine.text_of(prompt)

    def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate with this view's adapter. Raises what the engine raises."""
        # The hosts of one process use the same canary id, and an engine needs unique ids.
        own = replace(generation, adapter=self.adapter)
        return self.shared.engine.generate(own, request_id=f"{request_id}-{self.name}")


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)

"""One engine for several roles: each role sees it bound to an adapter of its own, or all of them to the same model.

A role's host starts, watches and stops its engine, and three of them may do so with one engine: it is started once,
for the first, and stopped once, after the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from alpha_umi.roles.template import Prompt
from alpha_umi.serving.engine import Chunk, Engine, EngineStats, Generation


class SharedEngine:
    """An engine, and how many views of it are still in use."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._views = 0
        self._start: asyncio.Task[None] | None = None

    def bind_adapter(self, adapter: str) -> EngineView:
        """The engine as a role with this adapter sees it."""
        self._views += 1
        return EngineView(self, adapter, adapter)

    def view(self, role: str) -> EngineView:
        """The engine as a role sees it whose model it runs, without an adapter."""
        self._views += 1
        return EngineView(self, role, None)

    async def start(self) -> None:
        """Load the model unless that has happened. Raises whatever keeps it from loading, in every view alike."""
        if self._start is None or _failed(self._start):
            self._start = asyncio.create_task(self.engine.start())
        # One view that goes away does not stop the loading for the others.
        await asyncio.shield(self._start)

    async def release(self) -> None:
        """One view is used no more; with the last one the engine is stopped."""
        self._views -= 1
        if self._views > 0:
            return
        if self._start is not None:
            self._start.cancel()
            await asyncio.gather(self._start, return_exceptions=True)
        await self.engine.stop()


class EngineView:
    """The engine port on a shared engine, every generation with one adapter, or with none. `name` is this view's."""

    def __init__(self, shared: SharedEngine, name: str, adapter: str | None) -> None:
        self.shared = shared
        self.name = name
        self.adapter = adapter

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self.shared.engine.context

    async def start(self) -> None:
        """Load the model for all views. Raises whatever keeps it from loading."""
        await self.shared.start()

    async def stop(self) -> None:
        """Give up this view."""
        await self.shared.release()

    async def check(self) -> None:
        """Raises `EngineDead` when the engine has died, `EngineAway` when it cannot answer now."""
        await self.shared.engine.check()

    def stats(self) -> EngineStats | None:
        """The numbers of the engine, all views together."""
        return self.shared.engine.stats()

    def count_tokens(self, prompt: Prompt | str) -> int:
        """Tokens of a prompt as `generate` sends it."""
        return self.shared.engine.count_tokens(prompt)

    def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate with this view's adapter. Raises what the engine raises."""
        # Hosts of one process name their canaries alike, and an engine wants every id once.
        own = replace(generation, adapter=self.adapter)
        return self.shared.engine.generate(own, request_id=f"{request_id}-{self.name}")


def _failed(task: asyncio.Task[None]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)

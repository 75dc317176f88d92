"""The client of the orchestrator for programs without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, Self, TypeVar

from httpx_sse import ServerSentEvent

from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.contract.client_turns import AddMessage
from alpha_umi.contract.tool_calls import ToolCallResult, ToolDetails
from alpha_umi.contract.tool_sources import ToolSourceInfo
from alpha_umi.contract.trajectories import CreateTrajectory, Prune, Pruned, ToolList, Trajectory
from alpha_umi.trajectory import Status

Item = TypeVar("Item")


class SyncOrchestratorClient:
    """The methods of `OrchestratorClient`, each run to its end in an event loop of its own.

    Ctrl-C closes the connection that is being waited for before it raises `KeyboardInterrupt`.
    """

    def __init__(self, client: OrchestratorClient) -> None:
        self._client = client
        self._runner = asyncio.Runner()
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._run(self._client.aclose())
        self._runner.close()

    def stream(self, request: CreateTrajectory) -> Iterator[ServerSentEvent]:
        """See `OrchestratorClient.stream`."""
        return self._iterate(self._client.stream(request))

    def add_message(self, trajectory_id: str, message: AddMessage) -> Iterator[ServerSentEvent]:
        """See `OrchestratorClient.add_message`."""
        return self._iterate(self._client.add_message(trajectory_id, message))

    def follow(self, trajectory_id: str) -> Iterator[ServerSentEvent]:
        """See `OrchestratorClient.follow`."""
        return self._iterate(self._client.follow(trajectory_id))

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """See `OrchestratorClient.trajectory`."""
        return self._run(self._client.trajectory(trajectory_id))

    def newest(self, *, status: Status | None = None) -> Trajectory | None:
        """See `OrchestratorClient.newest`."""
        return self._run(self._client.newest(status=status))

    def trajectories(self, *, status: str | None = None) -> Iterator[Trajectory]:
        """See `OrchestratorClient.trajectories`."""
        return self._iterate(self._client.trajectories(status=status))

    def cancel(self, trajectory_id: str) -> Trajectory:
        """See `OrchestratorClient.cancel`."""
        return self._run(self._client.cancel(trajectory_id))

    def prune(self, request: Prune) -> Pruned:
        """See `OrchestratorClient.prune`."""
        return self._run(self._client.prune(request))

    def delete(self, trajectory_id: str) -> None:
        """See `OrchestratorClient.delete`."""
        self._run(self._client.delete(trajectory_id))

    def tools(self) -> ToolList:
        """See `OrchestratorClient.tools`."""
        return self._run(self._client.tools())

    def tool(self, name: str) -> ToolDetails:
        """See `OrchestratorClient.tool`."""
        return self._run(self._client.tool(name))

    def call_tool(self, name: str, arguments: str, *, confirm: bool = False) -> ToolCallResult:
        """See `OrchestratorClient.call_tool`."""
        return self._run(self._client.call_tool(name, arguments, confirm=confirm))

    def tool_sources(self) -> list[ToolSourceInfo]:
        """See `OrchestratorClient.tool_sources`."""
        return self._run(self._client.tool_sources())

    def add_tool_source(self, name: str, url: str | None = None, **settings: Any) -> ToolSourceInfo:
        """See `OrchestratorClient.add_tool_source`."""
        return self._run(self._client.add_tool_source(name, url, **settings))

    def remove_tool_source(self, name: str) -> None:
        """See `OrchestratorClient.remove_tool_source`."""
        self._run(self._client.remove_tool_source(name))

    def _run(self, work: Coroutine[Any, Any, Item]) -> Item:
        task = self._runner.get_loop().create_task(work)

        async def finish() -> None:
            await asyncio.wait([task])

        try:
            self._runner.run(finish())
        except asyncio.CancelledError:
            # Only a signal cancels it. asyncio forgets one that arrives between its handler and its counter.
            raise KeyboardInterrupt from None
        finally:
            if not task.done():
                # A signal handler that raises leaves the loop at once: let the task close its connection.
                task.cancel()
                self._runner.run(finish())
        return task.result()

    def _iterate(self, items: AsyncGenerator[Item, None]) -> Iterator[Item]:
        async def advance() -> list[Item]:
            async for item in items:
                return [item]
            return []

        async def close() -> None:
            await items.aclose()

        try:
            while batch := self._run(advance()):
                yield from batch
        finally:
            # Closing the runner has closed what was open.
            if self._open:
                self._run(close())

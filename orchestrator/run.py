"""A trajectory that is being driven, and the requests that wait for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from alpha_umi.trajectory import Phase
from orchestrator.driver import Driver
from orchestrator.live import Broadcast
from orchestrator.store import TrajectoryRow

CLIENT_LEFT = "the client left"


@dataclass
class Run:
    """A trajectory on its way to the end of its newest turn.

    A run without an owner goes on by itself when it is `kept`: it was asked for in the background, or with an
    idempotency key, whose client is expected to ask again. `owners` are the requests that wait for it.
    `began` is when the turn did.
    """

    row: TrajectoryRow
    driver: Driver
    broadcast: Broadcast
    began: datetime
    kept: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    owners: int = 0

    @property
    def id(self) -> str:
        """The trajectory's id."""
        return self.row.id

    @property
    def finished(self) -> bool:
        """Whether the end is in the log."""
        return self.driver.state.phase is Phase.FINISHED

    @property
    def waits(self) -> bool:
        """Whether the client has to act."""
        return self.driver.state.phase is Phase.WAITING

    async def settled(self) -> None:
        """Return when the trajectory waits for the client, has ended, or is not driven any more."""
        await self.driver.settled.wait()

    def own(self) -> RunLease:
        """A request that wants the run to go on while it is there."""
        self.owners += 1
        return RunLease(self)

    def release(self) -> bool:
        """One owner less; whether nobody is left for whom to go on."""
        self.owners -= 1
        # A client that has to act comes back with another request, so its silence says nothing.
        return self.owners == 0 and not self.kept and not self.waits


class RunLease:
    """The hold of one request on a run. Ends once, whatever comes first."""

    def __init__(self, run: Run) -> None:
        self._run: Run | None = run

    def answered(self) -> None:
        """The request has its answer."""
        if self._run is not None:
            self._run.release()
        self._run = None

    def left(self) -> None:
        """The client is gone: unless somebody else wants it, the run ends."""
        if self._run is not None and self._run.release():
            self._run.driver.cancel(CLIENT_LEFT)
        self._run = None

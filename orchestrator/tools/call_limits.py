"""How many calls of tools are under way at a time: of one tool, one source, one owner, one host, and in all.

A tool that never answers fills its own places; calls of others go on, and those of other owners whatever an owner
calls. A call waits for its places before its own time begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.admission.gate import Gate, Place
from orchestrator.tools.errors import ConnectionFailed

# Sockets of this process that tools may take.
MAX_CALLS: Final = 512
# Of them, and of the look-ups of names, what one owner may take.
OWNERS_SHARE: Final = 0.75
MAX_WAIT_S: Final = 60.0


@dataclass(frozen=True)
class Caller:
    """Whose call it is. `source` is one loaded source: others may have its name."""

    source: Hashable
    tool: str


class CallLimits:
    """The places of all calls, which are made for `CURRENT_OWNER`.

    Those who wait for a place get it in turn by owner and source.
    """

    def __init__(
        self, *, per_tool: int = 64, per_source: int = 128, per_host: int = 256, max_wait_s: float = MAX_WAIT_S
    ) -> None:
        self._per_tool = per_tool
        self._per_source = per_source
        self._per_host = per_host
        self._max_wait_s = max_wait_s
        # Of what is called now.
        self._gates: dict[Hashable, Gate] = {}

    @asynccontextmanager
    async def place(self, host: str, caller: Caller | None) -> AsyncIterator[None]:
        """Hold a place in the block. Raises `ConnectionFailed` if none was free in time."""
        owner = CURRENT_OWNER.get()
        turn = owner if caller is None else f"{owner} {hash(caller.source)}"
        bounds: list[tuple[Hashable, int]] = [(("host", host), self._per_host), ("all", MAX_CALLS)]
        if caller is not None:
            own = (("owner", owner), int(MAX_CALLS * OWNERS_SHARE))
            bounds = [(caller, self._per_tool), (("source", caller.source), self._per_source), own, *bounds]
        held: list[tuple[Hashable, Gate, Place]] = []
        loop = asyncio.get_running_loop()
        deadline = None
        try:
            for key, capacity in bounds:
                gate = self._gates.get(key) or self._gates.setdefault(key, Gate(capacity))
                place = gate.enter(turn, background=False)
                held.append((key, gate, place))
                # Most places never wait, and a timeout costs as much as all of them.
                if not place.holds_slot:
                    deadline = deadline or loop.time() + self._max_wait_s
                    await self._wait(place, deadline)
            yield
        finally:
            for key, gate, place in reversed(held):
                place.leave()
                if not gate.in_use and not gate.waiting:
                    self._gates.pop(key, None)

    async def _wait(self, place: Place, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await place.wait()
        except TimeoutError:
            raise ConnectionFailed(
                f"it has as many calls under way as allowed, and none of them ended within {self._max_wait_s:g} s"
            ) from None

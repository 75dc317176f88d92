"""Graceful shutdown of a role service: refuse new requests, wait some seconds for those in flight, then cut them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from alpha_umi import telemetry
from alpha_umi.serving.host import RoleHost

# The rest of the usual ten seconds is for the engine, whose process takes about three to end.
GRACE_S = 4.0
# A request that was cut off needs a moment to send its error.
CUT_OFF_S = 0.5

_log = telemetry.logger(__name__)


class HostDrain:
    """Drains the hosts of one process."""

    def __init__(self, hosts: Sequence[RoleHost], *, grace_s: float = GRACE_S) -> None:
        self._hosts = hosts
        self._grace_s = grace_s

    async def drain(self) -> None:
        """Refuse new requests; return when those in flight are answered or cut off."""
        for host in self._hosts:
            host.begin_stop()
        _log.info("drain.began", in_flight=self._in_flight)
        await self._ended(self._grace_s)
        if cut := self._in_flight:
            _log.warning("drain.cut_off", in_flight=cut)
            self.cancel_all()
        await self._ended(CUT_OFF_S)

    def cancel_all(self) -> None:
        """Cut off the requests in flight."""
        for host in self._hosts:
            host.in_flight.cut_off()

    @property
    def _in_flight(self) -> int:
        return sum(host.in_flight.count for host in self._hosts)

    async def _ended(self, seconds: float) -> None:
        await asyncio.gather(*(host.in_flight.ended(within_s=seconds) for host in self._hosts))

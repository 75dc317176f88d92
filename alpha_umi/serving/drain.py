"""How a role service comes to rest: nothing new, some seconds for what is being written, then an end to the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from alpha_umi import telemetry
from alpha_umi.serving.host import RoleHost

# What is left of ten seconds belongs to the engine, whose process takes about three to end.
GRACE_S = 4.0
# Requests that were cut off need a moment for their last words.
LAST_WORDS_S = 0.5

_log = telemetry.logger(__name__)


class HostDrain:
    """Brings the hosts of one process to rest."""

    def __init__(self, hosts: Sequence[RoleHost], *, grace_s: float = GRACE_S) -> None:
        self._hosts = hosts
        self._grace_s = grace_s

    async def drain(self) -> None:
        """Refuse new requests at once; return when those in flight are answered, or were cut off."""
        for host in self._hosts:
            host.begin_stop()
        _log.info("drain.began", in_flight=self._in_flight)
        await self._ended(self._grace_s)
        if cut := self._in_flight:
            _log.warning("drain.cut_off", in_flight=cut)
            self.cancel_all()
        await self._ended(LAST_WORDS_S)

    def cancel_all(self) -> None:
        """Cut off what is in flight."""
        for host in self._hosts:
            host.in_flight.cut_off()

    @property
    def _in_flight(self) -> int:
        return sum(host.in_flight.count for host in self._hosts)

    async def _ended(self, seconds: float) -> None:
        await asyncio.gather(*(host.in_flight.ended(within_s=seconds) for host in self._hosts))

"""The output of a tool that the client executes, on its way to the driver that waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from alpha_umi.trajectory import AwaitOutput, Effect, ObservationReceived

Refusal = Literal["not-waiting", "other-call", "given-already", "too-late"]


@dataclass(frozen=True)
class ClientOutput:
    """What came of a call. `truncated`: the output was longer."""

    call_id: str
    content: str
    is_error: bool = False
    truncated: bool = False


class OutputRefused(Exception):
    """Nobody waits for this output. `refusal` says why, for programs."""

    def __init__(self, refusal: Refusal, reason: str) -> None:
        super().__init__(reason)
        self.refusal: Refusal = refusal


class OutputDesk:
    """Where one trajectory takes in outputs: one for each call, and none after its time."""

    def __init__(self) -> None:
        self._came = asyncio.Event()
        self._output: ClientOutput | None = None
        self._stored: asyncio.Future[None] | None = None

    async def submit(self, output: ClientOutput, effect: Effect | None, *, now: datetime) -> None:
        """Hand an output over while the machine wants `effect`; durable when this returns. Raises `OutputRefused`."""
        _require_awaited(output, effect, now)
        if self._output is not None:
            raise OutputRefused("given-already", f"the output of call {output.call_id} was given already")
        self._output = output
        self._stored = asyncio.get_running_loop().create_future()
        self._came.set()
        # Shielded, because the output stays accepted when the client does not wait for the confirmation.
        await asyncio.shield(self._stored)

    async def taken(self) -> ClientOutput:
        """The output, once it came."""
        await self._came.wait()
        if self._output is None:
            raise AssertionError("an output came")
        return self._output

    def stored(self) -> None:
        """Confirm that the output is in the log, and be ready for the next call."""
        if self._stored is not None and not self._stored.done():
            self._stored.set_result(None)
        self._came.clear()
        self._output = self._stored = None


def seconds_left(effect: AwaitOutput, now: datetime) -> float:
    """How long an output is still waited for; not negative."""
    return max(0.0, (datetime.fromisoformat(effect.expires_at) - now).total_seconds())


def observation_of(output: ClientOutput | None, effect: AwaitOutput, *, latency_ms: int) -> ObservationReceived:
    """The observation of an output, or of none within the time."""
    if output is None:
        reason = f"The application gave no output until {effect.expires_at}."
        return ObservationReceived(effect.call_id, reason, is_error=True, latency_ms=latency_ms)
    return ObservationReceived(effect.call_id, output.content, output.is_error, output.truncated, latency_ms=latency_ms)


def _require_awaited(output: ClientOutput, effect: Effect | None, now: datetime) -> None:
    if not isinstance(effect, AwaitOutput):
        raise OutputRefused("not-waiting", "the trajectory waits for no output")
    if effect.call_id != output.call_id:
        raise OutputRefused("other-call", f"the trajectory waits for the output of call {effect.call_id}")
    if seconds_left(effect, now) == 0:
        raise OutputRefused("too-late", f"the time for this output was over at {effect.expires_at}")

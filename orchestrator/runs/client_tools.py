"""Outputs of client tools: passed from the HTTP request to the waiting driver."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from alpha_umi.contract.problems import Kind
from alpha_umi.trajectory import AwaitOutput, Effect, Limits, ToolObserved, TurnOptions
from orchestrator.store import RequestKey, TurnRecord

# A client that was about to send its output when the process ended can still do so.
RESTART_GRACE_S = 60.0


@dataclass(frozen=True)
class ClientOutput:
    """The output of a call. `request` and `turn` are idempotency key and record of its request.

    `limits` and `options` are those of the request; None: those that the turn has.
    """

    call_id: str
    content: str
    is_error: bool = False
    request: RequestKey | None = None
    turn: TurnRecord | None = None
    limits: Limits | None = None
    options: TurnOptions | None = None


class OutputRefused(Exception):
    """The output is not expected. `kind` is the kind of problem."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind: Kind = kind


class ToolOutputInbox:
    """Receives the outputs of one trajectory: one per call, and none after the deadline."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._output: ClientOutput | None = None
        self._closed = False
        self._stored: asyncio.Future[int] | None = None
        self._deadline = 0.0

    def expect(self, *, seconds: float) -> None:
        """Accept the output of the next call for some seconds from now, by the monotonic clock."""
        self._deadline = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; not negative."""
        return max(0.0, self._deadline - time.monotonic())

    async def submit(self, output: ClientOutput, effect: Effect | None) -> int:
        """Pass an output to the driver while the machine is at `effect`.

        Returns the number of its row once it is durable. Raises `OutputRefused`.
        """
        _require_awaited(output, effect)
        if self._output is not None:
            raise already_submitted(output.call_id)
        if self._closed or self.seconds_left == 0:
            raise too_late(output.call_id)
        self._output = output
        self._stored = asyncio.get_running_loop().create_future()
        self._arrived.set()
        # Shielded: the output stays accepted if the client disconnects before the confirmation.
        return await asyncio.shield(self._stored)

    async def wait(self) -> None:
        """Return once there is an output."""
        await self._arrived.wait()

    def close(self) -> ClientOutput | None:
        """The output if there is one. Later outputs of this call are refused."""
        self._closed = True
        return self._output

    def reset(self, seq: int) -> None:
        """Confirm that the output is row `seq` of the log, and prepare for the next call."""
        if self._stored is not None and not self._stored.done():
            self._stored.set_result(seq)
        self._arrived.clear()
        self._output = self._stored = None
        self._closed = False


def seconds_after_restart(effect: AwaitOutput, now: datetime, *, timeout_s: float) -> float:
    """Seconds until the deadline of an output that an earlier process has requested.

    Only the wall clock tells how much time has passed, and it may have been set meanwhile: so the client has between
    `RESTART_GRACE_S` and the time of a new request.
    """
    left = (datetime.fromisoformat(effect.expires_at) - now).total_seconds()
    return min(timeout_s, max(RESTART_GRACE_S, left))


def missed_deadline(effect: AwaitOutput) -> ToolObserved:
    """The observation of an output that was not submitted in time."""
    reason = f"The application gave no output until {effect.expires_at}."
    return ToolObserved(effect.call_id, reason, is_error=True, expired=True)


def already_submitted(call_id: str) -> OutputRefused:
    """A second output for the same call."""
    return OutputRefused(
        "output-already-submitted", f"the output of call {call_id} was already submitted; a second one is ignored"
    )


def too_late(call_id: str) -> OutputRefused:
    """An output after the deadline."""
    return OutputRefused(
        "output-too-late", f"the deadline of call {call_id} has passed, and the planner has received a timeout error"
    )


def _require_awaited(output: ClientOutput, effect: Effect | None) -> None:
    if not isinstance(effect, AwaitOutput):
        raise OutputRefused("no-output-expected", "the trajectory does not wait for an output")
    if effect.call_id != output.call_id:
        raise OutputRefused("call-id-mismatch", f"the trajectory waits for the output of call {effect.call_id}")

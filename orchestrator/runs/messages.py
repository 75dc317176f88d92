"""Input of the client to an existing trajectory: the output of a call, or a further user turn.

Each is refused with its own kind of problem if the trajectory does not expect it.
"""

from __future__ import annotations

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import MAX_TURNS
from alpha_umi.trajectory import Limits, MessageAdded, Phase, State, ToolObserved
from orchestrator.log import read_event
from orchestrator.race import race
from orchestrator.runs.client_tools import ClientOutput, OutputRefused, already_submitted, too_late
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.runs.manager import Run, RunManager, RunSnapshot
from orchestrator.store import EventStore, RequestKey, SequenceConflict, TurnRecord

# A step adds three turns to the history, a user turn one, an answer one.
TURNS_A_STEP = 3


class ClientTurns:
    """Accepts tool outputs and user messages of all trajectories."""

    def __init__(self, store: EventStore, runs: RunManager) -> None:
        self._store = store
        self._runs = runs

    async def submit_tool_output(
        self, trajectory_id: str, output: ClientOutput, *, owner: str, background: bool
    ) -> AcceptedRequest:
        """Submit the output of the pending call of an owner's trajectory; it is durable when this returns.

        Raises `ServiceError` and `TrajectoryNotFound`.
        """
        run = await self._runs.attach(trajectory_id, owner=owner)
        if run is None:
            raise await self._refusal(trajectory_id, output.call_id, owner=owner)
        try:
            handing = await race(run.driver.submit(output), run.done.wait())
            seq = await handing if not handing.cancelled() else None
        except OutputRefused as error:
            raise await self._refusal(trajectory_id, output.call_id, error, owner=owner) from error
        if seq is None:
            self._runs.require_open()
            raise await self._refusal(trajectory_id, output.call_id, owner=owner)
        run.detached = run.detached or background or output.request is not None
        return AcceptedRequest(trajectory_id, seq, run)

    async def add_message(
        self,
        trajectory_id: str,
        message: MessageAdded,
        *,
        owner: str,
        background: bool,
        request: RequestKey | None,
        turn: TurnRecord | None = None,
    ) -> AcceptedRequest:
        """Continue an owner's finished trajectory with a user message; it is durable when this returns.

        `request` and `turn` are idempotency key and record of the request. Raises `ServiceError` and
        `TrajectoryNotFound`.
        """
        await _wait_until_done(self._runs.find(trajectory_id, owner=owner))
        ended = await self._runs.load(trajectory_id, owner=owner)
        _require_ended(trajectory_id, ended.state)
        try:
            return await self.extend(ended, message, background=background, request=request, turn=turn)
        except SequenceConflict as error:
            raise _busy(trajectory_id, "another message continues it") from error

    async def extend(
        self,
        ended: RunSnapshot,
        message: MessageAdded,
        *,
        background: bool,
        request: RequestKey | None,
        turn: TurnRecord | None = None,
    ) -> AcceptedRequest:
        """Continue a trajectory that was loaded after its end.

        Raises `ServiceError` if it has no room, and `SequenceConflict` if its log does not end there any more.
        """
        await _wait_until_done(self._runs.find(ended.row.id, owner=ended.row.owner))
        _require_capacity(ended.row.id, ended.state, message.limits or ended.state.limits)
        run = await self._runs.continue_(ended, message, background=background, request=request, turn=turn)
        return AcceptedRequest(ended.row.id, ended.seq + 1, run)

    async def _refusal(
        self, trajectory_id: str, call_id: str, error: OutputRefused | None = None, *, owner: str
    ) -> ServiceError:
        """Why an output is refused, according to the log."""
        if error is None or error.kind in ("no-output-expected", "call-id-mismatch"):
            error = await self._closed(trajectory_id, call_id) or error
        if error is None:
            row = await self._store.get(trajectory_id, owner=owner)
            if row.finished_at is None:
                return ServiceError("internal", f"trajectory {trajectory_id} was abandoned; the log has the details")
            return ServiceError("trajectory-finished", f"trajectory {trajectory_id} has ended: {row.status}")
        return ServiceError(error.kind, str(error), field="outputs.0.call_id")

    async def _closed(self, trajectory_id: str, call_id: str) -> OutputRefused | None:
        """The refusal if the call has its observation or its deadline has passed."""
        for row in await self._store.observations(trajectory_id, call_id):
            event = read_event(row)
            if isinstance(event, ToolObserved) and event.call_id == call_id:
                return too_late(call_id) if event.expired else already_submitted(call_id)
        return None


async def _wait_until_done(run: Run | None) -> None:
    """Wait for a run that has recorded its end and is about to stop."""
    if run is not None and run.finished:
        await run.done.wait()


def _require_ended(trajectory_id: str, state: State) -> None:
    if state.phase is Phase.WAITING:
        remedy = f"send the output to POST /v1/trajectories/{trajectory_id}/tool_outputs, or cancel the trajectory"
        raise _busy(trajectory_id, f"it waits for the output of a tool call; {remedy}")
    if state.phase is not Phase.FINISHED:
        raise _busy(trajectory_id, "it is running; wait for its end, or cancel it")


def _require_capacity(trajectory_id: str, state: State, limits: Limits) -> None:
    """Raises `ServiceError` if a further turn of maximum length would exceed the history that roles accept."""
    if len(state.history) + TURNS_A_STEP * limits.max_steps + 3 > MAX_TURNS:
        detail = f"trajectory {trajectory_id} has {len(state.history)} turns of history; the maximum is {MAX_TURNS}"
        raise ServiceError("trajectory-full", f"{detail}; start a new trajectory")


def _busy(trajectory_id: str, why: str) -> ServiceError:
    return ServiceError("trajectory-busy", f"trajectory {trajectory_id} cannot take a message now: {why}")

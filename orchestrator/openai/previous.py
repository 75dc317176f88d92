"""What a request continues: the trajectory as it is at the end of an earlier response."""

from __future__ import annotations

from dataclasses import dataclass

from alpha_umi.contract.problems import ServiceError
from alpha_umi.trajectory import Action, Event, MessageAdded, Phase, State, ToolObserved, TrajectoryCreated, TurnResumed
from orchestrator.log import read_stored_log
from orchestrator.openai.ids import place_of, response_id
from orchestrator.runs.manager import RunSnapshot
from orchestrator.store import EventStore, TrajectoryNotFound, TrajectoryPruned, TurnRow
from orchestrator.tools.tool_sets import ToolSets

_ENDS = (Phase.FINISHED, Phase.WAITING)


@dataclass(frozen=True)
class PreviousResponse:
    """A response that has ended, and its trajectory up to there.

    `followed_by` is the next event of the log. `tools` of `ended` are those of the trajectory.
    """

    turn: TurnRow
    ended: RunSnapshot
    followed_by: Event | None

    @property
    def is_newest(self) -> bool:
        """Whether the log ends there, too."""
        return self.followed_by is None

    @property
    def was_answered(self) -> bool:
        """Whether the client gave the output of the open call."""
        return isinstance(self.followed_by, ToolObserved) and not self.followed_by.expired

    @property
    def state(self) -> State:
        """The state at its end."""
        return self.ended.state

    @property
    def open_call(self) -> Action | None:
        """The call of the client's tool with which it ended."""
        return self.state.steps[-1].action if self.state.phase is Phase.WAITING else None


async def stored_turn(store: EventStore, response: str, *, owner: str) -> TurnRow | None:
    """The record of an owner's response; None if there is none, or it was deleted."""
    if (place := place_of(response, "resp_")) is None:
        return None
    turns = await store.turns(place[0], owner=owner)
    return next((turn for turn in turns if turn.seq == place[1] and turn.interface == "responses"), None)


async def previous_response(store: EventStore, tool_sets: ToolSets, turn: TurnRow) -> PreviousResponse:
    """A response to continue. Raises `ServiceError` while it has not ended, and if it was deleted; `StoreError`."""
    try:
        row = await store.get(turn.trajectory_id, owner=turn.owner)
    except (TrajectoryNotFound, TrajectoryPruned):
        raise not_found(response_id(turn.trajectory_id, turn.seq)) from None
    ended: RunSnapshot | None = None
    followed_by: Event | None = None
    turn_seq, turn_at = turn.seq, turn.at
    async for logged in read_stored_log(store, row):
        # A failure that was resumed is no end.
        if ended is not None and not isinstance(logged.event, TurnResumed):
            followed_by = logged.event
            break
        if isinstance(logged.event, TrajectoryCreated | MessageAdded):
            turn_seq, turn_at = logged.seq, logged.at
        has_ended = logged.seq >= turn.seq and logged.after.phase in _ENDS
        ended = RunSnapshot(row, logged.after, logged.seq, turn_seq, turn_at, None) if has_ended else None
    if ended is None:
        detail = f"the response {response_id(turn.trajectory_id, turn.seq)} has not ended yet"
        raise ServiceError("trajectory-busy", detail, field="previous_response_id", remedy="wait for its end")
    if (digest := ended.state.tool_set) is not None:
        ended = ended._replace(tools=await tool_sets.load(digest))
    return PreviousResponse(turn, ended, followed_by)


def not_found(response: str) -> ServiceError:
    """There is no response of this id to continue, or it is another owner's, or was not stored."""
    return ServiceError(
        "previous-response-not-found",
        f"previous response with id {response[:128]!r} not found",
        field="previous_response_id",
        remedy="leave the field out and send the conversation as `input`",
    )

"""The event log of the orchestrator: every trajectory's rows, durable before anybody is told about them.

    async with EventStore.open("sqlite:////var/lib/alpha-umi/log.db") as store:
        await store.create("tr_1", [NewEvent("trajectory.created", {...})], at=now, ...)

It knows rows, sequence numbers and commits. What an event means is the business of `alpha_umi.trajectory`.
"""

from orchestrator.store.base import EventStore
from orchestrator.store.errors import (
    NotStorable,
    RequestKept,
    SchemaUnsupported,
    SequenceConflict,
    StoreDamaged,
    StoreError,
    StoreInUse,
    StoreMisconfigured,
    StoreUnavailable,
    TrajectoryExists,
    TrajectoryNotFound,
)
from orchestrator.store.model import KeptRequest, NewEvent, Page, RequestKey, StoredEvent, ToolSourceRow, TrajectoryRow

__all__ = [
    "EventStore",
    "KeptRequest",
    "NewEvent",
    "NotStorable",
    "Page",
    "RequestKept",
    "RequestKey",
    "SchemaUnsupported",
    "SequenceConflict",
    "StoreDamaged",
    "StoreError",
    "StoreInUse",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StoredEvent",
    "ToolSourceRow",
    "TrajectoryExists",
    "TrajectoryNotFound",
    "TrajectoryRow",
]

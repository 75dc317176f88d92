"""The problem that a failure of the store is for a client."""

from __future__ import annotations

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from orchestrator.store import NotStorable, StoreError, StoreUnavailable, TrajectoryNotFound, TrajectoryPruned

_log = telemetry.logger(__name__)


def store_problem(error: StoreError) -> ServiceError:
    """The problem of the error. One that only an operator can repair is logged."""
    match error:
        case StoreUnavailable():
            return ServiceError("storage-unavailable", str(error))
        case TrajectoryPruned():
            return ServiceError("trajectory-pruned", str(error))
        case TrajectoryNotFound():
            return ServiceError("trajectory-not-found", str(error))
        case NotStorable():
            return ServiceError("invalid-request", str(error))
        case _:
            _log.error("store.failed", exc_info=error)
            return ServiceError("internal", "the event log is damaged; the log has the details")

"""Routes that delete trajectories: one by its owner, and many that are old."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import Prune, Pruned
from alpha_umi.web.scopes import User, require_scope
from orchestrator.api.audit import audit_entry
from orchestrator.assembly import Orchestrator
from orchestrator.retention import PRUNED_ACT, ExportFailed, Selection


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["trajectories"])
    store, retention = orchestrator.store, orchestrator.retention

    @router.delete("/v1/trajectories/{trajectory_id}", status_code=204, summary="Delete a finished trajectory for good")
    async def delete(trajectory_id: str, user: User) -> None:
        row = await store.get(trajectory_id, owner=user.owner)
        if not await retention.delete([row], audit=audit_entry(user, "trajectory.deleted", trajectory_id)):
            raise ServiceError(
                "trajectory-busy",
                f"trajectory {trajectory_id} cannot be deleted now: it has not ended",
                remedy=f"cancel it first: POST /v1/trajectories/{trajectory_id}/cancel",
                field="trajectory_id",
            )

    @router.post("/v1/prune", summary="Delete trajectories that ended long ago; repeat it while `has_more`")
    async def prune(body: Prune, user: User) -> Pruned:
        if body.all_owners:
            require_scope(user, "operate")
        before = retention.ended_before(timedelta(seconds=body.older_than_s))
        selection = Selection(before, None if body.all_owners else user.owner, body.status)
        act = audit_entry(user, PRUNED_ACT, "trajectories", body.model_dump(mode="json"))
        try:
            batch = await retention.prune(selection, audit=act)
        except ExportFailed as error:
            raise ServiceError("storage-unavailable", str(error)) from error
        return Pruned(deleted=batch.deleted, has_more=batch.has_more, unreadable=list(batch.unreadable))

    return router

"""The audit log: entries for the acts of requests, and the route that lists them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.audit import AuditEvent, AuditList
from alpha_umi.web.keys import Principal
from alpha_umi.web.scopes import Operator
from orchestrator.assembly import Orchestrator
from orchestrator.log import utc_now
from orchestrator.store import AuditEntry


class AuditQuery(BaseModel):
    """Query of `GET /v1/audit`. `after` is the last id of the page before."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[int, Field(ge=0, lt=2**63)] | SkipJsonSchema[None] = None


def audit_entry(user: Principal, action: str, object: str, details: dict[str, Any] | None = None) -> AuditEntry:
    """The entry of an act that a request performs now. It must hold no secrets."""
    return AuditEntry(utc_now(), user.key_id, user.owner, action, object, details or {})


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["operations"])

    @router.get("/v1/audit", summary="Acts of all owners, newest first; scope `operate`")
    async def list_acts(user: Operator, query: Annotated[AuditQuery, Query()]) -> AuditList:
        rows = await orchestrator.store.audit_log(limit=query.limit + 1, after=query.after)
        acts = [AuditEvent(**vars(row)) for row in rows[: query.limit]]
        return AuditList(data=acts, has_more=len(rows) > query.limit)

    return router

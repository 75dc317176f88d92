"""Wire models of `GET /v1/audit`: who registered, deleted, cancelled or called by hand what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from alpha_umi.contract.roles import WireModel


class AuditEvent(WireModel):
    """An act of an API key for its owner. `object` is the id or name of what it was done to."""

    id: int
    at: datetime
    key_id: str
    owner: str
    action: str
    object: str
    details: dict[str, Any]


class AuditList(WireModel):
    """`GET /v1/audit`, newest first."""

    object: Literal["list"] = "list"
    data: list[AuditEvent]
    has_more: bool

"""MCP's own conformance suite against `/mcp`."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.system import System
from conformance.table import Check


async def checks(system: System) -> Sequence[Check]:
    """The server scenarios of the suite that need nothing but what the orchestrator offers."""
    return [Check("all scenarios", f"{system.base_url.removesuffix('/v1')}/mcp is not served yet")]

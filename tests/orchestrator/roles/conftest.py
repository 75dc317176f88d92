"""Fixtures: a role with several replicas on loopback, each a separate server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.role_replicas import Fleet, fleet_of


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Three planners."""
    async with fleet_of(3) as fleet:
        yield fleet


@pytest.fixture
async def lone() -> AsyncIterator[Fleet]:
    """A single planner."""
    async with fleet_of(1) as fleet:
        yield fleet

"""Fixtures: an orchestrator with scripted roles, a real tool API, and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.orchestrator_world import Client, World, surroundings


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The services that an orchestrator uses."""
    async with surroundings(tmp_path) as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """A client of a running orchestrator with default settings."""
    async with world.orchestrator() as running:
        yield running

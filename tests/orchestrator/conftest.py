"""Fixtures: an orchestrator with everything real around it but the language models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.orchestrator_world import Client, World, surroundings


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The world around an orchestrator."""
    async with surroundings(tmp_path) as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """A running orchestrator with ordinary settings."""
    async with world.orchestrator() as running:
        yield running

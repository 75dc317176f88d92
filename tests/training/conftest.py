"""A tiny training for the session; its backbone, data and config must not be changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from support.tiny_training import World, make_world, write_config


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny models train faster with one thread, especially on a busy machine."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, embedded_model: Path) -> World:
    return make_world(tmp_path_factory.mktemp("training"), embedded_model)


@pytest.fixture(scope="session")
def world_backbone(world: World) -> Path:
    return world.backbone


@pytest.fixture
def prepared(world: World, tmp_path: Path) -> World:
    """A copy of the world that a test may change."""
    own = World(tmp_path / "world")
    shutil.copytree(world.root, own.root)
    write_config(own.config, own.backbone)
    return own

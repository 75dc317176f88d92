"""A tiny training, made once: its backbone, data and config are only read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from support.tiny_training import World, make_world, write_config


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Threads cost more than they bring for tiny models, above all beside other work."""
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
    """A world whose files a test may spoil."""
    own = World(tmp_path / "world")
    shutil.copytree(world.root, own.root)
    write_config(own.config, own.backbone)
    return own

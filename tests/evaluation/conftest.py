"""Where public data is, which the tree does not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluation.suites.data import data_folder


@pytest.fixture(scope="session")
def data() -> Path:
    """Public data, which the tree does not hold."""
    folder = data_folder(os.environ)
    if not folder.is_dir():
        pytest.skip(f"data is not at {folder}; ALPHA_UMI_DATA names its folder")
    return folder

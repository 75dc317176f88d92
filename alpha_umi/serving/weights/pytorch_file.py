"""Read one PyTorch file of weights without running its code.

Such a file is a pickle, which can call any function. PyTorch's `weights_only` reader accepts tensors and plain
containers and refuses everything else.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpha_umi.serving.manifest import UnsafeWeights
from alpha_umi.serving.weights.errors import CheckpointUnusable


def read_tensors(path: Path) -> Mapping[str, Any]:
    """The tensors of a file by name. They are memory-mapped, except in files of the oldest format.

    Raises `UnsafeWeights` for a file with code, `CheckpointUnusable` for one that holds no tensors by name or cannot be
    read.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise CheckpointUnusable(f"{path}: holds {type(content).__name__} instead of tensors by name")
    import torch

    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointUnusable(f"{path}: {name!r} is {type(value).__name__} instead of a tensor")
        if value.layout != torch.strided or value.is_quantized:
            raise CheckpointUnusable(f"{path}: {name!r} is sparse or quantized, which is not known here")
    return content


def _load(path: Path) -> Any:
    import torch

    # PyTorch's error for refused code; `pickle` itself must not be imported here.
    refused = torch.serialization.pickle.UnpicklingError
    try:
        # Files of the oldest format are no archives, and cannot be memory-mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except refused as error:
        raise UnsafeWeights(
            path, "holds more than weights, and might run code when it is loaded; not loaded"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise CheckpointUnusable(f"{path}: cannot be read as weights: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]

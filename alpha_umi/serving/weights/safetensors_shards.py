"""Write tensors as safetensors, a bounded number of bytes at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Bytes in memory at a time while writing; a larger tensor has a file of its own.
SHARD_BYTES = 1 << 30
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Shard:
    """Tensors of one source file that are written into one file: their names and total bytes."""

    source: Path
    names: tuple[str, ...]
    size: int


def plan_shards(source: Path, sizes: Mapping[str, int], *, limit: int = SHARD_BYTES) -> list[Shard]:
    """Divide the tensors of a source file, in their order. `sizes` and `limit` are in bytes."""
    shards: list[Shard] = []
    names: list[str] = []
    for name, size in sizes.items():
        if names and sum(sizes[known] for known in names) + size > limit:
            shards.append(_shard(source, names, sizes))
            names = []
        names.append(name)
    return [*shards, _shard(source, names, sizes)] if names else shards


def write_shards(
    folder: Path,
    shards: Sequence[Shard],
    read: Callable[[Path], Mapping[str, Any]],
    *,
    written: Callable[[int], None] = lambda size: None,
) -> None:
    """Write all shards, and an index if there are several. `written` is called with the bytes of each.

    Raises `OSError`, `SafetensorError` and what `read` raises.
    """
    index: dict[str, str] = {}
    tensors: Mapping[str, Any] = {}
    opened: Path | None = None
    for number, shard in enumerate(shards, start=1):
        if shard.source != opened:
            tensors = {}  # release the previous file before the next is opened
            tensors, opened = read(shard.source), shard.source
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write(folder / name, {tensor: tensors[tensor] for tensor in shard.names})
        index |= dict.fromkeys(shard.names, name)
        written(shard.size)
    if len(shards) > 1:
        document = {"metadata": {"total_size": sum(shard.size for shard in shards)}, "weight_map": index}
        (folder / INDEX).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _write(path: Path, tensors: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(_separate(tensors), path, metadata={"format": "pt"})


def _separate(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Contiguous tensors with separate memory: the format has neither shared tensors nor views."""
    import torch

    separate, seen = {}, set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        own = storage.nbytes() == tensor.nbytes and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        separate[name] = tensor.contiguous() if own else tensor.clone(memory_format=torch.contiguous_format)
    return separate


def _shard(source: Path, names: Sequence[str], sizes: Mapping[str, int]) -> Shard:
    return Shard(source, tuple(names), sum(sizes[name] for name in names))

"""The files of a published checkpoint, read before any weights are loaded.

Two layouts of the transformers library are supported, as one file or as shards with an index: safetensors, preferred if
a folder has both, and PyTorch files. Other files, such as the state of a training run, are never opened. A folder with
its own code is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from alpha_umi.serving.manifest import refuse_pickles
from alpha_umi.serving.weights.errors import CheckpointUnusable

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# A tokenizer has one of these files.
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")
# Files that are copied with the weights, if present.
COMPANIONS = (
    CONFIG, "generation_config.json", TOKENIZER_CONFIG, "tokenizer.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
)  # fmt: skip

Layout = Literal["safetensors", "pytorch"]
_FILES: Mapping[Layout, tuple[str, str]] = {
    "safetensors": ("model.safetensors", "model.safetensors.index.json"),
    "pytorch": ("pytorch_model.bin", "pytorch_model.bin.index.json"),
}


@dataclass(frozen=True)
class Checkpoint:
    """A folder with weights. `index` maps each tensor to its file; None for a single file."""

    folder: Path
    layout: Layout
    weights: tuple[Path, ...]
    index: Mapping[str, str] | None
    config: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Size of the weights in bytes."""
        return sum(path.stat().st_size for path in self.weights)

    @property
    def context(self) -> int | None:
        """The model's maximum context in tokens; None if its configuration has none."""
        parts = (self.config, self.config.get("text_config"))
        lengths = [part.get("max_position_embeddings") for part in parts if isinstance(part, dict)]
        return next((tokens for tokens in lengths if isinstance(tokens, int) and tokens > 0), None)

    def companions(self) -> list[Path]:
        """Configuration and tokenizer files."""
        return [path for name in COMPANIONS if (path := self.folder / name).is_file()]

    def index_file(self) -> Path:
        """The path of the index, which need not exist."""
        return self.folder / _FILES[self.layout][1]

    def names_in(self, weights: Path) -> list[str] | None:
        """The tensors that the index lists for a file; None without an index."""
        if self.index is None:
            return None
        return [name for name, file in self.index.items() if file == weights.name]


def read_plain_model(folder: Path, *, weights: bool = True) -> Checkpoint:
    """A model that is served as it is, without a manifest: safetensors, a configuration and a tokenizer.

    Without `weights` none are looked for: a server elsewhere has them. Code that the folder names is never run, and not
    needed where transformers has a class for the model. Raises `CheckpointUnusable`, and `UnsafeWeights` for a folder
    with a pickle format.
    """
    described = Checkpoint(folder, "safetensors", (), None, _read_object(folder / CONFIG))
    checkpoint = _read_checkpoint(folder) if weights else described
    refuse_pickles(folder)
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise CheckpointUnusable(f"{folder} has no tokenizer; one of these is needed: {', '.join(VOCABULARIES)}")
    return checkpoint


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder; its weights are not opened. Raises `CheckpointUnusable`."""
    checkpoint = _read_checkpoint(folder)
    for path in (folder / CONFIG, folder / TOKENIZER_CONFIG):
        if path.is_file() and "auto_map" in _read_object(path):
            raise CheckpointUnusable(f"{path}: `auto_map` asks for code of the folder's own, which is never run")
    return checkpoint


def _read_checkpoint(folder: Path) -> Checkpoint:
    if not folder.is_dir():
        raise CheckpointUnusable(f"{folder} is no folder; download the checkpoint into one first")
    config = _read_object(folder / CONFIG)
    for layout, (single, index) in _FILES.items():
        if (folder / index).is_file():
            return _sharded(folder, layout, config)
        if (folder / single).is_file():
            return Checkpoint(folder, layout, (folder / single,), None, config)
    expected = ", ".join(name for names in _FILES.values() for name in names)
    raise CheckpointUnusable(f"{folder} holds no weights; one of these is needed: {expected}")


def _sharded(folder: Path, layout: Layout, config: Mapping[str, Any]) -> Checkpoint:
    path = folder / _FILES[layout][1]
    index = _read_object(path).get("weight_map")
    if not isinstance(index, dict) or not index or not all(isinstance(name, str) for name in index.values()):
        raise CheckpointUnusable(f"{path}: weight_map names no files")
    return Checkpoint(folder, layout, _present(path, sorted(set(index.values()))), index, config)


def _present(index: Path, names: Sequence[str]) -> tuple[Path, ...]:
    for name in names:
        if Path(name).name != name:
            raise CheckpointUnusable(f"{index}: weight_map names {name!r}, which is not a plain name")
        if not (index.parent / name).is_file():
            raise CheckpointUnusable(f"{index.parent / name} is missing, and {index.name} names it; fetch it again")
    return tuple(index.parent / name for name in names)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointUnusable(f"{path}: {error.strerror}; a checkpoint needs this file") from error
    except ValueError as error:
        raise CheckpointUnusable(f"{path}: this is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointUnusable(f"{path}: this is not a JSON object")
    return content

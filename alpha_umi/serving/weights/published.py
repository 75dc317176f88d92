"""A published checkpoint becomes a model folder: safetensors, configuration, tokenizer and a manifest.

Nothing is downloaded and nothing of the checkpoint is run. One file is read at a time and a bounded part of it is held
in memory, so a machine can convert a model that is larger than its memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.roles.template import Template, load_template, render
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.serving.manifest import CanaryText, ModelManifest, sha256, write_manifest
from alpha_umi.serving.weights.canary import QUESTION, ask_canary
from alpha_umi.serving.weights.checkpoint import Checkpoint, read_checkpoint
from alpha_umi.serving.weights.errors import CheckpointUnusable
from alpha_umi.serving.weights.progress import Progress, part, silent
from alpha_umi.serving.weights.published_tokenizer import check_tokenizer, keep_meaning
from alpha_umi.serving.weights.pytorch_file import read_tensors
from alpha_umi.serving.weights.safetensors_shards import SHARD_BYTES, Shard, plan_shards, write_shards
from alpha_umi.serving.weights.whole_folder import build_new

# Room for configuration, tokenizer and manifest.
ROOM = 64 << 20

_THOUGHTS = {"caller": "I look the capital up. Next: caller.", "summarizer": "It is Paris. Next: conclusion."}
_TOOL = Tool(
    "capital_of", "The capital of a country", {"type": "object", "properties": {"country": {"type": "string"}}}
)


@dataclass(frozen=True)
class Wanted:
    """What the manifest is to say. `context` in tokens is the model's own unless it is given.

    With `canary_expected` the canary is taken as it is given; else the model is asked, `canary_prompt` if there is one.
    """

    name: str
    role: Role
    template: str
    source: str
    base: str | None = None
    context: int | None = None
    canary_prompt: str | None = None
    canary_expected: str | None = None


def convert_checkpoint(
    source: Path, target: Path, wanted: Wanted, *, shard_bytes: int = SHARD_BYTES, progress: Progress = silent
) -> ModelManifest:
    """Convert the checkpoint in `source` into the new folder `target`; its manifest. `target` is whole or not there.

    Raises `CheckpointUnusable`, `UnsafeWeights`, `TargetUnusable`, `CanaryUnsure`, `UnknownTemplate`.
    """
    template = load_template(wanted.template)
    checkpoint = read_checkpoint(source)
    context = _context(checkpoint, wanted)
    made: list[ModelManifest] = []

    def build(folder: Path) -> None:
        for path in checkpoint.companions():
            shutil.copyfile(path, folder / path.name)
        keep_meaning(folder)
        check_tokenizer(checkpoint, folder, template)
        digests = _write_weights(checkpoint, folder, shard_bytes, progress)
        progress("Asking the model", 0.8)
        canary = _canary(folder, template, wanted)
        progress("Writing the manifest", 0.9)
        manifest = ModelManifest(
            name=wanted.name,
            role=wanted.role,
            template=template.name,
            context=context,
            base=wanted.base or wanted.name,
            canary=canary,
            source=wanted.source,
            converted_from=digests,
        )
        made.append(write_manifest(folder, manifest))
        progress("Checking the result", 0.95)

    build_new(target, build, needs=checkpoint.size + ROOM)
    progress("Model ready", 1.0)
    return made[0]


def _context(checkpoint: Checkpoint, wanted: Wanted) -> int:
    own = checkpoint.context
    if wanted.context is None and own is None:
        raise CheckpointUnusable(f"{checkpoint.folder}: config.json names no max_position_embeddings; say --context")
    if wanted.context is not None and own is not None and wanted.context > own:
        raise CheckpointUnusable(
            f"--context {wanted.context} is more than the {own} tokens that the model was built for"
        )
    return wanted.context or own or 0


def _write_weights(checkpoint: Checkpoint, folder: Path, shard_bytes: int, progress: Progress) -> dict[str, str]:
    """Write the weights; the digests of the files that they came from."""
    digests = dict(_digests(checkpoint, part(progress, 0.0, 0.25)))
    if checkpoint.layout == "safetensors":
        _copy(checkpoint, folder, part(progress, 0.25, 0.8))
        return digests
    shards = [shard for path in checkpoint.weights for shard in _plan(checkpoint, path, shard_bytes)]
    total, done = sum(shard.size for shard in shards), 0

    def written(size: int) -> None:
        nonlocal done
        done += size
        progress("Converting the weights", 0.25 + 0.55 * done / max(total, 1))

    write_shards(folder, shards, read_tensors, written=written)
    return digests


def _digests(checkpoint: Checkpoint, progress: Progress) -> Iterator[tuple[str, str]]:
    for number, path in enumerate(checkpoint.weights):
        progress(f"Reading {path.name}", number / len(checkpoint.weights))
        yield path.name, sha256(path)


def _plan(checkpoint: Checkpoint, path: Path, shard_bytes: int) -> list[Shard]:
    tensors = read_tensors(path)
    expected = checkpoint.names_in(path)
    missing = [name for name in expected or () if name not in tensors]
    if missing:
        raise CheckpointUnusable(
            f"{path}: {missing[0]} is missing, and the index says that it lies here; fetch it again"
        )
    names = tensors if expected is None else expected
    return plan_shards(path, {name: tensors[name].nbytes for name in names}, limit=shard_bytes)


def _copy(checkpoint: Checkpoint, folder: Path, progress: Progress) -> None:
    from safetensors import SafetensorError, safe_open

    for number, path in enumerate(checkpoint.weights):
        progress(f"Copying {path.name}", number / len(checkpoint.weights))
        try:
            with safe_open(path, framework="pt") as opened:
                found = set(opened.keys())
        except SafetensorError as error:
            raise CheckpointUnusable(f"{path}: cannot be read as safetensors: {error}") from error
        if missing := set(checkpoint.names_in(path) or ()) - found:
            raise CheckpointUnusable(f"{path}: {min(missing)} is missing, and the index says that it lies here")
        shutil.copyfile(path, folder / path.name)
    if checkpoint.index is not None:
        shutil.copyfile(checkpoint.index_file(), folder / checkpoint.index_file().name)


def _canary(folder: Path, template: Template, wanted: Wanted) -> CanaryText:
    prompt = wanted.canary_prompt or role_prompt(wanted.role, template)
    if wanted.canary_expected:
        return CanaryText(prompt=prompt, expected=wanted.canary_expected)
    return ask_canary(folder, prompt)


def role_prompt(role: Role, template: Template) -> str:
    """A first prompt of the role: a model is surest where it was trained."""
    thought = _THOUGHTS.get(role, "")
    history = [Turn("user", QUESTION), *([Turn("planner", thought)] if thought else [])]
    return render(role, template, history=history, tools=[_TOOL], thought=thought).text

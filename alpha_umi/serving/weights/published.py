"""Convert a published checkpoint into a model folder: safetensors, configuration, tokenizer and a manifest.

Nothing is downloaded, and no code of the checkpoint is run. One file is read at a time, in bounded parts, so a machine
can convert a model that is larger than its memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpha_umi.roles.template import Template, load_template, render
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.serving.manifest import CanaryText, ModelManifest, sha256, write_manifest
from alpha_umi.serving.weights.canary import QUESTION, ask_canary
from alpha_umi.serving.weights.checkpoint import TOKENIZER_CONFIG, VOCABULARIES, Checkpoint, read_checkpoint
from alpha_umi.serving.weights.errors import CheckpointUnusable
from alpha_umi.serving.weights.model_folder import create_folder
from alpha_umi.serving.weights.progress import Progress, part, silent
from alpha_umi.serving.weights.pytorch_file import read_tensors
from alpha_umi.serving.weights.safetensors_shards import SHARD_BYTES, Shard, plan_shards, write_shards

_SENTENCEPIECE, _FAST = "tokenizer.model", "tokenizer.json"
# Disk space for configuration, tokenizer and manifest.
ROOM = 64 << 20

_THOUGHTS = {"caller": "I look the capital up. Next: caller.", "summarizer": "It is Paris. Next: conclusion."}
_TOOL = Tool(
    "capital_of", "The capital of a country", {"type": "object", "properties": {"country": {"type": "string"}}}
)


@dataclass(frozen=True)
class ConversionOptions:
    """Fields of the manifest. `context` in tokens defaults to the model's own.

    Without `canary_expected` the model generates the canary's answer, to `canary_prompt` if it is given.
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
    source: Path,
    target: Path,
    options: ConversionOptions,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = silent,
) -> ModelManifest:
    """Convert the checkpoint in `source` into the new folder `target`; its manifest.

    Raises `CheckpointUnusable`, `UnsafeWeights`, `TargetUnusable`, `CanaryUnsure`, `UnknownTemplate`.
    """
    template = load_template(options.template)
    checkpoint = read_checkpoint(source)
    context = _context(checkpoint, options)
    made: list[ModelManifest] = []

    def build(folder: Path) -> None:
        for path in checkpoint.companions():
            shutil.copyfile(path, folder / path.name)
        preserve_tokenization(folder)
        check_tokenizer(checkpoint, folder, template)
        digests = _write_weights(checkpoint, folder, shard_bytes, progress)
        progress("Asking the model", 0.8)
        canary = _canary(folder, template, options)
        progress("Writing the manifest", 0.9)
        manifest = ModelManifest(
            name=options.name,
            role=options.role,
            template=template.name,
            context=context,
            base=options.base or options.name,
            canary=canary,
            source=options.source,
            converted_from=digests,
        )
        made.append(write_manifest(folder, manifest))
        progress("Checking the result", 0.95)

    create_folder(target, build, needs=checkpoint.size + ROOM)
    progress("Model ready", 1.0)
    return made[0]


def _context(checkpoint: Checkpoint, options: ConversionOptions) -> int:
    own = checkpoint.context
    if options.context is None and own is None:
        raise CheckpointUnusable(f"{checkpoint.folder}: config.json names no max_position_embeddings; give --context")
    if options.context is not None and own is not None and options.context > own:
        raise CheckpointUnusable(
            f"--context {options.context} is more than the {own} tokens that the model was built for"
        )
    return options.context or own or 0


def _write_weights(checkpoint: Checkpoint, folder: Path, shard_bytes: int, progress: Progress) -> dict[str, str]:
    """Write the weights; returns the digests of the source files."""
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
            f"{path}: {missing[0]} is missing, but the index lists it for this file; download it again"
        )
    names = tensors if expected is None else expected
    return plan_shards(path, {name: tensors[name].nbytes for name in names}, limit=shard_bytes)


def _copy(checkpoint: Checkpoint, folder: Path, progress: Progress) -> None:
    from safetensors import SafetensorError, safe_open

    for number, path in enumerate(checkpoint.weights):
        progress(f"Copying {path.name}", number / len(checkpoint.weights))
        try:
            with safe_open(path, framework="pt") as opened:
                present = set(opened.keys())
        except SafetensorError as error:
            raise CheckpointUnusable(f"{path}: cannot be read as safetensors: {error}") from error
        if missing := set(checkpoint.names_in(path) or ()) - present:
            raise CheckpointUnusable(f"{path}: {min(missing)} is missing, but the index lists it for this file")
        shutil.copyfile(path, folder / path.name)
    if checkpoint.index is not None:
        shutil.copyfile(checkpoint.index_file(), folder / checkpoint.index_file().name)


def _canary(folder: Path, template: Template, options: ConversionOptions) -> CanaryText:
    prompt = options.canary_prompt or role_prompt(options.role, template)
    if options.canary_expected:
        return CanaryText(prompt=prompt, expected=options.canary_expected)
    return ask_canary(folder, prompt)


def role_prompt(role: Role, template: Template) -> str:
    """A first prompt of the role, as in training, where the model is surest."""
    thought = _THOUGHTS.get(role, "")
    history = [Turn("user", QUESTION), *([Turn("planner", thought)] if thought else [])]
    return render(role, template, history=history, tools=[_TOOL]).text


def check_tokenizer(checkpoint: Checkpoint, folder: Path, template: Template) -> None:
    """Check that the tokenizer fits the weights, and has the template's end of turn as one token.

    Raises `CheckpointUnusable`.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise CheckpointUnusable(
            f"{checkpoint.folder} holds no tokenizer; one of these is needed: {', '.join(VOCABULARIES)}"
        )
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many types for a bad file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointUnusable(f"its tokenizer cannot be loaded: {reason}") from error
    room = checkpoint.config.get("vocab_size")
    # Tokens added later, for padding, have no row in the weights.
    if isinstance(room, int) and tokenizer.vocab_size > room:
        raise CheckpointUnusable(f"its tokenizer knows more tokens than the {room} of the model; fetch both again")
    if len(tokenizer(template.end_of_turn, add_special_tokens=False)["input_ids"]) != 1:
        raise CheckpointUnusable(
            f"the template {template.name} ends turns with {template.end_of_turn!r}, which is no token of this model; "
            "name the template that it was trained in with --template"
        )


def preserve_tokenization(folder: Path) -> None:
    """Set `legacy` in the settings of a Llama tokenizer that leave it unset, so that text is split as in training.

    Until version 4 of transformers the default was true: the word after each `</s>` began with the mark of a blank.
    From version 5 on it is false, and each such word would be split differently.
    """
    path = folder / TOKENIZER_CONFIG
    if not path.is_file() or not (folder / _SENTENCEPIECE).is_file() or (folder / _FAST).is_file():
        return
    settings = json.loads(path.read_bytes())
    if settings.get("tokenizer_class") in ("LlamaTokenizer", "LlamaTokenizerFast") and settings.get("legacy") is None:
        path.write_text(json.dumps({**settings, "legacy": True}, indent=2) + "\n", encoding="utf-8")

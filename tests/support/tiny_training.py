"""Prepared data, a backbone and a config for trainings of seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import Role, Turn
from alpha_umi.serving.manifest import load_manifest, write_manifest
from support.tiny_models import CONTEXT, QUESTION, TEMPLATE, TOOL, write_backbone
from training.examples import (
    ROLES,
    SPLITS,
    DatasetRecord,
    Example,
    ExamplePrompt,
    examples_digest,
    write_examples,
    write_record,
)

TRAINED, DEV = 12, 4
_TARGETS: dict[Role, str] = {
    "planner": "I look it up. Next: caller.",
    "caller": 'Action: current_temperature\nAction Input: {"city": "Oslo"}',
    "summarizer": "It is warm there.",
    "backbone": "I look it up.\nAction: current_temperature",
}


@dataclass(frozen=True)
class World:
    """Folders and files of a tiny training."""

    root: Path

    @property
    def backbone(self) -> Path:
        """The model folder."""
        return self.root / "backbone"

    @property
    def data(self) -> Path:
        """The prepared data."""
        return self.root / "data"

    @property
    def config(self) -> Path:
        """The config with a LoRA adapter."""
        return self.root / "tiny.yaml"


def make_world(root: Path, embedded_model: Path) -> World:
    """Write all files into a folder."""
    world = World(root)
    write_backbone(world.backbone, embedded_model)
    write_data(world.data)
    write_config(world.config, world.backbone)
    return world


def convert_elsewhere(backbone: Path) -> None:
    """Rewrite a backbone's folder as another machine would, with the same weights and tokenizer.

    Another version of the libraries writes other settings, and another processor another canary.
    """
    settings = backbone / "config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_bytes()), "transformers_version": "5.16.1"}))
    manifest = load_manifest(backbone)
    canary = manifest.canary.model_copy(update={"expected": "!"})
    write_manifest(backbone, manifest.model_copy(update={"canary": canary}))


def write_config(path: Path, backbone: Path, **changed: object) -> Path:
    """A config that learns in a few steps; None removes a field."""
    settings = {"learning_rate": 1e-2, "epochs": 1, "batch": 4, "warmup": 0.25}
    defaults: dict[str, object] = {
        "name": path.stem,
        "about": "a toy",
        "backbone": str(backbone),
        "template": TEMPLATE,
        "context": CONTEXT,
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
        "device": "cpu",
        "precision": "float32",  # the same losses on every processor
        "micro_tokens": 512,
        "checkpoint_every": 2,
        "evaluate_every": 4,
        "settings": dict.fromkeys(("planner", "caller", "summarizer"), settings)
        | {"global": {**settings, "epochs": 2}},
    }
    fields = {name: value for name, value in {**defaults, **changed}.items() if value is not None}
    path.write_text(yaml.safe_dump(fields, sort_keys=False))
    return path


def write_data(folder: Path, *, trained: int = TRAINED, dev: int = DEV, **changed: object) -> DatasetRecord:
    """Prepared data with `trained` examples a role."""
    for split, count in zip(SPLITS, (trained, dev), strict=True):
        for role in ROLES:
            write_examples(folder, split, role, [_example(role, f"{split} {number}") for number in range(count)])
    template = load_template(TEMPLATE)
    record = DatasetRecord.model_validate(
        {
            "mixture": "toy",
            "seed": 0,
            "template": TEMPLATE,
            "template_digest": template.digest,
            "tokenizer_digest": "0" * 64,
            "context": CONTEXT,
            "digest": examples_digest(folder),
            "sources": {},
            "dev_tool_sets": (),
            "tokens": {},
            "trained_on": sorted(digests(trained)),
            "versions": {},
            **changed,
        }
    )
    write_record(folder, record)
    return record


def digests(trained: int = TRAINED) -> list[str]:
    """The digests of the instructions in train."""
    return [_digest(f"train {number}") for number in range(trained)]


def _example(role: Role, name: str) -> Example:
    # Prompts of different lengths.
    place = " ".join(["Oslo"] * (1 + int(name.split()[1]) % 5))
    history: Sequence[Turn] = [Turn("user", f"{QUESTION.content} {place}")]
    tools = () if role == "summarizer" else (TOOL,)
    prompt = render(role, load_template(TEMPLATE), history=history, tools=tools)
    return Example(
        id=f"{role} {name}",
        source="toy",
        trajectory=name,
        step=1,
        role=role,
        instruction_sha256=_digest(name),
        prompt=ExamplePrompt(text=prompt.text, markers=prompt.markers, end_of_turn=prompt.end_of_turn),
        target=_TARGETS[role],
    )


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()

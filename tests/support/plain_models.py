"""An instruct model as anyone publishes it, without a manifest: configuration, weights, tokenizer and chat template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.scripted import Rule, ScriptedEngine
from alpha_umi.serving.tokens import PromptTokenizer


def write_plain_model(folder: Path, embedded_model: Path) -> Path:
    """The tokenizer and the chat template are those of the embedded model; the weights are one number."""
    folder.mkdir(parents=True)
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 4_096}))
    shutil.copyfile(embedded_model / "tokenizer.json", folder / "tokenizer.json")
    config = json.loads((embedded_model / "tokenizer_config.json").read_bytes())
    (folder / "chat_template.jinja").write_text(config.pop("chat_template"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


class TokenizingEngine(ScriptedEngine):
    """Stands for the engine of `loading`: it counts as the model in the folder does, and knows a capital."""

    def __init__(self, _: Any, folder: Path, context: int, __: Any) -> None:
        super().__init__([Rule(["It is Paris, of course."])], context=context)
        self.tokenizer = PromptTokenizer(folder)

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Tokens of the model in the folder."""
        return len(self.tokenizer.encode(prompt))
